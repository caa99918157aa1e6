//! What was measured, as text and as JSON.

use std::fmt;
use std::time::Duration;

use manycast::Dropped;
use manycast::proto::measure::{Counters, ReceiverStats, StreamReport};
use serde::Serialize;

use crate::output::{Span, counted, grouped, named, safe_lines, what_was_dropped};

/// A stream, over an interval or over its whole length. The names and the order of the fields are
/// part of what scripts rely on.
#[derive(Serialize)]
pub(super) struct Stream {
    source: String,
    destination: String,
    interface: String,
    run: u64,
    datagrams: u64,
    bytes: u64,
    seconds: f64,
    datagrams_per_second: f64,
    bits_per_second: f64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    kernel_dropped: u64,
    jitter_us: f64,
    /// Nothing where the clocks do not agree.
    delay_us: Option<Percentiles>,
    delay_variation_us: Option<Percentiles>,
    /// Whether more than one datagram came, and whether the sender has ended it.
    confirmed: bool,
    ended: bool,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    p999: f64,
}

impl From<&StreamReport> for Stream {
    fn from(report: &StreamReport) -> Self {
        let counters = report.counters;
        Self {
            source: named(report.source, &report.interface),
            destination: named(report.destination, &report.interface),
            interface: report.interface.to_string(),
            run: report.run,
            datagrams: counters.datagrams,
            bytes: counters.bytes,
            seconds: (report.duration.as_secs_f64() * 1e6).round() / 1e6,
            datagrams_per_second: report.datagrams_per_second().round(),
            bits_per_second: report.bits_per_second().round(),
            lost: counters.lost,
            duplicated: counters.duplicated,
            reordered: counters.reordered,
            kernel_dropped: counters.kernel_dropped,
            jitter_us: microseconds(report.jitter),
            delay_us: percentiles(|part| report.delay(part)),
            delay_variation_us: percentiles(|part| report.delay_variation(part)),
            confirmed: report.confirmed,
            ended: report.ended,
        }
    }
}

/// A stream by its ends, with its run where it is not the first: `10.0.0.1:6000 > 239.1.1.1:5001 eth0
/// (run 2)`.
pub(super) fn ends(report: &StreamReport) -> String {
    let interface = &report.interface;
    let run = match report.run {
        1 => String::new(),
        run => format!(" (run {run})"),
    };
    safe_lines(&format!(
        "{} > {} {interface}{run}",
        named(report.source, interface),
        named(report.destination, interface)
    ))
}

fn percentiles(of: impl Fn(f64) -> Option<Duration>) -> Option<Percentiles> {
    let at = |part| of(part).map(microseconds);
    Some(Percentiles {
        p50: at(0.5)?,
        p99: at(0.99)?,
        p999: at(0.999)?,
    })
}

pub(super) fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

/// A stream over an interval, on a line.
#[derive(Serialize)]
pub(super) struct Interval {
    event: &'static str,
    #[serde(flatten)]
    stream: Stream,
    /// In seconds since the stream began.
    start: f64,
    #[serde(skip)]
    text: String,
}

impl Interval {
    pub(super) fn new(report: &StreamReport) -> Self {
        let stream = Stream::from(report);
        let counters = &report.counters;
        let start = report.start.as_secs_f64();
        let mut text = format!(
            "{start:.1}–{:.1} s  {}  {}, {}, {} lost",
            (report.start + report.duration).as_secs_f64(),
            ends(report),
            counted(counters.datagrams, "datagram"),
            bits(stream.bits_per_second),
            Loss(counters.lost, counters.expected())
        );
        for (most, count, what) in [
            ("at most ", counters.kernel_dropped, "dropped by the kernel"),
            ("", counters.duplicated, "duplicated"),
            ("", counters.reordered, "reordered"),
            ("", counters.stale, "too late to tell"),
        ] {
            if count > 0 {
                text += &format!(", {most}{} {what}", grouped(count));
            }
        }
        text += &format!(", jitter {}", Exact(report.jitter));
        if let Some(delay) = report.delay(0.5) {
            text += &format!(", delay {}", Exact(delay));
        }
        Self {
            event: "interval",
            stream,
            start: (start * 1e6).round() / 1e6,
            text,
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A stream that made room for another, over its whole length.
#[derive(Serialize)]
pub(super) struct Freed {
    event: &'static str,
    #[serde(flatten)]
    stream: Stream,
    #[serde(skip)]
    text: String,
}

impl Freed {
    pub(super) fn new(report: &StreamReport) -> Self {
        Self {
            event: "freed",
            stream: report.into(),
            text: paragraph(report) + "\n",
        }
    }
}

impl fmt::Display for Freed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All streams, at the end.
#[derive(Serialize)]
pub(super) struct Summary {
    event: &'static str,
    streams: Vec<Stream>,
    malformed: u64,
    untracked: u64,
    unconfirmed: u64,
    /// What this host's kernel dropped on all streams together, also after the last datagram that
    /// came, and whether it is known exactly; if not, it is the least.
    dropped: u64,
    dropped_exact: bool,
    #[serde(skip)]
    text: String,
}

impl Summary {
    pub(super) fn new(reports: &[StreamReport], stats: ReceiverStats, dropped: Dropped) -> Self {
        let (confirmed, single): (Vec<_>, Vec<_>) =
            reports.iter().partition(|report| report.confirmed);
        let mut paragraphs: Vec<_> = confirmed.into_iter().map(paragraph).collect();
        if paragraphs.is_empty() {
            paragraphs.push("no stream came".to_owned());
        }
        match single.len() as u64 + stats.unconfirmed {
            0 => {}
            single => paragraphs.push(format!(
                "a single datagram came from {}; one alone is no stream",
                counted(single, "source")
            )),
        }
        if dropped.count > 0 {
            let dropped = what_was_dropped(dropped);
            paragraphs.push(format!("{dropped}, of all streams together"));
        }
        Self {
            event: "summary",
            streams: reports.iter().map(Into::into).collect(),
            malformed: stats.malformed,
            untracked: stats.untracked,
            unconfirmed: stats.unconfirmed,
            dropped: dropped.count,
            dropped_exact: dropped.is_exact,
            text: paragraphs.join("\n\n"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn paragraph(report: &StreamReport) -> String {
    let stream = Stream::from(report);
    let Counters {
        datagrams,
        bytes,
        lost,
        kernel_dropped,
        duplicated,
        reordered,
        stale,
        ..
    } = report.counters;
    let hops = match report.hops {
        Some((least, most)) if least == most => format!(", hop limit {least}"),
        Some((least, most)) => format!(", hop limit {least} to {most}"),
        None => String::new(),
    };
    let mut text = ends(report) + &hops;
    let mut line = |name: &str, value: String| text += &format!("\n  {name:<12} {value}");
    let span = Span(report.duration);
    line(
        "received",
        format!(
            "{}, {} in {span}",
            counted(datagrams, "datagram"),
            counted(bytes, "byte")
        ),
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was rounded"
    )]
    let rate = stream.datagrams_per_second as u64;
    line(
        "rate",
        format!(
            "{} datagrams/s, {}",
            grouped(rate),
            bits(stream.bits_per_second)
        ),
    );
    let mut loss = format!(
        "{} of {}",
        Loss(lost, report.counters.expected()),
        grouped(report.counters.expected())
    );
    if lost > 0 {
        let rest = lost - kernel_dropped;
        loss += &match kernel_dropped {
            0 => "; none for want of buffer here".to_owned(),
            dropped => format!(
                "; at most {} for want of buffer here, {} elsewhere",
                grouped(dropped),
                grouped(rest)
            ),
        };
    }
    if report.first_number > 1 {
        loss += &format!("; it began with number {}", grouped(report.first_number));
    }
    line("lost", loss);
    line("duplicated", grouped(duplicated));
    line("reordered", grouped(reordered));
    if stale > 0 {
        line(
            "too late",
            format!("{} to tell whether they came before", grouped(stale)),
        );
    }
    line("jitter", Exact(report.jitter).to_string());
    let spread = |at: &dyn Fn(f64) -> Option<Duration>| {
        let [half, most, almost] = [0.5, 0.99, 0.999].map(|part| at(part).unwrap_or_default());
        format!(
            "50 % within {}, 99 % {}, 99.9 % {}",
            Exact(half),
            Exact(most),
            Exact(almost)
        )
    };
    if report.clocks_agree() {
        line("delay", spread(&|part| report.delay(part)));
    } else {
        line("delay", "not known: the clocks do not agree".to_owned());
    }
    line("variation", spread(&|part| report.delay_variation(part)));
    text
}

/// A time as it is measured: `0.4 µs`, `350.2 µs`, `1.4 ms`.
pub(super) struct Exact(pub(super) Duration);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.as_secs_f64() * 1e6;
        if microseconds < 1e3 {
            write!(f, "{microseconds:.1} µs")
        } else {
            Span(self.0).fmt(f)
        }
    }
}

/// So many of so many: `3 (0.12 %)`.
pub(super) struct Loss(pub(super) u64, pub(super) u64);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lost, of) = *self;
        if lost == 0 {
            return f.write_str("0");
        }
        let percent = lost as f64 * 100.0 / of.max(1) as f64;
        write!(f, "{} ({} %)", grouped(lost), significant(percent))
    }
}

/// A rate with its unit: `12.3 Gbit/s`.
pub(super) fn bits(bits: f64) -> String {
    let (number, unit) = match bits {
        bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
        bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
        bits if bits >= 1e3 => (bits / 1e3, "kbit/s"),
        bits => (bits, "bit/s"),
    };
    format!("{} {unit}", significant(number))
}

/// With three digits or more.
fn significant(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number if number >= 1.0 => format!("{number:.2}"),
        number if number >= 0.01 => format!("{number:.3}"),
        number => format!("{number:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(bits(12_345_678_901.0), "12.3 Gbit/s");
        assert_eq!(bits(999.0), "999 bit/s");
        assert_eq!(Loss(1, 1_000_000).to_string(), "1 (0.00010 %)");
        assert_eq!(Loss(1_234, 10_000).to_string(), "1,234 (12.3 %)");
        assert_eq!(Loss(0, 0).to_string(), "0");
    }
}
