//! The table on a terminal: each receiver, and how far it is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use manycast::transfer::files::Progress;
use terminal_size::{Height, Width, terminal_size_of};

use super::report::percent;
use crate::output::{Escaped, Output, Span, counted};

/// Lines at the end of a terminal that are written anew each time.
pub(crate) struct Table {
    wanted: bool,
    lines: usize,
}

impl Table {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            wanted: io::stderr().is_terminal() && !output.is_quiet() && !output.is_json(),
            lines: 0,
        }
    }

    /// Whether it is what tells how far it is.
    pub(crate) const fn is_shown(&self) -> bool {
        self.wanted
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if self.wanted {
            let (width, height) = size();
            self.draw(&lines(progress, width, height));
        }
    }

    /// Shows one line.
    pub(crate) fn line(&mut self, line: &str) {
        if self.wanted {
            self.draw(&[line.to_owned()]);
        }
    }

    /// Shows these lines, of which each is cut where the terminal ends.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let mut text = self.back();
        let (width, _) = size();
        for line in lines {
            // One that is folded would count as two.
            text.extend(line.chars().take(width.saturating_sub(1)));
            text.push('\n');
        }
        self.lines = lines.len();
        // Where nobody sees it, there is nobody to tell so.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Takes it away, so that other lines can be written.
    pub(crate) fn clear(&mut self) {
        if self.lines > 0 {
            let _ = io::stderr().write_all(self.back().as_bytes());
            self.lines = 0;
        }
    }

    fn back(&self) -> String {
        match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
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
    let shown = &progress.receivers[..most.min(progress.receivers.len())];
    let names = shown.iter().map(|receiver| {
        let name = Escaped(&receiver.name).to_string();
        name.chars().take(20).collect::<String>()
    });
    let names: Vec<_> = names.collect();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let longest = longest.unwrap_or(0);
    for (receiver, name) in shown.iter().zip(&names) {
        let part = percent(receiver.bytes, progress.bytes);
        let mut numbers = format!(
            "{part:3} %  {}/{} files  {:.1} Mbit/s  {:.1} % lost",
            receiver.verified,
            progress.files,
            receiver.rate / 1e6,
            receiver.loss * 100.0
        );
        if receiver.failed > 0 {
            let _ = write!(numbers, "  {} failed", receiver.failed);
        }
        all.push(row(name, longest, part, &numbers, width));
    }
    if progress.receivers.len() > most {
        all.push(format!("and {} more", progress.receivers.len() - most));
    }
    all
}

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
        let numbers = " 50 %  3/12 files  1.0 Mbit/s  1.0 % lost";
        let line = |width| row("lab1", 12, 50, numbers, width);
        assert_eq!(line(60), format!("lab1         ██░░ {numbers}"));
        assert_eq!(line(60).chars().count(), 59);
        assert_eq!(line(58), format!("lab1         {numbers}"));
        assert_eq!(line(0), line(58));
        assert!(line(120).contains(&bar(50, 20)));
    }
}
