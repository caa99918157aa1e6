//! `manycast send`

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use manycast::{
    Address, ErrorKind, Host, Interface, InterfaceSelector, MAX_PAYLOAD, Sender, SenderConfig,
    Sent, SocketConfig, Unreachable,
};
use serde::Serialize;

use super::input::{self, Input};
use super::{Choice, choice};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, Span, counted, grouped, named};
use crate::values::{self, Interfaces, Rate};

const EXAMPLES: &str = "\
Examples:
  manycast send 239.192.0.100:1000 'Hello, world!'             # one datagram to a group
  manycast send 239.192.0.100:1000 hi -i eth0 -i eth1          # by two interfaces
  manycast send 192.0.2.7:5005 ping --count 10 --interval 1s   # ten datagrams to a host
  manycast send 239.1.1.1:5000 --file film.ts --rate 5M        # a file, in pieces of 1316 bytes
  tail -f log | manycast send [ff15::1%eth0]:5000              # each line is a datagram";

const EXPLANATION: &str = "\
The line that is printed says that the kernel took the datagram, and by which way it left; that it \
arrived is not known. No route is needed: a group without an interface goes as the route says, or \
else by the first interface that is up and can multicast.";

/// Send one datagram, each line of standard input, or a file in pieces
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to send: GROUP:PORT or HOST:PORT
    address: Address,
    /// What to send; without it, and without a file, each line of standard input is a datagram
    #[arg(conflicts_with = "file")]
    message: Option<OsString>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// Send so many datagrams: MESSAGE again and again, or the first N lines or pieces
    #[arg(short, long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,
    /// Begin a datagram at most every so often, such as 500ms
    #[arg(long, value_parser = values::duration)]
    interval: Option<Duration>,
    /// Send at most so many bits of payload per second by each interface, such as 10M
    #[arg(long, value_parser = values::rate)]
    rate: Option<Rate>,
    /// Hop limit; groups: 1 by default, which stays on the link; hosts: the system's, often 64
    #[arg(long, value_name = "N", value_parser = values::hops)]
    hops: Option<u8>,
    /// Keep datagrams to a group from the members on this host
    #[arg(long)]
    no_loopback: bool,
    /// Local address to send from, with a port if wanted
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::local)]
    from: Option<SocketAddr>,
    /// File to send in pieces; - for standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Bytes in a piece of the file
    #[arg(long, value_name = "N", requires = "file", default_value = "1316", value_parser = values::size)]
    size: usize,
    /// How long to wait for a host to say that nobody listens
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = values::duration)]
    wait: Duration,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let mut ways = Vec::new();
    for address in destinations(&args)? {
        ways.push(Way::open(address, &args, output)?);
    }
    let mut source = Source::open(&args, &interrupt)?;
    let mut pace = Pace::new(&args);
    let mut sent = Total::default();
    let begin = Instant::now();
    while args.count.is_none_or(|count| sent.rounds < count) {
        output.flush()?;
        let Some(payload) = source.next()? else { break };
        if pace.wait(&interrupt) {
            break;
        }
        for way in &mut ways {
            let report = Report::from(&way.send(&payload, output)?);
            if output.is_json() || !output.is_quiet() {
                output.report(&report)?;
            }
            sent.datagrams += 1;
            sent.bytes += payload.len() as u64;
            way.listen_for_trouble(Duration::ZERO, output)?;
        }
        sent.rounds += 1;
        pace.spent(payload.len());
    }
    output.flush()?;
    let elapsed = begin.elapsed();
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    if sent.datagrams > 1 || interrupt.is_requested() {
        output.note(sent.summary(elapsed));
    }
    finish(&mut ways, args.wait, output)
}

/// Waits for bad news of hosts, and says how it ended.
fn finish(ways: &mut [Way], wait: Duration, output: &mut Output) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + wait;
    let mut outcome = Outcome::Done;
    for way in ways {
        if way.trouble.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            way.listen_for_trouble(left, output)?;
        }
        if way.trouble.is_some() {
            outcome = Outcome::No;
        }
    }
    Ok(outcome)
}

/// The address once for each interface that is asked for.
fn destinations(args: &Args) -> anyhow::Result<Vec<Address>> {
    let address = &args.address;
    let selectors = match choice(address, &args.interface)? {
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
        bail!("-i all is for groups; {address} is reached by one way, so leave it out");
    };
    let broadcast = ip == IpAddr::from([255; 4]);
    if !ip.is_multicast() && !broadcast {
        bail!("-i all is for groups; {address} is reached by one way, so leave it out");
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

/// One interface to send by.
struct Way {
    sender: Sender,
    /// The longest payload that goes in one piece, in bytes.
    unfragmented: usize,
    warned: bool,
    /// Only a host can say that it was not reached.
    unicast: bool,
    trouble: Option<Unreachable>,
}

impl Way {
    fn open(address: Address, args: &Args, output: &Output) -> anyhow::Result<Self> {
        let config = SenderConfig {
            from: args.from,
            socket: SocketConfig {
                loopback: !args.no_loopback,
                ..SocketConfig::default()
            },
        };
        let mut sender = Sender::open(address, config)?;
        let to = sender.way().to;
        let multicast = to.ip().is_multicast();
        match args.hops {
            Some(0) if !multicast => {
                bail!("a datagram to a host needs a hop limit of 1 at least; write --hops 1")
            }
            Some(hops) => sender.set_hops(hops)?,
            None => {}
        }
        if multicast {
            remark_on_hops(&sender, output);
        }
        let interface = sender.interface().index;
        let found = manycast::interfaces()?
            .into_iter()
            .find(|found| found.index == interface);
        let broadcast = |ip| {
            let mut own = found.iter().flat_map(|interface| &interface.addresses);
            ip == IpAddr::from([255; 4])
                || own.any(|own| own.broadcast.is_some_and(|own| IpAddr::from(own) == ip))
        };
        // RFC 791 §3.1, RFC 8200 §3 and RFC 768: the headers of IP and UDP.
        let headers = if to.is_ipv4() { 20 + 8 } else { 40 + 8 };
        let mtu = found
            .as_ref()
            .and_then(|found| usize::try_from(found.mtu).ok());
        Ok(Self {
            unicast: !multicast && !broadcast(to.ip()),
            unfragmented: mtu.map_or(MAX_PAYLOAD, |mtu| mtu.saturating_sub(headers)),
            sender,
            warned: false,
            trouble: None,
        })
    }

    fn send(&mut self, payload: &[u8], output: &Output) -> anyhow::Result<Sent> {
        let bytes = payload.len();
        if bytes > self.unfragmented && bytes <= MAX_PAYLOAD && !self.warned {
            self.warned = true;
            output.warn(format_args!(
                "{} bytes are more than {} carries in one piece ({}), so they go in fragments, and \
                 are lost when one of them is",
                grouped(bytes as u64),
                self.sender.interface(),
                grouped(self.unfragmented as u64)
            ));
        }
        match self.sender.send(payload) {
            // The interface may have come back under another index.
            Err(error)
                if [ErrorKind::NoInterface, ErrorKind::NetworkUnreachable]
                    .contains(&error.kind())
                    && self.sender.reopen().is_ok() =>
            {
                Ok(self.sender.send(payload)?)
            }
            result => Ok(result?),
        }
    }

    /// Hears for so long whether the host was not reached, and tells of the first time.
    fn listen_for_trouble(&mut self, wait: Duration, output: &mut Output) -> anyhow::Result<()> {
        if !self.unicast {
            return Ok(());
        }
        let Some(unreachable) = self.sender.unreachable(wait)? else {
            return Ok(());
        };
        if self.trouble.is_none() {
            let trouble = Trouble::new(&self.sender, unreachable);
            output.object(&trouble)?;
            output.flush()?;
            output::problem(trouble);
        }
        self.trouble = Some(unreachable);
        Ok(())
    }
}

fn remark_on_hops(sender: &Sender, output: &Output) {
    match sender.hops() {
        0 => output.warn(
            "a hop limit of 0 means this host alone, but Linux keeps to that only where this host \
             is a member of the group itself; elsewhere the datagram leaves",
        ),
        1 => output.detail(format_args!(
            "hop limit 1: the datagrams stay on the link of {}; '--hops 8' crosses up to seven \
             routers that forward the group",
            sender.interface()
        )),
        _ => {}
    }
}

/// A datagram that was handed to the kernel.
#[derive(Serialize)]
struct Report {
    event: &'static str,
    bytes: usize,
    to: String,
    from: String,
    interface: String,
    hops: u8,
}

impl From<&Sent> for Report {
    fn from(sent: &Sent) -> Self {
        Self {
            event: "sent",
            bytes: sent.bytes,
            to: named(sent.to, &sent.interface),
            from: named(sent.from, &sent.interface),
            interface: sent.interface.to_string(),
            hops: sent.hops,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            to,
            from,
            interface,
            hops,
            ..
        } = self;
        let bytes = counted(self.bytes as u64, "byte");
        write!(
            f,
            "{bytes} to {to} from {from} by {interface}, hop limit {hops}"
        )
    }
}

/// A host that was not reached.
#[derive(Serialize)]
struct Trouble {
    event: &'static str,
    to: String,
    errno: i32,
    #[serde(skip)]
    why: manycast::Error,
}

impl Trouble {
    fn new(sender: &Sender, unreachable: Unreachable) -> Self {
        let Unreachable { peer, errno, .. } = unreachable;
        let to = named(peer, sender.interface());
        Self {
            event: if unreachable.is_refused() {
                "refused"
            } else {
                "unreachable"
            },
            to,
            errno,
            why: unreachable.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

/// Where the payloads come from.
enum Source {
    Message {
        payload: Vec<u8>,
        left: u64,
    },
    Reader {
        inputs: Receiver<Input>,
        name: String,
    },
}

impl Source {
    fn open(args: &Args, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let stdin = || BufReader::new(io::stdin());
        let (inputs, name) = match (&args.message, &args.file) {
            (Some(message), _) => {
                return Ok(Self::Message {
                    payload: message.as_encoded_bytes().to_vec(),
                    left: args.count.unwrap_or(1),
                });
            }
            (None, None) => (
                input::lines(stdin(), interrupt),
                "standard input".to_owned(),
            ),
            (None, Some(_)) if args.size > MAX_PAYLOAD => {
                let most = grouped(MAX_PAYLOAD as u64);
                bail!(
                    "a piece has at most {most} bytes; write --size 1316, which passes everywhere"
                )
            }
            (None, Some(path)) if path == Path::new("-") => (
                input::pieces(stdin(), args.size, interrupt),
                "standard input".to_owned(),
            ),
            (None, Some(path)) => {
                let name = path.display().to_string();
                let file =
                    File::open(path).map_err(|error| anyhow!("cannot open {name}: {error}"))?;
                (
                    input::pieces(BufReader::new(file), args.size, interrupt),
                    name,
                )
            }
        };
        Ok(Self::Reader { inputs, name })
    }

    /// The next payload; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Message { left: 0, .. } => Ok(None),
            Self::Message { payload, left } => {
                *left -= 1;
                Ok(Some(payload.clone()))
            }
            Self::Reader { inputs, name } => match inputs.recv() {
                Ok(Input::Payload(payload)) => Ok(Some(payload)),
                Ok(Input::Failed(error)) => Err(anyhow!("cannot read {name}: {error}")),
                Ok(Input::End | Input::Interrupted) | Err(_) => Ok(None),
            },
        }
    }
}

/// When the next datagram may go.
struct Pace {
    interval: Duration,
    rate: Option<Rate>,
    next: Option<Instant>,
}

/// What was slept too long is made up for, but not what was lost by a slow source.
const CATCH_UP: Duration = Duration::from_millis(10);

impl Pace {
    fn new(args: &Args) -> Self {
        Self {
            interval: args.interval.unwrap_or_default(),
            rate: args.rate,
            next: None,
        }
    }

    /// Waits until the next datagram may go, and says whether the user has asked for an end.
    fn wait(&mut self, interrupt: &Interrupt) -> bool {
        let now = Instant::now();
        let next = self
            .next
            .map_or(now, |next| match now.checked_sub(CATCH_UP) {
                Some(earliest) => next.max(earliest),
                None => next,
            });
        self.next = Some(next);
        interrupt.wait_until(next)
    }

    /// Takes into account that so many bytes went.
    fn spent(&mut self, bytes: usize) {
        let time = self
            .rate
            .map_or(Duration::ZERO, |rate| rate.time_for(bytes));
        self.next = self
            .next
            .and_then(|next| next.checked_add(time.max(self.interval)));
    }
}

#[derive(Default)]
struct Total {
    /// Payloads; each goes by every interface.
    rounds: u64,
    datagrams: u64,
    bytes: u64,
}

impl Total {
    fn summary(&self, elapsed: Duration) -> String {
        let bits = self.bytes as f64 * 8.0 / elapsed.as_secs_f64().max(1e-9);
        let (rate, unit) = match bits {
            bits if bits >= 1e9 => (bits / 1e9, "Gbit/s"),
            bits if bits >= 1e6 => (bits / 1e6, "Mbit/s"),
            bits if bits >= 1e3 => (bits / 1e3, "kbit/s"),
            bits => (bits, "bit/s"),
        };
        format!(
            "sent {}, {} in {} ({rate:.1} {unit})",
            counted(self.datagrams, "datagram"),
            counted(self.bytes, "byte"),
            Span(elapsed)
        )
    }
}
