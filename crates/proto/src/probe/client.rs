//! Who asks.

mod protocol;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use manycast_types::{Group, NetworkError, Transmit};
use tracing::trace;

use super::arrivals::{Awaited, Seen};
use super::message::{Body, CHUNK, MAX_COUNT, Message};
use super::round::{Sending, Step};
use super::{Burst, ClientConfig, ClientEvent, Counts, Refusal, Report, Round};
use crate::timers::{Timer, Timers};
use crate::{Output, Request};

/// Asks a server for datagrams, counts those that come, sends some to it, and asks what the server's
/// host finds on itself.
///
/// One thing is asked for at a time: each command takes the place of the one before. Each ends in
/// one event. Joining and leaving a group are beside that.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    nonce: [u8; 16],
    cookie: [u8; 16],
    /// How often the server gave a new cookie.
    challenges: u8,
    number: u32,
    asked: Option<Asked>,
    /// The round that is counted, and what has come of it: a bit for each datagram.
    round: u32,
    seen: Seen,
    /// Whether the server could not send all of it.
    is_in_part: bool,
    /// The round of this end that was last sent, and what it was.
    sent: u32,
    own: Option<Round>,
    /// It as it is being sent, and then why some of it were not.
    sending: Option<Sending>,
    not_sent: Option<NetworkError>,
    /// The tag of the last socket that was requested.
    tag: u64,
    /// Whether a join was requested, and what came of it so far: all of that comes before the next
    /// poll.
    joining: Option<Joining>,
    awaited: Awaited,
    /// The report that comes piece by piece, and its length.
    report: Vec<u8>,
    length: usize,
    /// Another version of the protocol, that somebody has answered in.
    foreign: Option<u8>,
    /// Whether the server's host has said that nobody listens there.
    is_refused: bool,
    timers: Timers<Wait>,
    outputs: VecDeque<Output<ClientEvent>>,
    stopped: bool,
}

#[derive(Clone, Debug)]
struct Asked {
    body: Body,
    number: u32,
    attempts: u32,
}

/// Why a group could not be joined, if so.
type Joining = Option<NetworkError>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Retry,
    Look,
    Recount,
}

/// How long an answer is waited for, and how often it is asked for.
const TIMEOUT: Duration = Duration::from_millis(700);
const ATTEMPTS: u32 = 5;

/// As often of a server that was there once: it may have to send or to look around before it
/// answers, and its host may be busy.
const PATIENT_ATTEMPTS: u32 = 12;

/// The same of a host that says that nobody listens there. It may be true for a moment alone, or be said
/// by somebody else, so it is asked again; but the answer of a server needs no longer than this.
const REFUSED_TIMEOUT: Duration = Duration::from_millis(250);
const REFUSED_ATTEMPTS: u32 = 3;

/// After how long it is looked again whether data has come that was sent.
const LOOK: Duration = Duration::from_millis(120);

/// How many cookies a client brings back: one may grow old before it is back.
const MOST_CHALLENGES: u8 = 3;

impl Client {
    /// A client that says hello once it is started. The first 16 bytes of the seed are its nonce.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&seed[..16]);
        Self {
            config,
            nonce,
            cookie: [0; 16],
            challenges: 0,
            number: 0,
            asked: None,
            round: 0,
            seen: Seen::default(),
            is_in_part: false,
            sent: 0,
            own: None,
            sending: None,
            not_sent: None,
            tag: 0,
            joining: None,
            awaited: Awaited::default(),
            report: Vec::new(),
            length: 0,
            foreign: None,
            is_refused: false,
            timers: Timers::new(),
            outputs: VecDeque::new(),
            stopped: false,
        }
    }

    /// Asks the server to send; ends in [`ClientEvent::Came`].
    pub fn request(&mut self, now: Instant, burst: Burst) {
        self.awaited = Awaited::of(burst.count);
        self.ask(now, Body::Send(burst));
        self.round = self.number;
        self.seen = Seen::default();
        self.is_in_part = false;
    }

    /// Sends a round of datagrams, and asks how many of them have come; ends in
    /// [`ClientEvent::Counted`]. While some are missing it is asked again, since they may come late.
    pub fn send(&mut self, now: Instant, round: Round) {
        if self.stopped {
            return;
        }
        self.cancel();
        self.number = self.number.wrapping_add(1);
        self.sent = self.number;
        let count = round.count.min(MAX_COUNT);
        self.own = Some(Round { count, ..round });
        self.not_sent = None;
        let mut like = Transmit::new(self.config.server, ());
        like.hops = Some(round.hops.max(1));
        self.sending = Some(if round.to_group {
            like.destination = self.config.group;
            like.source = round.source;
            like.interface = round.interface;
            self.tag += 1;
            let (sending, open) = Sending::by_own_socket(like, count, self.tag);
            self.outputs.push_back(Output::Request(open));
            sending
        } else {
            Sending::by_socket(like, count, now)
        });
    }

    /// Joins the group as this end wants it, on the port of the session; ends in
    /// [`ClientEvent::Joined`] or [`ClientEvent::NotJoined`].
    pub fn join(&mut self, group: Group) {
        let port = self.config.group.port();
        self.command(Request::Join { group, port });
    }

    /// Leaves the group.
    pub fn leave(&mut self, group: Group) {
        let port = self.config.group.port();
        self.command(Request::Leave { group, port });
    }

    fn command(&mut self, request: Request) {
        if !self.stopped {
            self.outputs.push_back(Output::Request(request));
        }
    }

    /// Asks the server's host to count from now on; ends in [`ClientEvent::Watching`].
    pub fn watch(&mut self, now: Instant) {
        self.ask(now, Body::Watch);
    }

    /// Asks the server's host to examine itself, in what came of the last round of this end too; ends
    /// in [`ClientEvent::Examined`].
    pub fn examine(&mut self, now: Instant) {
        self.report.clear();
        let (round, sent) = (self.sent, self.own.map_or(0, |own| own.count.into()));
        self.ask(now, Body::Examine { round, sent });
    }

    /// Begins nothing new of what was asked for before.
    fn cancel(&mut self) {
        self.asked = None;
        self.timers.clear();
        if let Some(sending) = self.sending.take() {
            self.outputs.extend(sending.close().map(Output::Request));
        }
    }

    /// The next datagram of the own round, if one is due; else until when there is none.
    fn poll_round(&mut self, now: Instant) -> Result<Output<ClientEvent>, Option<Instant>> {
        let (Some(sending), Some(own)) = (&mut self.sending, self.own) else {
            return Err(None);
        };
        match sending.step(now) {
            Step::Send(index, like) => {
                let body = Body::Data {
                    index,
                    from_client: true,
                };
                let message = self.message(self.sent, body);
                let datagram = message.emit(self.config.key.as_ref(), own.size.into());
                Ok(Output::Transmit(like.with(datagram)))
            }
            Step::Wait(until) => Err(until),
            Step::Done => {
                let close = sending.close();
                self.not_sent = self.sending.take().and_then(Sending::into_error);
                self.awaited = Awaited::of(own.count);
                self.ask(now, Body::Count { round: self.sent });
                self.outputs.extend(close.map(Output::Request));
                Err(None)
            }
        }
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
        self.cancel();
        self.number = self.number.wrapping_add(1);
        self.asked = Some(Asked {
            body,
            number: self.number,
            attempts: 0,
        });
        self.attempt(now);
    }

    /// Asks for the next piece of the report, or gives the whole.
    fn read_on(&mut self, now: Instant) {
        if self.report.len() < self.length {
            let chunk = u8::try_from(self.report.len() / CHUNK).unwrap_or(u8::MAX);
            self.ask(now, Body::Read { chunk });
            return;
        }
        let event = match Report::parse(&self.report) {
            Ok(report) => ClientEvent::Examined(report),
            Err(error) => {
                trace!(%error, "no report");
                ClientEvent::Unreadable
            }
        };
        self.end(event);
    }

    /// Takes in a piece of the report.
    fn chunk(&mut self, now: Instant, bytes: &[u8]) {
        let expected = CHUNK.min(self.length - self.report.len());
        if bytes.len() == expected {
            self.report.extend_from_slice(bytes);
            self.read_on(now);
        } else {
            self.end(ClientEvent::Unreadable);
        }
    }

    /// Asks, for the first time or again, or gives up.
    fn attempt(&mut self, now: Instant) {
        let Some(asked) = &mut self.asked else { return };
        let most = match asked.body {
            Body::Hello { .. } if self.is_refused => REFUSED_ATTEMPTS,
            Body::Hello { .. } => ATTEMPTS,
            _ => PATIENT_ATTEMPTS,
        };
        if asked.attempts >= most {
            self.end(match self.foreign {
                Some(version) => ClientEvent::Foreign(version),
                None if self.is_refused => ClientEvent::Absent,
                None => ClientEvent::Silent,
            });
            return;
        }
        asked.attempts += 1;
        let asked = asked.clone();
        let datagram = self
            .message(asked.number, asked.body)
            .emit(self.config.key.as_ref(), 0);
        let transmit = Transmit::new(self.config.server, datagram);
        self.outputs.push_back(Output::Transmit(transmit));
        let patience = if most == REFUSED_ATTEMPTS {
            REFUSED_TIMEOUT
        } else {
            TIMEOUT
        };
        self.timers.set(Wait::Retry, now.checked_add(patience));
    }

    /// The server's host says that nobody listens there.
    fn refused(&mut self, now: Instant) {
        let hello = |asked: &Asked| matches!(asked.body, Body::Hello { .. });
        if !self.is_refused && self.asked.as_ref().is_some_and(hello) {
            self.timers
                .set(Wait::Retry, now.checked_add(REFUSED_TIMEOUT));
        }
        self.is_refused = true;
    }

    /// Ends the wait for the server's data, or waits on.
    fn look(&mut self, now: Instant) {
        let counts = self.seen.counts();
        if self.awaited.has_all(counts) {
            self.end(match (self.is_in_part, counts) {
                (false, _) => ClientEvent::Came(counts),
                (true, Counts { group: 0, host: 0 }) => ClientEvent::Refused(Refusal::CannotSend),
                (true, _) => ClientEvent::CameInPart(counts),
            });
        } else {
            self.timers.set(Wait::Look, now.checked_add(LOOK));
        }
    }

    fn end(&mut self, event: ClientEvent) {
        self.asked = None;
        self.timers.clear();
        self.outputs.push_back(Output::Event(event));
    }
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Retry => "an answer of the server",
            Self::Look => "data that comes late",
            Self::Recount => "own data that comes late",
        }
    }
}
