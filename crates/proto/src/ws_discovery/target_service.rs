//! Who is searched for: the target service.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{Group, InterfaceId, Received, Transmit};
use tracing::trace;

use super::{
    Body, LocalAddress, MAX_SENT, Message, PORT, Sequence, Service, TargetServiceConfig,
    TargetServiceEvent, Unsuitable, Version, parse,
};
use crate::local::{Allowance, may_ask};
use crate::places::{Places, joins};
use crate::random::Random;
use crate::soap_udp::{Seen, Transmissions, new_id, same_id};
use crate::timers::Deadlines;
use crate::told::NotSent;
use crate::{NetworkEvent, Output, Protocol};

/// How long the identifier of a question may be that is answered; a UUID has 45 characters.
pub(super) const MAX_ID: usize = 128;

/// Of how many questions it remembers that they came.
const REMEMBERED: usize = 1_024;

/// What a service without scopes has, in 1.1 (§5.1).
const DEFAULT_SCOPE: &str = "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01/DefaultScope";

/// Announces a service, and answers those who search for it.
///
/// It wants a driver with a socket of its own; it joins the groups itself.
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ws_discovery::{Location, TargetService, TargetServiceConfig, device_type};
/// use manycast_proto::{Output, Protocol, Request};
///
/// let config = TargetServiceConfig {
///     location: Location::Url("http://192.0.2.7:5357/device".to_owned()),
///     ..TargetServiceConfig::new("urn:uuid:9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11", device_type())
/// };
/// let (mut service, now) = (TargetService::new(config, [7; 32])?, Instant::now());
/// service.start(now);
/// assert!(matches!(service.poll_output(now), Output::Request(Request::Join { .. })));
/// # Ok::<(), manycast_proto::ws_discovery::Unsuitable>(())
/// ```
#[derive(Debug)]
pub struct TargetService {
    config: TargetServiceConfig,
    random: Random,
    state: State,
    places: Places<Place>,
    deadlines: Deadlines<usize>,
    transmissions: Transmissions,
    seen: Seen,
    allowance: Allowance,
    /// The number of the last message.
    number: u32,
    /// What is said at the end, without waits.
    byes: VecDeque<Transmit>,
    not_sent: NotSent,
    outputs: VecDeque<Output<TargetServiceEvent>>,
    stats: TargetServiceStats,
}

/// What a [`TargetService`] has counted, in datagrams unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetServiceStats {
    /// Questions that came.
    pub questions: u64,
    /// Those that had come before, which are not answered again.
    pub repeated: u64,
    /// Those for something else.
    pub others: u64,
    /// Those from hosts of other networks, or from where nobody can have sent; they are not answered.
    pub strangers: u64,
    /// Those on an interface where the service knows no address of this host; they are not answered.
    pub without_address: u64,
    /// Those that were not answered since too many answers were waiting, or there were too many a second.
    pub overflowed: u64,
    /// Messages that it answers with.
    pub answers: u64,
    /// Messages that it announced itself with, of all kinds.
    pub announcements: u64,
    /// What was not understood.
    pub malformed: u64,
    /// Those that differ from the standard and were understood.
    pub deviating: u64,
    /// What could not be sent.
    pub not_sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Running,
    Stopped,
}

#[derive(Clone, Debug)]
struct Place {
    group: SocketAddr,
    interface: InterfaceId,
}

impl crate::places::Place for Place {
    fn destination(&self) -> SocketAddr {
        self.group
    }

    fn interface(&self) -> Option<&InterfaceId> {
        Some(&self.interface)
    }
}

impl TargetService {
    /// A service that is yet to be started. The seed varies its waits, and the names of its messages.
    ///
    /// # Errors
    ///
    /// It has no endpoint, texts that do not fit into one datagram, or a space or a control character in one.
    pub fn new(config: TargetServiceConfig, seed: [u8; 32]) -> Result<Self, Unsuitable> {
        config.check()?;
        Ok(Self {
            config,
            random: Random::new(seed),
            state: State::New,
            places: Places::new(),
            deadlines: Deadlines::new(),
            transmissions: Transmissions::new(),
            seen: Seen::new(REMEMBERED),
            allowance: Allowance::default(),
            number: 0,
            byes: VecDeque::new(),
            not_sent: NotSent::default(),
            outputs: VecDeque::new(),
            stats: TargetServiceStats::default(),
        })
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> TargetServiceStats {
        self.stats
    }

    /// Tells of the addresses that this host has now. If they have changed, the service announces itself anew, with the
    /// next metadata version (§4.1).
    pub fn set_addresses(&mut self, now: Instant, addresses: Vec<LocalAddress>) {
        if addresses == self.config.addresses {
            return;
        }
        self.config.addresses = addresses;
        self.config.metadata_version = self.config.metadata_version.saturating_add(1);
        if self.state == State::Running {
            for number in self.places.numbers() {
                self.announce_soon(now, number);
            }
        }
    }

    /// §4.1: a Hello goes after a random part of `APP_MAX_DELAY`.
    fn announce_soon(&mut self, now: Instant, place: usize) {
        let most = self.config.max_delay.max(Duration::from_nanos(1));
        let wait = self.random.duration(Duration::from_nanos(1)..=most);
        self.deadlines.set(place, now.checked_add(wait));
    }

    /// What it says of itself by an interface to a group or a host; `None` where it has no address there.
    fn service(&self, interface: u32, to: IpAddr) -> Option<Service> {
        let config = &self.config;
        let address = config.location.at(&config.addresses, interface, to)?;
        Some(Service {
            endpoint: config.endpoint.clone(),
            types: config.types.clone(),
            scopes: config.scopes.clone(),
            addresses: address.into_iter().collect(),
            metadata_version: Some(config.metadata_version),
        })
    }

    fn message(&mut self, version: Version, body: Body) -> Message {
        self.number = self.number.saturating_add(1);
        let mut message = Message::new(version, new_id(&mut self.random), body);
        message.sequence = Some(Sequence {
            instance: self.config.instance_id,
            id: None,
            number: self.number,
        });
        message
    }

    fn to_group(&self, place: &Place, message: &Message) -> Transmit {
        let mut transmit = Transmit::new(place.group, message.emit());
        transmit.interface = Some(place.interface.index);
        transmit.hops = self.config.hops.map(|hops| hops.max(1));
        transmit
    }

    fn announce(&mut self, now: Instant, number: usize) {
        let Some(place) = self.places.get(number).cloned() else {
            return;
        };
        let (group, interface) = (place.group, place.interface.clone());
        let Some(service) = self.service(interface.index, group.ip()) else {
            return self.tell(TargetServiceEvent::NoAddress { group, interface });
        };
        for version in self.config.versions.clone() {
            let message = self.message(version, Body::Hello(service.clone()));
            let transmit = self.to_group(&place, &message);
            let repeats = self.config.multicast_repeat;
            self.transmissions
                .push(now, Duration::ZERO, transmit, repeats);
            self.stats.announcements += 1;
        }
        self.tell(TargetServiceEvent::Announced { group, interface });
    }

    fn tell(&mut self, event: TargetServiceEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn asked(&mut self, now: Instant, datagram: &Received<'_>, question: &Message) {
        let Some(id) = question.id.as_ref().filter(|id| id.len() <= MAX_ID) else {
            self.stats.malformed += 1;
            return;
        };
        self.stats.questions += 1;
        let (source, interface) = (datagram.source, datagram.interface.index);
        if !may_ask(source, &self.config.addresses, self.config.strangers) {
            self.stats.strangers += 1;
            trace!(%source, "no answer: it is of another network");
            return;
        }
        if !self.seen.is_new(source.ip(), interface, id) {
            self.stats.repeated += 1;
            return;
        }
        let Some(mut service) = self.service(interface, source.ip()) else {
            self.stats.without_address += 1;
            return;
        };
        let (body, most) = match &question.body {
            Body::Probe(probe) => {
                let scopes = &mut service.scopes;
                let implied = scopes.is_empty() && question.version == Version::V1_1;
                if implied && !probe.scopes.is_empty() {
                    scopes.push(DEFAULT_SCOPE.to_owned());
                }
                if !probe.matches(&service) {
                    self.stats.others += 1;
                    return;
                }
                if implied {
                    service.scopes.clear();
                }
                // §5.3: after a random part of APP_MAX_DELAY, so that not all answer at once.
                (Body::ProbeMatches(vec![service]), self.config.max_delay)
            }
            Body::Resolve(endpoint) if same_id(endpoint, &service.endpoint) => {
                (Body::ResolveMatches(Some(service)), Duration::ZERO)
            }
            _ => {
                self.stats.others += 1;
                return;
            }
        };
        let mut message = self.message(question.version, body);
        message.addressing = question.addressing;
        message.relates_to = Some(id.clone());
        let payload = message.emit();
        let repeats = self.config.unicast_repeat;
        if payload.len() > MAX_SENT
            || self.transmissions.len() >= self.config.pending
            || !self
                .allowance
                .take(now, self.config.rate, repeats.saturating_add(1))
        {
            self.stats.overflowed += 1;
            return;
        }
        let wait = self.random.duration(Duration::ZERO..=most);
        let transmit = datagram.reply().with(payload);
        self.transmissions.push(now, wait, transmit, repeats);
        self.stats.answers += 1;
        self.tell(TargetServiceEvent::Asked {
            source,
            version: question.version,
        });
    }
}

impl Protocol for TargetService {
    type Event = TargetServiceEvent;

    fn start(&mut self, _now: Instant) {
        if self.state == State::New {
            self.state = State::Running;
            let (groups, interfaces) = (&self.config.groups, &self.config.interfaces);
            self.outputs.extend(joins(groups, interfaces, PORT));
        }
    }

    fn stop(&mut self, _now: Instant) {
        if self.state == State::Running {
            self.deadlines = Deadlines::new();
            self.transmissions.clear();
            for number in self.places.numbers() {
                let Some(place) = self.places.get(number).cloned() else {
                    continue;
                };
                for version in self.config.versions.clone() {
                    let service = Service {
                        endpoint: self.config.endpoint.clone(),
                        ..Service::default()
                    };
                    let message = self.message(version, Body::Bye(service));
                    let transmit = self.to_group(&place, &message);
                    // Nothing follows on a goodbye, so it is sent twice at least.
                    let times = self.config.multicast_repeat.clamp(1, 4) + 1;
                    self.byes.extend((0..times).map(|_| transmit.clone()));
                    self.stats.announcements += 1;
                }
            }
        }
        self.state = State::Stopped;
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if self.state != State::Running {
            return;
        }
        match parse(datagram.payload) {
            Ok((message, deviations)) => {
                if let Body::Probe(_) | Body::Resolve(_) = message.body {
                    self.stats.deviating += u64::from(!deviations.is_empty());
                    self.asked(now, &datagram, &message);
                }
            }
            Err(error) => {
                self.stats.malformed += 1;
                let source = datagram.source;
                self.tell(TargetServiceEvent::Malformed { source, error });
            }
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if self.state != State::Running {
            return;
        }
        let groups = &self.config.groups;
        let ours = |group: IpAddr, port| port == PORT && groups.contains(&group);
        match event {
            NetworkEvent::Joined(it) if ours(it.group.ip(), it.group.port()) => {
                let place = Place {
                    group: it.group,
                    interface: it.interface,
                };
                match self.places.add(place) {
                    Ok(Some(number)) => self.announce_soon(now, number),
                    Ok(None) => {}
                    Err(error) => {
                        let group = Group::new(it.group.ip());
                        self.tell(TargetServiceEvent::NotJoined { group, error });
                    }
                }
            }
            NetworkEvent::Left(it) => {
                if let Some(number) = self.places.leave(it.group, it.interface.index) {
                    self.deadlines.set(number, None);
                    let there = |transmit: &Transmit| {
                        transmit.destination == it.group
                            && transmit.interface == Some(it.interface.index)
                    };
                    self.transmissions.retain(|transmit| !there(transmit));
                }
            }
            NetworkEvent::NotJoined { group, port, error } if ours(group.address, port) => {
                self.tell(TargetServiceEvent::NotJoined { group, error });
            }
            NetworkEvent::NotSent {
                destination,
                count,
                error,
            } => {
                self.stats.not_sent = self.stats.not_sent.saturating_add(count as u64);
                if self.not_sent.is_new(destination, &error) {
                    self.tell(TargetServiceEvent::NotSent { destination, error });
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.transmissions.handle_timeout(now);
        while let Some(number) = self.deadlines.expired(now) {
            self.announce(now, number);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<TargetServiceEvent> {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(bye) = self.byes.pop_front() {
            return Output::Transmit(bye);
        }
        if self.state == State::Stopped {
            return Output::Finished;
        }
        if let Some(transmit) = self.transmissions.poll(now, &mut self.random) {
            return Output::Transmit(transmit);
        }
        let (announce, transmit) = (self.deadlines.earliest(), self.transmissions.earliest());
        Output::Wait {
            until: announce.into_iter().chain(transmit).min(),
            reason: "questions, and the next transmission",
        }
    }
}
