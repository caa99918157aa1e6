//! `manycast listen`

mod vrf;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use manycast::{
    Address, BufferSize, Dropped, Error, Event, Interface, InterfaceId, Listener, Membership,
    Received, SocketConfig, SourceFilter, with_interface_name,
};
use serde::Serialize;

use super::known::Place;
use super::to_listen_on;
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{
    DatagramReport, MembershipReport, Output, Span, clock, counted, grouped, rfc3339,
    what_was_dropped,
};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast listen 239.192.0.100:5000                  # a group, on every interface
  manycast listen 239.192.0.100:5000 -i eth0 --hex    # on one interface, with all bytes
  manycast listen 10.0.0.5@232.1.1.1:5000 -c 10       # ten datagrams from one source (SSM)
  manycast listen '[ff15::1]:5000' 239.1.1.1:5000     # several groups at once
  manycast listen :5005 --json -t 1m                  # unicast, as JSON, for a minute
  manycast listen 239.1.1.1:5000 --raw | ffplay -     # the payloads alone
  manycast listen ssdp -i eth0                        # groups by name: ssdp, ws-discovery, mdns";

const EXPLANATION: &str = "\
Groups are joined on every interface that is up and can multicast, and on loopback, unless one is \
named. Other groups on the same port stay out. When an interface comes back, its groups are joined \
there again. Other programs that listen on a group get each datagram too. Times are local ones; \
with --json they are UTC.";

/// Print each datagram that comes to a group or to a local address
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to listen: GROUP:PORT, SOURCE@GROUP:PORT, or :PORT for this host's own addresses; or ssdp, ws-discovery or mdns
    #[arg(required = true)]
    address: Vec<Place>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Stop after so many datagrams
    #[arg(short, long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    count: Option<u64>,
    /// Stop after this time; exit code 1 if N datagrams (without --count: one) have not come
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Show the bytes of each datagram, with offset and text
    #[arg(long)]
    hex: bool,
    /// Write the payloads alone, as they are, one after the other
    #[arg(long, conflicts_with = "hex")]
    raw: bool,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    if args.raw && output.is_json() {
        bail!("--raw and --json exclude each other; --json has the payload as \"text\" or \"hex\"");
    }
    let typed: Vec<_> = args.address.iter().flat_map(Place::addresses).collect();
    let addresses = to_listen_on(&typed, &args.interface)?;
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut listener = Listener::open(&addresses, SocketConfig::default())?;
    let stopper = listener.stopper()?;
    interrupt.stops(stopper.clone());
    let buffer = announce(&listener, &addresses, output)?;
    let mut warned = false;

    let begin = Instant::now();
    let deadline = args.timeout.and_then(|timeout| begin.checked_add(timeout));
    let mut seen = Seen::default();
    while args.count.is_none_or(|count| seen.datagrams < count) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            // What has come by now is still printed.
            stopper.stop();
        }
        // What is printed waits in memory only as long as there is more to read at once.
        let event = match listener.next_event(Some(Duration::ZERO)) {
            Ok(None) => {
                output.flush()?;
                listener.next_event(left)
            }
            found => found,
        };
        match event {
            Ok(Some(Event::Datagram(received))) => {
                seen.datagrams += 1;
                seen.bytes += received.payload.len() as u64;
                print(&received, &args, output)?;
                if !warned {
                    let dropped = Dropped::new(received.dropped, false);
                    warned = warn_of_buffer(buffer, dropped, output);
                }
            }
            Ok(Some(event)) => tell(&event, output)?,
            Ok(None) => {}
            Err(Error::Stopped) => break,
            Err(error) => return Err(error.into()),
        }
    }
    output.flush()?;

    if interrupt.is_requested() {
        output.after_interrupt();
    }
    let elapsed = begin.elapsed();
    let dropped = listener.dropped();
    output.object(&Summary {
        event: "summary",
        datagrams: seen.datagrams,
        bytes: seen.bytes,
        seconds: (elapsed.as_secs_f64() * 1e6).round() / 1e6,
        dropped: dropped.count,
        dropped_exact: dropped.is_exact,
    })?;
    output.flush()?;
    if !warned {
        warn_of_buffer(buffer, dropped, output);
    }
    output.note(seen.summary(elapsed, dropped));
    if seen.datagrams == 0
        && let Some(group) = addresses.iter().find(|address| address.group().is_some())
    {
        output.note(format_args!("'manycast doctor {group}' tells why"));
    }
    let enough = seen.datagrams >= args.count.unwrap_or(1);
    Ok(if enough || interrupt.is_requested() {
        Outcome::Done
    } else {
        Outcome::No
    })
}

#[derive(Default)]
struct Seen {
    datagrams: u64,
    bytes: u64,
}

/// The last object.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    datagrams: u64,
    /// Of payload.
    bytes: u64,
    seconds: f64,
    /// What the kernel dropped for want of buffer, and whether it is known exactly; if not, it is the
    /// least.
    dropped: u64,
    dropped_exact: bool,
}

impl Seen {
    fn summary(&self, elapsed: Duration, dropped: Dropped) -> String {
        let elapsed = Span(elapsed);
        let mut text = match self.datagrams {
            0 => format!("nothing came in {elapsed}"),
            datagrams => format!(
                "{}, {} in {elapsed}",
                counted(datagrams, "datagram"),
                counted(self.bytes, "byte")
            ),
        };
        if dropped.count > 0 {
            text += &format!("; {}", what_was_dropped(dropped));
        }
        text
    }
}

fn print(received: &Received<'_>, args: &Args, output: &mut Output) -> anyhow::Result<()> {
    if args.raw {
        output.bytes(received.payload)?;
        return Ok(());
    }
    let report = DatagramReport::new("datagram", received);
    output.report(&if args.hex {
        report.in_hex(received)
    } else {
        report
    })?;
    Ok(())
}

/// Tells what is listened on: as an object, or as notes. Returns the size of the receive buffer.
pub(crate) fn announce(
    listener: &Listener,
    addresses: &[Address],
    output: &mut Output,
) -> anyhow::Result<BufferSize> {
    let buffer = listener.receive_buffer()?;
    let local = listener.local_addrs().map(with_interface_name);
    let local: Vec<_> = local.collect();
    output.object(&Listening {
        event: "listening",
        memberships: listener.memberships().map(Into::into).collect(),
        receive_buffer: buffer.granted,
        local: local.iter().map(ToString::to_string).collect(),
    })?;
    output.flush()?;
    let alone = alone(addresses)?;
    for line in lines(listener.memberships(), &local, &alone) {
        output.note_in_text(format_args!("listening on {line}"));
    }
    if buffer.is_capped() {
        output.detail(capped(buffer));
    }
    let accept = manycast::net::sysctl(vrf::ACCEPT);
    let joined: Vec<_> = listener
        .memberships()
        .map(|it| it.interface.clone())
        .collect();
    let interfaces = manycast::interfaces()?;
    for warning in vrf::warnings(&joined, &interfaces, accept.as_deref()) {
        output.warn(warning);
    }
    if let Some(warning) = deaf(addresses, &joined, &interfaces) {
        output.warn(warning);
    }
    Ok(buffer)
}

/// What is said where groups are joined on loopback alone, though nobody asked for that.
fn deaf(addresses: &[Address], joined: &[InterfaceId], interfaces: &[Interface]) -> Option<String> {
    let asked = addresses
        .iter()
        .any(|address| address.interface().is_some());
    let is_loopback = |on: &InterfaceId| {
        let found = interfaces.iter().find(|found| found.index == on.index);
        found.is_some_and(|found| found.loopback)
    };
    if asked || joined.is_empty() || !joined.iter().all(is_loopback) {
        return None;
    }
    let mut others = interfaces
        .iter()
        .filter(|other| !other.loopback && other.multicast);
    Some(match others.find(|other| !other.up) {
        Some(Interface { name, .. }) => format!(
            "this host alone is heard, since {name} is down; bring it up with 'ip link set {name} \
             up', and it is joined there at once"
        ),
        None => "this host alone is heard, since it has no other interface that can multicast"
            .to_owned(),
    })
}

/// The first object of those that listen.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    memberships: Vec<MembershipReport>,
    /// In bytes, as the kernel granted it.
    receive_buffer: usize,
    /// The own addresses that are listened on beside groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local: Vec<String>,
}

/// The interfaces that local addresses are listened on; none: all.
fn alone(addresses: &[Address]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for address in addresses.iter().filter(|address| address.group().is_none()) {
        let Some(selector) = address.interface() else {
            return Ok(Vec::new());
        };
        let name = manycast::find_interface(selector)?.name.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// One line for each group, with its interfaces, and one for the local addresses.
fn lines<'a>(
    memberships: impl Iterator<Item = &'a Membership>,
    local: &[Address],
    alone: &[String],
) -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for membership in memberships {
        let group = title(membership);
        let interface = membership.interface.to_string();
        match lines.iter_mut().find(|(known, _)| *known == group) {
            Some((_, interfaces)) => {
                let _ = write!(interfaces, ", {interface}");
            }
            None => lines.push((group, interface)),
        }
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|(group, interfaces)| format!("{group}, joined on {interfaces}"))
        .collect();
    if !local.is_empty() {
        // Each interface has a socket of its own.
        let mut texts: Vec<_> = local.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.dedup();
        let mut line = texts.join(" and ");
        if !alone.is_empty() {
            let _ = write!(line, ", on {} alone", alone.join(" and "));
        }
        lines.push(line);
    }
    lines
}

/// The group and its sources, without the interface.
fn title(membership: &Membership) -> String {
    let mut group = membership.group;
    if let SocketAddr::V6(group) = &mut group {
        group.set_scope_id(0);
    }
    let (mark, sources) = match &membership.sources {
        SourceFilter::Include(sources) => ("", sources),
        SourceFilter::Exclude(sources) => ("!", sources),
    };
    let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
    match sources.as_slice() {
        [] => group.to_string(),
        sources => format!("{mark}{}@{group}", sources.join(",")),
    }
}

/// Tells of a receive buffer that is smaller than was asked for, where datagrams were dropped for want
/// of it, and says whether it did. On most systems it is smaller, and does no harm.
pub(crate) fn warn_of_buffer(buffer: BufferSize, dropped: Dropped, output: &Output) -> bool {
    let matters = buffer.is_capped() && dropped.count > 0;
    if matters {
        output.warn(capped(buffer));
    }
    matters
}

fn capped(size: BufferSize) -> String {
    let (requested, granted) = (size.requested, size.granted);
    format!(
        "the receive buffer has {} bytes, not the {} that were asked for, so bursts may be lost; \
         'sudo sysctl -w net.core.rmem_max={requested}' raises the limit",
        grouped(granted as u64),
        grouped(requested as u64)
    )
}

/// Tells what happened beside datagrams.
fn tell(event: &Event<'_>, output: &mut Output) -> anyhow::Result<()> {
    let (event, text, membership) = match event {
        Event::Joined(membership) => ("joined", "joined", membership),
        Event::Left(membership) => ("left", "no longer joined to", membership),
        _ => return Ok(()),
    };
    let now = SystemTime::now();
    let why = Why::of(&membership.interface)?;
    output.object(&Change {
        event,
        membership: membership.into(),
        time: rfc3339(now),
        why,
    })?;
    output.note_in_text(format_args!(
        "{} {text} {} on {}: {}",
        clock(now),
        title(membership),
        membership.interface,
        why.sentence()
    ));
    Ok(())
}

/// A membership that came or went with its interface.
#[derive(Serialize)]
struct Change {
    event: &'static str,
    #[serde(flatten)]
    membership: MembershipReport,
    time: String,
    why: Why,
}

/// What the interface of a membership has come to, which is why the membership came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Why {
    Up,
    Down,
    Gone,
    NoMulticast,
}

impl Why {
    fn of(interface: &InterfaceId) -> anyhow::Result<Self> {
        let all = manycast::interfaces()?;
        let found = all.iter().find(|found| found.index == interface.index);
        Ok(match found {
            None => Self::Gone,
            Some(found) if !found.up => Self::Down,
            Some(found) if !found.can_multicast() => Self::NoMulticast,
            Some(_) => Self::Up,
        })
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Up => "the interface is up",
            Self::Down => "the interface is down",
            Self::Gone => "the interface is gone",
            Self::NoMulticast => "the interface can no longer multicast",
        }
    }
}
