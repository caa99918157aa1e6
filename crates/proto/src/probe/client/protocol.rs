//! What comes in, and what goes out.

use std::time::Instant;

use manycast_types::{Received, Transmit};
use tracing::trace;

use super::super::message::{Body, Foreign, Message};
use super::super::report::MAX_REPORT;
use super::super::{ClientEvent, Refusal};
use super::{Client, LOOK, MOST_CHALLENGES, Wait};
use crate::{NetworkEvent, Output, Protocol, Request};

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        let (group, source) = (self.config.group, self.config.source);
        self.ask(now, Body::Hello { group, source });
    }

    fn stop(&mut self, _now: Instant) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.timers.clear();
        self.outputs.clear();
        self.sending = None;
        self.joining = None;
        // Where there is no session yet, there is nothing to end.
        if self.cookie != [0; 16] {
            let bye = self.message(self.number, Body::Bye);
            let datagram = bye.emit(self.config.key.as_ref(), 0);
            let transmit = Transmit::new(self.config.server, datagram);
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let message = match Message::parse(datagram.payload, self.config.key.as_ref()) {
            Ok(message) if message.nonce == self.nonce => message,
            other => {
                trace!(source = %datagram.source, ?other, "not of this session");
                let foreign = Foreign::parse(datagram.payload);
                // Anybody may claim it, so it counts only if nobody answers in our version.
                if let Some(foreign) = foreign.filter(|foreign| foreign.nonce == self.nonce) {
                    self.foreign = Some(foreign.version);
                }
                return;
            }
        };
        if self.stopped {
            return;
        }
        if let Body::Data { index, from_client } = message.body {
            if !from_client && message.number == self.round && message.cookie == self.cookie {
                self.seen
                    .add(index, datagram.destination.ip().is_multicast());
            }
            return;
        }
        self.is_refused = false;
        let Some(asked) = &self.asked else { return };
        if asked.number != message.number {
            return;
        }
        match (&asked.body, message.body) {
            (Body::Hello { .. }, Body::Welcome) => {
                let is_proved = self.cookie == message.cookie;
                self.cookie = message.cookie;
                if is_proved {
                    self.end(ClientEvent::Welcome);
                } else if self.challenges < MOST_CHALLENGES {
                    // The cookie shows that the client is where it says.
                    self.challenges += 1;
                    let (group, source) = (self.config.group, self.config.source);
                    self.ask(now, Body::Hello { group, source });
                }
            }
            (Body::Send(_), Body::Sent) => {
                // The same answer may come twice, and counts once.
                self.asked = None;
                self.timers.clear();
                self.look(now);
            }
            (Body::Count { .. }, Body::Counted(counts)) => {
                if self.awaited.has_all(counts) {
                    let not_sent = self.not_sent.take();
                    self.end(ClientEvent::Counted { counts, not_sent });
                } else {
                    self.asked = None;
                    self.timers.clear();
                    self.timers.set(Wait::Recount, now.checked_add(LOOK));
                }
            }
            (Body::Watch, Body::Watching) => self.end(ClientEvent::Watching),
            (Body::Examine { .. }, Body::Examined { length }) => {
                self.length = length.into();
                if self.length <= MAX_REPORT {
                    self.read_on(now);
                } else {
                    self.end(ClientEvent::Unreadable);
                }
            }
            (Body::Read { chunk }, Body::Chunk { chunk: this, bytes }) if *chunk == this => {
                self.chunk(now, &bytes);
            }
            (Body::Send(_), Body::Refused(Refusal::CannotSend)) => {
                // Some may have been sent before or after the one that was not.
                self.asked = None;
                self.timers.clear();
                self.is_in_part = true;
                self.look(now);
            }
            (_, Body::Refused(why)) => self.end(ClientEvent::Refused(why)),
            _ => {}
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if self.stopped {
            return;
        }
        let sending = self.sending.as_mut();
        if sending.is_some_and(|sending| sending.handle_network(now, &event)) {
            return;
        }
        match event {
            NetworkEvent::NotJoined { error, .. } => {
                if let Some(joining) = &mut self.joining {
                    *joining = Some(error);
                }
            }
            NetworkEvent::Opened { socket, .. } => {
                // It was wanted for datagrams that are wanted no more.
                self.command(Request::Close { socket });
            }
            event if event.refused_by() == Some(self.config.server) => self.refused(now),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Wait::Retry => self.attempt(now),
                Wait::Recount => self.ask(now, Body::Count { round: self.sent }),
                Wait::Look => self.look(now),
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ClientEvent> {
        // All answers to a join have come by now.
        if let Some(joining) = self.joining.take() {
            return Output::Event(match joining {
                None => ClientEvent::Joined,
                Some(error) => ClientEvent::NotJoined(error),
            });
        }
        loop {
            match self.outputs.pop_front() {
                Some(output) => {
                    if let Output::Request(Request::Join { .. }) = output {
                        self.joining = Some(None);
                    }
                    return output;
                }
                None if self.stopped => return Output::Finished,
                None => {}
            }
            match self.poll_round(now) {
                Ok(output) => return output,
                Err(until) if self.sending.is_some() => {
                    return Output::Wait {
                        until,
                        reason: "the time of the next datagram",
                    };
                }
                Err(_) if self.outputs.is_empty() => return self.timers.wait("a command"),
                Err(_) => {}
            }
        }
    }
}
