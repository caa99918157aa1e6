//! Listening, and counting what comes.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Counters;
use manycast_net::{ErrorKind, Interface, SocketConfig};
use manycast_types::{Address, InterfaceId, InterfaceSelector, Received};

use super::apart::{Place, place};
use super::capture::CaptureThread;
use super::ceased::{has_ceased, was_regular};
use super::flow::total;
use super::host::links::LinkState;
use super::host::multicast_routes::{self, MulticastRoute, multicast_routes};
use super::host::{conntrack, ipsec, links};
use super::rules::{RuleCounters, Way};
use super::{
    Cancellation, CapturedStream, Context, Examination, Flow, Moved, Obstacle, SelfTest, Tally,
    Target, Watched, self_test,
};
use manycast_io::{Error, Listener};

/// How long is listened on other interfaces and to other sources, at most.
const WIDE: Duration = Duration::from_secs(3);

/// How long is looked at what comes while the group is not joined.
const SECOND: Duration = Duration::from_secs(1);

/// How long it may take to read what is there at the end.
const READ: Duration = Duration::from_millis(50);

/// How many datagrams are proof enough that something comes there.
const ENOUGH: u64 = 20;

/// For so long the host reports a membership that is new, on loopback to itself as well: RFC 9776
/// §8.11 and RFC 3810 §9.11 say a second. Counters are read after it.
pub(super) const REPORTS: Duration = Duration::from_millis(1100);

/// So many flows of the group are told apart, and as many of others.
const MOST_FLOWS: usize = 256;

/// How many other groups are listened on beside the one in question.
const MOST_OTHERS: usize = 32;

/// Listens as a listener of the address would. Where nothing comes, listens to all sources on all
/// interfaces, and sends to itself.
pub(super) fn watch(context: &Context, how: &Examination) -> Result<Watched, Error> {
    let (target, cancellation) = (&context.target, &how.cancellation);
    let duration = how.duration.max(Examination::SHORTEST);
    let mut watched = Watched::default();
    let meter = Meter::start(target)?;
    meter.set_heard(false);
    let Some(mut listener) = open(std::slice::from_ref(&target.address), &mut watched)? else {
        return Ok(watched);
    };
    meter.set_heard(true);
    let began = Instant::now();
    let soon = until(began, REPORTS.min(duration), cancellation);
    listen(&mut listener, target, &soon, &mut watched)?;
    let since = Counters::read()?;
    listen(
        &mut listener,
        target,
        &until(began, duration, cancellation),
        &mut watched,
    )?;
    meter.set_heard(false);
    finish(&mut listener, target, began, &mut watched)?;
    meter.stop(context, &since, &mut watched)?;
    watched.lasted = duration.min(began.elapsed());
    // Where the interface has gone meanwhile, there is no socket any more.
    watched.buffer = listener.receive_buffer().ok();

    if !target.is_group() {
        return Ok(watched);
    }
    if watched.exact.is_empty() {
        // One socket at a time: where another program shares the port by SO_REUSEPORT alone, so do
        // these, and then Linux 6.18 may hand what one of them admits to the other.
        drop(listener);
        let any = Address::from(SocketAddr::new(target.ip, target.port));
        if any != target.address && !cancellation.is_requested() {
            let mut tried = Watched::default();
            if let Some(mut listener) = open_again(&any, &mut tried) {
                let most = until(Instant::now(), duration.min(WIDE), cancellation).enough(ENOUGH);
                listen(&mut listener, target, &most, &mut tried)?;
                watched.wide = tried.exact;
            }
        }
        if watched.wide.is_empty() {
            watched.while_unjoined = while_unjoined(context, &watched, cancellation)?;
            let shared = context.shares_port();
            watched.self_tests = self_tests(context, &watched, shared, cancellation);
        }
    } else if has_ceased(&watched) && !cancellation.is_requested() {
        drop(listener);
        let mut again = Watched::default();
        if let Some(mut listener) = open_again(&target.address, &mut again) {
            // The first may be of a sender that sends now and then.
            let most = until(Instant::now(), WIDE, cancellation).enough(ENOUGH);
            listen(&mut listener, target, &most, &mut again)?;
            let comes_again = |new: &Flow| {
                let mut before = watched.exact.iter().filter(|old| was_regular(old));
                before.any(|old| old.source.ip() == new.source.ip())
            };
            watched.revived = Some(again.exact.iter().any(comes_again));
        }
    }
    Ok(watched)
}

/// Listens to all sources on all interfaces, and to the other groups that are joined here, to tell
/// what another program could receive. Where the port cannot be shared, only counters tell.
pub(super) fn watch_program(context: &Context, how: &Examination) -> Result<Watched, Error> {
    let (target, cancellation) = (&context.target, &how.cancellation);
    let duration = how.duration.max(Examination::SHORTEST);
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
    meter.set_heard(false);
    let mut listener = open(&addresses, &mut watched)?;
    meter.set_heard(true);
    let began = Instant::now();
    let soon = until(began, REPORTS.min(duration), cancellation);
    wait(listener.as_mut(), target, &soon, &mut watched)?;
    let since = Counters::read()?;
    wait(
        listener.as_mut(),
        target,
        &until(began, duration, cancellation),
        &mut watched,
    )?;
    meter.set_heard(false);
    if let Some(listener) = &mut listener {
        finish(listener, target, began, &mut watched)?;
    }
    meter.stop(context, &since, &mut watched)?;
    watched.lasted = duration.min(began.elapsed());
    let (flows, others) = std::mem::take(&mut watched.exact)
        .into_iter()
        .partition(|flow| flow.destination.ip() == target.ip);
    watched.wide = flows;
    watched.others = others;
    if target.is_group() && watched.wide.is_empty() {
        drop(listener);
        watched.self_tests = self_tests(context, &watched, true, cancellation);
    }
    watched.exact = watched
        .wide
        .iter()
        .filter(|flow| target.admits(flow))
        .cloned()
        .collect();
    Ok(watched)
}

/// What this host sends to itself, first by the interfaces by which it is to come, as far as that is known.
fn self_tests(
    context: &Context,
    watched: &Watched,
    shared: bool,
    cancellation: &Cancellation,
) -> Vec<SelfTest> {
    let (target, host) = (&context.target, &context.host);
    let captured = |id: &InterfaceId| {
        let streams = watched.captured.iter();
        let mut streams = streams.flat_map(|captured| captured.to_port(target.port));
        streams.any(|stream| [stream.interface, host.at_ip(stream.interface)].contains(&id.index))
    };
    let came = |id: &InterfaceId| {
        let moved = watched.counters.interfaces.get(&*id.name);
        moved.map_or(0, |moved| moved.received)
    };
    let mut joined = watched.joined.clone();
    joined.sort_by_key(|id| Reverse((captured(id), came(id))));
    self_test::run(target, &joined, host, shared, cancellation)
}

/// What the counters tell of a second in which this host is no member of the group, as it is now. Of
/// groups that are not joined, IP takes nothing in (`ip_route_input_mc`, `ip6_mc_input`), so what is
/// counted behind that is of others. Looked at where it was, and nothing else tells whose it is. Fragments
/// are none of it: where connections are tracked, they are put together before.
fn while_unjoined(
    context: &Context,
    watched: &Watched,
    cancellation: &Cancellation,
) -> Result<Option<Tally>, Error> {
    let target = &context.target;
    let moved = Tally::of(&watched.counters, target.is_ipv4());
    let is_told = watched.captured.is_some() || context.host.is_member(target.ip);
    if !moved.tells_a_reason() || is_told || cancellation.is_requested() {
        return Ok(None);
    }
    let before = Counters::read()?;
    cancellation.wait(SECOND);
    let moved = Counters::read()?.since(&before);
    Ok(Some(Tally::of(&moved, target.is_ipv4())))
}

/// What is read before the group is joined, a little after that, and at the end: counters, and
/// with privileges the wire and the rules of the firewall.
#[derive(Debug)]
pub(super) struct Meter {
    capture: Option<CaptureThread>,
    rule_counters: Option<RuleCounters>,
    before: Reading,
    /// When the capture had begun.
    begun: Option<Reading>,
    routes: Vec<MulticastRoute>,
}

/// The counters of this host at one moment.
#[derive(Debug)]
struct Reading {
    counters: Counters,
    links: Vec<LinkState>,
    conntrack: u64,
}

impl Reading {
    fn now() -> Result<Self, Error> {
        Ok(Self {
            conntrack: conntrack::drops(),
            links: links::links().unwrap_or_default(),
            counters: Counters::read()?,
        })
    }

    fn since(self, earlier: &Self) -> Moved {
        Moved {
            counters: self.counters.since(&earlier.counters),
            links: links::since(self.links, &earlier.links),
            conntrack_drops: self.conntrack.saturating_sub(earlier.conntrack),
        }
    }
}

impl Meter {
    pub(super) fn start(target: &Target) -> Result<Self, Error> {
        // The capture opens last and is closed first, so that it receives no more than is counted.
        let mut rule_counters = RuleCounters::open();
        let routes = multicast_routes(target.is_ipv4());
        let before = Reading::now()?;
        let capture = CaptureThread::open(target);
        let begun = capture.as_ref().map(|_| Reading::now()).transpose()?;
        if let Some(rule_counters) = &mut rule_counters {
            rule_counters.begin();
        }
        Ok(Self {
            capture,
            rule_counters,
            before,
            begun,
            routes,
        })
    }

    /// Says whether somebody listens to the address from now on: what is captured before and after is not
    /// missed.
    fn set_heard(&self, heard: bool) {
        if let Some(capture) = &self.capture {
            capture.set_heard(heard);
        }
    }

    /// Whether what comes by the wire is captured.
    pub(super) const fn captures(&self) -> bool {
        self.capture.is_some()
    }

    pub(super) fn stop(
        mut self,
        context: &Context,
        since: &Counters,
        watched: &mut Watched,
    ) -> Result<(), Error> {
        if let Some(rule_counters) = &mut self.rule_counters {
            rule_counters.end();
        }
        if let Some(begun) = &self.begun {
            watched.while_captured = Some(Reading::now()?.since(begun));
        }
        watched.captured = self.capture.and_then(CaptureThread::finish);
        let end = Reading::now()?;
        watched.counters = end.counters.since(since);
        let moved = end.since(&self.before);
        watched.joining = moved.counters;
        watched.links = moved.links;
        watched.conntrack_drops = moved.conntrack_drops;
        watched.interfaces = manycast_io::interfaces().ok();
        let target = &context.target;
        // Where any address of this host is asked for, it is that which they are sent to.
        let captured = watched.captured.iter();
        let mut captured = captured.flat_map(|captured| captured.to_port(target.port));
        let address = captured.next().map_or(target.ip, |one| one.destination);
        let to = SocketAddr::new(address, target.port);
        watched.routes_back = routes_back(watched);
        let routes = multicast_routes(target.is_ipv4());
        watched.multicast_routes = multicast_routes::since(routes, &self.routes);
        watched.translations = conntrack::translations(to).unwrap_or_default();
        watched.ipsec = ipsec::policies(to).ok();
        watched.rules = self
            .rule_counters
            .and_then(|rule_counters| rule_counters.close(to, &ways(context, watched)));
        Ok(())
    }
}

/// By which ways that is to come which does not, as far as it is captured.
fn ways(context: &Context, watched: &Watched) -> Vec<Way> {
    let Context { target, host, .. } = context;
    let captured = watched.captured.iter();
    let named = target.interface.as_ref();
    let is_wanted = |stream: &&CapturedStream| {
        let (at, at_ip) = (stream.interface, host.at_ip(stream.interface));
        target.sources.admits(stream.source.ip())
            && named.is_none_or(|named| named.index == at || named.index == at_ip)
    };
    let streams: Vec<_> = captured
        .flat_map(|captured| captured.to_port(target.port))
        .filter(is_wanted)
        .collect();
    let is_lost = |stream: &CapturedStream| {
        let received = watched.exact.iter();
        let mut received = received.filter(|flow| flow.destination.ip() == target.ip);
        received.all(|flow| flow.source.ip() != stream.source.ip())
    };
    let all_come = !streams.iter().any(|stream| is_lost(stream));
    let missing = streams
        .into_iter()
        .filter(|stream| all_come || is_lost(stream));
    let ways: Vec<Way> = missing
        .map(|stream| Way {
            from: Some(stream.source.ip()),
            by: host
                .with_masters(stream.interface)
                .map(|index| host.name_of(index))
                .collect(),
        })
        .collect();
    if !ways.is_empty() {
        return ways;
    }
    let concerned = host
        .interfaces
        .iter()
        .filter(|interface| named.is_none_or(|named| named.index == interface.index));
    let way = |interface: &Interface| Way {
        from: None,
        by: vec![interface.name.to_string()],
    };
    concerned.map(way).collect()
}

/// By which interface this host would answer those who were captured sending to the group.
fn routes_back(watched: &Watched) -> Vec<(IpAddr, Option<u32>)> {
    let streams = watched
        .captured
        .iter()
        .flat_map(|captured| &captured.streams);
    let mut sources: Vec<IpAddr> = streams.map(|stream| stream.source.ip()).collect();
    sources.sort();
    sources.dedup();
    let route = |source| {
        let route = manycast_net::route_to(source, None).ok()?;
        Some((source, route.map(|route| route.interface)))
    };
    sources.into_iter().filter_map(route).collect()
}

/// When to listen no longer.
struct Until<'a> {
    start: Instant,
    duration: Duration,
    enough: Option<u64>,
    cancellation: &'a Cancellation,
}

/// Until so long after the start, or until it is cancelled.
const fn until(start: Instant, duration: Duration, cancellation: &Cancellation) -> Until<'_> {
    Until {
        start,
        duration,
        enough: None,
        cancellation,
    }
}

impl Until<'_> {
    /// The same, or until so many datagrams have come.
    fn enough(self, datagrams: u64) -> Self {
        Self {
            enough: Some(datagrams),
            ..self
        }
    }

    /// How long still, if at all, where so much has come.
    fn left(&self, came: u64) -> Option<Duration> {
        let left = self.duration.saturating_sub(self.start.elapsed());
        let over = left.is_zero() || self.enough.is_some_and(|enough| came >= enough);
        (!over && !self.cancellation.is_requested()).then_some(left)
    }
}

impl Watched {
    /// Where it was joined before it was watched: adds what the host has sent since then, its
    /// reports among that. What came is counted for the time of the watch alone, as it is captured.
    pub(super) fn joined_at(&mut self, joined: &Counters) -> Result<(), Error> {
        let since = Counters::read()?.since(joined);
        let sent = since.values.into_iter();
        let sent = sent.filter(|(name, _)| name.contains("Out"));
        self.joining.values.extend(sent);
        self.joining.interfaces = since.interfaces;
        Ok(())
    }
}

/// Listens, or where that is impossible lets so much time pass: nothing tells of counters that move.
fn wait(
    listener: Option<&mut Listener>,
    target: &Target,
    until: &Until<'_>,
    watched: &mut Watched,
) -> Result<(), Error> {
    match listener {
        Some(listener) => listen(listener, target, until, watched),
        None => {
            until.cancellation.wait(until.left(0).unwrap_or_default());
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

/// The same after it was watched: the interface may have gone meanwhile, and then nothing more is tried.
fn open_again(address: &Address, watched: &mut Watched) -> Option<Listener> {
    open(std::slice::from_ref(address), watched).ok().flatten()
}

/// Counts what comes into `exact`.
fn listen(
    listener: &mut Listener,
    target: &Target,
    until: &Until<'_>,
    watched: &mut Watched,
) -> Result<(), Error> {
    until.cancellation.stops(listener.stopper()?);
    while let Some(left) = until.left(total(&watched.exact) + watched.beyond) {
        let batch = match listener.recv_batch(Some(left)) {
            Err(Error::Stopped) => break,
            batch => batch?,
        };
        take(batch, target, until.start, watched);
    }
    Ok(())
}

/// Counts what is there to be read already.
fn finish(
    listener: &mut Listener,
    target: &Target,
    began: Instant,
    watched: &mut Watched,
) -> Result<(), Error> {
    let end = Instant::now() + READ;
    while Instant::now() < end {
        let before = total(&watched.exact) + watched.beyond;
        match listener.recv_batch(Some(Duration::ZERO)) {
            Err(Error::Stopped) => break,
            batch => take(batch?, target, began, watched),
        }
        if total(&watched.exact) + watched.beyond == before {
            break;
        }
    }
    Ok(())
}

fn take<'a>(
    batch: impl IntoIterator<Item = Received<'a>>,
    target: &Target,
    began: Instant,
    watched: &mut Watched,
) {
    for received in batch {
        watched.dropped = watched.dropped.max(received.dropped);
        let is_told = count(&mut watched.exact, target.ip, &received, began.elapsed());
        watched.beyond += u64::from(!is_told && received.destination.ip() == target.ip);
    }
}

/// Adds a datagram to the flow that it belongs to, if there is a place for it. What goes to the address in
/// question has places of its own.
pub(super) fn count(
    flows: &mut Vec<Flow>,
    address: IpAddr,
    received: &Received<'_>,
    at: Duration,
) -> bool {
    let goes_there = |to: SocketAddr| to.ip() == address;
    let place = place(
        flows,
        |flow| flow.source == received.source && flow.is_of(received),
        |flow| flow.is_of(received),
        |flow| goes_there(flow.destination) == goes_there(received.destination),
        MOST_FLOWS,
    );
    let index = match place {
        Place::Same(index) => index,
        Place::OfHost(index) => {
            flows[index].source.set_port(0);
            index
        }
        Place::New => {
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
            return true;
        }
        Place::None => return false,
    };
    let flow = &mut flows[index];
    flow.datagrams += 1;
    flow.largest = flow.largest.max(received.payload.len());
    flow.hops = match (flow.hops, received.hops) {
        (Some(least), Some(left)) => Some(least.min(left)),
        (least, left) => least.or(left),
    };
    flow.longest_gap = flow.longest_gap.max(at.saturating_sub(flow.last));
    flow.last = at;
    true
}
