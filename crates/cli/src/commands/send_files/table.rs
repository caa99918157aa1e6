//! The table on a terminal: each receiver, and how far it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use manycast::transfer::files::Progress;
use terminal_size::{Height, Width, terminal_size_of};

use super::report::{percent, silence};
use crate::output::{Escaped, Output, Span, counted};

/// Lines at the end of a terminal that are written anew each time.
pub(crate) struct Table {
    wanted: bool,
    /// Lines of which each tells of something of its own.
    lines: BTreeMap<u32, String>,
    /// What the next table ends with.
    below: Option<String>,
    /// How many characters each line has that is on the terminal.
    drawn: Vec<usize>,
}

impl Table {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            wanted: io::stderr().is_terminal() && !output.is_quiet() && !output.is_json(),
            lines: BTreeMap::new(),
            below: None,
            drawn: Vec::new(),
        }
    }

    /// Whether it is what tells how far it is.
    pub(crate) const fn is_shown(&self) -> bool {
        self.wanted
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if self.wanted {
            let (width, height) = size();
            let mut lines = lines(progress, width, height);
            lines.extend(self.below.take());
            self.draw(&lines);
        }
    }

    /// Shows a line below the next table, once.
    pub(super) fn below(&mut self, line: String) {
        self.below = Some(line);
    }

    /// That line, where no table is shown.
    pub(super) fn take_below(&mut self) -> Option<String> {
        self.below.take()
    }

    /// Shows a line beside those of other subjects.
    pub(crate) fn line(&mut self, subject: u32, line: String) {
        if self.wanted {
            self.lines.insert(subject, line);
            let lines: Vec<_> = self.lines.values().cloned().collect();
            self.draw(&lines);
        }
    }

    /// Takes all away, and does not show the line of a subject again.
    pub(crate) fn remove(&mut self, subject: u32) {
        self.lines.remove(&subject);
        self.clear();
    }

    /// Shows these lines, of which each is cut where the terminal ends.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let (width, _) = size();
        let mut text = self.back(width);
        self.drawn.clear();
        for line in lines {
            // One that is folded would count as two.
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            self.drawn.push(line.chars().count());
            text.push_str(&line);
            text.push('\n');
        }
        // Where nobody sees it, there is nobody to tell so.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Takes it away, so that other lines can be written.
    pub(crate) fn clear(&mut self) {
        let text = self.back(size().0);
        let _ = io::stderr().write_all(text.as_bytes());
        self.drawn.clear();
    }

    /// Back to where it begins, on a terminal that is so wide by now: one that has become narrower
    /// has folded what was wider.
    fn back(&self, width: usize) -> String {
        let rows = |length: &usize| length.div_ceil(width.max(1)).max(1);
        match self.drawn.iter().map(rows).sum::<usize>() {
            0 => String::new(),
            // A terminal shows Ctrl-C as ^C, which moves the cursor.
            rows => format!("\r\x1b[{rows}A\x1b[J"),
        }
    }
}

/// Columns and lines.
fn size() -> (usize, usize) {
    let size = terminal_size_of(io::stderr());
    size.map_or((80, 24), |(Width(width), Height(height))| {
        (width.into(), height.into())
    })
}

/// A bar of so many columns, full up to a part in percent.
pub(crate) fn bar(percent: u64, columns: usize) -> String {
    let full = usize::try_from(percent).unwrap_or(100).min(100) * columns / 100;
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}

fn lines(progress: &Progress, width: usize, height: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut head = format!(
        "{}  {} of {} sent, {}",
        Span(progress.elapsed),
        percent(progress.sent, progress.bytes).to_string() + " %",
        counted(progress.bytes, "byte"),
        counted(progress.repairs, "repair")
    );
    if let Some(left) = progress.left {
        let _ = write!(head, ", {:.0} s left", left.as_secs_f64());
    }
    all.push(head);
    if progress.receivers.is_empty() {
        all.push("nobody answers yet".to_owned());
    }
    let most = height.saturating_sub(4).max(1);
    let mut shown: Vec<_> = progress.receivers.iter().collect();
    if shown.len() > most {
        // Those that lack most are worth a look.
        shown.sort_by_key(|receiver| receiver.bytes);
        shown.truncate(most);
    }
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    let names = shown.iter().map(|receiver| {
        let name = Escaped(&receiver.name).to_string();
        match name.chars().count() > NAME {
            true => name.chars().take(NAME - 1).collect::<String>() + "…",
            false => name,
        }
    });
    let names: Vec<_> = names.collect();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let longest = longest.unwrap_or(0);
    for (receiver, name) in shown.iter().zip(&names) {
        let part = percent(receiver.bytes, progress.bytes);
        let mut numbers = format!("{part:3} %  {}/{}", receiver.verified, progress.files);
        if receiver.failed > 0 {
            let _ = write!(numbers, "  {} failed", receiver.failed);
        }
        if let Some(silence) = silence(receiver, progress.files) {
            let _ = write!(numbers, "  silent for {silence}");
            all.push(row(name, longest, part, &numbers, width));
            continue;
        }
        let (rate, loss) = (receiver.rate / 1e6, receiver.loss * 100.0);
        let _ = write!(numbers, "  {rate:5.1} Mbit/s  {loss:4.1} % lost");
        all.push(row(name, longest, part, &numbers, width));
    }
    let more = progress.receivers.len() - shown.len();
    if more > 0 {
        all.push(format!("and {more} more, which have as much or more"));
    }
    for name in progress
        .absent
        .iter()
        .take(most.saturating_sub(shown.len()))
    {
        all.push(format!("{} is not there yet", Escaped(name)));
    }
    all
}

/// How many characters of a name are shown.
const NAME: usize = 20;

/// The line of a receiver: the bar has what the numbers leave.
fn row(name: &str, longest: usize, part: u64, numbers: &str, width: usize) -> String {
    let left = width.saturating_sub(longest + numbers.chars().count() + 3);
    let bar = match left.min(20) {
        0..4 => String::new(),
        columns => bar(part, columns) + " ",
    };
    format!("{name:longest$} {bar}{numbers}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_narrow_terminal_the_bar_gives_way_to_the_numbers() {
        let numbers = " 50 %  3/12    1.0 Mbit/s   1.0 % lost";
        let line = |width| row("lab1", 12, 50, numbers, width);
        assert_eq!(line(57), format!("lab1         ██░░ {numbers}"));
        assert_eq!(line(57).chars().count(), 56);
        assert_eq!(line(55), format!("lab1         {numbers}"));
        assert_eq!(line(0), line(55));
        assert!(line(120).contains(&bar(50, 20)));
    }

    /// What was drawn is folded where a terminal has become narrower: all of it is taken away.
    #[test]
    fn a_terminal_that_becomes_narrower_is_cleared_whole() {
        let mut table = Table {
            wanted: true,
            lines: BTreeMap::new(),
            below: None,
            drawn: vec![79, 60, 0],
        };
        assert_eq!(table.back(80), "\r\x1b[3A\x1b[J");
        assert_eq!(table.back(40), "\r\x1b[5A\x1b[J");
        assert_eq!(table.back(0), format!("\r\x1b[{}A\x1b[J", 79 + 60 + 1));
        table.drawn.clear();
        assert_eq!(table.back(80), "");
    }
}
