//! Listening, and counting what comes.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use manycast_net::{Counters, ErrorKind, SocketConfig};
use manycast_types::{Address, InterfaceSelector, Received};

use super::context::total;
use super::ear::Ear;
use super::rules::Ledger;
use super::{Context, Flow, Obstacle, Target, Watched, self_test};
use crate::{Error, Listener};

/// How long is listened on other interfaces and to other sources, at most.
const WIDE: Duration = Duration::from_secs(3);

/// How many datagrams are proof enough that something comes there.
const ENOUGH: u64 = 20;

/// For so long the host reports a membership that is new, on loopback to itself as well: RFC 9776
/// §8.11 and RFC 3810 §9.11 say a second. Counters are read after it.
const REPORTS: Duration = Duration::from_millis(1100);

/// Whoever floods a group from many sources gets no more of the memory than this.
const MOST_FLOWS: usize = 256;

/// How many other groups are listened on beside the one in question.
const MOST_OTHERS: usize = 32;

/// A stream has ceased if it was silent at the end for this long, and for much longer than ever
/// before.
const SILENCE: Duration = Duration::from_secs(1);

/// Listens as a listener of the address would. Where nothing comes, listens to all sources on all
/// interfaces, and sends to itself.
pub(super) fn watch(context: &Context, duration: Duration) -> Result<Watched, Error> {
    let target = &context.target;
    let mut watched = Watched::default();
    let meter = Meter::start(target)?;
    let Some(mut listener) = open(std::slice::from_ref(&target.address), &mut watched)? else {
        return Ok(watched);
    };
    let began = Instant::now();
    listen(
        &mut listener,
        began,
        REPORTS.min(duration),
        None,
        &mut watched,
    )?;
    let settled = Counters::read()?;
    listen(&mut listener, began, duration, None, &mut watched)?;
    meter.stop(context, &settled, &mut watched)?;
    watched.lasted = duration;
    watched.buffer = Some(listener.receive_buffer()?);

    if !target.is_group() {
        return Ok(watched);
    }
    if watched.exact.is_empty() {
        // One socket at a time: where another program shares the port by SO_REUSEPORT alone, so do
        // these, and then Linux 6.18 may hand what one of them admits to the other.
        drop(listener);
        let any = Address::from(SocketAddr::new(target.ip, target.port));
        if any != target.address {
            let mut tried = Watched::default();
            if let Some(mut listener) = open(&[any], &mut tried)? {
                let most = duration.min(WIDE);
                listen(
                    &mut listener,
                    Instant::now(),
                    most,
                    Some(ENOUGH),
                    &mut tried,
                )?;
                watched.wide = tried.exact;
            }
        }
        if watched.wide.is_empty() && !is_used_by_others(context) {
            watched.self_tests = self_test::run(target, &watched.joined, &context.host);
        }
    } else if has_ceased(&watched) {
        drop(listener);
        let mut again = Watched::default();
        if let Some(mut listener) = open(std::slice::from_ref(&target.address), &mut again)? {
            listen(&mut listener, Instant::now(), WIDE, Some(1), &mut again)?;
            watched.revived = Some(!again.exact.is_empty());
        }
    }
    Ok(watched)
}

/// Listens to all sources on all interfaces, and to the other groups that are joined here, to tell
/// what another program could receive. Where the port cannot be shared, only counters tell.
pub(super) fn watch_program(context: &Context, duration: Duration) -> Result<Watched, Error> {
    let target = &context.target;
    let mut addresses = vec![Address::from(SocketAddr::new(target.ip, target.port))];
    if target.is_group() {
        let others = context
            .host
            .joined_by_programs(target.is_ipv4())
            .filter(|joined| joined.group != target.ip);
        for joined in others.take(MOST_OTHERS) {
            let other = SocketAddr::new(joined.group, target.port);
            let here = InterfaceSelector::Index(joined.interface.index);
            addresses.push(Address::from(other).on(here));
        }
    }
    let mut watched = Watched::default();
    let meter = Meter::start(target)?;
    let mut listener = open(&addresses, &mut watched)?;
    let began = Instant::now();
    let soon = REPORTS.min(duration);
    wait(listener.as_mut(), began, soon, &mut watched)?;
    let settled = Counters::read()?;
    wait(listener.as_mut(), began, duration, &mut watched)?;
    meter.stop(context, &settled, &mut watched)?;
    watched.lasted = duration;
    let (flows, others) = std::mem::take(&mut watched.exact)
        .into_iter()
        .partition(|flow| flow.destination.ip() == target.ip);
    watched.wide = flows;
    watched.others = others;
    watched.exact = watched
        .wide
        .iter()
        .filter(|flow| target.admits(flow))
        .cloned()
        .collect();
    Ok(watched)
}

/// What is read before the group is joined, when that has settled, and at the end: counters, and
/// with privileges the wire and the rules of the firewall.
struct Meter {
    ear: Option<Ear>,
    ledger: Option<Ledger>,
    before: Counters,
}

impl Meter {
    fn start(target: &Target) -> Result<Self, Error> {
        Ok(Self {
            ear: Ear::open(target),
            ledger: Ledger::open(),
            before: Counters::read()?,
        })
    }

    fn stop(
        self,
        context: &Context,
        settled: &Counters,
        watched: &mut Watched,
    ) -> Result<(), Error> {
        let end = Counters::read()?;
        let Context { target, host, .. } = context;
        let named = target.interface.as_ref();
        let concerned = host
            .interfaces
            .iter()
            .filter(|interface| named.is_none_or(|named| named.index == interface.index));
        let names: Vec<_> = concerned.map(|interface| &*interface.name).collect();
        let to = SocketAddr::new(target.ip, target.port);
        watched.rules = self.ledger.and_then(|ledger| ledger.close(to, &names));
        watched.heard = self.ear.and_then(Ear::finish);
        watched.joining = end.since(&self.before);
        watched.counters = end.since(settled);
        Ok(())
    }
}

/// Listens, or where that is impossible lets so much time pass: nothing tells of counters that move.
fn wait(
    listener: Option<&mut Listener>,
    start: Instant,
    duration: Duration,
    watched: &mut Watched,
) -> Result<(), Error> {
    match listener {
        Some(listener) => listen(listener, start, duration, None, watched),
        None => {
            thread::sleep(duration.saturating_sub(start.elapsed()));
            Ok(())
        }
    }
}

/// Opens a listener, and notes where it has joined, or which fault keeps it from being opened.
fn open(addresses: &[Address], watched: &mut Watched) -> Result<Option<Listener>, Error> {
    match Listener::open(addresses, SocketConfig::default()) {
        Ok(listener) => {
            let group = addresses.first().and_then(Address::group);
            watched.joined = listener
                .memberships()
                .filter(|membership| {
                    group
                        .as_ref()
                        .is_some_and(|group| group.address == membership.group.ip())
                })
                .map(|membership| membership.interface.clone())
                .collect();
            Ok(Some(listener))
        }
        Err(error)
            if [ErrorKind::AddressInUse, ErrorKind::LimitReached].contains(&error.kind()) =>
        {
            watched.obstacle = Some(Obstacle {
                kind: error.kind(),
                text: error.to_string(),
            });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Counts what comes into `exact`, until so long after the start or until there are so many.
fn listen(
    listener: &mut Listener,
    start: Instant,
    duration: Duration,
    enough: Option<u64>,
    watched: &mut Watched,
) -> Result<(), Error> {
    loop {
        let elapsed = start.elapsed();
        if elapsed >= duration || enough.is_some_and(|enough| total(&watched.exact) >= enough) {
            return Ok(());
        }
        for received in listener.recv_batch(Some(duration - elapsed))? {
            watched.dropped = watched.dropped.max(received.dropped);
            count(&mut watched.exact, &received, start.elapsed());
        }
    }
}

/// Adds a datagram to the flow that it belongs to.
fn count(flows: &mut Vec<Flow>, received: &Received<'_>, at: Duration) {
    let hops = |flow: &Flow| match (flow.hops, received.hops) {
        (Some(least), Some(left)) => Some(least.min(left)),
        (least, left) => least.or(left),
    };
    if let Some(flow) = flows.iter_mut().find(|flow| flow.is_of(received)) {
        flow.datagrams += 1;
        flow.largest = flow.largest.max(received.payload.len());
        flow.hops = hops(flow);
        flow.longest_gap = flow.longest_gap.max(at.saturating_sub(flow.last));
        flow.last = at;
    } else if flows.len() < MOST_FLOWS {
        flows.push(Flow {
            source: received.source,
            destination: received.destination,
            interface: received.interface.clone(),
            datagrams: 1,
            largest: received.payload.len(),
            hops: received.hops,
            first: at,
            last: at,
            longest_gap: Duration::ZERO,
        });
    }
}

/// Whether every stream fell silent before the end.
pub(super) fn has_ceased(watched: &Watched) -> bool {
    !watched.exact.is_empty()
        && watched.exact.iter().all(|flow| {
            let silence = watched.lasted.saturating_sub(flow.last);
            flow.datagrams > 2 && silence > SILENCE.max(flow.longest_gap * 4)
        })
}

/// Whether another program would receive what is sent to the address.
fn is_used_by_others(context: &Context) -> bool {
    context
        .host
        .sockets
        .iter()
        .any(|socket| socket.local.port() == context.target.port)
}
