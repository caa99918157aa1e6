//! `manycast measure send`

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use manycast::proto::measure::{
    self as protocol, MIN_SIZE, SenderConfig as StreamConfig, SenderEvent, SenderStats,
    ServerReport,
};
use manycast::proto::refusal::Refusal;
use manycast::{Address, Driver, Next, Sender, SocketConfig};
use serde::Serialize;

use super::report::{Exact, Loss, bits, microseconds};
use crate::Outcome;
use crate::cli::HELP;
use crate::commands::send::{destinations, open_sender, warn_of_interface};
use crate::interrupt::Interrupt;
use crate::output::{self, Output, SentReport, Span, counted, grouped, named};
use crate::values::{self, Interfaces, Rate};

const EXAMPLES: &str = "\
Examples:
  manycast measure send 239.1.1.1:5001 --rate 50M              # to a group, for ten seconds
  manycast measure send 239.1.1.1:5001 -i eth0 --hops 8        # by one interface, across routers
  manycast measure send 192.0.2.7:5001 --rate max --size 8900  # to a host, as fast as it goes
  manycast measure send 192.0.2.7:5001 --count 1000            # a thousand datagrams";

const EXPLANATION: &str = "\
A rate is held within 1 % over any second, in bursts of at most a millisecond of data. That takes \
hardly any processor time; bursts shorter than 500µs take a part of one core, for exact waiting. A \
host answers at the end with what it received; a group never does. A host that refuses the datagrams \
is given up after a second, so that its receiver may be started a little later.";

/// Send a stream of numbered datagrams
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(super) struct Args {
    /// Where to send: GROUP:PORT or HOST:PORT; iperf's port is 5001
    address: Address,
    /// Bytes of payload in a datagram, from 12
    #[arg(long, value_name = "N", default_value = "1316", value_parser = size)]
    size: usize,
    /// Bits of payload per second, such as 50M or 1G, or max
    #[arg(long, default_value = "1M", value_name = "BITRATE")]
    rate: Speed,
    /// The longest burst in which the rate is held, as time at that rate
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = values::burst)]
    burst: Duration,
    /// How long to send [default: 10s, without COUNT]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,
    /// Send so many datagrams
    #[arg(short, long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Hop limit; groups: 1 by default, which stays on the link; hosts: the system's, often 64
    #[arg(long, value_name = "N", value_parser = values::hops)]
    hops: Option<u8>,
    /// Local address to send from, with a port if wanted, or :PORT alone
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::local)]
    from: Option<Address>,
}

/// Bits per second, or as many as go.
#[derive(Clone, Copy, Debug)]
enum Speed {
    At(Rate),
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            _ => values::rate(text)
                .map(Self::At)
                .map_err(|wrong| format!("{wrong}, or max")),
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    match values::piece(text)? {
        size @ MIN_SIZE.. => Ok(size),
        size => Err(format!(
            "{size} bytes do not hold the number and the time; write {MIN_SIZE} or more"
        )),
    }
}

/// Bursts shorter than this need a wait that is exact.
const EXACT: Duration = Duration::from_micros(500);

/// Over a second and more, a rate is held within this part.
const HELD: f64 = 0.99;
const JUDGED: Duration = Duration::from_secs(1);

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let mut senders = Vec::new();
    for address in destinations(&args.address, &args.interface)? {
        senders.push(open(address, &args, output)?);
    }
    let egresses: Vec<_> = senders.iter().map(|sender| sender.sent(0)).collect();
    let mut streams = Vec::new();
    for (sender, egress) in senders.into_iter().zip(&egresses) {
        let stream =
            protocol::Sender::new(args.stream(egress.to), Instant::now(), SystemTime::now());
        let mut driver = Driver::new(sender, stream);
        driver.set_exact(args.burst < EXACT);
        streams.push(driver);
    }
    let mut commands = Vec::new();
    for driver in &mut streams {
        commands.push(driver.commands()?);
    }
    interrupt.then(move || {
        for stream in &commands {
            stream.give(|stream, now| stream.finish(now));
        }
    });

    let tell = (!output.is_json()).then(|| output.noter());
    let (interrupt, tell) = (&interrupt, tell.as_ref());
    // Each interface is as fast as it is, so each has a thread.
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = streams
            .into_iter()
            .zip(&egresses)
            .map(|(driver, egress)| {
                let to = egress.to;
                scope.spawn(move || send(driver, to, interrupt, tell))
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().expect("sending does not panic")
        };
        threads.into_iter().map(join).collect()
    });

    if interrupt.is_requested() {
        output.after_interrupt();
    }
    let mut outcome = Outcome::Done;
    let mut sum = SenderStats::default();
    let mut slowest = f64::INFINITY;
    let mut failure = None;
    for (egress, result) in egresses.iter().zip(results) {
        let Sent {
            stats,
            report,
            failure: reason,
        } = result?;
        failure = reason.or(failure);
        sum.unsent += stats.unsent;
        sum.datagrams += stats.datagrams;
        sum.bytes += stats.bytes;
        sum.duration = sum.duration.max(stats.duration);
        if stats.duration >= JUDGED {
            slowest = slowest.min(bits_per_second(&stats));
        }
        let to = named(egress.to, &egress.interface);
        match report {
            Some(report) => {
                let report = Reported::new(&report, to);
                output.object(&report)?;
                output.note_in_text(report);
            }
            None if stats.refused > 0 => {
                outcome = Outcome::No;
                output::problem(format_args!(
                    "nobody listens on {to}: the host refused the datagrams; start 'manycast \
                     measure receive' or 'iperf -s -u' there first, or within a second"
                ));
            }
            None if !egress.to.ip().is_multicast() => {
                output.note_in_text(format_args!("{to} did not report what it received"));
            }
            None => {}
        }
    }
    if let Speed::At(rate) = args.rate
        && slowest < rate.bits() as f64 * HELD
    {
        outcome = Outcome::No;
        let why = match sum.unsent {
            0 => "this host was too busy, try a longer --burst",
            _ => "this host did not take all",
        };
        output::problem(format_args!(
            "the rate was not held: {} of {}; {why}",
            bits(slowest),
            bits(rate.bits() as f64)
        ));
    }
    if sum.unsent > 0 {
        let unsent = counted(sum.unsent, "datagram");
        match failure {
            Some(failure) => output.note(format_args!("{unsent} not sent; the last: {failure}")),
            None => output.note(format_args!("{unsent} not sent")),
        }
        if sum.datagrams == 0 {
            outcome = Outcome::No;
        }
    }
    output.report(&Summary::from(sum))?;
    output.flush()?;
    Ok(outcome)
}

/// So often it tells how it goes, and looks whether the host refuses.
const PROGRESS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

/// How long a stream may take to end in good order before its time: its end is announced for a second to a
/// host that does not answer. Where the send buffer stays full, it cannot be announced.
const ENDING: Duration = Duration::from_millis(1500);

/// Sends a stream to its end, or until the host has refused it for long.
fn send(
    mut driver: Driver<protocol::Sender>,
    to: SocketAddr,
    interrupt: &Interrupt,
    tell: Option<&impl Fn(&str)>,
) -> Result<Sent, manycast::Error> {
    let begin = Instant::now();
    let (mut told, mut told_at) = (SenderStats::default(), begin);
    let (mut refusal, mut refused) = (Refusal::default(), 0);
    let stopper = driver.stopper()?;
    // Since when it is to end before its time.
    let mut ending = None;
    let report = loop {
        match driver.next_event(Some(LOOK))? {
            Next::Event(SenderEvent::Finished(report)) => break report,
            Next::Finished => break None,
            Next::Event(_) | Next::TimedOut => {}
        }
        let (now, stats) = (Instant::now(), driver.protocol().stats());
        if stats.refused > refused {
            refused = stats.refused;
            refusal.note(now, to);
        }
        if refusal.lasting().is_some() {
            // Nobody listens, so nothing of the rest would be taken.
            driver.protocol_mut().finish(now);
            ending.get_or_insert(now);
        }
        if interrupt.is_requested() {
            ending.get_or_insert(now);
        }
        if ending.is_some_and(|since| now - since >= ENDING) {
            stopper.stop();
        }
        if now - told_at >= PROGRESS && !driver.protocol().is_closing() {
            if let Some(tell) = tell {
                tell(&progress(&told, &stats, begin.elapsed()));
            }
            (told, told_at) = (stats, now);
        }
    };
    Ok(Sent {
        stats: driver.protocol().stats(),
        report,
        failure: driver.protocol().failure().map(ToString::to_string),
    })
}

/// What was sent since it was told last. What was told then may have been on its way to the kernel, which
/// did not take it.
fn progress(told: &SenderStats, stats: &SenderStats, elapsed: Duration) -> String {
    format!(
        "{:.0} s  {}, {} sent",
        elapsed.as_secs_f64(),
        counted(stats.datagrams.saturating_sub(told.datagrams), "datagram"),
        counted(stats.bytes.saturating_sub(told.bytes), "byte")
    )
}

impl Args {
    fn stream(&self, destination: SocketAddr) -> StreamConfig {
        let defaults = StreamConfig::new(destination);
        StreamConfig {
            size: self.size,
            rate: match self.rate {
                Speed::At(rate) => Some(rate.bits()),
                Speed::Max => None,
            },
            burst: self.burst,
            duration: match self.count {
                Some(_) => self.duration,
                None => self.duration.or(defaults.duration),
            },
            count: self.count,
            ..defaults
        }
    }
}

/// A sender, which is told of.
fn open(address: Address, args: &Args, output: &Output) -> anyhow::Result<Sender> {
    let sender = open_sender(
        address,
        args.from.clone(),
        args.hops,
        SocketConfig::default(),
    )?;
    warn_of_interface(&sender, output)?;
    output.note_in_text(format_args!(
        "sending datagrams of {} to {}",
        counted(args.size as u64, "byte"),
        SentReport::from(&sender.sent(0)).egress()
    ));
    Ok(sender)
}

/// What came of one stream.
struct Sent {
    stats: SenderStats,
    report: Option<ServerReport>,
    /// Why the last of those that were not sent was not.
    failure: Option<String>,
}

/// What the receiver says.
#[derive(Serialize)]
struct Reported {
    event: &'static str,
    from: String,
    datagrams: u32,
    bytes: u64,
    seconds: f64,
    lost: u32,
    reordered: u32,
    jitter_us: f64,
    #[serde(skip)]
    report: ServerReport,
}

impl Reported {
    fn new(report: &ServerReport, from: String) -> Self {
        Self {
            event: "report",
            from,
            datagrams: report.datagrams,
            bytes: report.bytes,
            seconds: report.duration.as_secs_f64(),
            lost: report.lost,
            reordered: report.reordered,
            jitter_us: microseconds(report.jitter),
            report: *report,
        }
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, .. } = self;
        write!(
            f,
            "the receiver reports {} in {}, {} of {} lost, {} reordered, jitter {}",
            counted(report.bytes, "byte"),
            Span(report.duration),
            Loss(report.lost.into(), report.datagrams.into()),
            grouped(report.datagrams.into()),
            grouped(report.reordered.into()),
            Exact(report.jitter)
        )
    }
}

/// Bits of payload; 0 where all went at once.
fn bits_per_second(stats: &SenderStats) -> f64 {
    let seconds = stats.duration.as_secs_f64();
    if seconds > 0.0 {
        stats.bytes as f64 * 8.0 / seconds
    } else {
        0.0
    }
}

/// What was sent, by all interfaces together.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    datagrams: u64,
    unsent: u64,
    bits_per_second: f64,
    #[serde(skip)]
    stats: SenderStats,
}

impl From<SenderStats> for Summary {
    fn from(stats: SenderStats) -> Self {
        Self {
            event: "summary",
            datagrams: stats.datagrams,
            unsent: stats.unsent,
            bits_per_second: bits_per_second(&stats).round(),
            stats,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datagrams = counted(self.datagrams, "datagram");
        let bytes = counted(self.stats.bytes, "byte");
        write!(f, "sent {datagrams}, {bytes}")?;
        // What went at once has no rate.
        if self.stats.duration.is_zero() {
            return Ok(());
        }
        let rate = bits(self.bits_per_second);
        write!(f, " in {}, {rate}", Span(self.stats.duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_and_then_not_taken_is_no_progress() {
        let mut told = SenderStats::default();
        (told.datagrams, told.bytes) = (64, 6400);
        assert_eq!(
            progress(&told, &SenderStats::default(), Duration::from_secs(2)),
            "2 s  0 datagrams, 0 bytes sent"
        );
    }
}
