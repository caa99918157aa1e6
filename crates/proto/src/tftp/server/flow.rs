//! What goes on in the transfers of a server: datagrams and time in, outputs out.

use std::net::SocketAddr;
use std::time::Instant;

use manycast_types::{NetworkError, Received, SocketId, Transmit};

use super::session::SessionStep;
use super::{Owner, Server, State};
use crate::tftp::course::Step;
use crate::tftp::event::{Failure, ServerEvent, Summary, TransferId};
use crate::tftp::message::{ErrorCode, Message, Refusal};
use crate::{Output, Request};

impl Server {
    /// Gives a packet to the transfer that it belongs to.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        owner: Option<Owner>,
        received: &Received<'_>,
        message: Message<'_>,
    ) {
        let source = received.source;
        let is_understood = match owner {
            Some(Owner::Transfer(id)) => match self.transfers.get_mut(&id) {
                Some(transfer) if transfer.peer() == source => {
                    let State::Running(exchange) = &mut transfer.state else {
                        return;
                    };
                    let is_understood = exchange.handle(now, message).is_ok();
                    if exchange.is_confirmed() {
                        self.confirm(id);
                    }
                    Some(is_understood)
                }
                _ => None,
            },
            Some(Owner::Session(number)) => {
                let id = self.by_peer.get(&source).copied();
                let session = self.sessions.get_mut(&number);
                match (id, session) {
                    (Some(id), Some(session)) => {
                        let is_understood = session.handle(now, id, &message);
                        self.confirm(id);
                        Some(is_understood)
                    }
                    _ => None,
                }
            }
            None => None,
        };
        match (is_understood, owner) {
            (Some(is_understood), Some(owner)) => {
                self.stats.malformed += u64::from(!is_understood);
                self.wake(owner);
            }
            _ => {
                self.stats.strangers += 1;
                // RFC 1350 §4: the other one is told, and the transfer goes on; an error is never
                // answered.
                if !is_error(received.payload) && super::can_be_peer(source) {
                    let refusal = Refusal::new(ErrorCode::UnknownTransfer, "");
                    self.answer(now, received.reply(), Message::Error(refusal).emit());
                }
            }
        }
    }

    /// The peer of a transfer has answered, so it is no forged one.
    fn confirm(&mut self, id: TransferId) {
        self.unconfirmed.remove(&id);
    }

    pub(super) fn opened(&mut self, now: Instant, tag: u64, socket: SocketId) {
        if let Some(session) = self.sessions.get_mut(&tag) {
            if session.socket.is_none() {
                session.opened(now, socket);
                self.by_socket.insert(socket, Owner::Session(tag));
                self.wake(Owner::Session(tag));
                return;
            }
        } else if let Some(transfer) = self.transfers.get_mut(&TransferId(tag))
            && let State::Opening { size } = transfer.state
        {
            let id = TransferId(tag);
            transfer.socket = Some(socket);
            transfer.reply.socket = Some(socket);
            self.by_socket.insert(socket, Owner::Transfer(id));
            self.begin(now, id, size);
            return;
        }
        // It ended before the port was there.
        if !self.by_socket.contains_key(&socket) {
            self.outputs
                .push_back(Output::Request(Request::Close { socket }));
        }
    }

    pub(super) fn not_opened(&mut self, now: Instant, tag: u64, error: &NetworkError) {
        let ids: Vec<TransferId> = match self.sessions.remove(&tag) {
            Some(_) => {
                let is_member = |state: &State| matches!(state, State::Member(it) if *it == tag);
                let transfers = self.transfers.iter();
                transfers
                    .filter(|(_, transfer)| is_member(&transfer.state))
                    .map(|(id, _)| *id)
                    .collect()
            }
            None => vec![TransferId(tag)],
        };
        for id in ids {
            let Some(transfer) = self.transfers.get(&id) else {
                continue;
            };
            if matches!(transfer.state, State::Asked | State::Running(_)) {
                continue;
            }
            let refusal = Refusal::new(ErrorCode::NotDefined, "the server has no port left");
            let reply = transfer.reply;
            self.answer(now, reply, Message::Error(refusal).emit());
            let failure = Failure::Network(error.message.clone());
            self.ended(now, id, Err(failure), Summary::default());
            self.remove(id);
        }
    }

    pub(super) fn unreachable(&mut self, now: Instant, owner: Option<Owner>, peer: SocketAddr) {
        let Some(&id) = self.by_peer.get(&peer) else {
            return;
        };
        match owner {
            Some(Owner::Session(number)) => {
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.end(now, id, Err(Failure::Unreachable(peer)));
                    self.wake(Owner::Session(number));
                }
            }
            owner => {
                if owner.is_some_and(|owner| owner != Owner::Transfer(id)) {
                    return;
                }
                if let Some(transfer) = self.transfers.get_mut(&id)
                    && let State::Running(exchange) = &mut transfer.state
                {
                    exchange.unreachable(now, peer);
                    self.wake(Owner::Transfer(id));
                }
            }
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant, owner: Owner) {
        match owner {
            Owner::Transfer(id) => {
                let most = self.config.duration;
                if let Some(transfer) = self.transfers.get_mut(&id) {
                    transfer.alarm = None;
                    if let State::Running(exchange) = &mut transfer.state {
                        if now.saturating_duration_since(transfer.started) >= most
                            && !exchange.is_over()
                        {
                            let text = "the transfer takes longer than is allowed";
                            exchange.abort(Refusal::new(ErrorCode::NotDefined, text));
                        } else {
                            exchange.timed_out(now);
                        }
                    }
                }
            }
            Owner::Session(number) => {
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.timed_out(now);
                }
            }
        }
        self.wake(owner);
    }

    /// Lets a transfer have its turn soon.
    pub(super) fn wake(&mut self, owner: Owner) {
        if let Owner::Transfer(id) = owner {
            match self.transfers.get_mut(&id) {
                Some(transfer) if !transfer.queued => transfer.queued = true,
                _ => return,
            }
        } else if self.ready.contains(&owner) {
            return;
        }
        self.ready.push_back(owner);
    }

    /// Takes all outputs of one that has ended.
    pub(super) fn flow(&mut self, now: Instant, owner: Owner) {
        while let Some(output) = self.next_of(now, owner) {
            self.outputs.push_back(output);
        }
        self.rest(now, owner);
    }

    /// The next output of one.
    pub(super) fn next_of(&mut self, now: Instant, owner: Owner) -> Option<Output<ServerEvent>> {
        match owner {
            Owner::Transfer(id) => self.next_of_transfer(now, id),
            Owner::Session(number) => self.next_of_session(now, number),
        }
    }

    fn next_of_transfer(&mut self, now: Instant, id: TransferId) -> Option<Output<ServerEvent>> {
        let transfer = self.transfers.get_mut(&id)?;
        let State::Running(exchange) = &mut transfer.state else {
            return None;
        };
        let event = match exchange.poll(now)? {
            Step::Send(packet) => return Some(Output::Transmit(transfer.reply.with(packet))),
            Step::Data(batch) => {
                let mut transmit = transfer.reply.with(batch.payload);
                transmit.segment_size = batch.segment;
                return Some(Output::Transmit(transmit));
            }
            Step::Read { offset, length } => ServerEvent::Read { id, offset, length },
            Step::Write { offset, bytes } => ServerEvent::Write { id, offset, bytes },
            Step::Complete { length } => ServerEvent::Complete { id, length },
            Step::Ended(result) => {
                let summary = exchange.summary(now);
                let output = self.tell_end(id, summary, result);
                // Those that only wait for what comes late are bounded too.
                if self.transfers.len() > 2 * self.config.transfers {
                    self.remove(id);
                }
                return Some(output);
            }
        };
        Some(Output::Event(event))
    }

    fn next_of_session(&mut self, now: Instant, number: u64) -> Option<Output<ServerEvent>> {
        let session = self.sessions.get_mut(&number)?;
        let socket = session.socket;
        match session.poll(now)? {
            SessionStep::Send(peer, packet) => {
                let mut transmit = Transmit::new(peer, packet);
                transmit.socket = socket;
                Some(Output::Transmit(transmit))
            }
            SessionStep::Data(batch) => {
                let mut transmit = Transmit::new(session.group, batch.payload);
                transmit.socket = socket;
                transmit.segment_size = batch.segment;
                transmit.hops = self.config.hops;
                Some(Output::Transmit(transmit))
            }
            SessionStep::Read { id, offset, length } => {
                Some(Output::Event(ServerEvent::Read { id, offset, length }))
            }
            SessionStep::Ended {
                id,
                summary,
                result,
            } => {
                let output = self.tell_end(id, summary, result);
                self.remove(id);
                Some(output)
            }
        }
    }

    /// The word to the application that a transfer is over.
    fn tell_end(
        &mut self,
        id: TransferId,
        summary: Summary,
        result: Result<(), Failure>,
    ) -> Output<ServerEvent> {
        match result {
            Ok(()) => self.stats.completed += 1,
            Err(_) => self.stats.failed += 1,
        }
        self.uncount(id);
        Output::Event(ServerEvent::Ended {
            id,
            summary,
            result,
        })
    }

    pub(super) fn ended(
        &mut self,
        now: Instant,
        id: TransferId,
        result: Result<(), Failure>,
        mut summary: Summary,
    ) {
        if let Some(transfer) = self.transfers.get_mut(&id) {
            // One that has told so before is silent.
            if let State::Running(exchange) = &transfer.state
                && exchange.is_over()
            {
                return;
            }
            summary.elapsed = now.saturating_duration_since(transfer.started);
        }
        let output = self.tell_end(id, summary, result);
        self.outputs.push_back(output);
    }

    /// Counts a transfer no longer among those of its address.
    fn uncount(&mut self, id: TransferId) {
        self.confirm(id);
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut transfer.counted) {
            self.running -= 1;
            let address = transfer.peer().ip();
            if let Some(count) = self.per_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    self.per_address.remove(&address);
                }
            }
        }
    }

    /// One has nothing to do for now: when does it have?
    pub(super) fn rest(&mut self, now: Instant, owner: Owner) {
        let (is_gone, deadline) = match owner {
            Owner::Transfer(id) => {
                let Some(transfer) = self.transfers.get_mut(&id) else {
                    return;
                };
                transfer.queued = false;
                match &transfer.state {
                    State::Running(exchange) => {
                        let end = transfer.started.checked_add(self.config.duration);
                        let end = end.filter(|_| !exchange.is_over());
                        let deadline = exchange.deadline().map(|(at, _)| at);
                        let next = [deadline, end].into_iter().flatten().min();
                        (exchange.is_gone(), next)
                    }
                    _ => (false, None),
                }
            }
            Owner::Session(number) => {
                let Some(session) = self.sessions.get(&number) else {
                    return;
                };
                if session.is_empty() {
                    let session = self.sessions.remove(&number);
                    if let Some(socket) = session.and_then(|session| session.socket) {
                        self.by_socket.remove(&socket);
                        self.outputs
                            .push_back(Output::Request(Request::Close { socket }));
                    }
                    return;
                }
                (false, session.deadline().map(|(at, _)| at))
            }
        };
        // A deadline lies ahead, however late the time-out was.
        let deadline = deadline.map(|at| at.max(now + super::super::exchange::GRAIN));
        match owner {
            Owner::Transfer(id) if is_gone => self.remove(id),
            Owner::Transfer(id) => {
                if let Some(transfer) = self.transfers.get_mut(&id)
                    && transfer.alarm != deadline
                {
                    let before = std::mem::replace(&mut transfer.alarm, deadline);
                    before.map(|at| self.timers.remove(&(at, owner)));
                    deadline.map(|at| self.timers.insert((at, owner)));
                }
            }
            Owner::Session(_) => {
                self.timers.retain(|(_, it)| *it != owner);
                deadline.map(|at| self.timers.insert((at, owner)));
            }
        }
    }

    /// Forgets a transfer, and closes its port.
    pub(super) fn remove(&mut self, id: TransferId) {
        self.uncount(id);
        let Some(transfer) = self.transfers.remove(&id) else {
            return;
        };
        if let Some(at) = transfer.alarm {
            self.timers.remove(&(at, Owner::Transfer(id)));
        }
        if self.by_peer.get(&transfer.peer()) == Some(&id) {
            self.by_peer.remove(&transfer.peer());
        }
        if let State::Member(number) = transfer.state {
            self.wake(Owner::Session(number));
        }
        if let Some(socket) = transfer.socket {
            self.by_socket.remove(&socket);
            self.outputs
                .push_back(Output::Request(Request::Close { socket }));
        }
    }
}

/// Whether it is an error packet.
fn is_error(payload: &[u8]) -> bool {
    payload.starts_with(&[0, 5])
}
