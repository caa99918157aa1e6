//! Datagrams that this host sends to itself, to see whether they come back.
//!
//! What a host sends to a group that it is a member of turns round in the kernel, and passes the
//! hooks of the firewall as if it had come in by the interface. With hop limit 0 it goes nowhere
//! else. Sent to the group in question and to one that nobody uses, it tells a firewall's rule
//! from everything else, whatever other traffic there is.
//!
//! Where another program has the port, it would be given them too. By IPv6, they are sent without a
//! checksum then, and the kernel gives such to sockets alone that ask for them (RFC 6935,
//! `UDP_NO_CHECK6_RX`). By IPv4 every socket takes them, so nothing is sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::{CounterTables, Counters};
use manycast_net::{ErrorKind, Interface, RecvBatch, Socket, SocketConfig};
use manycast_types::{InterfaceId, SourceFilter, Transmit, with_zone};

use super::rules::{RuleCounters, Way};
use super::{Cancellation, Refusal, SelfTest, Snapshot, Tally, Target};
use manycast_io::seed;

/// How many datagrams are sent.
pub(super) const COUNT: u64 = 10;

/// How long sending them takes at most where this thread is not kept from running.
const CALM: Duration = Duration::from_millis(3);

/// How long is waited before they are sent anew.
const REST: Duration = Duration::from_millis(5);

/// For how long they are sent anew at most, until it takes no longer than that.
const MOST_ROUNDS: Duration = Duration::from_secs(1);

/// How often they may not have come to IP by then, until they are taken to be taken away before it.
const ABSENT: u32 = 5;

/// How long is waited for the kernel to hand them to IP, before its counters are read again.
const MOMENT: Duration = Duration::from_micros(100);

/// How long they are waited for. They need no network, so they are there at once or never.
const PATIENCE: Duration = Duration::from_millis(300);

/// Of so many tests nothing comes back until no more are made.
const MOST_BLOCKED: usize = 4;

/// Tests each interface on which the group is joined and that has an address to send from, in this order,
/// until it is cancelled. The port is `shared` where another program has it.
pub(super) fn run(
    target: &Target,
    joined: &[InterfaceId],
    host: &Snapshot,
    shared: bool,
    cancellation: &Cancellation,
) -> Vec<SelfTest> {
    // By IPv4 that program would receive what is sent to the group. So nothing is, and only where this
    // host may not send to groups at all, that is found.
    let quiet = shared && target.is_ipv4();
    let to = if quiet {
        SocketAddr::new(unused(target.ip), 0)
    } else {
        SocketAddr::new(target.ip, target.port)
    };
    let interfaces = joined
        .iter()
        .filter_map(|id| host.interface(id.index))
        .filter(|interface| !interface.loopback);
    let mut tests = until_blocked(
        interfaces
            .take_while(|_| !cancellation.is_requested())
            .filter_map(|interface| test(interface, to, shared)),
    );
    tests.retain(|test| !quiet || test.refused.is_some());
    tests
}

/// Tests until nothing came back of some: each of them takes most of a second, and of many interfaces the
/// others are hardly another matter.
pub(super) fn until_blocked(tests: impl Iterator<Item = SelfTest>) -> Vec<SelfTest> {
    let (mut done, mut blocked) = (Vec::new(), 0);
    for test in tests {
        blocked += usize::from(test.received == 0);
        done.push(test);
        if blocked == MOST_BLOCKED {
            break;
        }
    }
    done
}

/// Tests one interface; `None` where it cannot be tried.
pub(super) fn test(interface: &Interface, to: SocketAddr, shared: bool) -> Option<SelfTest> {
    let source = interface
        .addresses
        .iter()
        .find(|own| own.address.is_ipv4() == to.is_ipv4() && own.is_usable())?
        .address;
    let before = Counters::read().ok()?;
    let nobody = SocketAddr::new(unused(to.ip()), 0);
    let control = there_and_back(interface, source, nobody, shared, None);
    let mut rule_counters = RuleCounters::open();
    let tested = there_and_back(interface, source, to, shared, rule_counters.as_mut());
    // What the rules dropped while these were waited for was of others.
    let way = Way {
        from: Some(source),
        by: vec![interface.name.to_string()],
    };
    let rules = rule_counters.and_then(|counters| counters.within().close(to, &[way]));
    let is_forbidden = |error: &manycast_net::Error| error.errno() == Some(libc::EPERM);
    let (back, refused) = match (tested, &control) {
        // There is nothing to compare it with.
        (Ok(_), Err(error)) if !is_forbidden(error) => return None,
        (Ok(back), _) => (back, None),
        // Another program has the port, and shares it no more than that.
        (Err(error), _) if error.kind() == ErrorKind::AddressInUse => return None,
        (Err(error), control) => {
            let refusal = Refusal {
                error: error.to_string(),
                is_forbidden: is_forbidden(&error),
                is_of_all: control.is_err(),
            };
            (Back::default(), Some(refusal))
        }
    };
    let control = control.unwrap_or_default();
    let moved = Counters::read().ok()?.since(&before);
    Some(SelfTest {
        meanwhile: Tally::of(&moved, to.is_ipv4()),
        lost: [back.lost, control.lost],
        ipsec: back.ipsec,
        took: back.took,
        interface: interface.id(),
        sent: COUNT,
        received: back.received,
        control: control.received,
        refused,
        rules,
    })
}

/// What came back.
#[derive(Default)]
struct Back {
    received: u64,
    /// Packets of any kind that came to IP and went no further while it was sent.
    lost: u64,
    /// How many of any kind policies of IPsec refused meanwhile, and how many they held back.
    ipsec: [u64; 2],
    /// How long it took to be sent.
    took: Duration,
}

/// Sends to a group by an interface, and counts what comes back, and how many packets came to IP and
/// went no further while it was sent: that takes about a millisecond, so that little else comes
/// meanwhile. Where it took longer, since this host is busy, it is sent anew, and what was sent before
/// does not count. Port 0 stands for a free one.
fn there_and_back(
    interface: &Interface,
    source: IpAddr,
    to: SocketAddr,
    shared: bool,
    mut rules: Option<&mut RuleCounters>,
) -> Result<Back, manycast_net::Error> {
    let config = SocketConfig::default()
        .share_port(to.port() != 0)
        .multicast_hops(0)
        .multicast_interface(Some(interface.index))
        .report_unreachable(false);
    let receiver = Socket::bind(with_zone(to, interface.index), &config)?;
    // Only from itself: to the network, this adds no source that was not asked for.
    let own = SourceFilter::Include(vec![source]);
    receiver.join(to.ip(), interface.index, &own)?;
    let to = SocketAddr::new(to.ip(), receiver.local_addr()?.port());

    let any = if to.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let sender = Socket::bind((any, 0).into(), &config)?;
    if shared {
        receiver.omit_checksum()?;
        sender.omit_checksum()?;
    }
    let ipv4 = to.is_ipv4();
    let mut batch = RecvBatch::with_capacity(16);
    let (first, mut absent) = (Instant::now(), 0);
    let (token, tally, took) = loop {
        let token = seed();
        let mut transmit = Transmit::new(with_zone(to, interface.index), &token[..]);
        transmit.source = Some(source);
        transmit.interface = Some(interface.index);
        if let Some(rules) = &mut rules {
            rules.begin();
        }
        // The counters are read within the time that is told, however long that takes.
        let (began, before) = (Instant::now(), CounterTables::read_of_ip(ipv4)?);
        for _ in 0..COUNT {
            sender.send(&transmit)?;
        }
        // A busy host hands them to IP a little later, by a thread of the kernel (ksoftirqd).
        let (tally, took) = loop {
            let after = CounterTables::read_of_ip(ipv4)?;
            let took = began.elapsed();
            let moved = after.understood()?.since(&before.understood()?);
            let tally = Tally::of(&moved, ipv4);
            if tally.received >= COUNT || took > CALM {
                break (tally, took);
            }
            // That thread may wait for this processor.
            thread::sleep(MOMENT);
        };
        if let Some(rules) = &mut rules {
            rules.end();
        }
        absent += u32::from(tally.received < COUNT);
        // What does not come to IP is waited for, and little longer than that.
        let calm = took <= CALM || absent >= ABSENT && took <= CALM * 2;
        if calm || first.elapsed() > MOST_ROUNDS {
            break (token, tally, took);
        }
        // Who has just slept runs at once, and for as long as the scheduler lets anybody run. What was
        // received meanwhile makes room for what follows.
        thread::sleep(REST);
        while receiver.recv_batch(&mut batch, Some(Duration::ZERO))? > 0 {}
    };
    let mut received = 0;
    let deadline = Instant::now() + PATIENCE;
    while received < COUNT {
        let left = deadline.saturating_duration_since(Instant::now());
        receiver.recv_batch(&mut batch, Some(left))?;
        received += (0..batch.len())
            .filter_map(|index| batch.get(index))
            .filter(|datagram| datagram.payload == token)
            .count() as u64;
        if left.is_zero() {
            break;
        }
    }
    Ok(Back {
        received,
        lost: tally.lost(),
        ipsec: [tally.refused_by_ipsec, tally.held_by_ipsec],
        took,
    })
}

/// A group of the same version of IP that nobody uses.
fn unused(like: IpAddr) -> IpAddr {
    let [a, b, c, d, ..] = seed();
    match like {
        // RFC 2365 §6.1: the local scope.
        IpAddr::V4(_) => Ipv4Addr::new(239, 255, a, b | 1).into(),
        // RFC 4291 §2.7: transient, of the link.
        IpAddr::V6(_) => {
            let [high, low] = [[a, b], [c, d]].map(u16::from_be_bytes);
            Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d63, high, low).into()
        }
    }
}
