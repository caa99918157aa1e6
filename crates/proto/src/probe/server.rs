//! Who sends and counts for others.

mod examine;
mod limits;
mod orders;
mod session;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{ErrorKind, Group, NetworkError, Received, Transmit};
use tracing::trace;

use super::cookie::{Asked, Cookies};
use super::event::{Inquiry, ServerEvent};
use super::message::{Body, Foreign, MAX_COUNT, MIN_SIZE, Message};
use super::{Burst, Refusal, ServerConfig};
use crate::timers::Deadlines;
use crate::{NetworkEvent, Output, Protocol, Request};
use limits::{Allowance, may_be_probed, may_be_source, network};
use orders::{Next, Order, Orders};
use session::Session;

/// Sends datagrams to those who ask, or to a group that was agreed, and counts what comes.
///
/// It joins and leaves the groups, and sends by a socket of its own to them, by requests. What it
/// cannot know, what its host counts and finds on itself, it asks by events, and is answered by
/// [`watching`](Self::watching) and [`examined`](Self::examined).
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    cookies: Cookies,
    sessions: Vec<Session>,
    /// When sessions end, by their cookies.
    ends: Deadlines<[u8; 16]>,
    /// The cookies of the latest sessions that have ended.
    ended: VecDeque<[u8; 16]>,
    allowance: Allowance,
    orders: Orders,
    /// For whom the joins among the outputs are; `None`: a group is joined again.
    joins: VecDeque<Option<SocketAddr>>,
    /// For whom a join was requested that is answered before the next poll.
    joining: Option<SocketAddr>,
    /// The examinations for which their groups are left.
    suspended: Vec<Inquiry>,
    outputs: VecDeque<Output<ServerEvent>>,
    stopped: bool,
    stats: ServerStats,
}

/// What a [`Server`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Datagrams that were no messages, or had another key.
    pub malformed: u64,
    /// Messages of sessions that it does not know.
    pub strangers: u64,
    /// Requests that it refused.
    pub refused: u64,
}

/// Of so many sessions that have ended it is remembered that they have: a cookie is good for longer
/// than its session, and whoever has a key is not flooded by those who have none.
const ENDED: usize = 1024;

/// How long a session may be silent.
const IDLE: Duration = Duration::from_secs(60);

impl Server {
    /// A server that answers from now on; its cookies come from the seed.
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        Self {
            allowance: Allowance::new(config.rate),
            cookies: Cookies::new(seed),
            config,
            sessions: Vec::new(),
            ends: Deadlines::new(),
            ended: VecDeque::new(),
            orders: Orders::default(),
            joins: VecDeque::new(),
            joining: None,
            suspended: Vec::new(),
            outputs: VecDeque::new(),
            stopped: false,
            stats: ServerStats::default(),
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ServerStats {
        self.stats
    }

    #[cfg(any(fuzzing, test))]
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Takes in that the host counts from now on.
    pub fn watching(&mut self, inquiry: &Inquiry) {
        if let Some(index) = self.awaiting(inquiry.cookie, inquiry.number) {
            self.answer(index, Body::Watching);
        }
    }

    fn session(&self, cookie: [u8; 16]) -> Option<usize> {
        self.sessions.iter().position(|it| it.cookie == cookie)
    }

    /// The session that waits for the answer to this request.
    fn awaiting(&self, cookie: [u8; 16], number: u32) -> Option<usize> {
        let index = self.session(cookie)?;
        let session = &self.sessions[index];
        let waits = session.number == number && session.answer.is_none() && !self.stopped;
        waits.then_some(index)
    }

    /// Answers the last request of a session, and keeps the answer in case it is lost.
    fn answer(&mut self, index: usize, body: Body) {
        if matches!(body, Body::Refused(_)) {
            self.stats.refused += 1;
        }
        let session = &mut self.sessions[index];
        let datagram = session.message(body).emit(self.config.key.as_ref(), 0);
        session.answer = Some(datagram.clone());
        let transmit = session.reply.with(datagram);
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// Answers a `Hello`. Nothing is kept of it until its cookie has come back, so whoever forges the
    /// address of another gets nothing remembered, and drives nobody out.
    fn hello(
        &mut self,
        now: Instant,
        reply: Transmit<()>,
        message: &Message,
        (group, source): (SocketAddr, Option<IpAddr>),
    ) {
        let client = reply.destination;
        if !(may_be_probed(group) && may_be_source(source, group)) {
            self.reply(reply, message, [0; 16], Body::Refused(Refusal::Group));
            return;
        }
        let asked = Asked {
            client,
            nonce: message.nonce,
            group,
            source,
        };
        if !self.cookies.is_good(now, &asked, message.cookie) {
            let cookie = self.cookies.make(now, &asked);
            self.reply(reply, message, cookie, Body::Welcome);
            return;
        }
        if self.ended.contains(&message.cookie) {
            // It is replayed, and so would be the requests that follow.
            self.stats.strangers += 1;
            return;
        }
        let same = |session: &Session| session.client == client && session.nonce == message.nonce;
        if let Some(session) = self.sessions.iter().find(|session| same(session)) {
            // The answer was lost or is still to come; a `Hello` that comes late has none.
            if session.number == message.number && !session.is_held {
                self.reply(reply, message, message.cookie, Body::Welcome);
            }
            return;
        }
        if !self.make_room(client) {
            self.reply(reply, message, [0; 16], Body::Refused(Refusal::TooMuch));
            return;
        }
        // A new group costs the host as much as an examination.
        if !self.is_needed(group) && !self.allowance.take(now, self.config.rate) {
            self.reply(reply, message, [0; 16], Body::Refused(Refusal::TooMuch));
            return;
        }
        let mut session = Session::new(now, message, reply, (group, source));
        session.is_held = self.is_suspended(group);
        let is_held = session.is_held;
        self.sessions.push(session);
        self.ends.set(message.cookie, now.checked_add(IDLE));
        let sources = self.sources(group);
        self.outputs.push_back(Output::Event(ServerEvent::Agreed {
            client,
            group,
            sources,
        }));
        if !is_held {
            self.welcome(self.sessions.len() - 1);
        }
    }

    /// Joins the group of a session, and tells its client that it may begin.
    fn welcome(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.is_held = false;
        let (client, group) = (session.client, session.group);
        self.join(Some(client), group);
        self.answer(index, Body::Welcome);
    }

    /// Answers a message of which nothing is kept.
    fn reply(&mut self, reply: Transmit<()>, to: &Message, cookie: [u8; 16], body: Body) {
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
        self.outputs
            .push_back(Output::Transmit(reply.with(datagram)));
    }

    /// Tells somebody who says hello in another version that this is none that they know.
    fn greet(&mut self, reply: Transmit<()>, foreign: Foreign) {
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
        self.outputs
            .push_back(Output::Transmit(reply.with(datagram)));
    }

    /// Makes room for a session of a host, and says whether there is. A network that has a quarter of
    /// all gives up its own most silent one; the sessions of others end by themselves alone.
    fn make_room(&mut self, client: SocketAddr) -> bool {
        let most = self.config.sessions.max(1);
        let share = (most / 4).max(1);
        let own = |session: &&Session| network(session.client) == network(client);
        if self.sessions.iter().filter(own).count() >= share {
            let oldest = self.sessions.iter().filter(own).min_by_key(|it| it.last);
            if let Some(cookie) = oldest.map(|session| session.cookie) {
                self.forget(cookie);
            }
        }
        self.sessions.len() < most
    }

    fn forget(&mut self, cookie: [u8; 16]) {
        let Some(index) = self.session(cookie) else {
            return;
        };
        let group = self.sessions.swap_remove(index).group;
        self.ends.set(cookie, None);
        self.ended.truncate(ENDED - 1);
        self.ended.push_front(cookie);
        self.cancel(cookie);
        if !self.is_needed(group) {
            self.leave(group);
            self.outputs
                .push_back(Output::Event(ServerEvent::Left { group }));
        }
    }

    fn is_needed(&self, group: SocketAddr) -> bool {
        self.sessions.iter().any(|session| session.group == group)
    }

    /// Requests to join a group with the sources of all who ask about it.
    fn join(&mut self, client: Option<SocketAddr>, address: SocketAddr) {
        let sources = self.sources(address);
        let mut group = Group::new(address.ip());
        if !sources.is_empty() {
            group = group.with_sources(sources);
        }
        let port = address.port();
        self.joins.push_back(client);
        self.outputs
            .push_back(Output::Request(Request::Join { group, port }));
    }

    fn leave(&mut self, address: SocketAddr) {
        let (group, port) = (Group::new(address.ip()), address.port());
        self.outputs
            .push_back(Output::Request(Request::Leave { group, port }));
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
    fn request(&mut self, now: Instant, index: usize, message: Message, datagram: &Received<'_>) {
        let session = &mut self.sessions[index];
        if session.is_held {
            // It was not told yet that it may begin.
            return;
        }
        if message.number == session.number {
            // Asked again: the answer was lost, or is still to come.
            if let Some(answer) = session.answer.clone() {
                let transmit = datagram.reply().with(answer);
                self.outputs.push_back(Output::Transmit(transmit));
            }
            return;
        }
        if message.number < session.number {
            // It comes late: it was asked again, and answered, before.
            return;
        }
        // What is replayed has an old number, so it prolongs nothing.
        session.last = now;
        self.ends.set(session.cookie, now.checked_add(IDLE));
        session.number = message.number;
        session.answer = None;
        session.reply = datagram.reply();
        let inquiry = Inquiry {
            client: session.client,
            group: session.group,
            interface: datagram.interface.index,
            cookie: session.cookie,
            number: message.number,
        };
        self.cancel(inquiry.cookie);
        match message.body {
            Body::Send(burst) => self.order(now, index, message, burst, inquiry.interface),
            Body::Watch => {
                self.outputs
                    .push_back(Output::Event(ServerEvent::Watch(inquiry)));
            }
            Body::Examine { round, sent } => self.inquire(now, index, inquiry, round, sent),
            Body::Read { chunk } => {
                let piece = self.sessions[index].piece(chunk);
                self.answer(index, piece);
            }
            Body::Count { round } => {
                let counts = self.sessions[index].counts(round);
                self.answer(index, Body::Counted(counts));
            }
            _ => {}
        }
    }

    /// Takes in what is to be sent: to the client from the port that it asked, to the group as other
    /// programs of this host would.
    fn order(
        &mut self,
        now: Instant,
        index: usize,
        message: Message,
        burst: Burst,
        interface: u32,
    ) {
        let session = &self.sessions[index];
        let sound = (1..=MAX_COUNT).contains(&burst.count)
            && burst.size >= MIN_SIZE
            && burst.hops > 0
            && may_be_source(burst.source, session.group);
        if !sound {
            self.answer(index, Body::Refused(Refusal::Request));
            return;
        }
        let mut like = session.reply;
        if burst.to_group {
            like = Transmit::new(session.group, ());
            like.source = burst.source;
            like.interface = (!burst.by_route).then_some(interface);
        }
        like.hops = Some(burst.hops);
        let order = Order {
            client: session.client,
            message,
            count: burst.count,
            size: burst.size,
            like,
        };
        if !self.allowance.take(now, burst.count.into()) {
            self.answer(index, Body::Refused(Refusal::TooMuch));
            return;
        }
        self.orders.push(order);
    }

    /// Tells that an order was done, or could not be.
    fn sent(&mut self, order: &Order, error: Option<NetworkError>) {
        let body = match &error {
            None => Body::Sent,
            Some(error) if error.kind == ErrorKind::AddressNotAvailable => {
                Body::Refused(Refusal::Source)
            }
            Some(_) => Body::Refused(Refusal::CannotSend),
        };
        self.outputs.push_back(Output::Event(ServerEvent::Sent {
            client: order.client,
            to: order.like.destination,
            count: order.count,
            error,
        }));
        if let Some(index) = self.awaiting(order.message.cookie, order.message.number) {
            self.answer(index, body);
        }
    }

    /// Forgets what a session wanted sent.
    fn cancel(&mut self, cookie: [u8; 16]) {
        let close = self.orders.cancel(cookie);
        self.outputs.extend(close.map(Output::Request));
    }
}

impl Protocol for Server {
    type Event = ServerEvent;

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
        self.outputs.clear();
        self.orders.clear();
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
                    self.greet(datagram.reply(), foreign);
                }
                return;
            }
        };
        if let (&Body::Hello { group, source }, false) = (&message.body, by_group) {
            self.hello(now, datagram.reply(), &message, (group, source));
            return;
        }
        let of_session = |session: &Session| {
            // Data may come from another address of the client, the one that it sends to the group from.
            session.nonce == message.nonce && session.cookie == message.cookie
        };
        let Some(index) = self.sessions.iter().position(of_session) else {
            self.stats.strangers += 1;
            return;
        };
        let session = &mut self.sessions[index];
        let is_request = session.client == client && !by_group;
        match message.body {
            Body::Data {
                index,
                from_client: true,
            } => session.count(message.number, index, &datagram),
            Body::Bye if is_request => self.forget(message.cookie),
            Body::Send(_)
            | Body::Count { .. }
            | Body::Watch
            | Body::Examine { .. }
            | Body::Read { .. }
                if is_request =>
            {
                self.request(now, index, message, &datagram);
            }
            _ => {}
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if self.stopped {
            return;
        }
        if self.orders.handle_network(now, &event) {
            return;
        }
        let (group, error) = match event {
            NetworkEvent::Joined(membership) => (membership.group, None),
            NetworkEvent::NotJoined { group, port, error } => {
                (SocketAddr::new(group.address, port), Some(error))
            }
            NetworkEvent::Opened { socket, .. } => {
                // It was wanted for datagrams that are wanted no more.
                let close = Request::Close { socket };
                self.outputs.push_back(Output::Request(close));
                return;
            }
            _ => return,
        };
        // A group is joined on several interfaces, and told of once; what changes later heals.
        if let Some(client) = self.joining.take() {
            let joined = ServerEvent::Joined {
                client,
                group,
                error,
            };
            self.outputs.push_front(Output::Event(joined));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        while let Some(cookie) = self.ends.expired(now) {
            self.forget(cookie);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ServerEvent> {
        self.joining = None;
        loop {
            if let Some(output) = self.outputs.pop_front() {
                if let Output::Request(Request::Join { .. }) = output {
                    self.joining = self.joins.pop_front().flatten();
                }
                return output;
            }
            if self.stopped {
                return Output::Finished;
            }
            let until = match self.orders.poll(now, self.config.key.as_ref()) {
                Next::Request(request) => return Output::Request(request),
                Next::Transmit(transmit) => return Output::Transmit(transmit),
                Next::Sent(order, close, error) => {
                    self.outputs.extend(close.map(Output::Request));
                    self.sent(&order, error);
                    continue;
                }
                Next::Wait(until) => until,
            };
            let end = self.ends.earliest();
            return match until {
                Some(next) if end.is_none_or(|end| next <= end) => Output::Wait {
                    until,
                    reason: "the time of the next datagram",
                },
                _ => Output::Wait {
                    until: end,
                    reason: "requests",
                },
            };
        }
    }
}
