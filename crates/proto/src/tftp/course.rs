//! How a transfer goes from its first block to its end, and what is still to be done on the way: the
//! same for those that have one peer and for those that follow a group.
//!
//! ```text
//!  Running ── complete ──▶ Storing ── stored ──▶ Lingering ── time ──▶ Ended
//!     └────────────── end, abort, given up ─────────────────────────────▶
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::trace;

use super::event::Failure;
use super::message::{ErrorCode, Message, Refusal};
use super::sending::Batch;

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this to the peer.
    Send(Bytes),
    /// Send these data packets.
    Data(Batch),
    /// Read a part of the file.
    Read { offset: u64, length: usize },
    /// Write a part of the file.
    Write { offset: u64, bytes: Bytes },
    /// All has come: store it.
    Complete { length: u64 },
    /// It is over.
    Ended(Result<(), Failure>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// All has come, and is being stored.
    Storing,
    /// It is over, but the last acknowledgment may have been lost.
    Lingering(Instant),
    Ended,
}

/// Where a transfer stands, and its steps.
#[derive(Debug)]
pub(super) struct Course {
    phase: Phase,
    steps: VecDeque<Step>,
}

impl Course {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Running,
            steps: VecDeque::new(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether the file is over, though what comes late may still be answered.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Lingering(_) | Phase::Ended)
    }

    /// Whether there is nothing more to do.
    pub(super) fn is_gone(&self) -> bool {
        self.phase == Phase::Ended && self.steps.is_empty()
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push_back(step);
    }

    pub(super) fn next(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// All blocks have come.
    pub(super) fn complete(&mut self, length: u64) {
        self.phase = Phase::Storing;
        self.push(Step::Complete { length });
    }

    /// What came is stored: the last block is acknowledged so many times, and whoever has not heard
    /// that may ask again for so long.
    pub(super) fn stored(&mut self, now: Instant, block: u16, times: u32, linger: Duration) {
        if self.phase != Phase::Storing {
            return;
        }
        for _ in 0..times {
            self.push(Step::Send(Message::Acknowledgment { block }.emit()));
        }
        self.push(Step::Ended(Ok(())));
        // RFC 1350 §6: whoever has acknowledged the last block waits a while, in case that was lost.
        let until = now.checked_add(linger);
        self.phase = until.map_or(Phase::Ended, Phase::Lingering);
    }

    /// Acknowledges the last block once more: the acknowledgment was lost. However often that is
    /// asked for, one waits to be sent at most.
    pub(super) fn acknowledge_again(&mut self, block: u16) {
        if matches!(self.phase, Phase::Lingering(_)) && self.steps.is_empty() {
            self.push(Step::Send(Message::Acknowledgment { block }.emit()));
        }
    }

    /// Ends it for a reason of this end, which the peer is told.
    pub(super) fn abort(&mut self, refusal: Refusal) {
        if self.is_over() {
            return;
        }
        self.steps.clear();
        self.push(Step::Send(Message::Error(refusal.clone()).emit()));
        self.end(Err(Failure::Aborted(refusal)));
    }

    /// Gives it up, since nothing came for so long; the peer is told, unless it may be forged.
    pub(super) fn give_up(&mut self, patience: Duration, tell: bool) {
        trace!("nothing came for so long that it is given up");
        if tell {
            let refusal = Refusal::new(ErrorCode::NotDefined, "nothing came for too long");
            self.push(Step::Send(Message::Error(refusal).emit()));
        }
        self.end(Err(Failure::Silent(patience)));
    }

    /// Ends it without a word to the peer.
    pub(super) fn end(&mut self, result: Result<(), Failure>) {
        if !self.is_over() {
            self.phase = Phase::Ended;
            self.push(Step::Ended(result));
        }
    }

    /// Until when it waits for what comes late.
    pub(super) const fn lingers_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Lingering(until) => Some(until),
            _ => None,
        }
    }

    /// Takes in that time has passed.
    pub(super) fn timed_out(&mut self, now: Instant) {
        if self.lingers_until().is_some_and(|until| until <= now) {
            self.phase = Phase::Ended;
        }
    }
}
