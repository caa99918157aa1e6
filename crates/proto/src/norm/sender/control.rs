//! What receivers say, and what is said beside the objects.

use std::time::Instant;

use manycast_types::Transmit;

use super::{AHEAD, ENDINGS, PROBE_MOST, PROBED, Phase, QUEUE, Sender, Wait};
use crate::Output;
use crate::norm::event::{ObjectId, SenderEvent};
use crate::norm::message::{
    Body, CcFlags, CcNode, Command, Extensions, FecId, Nodes, PayloadId, Position, Request,
    quantize_rate,
};
use crate::norm::object::{Number, id_of, number};
use crate::norm::outgoing::Outgoing;
use crate::norm::repair::Wanted;

impl Sender {
    pub(super) fn command(&mut self, command: Command<'_>) {
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
    pub(super) fn nack(&mut self, requests: &[Request], by_unicast: bool) {
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
            id: PayloadId::default(),
        };
        self.command(Command::Squelch {
            from,
            invalid: &invalid,
        });
        self.timers
            .set(Wait::Squelch, self.now.checked_add(self.grtt.get() * 2));
    }

    pub(super) fn begin_repairs(&mut self) {
        let (now, grtt) = (self.now, self.grtt.get());
        self.answered
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < grtt);
        self.repairs.merge(&self.asked);
        self.asked.clear();
    }

    // RFC 5740 §5.5.1: probes.
    pub(super) fn send_probe(&mut self) {
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
                length: if self.config.fec == FecId::SmallBlock {
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
    pub(super) fn settle(&mut self) {
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
