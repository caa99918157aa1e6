//! `manycast send-files`

mod page;
mod report;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{anyhow, bail};
use manycast::transfer::files::{Error, SendEvent, SendOptions, Sending};
use manycast::{Address, AddressError, SenderConfig, SocketConfig};

use crate::Outcome;
use crate::cli::HELP;
use crate::commands::send::destinations;
use crate::interrupt::Interrupt;
use crate::output::{self, Escaped, Output, SentReport, counted};
use crate::values::{self, Interfaces, Rate};
use report::{Ended, Heard, Reported, Started, Underway};
pub(crate) use report::{entries, percent, state_of, verified};
pub(crate) use table::{Table, bar};

const EXAMPLES: &str = "\
Examples:
  manycast send-files firmware.bin 239.192.0.7:5013 --receivers 3   # to three hosts
  manycast send-files dir a.iso 239.192.0.7:5013 --rate 500M --receiver lab1 --receiver lab2
  manycast send-files image 239.192.0.7:5013 --parity 16            # to hosts with no way back
  manycast send-files dir 192.0.2.7:5013 --report report.html       # to one host";

const EXPLANATION: &str = "\
Each host runs 'manycast receive-files ADDRESS'. What is lost on the way is asked for and sent again, \
as parity that serves all alike; what has come is verified by its hash, and only then has its name. \
What a receiver has already is not sent. It ends when each receiver that answers has all, or does not \
come on, and says for each receiver each file.

The exit code is 0 if every receiver that was expected has verified every file, and 1 otherwise. \
Without --receivers and --receiver none is expected: then all that were heard of must have, and where \
none was, 0 says only that all was sent.";

/// Send files and folders to many, and tell who has what
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Files and folders
    #[arg(value_name = "PATH", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// Where to send: GROUP:PORT or HOST:PORT
    #[arg(value_parser = destination)]
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
    /// Leave out links, and what else is neither a file nor a folder
    #[arg(long)]
    skip_links: bool,
    /// How long to wait for receivers, at the beginning and at the end
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    wait: Duration,
    /// Write the report as a page too, with the rate and loss of each receiver as curves
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
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

/// The last argument, which is easily forgotten behind the paths.
fn destination(text: &str) -> Result<Address, Box<dyn std::error::Error + Send + Sync>> {
    let is_host = text.contains(':') || text.parse::<std::net::IpAddr>().is_ok();
    let is_path = fs::symlink_metadata(text).is_ok();
    text.parse().map_err(|error: AddressError| {
        let what = match (is_path, is_host) {
            (true, _) => "a file or folder here".to_owned(),
            (false, true) => return error.into(),
            (false, false) => format!("no address; if it is a host, write {text}:5013"),
        };
        format!(
            "the last argument says where to send, such as 239.192.0.7:5013, and {text:?} is {what}"
        )
        .into()
    })
}

/// How much parity goes unasked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parity(pub(crate) Option<u8>);

pub(crate) fn parity(text: &str) -> Result<Parity, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Parity(None)),
        Ok(count @ 0..=64) => Ok(Parity(Some(count))),
        _ => Err(format!(
            "{text:?} is not a number from 0 to 64; write 8, or auto"
        )),
    }
}

/// How often a line tells how far it is.
const OFTEN: Duration = Duration::from_secs(1);

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let addresses = destinations(&args.address, &args.interface)?;
    let [address] = &addresses[..] else {
        bail!("files go by one interface at a time; name one with -i");
    };
    if let Some(path) = &args.report {
        // Nobody should learn it at the end alone.
        check_writable(path).map_err(|error| unwritable(path, &error))?;
    }
    let sending = Sending::new(address.clone(), &args.paths, args.options())?;
    let stop = sending.stopper();
    interrupt.then({
        let stop = stop.clone();
        move || stop.stop()
    });

    let (mut table, mut broken) = (Table::new(output), None);
    let mut told = Instant::now();
    let report = sending.run(|event| {
        let told = tell(event, &mut table, &mut told, output);
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
    let report = match report {
        Err(Error::Stopped) => {
            output.after_interrupt();
            output.note("stopped before anything was sent");
            return Ok(Outcome::No);
        }
        Err(error) if is_absent(&error) => {
            output::problem(&error);
            return Ok(Outcome::No);
        }
        report => report?,
    };
    if report.stopped {
        output.after_interrupt();
    }
    output.report(&Reported::new(&report, output))?;
    output.flush()?;
    if let Some(path) = &args.report {
        fs::write(path, page::page(&report, &address.to_string()))
            .map_err(|error| unwritable(path, &error))?;
    }
    Ok(match report.is_complete() {
        true => Outcome::Done,
        false => Outcome::No,
    })
}

/// Fails where a page could not be written. What is there stays until it is.
fn check_writable(path: &Path) -> io::Result<()> {
    let mut page = fs::OpenOptions::new();
    match fs::metadata(path) {
        Ok(it) if it.is_file() || it.is_dir() => page.append(true).open(path).map(drop),
        // To open a pipe may wait for who reads it.
        Ok(_) => Ok(()),
        Err(_) => {
            page.append(true).create_new(true).open(path)?;
            fs::remove_file(path)
        }
    }
}

/// Why a page cannot be written.
fn unwritable(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    let remedy = match error.kind() {
        io::ErrorKind::IsADirectory => format!("name a file in it, such as {path}/report.html"),
        io::ErrorKind::NotFound => "make its folder first".to_owned(),
        _ => "choose another place".to_owned(),
    };
    anyhow!("cannot write {path}: {error}; {remedy}")
}

/// Whether the answer is "no": somebody is not there.
pub(crate) fn is_absent(error: &Error) -> bool {
    use manycast::Error::ConnectionRefused;
    matches!(
        error,
        Error::Absent(_) | Error::Network(ConnectionRefused { .. })
    )
}

impl Args {
    fn options(&self) -> SendOptions {
        let mut socket = SocketConfig::default();
        if let Some(hops) = self.hops {
            socket = socket.multicast_hops(hops).unicast_hops(Some(hops));
        }
        let mut sender = SenderConfig::default().socket(socket);
        sender.from = self.from.clone();
        let mut options = SendOptions::default();
        options.rate = self.rate.bits();
        options.congestion_control = self.congestion_control;
        options.names = self.receiver.clone();
        options.receivers = usize::try_from(self.receivers.unwrap_or(0)).unwrap_or(usize::MAX);
        options.parity = self.parity.0;
        options.skip_links = self.skip_links;
        options.wait = self.wait;
        options.sender = sender;
        options
    }
}

fn tell(
    event: SendEvent,
    table: &mut Table,
    told: &mut Instant,
    output: &mut Output,
) -> io::Result<()> {
    match event {
        SendEvent::Scanned { bytes } => {
            let read = counted(bytes, "byte");
            table.below(format!("reading what may be there already: {read}"));
        }
        SendEvent::Started {
            files,
            bytes,
            egress,
        } => {
            output.note_in_text(format_args!(
                "sending {}, {}, to {}",
                entries(files),
                counted(bytes, "byte"),
                SentReport::from(&egress).egress()
            ));
            output.object(&Started::new(files, bytes, &egress))?;
        }
        SendEvent::Receiver { name } => {
            table.clear();
            output.note_in_text(format_args!("{} is there", Escaped(&name)));
            output.object(&Heard::new(&name))?;
        }
        SendEvent::File {
            receiver,
            path,
            state,
        } => {
            let ended = Ended::new(&receiver, &path, &state);
            if !output.is_json() {
                table.clear();
                match ended.is_failed() {
                    true => output.note(&ended),
                    false => output.detail(&ended),
                }
            }
            output.object(&ended)?;
        }
        SendEvent::Progress(progress) => {
            table.show(&progress);
            if told.elapsed() >= OFTEN {
                *told = Instant::now();
                let underway = Underway::new(&progress);
                if !table.is_shown() {
                    output.note_in_text(&underway);
                    if let Some(line) = table.take_below() {
                        output.note_in_text(line);
                    }
                }
                output.object(&underway)?;
            }
        }
        SendEvent::Warning(warning) => {
            table.clear();
            output.warn(warning);
        }
        _ => {}
    }
    Ok(())
}
