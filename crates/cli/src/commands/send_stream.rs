//! `manycast send-stream`

use std::fmt;
use std::io;
use std::time::Duration;

use anyhow::bail;
use manycast::transfer::files::Stop;
use manycast::transfer::stream::{self, Error, StreamSendOptions, StreamSent};
use manycast::{Address, SenderConfig, SocketConfig};
use serde::Serialize;

use super::send_files::{Parity, is_absent, parity};
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
is not sent again. With --receivers and --receiver it waits until they are there, and the slowest of \
them slows it down; others may be left behind, and then say so.

The exit code is 0 if all that were expected have all of it, and 1 otherwise. Where none is expected, \
0 says that all was sent, not that anybody has it.";

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
    /// How many receivers are expected
    #[arg(long, value_name = "N", value_parser = values::count)]
    receivers: Option<u64>,
    /// A receiver that is expected, by its name; can be repeated
    #[arg(long, value_name = "NAME")]
    receiver: Vec<String>,
    /// Parity sent unasked with each 64 packets: 0 to 64, or auto: none where receivers are expected,
    /// else 8
    #[arg(long, value_name = "N", default_value = "auto", value_parser = parity)]
    parity: Parity,
    /// How long to wait for receivers at the beginning
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    wait: Duration,
    /// Interface by name, index or address
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Hop limit; groups: 1 by default, which stays on the link; hosts: the system's, often 64
    #[arg(long, value_name = "N", value_parser = values::hops)]
    hops: Option<u8>,
    /// Local address to send from, with a port if wanted, or :PORT alone
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::local)]
    from: Option<Address>,
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
    options.names = args.receiver;
    options.receivers = usize::try_from(args.receivers.unwrap_or(0)).unwrap_or(usize::MAX);
    options.parity = args.parity.0;
    options.wait = args.wait;
    options.sender = SenderConfig::default().socket(socket);
    options.sender.from = args.from;
    output.note_in_text(expectation(&options));
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
        Err(error) if is_absent(&error) => {
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

/// What is waited for, and what the exit code will tell.
fn expectation(options: &StreamSendOptions) -> String {
    let names = options.names.iter().map(|it| Escaped(it).to_string());
    let names: Vec<_> = names.collect();
    let who = match (options.receivers > names.len(), names.is_empty()) {
        (false, true) => {
            return "no receiver is expected, so nobody is waited for, and exit code 0 says that all \
                    was sent, not that anybody has it"
                .to_owned();
        }
        (true, true) => counted(options.receivers as u64, "receiver"),
        (true, false) => format!(
            "{}, among them {}",
            counted(options.receivers as u64, "receiver"),
            names.join(", ")
        ),
        (false, false) => names.join(", "),
    };
    format!("waiting for {who}, for at most {}", Span(options.wait))
}

/// What came of it.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'static str,
    /// Nothing where nobody was expected: then it is not known.
    complete: Option<bool>,
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
        let is_known = sent.stopped || !sent.receivers.is_empty();
        Self {
            event: "sent",
            complete: is_known.then(|| sent.is_complete()),
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
