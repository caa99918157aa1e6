//! What receivers say, and what is said beside the objects.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::Transmit;

use super::{
    AHEAD, ENDINGS, IDLE, LATE_FLUSH, PATIENCE, PROBE, PROBE_MOST, PROBED, Phase, QUEUE, Sender,
    Wait,
};
use crate::Output;
use crate::norm::ack::{Mark, all_of};
use crate::norm::event::{ObjectId, SenderEvent};
use crate::norm::message::{
    Body, CcFeedback, CcFlags, CcNode, Command, Extensions, FecId, Nodes, PayloadId, Position,
    Request, Timestamp, quantize_rate, unquantize_rate,
};
use crate::norm::object::{Number, id_of, number};
use crate::norm::outgoing::Outgoing;
use crate::norm::peers::bits;
use crate::norm::rate::{ROUND, Said};
use crate::norm::repair::Wanted;
use crate::norm::rounds::Askers;
use crate::pace::Pacer;

impl Sender {
    pub(in crate::norm) fn command(&mut self, command: Command<'_>) {
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

    // RFC 5740 §5.4: sender processing of NACKs.
    pub(super) fn nack(&mut self, node: u32, requests: &[Request], by_unicast: bool) {
        self.stats.nacks += 1;
        if self.askers.are_in_vain(node, self.config.robust) {
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
        let is_withdrawn = asked.objects().any(|number| !objects.contains_key(&number));
        asked.retain(|number| objects.get(&number).is_some_and(Outgoing::is_begun));
        if (gone || is_withdrawn) && !self.timers.is_set(Wait::Squelch) {
            self.squelch();
        }
        let (now, holdoff) = (self.now, self.holdoff());
        let fresh = |at: Instant| now.saturating_duration_since(at) < holdoff;
        asked.take_out_answered(&self.answered, fresh);
        if self.phase == Phase::Finishing
            && self.objects.values().all(Outgoing::is_sent)
            && let Some(extent) = asked.extent()
        {
            let is_named = self.config.receivers.contains(&node);
            self.askers.ask(node, is_named, extent);
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
            let at = self.now.checked_add(self.grtt.get() * factor);
            self.timers.set(Wait::Aggregate, at);
        }
        if by_unicast && !self.timers.is_set(Wait::Advertise) {
            self.advertise();
        }
    }

    /// How long after a repair those may ask for it who have not heard it: a round trip, and a quarter more,
    /// since the queues on the way grow faster than that is measured. Who asks without a back-off asks
    /// right after a round trip.
    // RFC 5740 §5.4: the hold-off of the sender.
    fn holdoff(&self) -> Duration {
        match self.config.backoff {
            0 => self.grtt.get(),
            _ => self.grtt.get() * 5 / 4,
        }
    }

    /// Tells those who do not hear one another what was asked for.
    // RFC 5740 §4.2.3.5: NORM_CMD(REPAIR_ADV).
    fn advertise(&mut self) {
        let room = usize::from(self.config.segment);
        let (requests, limited) = self.asked.requests(self.config.fec, room);
        let cc = self.suppressing.take();
        if !requests.is_empty() || cc.is_some() {
            let extensions = Extensions {
                cc,
                ..Extensions::default()
            };
            let command = Command::RepairAdvertisement { limited, requests };
            self.command_with(extensions, command);
        }
        self.timers
            .set(Wait::Advertise, self.now.checked_add(self.grtt.get()));
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
        rate.probe(grtt, busy, now);
        let nodes = rate.nodes();
        let trip = rate.round_trip().map_or(grtt, |trip| trip.min(grtt));
        let datagram = f64::from(self.config.segment) / rate.get().max(1.0);
        let datagram = Duration::from_secs_f64(datagram.min(1.0));
        let extensions = Extensions {
            rate: Some(quantize_rate(rate.get())),
            ..Extensions::default()
        };
        self.set_pace();
        self.probe_with(extensions, time, nodes);
        let wait = trip.max(datagram).max(ROUND);
        self.timers.set(Wait::Probe, self.now.checked_add(wait));
    }

    /// The last object of which something was sent.
    fn last_begun(&self) -> Option<(Number, &Outgoing)> {
        let mut objects = self.objects.iter().rev();
        let (number, outgoing) = objects.find(|(_, object)| object.is_begun())?;
        Some((*number, outgoing))
    }

    // RFC 5740 §4.2.3.3: NORM_CMD(SQUELCH).
    pub(super) fn squelch(&mut self) {
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
            id: self.payload_id(first, 0),
        };
        self.command(Command::Squelch {
            from,
            invalid: &invalid,
        });
        self.timers
            .set(Wait::Squelch, self.now.checked_add(self.grtt.get() * 2));
    }

    pub(super) fn begin_repairs(&mut self) {
        let (now, holdoff) = (self.now, self.holdoff());
        self.answered
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < holdoff);
        self.askers.end_round(now);
        self.repairs.merge(&self.asked);
        self.asked.clear();
    }

    /// The rate at which it sends now, in bits a second.
    pub(super) fn bits(&self) -> u64 {
        let rate = self.rate.as_ref();
        rate.map_or(self.config.rate, |rate| bits(rate.get()).max(1))
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
            rtt: self.grtt.quantized(),
            rate: quantize_rate(self.config.rate as f64 / 8.0),
        };
        let nodes: Vec<_> = self
            .acks
            .waiting(all_of(self.next - 1))
            .take(PROBED)
            .map(node)
            .collect();
        self.probe_with(Extensions::default(), time, nodes);
        // While it sends, the queues on the way change, and with them the round-trip times.
        let most = match self.has_work() {
            true => self.busy_interval(),
            false => PROBE_MOST,
        };
        self.probe.interval = (self.probe.interval * 3 / 2).min(most);
        let interval = self.probe.interval.max(self.grtt.get());
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

    /// The longest time between two probes while something is sent: short, but so long that probes
    /// take a hundredth of the rate at most.
    fn busy_interval(&self) -> Duration {
        const BITS: u64 = 100 * 8 * 64;
        let least = Duration::from_nanos(BITS.saturating_mul(1_000_000_000) / self.bits().max(1));
        least.clamp(PROBE, PROBE_MOST)
    }

    /// The last symbol of all that was sent, and the mark of those who have it.
    fn watermark(&self) -> Option<(Mark, Mark)> {
        let (number, outgoing) = self.last_begun()?;
        let (block, symbol) = outgoing.last_sent().unwrap_or_default();
        let mark = if outgoing.is_through() {
            all_of(number)
        } else {
            (number, block, symbol)
        };
        Some((mark, (number, block, symbol)))
    }

    /// The name of the first block that is kept of an object, and of a symbol of it.
    fn payload_id(&self, number: Number, symbol: u16) -> PayloadId {
        let outgoing = self.objects.get(&number);
        let block = outgoing.map_or(0, Outgoing::first_block);
        self.symbol_id(number, block, symbol)
    }

    fn symbol_id(&self, number: Number, block: u32, symbol: u16) -> PayloadId {
        let outgoing = self.objects.get(&number);
        let length = outgoing.map_or(0, |outgoing| outgoing.segments(block));
        let small = self.config.fec == FecId::SmallBlock;
        PayloadId {
            block,
            length: if small { length } else { 0 },
            symbol,
        }
    }

    /// What to do when nothing is to be sent: announce the end, until it is known or was said often
    /// enough.
    // RFC 5740 §4.2.3.1: NORM_CMD(FLUSH).
    pub(super) fn flush_or_end(&mut self) {
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
            last.is_none_or(|(mark, _)| self.acks.are_expected() && self.acks.all_have(mark));
        if done || !repairing && self.is_flushed_enough() {
            if self.timers.is_set(Wait::Flush) {
                return;
            }
            self.timers.set(Wait::Probe, None);
            if self.has_open_stream() && !self.timers.is_set(Wait::Idle) {
                self.timers.set(Wait::Idle, self.now.checked_add(IDLE));
            }
            if let Some((mark, _)) = last
                && !done
            {
                let silent = self.acks.give_up(mark);
                for node in silent.into_iter().take(QUEUE) {
                    self.tell(SenderEvent::Unacknowledged {
                        object: ObjectId(mark.0),
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
        if !self.timers.is_set(Wait::Flush)
            && let Some((_, at)) = last
        {
            if self.flushes == 0 {
                self.flushed = self.now;
            }
            self.flushes = self.flushes.saturating_add(1);
            self.flush(at);
        }
    }

    /// Whether the end was announced so often, and for so long, that who has not answered is given
    /// up.
    // RFC 5740 §5.5.3: NORM_ROBUST_FACTOR.
    fn is_flushed_enough(&self) -> bool {
        let waited = self.now.saturating_duration_since(self.flushed);
        let long = !self.acks.are_expected() || waited >= PATIENCE;
        self.flushes >= self.config.robust && long
    }

    /// Says that all up to a symbol was sent, and asks those who have not acknowledged it.
    pub(super) fn flush(&mut self, at: Mark) {
        let (number, block, symbol) = at;
        let whole = self.objects.get(&number).is_some_and(Outgoing::is_through);
        let mark = if whole { all_of(number) } else { at };
        let room = usize::from(self.config.segment) / 4;
        let nodes: Vec<u8> = self
            .acks
            .waiting(mark)
            .take(room.max(1))
            .flat_map(u32::to_be_bytes)
            .collect();
        let at = Position {
            fec: self.config.fec,
            object: id_of(number),
            id: self.symbol_id(number, block, symbol),
        };
        self.command(Command::Flush {
            at,
            nodes: Nodes::new(&nodes),
        });
        let wait = self.grtt.get() * 2;
        let late = self.flushes >= self.config.robust;
        let wait = if late { wait.max(LATE_FLUSH) } else { wait };
        self.timers.set(Wait::Flush, self.now.checked_add(wait));
    }

    pub(super) fn end(&mut self) {
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

    pub(super) fn acknowledged(&mut self, node: u32, payload: &[u8]) {
        let Ok(position) = Position::parse_ack(payload) else {
            self.stats.malformed += 1;
            return;
        };
        let number = number(position.object, self.next);
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        let Some(mark) = mark(number, outgoing, position.id) else {
            return;
        };
        self.peers.acknowledged(node, mark);
        if !self.acks.acknowledge(node, mark) {
            return;
        }
        self.stats.acks += 1;
        self.askers = Askers::default();
        if mark == all_of(number) {
            self.tell(SenderEvent::Acknowledged {
                object: ObjectId(number),
                node,
            });
            if self.acks.all_have(mark) {
                self.tell(SenderEvent::Delivered(ObjectId(number)));
            }
        } else {
            self.reached(number, node, (mark.1, mark.2));
        }
        if self.acks.all_have(mark) {
            self.timers.set(Wait::Flush, None);
            self.flush_or_end();
        }
    }
}

/// What an acknowledgement of a symbol means: all of an object that was sent, or of a stream all up to
/// that symbol; of a part of another object it says nothing.
fn mark(number: Number, outgoing: &Outgoing, id: PayloadId) -> Option<Mark> {
    let Some(window) = outgoing.window() else {
        let all = outgoing.is_sent() && id.block.saturating_add(1) >= outgoing.layout.blocks();
        return all.then_some(all_of(number));
    };
    let block = window.number(id.block)?;
    let symbol = id.symbol.min(window.last_symbol());
    let last = outgoing.last_sent()?;
    if (block, symbol) > last {
        return None;
    }
    if outgoing.is_through() && (block, symbol) == last {
        return Some(all_of(number));
    }
    Some((number, block, symbol))
}
