//! A transfer between two that know each other's ports: what client and server do alike.
//!
//! ```text
//!            ┌───────── opening, until the peer answers ─────────┐
//!  new ──────┤                                                   ├──▶ blocks ──▶ Ended
//!            └─ none: the blocks are the answer to the request ──┘      │
//!                                                   received: Complete ─┴▶ stored ──▶ lingers
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::Malformed;

use super::config::Timing;
use super::course::{Course, Step};
use super::event::{Failure, Summary};
use super::message::{ErrorCode, Message, Refusal};
use super::numbering::RollOver;
use super::receiving::{Received, Receiving};
use super::round_trip::RoundTrip;
use super::sending::{Acknowledged, Sending};

/// How far ahead a deadline lies at least.
pub(super) const GRAIN: Duration = Duration::from_micros(100);

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) block_size: u16,
    pub(super) window: u16,
    /// The peer's wish for the time-out in seconds.
    pub(super) timeout: Option<u8>,
    pub(super) roll_over: RollOver,
    pub(super) timing: Timing,
    /// How often the first answer goes to a peer that has not answered; `None` is any number.
    pub(super) first_answers: Option<u32>,
    /// How long the last acknowledgment is repeated at least, when it is asked for.
    pub(super) linger: Duration,
}

impl Terms {
    pub(super) fn round_trip(&self) -> RoundTrip {
        let Timing {
            initial,
            least,
            most,
            ..
        } = self.timing;
        // RFC 2349: the peer wants to wait no longer than this.
        let wish = self
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into()));
        let most = wish.map_or(most, |wish| wish.min(most));
        RoundTrip::new(initial, least, most)
    }
}

#[derive(Debug)]
enum Role {
    Send(Sending),
    Receive(Receiving),
}

/// What is said until the peer answers.
#[derive(Debug)]
struct Opening {
    packet: Bytes,
    at: Option<Instant>,
    times: u32,
}

/// One transfer with one peer.
#[derive(Debug)]
pub(super) struct Exchange {
    role: Role,
    terms: Terms,
    opening: Option<Opening>,
    confirmed: bool,
    course: Course,
    started: Instant,
    /// When something came of the peer.
    heard: Instant,
    /// Since when nobody seems to listen there any more.
    gone: Option<(Instant, SocketAddr)>,
}

impl Exchange {
    /// Sends a file. The opening, if there is one, is repeated until block 0 is acknowledged.
    pub(super) fn send(
        now: Instant,
        terms: Terms,
        opening: Option<Bytes>,
        confirmed: bool,
    ) -> Self {
        let sending = Sending::new(
            now,
            terms.block_size,
            terms.window,
            terms.roll_over,
            terms.round_trip(),
        );
        Self::new(now, terms, Role::Send(sending), opening, confirmed)
    }

    /// Receives a file. The opening, if there is one, is repeated until block 1 comes.
    pub(super) fn receive(
        now: Instant,
        terms: Terms,
        opening: Option<Bytes>,
        confirmed: bool,
    ) -> Self {
        let receiving = Receiving::new(
            now,
            terms.block_size,
            terms.window,
            terms.roll_over,
            terms.round_trip(),
        );
        Self::new(now, terms, Role::Receive(receiving), opening, confirmed)
    }

    fn new(
        now: Instant,
        terms: Terms,
        role: Role,
        opening: Option<Bytes>,
        confirmed: bool,
    ) -> Self {
        Self {
            role,
            terms,
            opening: opening.map(|packet| Opening {
                packet,
                at: None,
                times: 0,
            }),
            confirmed,
            course: Course::new(),
            started: now,
            heard: now,
            gone: None,
        }
    }

    /// Takes in how long the request took to be answered.
    pub(super) fn measured(&mut self, sample: Duration) {
        self.round_trip_mut().measured(sample);
    }

    fn round_trip(&self) -> &RoundTrip {
        match &self.role {
            Role::Send(sending) => &sending.round_trip,
            Role::Receive(receiving) => &receiving.round_trip,
        }
    }

    fn round_trip_mut(&mut self) -> &mut RoundTrip {
        match &mut self.role {
            Role::Send(sending) => &mut sending.round_trip,
            Role::Receive(receiving) => &mut receiving.round_trip,
        }
    }

    /// Whether the peer has answered what was sent to it, so that its address is no forged one.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether no block of the file has come or was acknowledged.
    pub(super) fn is_untouched(&self) -> bool {
        match &self.role {
            Role::Send(sending) => sending.bytes() == 0,
            Role::Receive(receiving) => receiving.is_untouched(),
        }
    }

    /// Whether the file is over, though what comes late may still be answered.
    pub(super) const fn is_over(&self) -> bool {
        self.course.is_over()
    }

    /// Whether there is nothing more to do.
    pub(super) fn is_gone(&self) -> bool {
        self.course.is_gone()
    }

    /// Whether something came within the time that an answer takes, so that a request that comes
    /// again is an old one.
    pub(super) fn is_lively(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) <= self.round_trip().timeout()
    }

    /// What was counted.
    pub(super) fn summary(&self, now: Instant) -> Summary {
        let elapsed = now.saturating_duration_since(self.started);
        let round_trip = self.round_trip().smoothed();
        match &self.role {
            Role::Send(sending) => Summary {
                bytes: sending.bytes(),
                elapsed,
                again: sending.counters.again,
                duplicates: sending.counters.duplicates,
                timeouts: sending.counters.timeouts,
                round_trip,
            },
            Role::Receive(receiving) => Summary {
                bytes: receiving.bytes(),
                elapsed,
                again: receiving.counters.gaps,
                duplicates: receiving.counters.duplicates,
                timeouts: receiving.counters.timeouts,
                round_trip,
            },
        }
    }

    /// Takes in a packet of the peer. An error says that none such belongs here.
    pub(super) fn handle(&mut self, now: Instant, message: Message<'_>) -> Result<(), Malformed> {
        if self.is_over() {
            self.handle_late(message);
            return Ok(());
        }
        let never = Err(Malformed::new("the peer has no reason to send this", 0));
        match (&mut self.role, message) {
            (_, Message::Error(refusal)) => {
                self.end(Err(Failure::Refused(refusal)));
            }
            (Role::Send(_), Message::Acknowledgment { block: 0 }) if self.opening.is_some() => {
                self.opened(now);
            }
            // The opening waits for block 0 alone.
            (Role::Send(_), _) if self.opening.is_some() => return never,
            (Role::Send(sending), Message::Acknowledgment { block }) => {
                match sending.acknowledge(now, block) {
                    Acknowledged::Never => return never,
                    Acknowledged::All => self.end(Ok(())),
                    Acknowledged::New => self.confirmed = true,
                    Acknowledged::Old => {}
                }
            }
            (Role::Receive(receiving), Message::Data { block, payload }) => {
                match receiving.data(now, block, payload) {
                    Received::New | Received::Old => {}
                    Received::Never => return never,
                    Received::OtherRollOver => {
                        let text = "block 0 follows on block 65535, and block 1 was to";
                        self.abort(Refusal::new(ErrorCode::IllegalOperation, text));
                        return Ok(());
                    }
                }
                if self.opening.is_some() {
                    self.opened(now);
                }
                self.confirmed = true;
            }
            // What opens was lost, and the peer says again what it answers.
            // To a server only a request is an opening, and the answer to that has no answer: two that gave
            // one would never end.
            (Role::Receive(receiving), Message::Options(_))
                if self.confirmed && receiving.is_untouched() =>
            {
                if let Some(opening) = &mut self.opening
                    && opening.times > 0
                {
                    self.course.push(Step::Send(opening.packet.clone()));
                }
            }
            // The answer to the request came twice.
            (Role::Send(_), Message::Options(_)) => {}
            _ => return never,
        }
        self.heard = now;
        self.gone = None;
        Ok(())
    }

    /// Takes in that nobody listens there any more. What the peer had sent before may still be on
    /// its way, such as its last acknowledgment, so it has another time-out.
    pub(super) fn unreachable(&mut self, now: Instant, peer: SocketAddr) {
        self.gone.get_or_insert((now, peer));
    }

    /// The peer has answered the opening.
    fn opened(&mut self, now: Instant) {
        self.confirmed = true;
        if let Some(opening) = self.opening.take()
            && opening.times == 1
            && let Some(at) = opening.at
        {
            self.measured(now.saturating_duration_since(at));
        }
    }

    /// Answers a last block that comes again: its acknowledgment was lost.
    fn handle_late(&mut self, message: Message<'_>) {
        if let Role::Receive(receiving) = &self.role
            && let Message::Data { block, .. } = message
            && receiving.is_last(block)
        {
            self.course.acknowledge_again(block);
        }
    }

    /// Takes in a part of the file that was read.
    pub(super) fn provide(&mut self, now: Instant, offset: u64, bytes: Bytes) {
        if let Role::Send(sending) = &mut self.role {
            sending.provide(now, offset, bytes);
        }
    }

    /// Takes in that so many bytes were written.
    pub(super) fn written(&mut self, bytes: usize) {
        if let Role::Receive(receiving) = &mut self.role {
            receiving.written(bytes);
        }
    }

    /// Takes in that all that came is stored.
    pub(super) fn stored(&mut self, now: Instant) {
        let Role::Receive(receiving) = &self.role else {
            return;
        };
        let Some(block) = receiving.last_acknowledgment() else {
            return;
        };
        // Where all came at once and in order, a second one stands in for a client that does not
        // linger.
        let times = if receiving.is_clean() { 2 } else { 1 };
        let linger = self.terms.linger.max(self.round_trip().timeout() * 3);
        self.course.stored(now, block, times, linger);
    }

    /// Ends it for a reason of this end, which the peer is told.
    pub(super) fn abort(&mut self, refusal: Refusal) {
        self.course.abort(refusal);
    }

    /// Ends it without a word to the peer.
    pub(super) fn end(&mut self, result: Result<(), Failure>) {
        self.course.end(result);
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Step> {
        if let Some(step) = self.course.next() {
            return Some(step);
        }
        if !self.course.is_running() {
            return None;
        }
        if let Some(opening) = &mut self.opening
            && opening.at.is_none()
        {
            opening.at = Some(now);
            opening.times += 1;
            let packet = opening.packet.clone();
            if let Role::Receive(receiving) = &mut self.role {
                receiving.acknowledge(now);
            }
            return Some(Step::Send(packet));
        }
        match &mut self.role {
            Role::Send(_) if self.opening.is_some() => None,
            Role::Send(sending) => {
                if let Some((offset, length)) = sending.next_read(self.confirmed) {
                    return Some(Step::Read { offset, length });
                }
                sending.poll(now).map(Step::Data)
            }
            Role::Receive(receiving) => {
                if let Some((offset, bytes)) = receiving.take() {
                    return Some(Step::Write { offset, bytes });
                }
                if receiving.is_complete() {
                    self.course.complete(receiving.bytes());
                    return self.course.next();
                }
                let block = receiving.poll(now)?;
                Some(Step::Send(Message::Acknowledgment { block }.emit()))
            }
        }
    }

    /// When it must hear of the time, and what it waits for.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        if !self.course.is_running() {
            let until = self.course.lingers_until();
            return until.map(|until| (until, "a last block that comes again"));
        }
        let give_up = self.heard.checked_add(self.terms.timing.patience);
        let give_up = give_up.map(|at| (at, "the peer, before giving up"));
        let timeout = self.round_trip().timeout();
        let next = match (&self.opening, &self.role) {
            (Some(Opening { at: Some(at), .. }), _) => at
                .checked_add(timeout)
                .map(|at| (at, "an answer to the options")),
            (_, Role::Send(sending)) => sending.deadline().map(|at| (at, "an acknowledgment")),
            (_, Role::Receive(receiving)) => receiving.deadline().map(|at| (at, "the next block")),
        };
        let gone = self.gone.and_then(|(at, _)| at.checked_add(timeout));
        let gone = gone.map(|at| (at, "a peer that is gone"));
        [give_up, next, gone].into_iter().flatten().min()
    }

    /// Takes in that time has passed.
    pub(super) fn timed_out(&mut self, now: Instant) {
        self.course.timed_out(now);
        if !self.course.is_running() {
            return;
        }
        let patience = self.terms.timing.patience;
        if now.saturating_duration_since(self.heard) >= patience {
            self.course.give_up(patience, self.confirmed);
            return;
        }
        let timeout = self.round_trip().timeout();
        if let Some((since, peer)) = self.gone
            && now.saturating_duration_since(since) >= timeout
        {
            self.end(Err(Failure::Unreachable(peer)));
            return;
        }
        if let Some(opening) = &mut self.opening {
            let is_due = |at| now.saturating_duration_since(at) >= timeout;
            if !opening.at.is_some_and(is_due) {
                return;
            }
            opening.at = None;
            let times = opening.times;
            self.round_trip_mut().back_off();
            self.end_if_forged(now, times);
            return;
        }
        match &mut self.role {
            Role::Send(sending) => {
                sending.timed_out(now);
                let times = sending.counters.timeouts;
                self.end_if_forged(now, u32::try_from(times).unwrap_or(u32::MAX));
            }
            Role::Receive(receiving) => {
                receiving.timed_out(now);
            }
        }
    }

    /// Ends it where the first answer went out so often in vain that the request may be forged.
    fn end_if_forged(&mut self, now: Instant, times: u32) {
        if !self.confirmed && self.terms.first_answers.is_some_and(|most| times >= most) {
            let silent = now.saturating_duration_since(self.started);
            self.end(Err(Failure::Silent(silent)));
        }
    }
}
