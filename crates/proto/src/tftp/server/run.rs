//! How a driver runs a server: what comes is given to the transfer that it is for.

use std::time::Instant;

use manycast_types::Received;
use tracing::trace;

use super::{Owner, Server};
use crate::tftp::event::{ServerEvent, TransferId};
use crate::tftp::message::{ErrorCode, Message, Refusal};
use crate::{NetworkEvent, Output, Protocol};

impl Protocol for Server {
    type Event = ServerEvent;

    fn stop(&mut self, now: Instant) {
        self.stopped = true;
        self.outputs.clear();
        let ids: Vec<TransferId> = self.transfers.keys().copied().collect();
        for id in ids {
            let refusal = Refusal::new(ErrorCode::NotDefined, "the server was stopped");
            self.abort(now, id, refusal);
        }
        let owners: Vec<Owner> = self.ready.iter().copied().collect();
        owners.into_iter().for_each(|owner| self.flow(now, owner));
        self.outputs
            .retain(|output| matches!(output, Output::Transmit(_)));
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if self.stopped {
            return;
        }
        let message = match Message::parse(datagram.payload) {
            Ok(message) => message,
            Err(error) => {
                trace!(source = %datagram.source, %error, "malformed");
                self.stats.malformed += 1;
                return;
            }
        };
        let owner = match self.by_socket.get(&datagram.socket) {
            Some(owner) => Some(*owner),
            None => {
                if let Message::Request(request) = message {
                    self.requested(now, &datagram, request);
                    return;
                }
                let single = self.by_peer.get(&datagram.source);
                single
                    .filter(|_| self.config.single_port)
                    .copied()
                    .map(Owner::Transfer)
            }
        };
        self.take_in(now, owner, &datagram, message);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        match event {
            NetworkEvent::Opened { tag, socket, .. } => self.opened(now, tag, socket),
            NetworkEvent::NotOpened { tag, error } => self.not_opened(now, tag, &error),
            NetworkEvent::Unreachable { socket, .. } => {
                let Some(peer) = event.refused_by() else {
                    return;
                };
                let owner = self.by_socket.get(&socket).copied();
                self.unreachable(now, owner, peer);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, owner)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            self.timed_out(now, owner);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ServerEvent> {
        loop {
            if let Some(output) = self.outputs.pop_front().filter(|_| !self.finished) {
                return output;
            }
            if self.stopped {
                self.finished = true;
            }
            if self.finished {
                return Output::Finished;
            }
            let Some(owner) = self.ready.pop_front() else {
                break;
            };
            if let Some(output) = self.next_of(now, owner) {
                self.ready.push_back(owner);
                return output;
            }
            self.rest(now, owner);
        }
        match self.timers.first() {
            Some((until, _)) => Output::Wait {
                until: Some(*until),
                reason: "the transfer that is due first",
            },
            None => Output::Wait {
                until: None,
                reason: "a request",
            },
        }
    }
}
