//! The sending side.

mod control;
mod data;
mod flush;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{MAX_PAYLOAD, Received};

use super::SenderConfig;
use super::ack::{Acks, all_of};
use super::event::{EnqueueError, ObjectId, SenderEvent, SenderStats};
use super::grtt::Grtt;
use super::message::{
    Body, CcFeedback, Command, Extensions, Message, Nodes, ObjectInfo, SenderInfo, StreamHeader,
    quantize_group_size, quantize_rtt,
};
use super::object::{FAR, Number, Symbols, id_of};
use super::outgoing::{Object, Outgoing};
use super::peers::{Peer, Peers, bits};
use super::rate::Rate;
use super::repair::{Repair, Wanted};
use super::rounds::Askers;
use crate::buffers::Buffers;
use crate::pace::Pacer;
use crate::random::Random;
use crate::timers::{Timer, Timers};
use crate::{NetworkEvent, Output, Protocol};

/// Sends objects to many, and repairs what they miss.
///
/// See the [module](super) for what it does, and [`SenderEvent`] for what it tells.
pub struct Sender {
    config: SenderConfig,
    now: Instant,
    instance: u16,
    sequence: u16,
    objects: BTreeMap<Number, Outgoing>,
    /// All objects before this one were sent whole.
    sent: Number,
    /// The number of the next object.
    next: Number,
    /// Blocks of objects that are elsewhere; `None` where they were asked for.
    cache: BTreeMap<(Number, u32), Option<Bytes>>,
    cached: usize,
    /// Streams that did not take all that was to be written.
    starved: BTreeSet<Number>,
    pacer: Pacer,
    /// When it may go on sending.
    due: Instant,
    grtt: Grtt,
    probe: Probe,
    /// The rate, where it is controlled.
    rate: Option<Rate>,
    /// What keeps receivers quiet that answer the sender alone: the least that was allowed.
    suppressing: Option<CcFeedback>,
    /// The first object that does not come though it is asked for, and receivers are not told yet.
    refusing: Option<Number>,
    /// What is asked for and not yet acted upon.
    asked: Wanted,
    /// What is being repaired.
    repairs: Wanted,
    /// Blocks that were repaired of late, by what and when: they are asked for again by those who did not
    /// know.
    answered: BTreeMap<(Number, u32), (Repair, Instant)>,
    /// The block that is being repaired, and by which symbols.
    repairing: Option<(Number, u32, Symbols)>,
    /// How much repairs are ahead of what was never sent, in datagrams.
    ahead: usize,
    flushes: u32,
    acks: Acks,
    peers: Peers,
    timers: Timers<Wait>,
    buffers: Buffers,
    outputs: VecDeque<Output<SenderEvent>>,
    phase: Phase,
    /// Whether it was told to finish.
    finishing: bool,
    /// The rounds of repairs since then and since all was sent, by who asked for them.
    askers: Askers,
    stats: SenderStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Sending,
    /// Nothing is enqueued any more.
    Finishing,
    /// The end was announced so often.
    Ending(u32),
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Probe,
    Aggregate,
    Advertise,
    Squelch,
    Flush,
    Idle,
    End,
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Probe => "the next probe of round-trip times",
            Self::Aggregate => "what more receivers miss",
            Self::Advertise => "the next advertisement of repairs",
            Self::Squelch => "the next refusal of repairs",
            Self::Flush => "receivers' answers to the end of what is sent",
            Self::Idle => "the next sign that it is there",
            Self::End => "the next announcement of the end",
        }
    }
}

/// The probes of round-trip times.
#[derive(Clone, Copy, Debug)]
struct Probe {
    sequence: u16,
    interval: Duration,
    /// The next one is the first after a pause.
    resumes: bool,
    /// Who was asked last to answer at once.
    last: u32,
}

/// The shortest time between two probes.
const PROBE: Duration = Duration::from_millis(100);
/// The longest one.
const PROBE_MOST: Duration = Duration::from_secs(10);
/// How many receivers a probe asks to answer at once.
const PROBED: usize = 32;
/// How many datagrams go as one at most (`UDP_MAX_SEGMENTS` of `udp(7)`).
const BATCH: usize = 64;
/// How many datagrams of repairs go ahead of what was never sent; beyond it they have three of four
/// turns, so that nobody who asks without end keeps the others waiting.
const AHEAD: usize = 1024;
/// How many repaired blocks are remembered.
const ANSWERED: usize = 4096;
/// How many blocks are asked for before they are needed, of those that are sent and of those that are
/// repaired.
const READ_AHEAD: usize = 32;
/// How often the end is announced.
const ENDINGS: u32 = 3;
/// How often a sender with an open stream is heard that has nothing to send: receivers bear two seconds of
/// silence at least.
const IDLE: Duration = Duration::from_millis(500);
/// The shortest time between two flushes beyond `NORM_ROBUST_FACTOR` of them.
const LATE_FLUSH: Duration = Duration::from_millis(100);
/// How many outputs wait at most before the oldest must be taken.
const QUEUE: usize = 128;
const TICK: Duration = Duration::from_nanos(1);

impl Sender {
    /// A sender, with a seed for its randomness. What is out of range in `config` is taken for the
    /// nearest value within.
    pub fn new(config: SenderConfig, seed: [u8; 32], now: Instant) -> Self {
        let block = config.block.clamp(1, 254);
        let parity = config.parity.min(255 - block);
        let config = SenderConfig {
            segment: config.segment.clamp(1, 65_000),
            block,
            parity,
            proactive: config.proactive.min(parity),
            backoff: config.backoff.min(15),
            objects: config.objects.clamp(1, 16_384),
            robust: config.robust.max(1),
            ..config
        };
        let mut random = Random::new(seed);
        let size = usize::from(config.segment) + HEADER_MOST;
        let rate = config
            .congestion_control
            .then(|| Rate::new(config.rate as f64 / 8.0, size as f64, config.grtt));
        Self {
            instance: u16::try_from(random.within(0..=0xffff)).unwrap_or_default(),
            sequence: u16::try_from(random.within(0..=0xffff)).unwrap_or_default(),
            objects: BTreeMap::new(),
            sent: 0,
            next: 0x1_0000 + Number::from(config.first_object),
            cache: BTreeMap::new(),
            cached: 0,
            starved: BTreeSet::new(),
            pacer: Pacer::new(
                rate.as_ref().map_or(config.rate, |rate| bits(rate.get())),
                Pacer::BURST,
                now,
            ),
            rate,
            suppressing: None,
            refusing: None,
            due: now,
            grtt: Grtt::new(config.grtt, now),
            probe: Probe {
                sequence: 0,
                interval: PROBE,
                resumes: false,
                last: 0,
            },
            asked: Wanted::default(),
            repairs: Wanted::default(),
            answered: BTreeMap::new(),
            repairing: None,
            ahead: 0,
            flushes: 0,
            acks: Acks::new(&config.receivers),
            peers: Peers::new(&config.receivers),
            timers: Timers::new(),
            buffers: Buffers::new(size * (MAX_PAYLOAD / size).clamp(1, BATCH)),
            outputs: VecDeque::new(),
            phase: Phase::New,
            finishing: false,
            askers: Askers::default(),
            stats: SenderStats::default(),
            now,
            config,
        }
    }

    /// How it sends.
    pub const fn config(&self) -> &SenderConfig {
        &self.config
    }

    /// What it has done so far.
    pub fn stats(&self) -> SenderStats {
        SenderStats {
            grtt: self.grtt(),
            rate: self.bits(),
            ..self.stats
        }
    }

    /// Sends an object after all others.
    ///
    /// # Errors
    ///
    /// It is too long, its information is longer than a segment, too many objects are not through
    /// yet, a stream is open, or the sender was told to finish.
    pub fn enqueue(&mut self, object: Object) -> Result<ObjectId, EnqueueError> {
        let outgoing = Outgoing::new(
            object,
            self.config.segment,
            self.config.block.into(),
            self.config.parity.into(),
            self.config.variant,
        );
        self.add(outgoing.ok_or(EnqueueError::TooLong)?)
    }

    fn add(&mut self, mut outgoing: Outgoing) -> Result<ObjectId, EnqueueError> {
        if self.finishing || !matches!(self.phase, Phase::New | Phase::Sending) {
            return Err(EnqueueError::Finished);
        }
        if self.has_open_stream() {
            return Err(EnqueueError::StreamOpen);
        }
        let oldest = self.objects.first_key_value();
        let is_far = oldest.is_some_and(|(number, _)| self.next - number >= FAR);
        if self.objects.len() >= self.config.objects || is_far {
            let through = oldest.filter(|(number, object)| {
                object.is_sent() && self.acks.all_have(all_of(**number))
            });
            let (&oldest, _) = through.ok_or(EnqueueError::Full)?;
            self.release(oldest);
        }
        let number = self.next;
        self.next += 1;
        outgoing.proactive = self.config.proactive.into();
        self.objects.insert(number, outgoing);
        self.renew();
        Ok(ObjectId(number))
    }

    /// Takes the bytes of a block that [`SenderEvent::Need`] asked for; others are passed over.
    pub fn supply(&mut self, object: ObjectId, offset: u64, bytes: Bytes) {
        let Some(outgoing) = self.objects.get(&object.0) else {
            return;
        };
        let Some(block) = outgoing.layout.block_at(offset) else {
            return;
        };
        let range = outgoing.layout.bytes(block);
        let Some(entry) = self.cache.get_mut(&(object.0, block)) else {
            return;
        };
        if bytes.len() as u64 == range.end - range.start {
            *entry = Some(bytes);
        }
    }

    /// Takes an object back: what was not sent of it is not sent, and nothing is repaired.
    pub fn withdraw(&mut self, object: ObjectId) {
        if self.objects.contains_key(&object.0) {
            self.release(object.0);
            self.refuse(object.0);
        }
    }

    /// What is known of receivers: of those that are named, and of up to 4,096 that were heard.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter()
    }

    /// Asks the application of some receivers something, which
    /// [answer](SenderEvent::Answered) by `id`. `kind` is from 16; below, nobody is asked. Questions
    /// and answers are lost like all datagrams: who needs an answer asks again. Gives how many of
    /// `nodes` were asked, from the first, as many as a segment names.
    // RFC 5740 §4.2.3.6: NORM_CMD(ACK_REQ).
    pub fn request(&mut self, now: Instant, kind: u8, id: u8, nodes: &[u32]) -> usize {
        self.now = self.now.max(now);
        if kind < Body::ACK_APPLICATION || !self.is_running() || self.outputs.len() >= QUEUE {
            return 0;
        }
        let count = nodes.len().min(usize::from(self.config.segment) / 4);
        let nodes: Vec<u8> = nodes[..count]
            .iter()
            .flat_map(|it| it.to_be_bytes())
            .collect();
        let nodes = Nodes::new(&nodes);
        self.command(Command::AckRequest { kind, id, nodes });
        count
    }

    /// Ends in good order: closes the stream, sends what is enqueued, repairs it, waits for acknowledgements, and says
    /// that this was all.
    pub fn finish(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.close_streams();
        self.finishing = true;
        if self.phase == Phase::Sending {
            self.phase = Phase::Finishing;
            // A last time for all who miss something.
            self.renew();
            self.flush_or_end();
        }
    }

    fn release(&mut self, number: Number) {
        self.objects.remove(&number);
        self.starved.remove(&number);
        self.repairs.remove(number);
        self.asked.remove(number);
        if self
            .repairing
            .as_ref()
            .is_some_and(|(other, ..)| *other == number)
        {
            self.repairing = None;
        }
        let blocks: Vec<_> = self
            .cache
            .range((number, 0)..=(number, u32::MAX))
            .map(|(key, _)| *key)
            .collect();
        for (number, block) in blocks {
            self.forget(number, block);
        }
        self.tell(SenderEvent::Released(ObjectId(number)));
    }

    fn tell(&mut self, event: SenderEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Something is to be sent that was not sent before: who asked in vain is heard again.
    fn renew(&mut self) {
        self.askers = Askers::default();
        self.awake();
    }

    /// Something is to be sent (again).
    fn awake(&mut self) {
        self.flushes = 0;
        if matches!(self.phase, Phase::Sending | Phase::Finishing)
            && !self.timers.is_set(Wait::Probe)
        {
            self.probe.interval = PROBE;
            self.probe.resumes = true;
            self.timers.set(Wait::Probe, Some(self.now));
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Finishing)
    }

    fn info(&self) -> SenderInfo {
        SenderInfo {
            instance: self.instance,
            grtt: quantize_rtt(self.grtt()),
            backoff: self.config.backoff,
            group_size: quantize_group_size(self.config.group_size),
        }
    }

    fn object_info(&self, number: Number, outgoing: &Outgoing) -> ObjectInfo {
        ObjectInfo {
            sender: self.info(),
            flags: outgoing.flags,
            fec: self.config.fec,
            object: id_of(number),
        }
    }

    fn message<'a>(&mut self, extensions: Extensions, body: Body<'a>) -> Message<'a> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Message {
            sequence,
            source: self.config.node,
            extensions,
            body,
        }
    }
}

/// The longest header of a NORM_DATA message here: with FEC Encoding ID 129, EXT_FTI, and the head of
/// a segment of a stream.
const HEADER_MOST: usize = 40 + StreamHeader::LEN;

impl Protocol for Sender {
    type Event = SenderEvent;

    fn start(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.phase == Phase::New {
            self.phase = if self.finishing {
                Phase::Finishing
            } else {
                Phase::Sending
            };
            if !self.objects.is_empty() {
                self.awake();
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.phase != Phase::Finished {
            if self.phase != Phase::New {
                self.command(Command::EndOfTransmission);
            }
            self.phase = Phase::Finished;
            self.timers.clear();
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.now = self.now.max(now);
        if !self.is_running() {
            return;
        }
        let message = match Message::parse(datagram.payload) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(source = %datagram.source, %error, "malformed");
                self.stats.malformed += 1;
                return;
            }
        };
        let (Body::Nack { feedback, .. } | Body::Ack { feedback, .. }) = &message.body else {
            return;
        };
        if feedback.sender != self.config.node || feedback.instance != self.instance {
            return;
        }
        let group = self.config.destination.ip().is_multicast();
        let by_unicast = group && !datagram.destination.ip().is_multicast();
        let before = self.grtt();
        let round_trip = self.grtt.measure(feedback.grtt_response, self.now);
        self.stats.round_trips += u64::from(round_trip.is_some());
        if let Some(round_trip) = round_trip.filter(|_| self.is_heard(message.source)) {
            self.grtt.add(round_trip);
        }
        let (named, source) = (&self.acks, datagram.source);
        if let Some(peer) = self.peers.heard(message.source, source, named, self.now) {
            peer.round_trip = round_trip.or(peer.round_trip);
            peer.nacks += u64::from(matches!(message.body, Body::Nack { .. }));
        }
        if let Some(cc) = &message.extensions.cc {
            self.congestion(message.source, source, round_trip, cc);
            if by_unicast {
                self.suppress(cc);
            }
        }
        // Waits by a guess that has given way, or at a rate that was low, are too long.
        let share = self.grtt().as_secs_f64() / before.as_secs_f64();
        for wait in [Wait::Aggregate, Wait::Flush] {
            self.timers.shorten(wait, self.now, share, Duration::ZERO);
        }
        match message.body {
            Body::Nack { requests, .. } => self.nack(message.source, &requests, by_unicast),
            Body::Ack {
                kind: Body::ACK_FLUSH,
                payload,
                ..
            } => self.acknowledged(message.source, payload),
            // What nobody takes is lost: no receiver makes the queue long.
            Body::Ack {
                kind, id, payload, ..
            } if kind >= Body::ACK_APPLICATION && self.outputs.len() < QUEUE => {
                self.tell(SenderEvent::Answered {
                    node: message.source,
                    kind,
                    id,
                    payload: Bytes::copy_from_slice(payload),
                });
            }
            _ => {}
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.now = self.now.max(now);
        if let NetworkEvent::NotSent { count, .. } = event {
            self.stats.unsent = self.stats.unsent.saturating_add(count as u64);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(wait) = self.timers.expired(now) {
            match wait {
                Wait::Probe => self.send_probe(),
                Wait::Aggregate => self.begin_repairs(),
                Wait::Advertise => {}
                Wait::Squelch => self.squelch(),
                Wait::Flush => self.flush_or_end(),
                Wait::Idle => self.say_that_it_is_there(),
                Wait::End => self.end(),
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<SenderEvent> {
        self.now = self.now.max(now);
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        match self.phase {
            Phase::Finished => return Output::Finished,
            Phase::New => {
                return Output::Wait {
                    until: None,
                    reason: "its start",
                };
            }
            _ => {}
        }
        self.look_for_room();
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(transmit) = self.batch() {
            return Output::Transmit(transmit);
        }
        self.flush_or_end();
        // Sending nothing may have asked for bytes, or announced the end.
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.now < self.due && self.has_work() {
            let timer = self.timers.next().map(|(at, _)| at);
            if timer.is_none_or(|at| self.due < at) {
                return Output::Wait {
                    until: Some(self.due),
                    reason: "its turn, at the rate that is to be held",
                };
            }
        }
        self.timers.wait("objects to send, or what receivers miss")
    }
}

/// In short: not the bytes that it keeps.
impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("node", &self.config.node)
            .field("instance", &self.instance)
            .field("phase", &self.phase)
            .field("objects", &self.objects.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
