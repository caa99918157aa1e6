//! Lines that are too long for the terminal.

/// The text with its lines broken at spaces where they have more than `width` columns. What follows a
/// break stands two columns deeper than the line begins. A word that is too long stays whole, so that
/// it can be copied.
pub(super) fn fold(text: &str, width: usize) -> String {
    fold_deeper(text, width, 2)
}

/// As [`fold`], but what follows a break stands so many columns deeper.
pub(super) fn fold_deeper(text: &str, width: usize, deeper: usize) -> String {
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| fold_line(line, width, deeper))
        .collect();
    lines.join("\n")
}

fn fold_line(line: &str, width: usize, deeper: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    let mut folded = " ".repeat(indent);
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = columns(word);
        if index > 0 && column + 1 + length > width {
            folded.push('\n');
            folded.push_str(&" ".repeat(indent + deeper));
            column = indent + deeper;
        } else if index > 0 {
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += length;
    }
    folded
}

/// How wide a text is, of which colours (`ESC [ … m`) take no room.
fn columns(text: &str) -> usize {
    let mut columns = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(|letter| *letter == 'm');
        } else {
            columns += 1;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn long_lines_are_broken_at_spaces_and_others_stay() {
        let text = "eth0 (index 2): up, multicast, veth, MTU 1500\n    \
                    addresses  10.0.0.1/24, fd00::1/64, fe80::216:3eff:fe12:3456/64\n";
        let narrow = "eth0 (index 2): up, multicast, veth, MTU\n  1500\n    \
                      addresses  10.0.0.1/24, fd00::1/64,\n      fe80::216:3eff:fe12:3456/64\n";
        assert_eq!(fold(text, 40), narrow);
        assert_eq!(fold(text, 100), text);
        assert_eq!(fold("a-word-of-fifteen b", 5), "a-word-of-fifteen\n  b");
        assert_eq!(fold("", 0), "");
        assert_eq!(
            fold("\u{1b}[1mUsage:\u{1b}[0m x", 8),
            "\u{1b}[1mUsage:\u{1b}[0m x"
        );
    }
}
