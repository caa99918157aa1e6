//! `manycast receive-files`

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use manycast::Address;
use manycast::SocketConfig;
use manycast::transfer::files::{Delivered, FileState, ReceiveEvent, ReceiveOptions, Receiving};
use serde::Serialize;

use super::send_files::{Table, bar, entries, percent, state_of, verified};
use crate::Outcome;
use crate::cli::HELP;
use crate::commands::to_listen_on;
use crate::interrupt::Interrupt;
use crate::output::{Escaped, Output, Span, counted};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast receive-files 239.192.0.7:5013                       # into this folder, until Ctrl-C
  manycast receive-files 239.192.0.7:5013 --into /srv --once    # one delivery
  manycast receive-files 10.0.0.5@232.1.1.1%eth0:5013 --once    # of one sender only (SSM)
  manycast receive-files :5013 --limit 2G -t 1m                 # as one host, with bounds";

const EXPLANATION: &str = "\
On the other host 'manycast send-files PATH ADDRESS' sends. A file comes under a temporary name beside \
its own, .manycast-*.part, and has its own once it is complete and has the right hash; so a reader \
never sees half a file. What is there already with the same content is not asked for again: a receiver \
that was broken off goes on where it was. Nothing is written outside of the folder, neither by .. nor \
by a link. There is no password: whoever can send to the address can write into the folder.

The exit code is 0 if each delivery that ended is complete, and 1 otherwise, or where none ended.";

/// Receive files and folders that are sent to many
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to listen: GROUP:PORT, SOURCE@GROUP:PORT or :PORT
    #[arg(required = true, num_args = 1..)]
    address: Vec<Address>,
    /// The folder to write into
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
    /// The name of this receiver, another one for each [default: that of this host]
    #[arg(long)]
    name: Option<String>,
    /// End after one delivery
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// End after so many deliveries
    #[arg(short, long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,
    /// End when nothing comes for so long
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// The bytes that a delivery may have, such as 100M [default: any number]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    limit: Option<u64>,
    /// Let a file take the place of one that is there with other content
    #[arg(long)]
    overwrite: bool,
    /// Say nothing to the sender, where there is no way back
    #[arg(long)]
    silent: bool,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
}

/// How often a line tells how far it is.
const OFTEN: Duration = Duration::from_secs(1);

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let addresses = to_listen_on(&args.address, &args.interface)?;
    let interrupt = Interrupt::install(Outcome::No)?;
    let receiving = Receiving::new(addresses, &args.into, args.options())?;
    let stop = receiving.stopper();
    interrupt.then({
        let stop = stop.clone();
        move || stop.stop()
    });
    let (mut table, mut broken) = (Table::new(output), None);
    let mut told = Instant::now();
    let mut has_begun = false;
    let report = receiving.run(|event| {
        has_begun |= matches!(event, ReceiveEvent::Began { .. });
        let told = tell(event, &args, &mut table, &mut told, output);
        if let Err(error) = told.and_then(|()| output.flush()) {
            // Whoever reads has had enough.
            broken.get_or_insert(error);
            stop.stop();
        }
    });
    table.clear();
    if let Some(error) = broken {
        return Err(error.into());
    }
    let report = report?;
    if report.stopped {
        output.after_interrupt();
    }
    if report.timed_out {
        output.note_in_text(match args.timeout.filter(|_| !has_begun) {
            Some(timeout) => format!("nothing came within {}", Span(timeout)),
            None => "nothing came any more".to_owned(),
        });
        if let ([], [address, ..]) = (&report.deliveries[..], &args.address[..]) {
            output.note_in_text(format_args!("'manycast doctor {address}' tells why"));
        }
    }
    let complete = report.deliveries.iter().all(Delivered::is_complete);
    Ok(match complete && !report.deliveries.is_empty() {
        true => Outcome::Done,
        false => Outcome::No,
    })
}

impl Args {
    fn options(&self) -> ReceiveOptions {
        let mut options = ReceiveOptions::default();
        if let Some(name) = &self.name {
            options.name.clone_from(name);
        }
        options.count = if self.once { Some(1) } else { self.count };
        options.timeout = self.timeout;
        options.limit = self.limit.unwrap_or(u64::MAX);
        options.overwrite = self.overwrite;
        options.silent = self.silent;
        options.socket = SocketConfig::default();
        options
    }
}

fn tell(
    event: ReceiveEvent,
    args: &Args,
    table: &mut Table,
    told: &mut Instant,
    output: &mut Output,
) -> std::io::Result<()> {
    match event {
        ReceiveEvent::Listening { name, addresses } => {
            let listening = Listening {
                event: "listening",
                receiver: name,
                addresses: addresses.iter().map(ToString::to_string).collect(),
                into: args.into.display().to_string(),
            };
            output.note_in_text(format_args!(
                "receiving into {} as {} at {}",
                listening.into,
                listening.receiver,
                listening.addresses.join(", ")
            ));
            output.object(&listening)?;
        }
        ReceiveEvent::Began {
            sender,
            files,
            bytes,
        } => {
            table.clear();
            let (count, sum) = (entries(files), counted(bytes, "byte"));
            output.note_in_text(format_args!("sender {sender:08x} has {count}, {sum}"));
            output.object(&Began {
                event: "began",
                sender: format!("{sender:08x}"),
                files,
                bytes,
            })?;
        }
        ReceiveEvent::File {
            sender,
            path,
            size,
            state,
        } => {
            table.clear();
            output.report(&FileEnded::new(sender, &path, size, &state))?;
        }
        ReceiveEvent::Progress {
            sender,
            bytes,
            total,
            loss,
        } => {
            let part = percent(bytes, total);
            let lost = loss * 100.0;
            table.line(
                sender,
                format!(
                    "{} {part:3} %  {}, {lost:.1} % lost",
                    bar(part, 20),
                    counted(bytes, "byte")
                ),
            );
            if told.elapsed() >= OFTEN {
                *told = Instant::now();
                if !table.is_shown() {
                    output.note_in_text(format_args!("{part} %, {lost:.1} % lost"));
                }
                output.object(&Underway {
                    event: "progress",
                    sender: format!("{sender:08x}"),
                    bytes,
                    total_bytes: total,
                    loss,
                })?;
            }
        }
        ReceiveEvent::Ended(delivered) => {
            table.remove(delivered.sender);
            output.report(&DeliveryEnded::new(&delivered, output))?;
        }
        ReceiveEvent::Warning(warning) => {
            table.clear();
            output.warn(warning);
        }
        _ => {}
    }
    Ok(())
}

/// That it listens.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    receiver: String,
    addresses: Vec<String>,
    into: String,
}

/// That a delivery begins.
#[derive(Serialize)]
struct Began {
    event: &'static str,
    sender: String,
    files: usize,
    bytes: u64,
}

/// How far a delivery is.
#[derive(Serialize)]
struct Underway {
    event: &'static str,
    sender: String,
    bytes: u64,
    total_bytes: u64,
    loss: f64,
}

/// What became of a file.
#[derive(Serialize)]
struct FileEnded<'a> {
    event: &'static str,
    sender: String,
    path: &'a str,
    bytes: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> FileEnded<'a> {
    fn new(sender: u32, path: &'a str, bytes: u64, state: &'a FileState) -> Self {
        let (state, error) = state_of(state);
        Self {
            event: "file",
            sender: format!("{sender:08x}"),
            path,
            bytes,
            state,
            error,
        }
    }
}

impl fmt::Display for FileEnded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Escaped(self.path);
        match self.error {
            Some(error) => write!(f, "{path}: {}", Escaped(error)),
            None => write!(f, "{path}: {}, {}", self.state, counted(self.bytes, "byte")),
        }
    }
}

/// What came of a delivery.
#[derive(Serialize)]
struct DeliveryEnded {
    event: &'static str,
    sender: String,
    complete: bool,
    files: usize,
    verified: usize,
    bytes: u64,
    seconds: f64,
    #[serde(skip)]
    mark: String,
    #[serde(skip)]
    elapsed: Duration,
    #[serde(skip)]
    summary: String,
}

impl DeliveryEnded {
    fn new(delivered: &Delivered, output: &Output) -> Self {
        let there = delivered.files.iter();
        let there = there.filter(|(_, state)| *state == FileState::Verified);
        Self {
            event: "ended",
            sender: format!("{:08x}", delivered.sender),
            complete: delivered.is_complete(),
            files: delivered.files.len(),
            verified: there.count(),
            bytes: delivered.bytes,
            seconds: delivered.elapsed.as_secs_f64(),
            mark: output.mark(delivered.is_complete()),
            elapsed: delivered.elapsed,
            summary: verified(delivered.files.iter().map(|(file, state)| (file, state))),
        }
    }
}

impl fmt::Display for DeliveryEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}, {} in {}",
            self.mark,
            self.summary,
            counted(self.bytes, "byte"),
            Span(self.elapsed)
        )
    }
}
