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

    fn draw(&mut self, lines: &[String]) {
        let mut text = self.back();
        for line in lines {
            text += line;
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
    for receiver in progress.receivers.iter().take(most) {
        let name: String = Escaped(&receiver.name)
            .to_string()
            .chars()
            .take(20)
            .collect();
        let part = percent(receiver.bytes, progress.bytes);
        let mut line = format!(
            "{name:20} {} {part:3} %  {}/{} files  {:7.1} Mbit/s  {:5.1} % lost",
            bar(part, 20),
            receiver.verified,
            progress.files,
            receiver.rate / 1e6,
            receiver.loss * 100.0
        );
        if receiver.failed > 0 {
            let _ = write!(line, "  {} failed", receiver.failed);
        }
        all.push(line);
    }
    if progress.receivers.len() > most {
        all.push(format!("and {} more", progress.receivers.len() - most));
    }
    // A line that is folded would count as two.
    let cut = |line: String| line.chars().take(width.saturating_sub(1)).collect();
    all.into_iter().map(cut).collect()
}
