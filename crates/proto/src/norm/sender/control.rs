//! What receivers say, and what is said beside the objects.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::Transmit;

use super::{HEADER_MOST, IDLE, PROBE, PROBE_MOST, PROBED, Phase, QUEUE, Sender, Wait};
use crate::Output;
use crate::norm::ack::all_of;
use crate::norm::grtt::Grtt;
use crate::norm::message::{
    Body, CcFeedback, CcFlags, CcNode, Command, Extensions, FecId, PayloadId, Position, Request,
    Timestamp, quantize_rate, quantize_rtt, unquantize_rate, unquantize_rtt,
};
use crate::norm::object::{Number, id_of};
use crate::norm::outgoing::Outgoing;
use crate::norm::peers::bits;
use crate::norm::rate::{ROUND, Said};
use crate::norm::repair::Wanted;
use crate::pace::Pacer;

impl Sender {
    pub(in crate::norm) fn command(&mut self, command: Command<'_>) {
        self.command_with(Extensions::default(), command);
    }

    /// Says a command, as long as few are waiting to be sent, and gives its length.
    fn command_with(&mut self, extensions: Extensions, command: Command<'_>) -> usize {
        if self.outputs.len() >= QUEUE {
            return 0;
        }
        let sender = self.info();
        let payload = self
            .message(extensions, Body::Command { sender, command })
            .emit();
        let length = payload.len();
        self.pacer.spend(length);
        self.stats.commands += 1;
        let transmit = Transmit::new(self.config.destination, payload);
        self.outputs.push_back(Output::Transmit(transmit));
        length
    }

    /// When that may be said again which took `length` bytes: such answers have a tenth of the rate at
    /// most, so that nobody who asks without end keeps a sender from sending.
    fn next_answer(&self, length: usize, least: Duration) -> Option<Instant> {
        self.now.checked_add(self.time_of(length * 10).max(least))
    }

    // RFC 5740 §5.4: sender processing of NACKs.
    pub(super) fn nack(&mut self, node: u32, requests: &[Request], by_unicast: bool) {
        self.stats.nacks += 1;
        let only_waits = self.only_waits();
        if only_waits && self.askers.are_in_vain(node, self.config.robust) {
            return;
        }
        let objects = &self.objects;
        let first = objects.keys().next().copied().unwrap_or(self.next);
        let near = self.last_begun().map_or(first, |(last, _)| last + 1);
        let mut asked = Wanted::default();
        let gone = asked.add(
            requests,
            near,
            first..self.next,
            |number, first, last| match objects.get(&number).and_then(Outgoing::window) {
                Some(window) => window.kept(first, last),
                None => (Some((first, last)), false),
            },
        );
        // What was withdrawn does not come, and what has not begun comes by itself.
        let withdrawn = asked.objects().find(|it| !objects.contains_key(it));
        let withdrawn = withdrawn.or_else(|| gone.then_some(first));
        asked.retain(|number| objects.get(&number).is_some_and(Outgoing::is_begun));
        if let Some(number) = withdrawn {
            self.refuse(number);
        }
        asked.take_out_answered(&self.answered, self.is_fresh());
        if only_waits && let Some(extent) = asked.extent() {
            let is_named = self.acks.are_expected_of(node);
            self.askers.ask(node, is_named, extent);
            self.acks.lives(node);
        }
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
            let at = self.now.checked_add(self.grtt() * factor);
            self.timers.set(Wait::Aggregate, at);
        }
        if by_unicast && !self.timers.is_set(Wait::Advertise) {
            self.advertise();
        }
    }

    /// Whether all was sent, and acknowledgements or the end are waited for.
    fn only_waits(&self) -> bool {
        let waits = || {
            let last = self.watermark();
            last.is_some_and(|(mark, _)| !self.acks.all_have(mark))
        };
        self.all_is_sent() && (self.phase == Phase::Finishing || waits())
    }

    /// How long after a repair those may ask for it who have not heard it: a round trip, and a quarter more,
    /// since the queues on the way grow faster than that is measured. Who asks without a back-off asks
    /// right after a round trip.
    // RFC 5740 §5.4: the hold-off of the sender.
    fn holdoff(&self) -> Duration {
        match self.config.backoff {
            0 => self.grtt(),
            _ => self.grtt() * 5 / 4,
        }
    }

    /// Whether what was sent to repair a block may not have come yet to those who ask for it.
    fn is_fresh(&self) -> impl Fn((Number, u32), Instant) -> bool + use<> {
        let (now, holdoff) = (self.now, self.holdoff());
        let repairing = self.repairing.as_ref();
        let repairing = repairing.map(|(number, block, _)| (*number, *block));
        move |place, at| repairing == Some(place) || now.saturating_duration_since(at) < holdoff
    }

    /// Tells those who do not hear one another what was asked for.
    // RFC 5740 §4.2.3.5: NORM_CMD(REPAIR_ADV).
    fn advertise(&mut self) {
        let room = usize::from(self.config.segment);
        let (requests, limited) = self.asked.requests(self.config.fec, room);
        let cc = self.suppressing.take();
        let mut length = 0;
        if !requests.is_empty() || cc.is_some() {
            let extensions = Extensions {
                cc,
                ..Extensions::default()
            };
            let command = Command::RepairAdvertisement { limited, requests };
            length = self.command_with(extensions, command);
        }
        let next = self.next_answer(length, self.grtt());
        self.timers.set(Wait::Advertise, next);
    }

    // RFC 5740 §4.2.3.4: NORM_CMD(CC).
    fn probe_with(&mut self, extensions: Extensions, time: Timestamp, nodes: Vec<CcNode>) {
        let sequence = self.probe.sequence;
        self.probe.sequence = sequence.wrapping_add(1);
        let command = Command::CongestionControl {
            sequence,
            time,
            nodes,
        };
        self.command_with(extensions, command);
    }

    // RFC 5740 §5.5.2: a probe each round trip of the receiver that limits the rate.
    fn send_congestion_probe(&mut self, time: Timestamp) {
        let (busy, grtt, now) = (self.has_work(), self.grtt.get(), self.now);
        let Some(rate) = &mut self.rate else {
            return;
        };
        if std::mem::take(&mut self.probe.resumes) {
            rate.resume(grtt, now);
        }
        rate.probe(grtt, busy, now);
        let nodes = rate.nodes();
        let trip = rate.round_trip().map_or(grtt, |trip| trip.min(grtt));
        let extensions = Extensions {
            rate: Some(quantize_rate(rate.get())),
            ..Extensions::default()
        };
        self.set_pace();
        self.probe_with(extensions, time, nodes);
        // At a low rate there is one datagram's time from probe to probe.
        let datagram = self.time_of(self.config.segment.into());
        let wait = trip.max(datagram.min(Duration::from_secs(1))).max(ROUND);
        self.timers.set(Wait::Probe, self.now.checked_add(wait));
    }

    /// Receivers are told that an object does not come, at once or with the others that do not.
    pub(super) fn refuse(&mut self, number: Number) {
        let first = self.refusing.map_or(number, |first| first.min(number));
        self.refusing = Some(first);
        if !self.timers.is_set(Wait::Squelch) {
            self.squelch();
        }
    }

    // RFC 5740 §4.2.3.3: NORM_CMD(SQUELCH).
    pub(super) fn squelch(&mut self) {
        let Some(refused) = self.refusing else {
            return;
        };
        let first = self.objects.keys().next().copied().unwrap_or(self.next);
        let missing = refused.max(first)..self.next;
        let mut missing = missing.filter(|number| !self.objects.contains_key(number));
        let room = usize::from(self.config.segment) / 2;
        let told: Vec<_> = missing.by_ref().take(room).collect();
        let rest = missing.next();
        let invalid = told.into_iter().map(|it| id_of(it).to_be_bytes());
        let invalid: Vec<u8> = invalid.flatten().collect();
        let from = Position {
            fec: self.config.fec,
            object: id_of(first),
            id: self.payload_id(first, 0),
        };
        let command = Command::Squelch {
            from,
            invalid: &invalid,
        };
        let length = self.command_with(Extensions::default(), command);
        if length > 0 {
            self.refusing = rest;
        }
        let next = self.next_answer(length, self.grtt() * 2);
        self.timers.set(Wait::Squelch, next);
    }

    pub(super) fn begin_repairs(&mut self) {
        let mut answered = std::mem::take(&mut self.answered);
        let is_fresh = self.is_fresh();
        answered.retain(|place, (_, at)| is_fresh(*place, *at));
        self.answered = answered;
        let symbols = usize::from(self.config.block.max(self.config.parity));
        let block = self.time_of(usize::from(self.config.segment) * symbols);
        self.askers.end_round(self.now, block);
        if !self.asked.is_empty() {
            self.acks.begin_anew();
        }
        self.repairs.merge(&self.asked);
        self.asked.clear();
    }

    /// The rate at which it sends now, in bits a second.
    pub(super) fn bits(&self) -> u64 {
        let rate = self.rate.as_ref();
        rate.map_or(self.config.rate, |rate| bits(rate.get()))
            .max(1)
    }

    /// What a receiver says of congestion. Where receivers are named, others are not heard.
    pub(super) fn congestion(
        &mut self,
        node: u32,
        address: SocketAddr,
        round_trip: Option<Duration>,
        cc: &CcFeedback,
    ) {
        self.peers.congestion(node, cc);
        let (busy, grtt, now) = (self.has_work(), self.grtt.get(), self.now);
        let heard = self.is_heard(node);
        if let Some(rate) = self.rate.as_mut().filter(|_| heard) {
            let said = Said {
                node,
                address,
                round_trip,
                cc,
            };
            rate.said(&said, grtt, busy, now);
            self.set_pace();
        }
    }

    /// Tells those who do not hear one another what a receiver says that does not limit the rate.
    pub(super) fn suppress(&mut self, cc: &CcFeedback) {
        if self.rate.is_none() || cc.flags.has(CcFlags::CLR) {
            return;
        }
        let least = self.suppressing.get_or_insert(*cc);
        if unquantize_rate(cc.rate) < unquantize_rate(least.rate) {
            *least = *cc;
        }
        if !self.timers.is_set(Wait::Advertise) {
            self.advertise();
        }
    }

    fn set_pace(&mut self) {
        let bits = self.bits();
        self.pacer.set_rate(bits, Pacer::BURST);
        self.due = self.now;
    }

    // RFC 5740 §5.5.1: probes.
    pub(super) fn send_probe(&mut self) {
        let time = self.grtt.probe(self.now);
        if self.rate.is_some() {
            self.send_congestion_probe(time);
            return;
        }
        let node = |node| CcNode {
            node,
            flags: CcFlags::PLR,
            rtt: quantize_rtt(self.grtt()),
            rate: quantize_rate(self.config.rate as f64 / 8.0),
        };
        let all = all_of(self.next - 1);
        let room = usize::from(self.config.segment) / 12;
        let waiting = self
            .acks
            .waiting(all, room.clamp(1, PROBED), self.probe.last);
        let nodes = waiting.iter().map(|it| node(*it)).collect();
        self.probe.last = waiting.last().copied().unwrap_or(0);
        self.probe_with(Extensions::default(), time, nodes);
        // While it sends, the queues on the way change, and with them the round-trip times.
        let most = match self.has_work() {
            true => self.busy_interval(40 + 12 * waiting.len()),
            false => PROBE_MOST,
        };
        self.probe.interval = (self.probe.interval * 3 / 2).min(most);
        let interval = self.probe.interval.max(self.grtt());
        self.timers.set(Wait::Probe, self.now.checked_add(interval));
    }

    /// A probe that nobody is to answer, so that receivers know that more of a stream may come.
    pub(super) fn say_that_it_is_there(&mut self) {
        // What is sent says it too.
        if self.timers.is_set(Wait::Probe) || !self.has_open_stream() {
            return;
        }
        let time = self.grtt.probe(self.now);
        self.probe_with(Extensions::default(), time, Vec::new());
        self.timers.set(Wait::Idle, self.now.checked_add(IDLE));
    }

    /// The longest time between two probes of so many bytes while something is sent: short, but so long
    /// that they take a hundredth of the rate at most.
    fn busy_interval(&self, bytes: usize) -> Duration {
        self.time_of(bytes * 100).clamp(PROBE, PROBE_MOST)
    }

    /// The name of the first block that is kept of an object, and of a symbol of it.
    fn payload_id(&self, number: Number, symbol: u16) -> PayloadId {
        let outgoing = self.objects.get(&number);
        let block = outgoing.map_or(0, Outgoing::first_block);
        self.symbol_id(number, block, symbol)
    }

    pub(super) fn symbol_id(&self, number: Number, block: u32, symbol: u16) -> PayloadId {
        let outgoing = self.objects.get(&number);
        let length = outgoing.map_or(0, |outgoing| outgoing.segments(block));
        let small = self.config.fec == FecId::SmallBlock;
        PayloadId {
            block,
            length: if small { length } else { 0 },
            symbol,
        }
    }

    /// Whether a receiver is heard of times and of congestion: where some are named, these alone.
    pub(super) fn is_heard(&self, node: u32) -> bool {
        !self.acks.are_expected() || self.acks.are_expected_of(node)
    }

    /// The round-trip time that all ends reckon with: the greatest that was measured, and no less than a
    /// datagram takes at this rate.
    // RFC 5740 §5.5.1 has the former; what is shorter than a datagram ends waits for one too early.
    pub(super) fn grtt(&self) -> Duration {
        let datagram = self.time_of(usize::from(self.config.segment) + HEADER_MOST);
        let datagram = datagram.min(Grtt::MAX);
        unquantize_rtt(quantize_rtt(self.grtt.get().max(datagram)))
    }

    /// How long so many bytes take at the rate at which it sends.
    fn time_of(&self, bytes: usize) -> Duration {
        let seconds = bytes as f64 * 8.0 / self.bits() as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}
