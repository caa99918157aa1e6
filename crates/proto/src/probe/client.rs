//! Who asks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Received, Transmit};
use tracing::trace;

use super::message::{Body, Message};
use super::{Burst, ClientConfig, Counts, Refusal};
use crate::timers::{Timer, Timers};
use crate::{Output, Protocol};

/// Asks a server for datagrams, and counts those that come.
///
/// One thing is asked for at a time: each command takes the place of the one before. Each ends in
/// one event.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    nonce: [u8; 16],
    cookie: [u8; 16],
    number: u32,
    asked: Option<Asked>,
    /// The round that is counted, and what has come of it: a bit for each datagram.
    round: u32,
    seen: Seen,
    timers: Timers<Wait>,
    outputs: VecDeque<Output<ClientEvent>>,
    stopped: bool,
}

/// What a [`Client`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server is there and has agreed to the group.
    Welcome,
    /// The datagrams that were asked for were sent, and so many of them have come.
    Came(Counts),
    /// So many of the own datagrams have come to the server.
    Counted(Counts),
    /// The server does not do it.
    Refused(Refusal),
    /// The server does not answer, or has another key.
    Silent,
}

/// Which datagrams of a round have come, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    group: u64,
    host: u64,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    body: Body,
    number: u32,
    attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Retry,
    Settle,
}

/// How long an answer is waited for, and how often it is asked for.
const TIMEOUT: Duration = Duration::from_millis(700);
const ATTEMPTS: u32 = 5;

/// How long data may come later than the word that it was sent.
const SETTLE: Duration = Duration::from_millis(150);

impl Client {
    /// A client that says hello once it is started. The first 16 bytes of the seed are its nonce.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&seed[..16]);
        Self {
            config,
            nonce,
            cookie: [0; 16],
            number: 0,
            asked: None,
            round: 0,
            seen: Seen::default(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            stopped: false,
        }
    }

    /// Asks the server to send; ends in [`ClientEvent::Came`].
    pub fn request(&mut self, now: Instant, burst: Burst) {
        self.ask(now, Body::Send(burst));
        self.round = self.number;
        self.seen = Seen::default();
    }

    /// Begins a round of datagrams that this end sends, and gives its number.
    pub const fn begin_round(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A datagram of a round of this end, of so many bytes.
    pub fn datagram(&self, round: u32, index: u8, size: u16) -> Bytes {
        let body = Body::Data {
            index,
            from_client: true,
        };
        self.message(round, body)
            .emit(self.config.key.as_ref(), size.into())
    }

    /// Asks how many of a round of this end have come; ends in [`ClientEvent::Counted`].
    pub fn count(&mut self, now: Instant, round: u32) {
        self.ask(now, Body::Count { round });
    }

    const fn message(&self, number: u32, body: Body) -> Message {
        Message {
            nonce: self.nonce,
            cookie: self.cookie,
            number,
            body,
        }
    }

    fn ask(&mut self, now: Instant, body: Body) {
        if self.stopped {
            return;
        }
        self.number = self.number.wrapping_add(1);
        self.asked = Some(Asked {
            body,
            number: self.number,
            attempts: 0,
        });
        self.timers.clear();
        self.attempt(now);
    }

    /// Asks, for the first time or again, or gives up.
    fn attempt(&mut self, now: Instant) {
        let Some(asked) = &mut self.asked else { return };
        if asked.attempts == ATTEMPTS {
            self.end(ClientEvent::Silent);
            return;
        }
        asked.attempts += 1;
        let asked = *asked;
        let datagram = self
            .message(asked.number, asked.body)
            .emit(self.config.key.as_ref(), 0);
        let transmit = Transmit::new(self.config.server, datagram);
        self.outputs.push_back(Output::Transmit(transmit));
        self.timers.set(Wait::Retry, now.checked_add(TIMEOUT));
    }

    fn end(&mut self, event: ClientEvent) {
        self.asked = None;
        self.timers.clear();
        self.outputs.push_back(Output::Event(event));
    }
}

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        let group = self.config.group;
        self.ask(now, Body::Hello { group });
    }

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
        self.timers.clear();
        self.outputs.clear();
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let message = match Message::parse(datagram.payload, self.config.key.as_ref()) {
            Ok(message) if message.nonce == self.nonce => message,
            other => {
                trace!(source = %datagram.source, ?other, "not of this session");
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
        let Some(asked) = self.asked.filter(|asked| asked.number == message.number) else {
            return;
        };
        match (asked.body, message.body) {
            (Body::Hello { .. }, Body::Welcome) => {
                self.cookie = message.cookie;
                self.end(ClientEvent::Welcome);
            }
            (Body::Send(_), Body::Sent) => {
                self.timers.clear();
                self.timers.set(Wait::Settle, now.checked_add(SETTLE));
            }
            (Body::Count { .. }, Body::Counted(counts)) => self.end(ClientEvent::Counted(counts)),
            (_, Body::Refused(why)) => self.end(ClientEvent::Refused(why)),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Wait::Retry => self.attempt(now),
                Wait::Settle => self.end(ClientEvent::Came(self.seen.counts())),
            }
        }
    }

    fn poll_output(&mut self) -> Output<ClientEvent> {
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.stopped => Output::Finished,
            None => self.timers.wait("a command"),
        }
    }
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Retry => "an answer of the server",
            Self::Settle => "data that comes late",
        }
    }
}

impl Seen {
    /// Notes a datagram. Those with a number that no round has are ignored.
    pub(super) fn add(&mut self, index: u8, by_group: bool) {
        let bit = 1_u64.checked_shl(index.into()).unwrap_or(0);
        if by_group {
            self.group |= bit;
        } else {
            self.host |= bit;
        }
    }

    pub(super) fn counts(self) -> Counts {
        let ones = |bits: u64| u8::try_from(bits.count_ones()).unwrap_or(u8::MAX);
        Counts {
            group: ones(self.group),
            host: ones(self.host),
        }
    }
}
