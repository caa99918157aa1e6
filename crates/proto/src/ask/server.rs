//! Who answers.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use manycast_types::{Datagram, MAX_PAYLOAD, Received};
use tracing::trace;

use super::ResponderConfig;
use super::config::is_one_to_many;
use super::sources::{Sources, Verdict};
use crate::{Output, Protocol};

/// Answers every datagram with the same datagram, after a prefix if wanted (RFC 862).
///
/// The answer goes to the source, from the address that was asked; when that was a group, from
/// whatever address the kernel chooses. Empty datagrams are answered like all others.
///
/// It answers nothing that it could do harm with, see [`Silence`]. Two responders that are brought
/// to answer one another do so no more than [`patience`](ResponderConfig::patience) allows.
///
/// ```
/// use std::time::Instant;
///
/// use manycast_proto::ask::{Responder, ResponderConfig};
/// use manycast_proto::{Output, Protocol};
/// use manycast_types::{InterfaceId, Received};
///
/// let config = ResponderConfig { prefix: "OK...".into(), ..ResponderConfig::default() };
/// let mut responder = Responder::new(config);
/// let now = Instant::now();
/// responder.start(now);
/// let (client, server) = (([10, 0, 0, 5], 46_622).into(), ([10, 0, 0, 1], 8888).into());
/// let interface = InterfaceId::new(2, "eth0");
/// let mut question = Received::new(b"hello", client, server, &interface);
/// question.local = Some([10, 0, 0, 1].into());
/// responder.handle_datagram(now, question);
/// let Output::Transmit(answer) = responder.poll_output(now) else { panic!("it answers") };
/// assert_eq!(answer.payload, "OK...hello");
/// assert_eq!(answer.source, Some([10, 0, 0, 1].into()));
/// ```
#[derive(Clone, Debug)]
pub struct Responder {
    config: ResponderConfig,
    sources: Sources,
    outputs: VecDeque<Output<ResponderEvent>>,
    stopped: bool,
    stats: ResponderStats,
}

/// What a [`Responder`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponderEvent {
    /// A question came, and was answered.
    Answered(Datagram),
    /// A question came that is not answered.
    Silent {
        /// Who asked, or pretends to.
        source: SocketAddr,
        /// Why there is no answer.
        why: Silence,
    },
}

/// Why a [`Responder`] does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Silence {
    /// The source is a group, a broadcast address, no address at all, or has port 0: nobody can
    /// have sent from there, and answering it would multiply what was sent.
    Unanswerable,
    /// The source is the responder itself.
    Itself,
    /// The source asks more often than [`rate`](ResponderConfig::rate) allows.
    TooOften,
    /// The source may be a responder too, whose answers are answered in a loop, and this ends it.
    Loop,
    /// With the prefix, the answer would be longer than a datagram can be.
    TooLong,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unanswerable => "it is no address of one host",
            Self::Itself => "it is this server",
            Self::TooOften => "it asks too often",
            Self::Loop => "it seems to answer answers itself",
            Self::TooLong => "the answer would be longer than a datagram can be",
        })
    }
}

/// What a [`Responder`] has counted, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponderStats {
    /// Questions that came.
    pub questions: u64,
    /// Answers that it sent.
    pub answers: u64,
    /// Questions without an answer: [`Silence::Unanswerable`].
    pub unanswerable: u64,
    /// Questions without an answer: [`Silence::Itself`].
    pub itself: u64,
    /// Questions without an answer: [`Silence::TooOften`].
    pub too_often: u64,
    /// Questions without an answer: [`Silence::Loop`].
    pub loops: u64,
    /// Questions without an answer: [`Silence::TooLong`].
    pub too_long: u64,
}

impl Responder {
    /// A responder that answers from now on. It leaves nothing to chance and takes no seed.
    pub fn new(config: ResponderConfig) -> Self {
        Self {
            sources: Sources::new(&config),
            config,
            outputs: VecDeque::new(),
            stopped: false,
            stats: ResponderStats::default(),
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// The answer to a question, or why there is none.
    fn answer(&mut self, now: Instant, question: &Received<'_>) -> Result<Bytes, Silence> {
        if !self.is_answerable(question.source) {
            return Err(Silence::Unanswerable);
        }
        if self.is_itself(question) {
            return Err(Silence::Itself);
        }
        let length = self.config.prefix.len() + question.payload.len();
        if length > MAX_PAYLOAD {
            return Err(Silence::TooLong);
        }
        let mut answer = BytesMut::with_capacity(length);
        answer.extend_from_slice(&self.config.prefix);
        answer.extend_from_slice(question.payload);
        match self
            .sources
            .judge(now, question.source, question.payload, &answer)
        {
            Verdict::Answer => Ok(answer.freeze()),
            Verdict::TooOften => Err(Silence::TooOften),
            Verdict::Loop => Err(Silence::Loop),
        }
    }

    fn is_answerable(&self, source: SocketAddr) -> bool {
        let ip = source.ip().to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(ip) if self.config.broadcasts.contains(&ip));
        source.port() != 0 && !ip.is_unspecified() && !is_one_to_many(ip) && !broadcast
    }

    fn is_itself(&self, question: &Received<'_>) -> bool {
        let source = question.source.ip().to_canonical();
        let mut own = self.config.own.iter().chain(&question.local);
        question.source.port() == question.destination.port()
            && own.any(|own| own.to_canonical() == source)
    }

    const fn count(&mut self, why: Silence) {
        let counter = match why {
            Silence::Unanswerable => &mut self.stats.unanswerable,
            Silence::Itself => &mut self.stats.itself,
            Silence::TooOften => &mut self.stats.too_often,
            Silence::Loop => &mut self.stats.loops,
            Silence::TooLong => &mut self.stats.too_long,
        };
        *counter += 1;
    }
}

impl Protocol for Responder {
    type Event = ResponderEvent;

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
    }

    fn handle_datagram(&mut self, now: Instant, question: Received<'_>) {
        if self.stopped {
            return;
        }
        let source = question.source;
        self.stats.questions += 1;
        match self.answer(now, &question) {
            Ok(answer) => {
                self.stats.answers += 1;
                let answered = ResponderEvent::Answered(question.to_datagram());
                self.outputs
                    .push_back(Output::Transmit(question.reply().with(answer)));
                self.outputs.push_back(Output::Event(answered));
            }
            Err(why) => {
                self.count(why);
                trace!(%source, ?why, "no answer");
                let silent = ResponderEvent::Silent { source, why };
                self.outputs.push_back(Output::Event(silent));
            }
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<ResponderEvent> {
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.stopped => Output::Finished,
            None => Output::Wait {
                until: None,
                reason: "questions",
            },
        }
    }
}
