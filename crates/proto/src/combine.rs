//! Two protocols on the same sockets.

mod groups;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use manycast_types::{Received, Run, SocketId};
use tracing::trace;

use crate::{NetworkEvent, Output, Protocol, Request};
use groups::Groups;

/// Two protocols on the same sockets, as one protocol: STUN beside data, for instance.
///
/// * **Datagrams** go to the first protocol if it `claims` them, else to the second. What comes by a
///   socket that one of them has [opened](Request::Open) is that one's, and `claims` is not asked.
/// * **Outputs** of the two alternate, so neither keeps the other from sending, however much it has
///   to send. Events bear the name of the one that tells them: [`Either`].
/// * **Requests** are answered to the one that made them, also where both use the same tag. A group
///   that both have joined stays joined until both have left it, meanwhile for the sources of both
///   (RFC 3376 §3.2), and both are told what becomes of it. On one interface it is another group than
///   on another; on all interfaces it is each of them. Interfaces that one names and the other gives
///   the index or an address of count as the same.
/// * **Datagrams that were not sent** are told to the one that has lately sent to that destination, and
///   to both where both have; of a socket that both send by, both are told what is
///   [unreachable](NetworkEvent::Unreachable).
/// * **The end**: when one has finished, what it had opened is closed and what it alone had joined is
///   left, before the other goes on. It has finished when both have.
///
/// Three are two of which one is two. What is asked of one of them is asked of the field.
///
/// # Example
///
/// RFC 7983 §7 tells STUN from what shares its port by the first byte:
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ask::{Responder, ResponderConfig, ResponderEvent};
/// use manycast_proto::{Combined, Either, Output, Protocol};
/// use manycast_types::{InterfaceId, Received};
///
/// let answering = |prefix: &'static str| {
///     Responder::new(ResponderConfig { prefix: prefix.into(), ..ResponderConfig::default() })
/// };
/// let is_stun = |datagram: &Received<'_>| matches!(datagram.payload.first(), Some(0..=3));
/// let mut both = Combined::new(answering("stun "), answering("data "), is_stun);
///
/// let now = Instant::now();
/// both.start(now);
/// let (client, server) = (([10, 0, 0, 5], 46_622).into(), ([10, 0, 0, 1], 3478).into());
/// let interface = InterfaceId::new(2, "eth0");
/// both.handle_datagram(now, Received::new(b"hello", client, server, &interface));
/// let Output::Transmit(answer) = both.poll_output(now) else { panic!("it answers") };
/// assert_eq!(answer.payload, "data hello");
/// let Output::Event(event) = both.poll_output(now) else { panic!("it tells of that") };
/// assert!(matches!(event, Either::Second(ResponderEvent::Answered(_))));
/// assert_eq!(both.first.stats().questions, 0);
/// ```
pub struct Combined<A, B, C> {
    /// The first protocol, for commands and statistics.
    pub first: A,
    /// The second.
    pub second: B,
    claims: C,
    members: [Member; 2],
    groups: Groups,
    /// Whose turn it is.
    turn: Which,
    /// Whose request was handed out last, so whose the answers are until the next poll.
    asked: Option<(Which, Request)>,
    /// What is to be closed and left for one that has finished or does not want it any more. It is
    /// requested before either is polled again.
    releases: VecDeque<(Which, Request)>,
    /// Where the latest datagrams were to go, and whose they were. Some of them may be sent.
    latest: VecDeque<(SocketAddr, Which)>,
    /// Whether the driver has sent them before it polls again.
    is_sent: bool,
    stopped: bool,
}

/// One of two things, such as the events of two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either<A, B> {
    /// What is of the first.
    First(A),
    /// What is of the second.
    Second(B),
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    First,
    Second,
}

impl Which {
    const BOTH: [Self; 2] = [Self::First, Self::Second];

    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// How it stands with one of the two.
#[derive(Debug, Default)]
struct Member {
    /// Whether its stop hook has run.
    stopped: bool,
    finished: bool,
    /// The sockets that it has opened.
    sockets: BTreeSet<SocketId>,
}

/// Of so many datagrams it is remembered whose they are: no driver takes more before it sends them,
/// and tells which could not be sent.
const LATEST: usize = 64;

impl<A, B, C> Combined<A, B, C>
where
    A: Protocol,
    B: Protocol,
    C: FnMut(&Received<'_>) -> bool,
{
    /// The two together; `claims` says of a datagram that came whether it is the first one's. It
    /// decides by the datagram alone, and at once: it is asked once for each.
    pub fn new(first: A, second: B, claims: C) -> Self {
        Self {
            first,
            second,
            claims,
            members: Default::default(),
            groups: Groups::default(),
            turn: Which::First,
            asked: None,
            releases: VecDeque::new(),
            latest: VecDeque::with_capacity(LATEST),
            is_sent: false,
            stopped: false,
        }
    }

    /// Whose socket it is, if one of them has opened it.
    fn owner(&self, socket: SocketId) -> Option<Which> {
        let owns = |which: &Which| self.members[*which as usize].sockets.contains(&socket);
        Which::BOTH.into_iter().find(owns)
    }

    fn is_for(&mut self, datagram: &Received<'_>) -> Which {
        match self.owner(datagram.socket) {
            Some(owner) => owner,
            None if (self.claims)(datagram) => Which::First,
            None => Which::Second,
        }
    }

    fn tell(&mut self, now: Instant, which: Which, event: NetworkEvent) {
        if self.members[which as usize].finished {
            return;
        }
        match which {
            Which::First => self.first.handle_network(now, event),
            Which::Second => self.second.handle_network(now, event),
        }
    }

    fn tell_both(&mut self, now: Instant, event: NetworkEvent) {
        self.tell(now, Which::First, event.clone());
        self.tell(now, Which::Second, event);
    }

    fn stop_one(&mut self, now: Instant, which: Which) {
        if std::mem::replace(&mut self.members[which as usize].stopped, true) {
            return;
        }
        match which {
            Which::First => self.first.stop(now),
            Which::Second => self.second.stop(now),
        }
    }

    /// The next output of one of them that is not its end.
    fn poll(&mut self, now: Instant, which: Which) -> Output<Either<A::Event, B::Event>> {
        loop {
            let output = match which {
                Which::First => self.first.poll_output(now).map(Either::First),
                Which::Second => self.second.poll_output(now).map(Either::Second),
            };
            match output {
                // It is told to stop, as by any driver, and may have last words.
                Output::Finished if !self.members[which as usize].stopped => {
                    self.stop_one(now, which);
                }
                Output::Finished => {
                    self.release(which);
                    return Output::Finished;
                }
                Output::Transmit(transmit) => {
                    if self.latest.len() == LATEST {
                        self.latest.pop_front();
                    }
                    self.latest.push_back((transmit.destination, which));
                    return Output::Transmit(transmit);
                }
                Output::Request(request) => {
                    if let Some(request) = self.request(now, which, request) {
                        return Output::Request(request);
                    }
                }
                // It was told to stop since it had finished, and has no more to say.
                Output::Wait { .. } if self.members[which as usize].stopped && !self.stopped => {
                    self.release(which);
                    return Output::Finished;
                }
                output => return output,
            }
        }
    }

    /// The request of one of them as it is passed on, if it is.
    fn request(&mut self, now: Instant, which: Which, request: Request) -> Option<Request> {
        let passed = match request {
            Request::Close { socket } => {
                if !self.members[which as usize].sockets.remove(&socket) {
                    trace!(?socket, "it is none that this protocol has opened");
                    return None;
                }
                Request::Close { socket }
            }
            Request::Join { group, port } => self.groups.join(which, group, port),
            Request::Leave { group, port } => {
                let left = self.groups.leave(which, group, port).into_iter();
                self.releases.extend(left.map(|request| (which, request)));
                for membership in self.groups.kept_from(which) {
                    self.tell(now, which, NetworkEvent::Left(membership));
                }
                return self.next_release();
            }
            other => other,
        };
        self.asked = Some((which, passed.clone()));
        Some(passed)
    }

    /// The next of what is to be closed and left.
    fn next_release(&mut self) -> Option<Request> {
        let (which, release) = self.releases.pop_front()?;
        self.asked = Some((which, release.clone()));
        Some(release)
    }

    /// Gives back what one that has finished had opened and joined.
    fn release(&mut self, which: Which) {
        let member = &mut self.members[which as usize];
        if std::mem::replace(&mut member.finished, true) || self.stopped {
            return;
        }
        let closed = std::mem::take(&mut member.sockets).into_iter();
        let closed = closed.map(|socket| (which, Request::Close { socket }));
        self.releases.extend(closed);
        let left = self.groups.leave_all(which).into_iter();
        self.releases.extend(left.map(|request| (which, request)));
    }

    /// Whose request a tag is of.
    fn opened_by(&self, tag: u64) -> Option<Which> {
        match &self.asked {
            Some((which, Request::Open { tag: asked, .. })) if *asked == tag => Some(*which),
            _ => None,
        }
    }

    /// Who has just asked to join or to leave a group.
    fn asked_about(&self, group: SocketAddr) -> Option<Which> {
        match &self.asked {
            Some((
                which,
                Request::Join { group: asked, port } | Request::Leave { group: asked, port },
            )) if (asked.address, *port) == (group.ip(), group.port()) => Some(*which),
            _ => None,
        }
    }

    /// Whose a datagram can have been that was not sent. Which of those to one destination it was,
    /// the event does not say: a driver may have sent some of them before, and tell of the next.
    fn may_have_sent(&self, destination: SocketAddr, which: Which) -> bool {
        let mut of_it = self.latest.iter().filter(|(to, _)| *to == destination);
        let is_known = of_it.clone().next().is_some();
        !is_known || of_it.any(|(_, sender)| *sender == which)
    }

    fn hand(&mut self, now: Instant, to: Which, datagram: Received<'_>) {
        match to {
            which if self.members[which as usize].finished => {}
            Which::First => self.first.handle_datagram(now, datagram),
            Which::Second => self.second.handle_datagram(now, datagram),
        }
    }
}

impl<A, B, C> Protocol for Combined<A, B, C>
where
    A: Protocol,
    B: Protocol,
    C: FnMut(&Received<'_>) -> bool,
{
    type Event = Either<A::Event, B::Event>;

    fn start(&mut self, now: Instant) {
        self.first.start(now);
        self.second.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.stopped = true;
        self.releases.clear();
        self.stop_one(now, Which::First);
        self.stop_one(now, Which::Second);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let to = self.is_for(&datagram);
        self.hand(now, to, datagram);
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        let mut all = run.datagrams();
        let Some(first) = all.next() else {
            return;
        };
        let whole = self.is_for(&first);
        let mut alike = 1;
        while let Some(datagram) = all.next() {
            let to = self.is_for(&datagram);
            if to == whole {
                alike += 1;
                continue;
            }
            for earlier in run.datagrams().take(alike) {
                self.hand(now, whole, earlier);
            }
            self.hand(now, to, datagram);
            for later in all {
                self.handle_datagram(now, later);
            }
            return;
        }
        match whole {
            which if self.members[which as usize].finished => {}
            Which::First => self.first.handle_run(now, run),
            Which::Second => self.second.handle_run(now, run),
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        match &event {
            NetworkEvent::Opened { tag, socket, .. } => match self.opened_by(*tag) {
                Some(which) => {
                    self.members[which as usize].sockets.insert(*socket);
                    self.tell(now, which, event);
                }
                None => trace!(tag, "nobody has asked for a socket"),
            },
            NetworkEvent::NotOpened { tag, .. } => match self.opened_by(*tag) {
                Some(which) => self.tell(now, which, event),
                None => trace!(tag, "nobody has asked for a socket"),
            },
            NetworkEvent::Joined(membership) => {
                let asked = self.asked_about(membership.group);
                for which in self.groups.joined(membership, asked) {
                    self.tell(now, which, event.clone());
                }
            }
            NetworkEvent::Left(membership) => {
                let asked = self.asked_about(membership.group);
                for which in self.groups.left(membership, asked) {
                    self.tell(now, which, event.clone());
                }
            }
            NetworkEvent::NotJoined { group, port, .. } => {
                match self.asked_about(SocketAddr::new(group.address, *port)) {
                    Some(which) => {
                        self.groups.not_joined();
                        self.tell(now, which, event);
                    }
                    None => {
                        let wants = |which: &Which| self.groups.wants(*which, group, *port);
                        let told: Vec<Which> = Which::BOTH.into_iter().filter(wants).collect();
                        for which in if told.is_empty() {
                            Which::BOTH.to_vec()
                        } else {
                            told
                        } {
                            self.tell(now, which, event.clone());
                        }
                    }
                }
            }
            NetworkEvent::Unreachable { socket, .. } => match self.owner(*socket) {
                Some(owner) => self.tell(now, owner, event),
                None => self.tell_both(now, event),
            },
            NetworkEvent::NotSent { destination, .. } => {
                for which in Which::BOTH {
                    if self.may_have_sent(*destination, which) {
                        self.tell(now, which, event.clone());
                    }
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.first.handle_timeout(now);
        self.second.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event> {
        self.asked = None;
        if std::mem::take(&mut self.is_sent) {
            self.latest.clear();
        }
        if let Some(release) = self.next_release() {
            return Output::Request(release);
        }
        let mut wait: Option<(Option<Instant>, &'static str)> = None;
        for which in [self.turn, self.turn.other()] {
            if self.members[which as usize].finished {
                continue;
            }
            match self.poll(now, which) {
                Output::Wait { until, reason } => {
                    let is_sooner = wait.is_none_or(|(other, _)| match (until, other) {
                        (Some(until), Some(other)) => until < other,
                        (until, other) => until.is_some() && other.is_none(),
                    });
                    if is_sooner {
                        wait = Some((until, reason));
                    }
                }
                // What it had is given back first: whatever the other says may be the last for long.
                Output::Finished => {
                    if let Some(release) = self.next_release() {
                        return Output::Request(release);
                    }
                }
                output => {
                    self.turn = which.other();
                    self.is_sent = matches!(output, Output::Event(_));
                    return output;
                }
            }
        }
        self.is_sent = true;
        match wait {
            Some((until, reason)) => Output::Wait { until, reason },
            None => Output::Finished,
        }
    }
}

// By hand, since a closure cannot be printed.
impl<A: fmt::Debug, B: fmt::Debug, C> fmt::Debug for Combined<A, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combined")
            .field("first", &self.first)
            .field("second", &self.second)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
