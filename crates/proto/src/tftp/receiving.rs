//! Receiving the blocks of a file, in windows (RFC 1350, RFC 7440).
//!
//! Blocks that come before a missing one are kept, so that only the missing one need be sent again;
//! a sender that begins again with all of them is understood as well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::numbering::RollOver;
use super::round_trip::RoundTrip;

/// Acknowledgments of what was acknowledged before are at least so far apart.
const APART: Duration = Duration::from_millis(10);

/// What came of a data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A block that had not come before.
    New,
    /// A block that had come.
    Old,
    /// No block that may come now.
    Never,
    /// A number that shows that the sender rolls over to another number.
    OtherRollOver,
}

/// The receiving side of a transfer.
#[derive(Debug)]
pub(super) struct Receiving {
    block_size: usize,
    window: u64,
    roll_over: RollOver,
    /// The last block before the first that is missing.
    received: u64,
    /// How many of them are not acknowledged.
    unacknowledged: u64,
    /// Blocks after a missing one.
    early: BTreeMap<u64, Bytes>,
    early_bytes: usize,
    /// How many bytes of them are kept at most.
    most_early: usize,
    /// The last block, once it has come.
    last: Option<u64>,
    /// What has come in order and was not handed over.
    gathered: BytesMut,
    /// Where it begins in the file.
    offset: u64,
    /// How much was handed over and is not written yet, and how much of it holds up
    /// acknowledgments.
    unwritten: usize,
    most_unwritten: usize,
    /// Whether to acknowledge as soon as may be.
    due: bool,
    /// Whether the missing block was told of.
    gap_told: bool,
    acknowledged_at: Instant,
    /// Whether a round trip is measured: since when the next block is asked for.
    asked_at: Option<Instant>,
    /// When the time-out began to run.
    since: Instant,
    pub(super) round_trip: RoundTrip,
    pub(super) counters: ReceivingCounters,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReceivingCounters {
    pub(super) duplicates: u64,
    pub(super) gaps: u64,
    pub(super) timeouts: u64,
}

impl Receiving {
    pub(super) fn new(
        now: Instant,
        block_size: u16,
        window: u16,
        roll_over: RollOver,
        round_trip: RoundTrip,
    ) -> Self {
        let bytes = usize::from(block_size) * usize::from(window.max(1));
        Self {
            block_size: block_size.into(),
            window: window.max(1).into(),
            roll_over,
            received: 0,
            unacknowledged: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            most_early: bytes,
            last: None,
            gathered: BytesMut::new(),
            offset: 0,
            unwritten: 0,
            most_unwritten: bytes.max(256 << 10),
            due: false,
            gap_told: false,
            acknowledged_at: now,
            asked_at: None,
            since: now,
            round_trip,
            counters: ReceivingCounters::default(),
        }
    }

    /// How many bytes have come in order.
    pub(super) fn bytes(&self) -> u64 {
        self.offset + self.gathered.len() as u64
    }

    /// Whether all has come.
    pub(super) const fn is_complete(&self) -> bool {
        self.last.is_some()
    }

    /// Whether each block came once and in order.
    pub(super) const fn is_clean(&self) -> bool {
        let counters = &self.counters;
        counters.gaps + counters.duplicates + counters.timeouts == 0
    }

    /// Whether nothing has come yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.received == 0
    }

    /// Takes in a data packet.
    pub(super) fn data(&mut self, now: Instant, wire: u16, payload: &[u8]) -> Received {
        let Some(block) = self.roll_over.nearest(wire, self.received) else {
            return Received::OtherRollOver;
        };
        if payload.len() > self.block_size || block > self.received + self.window.max(2) * 2 {
            return Received::Never;
        }
        let last = self.last.unwrap_or(u64::MAX);
        if block <= self.received || self.early.contains_key(&block) {
            self.counters.duplicates += 1;
            // The acknowledgment was lost, or the block was sent too early. Answering each would
            // keep two that both do so busy for ever, so it is answered only after a pause.
            let apart = APART.max(self.round_trip.timeout() / 2);
            let latest = self.acknowledged_at.max(self.since);
            if now.saturating_duration_since(latest) >= apart {
                self.due = true;
            }
            return Received::Old;
        }
        if block > last {
            return Received::Never;
        }
        // Who waits for acknowledgments never sends so much more than is written.
        if self.unwritten + self.gathered.len() > self.most_unwritten + 2 * self.most_early {
            return Received::Old;
        }
        self.since = now;
        if block > self.received + 1 {
            self.counters.gaps += u64::from(!self.gap_told);
            // RFC 7440 §4: an acknowledgment tells at once what is missing.
            let apart = APART.max(self.round_trip.timeout() / 2);
            let is_long_ago = now.saturating_duration_since(self.acknowledged_at) >= apart;
            if self.window > 1 && (!self.gap_told || is_long_ago) {
                self.gap_told = true;
                self.due = true;
            }
            if self.early_bytes + payload.len() <= self.most_early {
                self.early_bytes += payload.len();
                self.early.insert(block, Bytes::copy_from_slice(payload));
                return Received::New;
            }
            return Received::Old;
        }
        if let Some(asked) = self.asked_at.take() {
            self.round_trip
                .measured(now.saturating_duration_since(asked));
        } else {
            self.round_trip.reset();
        }
        self.append(block, payload);
        let filled = self.fill();
        if filled || self.unacknowledged >= self.window {
            self.due = true;
        }
        Received::New
    }

    fn append(&mut self, block: u64, payload: &[u8]) {
        self.gathered.extend_from_slice(payload);
        self.received = block;
        self.unacknowledged += 1;
        // RFC 1350 §6: a block that is not full ends the file.
        if payload.len() < self.block_size {
            self.last = Some(block);
            self.early.clear();
        }
    }

    /// Takes those blocks that had come before the one that was missing.
    fn fill(&mut self) -> bool {
        let was_gap = std::mem::take(&mut self.gap_told);
        while let Some(payload) = self.early.remove(&(self.received + 1)) {
            self.early_bytes = self.early_bytes.saturating_sub(payload.len());
            self.append(self.received + 1, &payload);
        }
        self.gap_told = false;
        was_gap
    }

    /// What has come in order since the last call: where it begins, and what it is.
    pub(super) fn take(&mut self) -> Option<(u64, Bytes)> {
        if self.gathered.is_empty() {
            return None;
        }
        let bytes = self.gathered.split().freeze();
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        self.unwritten += bytes.len();
        Some((offset, bytes))
    }

    /// Takes in that so many bytes of what was handed over are written.
    pub(super) const fn written(&mut self, bytes: usize) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
    }

    /// The acknowledgment to send now, as the number on the wire. What is complete is acknowledged
    /// by [`Receiving::last_acknowledgment`], once it is stored.
    pub(super) fn poll(&mut self, now: Instant) -> Option<u16> {
        if !self.due || self.unwritten > self.most_unwritten || self.is_complete() {
            return None;
        }
        self.acknowledge(now);
        Some(self.roll_over.wire_number(self.received))
    }

    /// Takes note that an acknowledgment, or what stands for it, goes out.
    pub(super) fn acknowledge(&mut self, now: Instant) {
        self.due = false;
        // Only the first question for a block can be measured (RFC 6298 §3).
        let is_news = self.unacknowledged > 0 || self.received == 0;
        self.asked_at = (is_news && !self.gap_told && self.early.is_empty()).then_some(now);
        self.unacknowledged = 0;
        self.acknowledged_at = now;
        self.since = now;
    }

    /// The number of the last block on the wire, once it has come.
    pub(super) fn last_acknowledgment(&self) -> Option<u16> {
        self.last.map(|last| self.roll_over.wire_number(last))
    }

    /// Whether a data packet that comes after the end shows that the last acknowledgment was lost.
    pub(super) fn is_last(&self, wire: u16) -> bool {
        self.last_acknowledgment() == Some(wire)
    }

    /// How long nothing may come: longer than the sender waits, so that the sender goes first.
    fn timeout(&self) -> Duration {
        self.round_trip.timeout() * 2
    }

    /// When it must hear of the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_complete() {
            return None;
        }
        self.since.checked_add(self.timeout())
    }

    /// Takes in that time has passed. True if what was said last is to be said again.
    pub(super) fn timed_out(&mut self, now: Instant) -> bool {
        if self.is_complete() || now.saturating_duration_since(self.since) < self.timeout() {
            return false;
        }
        self.counters.timeouts += 1;
        self.round_trip.back_off();
        self.since = now;
        self.due = true;
        self.asked_at = None;
        true
    }
}
