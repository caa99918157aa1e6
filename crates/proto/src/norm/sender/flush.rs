//! What was sent is announced, and acknowledged; and the end.

use super::{AHEAD, ENDINGS, IDLE, LATE_FLUSH, Phase, Sender, Wait};
use crate::norm::ack::{Mark, all_of};
use crate::norm::event::{ObjectId, SenderEvent};
use crate::norm::message::{Command, Nodes, PayloadId, Position};
use crate::norm::object::{Number, id_of, number};
use crate::norm::outgoing::Outgoing;
use crate::norm::rounds::Askers;

impl Sender {
    /// The last symbol of all that was sent, and the mark of those who have it.
    pub(super) fn watermark(&self) -> Option<(Mark, Mark)> {
        let (number, outgoing) = self.last_begun()?;
        let (block, symbol) = outgoing.last_sent().unwrap_or_default();
        let mark = if outgoing.is_through() {
            all_of(number)
        } else {
            (number, block, symbol)
        };
        Some((mark, (number, block, symbol)))
    }

    /// What to do when nothing is to be sent: announce the end, until it is known or was said often
    /// enough.
    // RFC 5740 §4.2.3.1: NORM_CMD(FLUSH).
    pub(super) fn flush_or_end(&mut self) {
        if !self.is_running() || !self.all_is_sent() {
            return;
        }
        // Repairs come first, but not for ever: who asks without end keeps nobody from
        // acknowledging.
        let repairing = !self.repairs.is_empty() || self.repairing.is_some();
        let repairing = repairing || self.timers.is_set(Wait::Aggregate);
        if self.timers.is_set(Wait::Flush) || repairing && self.ahead <= AHEAD {
            return;
        }
        let robust = self.config.robust;
        let last = self.watermark();
        if let Some((mark, _)) = last.filter(|_| !repairing) {
            let silent = self.acks.give_up(mark, robust, self.now);
            let is_any = !silent.is_empty();
            for node in silent {
                let object = ObjectId(mark.0);
                self.tell(SenderEvent::Unacknowledged { object, node });
            }
            if is_any {
                // What follows is said once that was taken.
                return;
            }
        }
        let done = match last {
            Some((mark, _)) if self.acks.are_expected() => self.acks.all_have(mark),
            Some(_) => !repairing && self.flushes >= robust,
            None => true,
        };
        if !done {
            if let Some((mark, at)) = last {
                self.flushes = self.flushes.saturating_add(1);
                self.flush(mark, at, !repairing);
            }
            return;
        }
        self.timers.set(Wait::Probe, None);
        if self.has_open_stream() && !self.timers.is_set(Wait::Idle) {
            self.timers.set(Wait::Idle, self.now.checked_add(IDLE));
        }
        if self.phase == Phase::Finishing {
            self.phase = Phase::Ending(0);
            self.timers.clear();
            self.end();
        }
    }

    /// Says that all up to a symbol was sent, and asks those who have not acknowledged that mark. It
    /// counts for who does not answer, unless something is repaired still.
    pub(super) fn flush(&mut self, mark: Mark, at: Mark, counts: bool) {
        let (number, block, symbol) = at;
        let room = usize::from(self.config.segment) / 4;
        let asked = self.acks.ask(mark, room.max(1), counts, self.now);
        let nodes: Vec<u8> = asked.into_iter().flat_map(u32::to_be_bytes).collect();
        let at = Position {
            fec: self.config.fec,
            object: id_of(number),
            id: self.symbol_id(number, block, symbol),
        };
        self.command(Command::Flush {
            at,
            nodes: Nodes::new(&nodes),
        });
        let wait = self.grtt() * 2;
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
                    .set(Wait::End, self.now.checked_add(self.grtt()));
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
        let lacks = self.acks.lacks(node, number);
        if !lacks {
            self.peers.acknowledged(node, mark);
        }
        if !self.acks.acknowledge(node, mark) {
            return;
        }
        self.stats.acks += 1;
        self.askers = Askers::default();
        if lacks {
            // It may have all that was sent since, and not all.
        } else if mark != all_of(number) {
            self.reached(number, node, (mark.1, mark.2));
        } else {
            let object = ObjectId(number);
            self.tell(SenderEvent::Acknowledged { object, node });
            if self.acks.is_delivered(number) {
                self.tell(SenderEvent::Delivered(object));
            }
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
