//! Lines that are too long for the terminal.

/// The text with its lines broken at spaces where they have more than `width` columns. What follows a
/// break stands two columns deeper than the line begins. A word that is too long stays whole, so that
/// it can be copied.
pub(super) fn fold(text: &str, width: usize) -> String {
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| fold_line(line, width))
        .collect();
    lines.join("\n")
}

fn fold_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    let mut folded = " ".repeat(indent);
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            folded.push('\n');
            folded.push_str(&" ".repeat(indent + 2));
            column = indent + 2;
        } else if index > 0 {
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += length;
    }
    folded
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
    }
}
