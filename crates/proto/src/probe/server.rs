//! Who sends and counts for others.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Received, Transmit};
use tracing::trace;

use super::client::Seen;
use super::cookie::{Asked, COOKIE_LIFE, Cookies};
use super::event::{Arrival, Inquiry, Order, ServerEvent};
use super::message::{Body, CHUNK, Foreign, MAX_COUNT, MIN_SIZE, Message};
use super::{Burst, Counts, Refusal, Report, ServerConfig};
use crate::{Output, Protocol};

/// Sends datagrams to those who ask, or to a group that was agreed, and counts what comes.
///
/// It asks its driver for what a protocol cannot do: to join a group, to send with a hop limit and
/// by an interface, and to examine the host.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    cookies: Cookies,
    started: Option<Instant>,
    sessions: Vec<Session>,
    /// Datagrams that may be sent now, and since when.
    allowance: u32,
    counted_from: Option<Instant>,
    outputs: VecDeque<Output<ServerEvent>>,
    stopped: bool,
    stats: ServerStats,
}

/// What a [`Server`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Datagrams that were no messages, or had another key.
    pub malformed: u64,
    /// Messages of sessions that it does not know.
    pub strangers: u64,
    /// Requests that it refused.
    pub refused: u64,
}

#[derive(Clone, Debug)]
struct Session {
    client: SocketAddr,
    nonce: [u8; 16],
    cookie: [u8; 16],
    group: SocketAddr,
    source: Option<IpAddr>,
    last: Instant,
    /// The number of the last request, and the answer to it, once there is one.
    number: u32,
    answer: Option<Bytes>,
    round: u32,
    seen: Seen,
    /// What came of the round by way of the group.
    arrivals: Vec<Arrival>,
    /// What the host last found on itself.
    report: Bytes,
}

/// Of how many ways of a client's datagrams it keeps account.
const MAX_ARRIVALS: usize = 8;

/// How long a session may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// How many seconds' worth of datagrams may go at once.
const BURST: u32 = 10;

impl Server {
    /// A server that answers from now on; its cookies come from the seed.
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        Self {
            allowance: config.rate.saturating_mul(BURST),
            cookies: Cookies::new(seed),
            started: None,
            config,
            sessions: Vec::new(),
            counted_from: None,
            outputs: VecDeque::new(),
            stopped: false,
            stats: ServerStats::default(),
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ServerStats {
        self.stats
    }

    /// Takes in that the datagrams of an order were sent, or why they were not.
    pub fn sent(&mut self, order: &Order, result: Result<(), Refusal>) {
        let body = match result {
            Ok(()) => Body::Sent,
            Err(why) => Body::Refused(why),
        };
        if let Some(index) = self.awaiting(order.client, order.message.number) {
            self.answer(index, body);
        }
    }

    /// Takes in that the host counts from now on.
    pub fn watching(&mut self, inquiry: &Inquiry) {
        if let Some(index) = self.awaiting(inquiry.client, inquiry.number) {
            self.answer(index, Body::Watching);
        }
    }

    /// Takes in what the host has found on itself.
    pub fn examined(&mut self, inquiry: &Inquiry, report: &Report) {
        if let Some(index) = self.awaiting(inquiry.client, inquiry.number) {
            let report = report.emit();
            let length = u16::try_from(report.len()).unwrap_or(u16::MAX);
            self.sessions[index].report = report;
            self.answer(index, Body::Examined { length });
        }
    }

    /// The session that waits for the answer to this request.
    fn awaiting(&self, client: SocketAddr, number: u32) -> Option<usize> {
        let waits = |session: &Session| {
            session.client == client && session.number == number && session.answer.is_none()
        };
        let found = self.sessions.iter().position(waits);
        found.filter(|_| !self.stopped)
    }

    /// Answers the last request of a session, and keeps the answer in case it is lost.
    fn answer(&mut self, index: usize, body: Body) {
        if matches!(body, Body::Refused(_)) {
            self.stats.refused += 1;
        }
        let session = &mut self.sessions[index];
        let message = Message {
            nonce: session.nonce,
            cookie: session.cookie,
            number: session.number,
            body,
        };
        let datagram = message.emit(self.config.key.as_ref(), 0);
        session.answer = Some(datagram.clone());
        let transmit = Transmit::new(session.client, datagram);
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// Answers a `Hello`. Nothing is kept of it until its cookie has come back, so whoever forges the
    /// address of another gets nothing remembered, and drives nobody out.
    fn hello(
        &mut self,
        now: Instant,
        client: SocketAddr,
        message: &Message,
        (group, source): (SocketAddr, Option<IpAddr>),
    ) {
        if !(may_be_probed(group) && may_be_source(source, group)) {
            self.reply(client, message, [0; 16], Body::Refused(Refusal::Group));
            return;
        }
        let asked = Asked {
            client,
            nonce: message.nonce,
            group,
            source,
        };
        let epoch = self.epoch(now);
        let is_proved = [epoch, epoch.saturating_sub(1)]
            .iter()
            .any(|epoch| self.cookies.cookie(&asked, *epoch) == message.cookie);
        if !is_proved {
            let cookie = self.cookies.cookie(&asked, epoch);
            self.reply(client, message, cookie, Body::Welcome);
            return;
        }
        let same = |session: &Session| session.client == client && session.nonce == message.nonce;
        if let Some(session) = self.sessions.iter().find(|session| same(session)) {
            // The answer was lost; a `Hello` that was on its way for long has none.
            if session.number == message.number {
                self.reply(client, message, message.cookie, Body::Welcome);
            }
            return;
        }
        if !self.make_room(client.ip()) {
            self.reply(client, message, [0; 16], Body::Refused(Refusal::TooMuch));
            return;
        }
        self.sessions.push(Session {
            client,
            nonce: message.nonce,
            cookie: message.cookie,
            group,
            source,
            last: now,
            number: message.number,
            answer: None,
            round: 0,
            seen: Seen::default(),
            arrivals: Vec::new(),
            report: Bytes::new(),
        });
        let sources = self.sources(group);
        self.outputs.push_back(Output::Event(ServerEvent::Join {
            client,
            group,
            sources,
        }));
        self.answer(self.sessions.len() - 1, Body::Welcome);
    }

    /// How many times the life of a cookie has passed.
    fn epoch(&mut self, now: Instant) -> u64 {
        let start = *self.started.get_or_insert(now);
        now.saturating_duration_since(start).as_secs() / COOKIE_LIFE.as_secs()
    }

    /// Answers a message of which nothing is kept.
    fn reply(&mut self, client: SocketAddr, to: &Message, cookie: [u8; 16], body: Body) {
        if matches!(body, Body::Refused(_)) {
            self.stats.refused += 1;
        }
        let answer = Message {
            nonce: to.nonce,
            cookie,
            number: to.number,
            body,
        };
        let datagram = answer.emit(self.config.key.as_ref(), 0);
        let transmit = Transmit::new(client, datagram);
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// Tells somebody who says hello in another version that this is none that they know.
    fn greet(&mut self, client: SocketAddr, foreign: Foreign) {
        if !foreign.is_hello {
            return;
        }
        let message = Message {
            nonce: foreign.nonce,
            cookie: [0; 16],
            number: foreign.number,
            body: Body::Refused(Refusal::Version),
        };
        let datagram = message.emit(self.config.key.as_ref(), 0);
        let transmit = Transmit::new(client, datagram);
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// Makes room for a session of a host, and says whether there is. A host that has a quarter of
    /// all gives up its own most silent one; the sessions of others end by themselves alone.
    fn make_room(&mut self, host: IpAddr) -> bool {
        let most = self.config.sessions.max(1);
        let share = (most / 4).max(1);
        let own = |session: &&Session| session.client.ip() == host;
        if self.sessions.iter().filter(own).count() >= share {
            let oldest = (0..self.sessions.len())
                .filter(|index| self.sessions[*index].client.ip() == host)
                .min_by_key(|index| self.sessions[*index].last);
            if let Some(index) = oldest {
                self.forget(index);
            }
        }
        self.sessions.len() < most
    }

    fn forget(&mut self, index: usize) {
        let session = self.sessions.swap_remove(index);
        let group = session.group;
        let needed = self.sessions.iter().any(|other| other.group == group);
        if !needed {
            self.outputs
                .push_back(Output::Event(ServerEvent::Leave { group }));
        }
    }

    /// The sources that those who ask about a group name; empty where one of them names none.
    fn sources(&self, group: SocketAddr) -> Vec<IpAddr> {
        let mut sources = Vec::new();
        let here = |session: &&Session| session.group == group;
        for session in self.sessions.iter().filter(here) {
            match session.source {
                None => return Vec::new(),
                Some(source) if !sources.contains(&source) => sources.push(source),
                Some(_) => {}
            }
        }
        sources
    }

    /// Takes in a request of a session.
    fn request(&mut self, now: Instant, index: usize, message: Message, interface: u32) {
        let session = &mut self.sessions[index];
        session.last = now;
        if message.number == session.number {
            // Asked again: the answer was lost, or is still to come.
            if let Some(answer) = session.answer.clone() {
                let transmit = Transmit::new(session.client, answer);
                self.outputs.push_back(Output::Transmit(transmit));
            }
            return;
        }
        if message.number < session.number {
            // It was on its way for long, and was asked again and answered before.
            return;
        }
        session.number = message.number;
        session.answer = None;
        let inquiry = Inquiry {
            client: session.client,
            group: session.group,
            interface,
            number: message.number,
        };
        match message.body {
            Body::Send(burst) => self.order(now, index, message, burst, interface),
            Body::Watch => {
                self.outputs
                    .push_back(Output::Event(ServerEvent::Watch(inquiry)));
            }
            Body::Examine { round, sent } => self.inquire(now, index, inquiry, round, sent),
            Body::Read { chunk } => {
                let start = usize::from(chunk) * CHUNK;
                let end = (start + CHUNK).min(session.report.len());
                let body = if start < end {
                    let bytes = session.report.slice(start..end);
                    Body::Chunk { chunk, bytes }
                } else {
                    Body::Refused(Refusal::Request)
                };
                self.answer(index, body);
            }
            Body::Count { round } => {
                let counts = if session.round == round {
                    session.seen.counts()
                } else {
                    Counts::default()
                };
                self.answer(index, Body::Counted(counts));
            }
            _ => {}
        }
    }

    /// Has the host examined, if it is not asked for too often.
    fn inquire(&mut self, now: Instant, index: usize, inquiry: Inquiry, round: u32, sent: u16) {
        if !self.allows(now, self.config.rate) {
            self.answer(index, Body::Refused(Refusal::TooMuch));
            return;
        }
        let session = &self.sessions[index];
        let arrivals = if session.round == round {
            session.arrivals.clone()
        } else {
            Vec::new()
        };
        self.outputs.push_back(Output::Event(ServerEvent::Examine {
            inquiry,
            sent,
            arrivals,
        }));
    }

    fn order(
        &mut self,
        now: Instant,
        index: usize,
        message: Message,
        burst: Burst,
        interface: u32,
    ) {
        let sound =
            (1..=MAX_COUNT).contains(&burst.count) && burst.size >= MIN_SIZE && burst.hops > 0;
        if !sound {
            self.answer(index, Body::Refused(Refusal::Request));
            return;
        }
        if !self.allows(now, burst.count.into()) {
            self.answer(index, Body::Refused(Refusal::TooMuch));
            return;
        }
        let session = &self.sessions[index];
        let order = Order {
            client: session.client,
            to: if burst.to_group {
                session.group
            } else {
                session.client
            },
            burst,
            interface,
            message,
            key: self.config.key.clone(),
        };
        self.outputs
            .push_back(Output::Event(ServerEvent::Send(order)));
    }

    /// Whether so many datagrams more may go, which are then counted.
    fn allows(&mut self, now: Instant, count: u32) -> bool {
        let most = self.config.rate.saturating_mul(BURST);
        let since = *self.counted_from.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            let more = self.config.rate.saturating_mul(seconds);
            self.allowance = self.allowance.saturating_add(more).min(most);
            self.counted_from = Some(now);
        }
        let left = self.allowance.checked_sub(count);
        self.allowance = left.unwrap_or(self.allowance);
        left.is_some()
    }
}

impl Session {
    /// Takes in a datagram of data. One of an earlier round comes too late.
    fn count(&mut self, round: u32, index: u8, datagram: &Received<'_>) {
        if round < self.round {
            return;
        }
        if round > self.round {
            self.round = round;
            self.seen = Seen::default();
            self.arrivals.clear();
        }
        let by_group = datagram.destination.ip().is_multicast();
        self.seen.add(index, by_group);
        if !by_group {
            return;
        }
        let same = |arrival: &&mut Arrival| {
            arrival.source == datagram.source && arrival.interface.index == datagram.interface.index
        };
        if let Some(arrival) = self.arrivals.iter_mut().find(same) {
            arrival.datagrams = arrival.datagrams.saturating_add(1);
        } else if self.arrivals.len() < MAX_ARRIVALS {
            self.arrivals.push(Arrival {
                source: datagram.source,
                interface: datagram.interface.clone(),
                datagrams: 1,
            });
        }
    }
}

impl Protocol for Server {
    type Event = ServerEvent;

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
        self.outputs.clear();
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if self.stopped {
            return;
        }
        let client = datagram.source;
        let by_group = datagram.destination.ip().is_multicast();
        let message = match Message::parse(datagram.payload, self.config.key.as_ref()) {
            Ok(message) => message,
            Err(error) => {
                trace!(source = %client, %error, "no message");
                self.stats.malformed += 1;
                if let (Some(foreign), false) = (Foreign::parse(datagram.payload), by_group) {
                    self.greet(client, foreign);
                }
                return;
            }
        };
        if let (&Body::Hello { group, source }, false) = (&message.body, by_group) {
            self.hello(now, client, &message, (group, source));
            return;
        }
        let of_session = |session: &Session| {
            // Data may come from another address of the client, that of the way to the group.
            session.nonce == message.nonce && session.cookie == message.cookie
        };
        let Some(index) = self.sessions.iter().position(of_session) else {
            self.stats.strangers += 1;
            return;
        };
        let session = &mut self.sessions[index];
        match message.body {
            Body::Data {
                index,
                from_client: true,
            } => session.count(message.number, index, &datagram),
            Body::Bye if session.client == client && !by_group => self.forget(index),
            Body::Send(_)
            | Body::Count { .. }
            | Body::Watch
            | Body::Examine { .. }
            | Body::Read { .. }
                if session.client == client && !by_group =>
            {
                self.request(now, index, message, datagram.interface.index);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        for index in (0..self.sessions.len()).rev() {
            if now.saturating_duration_since(self.sessions[index].last) >= IDLE {
                self.forget(index);
            }
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<ServerEvent> {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.stopped {
            return Output::Finished;
        }
        let until = self
            .sessions
            .iter()
            .filter_map(|session| session.last.checked_add(IDLE))
            .min();
        Output::Wait {
            until,
            reason: "requests",
        }
    }
}

/// Whether a source can be one of a group's.
fn may_be_source(source: Option<IpAddr>, group: SocketAddr) -> bool {
    source.is_none_or(|source| {
        source.is_ipv4() == group.is_ipv4() && !source.is_multicast() && !source.is_unspecified()
    })
}

/// Whether a server sends there: to groups alone, and not to those of a link's own protocols.
fn may_be_probed(group: SocketAddr) -> bool {
    let allowed = match group.ip() {
        IpAddr::V4(ip) => ip.is_multicast() && ip.octets()[..3] != [224, 0, 0],
        // RFC 4291 §2.7.1: those of the lowest numbers and link-local scope.
        IpAddr::V6(ip) => ip.is_multicast() && ip.segments()[0] & 0xfff0 != 0xff00,
    };
    allowed && group.port() != 0
}
