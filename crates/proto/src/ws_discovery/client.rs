//! Who searches and listens.

mod known;
mod proxy;
mod rounds;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, Received, Transmit};
use tracing::trace;

use super::account::Account;
use super::asked::Asked;
use super::{
    Body, ClientConfig, ClientEvent, Deviation, Deviations, Entry, Goodbye, Message, PORT, Version,
    parse, proxy_type,
};
use crate::cache::Cache;
use crate::local::Allowance;
use crate::places::{Place as _, Places, joins};
use crate::random::Random;
use crate::soap_udp::{Seen, Transmissions, new_id};
use crate::timers::Deadlines;
use crate::told::{Deviating, NotSent};
use crate::{NetworkEvent, Output, Protocol};

/// How long a question to a proxy goes unanswered before it is asked no more (`DP_MAX_TIMEOUT`).
const PROXY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many messages it remembers, so that each counts once.
const REMEMBERED: usize = 4_096;

/// Finds services, and notices when they change or go.
///
/// It wants a driver with a socket on any free port, at which the answers come. It joins the groups
/// itself, and asks in each place that its driver tells it of.
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ws_discovery::{Client, ClientConfig};
/// use manycast_proto::{Output, Protocol, Request};
///
/// let now = Instant::now();
/// let mut client = Client::new(ClientConfig::default(), [7; 32]);
/// client.start(now);
/// let Output::Request(Request::Join { group, port }) = client.poll_output(now) else { panic!() };
/// assert_eq!((group.to_string().as_str(), port), ("239.255.255.250", 3702));
/// ```
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    random: Random,
    state: State,
    places: Places<Place>,
    cache: Cache<Account>,
    deadlines: Deadlines<Due>,
    /// Deadlines that were reached.
    due: VecDeque<Due>,
    asked: Asked,
    seen: Seen,
    deviating: Deviating<Deviations>,
    /// Entries of interfaces that are gone, which is still to be told.
    gone: VecDeque<u64>,
    questions: VecDeque<Question>,
    transmissions: Transmissions,
    allowance: Allowance,
    not_sent: NotSent,
    outputs: VecDeque<Output<ClientEvent>>,
    stats: ClientStats,
}

/// What a [`Client`] has counted, in messages unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Questions that it sent.
    pub questions: u64,
    /// Answers that came and fit.
    pub answers: u64,
    /// What services said unasked, and fits.
    pub notifications: u64,
    /// Messages that came again, as they are sent several times; in datagrams.
    pub repeated: u64,
    /// Those of both that differ from the standard and were understood.
    pub deviating: u64,
    /// What was not understood; in datagrams.
    pub malformed: u64,
    /// Questions of others.
    pub searches: u64,
    /// Answers to what was not asked, or too late, and what was said of that nobody searches for.
    pub unasked: u64,
    /// What is older than what had come before.
    pub outdated: u64,
    /// Entries that were left out because there were too many.
    pub overflowed: u64,
    /// Goodbyes of what was not known.
    pub unknown: u64,
    /// Questions that could not be sent; in datagrams.
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
    /// Whom to ask beside the group.
    proxy: Option<Proxy>,
    /// How many proxies did not answer.
    lost: u32,
}

impl crate::places::Place for Place {
    fn destination(&self) -> SocketAddr {
        self.destination
    }

    fn interface(&self) -> Option<&InterfaceId> {
        self.interface.as_ref()
    }
}

#[derive(Clone, Debug)]
struct Proxy {
    source: SocketAddr,
    endpoint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    End,
    Ask(usize),
    Proxy(usize),
    Check(u64),
}

/// A question that is yet to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Probe {
        place: usize,
        probe: usize,
        version: Version,
        /// Whether the proxy of the place is asked, and not the group.
        to_proxy: bool,
    },
    Resolve {
        entry: u64,
    },
}

impl Client {
    /// A client that is yet to be started. The seed varies the times of its questions, and their names.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(seed),
            state: State::New,
            places: Places::new(),
            cache: Cache::new(),
            deadlines: Deadlines::new(),
            due: VecDeque::new(),
            asked: Asked::default(),
            seen: Seen::new(REMEMBERED),
            deviating: Deviating::new(),
            gone: VecDeque::new(),
            questions: VecDeque::new(),
            transmissions: Transmissions::new(),
            allowance: Allowance::default(),
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
        let told = self.cache.entries().filter(|account| account.told);
        told.map(|account| &account.entry)
    }

    fn tell(&mut self, event: ClientEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn finish(&mut self) {
        if self.state != State::Finished {
            self.state = State::Finished;
            self.deadlines = Deadlines::new();
            self.due.clear();
            self.questions.clear();
            self.transmissions.clear();
            self.gone.clear();
            self.tell(ClientEvent::Finished);
        }
    }

    /// Asks one question.
    fn question(&mut self, now: Instant, question: Question) {
        let (place, body, version, target, to_proxy) = match question {
            Question::Probe {
                place,
                probe,
                version,
                to_proxy,
            } => {
                let probe = self.config.probes[probe].clone();
                let types: Vec<String> = probe.types.iter().map(ToString::to_string).collect();
                let target = types.join(" ");
                (Some(place), Body::Probe(probe), version, target, to_proxy)
            }
            Question::Resolve { entry } => {
                let Some(account) = self.cache.entry(entry) else {
                    return;
                };
                let Entry {
                    service, version, ..
                } = &account.entry;
                let endpoint = service.endpoint.clone();
                let (version, source) = (*version, account.entry.source);
                let index = account.entry.interface.index;
                let place = self.place_to_ask(source, index);
                // What a proxy has told, it is asked for.
                let to_proxy = place.is_some_and(|it| self.is_proxy(it, source));
                let body = Body::Resolve(endpoint.clone());
                (place, body, version, endpoint, to_proxy)
            }
        };
        let (destination, interface) = match (place.map(|number| self.places.get(number)), question)
        {
            (Some(Some(place)), _) => {
                let destination = match (to_proxy, &place.proxy) {
                    (false, _) => place.destination,
                    (true, Some(proxy)) => proxy.source,
                    (true, None) => return,
                };
                (destination, place.interface.clone())
            }
            // It was a host that was asked by itself.
            (None, Question::Resolve { entry }) => match self.cache.entry(entry) {
                Some(account) => (account.entry.source, None),
                None => return,
            },
            _ => return,
        };
        let id = new_id(&mut self.random);
        let payload = Message::new(version, id.as_str(), body).emit();
        let is_group = destination.ip().is_multicast();
        let mut transmit = Transmit::new(destination, payload);
        transmit.interface = interface.as_ref().map(|it| it.index);
        let hops = self.config.hops.filter(|_| is_group);
        transmit.hops = hops.map(|hops| hops.max(1));
        let repeats = if is_group {
            self.config.multicast_repeat
        } else {
            self.config.unicast_repeat
        };
        self.transmissions
            .push(now, Duration::ZERO, transmit, repeats);
        self.asked.add(now, id);
        self.stats.questions += 1;
        if let Some(number) = place.filter(|_| to_proxy)
            && !self.deadlines.is_set(Due::Proxy(number))
        {
            self.deadlines
                .set(Due::Proxy(number), now.checked_add(PROXY_TIMEOUT));
        }
        self.tell(ClientEvent::Asked {
            target,
            destination,
            interface,
            version,
        });
    }

    fn take(&mut self, now: Instant, datagram: &Received<'_>, message: Message) -> Deviations {
        let mut deviations = Deviations::default();
        let in_group = datagram.destination.ip().is_multicast();
        let source = datagram.source;
        let relates = message.relates_to.as_deref();
        let asked = relates.and_then(|id| self.asked.find(now, id));
        let is_answer = match &message.body {
            Body::Probe(_) | Body::Resolve(_) => {
                self.stats.searches += 1;
                return deviations;
            }
            Body::ProbeMatches(_) | Body::ResolveMatches(_) => true,
            Body::Hello(_) | Body::Bye(_) => false,
        };
        if let Some(id) = &message.id
            && !self.seen.is_new(source.ip(), datagram.interface.index, id)
        {
            self.stats.repeated += 1;
            return deviations;
        }
        // A proxy says Hello to a client alone, and relates it to what that has asked (§2.2).
        let proxied = match &message.body {
            Body::Hello(service) => {
                let is_proxy = service.types.contains(&proxy_type(message.version));
                let for_us = in_group || asked.is_some();
                is_proxy && for_us && self.heed(datagram, &service.endpoint)
            }
            Body::Bye(service) if in_group => {
                self.miss(datagram, &service.endpoint);
                false
            }
            _ => false,
        };
        let fits = if is_answer {
            asked.is_some() && !in_group
        } else {
            in_group || proxied
        };
        if !fits {
            self.stats.unasked += 1;
            trace!(%source, "ignored: nobody has asked");
            return deviations;
        }
        if is_answer {
            if asked == Some(false) {
                deviations.note(Deviation::RelatesTo);
            }
            self.stats.answers += 1;
            let place = self.place_of(source, datagram.interface.index);
            if let Some(number) = place
                && self.is_proxy(number, source)
            {
                self.deadlines.set(Due::Proxy(number), None);
            }
        } else {
            self.stats.notifications += 1;
        }
        let (version, sequence) = (message.version, message.sequence.as_ref());
        let account = |service| {
            let mut account = Account::new(now, datagram, version, service);
            if let Some(sequence) = sequence {
                account.order(sequence.clone(), is_answer);
            }
            account
        };
        match message.body {
            Body::Bye(service) => self.bye(&account(service)),
            Body::Hello(service) => self.hear(now, account(service), false),
            Body::ProbeMatches(services) => {
                for service in services {
                    self.hear(now, account(service), true);
                }
            }
            Body::ResolveMatches(Some(service)) => self.hear(now, account(service), true),
            _ => {}
        }
        deviations
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

    /// One thing that is to be done; `false` where there is none.
    fn work(&mut self, now: Instant) -> bool {
        if let Some(due) = self.due.pop_front() {
            match due {
                Due::End => self.finish(),
                Due::Ask(number) => self.ask(now, number),
                Due::Proxy(number) => self.lose_proxy(number),
                Due::Check(number) => self.check(now, number),
            }
            return true;
        }
        if let Some(question) = self.questions.pop_front() {
            self.question(now, question);
            return true;
        }
        let Some(number) = self.gone.pop_front() else {
            return false;
        };
        self.forget(number, Goodbye::Interface);
        true
    }

    fn left(&mut self, group: SocketAddr, index: u32) {
        if let Some(number) = self.places.leave(group, index) {
            self.deadlines.set(Due::Ask(number), None);
            self.deadlines.set(Due::Proxy(number), None);
        }
        if self.places.find(|place| place.is_on(index)).is_none() {
            self.transmissions
                .retain(|transmit| transmit.interface != Some(index));
            self.gone.extend(self.cache.by(index));
        }
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
            Ok((message, deviations)) => {
                let is_question = matches!(message.body, Body::Probe(_) | Body::Resolve(_));
                let more = self.take(now, &datagram, message);
                if !is_question {
                    self.deviates(&datagram, deviations.and(more));
                }
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
                self.left(it.group, it.interface.index);
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
        self.transmissions.handle_timeout(now);
        while let Some(due) = self.deadlines.expired(now) {
            self.due.push_back(due);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ClientEvent> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if self.state == State::Finished {
                return Output::Finished;
            }
            if let Some(transmit) = self.transmissions.poll(now, &mut self.random) {
                return Output::Transmit(transmit);
            }
            if !self.work(now) {
                break;
            }
        }
        let (due, transmit) = (self.deadlines.earliest(), self.transmissions.earliest());
        Output::Wait {
            until: due.into_iter().chain(transmit).min(),
            reason: "services",
        }
    }
}
