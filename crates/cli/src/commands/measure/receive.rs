//! `manycast measure receive`

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use manycast::proto::measure::{Receiver, ReceiverConfig, ReceiverEvent, StreamReport};
use manycast::{Address, Driver, Listener, Next, SocketConfig};

use super::histogram::Drawing;
use super::report::{Interval, Loss, Summary};
use crate::Outcome;
use crate::cli::HELP;
use crate::commands::listen::announce;
use crate::commands::to_listen_on;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, counted, grouped, named};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast measure receive 239.1.1.1:5001                      # until Ctrl-C
  manycast measure receive 239.1.1.1:5001 10.0.0.5@232.1.1.1:5001 --duration 1m
  manycast measure receive :5001 --expect 1 --max-loss 0.1%    # in a test: exit code 1 if not
  manycast measure receive 239.1.1.1:5001 --histogram";

const EXPLANATION: &str = "\
Lost are all numbers between the first and the last that did not come; of these, those that this \
host's own kernel dropped are told apart from those that the network lost. Reordered is what came \
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
    #[arg(long, value_name = "N", value_parser = values::count)]
    expect: Option<u64>,
    /// Exit code 1 if a stream lost more than this part, such as 0.1%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_loss: Option<f64>,
    /// Draw the delays of each stream at the end
    #[arg(long)]
    histogram: bool,
}

/// Peers choose how many streams come; beyond so many, times are counted anew.
const MOST_STARTS: usize = 4_096;

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let addresses = to_listen_on(&args.address, &args.interface)?;
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut listener = Listener::open(&addresses, SocketConfig::default())?;
    interrupt.stops(listener.stopper()?);
    announce(&listener, &addresses, output)?;

    let begin = Instant::now();
    let config = ReceiverConfig {
        interval: args.interval,
        duration: args.duration,
        expect: args
            .expect
            .map(|it| usize::try_from(it).unwrap_or(usize::MAX)),
        ..ReceiverConfig::default()
    };
    let receiver = Receiver::new(config, begin, SystemTime::now());
    let mut driver = Driver::new(listener, receiver);
    // When the next interval of each stream begins, in time since its first one began.
    let mut starts = HashMap::new();
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
                if starts.len() > MOST_STARTS {
                    starts.clear();
                }
                for stream in &streams {
                    let key = (stream.source, stream.destination, stream.interface.index);
                    let start = starts.entry(key).or_insert(Duration::ZERO);
                    output.report(&Interval::new(stream, *start))?;
                    *start += stream.duration;
                }
                output.flush()?;
            }
            ReceiverEvent::Finished => {}
        }
    }
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    let receiver = driver.protocol();
    let streams: Vec<_> = receiver.streams().collect();
    output.report(&Summary::new(&streams))?;
    if args.histogram && !output.is_json() {
        for stream in &streams {
            output.text(format_args!("\n{}\n", Drawing::new(stream)))?;
        }
    }
    output.flush()?;
    let stats = receiver.stats();
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
    // Whoever ends it by hand has waited for nothing in particular.
    let unnamed = u64::from(!interrupt.is_requested());
    let least = args.expect.unwrap_or(unnamed);
    Ok(judge(&streams, least, &args))
}

/// Whether all is as it should be, and what is not.
fn judge(streams: &[StreamReport], least: u64, args: &Args) -> Outcome {
    let mut outcome = Outcome::Done;
    let senders: HashSet<_> = streams.iter().map(|stream| stream.source).collect();
    if (senders.len() as u64) < least {
        outcome = Outcome::No;
        // Without a number, "no stream came" has said it.
        if args.expect.is_some() {
            output::problem(format_args!(
                "{} came, {} expected",
                counted(senders.len() as u64, "sender"),
                grouped(least)
            ));
        }
    }
    let most = args.max_loss.unwrap_or(1.0);
    for stream in streams
        .iter()
        .filter(|stream| stream.counters.loss() > most)
    {
        outcome = Outcome::No;
        let counters = &stream.counters;
        output::problem(format_args!(
            "{} > {} lost {} of {}, more than {} %",
            named(stream.source, &stream.interface),
            named(stream.destination, &stream.interface),
            Loss(counters.lost, counters.expected()),
            grouped(counters.expected()),
            most * 100.0
        ));
    }
    outcome
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
    use super::percent;

    #[test]
    fn percentages_have_their_sign() {
        assert_eq!(percent("0.1%"), Ok(0.001));
        assert_eq!(percent("100 %"), Ok(1.0));
        for wrong in ["0.1", "101%", "-1%", "%", "NaN%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
