//! A network in virtual time: hosts that run protocols, and links that lose, delay, reorder and
//! duplicate what they carry.
//!
//! ```text
//!   host ── endpoint ── Protocol        host ── endpoint ── Protocol
//!     │      (port, groups)               │
//!     └───── Link: loss, delay, … ────────┘       one per pair of hosts and direction
//! ```
//!
//! Nothing here waits: [`Sim::step`] moves the clock to whatever happens next. All chance follows
//! from one seed, so a run can be repeated exactly; a test that fails prints the seed.
//!
//! ```
//! use std::time::Duration;
//!
//! use manycast_lab::sim::{Link, Sim, seeds};
//! use manycast_proto::ask::{Client, ClientConfig, Responder, ResponderConfig};
//! use manycast_types::Group;
//!
//! for seed in seeds(3) {
//!     let mut sim = Sim::new(seed);
//!     sim.set_links(Link { delay: Duration::from_millis(20), ..Link::default() });
//!
//!     let server = sim.add_host(["10.0.0.2"]);
//!     let responder = sim.bind(server, 8888, Responder::new(ResponderConfig::default()));
//!     sim.join(responder, Group::new([239, 192, 0, 100].into()));
//!
//!     let asker = sim.add_host(["10.0.0.1"]);
//!     let question = ClientConfig::new(([239, 192, 0, 100], 8888).into(), "hello");
//!     let client = Client::new(question, sim.seed());
//!     let client = sim.bind(asker, 40_000, client);
//!
//!     sim.run_for(Duration::from_secs(2));
//!     assert_eq!(sim.protocol(client).stats().answers, 1);
//! }
//! ```

mod any_order;
mod network;
mod node;
mod seed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::Protocol;
use manycast_proto::random::Random;
use manycast_types::{Group, InterfaceId};

pub use crate::{Bursts, Link};
pub use any_order::any_order;
pub use seed::seeds;

use crate::link::LinkState;
use node::{Node, Polled, Running};

/// How many outputs in a row, or steps at one instant, are taken for an endless loop.
const ENDLESS: usize = 100_000;

/// The network, its hosts, and their clock.
pub struct Sim {
    seed: u64,
    random: Random,
    start: Instant,
    now: Instant,
    steps_now: usize,
    links: Link,
    paths: BTreeMap<(Host, Host), Path>,
    hosts: Vec<HostState>,
    endpoints: Vec<EndpointState>,
    on_the_way: BTreeMap<(Instant, u64), Arrival>,
    arrivals: u64,
    traffic: Traffic,
}

/// A host of a [`Sim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(usize);

/// A protocol that runs on a port of a host.
pub struct Endpoint<P> {
    index: usize,
    protocol: PhantomData<fn() -> P>,
}

/// What the network has done so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent, or forged; a datagram to a group counts once.
    pub sent: u64,
    /// Given to protocols; a datagram to a group counts once for each member.
    pub delivered: u64,
    /// Lost by a link, or cut off by a partition.
    pub lost: u64,
    /// Doubled by a link.
    pub duplicated: u64,
    /// Held back by a link, so that others could overtake.
    pub held_back: u64,
    /// Arrived at a port where nobody listens (any more).
    pub refused: u64,
    /// Sent to an address that no host has, or from one that the sender does not have.
    pub unroutable: u64,
}

struct Path {
    /// What [`Sim::set_link`] has set.
    link: Option<Link>,
    state: LinkState,
}

impl Path {
    const fn new(start: Instant) -> Self {
        Self {
            link: None,
            state: LinkState::new(start),
        }
    }
}

struct HostState {
    addresses: Vec<IpAddr>,
    interface: InterfaceId,
    /// On which side of each partition it is; hosts hear each other while these are equal.
    sides: Vec<bool>,
}

struct EndpointState {
    host: Host,
    port: u16,
    groups: Vec<Group>,
    node: Box<dyn Node>,
    deadline: Option<(Instant, &'static str)>,
    started: bool,
    open: bool,
}

#[derive(Clone)]
struct Arrival {
    host: Host,
    port: u16,
    what: What,
}

#[derive(Clone)]
enum What {
    Datagram {
        source: SocketAddr,
        destination: SocketAddr,
        payload: Bytes,
    },
    Refusal {
        peer: SocketAddr,
    },
}

impl Sim {
    /// An empty network, all of whose chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        // An `Instant` can be had from the clock only. It is where virtual time begins, and all
        // that is ever shown or compared is the time since.
        let start = Instant::now();
        Self {
            seed,
            random: Random::new(bytes),
            start,
            now: start,
            steps_now: 0,
            links: Link::default(),
            paths: BTreeMap::new(),
            hosts: Vec::new(),
            endpoints: Vec::new(),
            on_the_way: BTreeMap::new(),
            arrivals: 0,
            traffic: Traffic::default(),
        }
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    /// A seed for a protocol.
    pub fn seed(&mut self) -> [u8; 32] {
        self.random.seed()
    }

    /// What the network has done so far.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Makes all links like this, but those that [`set_link`](Self::set_link) has set.
    pub const fn set_links(&mut self, link: Link) {
        self.links = link;
    }

    /// Makes the link from one host to another like this; the way back stays as it is.
    pub fn set_link(&mut self, from: Host, to: Host, link: Link) {
        self.paths
            .entry((from, to))
            .or_insert_with(|| Path::new(self.start))
            .link = Some(link);
    }

    /// Cuts `hosts` off from all others. Among themselves they hear each other, if they did.
    pub fn partition(&mut self, hosts: impl IntoIterator<Item = Host>) {
        let cut_off: Vec<Host> = hosts.into_iter().collect();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.sides.push(cut_off.contains(&Host(index)));
        }
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        for host in &mut self.hosts {
            host.sides.clear();
        }
    }

    /// Adds a host with one interface and these addresses.
    ///
    /// # Panics
    ///
    /// When a text is no address.
    pub fn add_host<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) -> Host {
        let parse = |text: &str| match text.parse() {
            Ok(address) => address,
            Err(_) => panic!("{text:?} is no address"),
        };
        let addresses = addresses.into_iter().map(parse).collect();
        let interface = InterfaceId::new(2, "eth0");
        // A newcomer is on the side of those that no partition has named.
        let partitions = self.hosts.first().map_or(0, |host| host.sides.len());
        self.hosts.push(HostState {
            addresses,
            interface,
            sides: vec![false; partitions],
        });
        Host(self.hosts.len() - 1)
    }

    /// Runs `protocol` on a port of `host` until it has finished. It starts with the next step, so
    /// there is time to [`join`](Self::join) groups.
    ///
    /// Several protocols can share a port: each gets what is sent to its groups; the one that was
    /// bound last gets what is sent to the host.
    pub fn bind<P>(&mut self, host: Host, port: u16, protocol: P) -> Endpoint<P>
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        let index = self.endpoints.len();
        self.endpoints.push(EndpointState {
            host,
            port,
            groups: Vec::new(),
            node: Box::new(Running::new(protocol)),
            deadline: None,
            started: false,
            open: true,
        });
        Endpoint {
            index,
            protocol: PhantomData,
        }
    }

    /// Makes an endpoint a member of `group`. The group's interface does not matter: hosts have
    /// but one.
    pub fn join<P>(&mut self, endpoint: Endpoint<P>, group: Group) {
        self.leave(endpoint, group.address);
        self.endpoints[endpoint.index].groups.push(group);
    }

    /// Ends a membership.
    pub fn leave<P>(&mut self, endpoint: Endpoint<P>, group: IpAddr) {
        self.endpoints[endpoint.index]
            .groups
            .retain(|other| other.address != group);
    }

    /// Ends a protocol, as a driver does: it may send its farewell, then the port is closed.
    pub fn stop<P>(&mut self, endpoint: Endpoint<P>) {
        self.close(endpoint.index);
    }

    /// Sends a datagram from `host` that claims to come from `source`.
    pub fn forge(
        &mut self,
        host: Host,
        source: SocketAddr,
        destination: SocketAddr,
        payload: impl Into<Bytes>,
    ) {
        self.put_out(host, source, destination, &payload.into());
    }

    /// The protocol itself, for its statistics.
    pub fn protocol<P>(&self, endpoint: Endpoint<P>) -> &P
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        &self.running(endpoint).protocol
    }

    /// Gives a command to a protocol, and sends what it makes of it.
    pub fn command<P, R>(
        &mut self,
        endpoint: Endpoint<P>,
        command: impl FnOnce(&mut P, Instant) -> R,
    ) -> R
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        let now = self.now;
        let running = self.endpoints[endpoint.index]
            .node
            .as_any_mut()
            .downcast_mut();
        let running: &mut Running<P> = running.expect("an endpoint is made with its protocol");
        let result = command(&mut running.protocol, now);
        self.drain(endpoint.index);
        result
    }

    /// What a protocol has told its application, and when, since the beginning.
    pub fn events<P>(&self, endpoint: Endpoint<P>) -> &[(Duration, P::Event)]
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        &self.running(endpoint).events
    }

    /// Whether a protocol still runs.
    pub fn is_running<P>(&self, endpoint: Endpoint<P>) -> bool {
        self.endpoints[endpoint.index].open
    }

    /// Moves the clock to the next start, arrival or deadline and lets it happen. False when nothing will
    /// happen any more.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next() else {
            return false;
        };
        self.steps_now = if next > self.now {
            0
        } else {
            self.steps_now + 1
        };
        assert!(
            self.steps_now < ENDLESS,
            "time stands still at {:?}",
            self.elapsed()
        );
        self.now = self.now.max(next);

        if let Some(index) = self.endpoints.iter().position(|endpoint| !endpoint.started) {
            self.start(index);
            return true;
        }
        match self
            .on_the_way
            .first_entry()
            .filter(|entry| entry.key().0 <= next)
        {
            Some(arrival) => {
                let arrival = arrival.remove();
                self.arrive(arrival);
            }
            None => self.time_out(next),
        }
        true
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until `condition` holds, but no longer than `limit`; says whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !condition(self) {
            if self.next().is_none_or(|next| next > end) {
                self.now = end;
                return false;
            }
            self.step();
        }
        true
    }

    fn running<P>(&self, endpoint: Endpoint<P>) -> &Running<P>
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        let running = self.endpoints[endpoint.index].node.as_any().downcast_ref();
        running.expect("an endpoint is made with its protocol")
    }

    /// When the next thing happens.
    fn next(&self) -> Option<Instant> {
        if self.endpoints.iter().any(|endpoint| !endpoint.started) {
            return Some(self.now);
        }
        let arrival = self.on_the_way.keys().next().map(|(at, _)| *at);
        let deadline = self
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.deadline)
            .min();
        arrival.into_iter().chain(deadline.map(|(at, _)| at)).min()
    }

    fn time_out(&mut self, at: Instant) {
        let due = |endpoint: &EndpointState| endpoint.deadline.is_some_and(|(when, _)| when == at);
        let Some(index) = self.endpoints.iter().position(due) else {
            return;
        };
        self.endpoints[index].node.handle_timeout(self.now);
        self.drain(index);
        if let Some((again, reason)) = self.endpoints[index].deadline {
            assert!(
                again > self.now,
                "the wait for {reason} goes on after its deadline"
            );
        }
    }

    fn start(&mut self, index: usize) {
        let endpoint = &mut self.endpoints[index];
        if !std::mem::replace(&mut endpoint.started, true) {
            endpoint.node.start(self.now);
            self.drain(index);
        }
    }

    /// Does what a protocol wants, until it waits.
    fn drain(&mut self, index: usize) {
        let elapsed = self.elapsed();
        for _ in 0..ENDLESS {
            match self.endpoints[index].node.poll(self.now, elapsed) {
                Polled::Transmit(transmit) => self.send(index, transmit),
                Polled::Event => {}
                Polled::Request(request) => panic!("hosts do no requests yet: {request:?}"),
                Polled::Wait(deadline) => {
                    // What a closed endpoint waits for never comes.
                    self.endpoints[index].deadline =
                        deadline.filter(|_| self.endpoints[index].open);
                    return;
                }
                Polled::Finished => return self.close(index),
            }
        }
        panic!("a protocol has sent or told {ENDLESS} things in a row without waiting");
    }

    fn close(&mut self, index: usize) {
        self.start(index);
        let endpoint = &mut self.endpoints[index];
        endpoint.deadline = None;
        if std::mem::take(&mut endpoint.open) {
            endpoint.node.stop(self.now);
            self.drain(index);
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "simulation failed at {:?} with seed {seed}; set {variable}={seed} to repeat it",
                self.elapsed(),
                seed = self.seed,
                variable = seed::VARIABLE,
            );
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed())
            .field("hosts", &self.hosts.len())
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}

impl<P> Clone for Endpoint<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Endpoint<P> {}

impl<P> fmt::Debug for Endpoint<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.index).finish()
    }
}
