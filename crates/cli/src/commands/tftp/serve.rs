//! `manycast tftp serve`

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use manycast::Address;
use manycast::transfer::tftp::{Event, Server, ServerOptions};
use serde::Serialize;

use super::report::Ended;
use super::transfer::Rollover;
use crate::Outcome;
use crate::cli::HELP;
use crate::commands::to_listen_on;
use crate::interrupt::Interrupt;
use crate::output::{Output, counted};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast tftp serve /srv/tftp                            # as root: port 69, for reading alone
  manycast tftp serve . :6969                              # a port that needs no privilege
  manycast tftp serve /srv/tftp --write --max-size 100M    # takes new files, but replaces none
  manycast tftp serve /srv/tftp --multicast 239.255.0.1-239.255.0.10";

const EXPLANATION: &str = "\
Nothing outside of FOLDER is served: neither .. nor a link leads out of it. What is written comes \
under a temporary name and is renamed once it is complete. A client that asks for multicast (RFC 2090) \
shares one stream with all who ask for the same file. Each transfer is answered from a port of its \
own, as the protocol wants; --single-port answers from the port that was asked.";

/// Serve the files of a folder by TFTP
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(super) struct Args {
    /// The folder
    folder: PathBuf,
    /// Where to listen
    #[arg(default_value = ":69")]
    address: Address,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Take files too
    #[arg(long)]
    write: bool,
    /// Let a file that is written take the place of one that is there
    #[arg(long, requires = "write")]
    overwrite: bool,
    /// The bytes that a file may have that is written, such as 100M [default: any number]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Answer from the port that was asked, for firewalls and NATs that let nothing else through
    #[arg(long)]
    single_port: bool,
    /// Send to many at once, to groups of this range
    #[arg(long, value_name = "GROUP[-GROUP]", value_parser = groups)]
    multicast: Option<Groups>,
    /// Transfers at once
    #[arg(long, value_name = "N", default_value = "1000", value_parser = values::count)]
    limit: u64,
    /// Transfers at once of one address
    #[arg(long, value_name = "N", default_value = "100", value_parser = values::count)]
    limit_per_address: u64,
    /// How long a transfer may take
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = values::duration)]
    max_duration: Duration,
    /// Which number follows on block 65535: 0, as most do, or 1
    #[arg(long, value_enum, value_name = "NUMBER", default_value_t = Rollover::Zero)]
    rollover: Rollover,
}

/// The groups of a range.
#[derive(Clone, Debug)]
struct Groups(Vec<IpAddr>);

/// How many groups a range has at most.
const MOST_GROUPS: u32 = 256;

fn groups(text: &str) -> Result<Groups, String> {
    let wrong = || format!("{text:?} is no range of groups; write 239.255.0.1-239.255.0.10");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |text: &str| {
        let group: Option<Ipv4Addr> = text.parse().ok();
        group.filter(Ipv4Addr::is_multicast).ok_or_else(wrong)
    };
    // One group of IPv6 is a range too.
    if let Ok(IpAddr::V6(group)) = text.parse()
        && group.is_multicast()
    {
        return Ok(Groups(vec![group.into()]));
    }
    let (first, last) = (u32::from(parse(first)?), u32::from(parse(last)?));
    if last < first || last - first >= MOST_GROUPS {
        return Err(format!("{text:?} has not from 1 to {MOST_GROUPS} groups"));
    }
    let all = (first..=last).map(|group| Ipv4Addr::from(group).into());
    Ok(Groups(all.collect()))
}

/// A size in bytes, such as `500k` or `100M`, in powers of ten.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write 500k or 100M");
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// That it listens, in JSON.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    folder: String,
    addresses: Vec<String>,
    write: bool,
}

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let addresses = to_listen_on(&[args.address], &args.interface)?;
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut options = ServerOptions::default();
    options.write = args.write;
    options.overwrite = args.overwrite;
    options.max_size = args.max_size;
    let protocol = &mut options.protocol;
    protocol.single_port = args.single_port;
    protocol.groups = args.multicast.map_or_else(Vec::new, |groups| groups.0);
    protocol.transfers = usize::try_from(args.limit).unwrap_or(usize::MAX);
    protocol.per_address = usize::try_from(args.limit_per_address).unwrap_or(usize::MAX);
    protocol.duration = args.max_duration;
    protocol.roll_over = args.rollover.into();
    let mut server = Server::open(&args.folder, &addresses, options)?;
    interrupt.stops(server.stopper()?);

    let folder = args.folder.display().to_string();
    let local: Vec<String> = server
        .local_addrs()
        .iter()
        .map(ToString::to_string)
        .collect();
    let how = if args.write {
        "reading and writing"
    } else {
        "reading"
    };
    output.note_in_text(format_args!(
        "serving {folder} on {} for {how}",
        local.join(", ")
    ));
    output.object(&Listening {
        event: "listening",
        folder,
        addresses: local,
        write: args.write,
    })?;
    output.flush()?;

    let mut broken = None;
    let stopper = server.stopper()?;
    let stats = server.run(|event| {
        if let Event::Ended(record) = event {
            let told = output
                .report(&Ended::from(&record))
                .and_then(|()| output.flush());
            if let Err(error) = told {
                // Whoever reads has had enough.
                broken.get_or_insert(error);
                stopper.stop();
            }
        }
    })?;
    if let Some(error) = broken {
        return Err(error.into());
    }
    output.after_interrupt();
    let mut text = format!(
        "{} done, {} failed",
        counted(stats.completed, "transfer"),
        stats.failed
    );
    if stats.displaced > 0 {
        text += &format!("; {} never answered", counted(stats.displaced, "request"));
    }
    if stats.passed_over > 0 {
        text += &format!("; {} passed over", counted(stats.passed_over, "request"));
    }
    output.note(text);
    Ok(Outcome::Done)
}
