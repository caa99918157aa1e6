//! Who searches and listens: the control point.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{Group, InterfaceId, Received, Transmit};
use tracing::trace;

use super::target::{unversioned, versioned};
use super::{
    Advertisement, Change, ClientConfig, ClientEvent, Deviations, Entry, Goodbye, Kind, Message,
    PORT, Search, matches, parse,
};
use crate::cache::{Cache, Known};
use crate::places::{Place as _, Places, joins};
use crate::random::Random;
use crate::timers::Deadlines;
use crate::told::{Deviating, NotSent};
use crate::{NetworkEvent, Output, Protocol};

/// How long after the last moment for an answer it is still taken.
const LATE: Duration = Duration::from_secs(3);

/// Finds devices, and notices when they change or go.
///
/// It wants a driver with a socket on any free port, at which the answers come. It joins the groups
/// itself, and asks in each place that its driver tells it of.
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ssdp::{Client, ClientConfig};
/// use manycast_proto::{Output, Protocol, Request};
///
/// let now = Instant::now();
/// let mut client = Client::new(ClientConfig::default(), [7; 32]);
/// client.start(now);
/// let Output::Request(Request::Join { group, port }) = client.poll_output(now) else { panic!() };
/// assert_eq!((group.to_string().as_str(), port), ("239.255.255.250", 1900));
/// ```
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    random: Random,
    state: State,
    places: Places<Place>,
    cache: Cache<Entry>,
    deadlines: Deadlines<Due>,
    /// Until when answers are taken.
    answers_until: Option<Instant>,
    deviating: Deviating<Deviations>,
    /// Entries of interfaces that are gone, which is still to be told.
    gone: VecDeque<u64>,
    questions: VecDeque<(usize, usize)>,
    not_sent: NotSent,
    outputs: VecDeque<Output<ClientEvent>>,
    stats: ClientStats,
}

/// What a [`Client`] has counted, in datagrams unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Questions that it sent.
    pub questions: u64,
    /// Answers that came and fit.
    pub answers: u64,
    /// What devices said unasked, and fits.
    pub notifications: u64,
    /// Those of both that differ from the standard and were understood.
    pub deviating: u64,
    /// What was not understood.
    pub malformed: u64,
    /// Questions of others.
    pub searches: u64,
    /// Answers to what was not asked, or too late, and what was said of that nobody searches for.
    pub unasked: u64,
    /// Entries that were left out because there were too many.
    pub overflowed: u64,
    /// Goodbyes and updates of what was not known.
    pub unknown: u64,
    /// Questions that could not be sent.
    pub not_sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Running,
    Finished,
}

/// Where is asked.
#[derive(Clone, Debug)]
struct Place {
    destination: SocketAddr,
    interface: Option<InterfaceId>,
    asked: u32,
}

impl crate::places::Place for Place {
    fn destination(&self) -> SocketAddr {
        self.destination
    }

    fn interface(&self) -> Option<&InterfaceId> {
        self.interface.as_ref()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    End,
    Ask(usize),
    Expire(u64),
}

impl Client {
    /// A client that is yet to be started. The seed varies the times of its questions.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(seed),
            state: State::New,
            places: Places::new(),
            cache: Cache::new(),
            deadlines: Deadlines::new(),
            answers_until: None,
            deviating: Deviating::new(),
            gone: VecDeque::new(),
            questions: VecDeque::new(),
            not_sent: NotSent::default(),
            outputs: VecDeque::new(),
            stats: ClientStats::default(),
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }

    /// What is known now.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.cache.entries()
    }

    fn tell(&mut self, event: ClientEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn finish(&mut self) {
        if self.state != State::Finished {
            self.state = State::Finished;
            self.deadlines = Deadlines::new();
            self.questions.clear();
            self.gone.clear();
            self.tell(ClientEvent::Finished);
        }
    }

    fn add_place(&mut self, now: Instant, destination: SocketAddr, by: Option<InterfaceId>) {
        let place = Place {
            destination,
            interface: by,
            asked: 0,
        };
        match self.places.add(place) {
            Ok(Some(number)) => self.ask(now, number),
            Ok(None) => {}
            Err(error) => {
                let group = Group::new(destination.ip());
                self.tell(ClientEvent::NotJoined { group, error });
            }
        }
    }

    /// Asks all questions in one place, and sets the time for the next round there.
    fn ask(&mut self, now: Instant, number: usize) {
        let max_wait = Duration::from_secs(self.max_wait().into());
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        if place.asked >= self.config.attempts || self.config.targets.is_empty() {
            return;
        }
        place.asked += 1;
        // A round that is still on its way need not be asked twice.
        if !self.questions.iter().any(|(place, _)| *place == number) {
            let targets = 0..self.config.targets.len();
            self.questions
                .extend(targets.map(|target| (number, target)));
        }
        self.answers_until = now.checked_add(max_wait + LATE).max(self.answers_until);
        if place.asked < self.config.attempts {
            // Below a millisecond, many rounds would be a flood.
            let interval = self.config.interval.max(Duration::from_millis(1));
            let more = self.random.duration(Duration::ZERO..=interval / 10);
            let at = now.checked_add(interval.saturating_add(more));
            self.deadlines.set(Due::Ask(number), at);
        }
    }

    fn max_wait(&self) -> u8 {
        // UDA 2.0 §1.3.2: MX from 1 to 5.
        self.config.max_wait.clamp(1, 5)
    }

    /// The next question, if there is one.
    fn question(&mut self) -> Option<Transmit> {
        while let Some((number, target)) = self.questions.pop_front() {
            let Some(place) = self.places.get(number).cloned() else {
                continue;
            };
            let is_group = place.destination.ip().is_multicast();
            let target = self.config.targets[target].clone();
            let agent = self.config.agent.text(self.config.version);
            let name = Some(&self.config.friendly_name).filter(|name| is_group && !name.is_empty());
            let search = Search {
                target: target.clone(),
                max_wait: is_group.then(|| self.max_wait()),
                user_agent: Some(agent),
                friendly_name: name.cloned(),
            };
            let payload = search.emit(place.destination, self.config.version);
            let mut question = Transmit::new(place.destination, payload);
            question.interface = place.interface.as_ref().map(|it| it.index);
            question.hops = self
                .config
                .hops
                .filter(|_| is_group)
                .map(|hops| hops.max(1));
            self.stats.questions += 1;
            self.tell(ClientEvent::Asked {
                target,
                destination: place.destination,
                interface: place.interface,
            });
            return Some(question);
        }
        None
    }

    fn is_wanted(&self, target: &str) -> bool {
        let targets = &self.config.targets;
        targets.is_empty() || targets.iter().any(|searched| matches(searched, target))
    }

    fn take(&mut self, now: Instant, datagram: &Received<'_>, said: Advertisement) {
        let response = said.kind == Kind::Response;
        // An answer to a UUID or a type bears what was searched for; both are compared.
        let timely = self.answers_until.is_some_and(|until| now <= until);
        let in_group = datagram.destination.ip().is_multicast();
        if !self.is_wanted(&said.target) || (response && !timely) || response == in_group {
            self.stats.unasked += 1;
            trace!(source = %datagram.source, target = said.target, "ignored: nobody has asked");
            return;
        }
        if response {
            self.stats.answers += 1;
        } else {
            self.stats.notifications += 1;
        }
        let (source, index) = (datagram.source.ip(), datagram.interface.index);
        let known = self.cache.find(source, index, name(&said));
        match (said.kind, known) {
            (Kind::Byebye, Some(number)) => self.forget(number, Goodbye::Said),
            (Kind::Byebye | Kind::Update, None) => self.stats.unknown += 1,
            (Kind::Update, Some(number)) => {
                if let Some(entry) = self.cache.entry(number)
                    && let Some(next) = said.next_boot_id
                    && entry.advertisement.boot_id != Some(next)
                {
                    // UDA 2.0 §1.2.4: the BOOTID that follows is no new start.
                    entry.advertisement.boot_id = Some(next);
                    let entry = entry.clone();
                    self.tell(ClientEvent::Changed {
                        entry,
                        change: Change::Updated,
                    });
                }
            }
            (_, Some(number)) => self.refresh(now, number, datagram.source, said),
            (_, None) => self.find(now, datagram, said),
        }
    }

    fn age(&self, said: &Advertisement) -> Duration {
        let age = said.max_age.unwrap_or(self.config.age);
        age.min(self.config.max_age).max(Duration::from_secs(1))
    }

    fn find(&mut self, now: Instant, datagram: &Received<'_>, said: Advertisement) {
        let (source, index) = (datagram.source.ip(), datagram.interface.index);
        if self.cache.len() >= self.config.entries
            || self.cache.of_source(source, index) >= self.config.per_source
        {
            self.stats.overflowed += 1;
            return;
        }
        let age = self.age(&said);
        let entry = Entry {
            advertisement: said,
            source: datagram.source,
            interface: datagram.interface.clone(),
            heard: now,
            age,
        };
        let number = self.cache.add(entry.clone());
        self.deadlines
            .set(Due::Expire(number), now.checked_add(age));
        self.tell(ClientEvent::Found(entry));
    }

    fn refresh(&mut self, now: Instant, number: u64, source: SocketAddr, said: Advertisement) {
        let age = self.age(&said);
        let Some(entry) = self.cache.entry(number) else {
            return;
        };
        let known = &entry.advertisement;
        let version = |said: &Advertisement| versioned(&said.target).map(|(_, version)| version);
        let is_newer = version(&said) > version(known);
        let change = change(known, &said).or_else(|| is_newer.then_some(Change::Other));
        let (target, usn) = match is_newer {
            true => (said.target.clone(), said.usn.clone()),
            // What names the entry stays as it was: an answer bears the version that was searched for (UDA 2.0 §1.3.3).
            false => (known.target.clone(), known.usn.clone()),
        };
        (entry.heard, entry.age, entry.source) = (now, age, source);
        entry.advertisement = Advertisement {
            target,
            usn,
            ..said
        };
        let entry = entry.clone();
        self.deadlines
            .set(Due::Expire(number), now.checked_add(age));
        self.tell(match change {
            Some(change) => ClientEvent::Changed { entry, change },
            None => ClientEvent::Refreshed(entry),
        });
    }

    fn forget(&mut self, number: u64, why: Goodbye) {
        self.deadlines.set(Due::Expire(number), None);
        if let Some(entry) = self.cache.remove(number) {
            self.tell(ClientEvent::Gone { entry, why });
        }
    }

    fn deviates(&mut self, datagram: &Received<'_>, deviations: Deviations) {
        if deviations.is_empty() {
            return;
        }
        self.stats.deviating += 1;
        if !self.deviating.is_new(datagram, deviations) {
            return;
        }
        self.tell(ClientEvent::Deviates {
            source: datagram.source,
            interface: datagram.interface.clone(),
            deviations,
        });
    }
}

/// What a part of a device is known by.
fn name(said: &Advertisement) -> String {
    unversioned(said.usn.as_ref().unwrap_or(&said.target))
}

impl Known for Entry {
    fn place(&self) -> (IpAddr, u32) {
        (self.source.ip(), self.interface.index)
    }

    fn name(&self) -> String {
        name(&self.advertisement)
    }
}

/// What is new in what a device says.
fn change(before: &Advertisement, now: &Advertisement) -> Option<Change> {
    let differs =
        |one: Option<u32>, other: Option<u32>| one.is_some() && other.is_some() && one != other;
    let without_boot_id = before.boot_id.is_none() && now.boot_id.is_none();
    let (was, is) = (&before.network, &now.network);
    let elsewhere = without_boot_id && was.is_some() && is.is_some() && was != is;
    if differs(before.boot_id, now.boot_id) || elsewhere {
        Some(Change::Rebooted)
    } else if before.location != now.location {
        Some(Change::Location)
    } else if differs(before.config_id, now.config_id) {
        Some(Change::Configuration)
    } else if before.server != now.server || before.search_port != now.search_port {
        Some(Change::Other)
    } else {
        None
    }
}

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        if self.state != State::New {
            return;
        }
        self.state = State::Running;
        let (groups, interfaces) = (&self.config.groups, &self.config.interfaces);
        self.outputs.extend(joins(groups, interfaces, PORT));
        for host in self.config.hosts.clone() {
            self.add_place(now, host, None);
        }
        if let Some(duration) = self.config.duration {
            self.deadlines.set(Due::End, now.checked_add(duration));
        }
    }

    fn stop(&mut self, _now: Instant) {
        self.finish();
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if self.state != State::Running {
            return;
        }
        match parse(datagram.payload) {
            Ok((Message::Search(_), _)) => self.stats.searches += 1,
            Ok((Message::Advertisement(said), deviations)) => {
                self.deviates(&datagram, deviations);
                self.take(now, &datagram, said);
            }
            Err(error) => {
                self.stats.malformed += 1;
                self.tell(ClientEvent::Malformed {
                    source: datagram.source,
                    interface: datagram.interface.clone(),
                    error,
                });
            }
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if self.state != State::Running {
            return;
        }
        let ours = |config: &ClientConfig, group: IpAddr, port| {
            port == PORT && config.groups.contains(&group)
        };
        match event {
            NetworkEvent::Joined(it) if ours(&self.config, it.group.ip(), it.group.port()) => {
                self.add_place(now, it.group, Some(it.interface));
            }
            NetworkEvent::Left(it) if ours(&self.config, it.group.ip(), it.group.port()) => {
                if let Some(number) = self.places.leave(it.group, it.interface.index) {
                    self.deadlines.set(Due::Ask(number), None);
                }
                let remains = |place: &Place| place.is_on(it.interface.index);
                if self.places.find(remains).is_none() {
                    self.gone.extend(self.cache.by(it.interface.index));
                }
            }
            NetworkEvent::NotJoined { group, port, error }
                if ours(&self.config, group.address, port) =>
            {
                self.tell(ClientEvent::NotJoined { group, error });
            }
            NetworkEvent::NotSent {
                destination,
                count,
                error,
            } => {
                self.stats.not_sent = self.stats.not_sent.saturating_add(count as u64);
                if self.not_sent.is_new(destination, &error) {
                    self.tell(ClientEvent::NotSent { destination, error });
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.expired(now) {
            match due {
                Due::End => return self.finish(),
                Due::Ask(number) => self.ask(now, number),
                Due::Expire(number) => self.forget(number, Goodbye::Expired),
            }
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<ClientEvent> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if self.state == State::Finished {
                return Output::Finished;
            }
            if let Some(question) = self.question() {
                return Output::Transmit(question);
            }
            let Some(number) = self.gone.pop_front() else {
                break;
            };
            self.forget(number, Goodbye::Interface);
        }
        Output::Wait {
            until: self.deadlines.earliest(),
            reason: "devices",
        }
    }
}
