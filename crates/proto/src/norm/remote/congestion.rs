//! What a receiver says of congestion on the way from a sender.

use std::time::{Duration, Instant};

use super::{Remote, Wait};
use crate::norm::grtt::duration;
use crate::norm::loss::{Delay, Losses, Meter};
use crate::norm::message::{
    CcFeedback, CcFlags, CcNode, Timestamp, quantize_rate, quantize_rtt, unquantize_group_size,
    unquantize_rate, unquantize_rtt,
};
use crate::norm::rate::{loss_for, tcp_rate};
use crate::norm::repair::backoff;
use crate::random::Random;

/// The least back-off factor for answers about congestion.
const BACKOFF: u32 = 4;

/// What is known of the way from a sender that controls its rate.
#[derive(Debug)]
pub(super) struct Congestion {
    losses: Losses,
    meter: Meter,
    /// The mean length of its datagrams.
    size: f64,
    /// The number of the last probe.
    sequence: u16,
    /// What the sender says of this receiver.
    role: CcFlags,
    /// The round-trip time that the sender has measured with this receiver.
    round_trip: Option<Duration>,
    delay: Delay,
    /// The sender's rate, in bytes a second.
    rate: f64,
}

impl Congestion {
    fn new(now: Instant) -> Self {
        Self {
            losses: Losses::default(),
            meter: Meter::new(now),
            size: 0.0,
            sequence: 0,
            role: CcFlags::default(),
            round_trip: None,
            delay: Delay::default(),
            rate: 0.0,
        }
    }

    fn datagram(&mut self, sequence: u16, length: usize, now: Instant, grtt: Duration) {
        let round_trip = self.round_trip.unwrap_or(grtt);
        let length_now = length as f64;
        if self.size > 0.0 {
            self.size += 0.05 * (length_now - self.size);
        } else {
            self.size = length_now;
        }
        self.meter.datagram(length, now, round_trip);
        let first = !self.losses.any();
        let longest = round_trip + self.delay.excess();
        if self.losses.datagram(sequence, now, longest) && first {
            let received = self.meter.rate().max(1.0);
            self.losses
                .begin_with(loss_for(self.size, round_trip, received));
        }
    }

    /// The rate that is fair to this receiver, in bytes a second.
    fn fair(&self, grtt: Duration) -> f64 {
        if self.losses.any() {
            let round_trip = self.round_trip.unwrap_or(grtt);
            tcp_rate(self.size, round_trip, self.losses.fraction())
        } else if self.meter.rate() > 0.0 {
            // RFC 5740 §5.5.2: twice what is received.
            2.0 * self.meter.rate()
        } else {
            // Nothing speaks against the rate that there is.
            self.rate
        }
    }

    fn feedback(&self, grtt: Duration) -> CcFeedback {
        let roles = CcFlags::CLR.with(CcFlags::PLR).0;
        let mut flags = CcFlags(self.role.0 & roles);
        if self.round_trip.is_some() {
            flags = flags.with(CcFlags::RTT);
        }
        if !self.losses.any() {
            flags = flags.with(CcFlags::START);
        }
        CcFeedback {
            sequence: self.sequence,
            flags,
            rtt: quantize_rtt(self.round_trip.unwrap_or(grtt)),
            rate: quantize_rate(self.fair(grtt)),
            ..CcFeedback::default()
        }
        .with_loss(self.losses.fraction())
    }
}

impl Remote {
    /// What is said of congestion with every answer; `None` where the sender does not ask for it.
    pub(in crate::norm) fn congestion(&self) -> Option<CcFeedback> {
        let congestion = self.congestion.as_ref()?;
        Some(congestion.feedback(self.grtt()))
    }

    /// A datagram of the sender's has come, whatever is in it.
    pub(in crate::norm) fn datagram(&mut self, sequence: u16, length: usize, now: Instant) {
        let grtt = self.grtt();
        if let Some(congestion) = &mut self.congestion {
            congestion.datagram(sequence, length, now, grtt);
        }
    }

    /// A probe of a sender that controls its rate.
    // RFC 5740 §5.5.2: who limits the rate, or might, answers at once; the others after a back-off,
    // earlier the lower their rate is.
    pub(super) fn congestion_probe(
        &mut self,
        (sequence, time): (u16, Timestamp),
        rate: u16,
        nodes: &[CcNode],
        now: Instant,
        random: &mut Random,
    ) {
        let grtt = self.grtt();
        let congestion = self
            .congestion
            .get_or_insert_with(|| Box::new(Congestion::new(now)));
        congestion.sequence = sequence;
        congestion.delay.add(duration(time), now);
        congestion.rate = unquantize_rate(rate);
        let own = nodes.iter().find(|it| it.node == self.own);
        congestion.role = own.map_or_else(CcFlags::default, |node| node.flags);
        if let Some(node) = own.filter(|node| node.flags.has(CcFlags::RTT)) {
            let round_trip = unquantize_rtt(node.rtt).max(Duration::from_millis(1));
            congestion.round_trip = Some(round_trip);
        }
        if self.silent {
            return;
        }
        if own.is_some() {
            self.timers.set(Wait::Quiet, None);
            self.timers.set(Wait::Answer, Some(now));
        } else if !self.timers.is_set(Wait::Answer) && !self.timers.is_set(Wait::Quiet) {
            let most = grtt * u32::from(self.info.backoff).max(BACKOFF);
            let wait = backoff(random, most, unquantize_group_size(self.info.group_size));
            let share = congestion.fair(grtt) / congestion.rate.max(1.0);
            let bias = if congestion.losses.any() {
                (share.clamp(0.5, 0.9) - 0.5) / 0.4
            } else {
                (share / 2.0).clamp(0.0, 1.0)
            };
            let wait = most.mul_f64(0.25 * bias) + wait.mul_f64(0.75);
            self.timers.set(Wait::Answer, now.checked_add(wait));
        }
    }

    /// Another receiver has said what is fair to it: who allows more need not say so.
    // RFC 5740 §5.5.2: suppression of feedback.
    pub(in crate::norm) fn overheard_congestion(&mut self, cc: &CcFeedback, now: Instant) {
        let grtt = self.grtt();
        let Some(congestion) = &self.congestion else {
            return;
        };
        let watched = congestion.role != CcFlags::default();
        if watched || cc.flags.has(CcFlags::CLR) || !self.timers.is_set(Wait::Answer) {
            return;
        }
        // Who has no round-trip time of its own yet is quiet only for others that have none.
        let equal = congestion.round_trip.is_some() || !cc.flags.has(CcFlags::RTT);
        if equal && congestion.fair(grtt) > 0.9 * unquantize_rate(cc.rate) {
            self.timers.set(Wait::Answer, None);
            self.be_quiet(now);
        }
    }

    /// Says nothing of congestion for a while, unless it is asked by name.
    pub(super) fn be_quiet(&mut self, now: Instant) {
        if self.congestion.is_some() {
            let wait = self.grtt() * u32::from(self.info.backoff).max(BACKOFF);
            self.timers.set(Wait::Quiet, now.checked_add(wait));
        }
    }
}
