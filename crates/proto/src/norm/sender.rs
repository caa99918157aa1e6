//! The sending side.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{MAX_PAYLOAD, Received, Transmit};

use super::SenderConfig;
use super::ack::Acks;
use super::event::{EnqueueError, ObjectId, SenderEvent, SenderStats};
use super::grtt::Grtt;
use super::message::{
    Body, CcFlags, CcNode, Command, Extensions, FLAGS_AT, Flags, Message, Nodes, ObjectInfo,
    PAYLOAD_ID_AT, PayloadId, Position, SEQUENCE_AT, SenderInfo, quantize_group_size,
    quantize_rate,
};
use super::object::{Number, Symbols, id_of};
use super::outgoing::{Content, Object, Outgoing};
use super::repair::{WHOLE, Wanted};
use crate::buffers::Buffers;
use crate::pace::Pacer;
use crate::random::Random;
use crate::timers::{Timer, Timers};
use crate::{NetworkEvent, Output, Protocol};

/// Sends objects to many, and repairs what they miss.
///
/// See the [module](super) for what it does, and [`SenderEvent`] for what it tells.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    now: Instant,
    instance: u16,
    sequence: u16,
    objects: BTreeMap<Number, Outgoing>,
    /// The number of the next object.
    next: Number,
    /// Blocks of objects that are elsewhere; `None` where they were asked for.
    cache: BTreeMap<(Number, u32), Option<Bytes>>,
    cached: usize,
    pacer: Pacer,
    /// When it may go on sending.
    due: Instant,
    grtt: Grtt,
    probe: Probe,
    /// What is asked for and not yet acted upon.
    asked: Wanted,
    /// What is being repaired.
    repairs: Wanted,
    /// Blocks that were repaired within a round trip, by how many symbols and when: they are asked
    /// for again by those who did not know.
    answered: BTreeMap<(Number, u32), (u16, Instant)>,
    /// The block that is being repaired, and by which symbols.
    repairing: Option<(Number, u32, Symbols)>,
    /// How much repairs are ahead of what was never sent, in datagrams.
    ahead: usize,
    flushes: u32,
    acks: Acks,
    timers: Timers<Wait>,
    buffers: Buffers,
    outputs: VecDeque<Output<SenderEvent>>,
    phase: Phase,
    /// Whether it was told to finish.
    finishing: bool,
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
            Self::End => "the next announcement of the end",
        }
    }
}

/// The probes of round-trip times.
#[derive(Clone, Copy, Debug)]
struct Probe {
    sequence: u16,
    interval: Duration,
}

/// The shortest time between two probes.
const PROBE: Duration = Duration::from_millis(100);
/// The longest one.
const PROBE_MOST: Duration = Duration::from_secs(10);
/// How many receivers a probe asks to answer at once.
const PROBED: usize = 16;
/// How many datagrams go as one at most (`UDP_MAX_SEGMENTS` of `udp(7)`).
const BATCH: usize = 64;
/// How many datagrams of repairs go ahead of what was never sent; beyond it they have three of four
/// turns, so that nobody who asks without end keeps the others waiting.
const AHEAD: usize = 1024;
/// How many repaired blocks are remembered.
const ANSWERED: usize = 4096;
/// How often the end is announced.
const ENDINGS: u32 = 3;
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
        Self {
            instance: random.u32() as u16,
            sequence: random.u32() as u16,
            objects: BTreeMap::new(),
            next: 0x1_0000 + Number::from(config.first_object),
            cache: BTreeMap::new(),
            cached: 0,
            pacer: Pacer::new(config.rate, Pacer::BURST, now),
            due: now,
            grtt: Grtt::new(config.grtt, now),
            probe: Probe {
                sequence: 0,
                interval: PROBE,
            },
            asked: Wanted::default(),
            repairs: Wanted::default(),
            answered: BTreeMap::new(),
            repairing: None,
            ahead: 0,
            flushes: 0,
            acks: Acks::new(&config.receivers),
            timers: Timers::new(),
            buffers: Buffers::new(size * (MAX_PAYLOAD / size).clamp(1, BATCH)),
            outputs: VecDeque::new(),
            phase: Phase::New,
            finishing: false,
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
            grtt: self.grtt.get(),
            ..self.stats
        }
    }

    /// Sends an object after all others.
    ///
    /// # Errors
    ///
    /// It is too long, its information is longer than a segment, too many objects are not through
    /// yet, or the sender was told to finish.
    pub fn enqueue(&mut self, object: Object) -> Result<ObjectId, EnqueueError> {
        if self.finishing || !matches!(self.phase, Phase::New | Phase::Sending) {
            return Err(EnqueueError::Finished);
        }
        let outgoing = Outgoing::new(
            object,
            self.config.segment,
            self.config.block.into(),
            self.config.parity.into(),
            self.config.variant,
        );
        let outgoing = outgoing.ok_or(EnqueueError::TooLong)?;
        if self.objects.len() >= self.config.objects {
            let oldest = self.objects.first_key_value();
            let through =
                oldest.filter(|(number, object)| object.is_sent() && self.acks.all_have(**number));
            let (&oldest, _) = through.ok_or(EnqueueError::Full)?;
            self.release(oldest);
        }
        let number = self.next;
        self.next += 1;
        self.objects.insert(number, outgoing);
        self.awake();
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
            self.squelch();
        }
    }

    /// Ends in good order: sends what is enqueued, repairs it, waits for acknowledgements, and says
    /// that this was all.
    pub fn finish(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.finishing = true;
        if self.phase == Phase::Sending {
            self.phase = Phase::Finishing;
            // A last time for all who miss something.
            self.awake();
            self.settle();
        }
    }

    fn release(&mut self, number: Number) {
        self.objects.remove(&number);
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

    /// Something is to be sent (again).
    fn awake(&mut self) {
        self.flushes = 0;
        if matches!(self.phase, Phase::Sending | Phase::Finishing)
            && !self.timers.is_set(Wait::Probe)
        {
            self.probe.interval = PROBE;
            self.timers.set(Wait::Probe, Some(self.now));
        }
    }

    const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Finishing)
    }

    fn info(&self) -> SenderInfo {
        SenderInfo {
            instance: self.instance,
            grtt: self.grtt.quantized(),
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

    fn command(&mut self, command: Command<'_>) {
        self.command_with(Extensions::default(), command);
    }

    fn command_with(&mut self, extensions: Extensions, command: Command<'_>) {
        let sender = self.info();
        let payload = self
            .message(extensions, Body::Command { sender, command })
            .emit();
        self.pacer.spend(payload.len());
        self.stats.commands += 1;
        if self.outputs.len() < QUEUE {
            let transmit = Transmit::new(self.config.destination, payload);
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }

    /// The next datagrams; `None` where there is nothing to send, or it is too early.
    fn batch(&mut self) -> Option<Transmit> {
        if self.now < self.due || !self.is_running() {
            return None;
        }
        let size = usize::from(self.config.segment) + HEADER_MOST;
        let ready = self.pacer.ready(self.now, size);
        if ready == 0 {
            self.due = self.next_burst(size).max(self.now + TICK);
            return None;
        }
        let most = ready.min(BATCH).min((MAX_PAYLOAD / size).max(1));
        let new_first = self.ahead > AHEAD;
        let transmit = if new_first {
            self.unsent(most).or_else(|| self.repair(most))
        } else {
            self.repair(most).or_else(|| self.unsent(most))
        };
        if let Some(transmit) = &transmit {
            self.pacer.spend(transmit.payload.len());
        }
        transmit
    }

    /// When it may go on: when half a burst may go, so that fewer system calls do.
    fn next_burst(&self, size: usize) -> Instant {
        let half = u128::from(self.config.rate) * Pacer::BURST.as_nanos() / (16 * 1_000_000_000);
        let datagrams = usize::try_from(half).unwrap_or(usize::MAX) / size;
        self.pacer.next(datagrams.max(1).saturating_mul(size))
    }

    /// Symbols that were never sent.
    fn unsent(&mut self, most: usize) -> Option<Transmit> {
        let proactive = u16::from(self.config.proactive);
        let (&number, outgoing) = self.objects.iter().find(|(_, object)| !object.is_sent())?;
        if outgoing.info.is_some() && !outgoing.info_sent {
            let transmit = self.info_message(number, Flags::default())?;
            self.objects.get_mut(&number)?.info_sent = true;
            self.if_sent(number);
            return Some(transmit);
        }
        let (block, first, count) = outgoing.unsent(proactive);
        self.prefetch(number, block);
        let source = self.source(number, block)?;
        let count = count.min(u16::try_from(most).unwrap_or(u16::MAX));
        let transmit = self.symbols(number, block, &source, first, count, Flags::default())?;
        self.stats.datagrams += u64::from(count);
        self.ahead = self.ahead.saturating_sub(3 * usize::from(count));
        if self.objects.get_mut(&number)?.advance(count, proactive) {
            self.forget(number, block);
            self.if_sent(number);
        }
        Some(transmit)
    }

    fn if_sent(&mut self, number: Number) {
        if self.objects.get(&number).is_some_and(Outgoing::is_sent) {
            self.tell(SenderEvent::Sent(ObjectId(number)));
        }
    }

    /// Symbols that somebody asked for.
    fn repair(&mut self, most: usize) -> Option<Transmit> {
        loop {
            if let Some((number, block, mut symbols)) = self.repairing.take() {
                let Some(first) = symbols.first() else {
                    self.forget(number, block);
                    continue;
                };
                let Some(source) = self.source(number, block) else {
                    self.repairing = Some((number, block, symbols));
                    return None;
                };
                let length = self.objects.get(&number)?.layout.segments(block);
                let end = if first < length { length } else { 256 };
                let run = (first..end)
                    .take(most)
                    .take_while(|symbol| symbols.contains(*symbol));
                let count = u16::try_from(run.count()).unwrap_or(1);
                (first..first + count).for_each(|symbol| symbols.remove(symbol));
                self.repairing = Some((number, block, symbols));
                if let Some((_, at)) = self.answered.get_mut(&(number, block)) {
                    *at = self.now;
                }
                let flags = if first < length {
                    Flags::REPAIR.with(Flags::EXPLICIT)
                } else {
                    Flags::REPAIR
                };
                self.stats.repairs += u64::from(count);
                self.ahead += usize::from(count);
                return self.symbols(number, block, &source, first, count, flags);
            }
            let (number, wanted) = self.repairs.first()?;
            let Some(outgoing) = self.objects.get_mut(&number) else {
                self.repairs.remove(number);
                continue;
            };
            let blocks = outgoing.layout.blocks();
            if std::mem::take(&mut wanted.whole) {
                wanted.info = true;
                if blocks > 0 {
                    wanted.add_range(0, blocks - 1);
                }
            }
            if std::mem::take(&mut wanted.info) && outgoing.info.is_some() {
                self.stats.repairs += 1;
                self.ahead += 1;
                return self.info_message(number, Flags::REPAIR);
            }
            let Some((block, whole)) = wanted.first_block() else {
                self.repairs.remove(number);
                if self.repairs.is_empty() && !self.timers.is_set(Wait::Aggregate) {
                    self.ahead = 0;
                }
                continue;
            };
            // What was never sent is not repaired: it comes all the same.
            let sent = outgoing.block;
            if whole {
                wanted.shorten(sent);
                if block < sent {
                    let mut symbols = Symbols::default();
                    (0..outgoing.layout.segments(block)).for_each(|symbol| {
                        symbols.insert(symbol);
                    });
                    self.repairing = Some((number, block, symbols));
                    self.answer(number, block, WHOLE);
                }
            } else if let Some(part) = wanted.blocks.remove(&block)
                && block < sent
            {
                let symbols = outgoing.repairs(block, part.count, &part.named);
                self.repairing = Some((number, block, symbols));
                self.answer(number, block, part.count);
            }
        }
    }

    /// Takes note that a block is repaired by so many symbols: who asked before has its answer.
    fn answer(&mut self, number: Number, block: u32, count: u16) {
        self.asked.strike(number, block, count);
        if self.answered.len() < ANSWERED {
            self.answered.insert((number, block), (count, self.now));
        }
    }

    /// The bytes of a block, or `None` where they were asked for.
    fn source(&mut self, number: Number, block: u32) -> Option<Bytes> {
        let outgoing = self.objects.get(&number)?;
        let range = outgoing.layout.bytes(block);
        match &outgoing.content {
            Content::Memory(bytes) => {
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                Some(bytes.slice(index(range.start)..index(range.end)))
            }
            Content::Elsewhere(_) => {
                self.need(number, block);
                self.cache.get(&(number, block)).cloned().flatten()
            }
        }
    }

    fn need(&mut self, number: Number, block: u32) {
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        let range = outgoing.layout.bytes(block);
        if !self.cache.contains_key(&(number, block)) {
            self.cache.insert((number, block), None);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            self.cached += length;
            self.tell(SenderEvent::Need {
                object: ObjectId(number),
                offset: range.start,
                length,
            });
        }
    }

    /// Asks for what is needed soon, so that it is there in time.
    fn prefetch(&mut self, number: Number, block: u32) {
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        if matches!(outgoing.content, Content::Memory(_)) {
            return;
        }
        let blocks = outgoing.layout.blocks();
        let length = usize::from(self.config.segment) * usize::from(self.config.block);
        let window = (self.config.memory / length.max(1)).clamp(4, 32) as u32;
        for block in (block..blocks).take(window as usize) {
            if self.cached + length > self.config.memory.max(4 * length) {
                break;
            }
            self.need(number, block);
        }
    }

    fn forget(&mut self, number: Number, block: u32) {
        if self.cache.remove(&(number, block)).is_some()
            && let Some(outgoing) = self.objects.get(&number)
        {
            let range = outgoing.layout.bytes(block);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            self.cached = self.cached.saturating_sub(length);
        }
        if self.cache.is_empty() {
            self.cached = 0;
        }
    }

    fn info_message(&mut self, number: Number, flags: Flags) -> Option<Transmit> {
        let outgoing = self.objects.get(&number)?;
        let mut object = self.object_info(number, outgoing);
        object.flags = object.flags.with(flags);
        let payload = outgoing.info.clone()?;
        let extensions = Extensions {
            fti: Some(outgoing.fti()),
            ..Extensions::default()
        };
        let body = Body::Info {
            object,
            payload: &payload,
        };
        let datagram = self.message(extensions, body).emit();
        self.stats.datagrams += u64::from(flags == Flags::default());
        Some(Transmit::new(self.config.destination, datagram))
    }

    /// Datagrams with `count` symbols of a block from `first`, all source or all parity, as one.
    fn symbols(
        &mut self,
        number: Number,
        block: u32,
        source: &[u8],
        first: u16,
        count: u16,
        flags: Flags,
    ) -> Option<Transmit> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(count);
        let outgoing = self.objects.get(&number)?;
        let (segment, length) = (
            usize::from(self.config.segment),
            outgoing.layout.segments(block),
        );
        let object = self.object_info(number, outgoing);
        let id = PayloadId {
            block,
            length,
            symbol: 0,
        };
        let extensions = Extensions {
            fti: Some(outgoing.fti()),
            ..Extensions::default()
        };
        let template = Message {
            sequence: 0,
            source: self.config.node,
            extensions,
            body: Body::Data {
                object,
                id,
                payload: &[],
            },
        };
        let template = template.emit();
        let size = template.len() + segment;
        let mut buffer = self.buffers.take();
        let datagrams = buffer.chunks_exact_mut(size).take(count.into());
        for (datagram, index) in datagrams.zip(0..) {
            let (head, payload) = datagram.split_at_mut(template.len());
            head.copy_from_slice(&template);
            let sequence: u16 = sequence.wrapping_add(index);
            head[SEQUENCE_AT..SEQUENCE_AT + 2].copy_from_slice(&sequence.to_be_bytes());
            head[FLAGS_AT] |= flags.0;
            // The symbol is the last octet or the last two of its name.
            let end = PAYLOAD_ID_AT + self.config.fec.payload_id_len();
            head[end - 1] = (first + index).to_be_bytes()[1];
            if first + index < length {
                let start = usize::from(first + index) * segment;
                let symbol = &source[start.min(source.len())..];
                let symbol = &symbol[..symbol.len().min(segment)];
                payload[..symbol.len()].copy_from_slice(symbol);
            } else {
                payload.fill(0);
            }
        }
        let mut total = size * usize::from(count);
        if first < length {
            let last = outgoing.layout.symbol_len(block, first + count - 1);
            total -= segment - last;
        } else {
            let symbols: Vec<_> = source.chunks(segment).collect();
            let datagrams = buffer.chunks_exact_mut(size).take(count.into());
            let mut parity: Vec<_> = datagrams.map(|it| &mut it[size - segment..]).collect();
            outgoing
                .code
                .encode(&symbols, (first - length).into(), &mut parity);
        }
        let mut payload = self.buffers.give(buffer);
        payload.truncate(total);
        let mut transmit = Transmit::new(self.config.destination, payload);
        transmit.segment_size = u16::try_from(size).ok().filter(|_| count > 1);
        Some(transmit)
    }

    // RFC 5740 §5.4: sender processing of NACKs.
    fn nack(&mut self, requests: &[super::message::Request], by_unicast: bool) {
        self.stats.nacks += 1;
        let Some((&first, _)) = self.objects.first_key_value() else {
            return;
        };
        let begun = |(number, object): (&Number, &Outgoing)| object.is_begun().then_some(*number);
        let end = self
            .objects
            .iter()
            .rev()
            .find_map(begun)
            .map_or(first, |last| last + 1);
        let mut asked = Wanted::default();
        if asked.add(requests, end, first..end).is_some() && !self.timers.is_set(Wait::Squelch) {
            self.squelch();
        }
        // RFC 5740 §5.4: for a round trip, those ask who did not hear of the repairs yet.
        let (now, grtt) = (self.now, self.grtt.get());
        let fresh = |at: Instant| now.saturating_duration_since(at) < grtt;
        asked.strike_all(&self.answered, fresh);
        self.asked.merge(&asked);
        if self.asked.is_empty() {
            return;
        }
        self.awake();
        if !self.timers.is_set(Wait::Aggregate) {
            let factor = if self.config.destination.ip().is_multicast() {
                u32::from(self.config.backoff) + 1
            } else {
                0
            };
            let at = self.now.checked_add(self.grtt.get() * factor);
            self.timers.set(Wait::Aggregate, at);
        }
        if by_unicast && !self.timers.is_set(Wait::Advertise) {
            self.advertise();
        }
    }

    /// Tells those who do not hear one another what was asked for.
    // RFC 5740 §4.2.3.5: NORM_CMD(REPAIR_ADV).
    fn advertise(&mut self) {
        let room = usize::from(self.config.segment);
        let (requests, limited) = self.asked.requests(self.config.fec, room);
        if !requests.is_empty() {
            self.command(Command::RepairAdvertisement { limited, requests });
        }
        self.timers
            .set(Wait::Advertise, self.now.checked_add(self.grtt.get()));
    }

    // RFC 5740 §4.2.3.3: NORM_CMD(SQUELCH).
    fn squelch(&mut self) {
        let first = self.objects.keys().next().copied().unwrap_or(self.next);
        let missing = (first..self.next).filter(|number| !self.objects.contains_key(number));
        let room = usize::from(self.config.segment) / 2;
        let invalid: Vec<u8> = missing
            .take(room)
            .flat_map(|number| id_of(number).to_be_bytes())
            .collect();
        let from = Position {
            fec: self.config.fec,
            object: id_of(first),
            id: PayloadId::default(),
        };
        self.command(Command::Squelch {
            from,
            invalid: &invalid,
        });
        self.timers
            .set(Wait::Squelch, self.now.checked_add(self.grtt.get() * 2));
    }

    fn begin_repairs(&mut self) {
        let (now, grtt) = (self.now, self.grtt.get());
        self.answered
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < grtt);
        self.repairs.merge(&self.asked);
        self.asked.clear();
    }

    // RFC 5740 §5.5.1: probes.
    fn send_probe(&mut self) {
        let time = self.grtt.probe(self.now);
        let node = |node| CcNode {
            node,
            flags: CcFlags::PLR,
            rtt: self.grtt.quantized(),
            rate: quantize_rate(self.config.rate as f64 / 8.0),
        };
        let nodes: Vec<_> = self
            .acks
            .waiting(self.next - 1)
            .take(PROBED)
            .map(node)
            .collect();
        let sequence = self.probe.sequence;
        self.probe.sequence = sequence.wrapping_add(1);
        self.command(Command::CongestionControl {
            sequence,
            time,
            nodes,
        });
        self.probe.interval = (self.probe.interval * 3 / 2).min(PROBE_MOST);
        let interval = self.probe.interval.max(self.grtt.get());
        self.timers.set(Wait::Probe, self.now.checked_add(interval));
    }

    /// The last symbol of all that was sent.
    fn watermark(&self) -> Option<(Number, Position)> {
        let (&number, outgoing) = self.objects.last_key_value()?;
        let block = outgoing.layout.blocks().saturating_sub(1);
        let length = outgoing.layout.segments(block);
        let position = Position {
            fec: self.config.fec,
            object: id_of(number),
            id: PayloadId {
                block,
                length: if self.config.fec == super::message::FecId::SmallBlock {
                    length
                } else {
                    0
                },
                symbol: length.saturating_sub(1),
            },
        };
        Some((number, position))
    }

    /// What to do when nothing is to be sent: announce the end, until it is known or was said often
    /// enough.
    // RFC 5740 §4.2.3.1: NORM_CMD(FLUSH).
    fn settle(&mut self) {
        if !self.is_running() || self.objects.values().any(|it| !it.is_sent()) {
            return;
        }
        // Repairs come first, but not for ever: who asks without end keeps nobody from
        // acknowledging.
        let repairing = !self.repairs.is_empty() || self.repairing.is_some();
        let repairing = repairing || self.timers.is_set(Wait::Aggregate);
        if repairing && self.ahead <= AHEAD {
            return;
        }
        let last = self.watermark();
        let done =
            last.is_none_or(|(number, _)| self.acks.are_expected() && self.acks.all_have(number));
        if done || !repairing && self.flushes >= self.config.robust {
            if self.timers.is_set(Wait::Flush) {
                return;
            }
            self.timers.set(Wait::Probe, None);
            if let Some((number, _)) = last
                && !done
            {
                let silent = self.acks.give_up(number);
                for node in silent.into_iter().take(QUEUE) {
                    self.tell(SenderEvent::Unacknowledged {
                        object: ObjectId(number),
                        node,
                    });
                }
            }
            if self.phase == Phase::Finishing {
                self.phase = Phase::Ending(0);
                self.timers.clear();
                self.end();
            }
            return;
        }
        if !self.timers.is_set(Wait::Flush) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some((number, at)) = self.watermark() else {
            return;
        };
        let room = usize::from(self.config.segment) / 4;
        let nodes: Vec<u8> = self
            .acks
            .waiting(number)
            .take(room.max(1))
            .flat_map(u32::to_be_bytes)
            .collect();
        self.flushes += 1;
        self.command(Command::Flush {
            at,
            nodes: Nodes::new(&nodes),
        });
        self.timers
            .set(Wait::Flush, self.now.checked_add(self.grtt.get() * 2));
    }

    fn end(&mut self) {
        if let Phase::Ending(count) = self.phase {
            if count < ENDINGS {
                self.command(Command::EndOfTransmission);
                self.phase = Phase::Ending(count + 1);
                self.timers
                    .set(Wait::End, self.now.checked_add(self.grtt.get()));
            } else {
                self.tell(SenderEvent::Finished);
                self.phase = Phase::Finished;
                self.timers.clear();
            }
        }
    }

    fn acknowledged(&mut self, node: u32, payload: &[u8]) {
        let Ok(position) = Position::parse_ack(payload) else {
            self.stats.malformed += 1;
            return;
        };
        let number = super::object::number(position.object, self.next);
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        // An acknowledgement of a part says nothing of the object.
        if !outgoing.is_sent() || position.id.block.saturating_add(1) < outgoing.layout.blocks() {
            return;
        }
        if self.acks.acknowledge(node, number) {
            self.stats.acks += 1;
            self.tell(SenderEvent::Acknowledged {
                object: ObjectId(number),
                node,
            });
            if self.acks.all_have(number) {
                self.tell(SenderEvent::Delivered(ObjectId(number)));
                self.timers.set(Wait::Flush, None);
                self.settle();
            }
        }
    }
}

/// The longest header of a NORM_DATA message here: with FEC Encoding ID 129 and EXT_FTI.
const HEADER_MOST: usize = 40;

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
        if self.grtt.answer(feedback.grtt_response, self.now).is_some() {
            self.stats.round_trips += 1;
        }
        match message.body {
            Body::Nack { requests, .. } => {
                let group = self.config.destination.ip().is_multicast();
                let by_unicast = group && !datagram.destination.ip().is_multicast();
                self.nack(&requests, by_unicast);
            }
            Body::Ack {
                kind: Body::ACK_FLUSH,
                payload,
                ..
            } => self.acknowledged(message.source, payload),
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
                Wait::Advertise | Wait::Squelch => {}
                Wait::Flush => self.settle(),
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
        if let Some(transmit) = self.batch() {
            return Output::Transmit(transmit);
        }
        self.settle();
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

impl Sender {
    fn has_work(&self) -> bool {
        let running = self.is_running();
        let repairs = !self.repairs.is_empty() || self.repairing.is_some();
        running && (repairs || self.objects.values().any(|object| !object.is_sent()))
    }
}
