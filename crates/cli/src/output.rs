//! What is printed: reports on standard output, as text or as JSON; notes on standard error.

mod datagram;
mod fold;
mod payload;
mod sent;
mod time;

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StderrLock, StdoutLock, Write};
use std::net::SocketAddr;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Effects, Style};
use manycast::{
    Address, Dropped, InterfaceId, InterfaceSelector, Membership, SourceFilter, with_interface_name,
};
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::Global;

pub(crate) use datagram::Report as DatagramReport;
use payload::SafeJson;
pub(crate) use payload::{Escaped, Payload, is_unsafe, safe_lines};
pub(crate) use sent::Report as SentReport;
pub(crate) use time::{Span, clock, rfc3339};

/// Where a command prints to.
pub(crate) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
    global: Global,
    styled: bool,
}

impl Output {
    pub(crate) fn new(global: Global) -> Self {
        let stdout = io::stdout();
        Self {
            styled: AutoStream::choice(&stdout) != ColorChoice::Never,
            stdout: BufWriter::new(stdout.lock()),
            global,
        }
    }

    /// Prints something that a command has to tell: its text, or the object that it is.
    ///
    /// It stays in memory until the next [`flush`](Self::flush), which therefore stands in front of
    /// every wait.
    pub(crate) fn report(&mut self, report: &(impl Display + Serialize)) -> io::Result<()> {
        if self.global.json {
            self.object(report)
        } else {
            writeln!(self.stdout, "{report}")
        }
    }

    /// Prints something that is told in JSON only.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> io::Result<()> {
        if self.global.json {
            let mut json = serde_json::Serializer::with_formatter(&mut self.stdout, SafeJson);
            object.serialize(&mut json)?;
            self.stdout.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Prints a text as it is, without a line's end.
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        write!(self.stdout, "{text}")
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Hands over what was printed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Tells something beside the matter, on standard error, unless it is to be quiet.
    pub(crate) fn note(&self, note: impl Display) {
        if !self.global.quiet {
            to_stderr(folded_to_stderr(&note.to_string()));
        }
    }

    /// As [`note`](Self::note), for those who cannot wait for this.
    pub(crate) fn noter(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let quiet = self.global.quiet;
        move |note| {
            if !quiet {
                to_stderr(folded_to_stderr(note));
            }
        }
    }

    /// As [`note`](Self::note), but where JSON tells the same as an object, it is left out.
    pub(crate) fn note_in_text(&self, note: impl Display) {
        if !self.global.json {
            self.note(note);
        }
    }

    /// As [`note`](Self::note), but only if more is asked for.
    pub(crate) fn detail(&self, note: impl Display) {
        if self.global.verbose > 0 {
            self.note(note);
        }
    }

    /// Tells that something may not be as it was meant.
    pub(crate) fn warn(&self, warning: impl Display) {
        if !self.global.quiet {
            let style = AnsiColor::Yellow.on_default();
            titled("warning:", style, &warning.to_string());
        }
    }

    /// Ends the line on which the terminal shows `^C`.
    pub(crate) fn after_interrupt(&self) {
        if io::stderr().is_terminal() && !self.global.quiet {
            to_stderr("");
        }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.global.json
    }

    pub(crate) const fn is_verbose(&self) -> bool {
        self.global.verbose > 0
    }

    pub(crate) const fn is_quiet(&self) -> bool {
        self.global.quiet
    }

    /// A check mark, or a cross.
    pub(crate) fn mark(&self, right: bool) -> String {
        let (mark, color) = if right {
            ("✓", AnsiColor::Green)
        } else {
            ("✗", AnsiColor::Red)
        };
        let style = if self.styled {
            color.on_default().effects(Effects::BOLD)
        } else {
            Style::new()
        };
        format!("{style}{mark}{style:#}")
    }
}

/// An object as JSON, with what others chose escaped.
pub(crate) fn safe_json(object: &impl Serialize) -> serde_json::Result<String> {
    let mut json = Vec::new();
    object.serialize(&mut serde_json::Serializer::with_formatter(
        &mut json, SafeJson,
    ))?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// Says why a command could not do what it should, or that the answer is "no".
pub(crate) fn problem(problem: impl Display) {
    let style = AnsiColor::Red.on_default().effects(Effects::BOLD);
    titled("manycast:", style, &problem.to_string());
}

/// Lets the library tell on standard error what it does.
pub(crate) fn trace(global: Global) {
    let level = match global.verbose {
        0 if global.quiet => LevelFilter::OFF,
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let stderr = io::stderr();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(AutoStream::choice(&stderr) != ColorChoice::Never)
        .with_writer(io::stderr)
        // They would be written to where nothing can be written, by a call that panics then.
        .log_internal_errors(false)
        .without_time()
        .with_target(global.verbose > 1)
        .init();
}

/// A membership, as [`listen`](crate::commands::listen) and others tell of it in JSON.
#[derive(Serialize)]
pub(crate) struct MembershipReport {
    group: String,
    port: u16,
    interface: String,
    /// Those that are wanted; empty means any.
    sources: Vec<String>,
    /// Those that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<String>,
}

impl From<&Membership> for MembershipReport {
    fn from(membership: &Membership) -> Self {
        let (included, excluded): (&[_], &[_]) = match &membership.sources {
            SourceFilter::Include(sources) => (sources, &[]),
            SourceFilter::Exclude(sources) => (&[], sources),
        };
        let texts =
            |sources: &[std::net::IpAddr]| sources.iter().map(ToString::to_string).collect();
        Self {
            group: membership.group.ip().to_string(),
            port: membership.group.port(),
            interface: membership.interface.to_string(),
            sources: texts(included),
            excluded: texts(excluded),
        }
    }
}

/// A socket address in the one text form, with the interface's name for a zone. The kernel leaves
/// the zone out of the own address of a socket that is not bound to an interface.
pub(crate) fn named(mut address: SocketAddr, interface: &InterfaceId) -> String {
    if let SocketAddr::V6(address) = &mut address
        && address.ip().is_unicast_link_local()
        && address.scope_id() == 0
    {
        address.set_scope_id(interface.index);
    }
    match address {
        // Its name is known, also where it is gone since.
        SocketAddr::V6(v6) if v6.scope_id() == interface.index && v6.scope_id() != 0 => {
            Address::from(address)
                .on(InterfaceSelector::Name(interface.to_string()))
                .to_string()
        }
        _ => with_interface_name(address).to_string(),
    }
}

/// The text with lines that fit the terminal; where standard output is none, 100 columns.
pub(crate) fn fold(text: &str) -> String {
    let width = terminal_size_of(io::stdout()).map_or(100, |(Width(width), _)| width);
    fold::fold(text, width.into())
}

/// Prints a help to standard output, in its colours where it is a terminal, and with lines that fit it.
pub(crate) fn help(text: &str) -> io::Result<()> {
    let stdout = io::stdout();
    let text = match terminal_size_of(&stdout) {
        // The library that makes it folds all but the usage.
        Some((Width(width), _)) => fold::fold(text, width.into()),
        None => text.to_owned(),
    };
    let mut stdout = AutoStream::auto(stdout.lock());
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Prose, of which a line is a paragraph, with lines that fit the terminal; as it is where standard
/// output is none.
pub(crate) fn fold_prose(text: &str) -> String {
    match terminal_size_of(io::stdout()) {
        Some((Width(width), _)) => fold::fold_deeper(text, width.into(), 0),
        None => text.to_owned(),
    }
}

/// `1 datagram`, `2 datagrams`, `8,388,608 bytes`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// `the kernel dropped at least 1,234 for want of buffer`
pub(crate) fn what_was_dropped(dropped: Dropped) -> String {
    let least = if dropped.is_exact { "" } else { "at least " };
    format!(
        "the kernel dropped {least}{} for want of buffer",
        grouped(dropped.count)
    )
}

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints a title in its style, and a text behind it.
fn titled(title: &str, style: Style, text: &str) {
    let text = folded_to_stderr(&format!("{title} {text}"));
    let text = text.strip_prefix(title).unwrap_or(&text);
    to_stderr(format_args!("{style}{title}{style:#}{text}"));
}

/// The text with nothing that a terminal obeys, and with lines that fit it. Where standard error is no
/// terminal, each line stays whole, so that it can be searched for.
fn folded_to_stderr(text: &str) -> String {
    let text = safe_lines(text);
    match terminal_size_of(io::stderr()) {
        Some((Width(width), _)) => fold::fold(&text, width.into()),
        None => text,
    }
}

fn to_stderr(line: impl Display) {
    let mut stderr: AutoStream<StderrLock<'_>> = AutoStream::auto(io::stderr().lock());
    // Where nobody reads it, there is nobody to tell so.
    let _ = writeln!(stderr, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_threes() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (8_388_608, "8,388,608"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "datagram"), "1 datagram");
        assert_eq!(counted(1_472, "byte"), "1,472 bytes");
    }

    #[test]
    fn a_zone_is_shown_by_its_name() {
        let interface = InterfaceId::new(3, "eth0");
        let named = |text: &str| named(text.parse().unwrap(), &interface);
        assert_eq!(named("[fe80::1%3]:5000"), "[fe80::1%eth0]:5000");
        assert_eq!(named("[fe80::1%1]:5000"), "[fe80::1%lo]:5000");
        assert_eq!(named("[fe80::1%99999]:5000"), "[fe80::1%99999]:5000");
        assert_eq!(named("[fe80::1]:5000"), "[fe80::1%eth0]:5000");
        assert_eq!(named("10.0.0.1:5000"), "10.0.0.1:5000");
    }
}
