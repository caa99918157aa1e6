//! Who asks.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{Datagram, NetworkError, Received, Transmit, Unreachable};
use tracing::trace;

use super::{ClientConfig, Responders};
use crate::random::Random;
use crate::timers::{Timer, Timers};
use crate::{NetworkEvent, Output, Protocol};

/// Asks one question and gathers the answers.
///
/// It begins at [`start`](Protocol::start), tells of each [`Answer`], and ends with one
/// [`ClientEvent::Finished`].
///
/// An answer counts once: the same payload from the same source again, be it the answer to a retry
/// or a copy that the network made, is a duplicate. A datagram that was sent to where the question
/// went and says the same is the question itself, which a client sees that is a member of the
/// group it asks. Neither is an answer.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_proto::ask::{Client, ClientConfig, ClientEvent, Ending};
/// use manycast_proto::{Output, Protocol};
///
/// let now = Instant::now();
/// let config = ClientConfig::new(([192, 0, 2, 7], 8888).into(), "hello");
/// let mut client = Client::new(config, [0; 32]);
/// client.start(now);
/// let Output::Transmit(question) = client.poll_output(now) else { panic!("it asks first") };
/// assert_eq!(question.payload, "hello");
///
/// // Nobody answers for a second.
/// let Output::Wait { until: Some(until), .. } = client.poll_output(now) else { panic!("it waits") };
/// assert_eq!(until, now + Duration::from_secs(1));
/// client.handle_timeout(until);
/// let finished = ClientEvent::Finished { answers: 0, ending: Ending::TimeOut };
/// assert_eq!(client.poll_output(until), Output::Event(finished));
/// ```
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    random: Random,
    state: State,
    /// How often it has asked.
    attempts: u32,
    /// When it last asked.
    asked: Option<Instant>,
    timers: Timers<Wait>,
    /// Source and digest of the payload of each answer.
    answers: BTreeSet<(SocketAddr, u64)>,
    /// How long the payloads of all answers are.
    bytes: usize,
    /// Whether it was told that the question came back.
    came_back: bool,
    outputs: VecDeque<Output<ClientEvent>>,
    stats: ClientStats,
    /// Questions that this host did not send.
    unsent: u64,
}

/// What a [`Client`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Someone answered.
    Answer(Answer),
    /// It asked again.
    Retried {
        /// How often it has asked now: 2 with the first retry.
        attempt: u32,
    },
    /// The asked host says that nobody listens on the port.
    Refused {
        /// Host and port.
        peer: SocketAddr,
    },
    /// The question came back undelivered, as a host or a router says. It goes on waiting, since that
    /// may pass, and tells of the first time alone.
    Unreachable(Unreachable),
    /// This host did not send the question, not once, and why it did not send it the last time.
    NotSent(NetworkError),
    /// All is over; the last event.
    Finished {
        /// How many answers there were.
        answers: usize,
        /// Why it ended.
        ending: Ending,
    },
}

/// An answer to the question of a [`Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The answer; its source is the responder.
    pub datagram: Datagram,
    /// The time since the question was last sent.
    pub round_trip: Duration,
    /// How often the question had been sent by then. When that was more than once, this may be the
    /// answer to an earlier one, and took longer than `round_trip` says (RFC 6298 §3).
    pub attempt: u32,
}

/// Why a [`Client`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It has as many answers as were wanted, or as are gathered at most.
    Enough,
    /// The wait after the last attempt is over.
    TimeOut,
    /// The asked host refused.
    Refused,
    /// This host did not send the question, not once.
    NotSent,
    /// It was stopped.
    Stopped,
}

/// What a [`Client`] has counted, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Questions that it sent.
    pub questions: u64,
    /// Answers that count.
    pub answers: u64,
    /// Answers that it had already.
    pub duplicates: u64,
    /// Datagrams from others than the asked host and port.
    pub strangers: u64,
    /// Its own question, or that of another who asks the same.
    pub echoes: u64,
    /// Datagrams that came before the question was sent, or after the end.
    pub untimely: u64,
    /// Refusals, from whomever.
    pub refusals: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asking,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Retry,
    Answers,
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Retry => "answers, before asking again",
            Self::Answers => "answers to the last attempt",
        }
    }
}

impl Client {
    /// A client that is yet to be started. The seed varies the waits before retries.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(seed),
            state: State::New,
            attempts: 0,
            asked: None,
            timers: Timers::new(),
            answers: BTreeSet::new(),
            bytes: 0,
            came_back: false,
            outputs: VecDeque::new(),
            stats: ClientStats::default(),
            unsent: 0,
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }

    fn ask(&mut self, now: Instant) {
        self.attempts += 1;
        self.asked = Some(now);
        self.stats.questions += 1;
        let question = Transmit::new(self.config.destination, self.config.question.clone());
        self.outputs.push_back(Output::Transmit(question));
        if self.attempts > 1 {
            self.tell(ClientEvent::Retried {
                attempt: self.attempts,
            });
        }

        let last = self.attempts > self.config.retries;
        let timer = if last { Wait::Answers } else { Wait::Retry };
        let wait = self.wait(last);
        self.timers.set(timer, now.checked_add(wait));
    }

    /// How long answers to this attempt are waited for.
    fn wait(&mut self, last: bool) -> Duration {
        // Below a millisecond, many retries would be a flood.
        let first = self.config.timeout.max(Duration::from_millis(1));
        // RFC 8085 §3.1.1: exponential back-off.
        let factor = self
            .config
            .backoff
            .max(1)
            .saturating_pow(self.attempts.saturating_sub(1));
        let wait = first.saturating_mul(factor);
        if last {
            return wait;
        }
        // RFC 7252 §4.2 (ACK_RANDOM_FACTOR): those who ask at the same moment spread their retries.
        wait.saturating_add(self.random.duration(Duration::ZERO..=wait / 4))
    }

    fn enough(&self) -> bool {
        let wanted = self.config.answers.unwrap_or(ClientConfig::MAX_ANSWERS);
        self.answers.len() >= wanted.min(ClientConfig::MAX_ANSWERS)
            || self.bytes >= ClientConfig::MAX_BYTES
    }

    fn finish(&mut self, ending: Ending) {
        if self.state != State::Finished {
            self.state = State::Finished;
            self.timers.clear();
            self.tell(ClientEvent::Finished {
                answers: self.answers.len(),
                ending,
            });
        }
    }

    fn tell(&mut self, event: ClientEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn counts(&self, source: SocketAddr) -> bool {
        match self.config.responders {
            Responders::Asked => is_asked(self.config.destination, source),
            Responders::Anyone => true,
        }
    }

    /// Whether this is the question, come back to one who is where it was sent to.
    fn is_question(&self, datagram: &Received<'_>) -> bool {
        is_same(self.config.destination, datagram.destination)
            && self.config.question == datagram.payload
    }
}

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        if self.state == State::New {
            self.state = State::Asking;
            self.ask(now);
            // Whoever wants no answer need not wait.
            if self.enough() {
                self.finish(Ending::Enough);
            }
        }
    }

    fn stop(&mut self, _now: Instant) {
        self.finish(Ending::Stopped);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let source = datagram.source;
        let Some(asked) = self.asked.filter(|_| self.state == State::Asking) else {
            self.stats.untimely += 1;
            return;
        };
        if self.is_question(&datagram) {
            self.stats.echoes += 1;
            trace!(%source, "ignored: it is the question");
            return;
        }
        if !self.counts(source) {
            self.stats.strangers += 1;
            trace!(%source, asked = %self.config.destination, "ignored: it was not asked");
            return;
        }
        if !self.answers.insert((source, digest(datagram.payload))) {
            self.stats.duplicates += 1;
            trace!(%source, "ignored: it has answered the same already");
            return;
        }
        self.stats.answers += 1;
        self.bytes += datagram.payload.len();
        self.tell(ClientEvent::Answer(Answer {
            datagram: datagram.to_datagram(),
            round_trip: now.saturating_duration_since(asked),
            attempt: self.attempts,
        }));
        if self.enough() {
            self.finish(Ending::Enough);
        }
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        if let NetworkEvent::NotSent { count, error, .. } = event {
            self.unsent = self.unsent.saturating_add(count as u64);
            let was_last = self.attempts > self.config.retries;
            if was_last && self.unsent >= self.stats.questions && self.state == State::Asking {
                self.tell(ClientEvent::NotSent(error));
                self.finish(Ending::NotSent);
            }
            return;
        }
        let Some(peer) = event.refused_by() else {
            if let NetworkEvent::Unreachable { unreachable, .. } = event
                && self.state == State::Asking
                && self.config.responders == Responders::Asked
                && self.counts(unreachable.peer)
                && !std::mem::replace(&mut self.came_back, true)
            {
                self.tell(ClientEvent::Unreachable(unreachable));
            }
            return;
        };
        self.stats.refusals += 1;
        // In a group, one that refuses says nothing about the others.
        let asked = self.config.responders == Responders::Asked && self.counts(peer);
        if asked && self.state == State::Asking {
            self.tell(ClientEvent::Refused { peer });
            self.finish(Ending::Refused);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        // Each deadline is set from `now`, so a late call does not ask several times at once.
        match self.timers.expired(now) {
            Some(Wait::Retry) => self.ask(now),
            Some(Wait::Answers) => self.finish(Ending::TimeOut),
            None => {}
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<ClientEvent> {
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.state == State::Finished => Output::Finished,
            None => self.timers.wait("its start"),
        }
    }
}

/// Whether `source` is the host and port that was asked.
fn is_asked(asked: SocketAddr, source: SocketAddr) -> bool {
    // Whoever sends to the unspecified address asks this host (RFC 1122 §3.2.1.3 forbids it,
    // Linux and the BSDs take it for the loopback address).
    let this_host = asked.ip().is_unspecified() && source.ip().to_canonical().is_loopback();
    is_same(asked, source) || (this_host && asked.port() == source.port())
}

/// Whether both are the same address and port. The zone of a link-local address counts only where
/// both have one, and an IPv4 address may be written as an IPv6 one.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let zone = |address: SocketAddr| match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let canonical = |address: SocketAddr| -> IpAddr { address.ip().to_canonical() };
    let (zone_one, zone_other) = (zone(one), zone(other));
    canonical(one) == canonical(other)
        && one.port() == other.port()
        && (zone_one == zone_other || zone_one == 0 || zone_other == 0)
}

/// Tells payloads apart. One who forges two that look alike hides an answer of his own only.
fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(payload);
    hasher.finish()
}
