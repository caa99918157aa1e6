//! Who is searched for: the device.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use manycast_types::{Group, InterfaceId, Received, Transmit};
use tracing::trace;

use super::config::Unsuitable;
use super::target::versioned;
use super::{
    Advertisement, DeviceConfig, DeviceEvent, Kind, LocalAddress, Message, PORT, Search, Version,
    matches, parse,
};
use crate::local::{Allowance, may_ask};
use crate::places::{Places, joins};
use crate::random::Random;
use crate::timers::Deadlines;
use crate::told::NotSent;
use crate::{NetworkEvent, Output, Protocol};

/// The longest wait before an answer (UDA 2.0 §1.3.3).
const MOST_MX: u8 = 5;

/// The longest wait before the first announcement, and before the answer to a question that went to this
/// host alone (UDA 2.0 §1.2.2: less than 100 ms, §1.3.3: within 1 s).
const SHORT: Duration = Duration::from_millis(100);

/// The time between the first sets of announcements, and up to twice that (UDA 2.0 §1.2.2: some hundred
/// milliseconds).
const BETWEEN: Duration = Duration::from_millis(200);

/// Announces a device, and answers those who search for it.
///
/// It wants a driver with a socket of its own, at the [search port](DeviceConfig::search_port); it joins
/// the groups itself.
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ssdp::{Device, DeviceConfig, Location};
/// use manycast_proto::{Output, Protocol, Request};
///
/// let kind = "urn:schemas-upnp-org:device:Basic:1";
/// let config = DeviceConfig {
///     location: Location::Url("http://192.0.2.7:8080/description.xml".to_owned()),
///     ..DeviceConfig::new("9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11", kind)
/// };
/// let (mut device, now) = (Device::new(config, [7; 32])?, Instant::now());
/// device.start(now);
/// assert!(matches!(device.poll_output(now), Output::Request(Request::Join { .. })));
/// # Ok::<(), manycast_proto::ssdp::Unsuitable>(())
/// ```
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    /// Target and USN of each.
    parts: Vec<(String, String)>,
    random: Random,
    state: State,
    places: Places<Place>,
    pending: BTreeMap<u64, Pending>,
    next_pending: u64,
    deadlines: Deadlines<Due>,
    allowance: Allowance,
    work: VecDeque<Set>,
    /// Answers whose time has come.
    due: VecDeque<Pending>,
    not_sent: NotSent,
    /// When it was started.
    started: Option<Instant>,
    outputs: VecDeque<Output<DeviceEvent>>,
    stats: DeviceStats,
}

/// What a [`Device`] has counted, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceStats {
    /// Questions that came.
    pub searches: u64,
    /// Those of them for something else.
    pub others: u64,
    /// Those from hosts of other networks, or from where nobody can have sent; they are not answered.
    pub strangers: u64,
    /// Those to a group without an MX, which are not answered (UDA 2.0 §1.3.2).
    pub without_mx: u64,
    /// Answers that were not made since the same were waiting to be sent to the same host.
    pub repeated: u64,
    /// Answers that were not made since too many were waiting, or there were too many a second.
    pub overflowed: u64,
    /// Answers that it sent.
    pub answers: u64,
    /// Announcements that it sent, of all kinds.
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
    /// How many sets of announcements went there.
    sets: u32,
}

impl crate::places::Place for Place {
    fn destination(&self) -> SocketAddr {
        self.group
    }

    fn interface(&self) -> Option<&InterfaceId> {
        Some(&self.interface)
    }
}

/// An answer that waits.
#[derive(Clone, Debug)]
struct Pending {
    transmit: Transmit<()>,
    interface: u32,
    part: usize,
    /// The version of the type that was searched for (UDA 2.0 §1.3.3: ST).
    version: Option<u32>,
}

/// A set of announcements of which some are still to go.
#[derive(Clone, Copy, Debug)]
struct Set {
    place: usize,
    kind: Kind,
    next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Announce(usize),
    Answer(u64),
}

impl Device {
    /// A device that is yet to be started. The seed varies its waits.
    ///
    /// # Errors
    ///
    /// It has no UUID, more than [`MAX_TARGETS`](super::MAX_TARGETS) parts, texts that do not fit into one
    /// datagram, control characters in one, or a BOOTID or CONFIGID out of its range.
    pub fn new(config: DeviceConfig, seed: [u8; 32]) -> Result<Self, Unsuitable> {
        config.check()?;
        Ok(Self {
            parts: config.parts(),
            config,
            random: Random::new(seed),
            state: State::New,
            places: Places::new(),
            pending: BTreeMap::new(),
            next_pending: 0,
            deadlines: Deadlines::new(),
            allowance: Allowance::default(),
            work: VecDeque::new(),
            due: VecDeque::new(),
            not_sent: NotSent::default(),
            started: None,
            outputs: VecDeque::new(),
            stats: DeviceStats::default(),
        })
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> DeviceStats {
        self.stats
    }

    /// Tells of the addresses that this host has now. If they have changed, the device says so to all
    /// (UDA 2.0 §1.2.4), and announces itself anew with the next BOOTID.
    pub fn set_addresses(&mut self, now: Instant, addresses: Vec<LocalAddress>) {
        if addresses == self.config.addresses {
            return;
        }
        self.config.addresses = addresses;
        if self.state != State::Running {
            return;
        }
        let numbers = self.places.numbers();
        self.work.clear();
        for number in numbers {
            if self.config.version >= Version::V1_1 {
                self.begin(number, Kind::Update);
            }
            if let Some(place) = self.places.get_mut(number) {
                place.sets = 0;
            }
            let wait = self.random.duration(BETWEEN..=BETWEEN * 2);
            self.deadlines
                .set(Due::Announce(number), now.checked_add(wait));
        }
        // UDA 2.0 §1.1.4: 31 bits, and never 0.
        self.config.boot_id = self.next_boot_id();
    }

    const fn next_boot_id(&self) -> u32 {
        match (self.config.boot_id + 1) & 0x7fff_ffff {
            0 => 1,
            next => next,
        }
    }

    fn begin(&mut self, place: usize, kind: Kind) {
        self.work.push_back(Set {
            place,
            kind,
            next: 0,
        });
    }

    /// Begins a set of announcements, and sets the time of the next.
    fn announce(&mut self, now: Instant, number: usize) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        place.sets = place.sets.saturating_add(1);
        let wait = if place.sets < self.config.repeats {
            self.random.duration(BETWEEN..=BETWEEN * 2)
        } else {
            // UDA 2.0 §1.2.2: at random, and before half of their time is over.
            let age = self.config.max_age.max(Duration::from_secs(4));
            self.random.duration(age / 4..=age / 2)
        };
        let (group, interface) = (place.group, place.interface.clone());
        self.deadlines
            .set(Due::Announce(number), now.checked_add(wait));
        let said = |set: &Set| set.place == number && set.kind == Kind::Alive;
        if self.work.iter().any(said) {
            return;
        }
        let event = if self.location(interface.index, group.ip()).is_some() {
            self.begin(number, Kind::Alive);
            DeviceEvent::Announced { group, interface }
        } else {
            DeviceEvent::NoAddress { group, interface }
        };
        self.outputs.push_back(Output::Event(event));
    }

    /// The next announcement that is to go.
    fn announcement(&mut self) -> Option<Transmit> {
        while let Some(set) = self.work.front_mut() {
            let (kind, number, part) = (set.kind, set.place, set.next);
            set.next += 1;
            let Some(place) = self.places.get(number).cloned() else {
                self.work.pop_front();
                continue;
            };
            // UDA 2.0 §1.2.3: datagrams are lost, and nothing follows on a goodbye.
            let repeats = if kind == Kind::Byebye { 2 } else { 1 };
            if part >= self.parts.len() * repeats {
                self.work.pop_front();
                continue;
            }
            let part = part % self.parts.len();
            let Some(said) = self.say(kind, part, place.interface.index, place.group.ip()) else {
                self.work.pop_front();
                continue;
            };
            let payload = said.emit(place.group, self.config.version);
            let mut transmit = Transmit::new(place.group, payload);
            transmit.interface = Some(place.interface.index);
            transmit.hops = self.config.hops.map(|hops| hops.max(1));
            self.stats.announcements += 1;
            return Some(transmit);
        }
        None
    }

    /// The next answer that is to go.
    fn answer(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(pending) = self.due.pop_front() {
            let to = pending.transmit.destination;
            let Some(mut said) = self.say(Kind::Response, pending.part, pending.interface, to.ip())
            else {
                continue;
            };
            // UDA 2.0 §1.3.3: the version that was searched for.
            if let (Some(version), Some((name, _))) = (pending.version, versioned(&said.target)) {
                let target = format!("{name}:{version}");
                said.usn = said.usn.map(|usn| {
                    let id = usn.split("::").next().unwrap_or_default();
                    format!("{id}::{target}")
                });
                said.target = target;
            }
            said.date = self.date(now);
            self.stats.answers += 1;
            let payload = said.emit(to, self.config.version);
            return Some(pending.transmit.with(payload));
        }
        None
    }

    /// What is said of a part to a group or a host by an interface; `None` where the device has no address
    /// there.
    fn say(&self, kind: Kind, part: usize, interface: u32, to: IpAddr) -> Option<Advertisement> {
        let (target, usn) = self.parts[part].clone();
        let lasts = matches!(kind, Kind::Alive | Kind::Response);
        let config = &self.config;
        Some(Advertisement {
            kind,
            target,
            usn: Some(usn),
            location: match kind {
                Kind::Byebye => None,
                _ => self.location(interface, to)?,
            },
            secure_location: None,
            date: None,
            server: lasts.then(|| config.agent.text(config.version)),
            max_age: lasts.then_some(config.max_age),
            // An update bears the BOOTID that was, and the one that follows (§1.2.4).
            boot_id: Some(match kind {
                Kind::Update => config.boot_id.saturating_sub(1).max(1),
                _ => config.boot_id,
            }),
            next_boot_id: (kind == Kind::Update).then_some(config.boot_id),
            config_id: Some(config.config_id),
            search_port: config.search_port.filter(|_| kind != Kind::Byebye),
            // UDA 1.0 Annex A has it for IPv6 alone; the versions after it have the BOOTID.
            network: (to.is_ipv6() && config.version == Version::V1_0)
                .then(|| config.boot_id.to_string()),
        })
    }

    /// The location, if there is one; the outer `None` where the device has no address for it.
    fn location(&self, interface: u32, to: IpAddr) -> Option<Option<String>> {
        self.config
            .location
            .at(&self.config.addresses, interface, to)
    }

    /// The time of day, by the clock that the application has read at the start.
    fn date(&self, now: Instant) -> Option<SystemTime> {
        let passed = now.saturating_duration_since(self.started?);
        self.config.date?.checked_add(passed)
    }

    fn search(&mut self, now: Instant, datagram: &Received<'_>, search: Search) {
        self.stats.searches += 1;
        let in_group = datagram.destination.ip().is_multicast();
        let most = match search.max_wait {
            Some(seconds) if in_group => Duration::from_secs(seconds.min(MOST_MX).into()),
            None if in_group => {
                self.stats.without_mx += 1;
                return;
            }
            _ => SHORT,
        };
        if !may_ask(
            datagram.source,
            &self.config.addresses,
            self.config.strangers,
        ) {
            self.stats.strangers += 1;
            trace!(source = %datagram.source, "no answer: it is of another network");
            return;
        }
        let found: Vec<usize> = (0..self.parts.len())
            .filter(|part| matches(&search.target, &self.parts[*part].0))
            .collect();
        if found.is_empty() {
            self.stats.others += 1;
            return;
        }
        let version = versioned(&search.target).map(|(_, version)| version);
        let mut answers = 0;
        for part in found {
            let same = |it: &Pending| {
                it.part == part
                    && it.version == version
                    && it.transmit.destination == datagram.source
                    && it.interface == datagram.interface.index
            };
            if self.pending.values().chain(&self.due).any(same) {
                self.stats.repeated += 1;
                continue;
            }
            if self.pending.len() + self.due.len() >= self.config.pending
                || !self.allowance.take(now, self.config.rate, 1)
            {
                self.stats.overflowed += 1;
                continue;
            }
            let number = self.next_pending;
            self.next_pending += 1;
            // UDA 2.0 §1.3.3: each after a random part of MX.
            let wait = self.random.duration(Duration::ZERO..=most);
            self.deadlines
                .set(Due::Answer(number), now.checked_add(wait));
            let pending = Pending {
                transmit: datagram.reply(),
                interface: datagram.interface.index,
                part,
                version,
            };
            self.pending.insert(number, pending);
            answers += 1;
        }
        if answers > 0 {
            self.outputs.push_back(Output::Event(DeviceEvent::Asked {
                source: datagram.source,
                target: search.target,
                answers,
            }));
        }
    }
}

impl Protocol for Device {
    type Event = DeviceEvent;

    fn start(&mut self, now: Instant) {
        if self.state == State::New {
            self.state = State::Running;
            self.started = Some(now);
            let (groups, interfaces) = (&self.config.groups, &self.config.interfaces);
            self.outputs.extend(joins(groups, interfaces, PORT));
        }
    }

    fn stop(&mut self, _now: Instant) {
        if self.state == State::Running {
            self.deadlines = Deadlines::new();
            self.pending.clear();
            self.due.clear();
            self.work.clear();
            let numbers = self.places.numbers();
            for number in numbers {
                self.begin(number, Kind::Byebye);
            }
        }
        self.state = State::Stopped;
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if self.state != State::Running {
            return;
        }
        // A device hears all that others announce, and needs none of it.
        if datagram.payload.starts_with(b"NOTIFY ") {
            return;
        }
        match parse(datagram.payload) {
            Ok((Message::Search(search), deviations)) => {
                self.stats.deviating += u64::from(!deviations.is_empty());
                self.search(now, &datagram, search);
            }
            Ok((Message::Advertisement(_), _)) => {}
            Err(error) => {
                self.stats.malformed += 1;
                let source = datagram.source;
                let event = DeviceEvent::Malformed { source, error };
                self.outputs.push_back(Output::Event(event));
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
                    sets: 0,
                };
                match self.places.add(place) {
                    Ok(Some(number)) => {
                        let wait = self.random.duration(Duration::from_nanos(1)..=SHORT);
                        self.deadlines
                            .set(Due::Announce(number), now.checked_add(wait));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let group = Group::new(it.group.ip());
                        let event = DeviceEvent::NotJoined { group, error };
                        self.outputs.push_back(Output::Event(event));
                    }
                }
            }
            NetworkEvent::Left(it) => {
                if let Some(number) = self.places.leave(it.group, it.interface.index) {
                    self.deadlines.set(Due::Announce(number), None);
                }
            }
            NetworkEvent::NotJoined { group, port, error } if ours(group.address, port) => {
                let event = DeviceEvent::NotJoined { group, error };
                self.outputs.push_back(Output::Event(event));
            }
            NetworkEvent::NotSent {
                destination,
                count,
                error,
            } => {
                self.stats.not_sent = self.stats.not_sent.saturating_add(count as u64);
                if self.not_sent.is_new(destination, &error) {
                    let event = DeviceEvent::NotSent { destination, error };
                    self.outputs.push_back(Output::Event(event));
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.expired(now) {
            match due {
                Due::Announce(number) => self.announce(now, number),
                Due::Answer(number) => self.due.extend(self.pending.remove(&number)),
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<DeviceEvent> {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.announcement().or_else(|| self.answer(now)) {
            return Output::Transmit(transmit);
        }
        if self.state == State::Stopped {
            return Output::Finished;
        }
        Output::Wait {
            until: self.deadlines.earliest(),
            reason: "questions, and the next announcement",
        }
    }
}
