//! `manycast send-stream`

use std::fmt;
use std::io;
use std::time::Duration;

use anyhow::bail;
use manycast::transfer::files::Stop;
use manycast::transfer::stream::{self, Error, StreamSendOptions, StreamSent};
use manycast::{Address, SenderConfig, SocketConfig};
use serde::Serialize;

use crate::Outcome;
use crate::cli::HELP;
use crate::commands::send::destinations;
use crate::interrupt::Interrupt;
use crate::output::{Escaped, Output, Span, counted};
use crate::values::{self, Interfaces, Rate};

const EXAMPLES: &str = "\
Examples:
  manycast send-stream 239.192.0.8:5014 --receiver lab1        # what is typed, until Ctrl-D
  tar c . | manycast send-stream 239.192.0.8:5014 --receiver lab1 --receiver lab2
  producer | manycast send-stream 239.192.0.8:5014 --rate 20M";

const EXPLANATION: &str = "\
Each host runs 'manycast receive-stream ADDRESS', and listens before this begins: what was sent before \
is not sent again. With --receiver it waits until they are there, and the slowest of them slows it \
down; others may be left behind, and then say so. It is 0 if all that were expected have all of it, \
and 1 otherwise.";

/// Send standard input to many, reliably and in order
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to send: GROUP:PORT or HOST:PORT
    address: Address,
    /// Bits per second, such as 100M or 1G
    #[arg(long, value_name = "BITRATE", default_value = "100M", value_parser = values::rate)]
    rate: Rate,
    /// Follow what the network carries, beside other flows; then BITRATE is the most
    #[arg(long)]
    congestion_control: bool,
    /// A receiver that is expected, by its name; can be repeated
    #[arg(long, value_name = "NAME")]
    receiver: Vec<String>,
    /// Parity sent unasked with each 64 packets, 0 to 64 [default: none where receivers are expected,
    /// else 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=64))]
    parity: Option<u8>,
    /// How long to wait for receivers at the beginning
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    wait: Duration,
    /// Interface by name, index or address
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Hop limit; groups: 1 by default, which stays on the link; hosts: the system's, often 64
    #[arg(long, value_name = "N", value_parser = values::hops)]
    hops: Option<u8>,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let addresses = destinations(&args.address, &args.interface)?;
    let [address] = &addresses[..] else {
        bail!("a stream goes by one interface; name one with -i");
    };
    let mut socket = SocketConfig::default();
    if let Some(hops) = args.hops {
        socket = socket.multicast_hops(hops).unicast_hops(Some(hops));
    }
    let mut options = StreamSendOptions::default();
    options.rate = args.rate.bits();
    options.congestion_control = args.congestion_control;
    options.receivers = args.receiver;
    options.parity = args.parity;
    options.wait = args.wait;
    options.sender = SenderConfig::default().socket(socket);
    let stop = Stop::default();
    interrupt.then({
        let stop = stop.clone();
        move || stop.stop()
    });
    let sent = stream::send_stream(address.clone(), io::stdin(), &options, &stop);
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    let sent = match sent {
        Err(Error::Stopped) => {
            output.note("stopped before anything was sent");
            return Ok(Outcome::No);
        }
        // The answer is "no": somebody is not there.
        Err(error @ Error::Absent(_)) => {
            crate::output::problem(&error);
            return Ok(Outcome::No);
        }
        sent => sent?,
    };
    output.report(&Sent::new(&sent))?;
    output.flush()?;
    Ok(match sent.is_complete() {
        true => Outcome::Done,
        false => Outcome::No,
    })
}

/// What came of it.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'static str,
    complete: bool,
    stopped: bool,
    bytes: u64,
    seconds: f64,
    datagrams: u64,
    repairs: u64,
    receivers: Vec<Has<'a>>,
    #[serde(skip)]
    elapsed: Duration,
}

#[derive(Serialize)]
struct Has<'a> {
    receiver: &'a str,
    complete: bool,
}

impl<'a> Sent<'a> {
    fn new(sent: &'a StreamSent) -> Self {
        let has = sent.receivers.iter();
        Self {
            event: "sent",
            complete: sent.is_complete(),
            stopped: sent.stopped,
            bytes: sent.bytes,
            seconds: sent.elapsed.as_secs_f64(),
            datagrams: sent.datagrams,
            repairs: sent.repairs,
            receivers: has
                .map(|(receiver, complete)| Has {
                    receiver,
                    complete: *complete,
                })
                .collect(),
            elapsed: sent.elapsed,
        }
    }
}

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for receiver in &self.receivers {
            let has = match receiver.complete {
                true => "has all",
                false => "has not said that it has all",
            };
            writeln!(f, "{} {has}", Escaped(receiver.receiver))?;
        }
        if self.receivers.is_empty() {
            f.write_str("no receiver was expected; ")?;
        }
        if self.stopped {
            f.write_str("stopped; ")?;
        }
        let (bytes, repairs) = (counted(self.bytes, "byte"), counted(self.repairs, "repair"));
        write!(f, "{bytes} in {}, {repairs}", Span(self.elapsed))
    }
}
