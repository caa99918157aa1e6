//! Where a sender is, and which object an identifier stands for: they have 16 bits, and come round.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Remote, State};
use crate::Output;
use crate::norm::event::{Abandonment, ReceiverEvent, ReceiverStats};
use crate::norm::message::Flags;
use crate::norm::object::{FAR, Number, id_of, number};

/// How long objects are counted to know how fast they follow each other.
const SPAN: Duration = Duration::from_millis(250);

/// The least time that a count is taken for: a few at once are no pace.
const LEAST: Duration = Duration::from_millis(100);

/// How fast the objects of a sender follow each other.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many have begun.
    pub(super) begun: u64,
    /// When the count began, and how many had begun then.
    since: (Instant, u64),
    /// Objects a second in the span before.
    before: f64,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            begun: 0,
            since: (now, 0),
            before: 0.0,
        }
    }

    /// Whether more objects than identifiers tell apart may pass in a silence, of a sender that was
    /// heard before.
    fn is_lost(&mut self, heard: Instant, now: Instant) -> bool {
        let (since, before) = self.since;
        let time = heard.saturating_duration_since(since).max(LEAST);
        let rate = (self.begun - before) as f64 / time.as_secs_f64();
        let silent = now.saturating_duration_since(heard).as_secs_f64();
        let is_lost = rate.max(self.before) * silent > FAR as f64;
        if now.saturating_duration_since(since) >= SPAN {
            (self.before, self.since) = (rate, (now, self.begun));
        }
        is_lost
    }
}

impl Remote {
    /// The sender is heard: sees whether too many objects may have passed since it was before.
    // RFC 5740 §4.2.1: a receiver should begin anew where identifiers are out of range.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        self.lost |= self.pace.is_lost(self.last_heard, now);
    }

    /// The sender is at an object, after a silence in which any number of objects may have passed: it is
    /// `least`, or one after that.
    pub(super) fn find(
        &mut self,
        id: u16,
        least: Number,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        // What comes by the identifier of one that is not complete may belong to another one.
        let numbers: Vec<_> = self.objects.keys().copied().collect();
        for number in numbers {
            self.abandon(number, Abandonment::Overtaken, stats, outputs);
        }
        let found = least + u64::from(id.wrapping_sub(id_of(least)));
        self.lost = false;
        if found > self.frontier.0 {
            (self.frontier, self.place) = ((found, 0), (found, 0));
            self.trim(stats, outputs);
        }
    }

    pub(super) fn number(&self, id: u16) -> Number {
        match self.first {
            Some(_) => number(id, self.frontier.0),
            // The first is numbered so that there is room before it.
            None => Number::from(id) + 0x1_0000,
        }
    }

    /// The first that is heard of an object.
    pub(super) fn join(&mut self, number: Number) {
        // The identifiers of a sender that was just started begin at 0.
        let earlier = u64::from(self.earlier).min(number - 0x1_0000);
        let earlier = earlier.min(self.most_objects as u64 - 1);
        self.first = Some(number - earlier);
        (self.frontier, self.place) = ((number, 0), (number, 0));
    }

    /// The sender is at this block of this object.
    pub(super) fn advance(
        &mut self,
        number: Number,
        block: Option<u32>,
        flags: Flags,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        self.place = (number, block.unwrap_or(0));
        // Repairs say nothing of how far the sender has come.
        if !flags.has(Flags::REPAIR) && self.place > self.frontier {
            self.frontier = self.place;
            self.trim(stats, outputs);
        }
    }

    /// Forgets what is through at the front, and what lies too far behind.
    pub(super) fn trim(
        &mut self,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        while let Some((&oldest, _)) = self.objects.first_key_value()
            && self.frontier.0.saturating_sub(oldest) > FAR
        {
            self.abandon(oldest, Abandonment::Overtaken, stats, outputs);
            self.objects.remove(&oldest);
        }
        let Some(mut first) = self.first else {
            return;
        };
        // Those of which nothing has come lie behind all that are kept, or the room for objects is
        // not used up; so nothing is lost here that was told of.
        let most = self.most_objects as u64;
        let kept = self
            .objects
            .first_key_value()
            .map_or(self.frontier.0, |(number, _)| *number);
        first = first.max(kept.min(self.frontier.0.saturating_sub(most)));
        while first < self.frontier.0 && matches!(self.objects.get(&first), Some(State::Through)) {
            self.objects.remove(&first);
            first += 1;
        }
        self.first = Some(first);
    }
}
