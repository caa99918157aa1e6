//! `manycast send`

mod egress;
mod pace;
mod source;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use manycast::{Address, Host, Interface, InterfaceSelector};

use self::egress::{Egress, Patience};
pub(super) use self::egress::{open_sender, warn_of_interface};
use self::pace::Pace;
use self::source::Source;
use super::{Choice, choice, must_be_a_destination};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{Output, SentReport, Span, counted};
use crate::values::{self, Interfaces, Rate};

const EXAMPLES: &str = "\
Examples:
  manycast send 239.192.0.100:5000 'Hello, world!'             # one datagram to a group
  manycast send 239.192.0.100:5000 hi -i eth0 -i eth1          # by two interfaces
  manycast send 192.0.2.7:5005 ping --count 10 --interval 1s   # ten datagrams to a host
  manycast send 239.1.1.1:5000 --file film.ts --rate 5M        # a file, in pieces of 1316 bytes
  tail -f log | manycast send '[ff15::1%eth0]:5000'            # each line is a datagram";

const EXPLANATION: &str = "\
The line that is printed says that the kernel took the datagram, and by which interface it left; that it \
arrived is not known. No route is needed: a group without an interface goes as the route says, or \
else by the first interface that is up and can multicast.";

/// Send one datagram, each line of standard input, or a file in pieces
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to send: GROUP:PORT or HOST:PORT
    address: Address,
    /// What to send; without it, and without a file, each line of standard input is a datagram
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    message: Option<OsString>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Send so many datagrams: MESSAGE again and again, or the first N lines or pieces
    #[arg(short, long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    count: Option<u64>,
    /// Begin a datagram at most every so often, such as 500ms
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    interval: Option<Duration>,
    /// Send at most so many bits of payload per second by each interface, such as 10M
    #[arg(long, value_name = "BITRATE", value_parser = values::rate)]
    rate: Option<Rate>,
    /// Hop limit; groups: 1 by default, which stays on the link; hosts: the system's, often 64
    #[arg(long, value_name = "N", value_parser = values::hops, allow_negative_numbers = true)]
    hops: Option<u8>,
    /// Keep datagrams to a group from the members on this host
    #[arg(long)]
    no_loopback: bool,
    /// Local address to send from, with a port if wanted, or :PORT alone
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::local)]
    from: Option<Address>,
    /// File to send in pieces; - for standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Bytes in a piece of the file
    #[arg(long, value_name = "N", default_value = "1316", value_parser = values::piece)]
    #[arg(requires = "file", conflicts_with = "message")]
    size: usize,
    /// How long to wait for a host to say that nobody listens
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = values::duration)]
    wait: Duration,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let mut egresses = Vec::new();
    for address in destinations(&args.address, &args.interface)? {
        egresses.push(Egress::open(address, &args, output)?);
    }
    let source = Source::open(&args, output)?;
    interrupt.is_looked_for();
    let mut pace = Pace::new(args.interval.unwrap_or_default(), args.rate);
    let once = args.message.is_some();
    let rounds = args.count.unwrap_or(if once { 1 } else { u64::MAX });
    let patience = match (once, rounds) {
        (true, 1) => Patience::None,
        (true, _) => Patience::Skip,
        (false, _) => Patience::Wait,
    };
    let mut sent = Total::default();
    let begin = Instant::now();
    while sent.rounds < rounds {
        output.flush()?;
        let Some(payload) = source.next(&interrupt)? else {
            break;
        };
        if pace.wait(payload.len(), &interrupt) {
            break;
        }
        for egress in &mut egresses {
            let Some(taken) = egress.send(&payload, patience, &interrupt, output)? else {
                sent.unsent += 1;
                continue;
            };
            if output.is_json() || !output.is_quiet() {
                output.report(&SentReport::from(&taken))?;
            }
            sent.datagrams += 1;
            sent.bytes += payload.len() as u64;
            egress.listen_for_trouble(Duration::ZERO, output)?;
        }
        sent.rounds += 1;
        pace.spent(payload.len());
    }
    output.flush()?;
    let elapsed = begin.elapsed();
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    if sent.rounds == 0 && !interrupt.is_requested() {
        output.note("nothing to send");
    }
    if sent.datagrams > 1 || interrupt.is_requested() {
        let streams = args.rate.is_some() || args.file.is_some();
        output.note(sent.summary(elapsed, streams));
    }
    let outcome = finish(&mut egresses, args.wait, &interrupt, output)?;
    if sent.unsent > 0 {
        output.note(format_args!(
            "{} not sent: the interface was down, or its queue full",
            counted(sent.unsent, "datagram")
        ));
        return Ok(Outcome::No);
    }
    Ok(outcome)
}

/// Waits to be told that hosts were not reached, and says how it ended.
fn finish(
    egresses: &mut [Egress],
    wait: Duration,
    interrupt: &Interrupt,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let deadline = Instant::now().checked_add(wait);
    let mut outcome = Outcome::Done;
    for egress in egresses {
        while egress.may_be_in_trouble() && !interrupt.is_requested() {
            let left = deadline.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()));
            egress.listen_for_trouble(left.min(LOOK), output)?;
            if left.is_zero() {
                break;
            }
        }
        if egress.is_in_trouble() {
            outcome = Outcome::No;
        }
    }
    Ok(outcome)
}

/// So often it looks up from the socket to see whether the user has asked for an end.
const LOOK: Duration = Duration::from_millis(100);

/// The address once for each interface that is asked for.
pub(super) fn destinations(
    address: &Address,
    interfaces: &[Interfaces],
) -> anyhow::Result<Vec<Address>> {
    if !address.sources().is_empty() {
        bail!(
            "{address} names sources, which are for listening; to send from an address of yours, \
             write --from ADDRESS"
        );
    }
    must_be_a_destination(address)?;
    let selectors = match choice(address, interfaces)? {
        Choice::AsIs => return Ok(vec![address.clone()]),
        Choice::These(these) => these,
        Choice::All => all_interfaces(address)?,
    };
    Ok(selectors
        .into_iter()
        .map(|selector| address.clone().on(selector))
        .collect())
}

fn all_interfaces(address: &Address) -> anyhow::Result<Vec<InterfaceSelector>> {
    let Host::Ip(ip) = *address.host() else {
        bail!("-i all is for groups; {address} is reached by one interface, so leave it out");
    };
    let broadcast = ip == IpAddr::from([255; 4]);
    if !ip.is_multicast() && !broadcast {
        bail!("-i all is for groups; {address} is reached by one interface, so leave it out");
    }
    let speaks = |interface: &Interface| {
        let mut own = interface.addresses.iter().map(|own| own.address);
        own.any(|own| own.is_ipv4() == ip.is_ipv4())
    };
    let reaches = |interface: &Interface| {
        if broadcast {
            interface.up && interface.broadcast
        } else {
            interface.can_multicast()
        }
    };
    let found: Vec<_> = manycast::interfaces()?
        .into_iter()
        .filter(|interface| reaches(interface) && speaks(interface))
        .map(|interface| InterfaceSelector::Name(interface.name.to_string()))
        .collect();
    if found.is_empty() {
        bail!("no interface is up and can send to {address}; see 'manycast interfaces'");
    }
    Ok(found)
}

#[derive(Default)]
struct Total {
    /// Payloads; each goes by every interface.
    rounds: u64,
    datagrams: u64,
    bytes: u64,
    /// Datagrams that this host did not take.
    unsent: u64,
}

impl Total {
    fn summary(&self, elapsed: Duration, streams: bool) -> String {
        let mut text = format!(
            "sent {}, {} in {}",
            counted(self.datagrams, "datagram"),
            counted(self.bytes, "byte"),
            Span(elapsed)
        );
        // A shorter time tells nothing of the rate.
        if streams && elapsed >= Duration::from_secs(1) {
            let (rate, unit) = match self.bytes as f64 * 8.0 / elapsed.as_secs_f64() {
                bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
                bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
                bits if bits >= 1e3 => (bits / 1e3, "kbit/s"),
                bits => (bits, "bit/s"),
            };
            text += &format!(" ({rate:.1} {unit})");
        }
        text
    }
}
