//! A file that is sent to a group (RFC 2090): a list of clients, of whom the first acknowledges.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::SocketId;

use crate::tftp::event::{Failure, Summary, TransferId};
use crate::tftp::exchange::Terms;
use crate::tftp::message::{ErrorCode, Message, Multicast, Options, Refusal};
use crate::tftp::round_trip::RoundTrip;
use crate::tftp::sending::{Acknowledged, Batch, Sending};

/// How often a client is told in vain that it acknowledges from now on, before it is left out.
const APPOINTMENTS: u32 = 4;

/// How long a client may be silent that acknowledges, while others wait.
const SILENCE: Duration = Duration::from_secs(5);

/// What is to be done next.
#[derive(Debug)]
pub(super) enum SessionStep {
    Send(SocketAddr, Bytes),
    /// To the group.
    Data(Batch),
    Read {
        id: TransferId,
        offset: u64,
        length: usize,
    },
    Ended {
        id: TransferId,
        summary: Summary,
        result: Result<(), Failure>,
    },
}

#[derive(Debug)]
struct Member {
    id: TransferId,
    peer: SocketAddr,
    /// Whether it asked for the size of the file.
    wants_size: bool,
    joined: Instant,
    heard: Instant,
}

/// A file on its way to a group.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Bytes,
    pub(super) version: u64,
    pub(super) group: SocketAddr,
    /// The port for it, once there is one.
    pub(super) socket: Option<SocketId>,
    terms: Terms,
    size: u64,
    /// How long it may take for one client.
    duration: Duration,
    members: VecDeque<Member>,
    sending: Sending,
    /// Since when the first client is told that it acknowledges, and how often it was.
    appointed: Option<(Instant, u32)>,
    appointing: RoundTrip,
    steps: VecDeque<SessionStep>,
}

impl Session {
    pub(super) fn new(
        now: Instant,
        (name, version): (Bytes, u64),
        group: SocketAddr,
        terms: Terms,
        size: u64,
        duration: Duration,
    ) -> Self {
        let mut sending = Sending::new(
            now,
            terms.block_size,
            terms.window,
            terms.roll_over,
            terms.round_trip(),
        );
        sending.set_group();
        Self {
            name,
            version,
            group,
            socket: None,
            terms,
            size,
            duration,
            members: VecDeque::new(),
            sending,
            appointed: None,
            appointing: terms.round_trip(),
            steps: VecDeque::new(),
        }
    }

    pub(super) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.steps.is_empty()
    }

    /// Adds a client; the first one acknowledges.
    pub(super) fn add(&mut self, now: Instant, id: TransferId, peer: SocketAddr, wants_size: bool) {
        self.members.push_back(Member {
            id,
            peer,
            wants_size,
            joined: now,
            heard: now,
        });
        if self.socket.is_some() {
            self.greet(now, id);
        }
    }

    /// The port is there: all are told of the group.
    pub(super) fn opened(&mut self, now: Instant, socket: SocketId) {
        self.socket = Some(socket);
        let ids: Vec<TransferId> = self.members.iter().map(|member| member.id).collect();
        ids.into_iter().for_each(|id| self.greet(now, id));
    }

    /// Tells a client of the group, and whether it acknowledges.
    pub(super) fn greet(&mut self, now: Instant, id: TransferId) {
        let Some(position) = self.members.iter().position(|member| member.id == id) else {
            return;
        };
        if position == 0 && self.appointed.is_none() {
            self.appoint(now);
            return;
        }
        let Member {
            peer, wants_size, ..
        } = self.members[position];
        let packet = self.options(position == 0, wants_size);
        self.steps.push_back(SessionStep::Send(peer, packet));
    }

    fn options(&self, master: bool, wants_size: bool) -> Bytes {
        let options = Options {
            block_size: (self.terms.block_size != crate::tftp::BLOCK_SIZE)
                .then_some(self.terms.block_size),
            transfer_size: wants_size.then_some(self.size),
            window: (self.terms.window > 1).then_some(self.terms.window),
            multicast: Some(Multicast {
                group: Some(self.group),
                master,
            }),
            ..Options::default()
        };
        Message::Options(options).emit()
    }

    /// Tells the first client that it acknowledges.
    fn appoint(&mut self, now: Instant) {
        let Some(master) = self.members.front_mut() else {
            return;
        };
        master.heard = now;
        let (peer, wants_size) = (master.peer, master.wants_size);
        let times = self.appointed.map_or(0, |(_, times)| times);
        self.appointed = Some((now, times + 1));
        let packet = self.options(true, wants_size);
        self.steps.push_back(SessionStep::Send(peer, packet));
    }

    /// Takes in a packet of a client. False if it is none of this file's.
    pub(super) fn handle(&mut self, now: Instant, id: TransferId, message: &Message<'_>) -> bool {
        let Some(position) = self.members.iter().position(|member| member.id == id) else {
            return false;
        };
        self.members[position].heard = now;
        match message {
            Message::Error(refusal) => {
                let failure = Failure::Refused(refusal.clone());
                self.remove(now, position, Err(failure));
                true
            }
            Message::Acknowledgment { block } if position == 0 => {
                if let Some((at, times)) = self.appointed.take_if(|(_, times)| *times > 0)
                    && times == 1
                {
                    let sample = now.saturating_duration_since(at);
                    self.sending.round_trip.measured(sample);
                    self.appointing.measured(sample);
                }
                // It was answered; it is no more than the sign that it was appointed.
                self.appointed = Some((now, 0));
                match self.sending.acknowledge(now, *block) {
                    Acknowledged::All => self.remove(now, 0, Ok(())),
                    Acknowledged::Never => return false,
                    Acknowledged::New | Acknowledged::Old => {}
                }
                true
            }
            // RFC 2090: whoever has all says so, also where another acknowledges.
            Message::Acknowledgment { block } if self.sending.is_last(*block) => {
                self.remove(now, position, Ok(()));
                true
            }
            Message::Acknowledgment { .. } => true,
            _ => false,
        }
    }

    /// Ends it for one client, and lets the next one acknowledge.
    pub(super) fn end(&mut self, now: Instant, id: TransferId, result: Result<(), Failure>) {
        if let Some(position) = self.members.iter().position(|member| member.id == id) {
            self.remove(now, position, result);
        }
    }

    /// Forgets a client that is over already.
    pub(super) fn forget(&mut self, now: Instant, id: TransferId) {
        if let Some(position) = self.members.iter().position(|member| member.id == id) {
            self.take_out(now, position);
        }
    }

    /// Ends it for one client, which is told why.
    pub(super) fn abort(&mut self, now: Instant, id: TransferId, refusal: Refusal) {
        if let Some(position) = self.members.iter().position(|member| member.id == id) {
            let peer = self.members[position].peer;
            let packet = Message::Error(refusal.clone()).emit();
            self.steps.push_back(SessionStep::Send(peer, packet));
            self.remove(now, position, Err(Failure::Aborted(refusal)));
        }
    }

    fn remove(&mut self, now: Instant, position: usize, result: Result<(), Failure>) {
        let Some(member) = self.take_out(now, position) else {
            return;
        };
        self.steps.push_back(SessionStep::Ended {
            id: member.id,
            summary: self.summary(now, member.joined, result.is_ok()),
            result,
        });
    }

    /// Takes a client from the list, and lets the next one acknowledge if it was the first.
    fn take_out(&mut self, now: Instant, position: usize) -> Option<Member> {
        let member = self.members.remove(position)?;
        if position == 0 {
            self.appointed = None;
            // What the one before had asked for is read for the next one.
            self.sending.forget_reads();
            if self.socket.is_some() {
                self.appoint(now);
            }
        }
        Some(member)
    }

    fn summary(&self, now: Instant, since: Instant, all: bool) -> Summary {
        Summary {
            bytes: if all { self.size } else { 0 },
            elapsed: now.saturating_duration_since(since),
            again: self.sending.counters.again,
            duplicates: self.sending.counters.duplicates,
            timeouts: self.sending.counters.timeouts,
            round_trip: self.sending.round_trip.smoothed(),
        }
    }

    pub(super) fn provide(&mut self, now: Instant, offset: u64, bytes: Bytes) {
        self.sending.provide(now, offset, bytes);
    }

    /// Whether the client that acknowledges has answered.
    fn is_running(&self) -> bool {
        matches!(self.appointed, Some((_, 0)))
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<SessionStep> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        let master = self.members.front()?.id;
        if !self.is_running() {
            return None;
        }
        if let Some((offset, length)) = self.sending.next_read(true) {
            return Some(SessionStep::Read {
                id: master,
                offset,
                length,
            });
        }
        self.sending.poll(now).map(SessionStep::Data)
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let master = self.members.front()?;
        let silent = master.heard.checked_add(self.silence());
        let silent = silent.map(|at| (at, "the client that acknowledges, before leaving it out"));
        let next = match self.appointed {
            Some((at, times)) if times > 0 => at
                .checked_add(self.appointing.timeout())
                .map(|at| (at, "the client that is to acknowledge")),
            Some(_) => self.sending.deadline().map(|at| (at, "an acknowledgment")),
            None => None,
        };
        // Whoever is first in the list came first.
        let end = master.joined.checked_add(self.duration);
        let end = end.map(|at| (at, "the end of the time that a transfer may take"));
        [silent, next, end].into_iter().flatten().min()
    }

    fn silence(&self) -> Duration {
        let patience = self.terms.timing.patience;
        match self.members.len() {
            0 | 1 => patience,
            _ => patience.min(SILENCE),
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant) {
        while let Some(first) = self.members.front()
            && now.saturating_duration_since(first.joined) >= self.duration
        {
            let text = "the transfer takes longer than is allowed";
            self.abort(now, first.id, Refusal::new(ErrorCode::NotDefined, text));
        }
        let Some(master) = self.members.front() else {
            return;
        };
        let silent = now.saturating_duration_since(master.heard);
        let is_silent = self.is_running() && silent >= self.silence();
        match self.appointed {
            Some((at, times)) if times > 0 => {
                if now.saturating_duration_since(at) < self.appointing.timeout() {
                    return;
                }
                if times >= APPOINTMENTS {
                    self.appointing = self.terms.round_trip();
                    self.remove(now, 0, Err(Failure::Silent(silent)));
                } else {
                    self.appointing.back_off();
                    self.appoint(now);
                }
            }
            _ if is_silent => self.remove(now, 0, Err(Failure::Silent(silent))),
            Some(_) => self.sending.timed_out(now),
            None => {}
        }
    }
}
