//! The receiving side.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Received, Transmit};

use super::config::{FeedbackTo, ReceiverConfig};
use super::event::{Abandonment, ObjectKey, ReceiverEvent, ReceiverStats};
use super::message::{
    Body, Command, Extensions, Feedback, Flags, Message, ObjectInfo, PayloadId, SenderInfo,
};
use super::remote::{Remote, Reply};
use crate::random::Random;
use crate::{Output, Protocol};

/// Receives objects of many senders, and asks for what it misses.
///
/// See the [module](super) for what it does, and [`ReceiverEvent`] for what it tells.
pub struct Receiver {
    config: ReceiverConfig,
    now: Instant,
    random: Random,
    sequence: u16,
    /// By address and number: who forges another's number from elsewhere does not reach its state.
    senders: BTreeMap<(SocketAddr, u32), Remote>,
    pub(super) outputs: VecDeque<Output<ReceiverEvent>>,
    phase: Phase,
    stats: ReceiverStats,
}

/// How long nothing came of a sender before it may be heard from another address.
const SILENT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Receiving,
    Finished,
}

impl Receiver {
    /// A receiver, with a seed for its randomness. What is out of range in `config` is taken for the
    /// nearest value within.
    pub fn new(config: ReceiverConfig, seed: [u8; 32], now: Instant) -> Self {
        let config = ReceiverConfig {
            senders: config.senders.clamp(1, 1024),
            objects: config.objects.clamp(1, 128),
            ..config
        };
        let mut random = Random::new(seed);
        Self {
            sequence: u16::try_from(random.within(0..=0xffff)).unwrap_or_default(),
            random,
            senders: BTreeMap::new(),
            outputs: VecDeque::new(),
            phase: Phase::New,
            stats: ReceiverStats::default(),
            now,
            config,
        }
    }

    /// How it receives.
    pub const fn config(&self) -> &ReceiverConfig {
        &self.config
    }

    /// What it has seen so far.
    pub fn stats(&self) -> ReceiverStats {
        ReceiverStats {
            memory: self.senders.values().map(Remote::memory).sum(),
            ..self.stats
        }
    }

    /// Whether a sender is heard: it is not [gone](ReceiverEvent::Gone), or came again.
    pub fn hears(&self, node: u32, instance: u16) -> bool {
        let mut senders = self.senders.iter();
        senders.any(|((_, other), remote)| {
            *other == node && remote.instance() == instance && !remote.is_gone()
        })
    }

    /// Wants no more of an object: it is not asked for, and counts as received where the sender asks
    /// for an acknowledgement.
    pub fn refuse(&mut self, object: ObjectKey) {
        for ((_, node), remote) in &mut self.senders {
            if *node == object.node && remote.instance() == object.instance {
                remote.refuse(object.object);
            }
        }
    }

    /// Wants all of an object, where that is [waited for](ReceiverConfig::waits).
    pub fn want(&mut self, object: ObjectKey) {
        for ((_, node), remote) in &mut self.senders {
            if *node == object.node && remote.instance() == object.instance {
                remote.want(object.object);
                remote.look(self.now, &mut self.random);
            }
        }
    }

    /// Says that some bytes of an object are there already, of an earlier attempt: they are not asked
    /// for and not told. Said at [`ReceiverEvent::Started`], it saves the sender most. Of a block of
    /// which a part is missing, all is.
    ///
    /// With all of them the object is complete. Returns how many bytes are not told for it.
    pub fn have(&mut self, object: ObjectKey, bytes: std::ops::Range<u64>) -> u64 {
        let mut had = 0;
        for ((_, node), remote) in &mut self.senders {
            if *node == object.node && remote.instance() == object.instance {
                let bytes = bytes.clone();
                had = remote.have(object.object, bytes, &mut self.stats, &mut self.outputs);
            }
        }
        had
    }

    /// Answers what the application of a sender [asked](ReceiverEvent::Asked), or tells it something
    /// unasked. `kind` is from 16, and `payload` as long as a datagram allows; what a sender needs
    /// to know for certain it asks again. False where that sender is not known, or nothing is said
    /// to it.
    // RFC 5740 §4.3.2: NORM_ACK of the application.
    pub fn answer(
        &mut self,
        (node, instance): (u32, u16),
        (kind, id): (u8, u8),
        payload: Bytes,
    ) -> bool {
        let known = |((_, other), remote): &(&(SocketAddr, u32), &Remote)| {
            *other == node && remote.instance() == instance && !remote.is_gone()
        };
        let Some((key, remote)) = self.senders.iter().find(known) else {
            return false;
        };
        if kind < Body::ACK_APPLICATION || self.config.feedback == FeedbackTo::Nobody {
            return false;
        }
        let reply = Reply::Application(remote.feedback(self.now), (kind, id), payload);
        self.reply(*key, reply);
        true
    }

    /// Ends: nothing is received any more.
    pub fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.senders.clear();
    }

    /// The state of a sender, which is made where there is room; a silent one's place is taken.
    fn sender(&mut self, key: (SocketAddr, u32), sender: SenderInfo) -> Option<&mut Remote> {
        // An object is known by node and instance alone, so there is one state of these, wherever they are
        // said from: another address has it once the one before is silent. Whoever claims to be a sender
        // that is heard could else mix bytes into its objects.
        let is_it = |remote: &Remote| remote.instance() == sender.instance;
        let mut others = self.senders.iter();
        if !self.senders.get(&key).is_some_and(is_it)
            && let Some((&other, remote)) =
                others.find(|((_, node), remote)| *node == key.1 && is_it(remote))
        {
            let silent = self.now.saturating_duration_since(remote.last_heard());
            let has_begun = remote.has_objects();
            if remote.is_past(sender.instance) || has_begun && silent < SILENT {
                self.stats.refused_senders += 1;
                return None;
            }
            self.forget(key, Abandonment::Ended);
            // Of one that only said commands nothing is taken over.
            if let Some(remote) = self.senders.remove(&other).filter(|_| has_begun) {
                self.senders.insert(key, remote);
            }
        }
        let mut before = None;
        if let Some(remote) = self.senders.get(&key) {
            if remote.is_past(sender.instance) {
                self.stats.duplicates += 1;
                return None;
            }
            if remote.instance() != sender.instance {
                // RFC 5740 §5.2: a sender that was started again is another one.
                before = Some(remote.instance());
                self.forget(key, Abandonment::Ended);
            }
        }
        if !self.senders.contains_key(&key) {
            if self.senders.len() >= self.config.senders {
                // What a sender says of round-trip times may be made up, so who it is that is gone is not
                // taken from that.
                let (now, least) = (self.now, Self::LEAST_PATIENCE);
                let silent = self.senders.iter().filter(|(_, remote)| {
                    let silent = now.saturating_duration_since(remote.last_heard());
                    remote.is_gone() || silent >= least
                });
                let oldest = silent.min_by_key(|(_, remote)| remote.last_heard());
                let Some(oldest) = oldest.map(|(key, _)| *key) else {
                    self.stats.refused_senders += 1;
                    return None;
                };
                self.forget(oldest, Abandonment::Silent);
            }
            let remote = Remote::new(key.1, sender.instance, before, &self.config, self.now);
            self.senders.insert(key, remote);
        }
        let remote = self.senders.get_mut(&key)?;
        remote.heard(sender, self.now);
        Some(remote)
    }

    /// How much memory is left for a sender.
    fn room(&self, key: &(SocketAddr, u32)) -> usize {
        // One half is shared out among as many senders as there may be, so that each has some whatever the
        // others take; the other half is for those who need more. None has more than half of it all.
        let half = self.config.memory / 2;
        let share = half / self.config.senders;
        let beyond = |remote: &Remote| remote.memory().saturating_sub(share);
        let taken: usize = self.senders.values().map(beyond).sum();
        let own = self.senders.get(key).map_or(0, Remote::memory);
        let more = half.saturating_sub(own).min(half.saturating_sub(taken));
        more.max(share.saturating_sub(own))
    }

    fn forget(&mut self, key: (SocketAddr, u32), reason: Abandonment) {
        if let Some(mut remote) = self.senders.remove(&key) {
            remote.end(reason, &mut self.stats, &mut self.outputs);
        }
    }

    fn object_message(
        &mut self,
        key: (SocketAddr, u32),
        extensions: &Extensions,
        object: ObjectInfo,
        symbol: Option<(PayloadId, &[u8])>,
        info: Option<&[u8]>,
    ) {
        let Some(remote) = self.sender(key, object.sender) else {
            return;
        };
        // What is left of the memory is summed up for the first symbol of a block alone: the others have
        // their place.
        let has_place = symbol.is_some_and(|(id, _)| remote.is_open(object.object, id.block));
        let room = if has_place { 0 } else { self.room(&key) };
        let now = self.now;
        let (random, stats, outputs) = (&mut self.random, &mut self.stats, &mut self.outputs);
        let Some(remote) = self.senders.get_mut(&key) else {
            return;
        };
        let before = stats.symbols;
        remote.object(extensions, object, symbol, info, room, stats, outputs);
        if stats.symbols > before && object.flags.has(Flags::REPAIR) {
            remote.repaired();
        }
        remote.look(now, random);
    }

    fn command(
        &mut self,
        key: (SocketAddr, u32),
        extensions: &Extensions,
        sender: SenderInfo,
        command: &Command<'_>,
    ) {
        if *command == Command::EndOfTransmission {
            // One that was never heard of has nothing to end.
            // Its place is kept, so that what was overtaken does not begin it anew.
            if let Some(remote) = self.senders.get_mut(&key)
                && remote.instance() == sender.instance
                && !remote.is_past(sender.instance)
            {
                remote.end(Abandonment::Ended, &mut self.stats, &mut self.outputs);
            }
            return;
        }
        let now = self.now;
        if self.sender(key, sender).is_none() {
            return;
        }
        let (random, stats, outputs) = (&mut self.random, &mut self.stats, &mut self.outputs);
        if let Some(remote) = self.senders.get_mut(&key) {
            remote.command(command, extensions, now, random, stats, outputs);
            remote.look(now, random);
        }
        self.announced(key.1, sender.instance, command);
    }

    /// What another receiver misses.
    fn overheard(
        &mut self,
        feedback: Feedback,
        extensions: &Extensions,
        requests: &[super::message::Request],
    ) {
        for ((_, node), remote) in &mut self.senders {
            if *node == feedback.sender && remote.instance() == feedback.instance {
                if let Some(cc) = &extensions.cc {
                    remote.overheard_congestion(cc, self.now);
                }
                remote.overheard(requests);
            }
        }
    }

    fn reply(&mut self, key: (SocketAddr, u32), reply: Reply) {
        let destination = match self.config.feedback {
            FeedbackTo::Group => self.config.group,
            FeedbackTo::Sender => key.0,
            FeedbackTo::Nobody => return,
        };
        let payload: Bytes;
        let body = match reply {
            Reply::Nack(feedback, requests) => {
                self.stats.nacks += 1;
                Body::Nack { feedback, requests }
            }
            Reply::Flush(feedback, position) => {
                self.stats.acks += 1;
                payload = position.emit_ack();
                Body::Ack {
                    feedback,
                    kind: Body::ACK_FLUSH,
                    id: 0,
                    payload: &payload,
                }
            }
            Reply::Application(feedback, (kind, id), said) => {
                payload = said;
                Body::Ack {
                    feedback,
                    kind,
                    id,
                    payload: &payload,
                }
            }
            Reply::Probe(feedback) => Body::Ack {
                feedback,
                kind: Body::ACK_CC,
                id: 0,
                payload: &[],
            },
        };
        let cc = self.senders.get(&key).and_then(Remote::congestion);
        let message = Message {
            sequence: self.sequence,
            source: self.config.node,
            extensions: Extensions {
                cc,
                ..Extensions::default()
            },
            body,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let transmit = Transmit::new(destination, message.emit());
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// How long a sender may be silent.
    pub(super) fn patience(config: &ReceiverConfig, grtt: Duration) -> Duration {
        (grtt * 2)
            .saturating_mul(config.robust)
            .max(Self::LEAST_PATIENCE)
    }

    const LEAST_PATIENCE: Duration = Duration::from_secs(2);
}

impl Protocol for Receiver {
    type Event = ReceiverEvent;

    fn start(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.phase == Phase::New {
            self.phase = Phase::Receiving;
        }
    }

    fn stop(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.finish();
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.now = self.now.max(now);
        if self.phase != Phase::Receiving {
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
        if message.source == self.config.node {
            return;
        }
        let key = (datagram.source, message.source);
        let extensions = message.extensions;
        if let Some(remote) = self.senders.get_mut(&key) {
            remote.datagram(message.sequence, datagram.payload.len(), self.now);
        }
        match message.body {
            Body::Info { object, payload } => {
                self.object_message(key, &extensions, object, None, Some(payload));
            }
            Body::Data {
                object,
                id,
                payload,
            } => self.object_message(key, &extensions, object, Some((id, payload)), None),
            Body::Command { sender, command } => {
                self.command(key, &extensions, sender, &command);
            }
            Body::Nack { feedback, requests } => {
                self.overheard(feedback, &extensions, &requests);
            }
            Body::Ack { feedback, .. } => self.overheard(feedback, &extensions, &[]),
            Body::Report { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let mut replies = Vec::new();
        for (key, remote) in &mut self.senders {
            remote.time_out(
                now,
                &self.config,
                &mut self.random,
                &mut self.stats,
                &mut self.outputs,
                |reply| replies.push((*key, reply)),
            );
        }
        for (key, reply) in replies {
            self.reply(key, reply);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ReceiverEvent> {
        self.now = self.now.max(now);
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        match self.phase {
            Phase::New => Output::Wait {
                until: None,
                reason: "its start",
            },
            Phase::Finished => Output::Finished,
            Phase::Receiving => {
                let next = self.senders.values().filter_map(Remote::next);
                match next.min_by_key(|(at, _)| *at) {
                    Some((at, reason)) => Output::Wait {
                        until: Some(at),
                        reason,
                    },
                    None => Output::Wait {
                        until: None,
                        reason: "senders",
                    },
                }
            }
        }
    }
}

/// In short: not the bytes that it keeps.
impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.senders.keys().collect();
        f.debug_struct("Receiver")
            .field("node", &self.config.node)
            .field("phase", &self.phase)
            .field("senders", &keys)
            .field("outputs", &self.outputs.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
