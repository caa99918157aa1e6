//! `manycast echo`

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use manycast::proto::ask::{Responder, ResponderConfig, ResponderEvent, ResponderStats, Silence};
use manycast::{
    Address, Datagram, Driver, Dropped, Listener, Next, SocketConfig, with_interface_name,
};
use serde::Serialize;

use super::listen::{announce, warn_of_buffer};
use super::to_listen_on;
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{
    DatagramReport, Escaped, Output, Payload, clock, counted, named, what_was_dropped,
};
use crate::values::Interfaces;

const EXAMPLES: &str = "\
Examples:
  manycast echo                                     # answer whatever comes to port 8888
  manycast echo :5005 --prefix OK...                # the answer to hello is OK...hello
  manycast echo 239.192.0.100:8888                  # answer questions to a group, by unicast
  ncat -u localhost 8888                            # a client that others wrote";

const EXPLANATION: &str = "\
It never answers a group, a broadcast address, port 0 or itself, and it does not play ping-pong with \
another echo server for ever.";

/// Answer each datagram with the same, from the address that was asked
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to listen
    #[arg(default_value = ":8888")]
    address: Address,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// What stands before the question in the answer
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: OsString,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let addresses = to_listen_on(&[args.address], &args.interface)?;
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut listener = Listener::open(&addresses, SocketConfig::default())?;
    interrupt.stops(listener.stopper()?);
    let buffer = announce(&listener, &addresses, output)?;

    let responder = Responder::new(config(args.prefix)?);
    let mut driver = Driver::new(listener, responder);
    loop {
        // What is printed waits in memory only as long as there is more to do at once.
        let mut next = driver.next_event(Some(Duration::ZERO))?;
        if next == Next::TimedOut {
            output.flush()?;
            next = driver.next_event(None)?;
        }
        let Next::Event(event) = next else { break };
        match event {
            ResponderEvent::Answered(question) => print(&question, output)?,
            ResponderEvent::Silent { source, why } => {
                let unanswered = Unanswered {
                    event: "unanswered",
                    source: with_interface_name(source).to_string(),
                    why: word(why),
                };
                output.object(&unanswered)?;
                let source = unanswered.source;
                output.detail(format_args!("{source} gets no answer: {why}"));
            }
            _ => {}
        }
    }
    output.flush()?;

    output.after_interrupt();
    let (stats, dropped) = (driver.protocol().stats(), driver.endpoint().dropped());
    warn_of_buffer(buffer, dropped, output);
    output.note(summary(stats, driver.unsent(), dropped));
    Ok(Outcome::Done)
}

fn config(prefix: OsString) -> anyhow::Result<ResponderConfig> {
    let interfaces = manycast::interfaces()?;
    let addresses = || interfaces.iter().flat_map(|interface| &interface.addresses);
    Ok(ResponderConfig {
        prefix: prefix.into_encoded_bytes().into(),
        own: addresses().map(|own| own.address).collect::<Vec<IpAddr>>(),
        broadcasts: addresses().filter_map(|own| own.broadcast).collect(),
        ..ResponderConfig::default()
    })
}

fn print(question: &Datagram, output: &mut Output) -> anyhow::Result<()> {
    let question = question.as_received();
    if output.is_json() {
        output.object(&DatagramReport::new("answered", &question))?;
    } else {
        let source = named(question.source, question.interface);
        let (source, payload) = (Escaped(&source), Stripped(question.payload));
        let clock = clock(question.time.unwrap_or_else(SystemTime::now));
        output.text(format_args!("{clock} Message[{source}] - {payload}\n"))?;
    }
    Ok(())
}

/// A payload without the space around it.
struct Stripped<'a>(&'a [u8]);

impl fmt::Display for Stripped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Payload::from(self.0) {
            Payload::Text(text) => Escaped(text.trim()).fmt(f),
            bytes @ Payload::Bytes(_) => bytes.fmt(f),
        }
    }
}

/// A question that gets no answer.
#[derive(Serialize)]
struct Unanswered {
    event: &'static str,
    source: String,
    why: &'static str,
}

const fn word(why: Silence) -> &'static str {
    match why {
        Silence::Unanswerable => "unanswerable",
        Silence::Itself => "itself",
        Silence::TooOften => "too-often",
        Silence::Loop => "loop",
        Silence::TooLong => "too-long",
        _ => "other",
    }
}

fn summary(stats: ResponderStats, unsent: u64, dropped: Dropped) -> String {
    let mut text = format!(
        "answered {} of {}",
        stats.answers,
        counted(stats.questions, "datagram")
    );
    let reasons = [
        (stats.unanswerable, Silence::Unanswerable),
        (stats.itself, Silence::Itself),
        (stats.too_often, Silence::TooOften),
        (stats.loops, Silence::Loop),
        (stats.too_long, Silence::TooLong),
    ];
    for (count, why) in reasons {
        if count > 0 {
            text += &format!("; not {count}: {why}");
        }
    }
    if unsent > 0 {
        text += &format!("; {} could not be sent", counted(unsent, "answer"));
    }
    if dropped.count > 0 {
        text += &format!("; {}", what_was_dropped(dropped));
    }
    text
}
