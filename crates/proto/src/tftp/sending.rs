//! Sending the blocks of a file, in windows (RFC 1350, RFC 7440), to whoever acknowledges them.
//!
//! ```text
//!      base      next            highest        base + window
//!  ─────┼─────────┼─────────────────┼─────────────────┼──────────▶ blocks
//!   acknowledged  │   sent before   │   may be sent   │
//! ```
//!
//! An acknowledgment below `highest` says that the block after it is missing, unless that one was
//! sent less than a round trip ago: then it is on its way, and the acknowledgment says nothing about
//! it. So no acknowledgment, however often it comes, has a block sent twice within a round trip.

mod source;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::DATA_HEADER;
use super::numbering::RollOver;
use super::round_trip::RoundTrip;
use source::Source;

/// How many bytes of datagrams go out at once at most.
const BATCH: usize = 65_507;
/// How many transmissions are remembered, for when a block was sent last.
const REMEMBERED: usize = 512;

/// What is to be sent: data packets side by side.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) payload: Bytes,
    /// How long each is but the last, where there are several.
    pub(super) segment: Option<u16>,
}

/// What came of an acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// All blocks have come.
    All,
    /// More blocks have come, or one is missing.
    New,
    /// Nothing that was not known.
    Old,
    /// No block that was sent has this number.
    Never,
}

/// The sending side of a transfer.
#[derive(Debug)]
pub(super) struct Sending {
    block_size: usize,
    window: u64,
    roll_over: RollOver,
    /// The last block that was acknowledged.
    base: u64,
    /// The block to send next.
    next: u64,
    /// The last block that was ever sent.
    highest: u64,
    /// Whether only the first missing block is sent again, and then what was not sent yet.
    repairing: bool,
    /// Whether the receiver seems to keep blocks that come before a missing one. RFC 7440 does not
    /// ask that of it.
    selective: bool,
    /// How many repairs in a row have gained no more than the block that was repaired.
    bare_repairs: u32,
    /// How many blocks may go in a round trip, up to the window; fewer where many are lost.
    allowed: u64,
    /// How many have come, and how many were missing, since that was weighed last.
    arrived: u64,
    missing: u64,
    /// How many of them are left.
    left: u64,
    /// When there are more of them.
    resume: Option<Instant>,
    /// Transmissions, the latest last: first block, last block, when.
    sent: VecDeque<(u64, u64, Instant)>,
    /// Up to this block, no measurement is of one transmission only (RFC 6298 §3, Karn).
    ambiguous: u64,
    /// When the time-out began to run.
    since: Instant,
    source: Source,
    /// Whether it is sent to a group, whose members may ask for any block (RFC 2090).
    group: bool,
    pub(super) round_trip: RoundTrip,
    pub(super) counters: SendingCounters,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendingCounters {
    pub(super) again: u64,
    pub(super) duplicates: u64,
    pub(super) timeouts: u64,
}

impl Sending {
    pub(super) fn new(
        now: Instant,
        block_size: u16,
        window: u16,
        roll_over: RollOver,
        round_trip: RoundTrip,
    ) -> Self {
        let window = u64::from(window.max(1));
        Self {
            block_size: block_size.into(),
            window,
            roll_over,
            base: 0,
            next: 1,
            highest: 0,
            repairing: false,
            selective: window > 1,
            bare_repairs: 0,
            allowed: window,
            arrived: 0,
            missing: 0,
            left: window,
            resume: None,
            sent: VecDeque::new(),
            ambiguous: 0,
            since: now,
            source: Source::default(),
            group: false,
            round_trip,
            counters: SendingCounters::default(),
        }
    }

    /// From now on it is sent to a group: the one who acknowledges may ask for any block.
    pub(super) const fn set_group(&mut self) {
        self.group = true;
    }

    /// How many bytes of the file have been acknowledged.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.base * self.block_size as u64;
        self.source
            .length()
            .map_or(bytes, |length| bytes.min(length))
    }

    /// The last block, once the end of the file is known.
    fn last(&self) -> Option<u64> {
        // RFC 1350 §6: the last block is shorter than the others, so it may be empty.
        Some(self.source.length()? / self.block_size as u64 + 1)
    }

    /// Which part of the file is wanted next: its offset and how long it is at most.
    pub(super) fn next_read(&mut self, confirmed: bool) -> Option<(u64, usize)> {
        let block_size = self.block_size as u64;
        if !confirmed {
            // Whoever has not answered yet is worth one block.
            return self.source.read(block_size, self.block_size);
        }
        let ahead = (self.base + self.window + 1) * block_size + Source::PIECE as u64;
        self.source.read(ahead, Source::PIECE)
    }

    /// Takes in a part of the file that was asked for. It is shorter than asked for only where the
    /// file ends.
    pub(super) fn provide(&mut self, now: Instant, offset: u64, bytes: Bytes) {
        if self.highest == self.base {
            self.since = now;
        }
        self.source.provide(offset, bytes);
    }

    /// Takes in an acknowledgment.
    pub(super) fn acknowledge(&mut self, now: Instant, wire: u16) -> Acknowledged {
        let near = if self.group { wire.into() } else { self.base };
        let Some(block) = self.roll_over.nearest(wire, near) else {
            return Acknowledged::Never;
        };
        if block > self.highest && !(self.group && self.last().is_none_or(|last| block <= last)) {
            return Acknowledged::Never;
        }
        if self.group && (block < self.base || block > self.highest) {
            // RFC 2090: it is a request for the block after it.
            return self.seek(now, block);
        }
        if block < self.base {
            self.counters.duplicates += 1;
            return Acknowledged::Old;
        }
        let advance = block - self.base;
        if advance > 0 {
            self.advance(now, block);
            if self.last() == Some(block) {
                return Acknowledged::All;
            }
        } else {
            self.counters.duplicates += 1;
            // RFC 1123 §4.2.3.1: a duplicate never has the next block sent again.
            if self.window == 1 && !self.group {
                return Acknowledged::Old;
            }
        }
        let is_missing = self.highest > block && self.is_overdue(now, block + 1);
        self.weigh(advance, u64::from(is_missing));
        if is_missing {
            self.note_repair(advance);
            self.send_again(now);
        }
        if is_missing || advance > 0 {
            Acknowledged::New
        } else {
            Acknowledged::Old
        }
    }

    /// Takes in that so many blocks have come, and that so many were missing. About once a window it
    /// follows how many may go at once: fewer where more than an eighth is lost, more where less than a
    /// sixteenth is. A loss now and then says nothing of the room on the way, and radio links lose some
    /// blocks at any rate; a queue that overflows loses many.
    fn weigh(&mut self, arrived: u64, missing: u64) {
        self.arrived += arrived;
        self.missing += missing;
        let all = self.arrived + self.missing;
        if all < self.window.max(8) {
            return;
        }
        if self.missing * 8 > all {
            self.allowed = (self.allowed * 3 / 4).max(self.window / 8).max(1);
        } else if self.missing * 16 < all {
            self.allowed = (self.allowed + self.window / 8 + 1).min(self.window);
        }
        (self.arrived, self.missing) = (0, 0);
    }

    fn advance(&mut self, now: Instant, block: u64) {
        if block > self.ambiguous
            && let Some(at) = self.last_sent(block)
        {
            self.round_trip.measured(now.saturating_duration_since(at));
        } else {
            self.round_trip.reset();
        }
        // It had blocks that were not sent again: it keeps them.
        if self.next <= block && self.highest >= block {
            self.selective = self.window > 1;
            self.bare_repairs = 0;
        }
        self.base = block;
        self.next = self.next.max(block + 1);
        self.repairing = false;
        self.left = self.allowed;
        self.resume = None;
        self.since = now;
        self.source.forget_before(block * self.block_size as u64);
        while self.sent.front().is_some_and(|(_, to, _)| *to <= block) {
            self.sent.pop_front();
        }
    }

    /// RFC 2090: goes on with the block after this one, wherever that is.
    fn seek(&mut self, now: Instant, block: u64) -> Acknowledged {
        if self.last() == Some(block) {
            return Acknowledged::All;
        }
        self.base = block;
        self.next = block + 1;
        self.highest = block;
        self.ambiguous = u64::MAX;
        self.sent.clear();
        self.repairing = false;
        self.left = self.allowed;
        self.resume = None;
        self.since = now;
        self.source.seek(block * self.block_size as u64);
        Acknowledged::New
    }

    /// Whether this is the number of the last block, once the end of the file is known.
    pub(super) fn is_last(&self, wire: u16) -> bool {
        self.last()
            .is_some_and(|last| self.roll_over.wire_number(last) == wire)
    }

    /// Lets go of what was asked for and has not come.
    pub(super) fn forget_reads(&mut self) {
        self.source.forget_reads();
    }

    /// Whether a receiver that repairs gain only one block at a time keeps anything.
    const fn note_repair(&mut self, advance: u64) {
        if advance == 1 {
            self.bare_repairs += 1;
            if self.bare_repairs >= 3 {
                self.selective = false;
            }
        } else if advance > 1 {
            self.bare_repairs = 0;
        }
    }

    /// Begins again with the first block that is missing.
    fn send_again(&mut self, now: Instant) {
        self.next = self.base + 1;
        self.repairing = self.selective;
        self.ambiguous = self.ambiguous.max(self.highest);
        self.left = self.allowed;
        self.resume = None;
        self.since = now;
    }

    /// When a block was sent last.
    fn last_sent(&self, block: u64) -> Option<Instant> {
        let mut latest = self.sent.iter().rev();
        let found = latest.find(|(from, to, _)| (*from..=*to).contains(&block));
        found.map(|(_, _, at)| *at)
    }

    /// Whether a block was sent so long ago that an acknowledgment of now could know of it.
    fn is_overdue(&self, now: Instant, block: u64) -> bool {
        let usual = match self.round_trip.smoothed() {
            Some(smoothed) => smoothed * 3 / 4,
            None => self.round_trip.timeout() / 2,
        };
        self.last_sent(block)
            .is_none_or(|at| now.saturating_duration_since(at) >= usual)
    }

    /// The next packets to send.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Batch> {
        if self.resume.is_some() {
            return None;
        }
        let limit = self.base + self.window;
        let limit = self.last().map_or(limit, |last| last.min(limit));
        if self.next > limit {
            return None;
        }
        if self.left == 0 {
            let pause = self.round_trip.smoothed();
            let pause = pause.unwrap_or_else(|| self.round_trip.timeout() / 4);
            self.resume = now.checked_add(pause.max(Duration::from_micros(100)));
            return None;
        }
        let size = self.block_size + DATA_HEADER;
        let at_once = (BATCH / size).clamp(1, 64) as u64;
        let mut count = (limit - self.next + 1).min(self.left).min(at_once);
        if self.repairing {
            count = 1;
        }
        let mut payload = Vec::with_capacity(size * usize::try_from(count).unwrap_or(1));
        let first = self.next;
        for block in first..first + count {
            let header = payload.len();
            payload.extend_from_slice(&3_u16.to_be_bytes());
            payload.extend_from_slice(&self.roll_over.wire_number(block).to_be_bytes());
            let offset = (block - 1) * self.block_size as u64;
            if !self.source.copy(offset, self.block_size, &mut payload) {
                // It has not been read yet.
                payload.truncate(header);
                break;
            }
            self.next = block + 1;
        }
        let sent = self.next - first;
        if sent == 0 {
            return None;
        }
        self.left -= sent;
        if first <= self.highest {
            self.counters.again += sent.min(self.highest - first + 1);
        }
        if self.highest == self.base || first > self.highest {
            self.since = now;
        }
        self.highest = self.highest.max(self.next - 1);
        if self.repairing {
            self.repairing = false;
            self.next = self.highest + 1;
        }
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((first, first + sent - 1, now));
        let segment = (sent > 1).then(|| u16::try_from(size).unwrap_or(u16::MAX));
        Some(Batch {
            payload: payload.into(),
            segment,
        })
    }

    /// When it must hear of the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeout = (self.highest > self.base)
            .then(|| self.since.checked_add(self.round_trip.timeout()))
            .flatten();
        match (timeout, self.resume) {
            (Some(timeout), Some(resume)) => Some(timeout.min(resume)),
            (timeout, resume) => timeout.or(resume),
        }
    }

    /// Takes in that time has passed.
    pub(super) fn timed_out(&mut self, now: Instant) {
        if self.resume.is_some_and(|at| at <= now) {
            self.resume = None;
            self.left = self.allowed;
        }
        let timeout = self.round_trip.timeout();
        let is_over = now.saturating_duration_since(self.since) >= timeout;
        if self.highest > self.base && is_over {
            self.counters.timeouts += 1;
            // What was repaired alone gained nothing: perhaps all after it is wanted again.
            let was_repair = self.last_sent(self.base + 1) > self.last_sent(self.base + 2);
            if was_repair || self.window == 1 {
                self.selective = false;
            }
            self.allowed = (self.allowed / 2).max(1);
            self.round_trip.back_off();
            self.send_again(now);
        }
    }
}
