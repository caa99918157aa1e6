//! A sender, as a receiver knows it: its objects, its place in them, and when to ask what.

mod choices;
mod commands;
mod congestion;
mod missing;
mod place;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::config::{FeedbackTo, ReceiverConfig};
use super::event::{Abandonment, ObjectKey, ReceiverEvent, ReceiverStats};
use super::fec::{Code, Variant};
use super::grtt::{duration, timestamp};
use super::incoming::{Incoming, Taken};
use super::message::{
    Extensions, FecId, Feedback, Flags, Fti, ObjectInfo, PayloadId, Position, Request, SenderInfo,
    Timestamp, unquantize_rtt,
};
use super::object::{FAR, Layout, Number};
use super::open::Blocks;
use super::receiver::Receiver;
use super::repair::Wanted;
use super::stream::Inflow;
use crate::Output;
use crate::random::Random;
use crate::timers::{Timer, Timers};
use place::Pace;

/// What is to be said to a sender.
pub(super) enum Reply {
    Nack(Feedback, Vec<Request>),
    Flush(Feedback, Position),
    Probe(Feedback),
    /// What the application answers: the kind, the number of the request, and the answer.
    Application(Feedback, (u8, u8), Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Backoff,
    Holdoff,
    Acknowledge,
    Answer,
    Ask,
    Quiet,
    Silence,
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Backoff => "others who miss the same",
            Self::Holdoff => "repairs",
            Self::Acknowledge => "its turn to acknowledge",
            Self::Answer => "its turn to answer a probe",
            Self::Ask => "its turn to answer the sender's application",
            Self::Quiet => "its turn to say something of congestion again",
            Self::Silence => "a word of the sender",
        }
    }
}

/// How often in a row others' requests keep a receiver from asking where no repair follows that is of
/// use: the sender may not have heard them, or nobody who misses something sent them.
const QUIET: u32 = 3;

/// The least time between two requests.
const HOLDOFF: Duration = Duration::from_millis(5);

/// A place in what a sender sends: an object and a block.
type Place = (Number, u32);

/// A sender, as a receiver knows it.
#[derive(Debug)]
pub(super) struct Remote {
    node: u32,
    /// The receiver's own number.
    own: u32,
    /// How many objects before the first that is seen are wanted too.
    earlier: u16,
    info: SenderInfo,
    variant: Variant,
    silent: bool,
    most_objects: usize,
    waits: bool,
    objects: BTreeMap<Number, State>,
    /// Memory for the blocks of objects.
    blocks: Blocks,
    /// The first object that is of interest; those before it are not.
    first: Option<Number>,
    /// Before this place all was sent at least once.
    frontier: Place,
    /// Where the sender is now: behind the frontier while it repairs.
    place: Place,
    pace: Pace,
    /// It was silent for so long that its identifiers may have come round meanwhile.
    lost: bool,
    fec: FecId,
    segment: u16,
    /// What others asked for since the last time that this one might have.
    heard: Wanted,
    /// How often in a row it did not ask because others had, and no repair was of use since.
    quiet: u32,
    probe: Option<(Timestamp, Instant)>,
    /// The position that is to be acknowledged.
    acknowledge: Option<Position>,
    /// What the sender's application asks: a kind and a number.
    asked: VecDeque<(u8, u8)>,
    /// What is known of the way here, where the sender asks for it.
    congestion: Option<Box<congestion::Congestion>>,
    last_heard: Instant,
    gone: bool,
    /// It has said that it ended; what still comes of it was overtaken by that.
    ended: bool,
    /// The instance before this one, of which messages may still be on their way.
    before: Option<u16>,
    timers: Timers<Wait>,
}

#[derive(Debug)]
enum State {
    Incoming(Box<Incoming>),
    Stream(Box<Inflow>),
    /// Complete, refused or abandoned: nothing more is wanted.
    Through,
}

/// Whether another message on the same object said something else of what it is and how it is cut:
/// its symbols would be taken for those of other bytes.
fn contradicts(state: &State, flags: Flags, fti: Option<&Fti>) -> bool {
    let stream = flags.has(Flags::STREAM);
    match state {
        State::Incoming(incoming) => stream || fti.is_some_and(|fti| !incoming.is_cut_by(fti)),
        State::Stream(inflow) => !stream || fti.is_some_and(|fti| !inflow.is_cut_by(fti)),
        State::Through => false,
    }
}

impl Remote {
    pub(super) fn new(
        node: u32,
        instance: u16,
        before: Option<u16>,
        config: &ReceiverConfig,
        now: Instant,
    ) -> Self {
        Self {
            node,
            own: config.node,
            earlier: config.earlier,
            info: SenderInfo {
                instance,
                ..SenderInfo::default()
            },
            variant: config.variant,
            silent: config.feedback == FeedbackTo::Nobody,
            most_objects: config.objects,
            waits: config.waits,
            objects: BTreeMap::new(),
            blocks: Blocks::new(config.memory / 4 / config.senders.max(1)),
            first: None,
            frontier: (0, 0),
            place: (0, 0),
            pace: Pace::new(now),
            lost: false,
            fec: FecId::default(),
            segment: 0,
            heard: Wanted::default(),
            quiet: 0,
            probe: None,
            acknowledge: None,
            asked: VecDeque::new(),
            congestion: None,
            last_heard: now,
            gone: false,
            ended: false,
            before,
            timers: Timers::new(),
        }
    }

    pub(super) const fn instance(&self) -> u16 {
        self.info.instance
    }

    /// Whether a message of an instance came too late to mean anything.
    pub(super) fn is_past(&self, instance: u16) -> bool {
        self.before == Some(instance) || self.ended && self.info.instance == instance
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether objects of it have begun to come.
    pub(super) fn has_objects(&self) -> bool {
        !self.objects.is_empty()
    }

    pub(super) const fn last_heard(&self) -> Instant {
        self.last_heard
    }

    pub(super) fn memory(&self) -> usize {
        let memory = |state: &State| match state {
            State::Incoming(incoming) => incoming.memory(),
            State::Stream(stream) => stream.memory(),
            State::Through => 0,
        };
        self.objects.values().map(memory).sum()
    }

    /// Whether something is kept of a block of an object that is no stream.
    pub(super) fn is_open(&self, id: u16, block: u32) -> bool {
        match self.objects.get(&self.number(id)) {
            Some(State::Incoming(incoming)) if !self.lost => incoming.is_open(block),
            _ => false,
        }
    }

    pub(super) fn next(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, timer)| (at, timer.reason()))
    }

    /// What the sender says, but not less than a millisecond: nobody shall make receivers ask
    /// without pause.
    fn grtt(&self) -> Duration {
        unquantize_rtt(self.info.grtt).max(Duration::from_millis(1))
    }

    const fn key(&self, number: Number) -> ObjectKey {
        ObjectKey {
            node: self.node,
            instance: self.info.instance,
            object: number,
        }
    }

    pub(super) fn heard(&mut self, sender: SenderInfo, now: Instant) {
        if sender.grtt < self.info.grtt {
            // A guess has given way to what was measured: waits by the guess may be a hundred times too long.
            let grtt = |info: SenderInfo| unquantize_rtt(info.grtt).as_secs_f64();
            let share = grtt(sender) / grtt(self.info);
            for wait in [Wait::Backoff, Wait::Holdoff, Wait::Answer, Wait::Quiet] {
                self.timers.shorten(wait, now, share, HOLDOFF);
            }
        }
        self.info = sender;
        self.keep_pace(now);
        self.last_heard = now;
        self.gone = false;
        if !self.timers.is_set(Wait::Silence) {
            // It is set anew only when it is over, since a word comes thousands of times a second.
            self.timers
                .set(Wait::Silence, now.checked_add(Duration::from_secs(2)));
        }
    }

    /// Takes in a NORM_DATA or NORM_INFO message.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of one message"
    )]
    pub(super) fn object(
        &mut self,
        extensions: &Extensions,
        object: ObjectInfo,
        symbol: Option<(PayloadId, &[u8])>,
        info: Option<&[u8]>,
        room: usize,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        if self.lost {
            if object.flags.has(Flags::REPAIR) {
                // It lies anywhere behind the sender's place, which is not known.
                stats.duplicates += 1;
                return;
            }
            // One after the last that was heard of, since of that nothing may be left to come.
            self.find(object.object, self.frontier.0 + 1, stats, outputs);
        }
        let number = self.number(object.object);
        if self.first.is_some_and(|first| number < first) {
            stats.duplicates += 1;
            return;
        }
        if !self.objects.contains_key(&number) {
            let Some(fti) = extensions.fti else {
                // Without it nothing can be made of the object; another message will have it.
                return;
            };
            let far = self.frontier.0.abs_diff(number) > FAR && self.first.is_some();
            if far || !self.begin(number, object, &fti, stats, outputs) {
                stats.malformed += 1;
                return;
            }
        }
        self.fec = object.fec;
        let key = self.key(number);
        let wants_info = match self.objects.get_mut(&number) {
            Some(state) if contradicts(state, object.flags, extensions.fti.as_ref()) => {
                stats.malformed += 1;
                return;
            }
            Some(State::Incoming(incoming)) => {
                self.segment = incoming.layout.segment();
                &mut incoming.wants_info
            }
            Some(State::Stream(stream)) => {
                self.segment = stream.segment();
                &mut stream.wants_info
            }
            _ => {
                stats.duplicates += 1;
                let block = symbol.map(|(id, _)| id.block);
                self.advance(number, block, object.flags, stats, outputs);
                return;
            }
        };
        if let Some(info) = info
            && std::mem::take(wants_info)
        {
            outputs.push_back(Output::Event(ReceiverEvent::Info {
                object: key,
                info: Bytes::copy_from_slice(info),
            }));
        }
        let repair = object.flags.has(Flags::REPAIR);
        if let Some(State::Stream(_)) = self.objects.get(&number) {
            let block = symbol.and_then(|(id, _)| self.block(number, id.block));
            if symbol.is_none_or(|it| self.stream_symbol(number, it, repair, room, stats, outputs))
            {
                self.complete(number, stats, outputs);
                self.advance(number, block, object.flags, stats, outputs);
            }
            return;
        }
        if let Some(State::Incoming(incoming)) = self.objects.get_mut(&number)
            && let Some((id, payload)) = symbol
        {
            match incoming.take(id.block, id.symbol, payload, room, &mut self.blocks) {
                Taken::Duplicate => stats.duplicates += 1,
                Taken::NoRoom => stats.no_room += 1,
                Taken::Wrong => {
                    stats.malformed += 1;
                    return;
                }
                Taken::Kept | Taken::Decoded(_) => stats.symbols += 1,
                Taken::Block(offset, bytes, made) => {
                    stats.symbols += 1;
                    stats.decoded += u64::from(made);
                    outputs.push_back(Output::Event(ReceiverEvent::Data {
                        object: key,
                        offset,
                        bytes,
                    }));
                }
            }
        }
        self.complete(number, stats, outputs);
        let block = symbol.map(|(id, _)| id.block);
        self.advance(number, block, object.flags, stats, outputs);
    }

    fn begin(
        &mut self,
        number: Number,
        object: ObjectInfo,
        fti: &Fti,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) -> bool {
        let key = self.key(number);
        if object.flags.has(Flags::STREAM) {
            if !self.begin_stream(number, object, fti, outputs) {
                return false;
            }
        } else {
            let layout = Layout::new(fti.length, fti.segment, fti.max_block);
            let Some(layout) = layout else {
                return false;
            };
            let code = Code::new(self.variant, layout.max_block().into());
            let info = object.flags.has(Flags::INFO);
            let mut incoming = Incoming::new(layout, fti.parity, code, info);
            incoming.waits = info && self.waits;
            self.objects
                .insert(number, State::Incoming(Box::new(incoming)));
            outputs.push_back(Output::Event(ReceiverEvent::Started {
                object: key,
                length: layout.length(),
                file: object.flags.has(Flags::FILE),
                info,
            }));
        }
        if self.first.is_none() {
            self.join(number);
        }
        self.pace.begun += 1;
        while self.objects.len() > self.most_objects {
            let Some((&oldest, _)) = self.objects.first_key_value() else {
                break;
            };
            self.abandon(oldest, Abandonment::Overtaken, stats, outputs);
            self.objects.remove(&oldest);
            self.first = Some(oldest + 1);
        }
        true
    }

    pub(super) fn feedback(&self, now: Instant) -> Feedback {
        let response = self
            .probe
            .map(|(time, came)| timestamp(duration(time) + now.saturating_duration_since(came)));
        Feedback {
            sender: self.node,
            instance: self.info.instance,
            grtt_response: response.unwrap_or_default(),
        }
    }

    fn abandon(
        &mut self,
        number: Number,
        reason: Abandonment,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        self.end_stream(number, stats, outputs);
        let before = self.objects.insert(number, State::Through);
        if let Some(State::Incoming(_) | State::Stream(_)) = before {
            stats.abandoned += 1;
            outputs.push_back(Output::Event(ReceiverEvent::Abandoned {
                object: self.key(number),
                reason,
            }));
        }
    }

    /// Takes an object for complete, if it is.
    fn complete(
        &mut self,
        number: Number,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        let complete = match self.objects.get(&number) {
            Some(State::Incoming(incoming)) => incoming.is_complete(),
            Some(State::Stream(stream)) => stream.is_ended(),
            _ => false,
        };
        if complete {
            self.objects.insert(number, State::Through);
            stats.completed += 1;
            let event = ReceiverEvent::Completed(self.key(number));
            outputs.push_back(Output::Event(event));
        }
    }

    pub(super) fn end(
        &mut self,
        reason: Abandonment,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        let numbers: Vec<_> = self.objects.keys().copied().collect();
        for number in numbers {
            self.abandon(number, reason, stats, outputs);
        }
        self.objects.clear();
        self.heard.clear();
        self.timers.clear();
        if !self.gone {
            outputs.push_back(Output::Event(ReceiverEvent::Gone {
                node: self.node,
                instance: self.info.instance,
            }));
        }
        (self.gone, self.ended) = (true, true);
    }

    pub(super) fn time_out(
        &mut self,
        now: Instant,
        config: &ReceiverConfig,
        random: &mut Random,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
        mut reply: impl FnMut(Reply),
    ) {
        while let Some(wait) = self.timers.expired(now) {
            match wait {
                Wait::Backoff => {
                    // RFC 5740 §5.3: a sender that has gone back is repairing already.
                    let behind = self
                        .first_missing()
                        .is_some_and(|missing| self.place < missing);
                    let requests = if behind {
                        Vec::new()
                    } else {
                        self.ask(config.memory)
                    };
                    if !requests.is_empty() {
                        self.quiet = 0;
                        reply(Reply::Nack(self.feedback(now), requests));
                    } else if self.lacks() {
                        stats.suppressed += 1;
                        self.quiet += u32::from(!behind);
                    }
                    self.heard.clear();
                    let holdoff = self.grtt() * (u32::from(self.info.backoff) + 2);
                    let holdoff = holdoff.max(HOLDOFF);
                    self.timers.set(Wait::Holdoff, now.checked_add(holdoff));
                }
                Wait::Holdoff => self.look(now, random),
                Wait::Acknowledge => {
                    if let Some(position) = self.acknowledge.take() {
                        reply(Reply::Flush(self.feedback(now), position));
                    }
                }
                Wait::Ask => {
                    let (node, instance) = (self.node, self.info.instance);
                    for (kind, id) in self.asked.drain(..) {
                        outputs.push_back(Output::Event(ReceiverEvent::Asked {
                            node,
                            instance,
                            kind,
                            id,
                        }));
                    }
                }
                Wait::Answer => {
                    reply(Reply::Probe(self.feedback(now)));
                    self.be_quiet(now);
                }
                Wait::Quiet => {}
                Wait::Silence => {
                    let patience = Receiver::patience(config, self.grtt());
                    let until = self.last_heard.checked_add(patience);
                    if until.is_none_or(|until| until > now) {
                        self.timers.set(Wait::Silence, until);
                    } else {
                        self.gone = true;
                        self.timers.clear();
                        outputs.push_back(Output::Event(ReceiverEvent::Gone {
                            node: self.node,
                            instance: self.info.instance,
                        }));
                    }
                }
            }
        }
    }
}
