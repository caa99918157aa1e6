//! The greatest round-trip time of the group, as the sender estimates it.

use std::time::{Duration, Instant};

use super::message::Timestamp;

/// The least one.
const MIN: Duration = Duration::from_millis(1);

/// Estimates the greatest round-trip time from what receivers answer to probes.
// RFC 5740 §5.5.1: GRTT collection, and RFC 5401 §3.7.1.
#[derive(Clone, Debug)]
pub(super) struct Grtt {
    /// When the clock of the probes shows a second.
    epoch: Instant,
    estimate: Duration,
    /// Whether it was ever measured; until then the estimate is a guess.
    measured: bool,
    /// The greatest of late.
    peak: Option<Duration>,
    /// Since when it is taken.
    since: Instant,
    /// The greatest in the two times before that.
    before: [Duration; 2],
}

impl Grtt {
    /// The greatest round-trip time that is reckoned with.
    pub(super) const MAX: Duration = Duration::from_secs(15);

    pub(super) fn new(initial: Duration, now: Instant) -> Self {
        Self {
            epoch: now,
            estimate: initial.clamp(MIN, Self::MAX),
            measured: false,
            peak: None,
            since: now,
            before: [Duration::ZERO; 2],
        }
    }

    /// What the probe that is sent now says, so that answers tell how old it is.
    pub(super) fn probe(&mut self, now: Instant) -> Timestamp {
        // A group whose farthest member has left comes nearer slowly: that member may have its turn to
        // answer at every third probe.
        if now.saturating_duration_since(self.since) >= self.estimate
            && let Some(peak) = self.peak.take()
        {
            let [last, first] = self.before;
            let nearer = (self.estimate + peak) / 2;
            self.estimate = self.estimate.min(nearer.max(last).max(first));
            (self.since, self.before) = (now, [peak, last]);
        }
        let clock = now.saturating_duration_since(self.epoch) + Duration::from_secs(1);
        timestamp(clock)
    }

    /// The round-trip time that the answer to a probe shows. One that cannot be true is passed over.
    pub(super) fn measure(&self, response: Timestamp, now: Instant) -> Option<Duration> {
        if response == Timestamp::default() {
            return None;
        }
        let clock = now.saturating_duration_since(self.epoch) + Duration::from_secs(1);
        let rtt = clock.checked_sub(duration(response))?.clamp(MIN, Self::MAX);
        // An answer to a probe of long ago says nothing, whoever sends it.
        (rtt < Self::MAX).then_some(rtt)
    }

    /// Takes in a round-trip time that was measured.
    pub(super) fn add(&mut self, rtt: Duration) {
        self.peak = Some(self.peak.map_or(rtt, |peak| peak.max(rtt)));
        if !self.measured {
            // A guess gives way at once, but for room for those who have not answered yet.
            self.measured = true;
            self.estimate = self.estimate.min(rtt * 2);
        }
        if rtt > self.estimate {
            self.estimate = (self.estimate + rtt * 3) / 4;
        }
    }

    /// The estimate.
    pub(super) const fn get(&self) -> Duration {
        self.estimate
    }
}

/// A clock's time on the wire.
pub(super) fn timestamp(clock: Duration) -> Timestamp {
    Timestamp {
        seconds: u32::try_from(clock.as_secs()).unwrap_or(u32::MAX),
        micros: clock.subsec_micros(),
    }
}

pub(super) fn duration(timestamp: Timestamp) -> Duration {
    Duration::from_secs(timestamp.seconds.into()) + Duration::from_micros(timestamp.micros.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Grtt {
        fn answer(&mut self, response: Timestamp, now: Instant) -> Option<Duration> {
            let rtt = self.measure(response, now)?;
            self.add(rtt);
            Some(rtt)
        }
    }

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_estimate_follows_the_farthest_receiver() {
        let now = start();
        let mut grtt = Grtt::new(MILLISECOND * 100, now);
        let probe = grtt.probe(now);
        assert_eq!(
            grtt.answer(probe, now + MILLISECOND * 20),
            Some(MILLISECOND * 20)
        );
        assert_eq!(
            grtt.answer(probe, now + MILLISECOND * 300),
            Some(MILLISECOND * 300)
        );
        assert!(grtt.get() > MILLISECOND * 230, "{:?}", grtt.get());
        let mut at = now;
        for _ in 0..40 {
            at += MILLISECOND * 1000;
            let probe = grtt.probe(at);
            grtt.answer(probe, at + MILLISECOND * 20);
        }
        assert!(grtt.get() < MILLISECOND * 25, "{:?}", grtt.get());
    }

    #[test]
    fn answers_that_cannot_be_true_change_nothing() {
        let now = start();
        let mut grtt = Grtt::new(MILLISECOND * 100, now);
        let before = grtt.get();
        for response in [
            Timestamp::default(),
            Timestamp {
                seconds: 100,
                micros: 0,
            },
            Timestamp {
                seconds: u32::MAX,
                micros: u32::MAX,
            },
        ] {
            assert_eq!(grtt.answer(response, now), None);
        }
        let probe = grtt.probe(now);
        assert_eq!(grtt.answer(probe, now + Duration::from_secs(60)), None);
        assert_eq!(grtt.get(), before);
    }
}
