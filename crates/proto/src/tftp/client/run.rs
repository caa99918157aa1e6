//! How a driver runs a client: what comes is given to the transfer.

use std::time::Instant;

use manycast_types::{ErrorKind, NetworkError, Received, Transmit};
use tracing::trace;

use super::{Client, State, same_host};
use crate::tftp::course::Step;
use crate::tftp::event::{ClientEvent, Failure};
use crate::tftp::message::{ErrorCode, Message, Refusal};
use crate::{NetworkEvent, Output, Protocol};

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        if let State::New = self.state {
            self.started = Some(now);
            self.begin(now);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.leave_group();
        self.abort(
            now,
            Refusal::new(ErrorCode::NotDefined, "the transfer was stopped"),
        );
        // Nothing is handed over any more, but the word to the server.
        let mut last = Vec::new();
        while let Some(step) = match &mut self.state {
            State::Running(exchange) => exchange.poll(now),
            State::Following(following) => following.poll(now),
            _ => None,
        } {
            if let Step::Send(packet) = step {
                last.push(packet);
            }
        }
        last.into_iter().for_each(|packet| self.send(packet));
        self.state = State::Over;
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let message = match Message::parse(datagram.payload) {
            Ok(message) => message,
            Err(error) => {
                trace!(source = %datagram.source, %error, "malformed");
                self.stats.malformed += 1;
                return;
            }
        };
        let source = datagram.source;
        match (&mut self.state, self.peer) {
            (State::Requesting(_), _) => {
                // RFC 1350 §4: the server answers from another port, but from the same address.
                // What comes to a group is of a transfer that was left.
                let to_group = datagram.destination.ip().is_multicast();
                if same_host(source, self.config.server) && !to_group {
                    self.first_answer(now, &datagram, message);
                } else {
                    self.stats.strangers += 1;
                }
            }
            (State::Running(exchange), Some((peer, _)))
                if peer == source
                    && self.again > 0
                    && exchange.is_untouched()
                    && is_unknown_transfer(&message) =>
            {
                // A server with too many requests has forgotten this one.
                self.ask_again(now);
            }
            (State::Running(exchange), Some((peer, _))) if peer == source => {
                if exchange.handle(now, message).is_err() {
                    self.stats.malformed += 1;
                }
            }
            // RFC 2090: the data come from the server to the group.
            (State::Following(following), Some((peer, _))) if same_host(peer, source) => {
                let to_group = datagram.destination == following.group();
                let is_its = match to_group {
                    true => following.hears(source),
                    false => peer == source,
                };
                if !is_its || following.handle(now, message).is_err() {
                    self.stats.malformed += 1;
                }
            }
            (State::Running(_) | State::Following(_), _) => {
                self.answer_stranger(&datagram, &message);
            }
            (State::New | State::Over, _) => {}
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        let peer = self.peer.map_or(self.config.server, |(peer, _)| peer);
        match event {
            NetworkEvent::NotJoined { error, .. } => {
                if let State::Following(_) = self.state {
                    let NetworkError { message, .. } = error;
                    let refusal = Refusal::new(ErrorCode::NotDefined, "the group is not joined");
                    self.send(Message::Error(refusal).emit());
                    self.fail(now, Failure::Network(message));
                }
            }
            NetworkEvent::NotSent {
                destination, error, ..
            } if destination == peer => {
                // A full queue passes, a missing route does not; the time-out decides.
                trace!(%error, "not sent");
                if let State::Requesting(_) = self.state {
                    self.fail(now, Failure::Network(error.message));
                }
            }
            // A router on the way, or the neighbour that does not answer to ARP.
            NetworkEvent::Unreachable { unreachable, .. }
                if unreachable.peer == peer
                    && matches!(
                        unreachable.kind,
                        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
                    ) =>
            {
                // Of a transfer that runs, the time-out decides: the way may come back.
                if let State::Requesting(_) = self.state {
                    let errno = unreachable.errno;
                    self.fail(now, Failure::HostUnreachable { peer, errno });
                }
            }
            event if event.refused_by() == Some(peer) => match &mut self.state {
                State::Requesting(_) => self.fail(now, Failure::Unreachable(peer)),
                // A server with too many requests has forgotten this one, and closed the port for it.
                State::Running(exchange) if exchange.is_untouched() && self.again > 0 => {
                    self.ask_again(now);
                }
                State::Running(exchange) => exchange.unreachable(now, peer),
                // A server that sent to a group may end with those that it knew, while this one was
                // about to join them: it is asked anew.
                State::Following(following) if !following.is_over() && self.again > 0 => {
                    self.leave_group();
                    self.ask_again(now);
                }
                State::Following(following) => following.end(Err(Failure::Unreachable(peer))),
                State::New | State::Over => {}
            },
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Requesting(requesting) => {
                let silent = now.saturating_duration_since(requesting.first);
                if silent >= self.config.timing.patience {
                    self.fail(now, Failure::Silent(self.config.timing.patience));
                } else if now.saturating_duration_since(requesting.since)
                    >= requesting.round_trip.timeout()
                {
                    requesting.since = now;
                    requesting.times += 1;
                    requesting.round_trip.back_off();
                    self.send_request();
                }
            }
            State::Running(exchange) => exchange.timed_out(now),
            State::Following(following) => {
                following.timed_out(now);
                if following.wants_request() {
                    self.send_request();
                }
            }
            State::New | State::Over => {}
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ClientEvent> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            let step = match &mut self.state {
                State::Running(exchange) => exchange.poll(now),
                State::Following(following) => following.poll(now),
                _ => None,
            };
            let Some(step) = step else {
                break;
            };
            if let Some(output) = self.output_of(now, step) {
                return output;
            }
        }
        let (is_gone, deadline) = self.rest();
        if is_gone {
            self.state = State::Over;
            return Output::Finished;
        }
        match deadline {
            Some((until, reason)) => Output::Wait {
                until: Some(until),
                reason,
            },
            None => Output::Wait {
                until: None,
                reason: "the application",
            },
        }
    }
}

impl Client {
    /// What a step of the transfer comes to for the driver, if it is anything yet.
    fn output_of(&mut self, now: Instant, step: Step) -> Option<Output<ClientEvent>> {
        let event = match step {
            Step::Send(packet) => {
                self.send(packet);
                return None;
            }
            Step::Data(batch) => {
                let (peer, socket) = self.peer?;
                let mut transmit = Transmit::new(peer, batch.payload);
                transmit.segment_size = batch.segment;
                transmit.socket = Some(socket);
                return Some(Output::Transmit(transmit));
            }
            Step::Read { offset, length } => ClientEvent::Read { offset, length },
            Step::Write { offset, bytes } => ClientEvent::Write { offset, bytes },
            Step::Complete { length } if self.expected.is_some_and(|it| it != length) => {
                let text = "the file is not as long as the server has told";
                self.abort(now, Refusal::new(ErrorCode::NotDefined, text));
                return None;
            }
            Step::Complete { length } => ClientEvent::Complete { length },
            Step::Ended(result) => {
                let summary = self.summary(now);
                self.leave_group();
                self.outputs
                    .push_back(Output::Event(ClientEvent::Ended { summary, result }));
                return None;
            }
        };
        Some(Output::Event(event))
    }

    /// Whether there is nothing more to do, and otherwise until when it waits, and for what.
    fn rest(&self) -> (bool, Option<(Instant, &'static str)>) {
        match &self.state {
            State::Running(exchange) => (exchange.is_gone(), exchange.deadline()),
            State::Following(following) => (following.is_gone(), following.deadline()),
            State::Requesting(requesting) => {
                let until = requesting
                    .since
                    .checked_add(requesting.round_trip.timeout());
                let give_up = requesting.first.checked_add(self.config.timing.patience);
                let until = [until, give_up].into_iter().flatten().min();
                (
                    false,
                    until.map(|until| (until, "an answer to the request")),
                )
            }
            State::New => (false, None),
            State::Over => (true, None),
        }
    }
}

fn is_unknown_transfer(message: &Message<'_>) -> bool {
    matches!(message, Message::Error(refusal) if refusal.code == ErrorCode::UnknownTransfer)
}
