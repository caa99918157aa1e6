//! A network in virtual time: hosts that run protocols, and links that lose, delay, reorder and
//! duplicate what they carry.
//!
//! ```text
//!   host ── endpoint ── Protocol                       host ── endpoint ── Protocol
//!     │      (sockets, groups)                           │
//!  interface                                          interface
//!     │ access link                          access link │
//!   ──┴───── network ─────── route ─────── network ──────┴──
//!     └───────── Link: loss, delay, …, one per pair ─────┘
//! ```
//!
//! A plain scenario has one network and needs none of the words in the lower half:
//! [`Sim::set_links`] says what lies between any two hosts, [`Sim::set_link`] between two of them.
//! What several pairs share stands in a queue of its own, through which a datagram to a group goes
//! once: [`Sim::set_access`] between a host's interface and its network, [`Sim::add_route`] between
//! two networks.
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
//!
//! Three streams of 8 Mbit/s, which come from one network and meet in a queue of 10 Mbit/s:
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use manycast_lab::sim::{Bursts, Link, Network, Sim};
//! use manycast_proto::measure::{Receiver, ReceiverConfig, Sender, SenderConfig};
//!
//! let mut sim = Sim::new(1);
//! let far = sim.add_network();
//! let bottleneck = Link {
//!     rate: Some(10_000_000),
//!     queue: 64_000,
//!     delay: Duration::from_millis(20),
//!     bursts: Some(Bursts::new(0.01, 5.0)),
//!     ..Link::default()
//! };
//! sim.add_route(Network::FIRST, far, bottleneck, Link::default());
//!
//! let (now, time) = (sim.now(), SystemTime::UNIX_EPOCH);
//! let receiver = sim.add_host_on(far, ["10.0.1.1"]);
//! let measuring = Receiver::new(ReceiverConfig::default(), now, time, [7; 32]);
//! let receiver = sim.bind(receiver, 5001, measuring);
//! for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
//!     let config = SenderConfig {
//!         rate: Some(8_000_000),
//!         duration: Some(Duration::from_secs(2)),
//!         ..SenderConfig::new(([10, 0, 1, 1], 5001).into())
//!     };
//!     let sender = sim.add_host([address]);
//!     sim.bind(sender, 40_000, Sender::new(config, now, time));
//! }
//! sim.run_for(Duration::from_secs(3));
//!
//! // Of 24 Mbit/s, ten came through.
//! let streams = sim.protocol(receiver).streams();
//! let bytes: u64 = streams.map(|stream| stream.counters.bytes).sum();
//! assert!((2_300_000..2_600_000).contains(&bytes), "{bytes}");
//! assert!(sim.traffic().overflowed > 2_000);
//! ```

mod agenda;
mod any_order;
mod network;
mod node;
mod receive;
mod seed;
mod sockets;
#[cfg(test)]
mod tests;
mod topology;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::Protocol;
use manycast_proto::random::Random;
use manycast_types::Group;

pub use any_order::any_order;
pub use seed::seeds;
pub use topology::{Host, Network};

pub use crate::{Bursts, Link};

use agenda::{Agenda, What};
use network::{Packet, Transit};
use node::{Node, Running};
use receive::Gathered;
use sockets::{Joined, Socket};
use topology::{HostState, NetworkState, Path, Route};
use turns::ENDLESS;

/// How many bytes may wait for the link of a sender before it takes no more outputs: the send
/// buffer of a Linux socket (`net.core.wmem_default`).
const SEND_BUFFER: usize = 212_992;

/// How many links between two hosts are remembered before those are forgotten that may be.
const PAIRS: usize = 100_000;

/// The networks, their hosts, and their clock.
pub struct Sim {
    seed: u64,
    start: Instant,
    steps_now: usize,
    transit: Transit,
    links: Link,
    /// Of those pairs that are not like all others, or whose link has a memory.
    pairs: HashMap<(Host, Host), Path>,
    /// How many of them there are before some are forgotten.
    most_pairs: usize,
    networks: Vec<NetworkState>,
    routes: Vec<Route>,
    hosts: Vec<HostState>,
    /// Who has an address: the host, and the number of its interface.
    addresses: HashMap<IpAddr, (Host, usize)>,
    /// Where a group and port are joined.
    members: HashMap<(IpAddr, u16), Members>,
    endpoints: Vec<EndpointState>,
    merging: Option<Duration>,
}

/// How often a group is joined, by network, host and number of the interface.
type Members = BTreeMap<(Network, Host, usize), usize>;

/// A protocol that runs on a host.
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
    /// Dropped because the queue of a link was full.
    pub overflowed: u64,
    /// Doubled by a link.
    pub duplicated: u64,
    /// Held back by a link, so that others could overtake.
    pub held_back: u64,
    /// Arrived at a port where nobody listens (any more).
    pub refused: u64,
    /// Sent to an address that no host has or to which no route leads, or from one that the sender
    /// does not have.
    pub unroutable: u64,
    /// Handed to protocols as a run of two or more, each of the run counted.
    pub merged: u64,
}

struct EndpointState {
    host: Host,
    /// The port that it was bound to.
    port: u16,
    sockets: Vec<Socket>,
    next_socket: u64,
    joined: Vec<Joined>,
    node: Box<dyn Node>,
    deadline: Option<(Instant, &'static str)>,
    /// When the agenda looks at the deadline next.
    alarm: Option<Instant>,
    /// Received, but not handed over yet.
    gathered: Option<Gathered>,
    /// Whether its next turn stands in the agenda: it had too much to send for this one, or its send
    /// buffer is full.
    pausing: bool,
    started: bool,
    open: bool,
}

impl Sim {
    /// One network without hosts, all of whose chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        // An `Instant` can be had from the clock only. It is where virtual time begins, and all
        // that is ever shown or compared is the time since.
        let start = Instant::now();
        Self {
            seed,
            start,
            steps_now: 0,
            transit: Transit {
                now: start,
                random: Random::new(bytes),
                traffic: Traffic::default(),
                agenda: Agenda::default(),
            },
            links: Link::default(),
            pairs: HashMap::new(),
            most_pairs: PAIRS,
            networks: vec![NetworkState::default()],
            routes: Vec::new(),
            hosts: Vec::new(),
            addresses: HashMap::new(),
            members: HashMap::new(),
            endpoints: Vec::new(),
            merging: None,
        }
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.transit.now
    }

    /// The virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.transit.now.duration_since(self.start)
    }

    /// A seed for a protocol.
    pub fn seed(&mut self) -> [u8; 32] {
        self.transit.random.seed()
    }

    /// What the network has done so far.
    pub const fn traffic(&self) -> Traffic {
        self.transit.traffic
    }

    /// Hands datagrams to protocols by [`Protocol::handle_run`] from now on, as a kernel does that
    /// merges what it receives (GRO): those of equal length that come by one socket from one source
    /// to one destination, within this time of the first. `None`, as at first, hands over each by
    /// itself. Zero merges what arrives at the same instant.
    ///
    /// A protocol should end up the same either way, so a test runs it both ways:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use manycast_lab::sim::Sim;
    /// for merging in [None, Some(Duration::from_micros(50))] {
    ///     let mut sim = Sim::new(1);
    ///     sim.set_merging(merging);
    ///     // …
    /// }
    /// ```
    pub const fn set_merging(&mut self, within: Option<Duration>) {
        self.merging = within;
    }

    /// Runs `protocol` on `host` until it has finished, with a socket on `port`, or on a free port
    /// when `port` is 0, for any address of each version of IP that the host has. It starts with
    /// the next step, so there is time to [`join`](Self::join) groups. More sockets and groups it
    /// requests itself.
    ///
    /// Several protocols can share a port: each gets what is sent to its groups; the one that was
    /// bound last gets what is sent to the host.
    pub fn bind<P>(&mut self, host: Host, port: u16, protocol: P) -> Endpoint<P>
    where
        P: Protocol + 'static,
        P::Event: 'static,
    {
        let index = self.endpoints.len();
        let port = match port {
            0 => self.free_port(host).expect("a host has few sockets"),
            port => port,
        };
        let sockets = self.first_sockets(host, port);
        self.endpoints.push(EndpointState {
            host,
            port,
            next_socket: sockets.len() as u64,
            sockets,
            joined: Vec::new(),
            node: Box::new(Running::new(protocol)),
            deadline: None,
            alarm: None,
            gathered: None,
            pausing: false,
            started: false,
            open: true,
        });
        self.hosts[host.0].endpoints.push(index);
        self.transit.push(self.now(), What::Start(index));
        Endpoint {
            index,
            protocol: PhantomData,
        }
    }

    /// Makes an endpoint a member of `group`, on all interfaces of its host or on the one that the
    /// group names, and on the port that it was bound to. The protocol is not told; one that joins
    /// by a request is.
    ///
    /// # Panics
    ///
    /// When the host has no such interface.
    pub fn join<P>(&mut self, endpoint: Endpoint<P>, group: Group) {
        let port = self.endpoints[endpoint.index].port;
        self.leave(endpoint, group.address);
        if let Err(error) = self.join_group(endpoint.index, &group, port) {
            panic!("{error}");
        }
    }

    /// Ends a membership, on all interfaces and on the port that the endpoint was bound to.
    pub fn leave<P>(&mut self, endpoint: Endpoint<P>, group: IpAddr) {
        let port = self.endpoints[endpoint.index].port;
        self.leave_group(endpoint.index, &Group::new(group), port);
    }

    /// Ends a protocol, as a driver does: it may send its farewell, then its sockets are closed.
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
        let packet = Packet::new(host, source, destination, payload.into());
        self.emit(self.interface_to(host, destination.ip()), packet);
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
        let now = self.now();
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

    /// Moves the clock to the next start, arrival or deadline and lets it happen. False when nothing
    /// will happen any more.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next() else {
            return false;
        };
        self.steps_now = if next > self.now() {
            0
        } else {
            self.steps_now + 1
        };
        assert!(
            self.steps_now < ENDLESS.saturating_mul(self.endpoints.len().max(1)),
            "time stands still at {:?}",
            self.elapsed()
        );
        self.transit.now = self.now().max(next);
        match self.transit.agenda.pop() {
            Some(What::Start(index)) => self.start(index),
            Some(What::Turn(index)) => {
                self.endpoints[index].pausing = false;
                self.drain(index);
            }
            Some(What::Alarm(index)) => self.time_out(index),
            Some(What::Gathered(index, number)) => self.hand_over_run(index, number),
            Some(What::Spread(network, packet)) => self.spread(network, packet),
            Some(What::Access(port, packet)) => self.access(port, packet),
            Some(What::Arrival(port, packet)) => self.arrive(port, &packet),
            None => {}
        }
        true
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.transit.now = end;
    }

    /// Lets time pass until `condition` holds, but no longer than `limit`; says whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now() + limit;
        while !condition(self) {
            if self.next().is_none_or(|next| next > end) {
                self.transit.now = end;
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
            .field("traffic", &self.transit.traffic)
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
