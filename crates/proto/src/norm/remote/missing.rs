//! What is missing of a sender's objects, and when it is asked for.

use std::time::Instant;

use super::{Place, QUIET, Remote, State, Wait};
use crate::norm::message::{Request, unquantize_group_size};
use crate::norm::object::Number;
use crate::norm::repair::{Requests, WHOLE, backoff};
use crate::random::Random;

impl Remote {
    /// Whether something is missing before the frontier that is to be asked for.
    pub(super) fn lacks(&self) -> bool {
        let Some(first) = self.first else {
            return false;
        };
        let (last, end) = self.frontier;
        (first..=last).any(|number| match self.objects.get(&number) {
            Some(State::Incoming(incoming)) => {
                incoming.asks(if number < last { u32::MAX } else { end })
            }
            Some(State::Stream(stream)) => stream.lacks(),
            Some(State::Through) => false,
            None => number < last || end > 0,
        })
    }

    /// Whether something is missing up to a symbol of an object.
    pub(super) fn lacks_until(&self, number: Number, block: u32, symbol: u16) -> bool {
        let Some(first) = self.first else {
            return true;
        };
        (first..=number).any(|other| match self.objects.get(&other) {
            Some(State::Incoming(incoming)) => {
                let end = if other < number {
                    u32::MAX
                } else {
                    block.saturating_add(1)
                };
                incoming.lacks(end)
            }
            Some(State::Stream(stream)) if other == number => stream.lacks_until(block, symbol),
            Some(State::Stream(stream)) => stream.lacks(),
            Some(State::Through) => false,
            None => true,
        })
    }

    /// The first place of which something is missing.
    pub(super) fn first_missing(&self) -> Option<Place> {
        let first = self.first?;
        (first..=self.frontier.0).find_map(|number| match self.objects.get(&number) {
            Some(State::Incoming(incoming)) => Some((
                number,
                if incoming.wants_info {
                    0
                } else {
                    incoming.low()
                },
            )),
            Some(State::Stream(stream)) => stream.lacks().then_some((number, stream.low())),
            Some(State::Through) => None,
            None => Some((number, 0)),
        })
    }

    /// Begins to ask, where something is missing and that was not begun.
    // RFC 5740 §5.3: NACK back-off begins at a block's or an object's end, or at a flush.
    pub(in crate::norm) fn look(&mut self, now: Instant, random: &mut Random) {
        let asking = self.timers.is_set(Wait::Backoff) || self.timers.is_set(Wait::Holdoff);
        if self.silent || self.lost || asking || !self.lacks() {
            return;
        }
        let most = self.grtt() * u32::from(self.info.backoff);
        let wait = backoff(random, most, unquantize_group_size(self.info.group_size));
        self.heard.clear();
        self.timers.set(Wait::Backoff, now.checked_add(wait));
    }

    /// A repair was of use: somebody's requests are heard.
    pub(in crate::norm) const fn repaired(&mut self) {
        self.quiet = 0;
    }

    pub(in crate::norm) fn overheard(&mut self, requests: &[Request]) {
        if let Some(first) = self.first
            && self.timers.is_set(Wait::Backoff)
            && self.quiet < QUIET
        {
            let mut heard = std::mem::take(&mut self.heard);
            let (near, known) = (self.frontier.0, first..self.frontier.0 + 1);
            heard.add(requests, near, known, |number, first, last| {
                let first = self.block(number, first);
                (first.zip(self.block(number, last)), false)
            });
            self.heard = heard;
        }
    }

    /// What is missing and nobody else has asked for.
    pub(super) fn ask(&self, memory: usize) -> Vec<Request> {
        let Some(first) = self.first else {
            return Vec::new();
        };
        let mut requests = Requests::new(self.fec, usize::from(self.segment).clamp(64, 1400));
        let (last, end) = self.frontier;
        let room = (memory / 2).saturating_sub(self.memory());
        for number in first..=last {
            if requests.is_full() {
                break;
            }
            match self.objects.get(&number) {
                Some(State::Incoming(incoming)) => {
                    let end = if number < last { u32::MAX } else { end };
                    incoming.ask(number, end, room, &self.heard, &mut requests);
                }
                Some(State::Stream(stream)) => {
                    stream.ask(number, room, &self.heard, &mut requests);
                }
                Some(State::Through) => {}
                None if number == last && end == 0 => {}
                None if self.heard.covers(number, 0, WHOLE) => {}
                None if self.waits && self.heard.covers_info(number) => {}
                None if self.waits => requests.info(number),
                None => requests.object(number),
            }
        }
        requests.finish().0
    }
}
