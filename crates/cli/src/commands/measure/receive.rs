//! `manycast measure receive`

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use manycast::proto::measure::{Receiver, ReceiverConfig, ReceiverEvent, StreamReport};
use manycast::{Address, Driver, Dropped, Listener, Next, SocketConfig};

use super::histogram::Drawing;
use super::report::{Freed, Interval, Loss, Summary, ends};
use crate::Outcome;
use crate::cli::HELP;
use crate::commands::listen::{announce, warn_of_buffer};
use crate::commands::to_listen_on;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, counted, grouped, named, what_was_dropped};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast measure receive 239.1.1.1:5001                      # until Ctrl-C
  manycast measure receive 239.1.1.1:5001 10.0.0.5@232.1.1.1:5001 --duration 1m
  manycast measure receive :5001 --expect 1 --max-loss 0.1%    # in a test: exit code 1 if not
  manycast measure receive 239.1.1.1:5001 --histogram";

const EXPLANATION: &str = "\
Lost are all numbers between the first and the last that did not come; of these, those that this \
host's own kernel dropped are told apart from those that the network lost. A sender that is started \
anew from the same port begins a new run, which is measured by itself. Of whom one datagram alone \
came is no sender: anybody can forge it. Reordered is what came \
after a greater number (RFC 4737), jitter is that of RFC 3550, and variation is the delay beyond the \
least one (RFC 3393). The delay itself is told where the clocks of both ends seem to agree: where \
the least one is from 0 to 1 s.";

/// Measure each stream that comes
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(super) struct Args {
    /// Where to listen: GROUP:PORT, SOURCE@GROUP:PORT, or :PORT for this host's own addresses
    #[arg(required = true)]
    address: Vec<Address>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Stop after this time [default: at Ctrl-C, or when the EXPECTed senders have ended]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,
    /// How often to tell of each stream; 0 for the summary alone
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    interval: Duration,
    /// Stop when so many senders have ended; exit code 1 if fewer came
    #[arg(long, value_name = "N", value_parser = senders)]
    expect: Option<u64>,
    /// Exit code 1 if a stream lost more than this part, such as 0.1%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_loss: Option<f64>,
    /// Draw the delays of each stream at the end
    #[arg(long)]
    histogram: bool,
}

/// As many senders as are expected are measured at once, up to so many. Each takes up to 80 KB.
const MOST_STREAMS: usize = 4_096;

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let addresses = to_listen_on(&args.address, &args.interface)?;
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut listener = Listener::open(&addresses, SocketConfig::default())?;
    interrupt.stops(listener.stopper()?);
    let buffer = announce(&listener, &addresses, output)?;

    let receiver = Receiver::new(
        args.config(),
        Instant::now(),
        SystemTime::now(),
        manycast::seed(),
    );
    let mut driver = Driver::new(listener, receiver);
    let mut verdict = Verdict::new(args.max_loss);
    while let Next::Event(event) = driver.next_event(None)? {
        match event {
            ReceiverEvent::Began {
                source,
                destination,
                interface,
            } => output.detail(format_args!(
                "{} > {} {interface} begins",
                named(source, &interface),
                named(destination, &interface)
            )),
            ReceiverEvent::Interval(streams) => {
                for stream in &streams {
                    output.report(&Interval::new(stream))?;
                }
                output.flush()?;
            }
            ReceiverEvent::Freed(stream) => {
                output.report(&Freed::new(&stream))?;
                output.flush()?;
                verdict.judge(&stream);
            }
            // The driver tells the end too.
            _ => {}
        }
    }
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    let dropped = driver.endpoint().dropped();
    let receiver = driver.protocol();
    let (streams, stats) = (receiver.streams().collect::<Vec<_>>(), receiver.stats());
    output.report(&Summary::new(&streams, stats, dropped))?;
    if args.histogram && !output.is_json() {
        for stream in streams.iter().filter(|stream| stream.confirmed) {
            output.text(format_args!("\n{}\n", Drawing::new(stream)))?;
        }
    }
    output.flush()?;
    warn_of_buffer(buffer, dropped, output);
    if stats.malformed > 0 {
        output.warn(format_args!(
            "{} came without the header of 'manycast measure send' and iperf: something else sends \
             there",
            counted(stats.malformed, "datagram")
        ));
    }
    if stats.untracked > 0 {
        output.warn(format_args!(
            "{} came of more streams than are measured at once",
            counted(stats.untracked, "datagram")
        ));
    }
    streams.iter().for_each(|stream| verdict.judge(stream));
    verdict.judge_dropped(dropped, receiver.dropped());
    // Whoever ends it by hand has waited for nothing in particular.
    let unnamed = u64::from(!interrupt.is_requested());
    verdict.judge_senders(args.expect, unnamed);
    Ok(verdict.outcome)
}

impl Args {
    fn config(&self) -> ReceiverConfig {
        let defaults = ReceiverConfig::default();
        let expect = self
            .expect
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        ReceiverConfig {
            interval: self.interval,
            duration: self.duration,
            expect,
            max_streams: expect
                .unwrap_or_default()
                .clamp(defaults.max_streams, MOST_STREAMS),
        }
    }
}

/// Whether all is as it should be; what is not is told at once.
struct Verdict {
    outcome: Outcome,
    max_loss: Option<f64>,
    senders: HashSet<SocketAddr>,
    lost: u64,
    expected: u64,
}

impl Verdict {
    fn new(max_loss: Option<f64>) -> Self {
        Self {
            outcome: Outcome::Done,
            max_loss,
            senders: HashSet::new(),
            lost: 0,
            expected: 0,
        }
    }

    fn judge(&mut self, stream: &StreamReport) {
        // Peers choose how many sources there are.
        if stream.confirmed && self.senders.len() < MOST_STREAMS {
            self.senders.insert(stream.source);
        }
        let counters = &stream.counters;
        self.lost += counters.lost;
        self.expected += counters.expected();
        if let Some(most) = self.max_loss
            && counters.loss() > most
        {
            self.outcome = Outcome::No;
            output::problem(format_args!(
                "{} lost {} of {}, more than {} %",
                ends(stream),
                Loss(counters.lost, counters.expected()),
                grouped(counters.expected()),
                most * 100.0
            ));
        }
    }

    /// What was dropped after the last datagram that came is missing in no stream's numbers. `seen`
    /// was dropped before it. Both count buffers, of which each holds one datagram at least.
    fn judge_dropped(&mut self, dropped: Dropped, seen: u64) {
        let unseen = dropped.count.saturating_sub(seen);
        let (lost, expected) = (self.lost + unseen, self.expected + unseen);
        if let Some(most) = self.max_loss
            && unseen > 0
            && lost as f64 / expected as f64 > most
        {
            self.outcome = Outcome::No;
            output::problem(format_args!(
                "{} after the last that came, so more than {} % are lost",
                what_was_dropped(Dropped::new(unseen, dropped.is_exact)),
                most * 100.0
            ));
        }
    }

    /// Without an expectation, `least` senders are expected, and the summary has told that fewer came.
    fn judge_senders(&mut self, expect: Option<u64>, least: u64) {
        let came = self.senders.len() as u64;
        if came < expect.unwrap_or(least) {
            self.outcome = Outcome::No;
        }
        if let Some(expect) = expect
            && came < expect
        {
            output::problem(format_args!(
                "{} came, {} expected",
                counted(came, "sender"),
                grouped(expect)
            ));
        }
    }
}

/// How many senders are expected.
fn senders(text: &str) -> Result<u64, String> {
    match values::count(text)? {
        count if count > MOST_STREAMS as u64 => Err(format!(
            "{text:?} are more senders than are measured at once; write {MOST_STREAMS} or less"
        )),
        count => Ok(count),
    }
}

/// A part of a hundred, as a fraction: `0.1%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(str::trim_end).map(str::parse);
    match number {
        Some(Ok(percent)) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("{text:?} is not a percentage; write 0.1% or 0%")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Verdict, percent, senders};
    use manycast::Dropped;

    /// Two datagrams in a hundred came after the last that the streams saw, whatever was lost before.
    #[test]
    fn what_was_dropped_after_the_last_datagram_is_judged_by_what_was_seen() {
        for (count, seen, outcome) in [
            (12, 10, Outcome::No),
            (10, 10, Outcome::Done),
            (11, 10, Outcome::Done),
        ] {
            let mut verdict = Verdict::new(Some(0.015));
            // In the lost there may be many datagrams for each buffer that was dropped.
            verdict.expected = 98;
            verdict.judge_dropped(Dropped::new(count, true), seen);
            assert_eq!(verdict.outcome, outcome, "{count} {seen}");
        }
    }

    #[test]
    fn no_more_senders_are_expected_than_are_measured() {
        assert_eq!(senders("4096"), Ok(4096));
        assert!(senders("4097").unwrap_err().contains("write 4096 or less"));
        assert!(senders("0").is_err());
    }

    #[test]
    fn percentages_have_their_sign() {
        assert_eq!(percent("0.1%"), Ok(0.001));
        assert_eq!(percent("100 %"), Ok(1.0));
        for wrong in ["0.1", "101%", "-1%", "%", "NaN%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
