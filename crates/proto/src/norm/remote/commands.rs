//! What a sender says of the transmission, and what follows from it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Remote, State, Wait};
use crate::Output;
use crate::norm::event::{Abandonment, ReceiverEvent, ReceiverStats};
use crate::norm::message::{Body, Command, Extensions, Position};
use crate::random::Random;

/// How many questions of a sender's application are kept until their turn.
const ASKED: usize = 16;

impl Remote {
    pub(in crate::norm) fn command(
        &mut self,
        command: &Command<'_>,
        extensions: &Extensions,
        now: Instant,
        random: &mut Random,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        match command {
            Command::CongestionControl {
                sequence,
                time,
                nodes,
            } => {
                // A time beyond the range of clocks is no time.
                if time.micros < 1_000_000 {
                    self.probe = Some((*time, now));
                }
                if let Some(rate) = extensions.rate {
                    self.congestion_probe((*sequence, *time), rate, nodes, now, random);
                } else if nodes.iter().any(|it| it.node == self.own) && !self.silent {
                    self.timers.set(Wait::Answer, Some(now));
                }
            }
            Command::Flush { at, nodes } => {
                let wait = random.duration(Duration::ZERO..=self.grtt());
                self.flush(*at, nodes.iter(), now.checked_add(wait), stats, outputs);
            }
            Command::Squelch { from, invalid } => {
                let (ids, _) = invalid.as_chunks();
                let ids = ids.iter().map(|id| u16::from_be_bytes(*id));
                self.squelch(*from, ids, stats, outputs);
            }
            Command::RepairAdvertisement { requests, .. } => {
                if let Some(cc) = &extensions.cc {
                    self.overheard_congestion(cc, now);
                }
                self.overheard(requests);
            }
            Command::AckRequest { kind, id, nodes } => {
                if nodes.iter().any(|node| node == self.own) && !self.silent {
                    self.request(*kind, *id, now, random);
                }
            }
            Command::EndOfTransmission | Command::Application { .. } => {}
        }
    }

    /// What the sender's application asks is told after a random wait, so that not all answer at
    /// once.
    // RFC 5740 §4.2.3.6: NORM_CMD(ACK_REQ).
    fn request(&mut self, kind: u8, id: u8, now: Instant, random: &mut Random) {
        let known = self.asked.contains(&(kind, id));
        if kind < Body::ACK_APPLICATION || known || self.asked.len() >= ASKED {
            return;
        }
        self.asked.push_back((kind, id));
        if !self.timers.is_set(Wait::Ask) {
            let wait = random.duration(Duration::ZERO..=self.grtt());
            self.timers.set(Wait::Ask, now.checked_add(wait));
        }
    }

    /// All up to a position was sent; who is named acknowledges it at `turn`.
    // RFC 5740 §5.3: NORM_CMD(FLUSH).
    fn flush(
        &mut self,
        at: Position,
        mut nodes: impl Iterator<Item = u32>,
        turn: Option<Instant>,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        if self.lost {
            // A sender that has nothing to send flushes the last object again and again.
            let last = self.frontier.0;
            let is_there = matches!(self.objects.get(&last), None | Some(State::Through));
            self.find(at.object, last + u64::from(!is_there), stats, outputs);
        }
        let number = self.number(at.object);
        if self.first.is_none() {
            self.join(number);
        }
        if self.first.is_some_and(|first| number < first) && self.frontier.0 > number + 1 {
            // All before the first is through: it is there, or does not come.
            let own = self.own;
            if nodes.any(|node| node == own) && !self.silent {
                self.acknowledge_at(at, turn);
            }
            return;
        }
        self.fec = at.fec;
        let symbol = at.id.symbol.saturating_add(1);
        let Some(block) = self.block(number, at.id.block) else {
            return;
        };
        if let Some(State::Stream(stream)) = self.objects.get_mut(&number) {
            stream.saw(block, symbol);
        }
        self.place = (number, block);
        self.frontier = self.frontier.max((number, block.saturating_add(1)));
        self.trim(stats, outputs);
        let own = self.own;
        let has = !self.lacks_until(number, block, at.id.symbol);
        if nodes.any(|node| node == own) && !self.silent && has {
            self.acknowledge_at(at, turn);
        }
    }

    fn acknowledge_at(&mut self, at: Position, turn: Option<Instant>) {
        self.acknowledge = Some(at);
        if !self.timers.is_set(Wait::Acknowledge) {
            self.timers.set(Wait::Acknowledge, turn);
        }
    }

    // RFC 5740 §4.2.3.3: what lies before is not repaired any more.
    fn squelch(
        &mut self,
        from: Position,
        invalid: impl Iterator<Item = u16>,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        let Some(first) = self.first.filter(|_| !self.lost) else {
            return;
        };
        let start = self.number(from.object);
        let end = start.min(self.frontier.0.saturating_add(1));
        for number in first..end {
            self.abandon(number, Abandonment::Squelched, stats, outputs);
        }
        self.skip_stream(start, from.id.block, stats, outputs);
        for id in invalid {
            let number = self.number(id);
            if number >= first && number <= self.frontier.0 {
                self.abandon(number, Abandonment::Squelched, stats, outputs);
            }
        }
        self.trim(stats, outputs);
    }
}
