//! How much a receiver loses, and how fast it receives: what its sender's rate is made of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rate::ROUND;

/// How many datagrams must overtake one until it is taken for lost.
// RFC 5348 §5.1: as many as duplicate acknowledgements of TCP.
const OVERTAKEN: u32 = 3;
/// How many datagrams are remembered one by one.
const REMEMBERED: u16 = 64;
/// What each interval between loss events counts, the newest first.
// RFC 5348 §5.4.
const WEIGHTS: [f64; 8] = [1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2];

/// The fraction of loss events, from the numbers of the datagrams that come.
// RFC 5348 §5: loss event rate.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// The first that is neither there nor lost.
    expected: Option<u16>,
    /// Which of it and those after it are there.
    there: u64,
    /// How many datagrams there were since the last loss event began.
    since: u32,
    /// How many there were between loss events, the newest first.
    intervals: VecDeque<f64>,
    /// When the last loss event began.
    event: Option<Instant>,
}

impl Losses {
    /// Whether anything was lost.
    pub(super) fn any(&self) -> bool {
        self.event.is_some()
    }

    /// Takes in the number of a datagram; true where it shows that a loss event has begun. Losses
    /// within a round trip are one event.
    pub(super) fn datagram(&mut self, sequence: u16, now: Instant, round_trip: Duration) -> bool {
        let expected = *self.expected.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(expected);
        if ahead > u16::MAX / 2 {
            // It came late, or twice.
            return false;
        }
        let mut lost = false;
        if ahead >= REMEMBERED {
            // A gap that long is a loss, whatever comes later.
            self.expected = Some(sequence.wrapping_add(1));
            self.there = 0;
            self.since = self.since.saturating_add(u32::from(ahead));
            return self.lose(now, round_trip);
        }
        self.there |= 1 << ahead;
        while self.there & 1 != 0 || self.overtaking() >= OVERTAKEN {
            if self.there & 1 == 0 {
                lost |= self.lose(now, round_trip);
            }
            self.there >>= 1;
            self.since = self.since.saturating_add(1);
            self.expected = self.expected.map(|it| it.wrapping_add(1));
        }
        lost
    }

    /// How many came after the one that is expected.
    const fn overtaking(&self) -> u32 {
        (self.there >> 1).count_ones()
    }

    fn lose(&mut self, now: Instant, round_trip: Duration) -> bool {
        let elapsed = self.event.map(|at| now.saturating_duration_since(at));
        if elapsed.is_some_and(|elapsed| elapsed < round_trip) {
            return false;
        }
        self.event = Some(now);
        self.intervals.push_front(f64::from(self.since.max(1)));
        self.intervals.truncate(WEIGHTS.len());
        self.since = 0;
        true
    }

    /// Takes the first interval for one of this fraction of loss: what there was before the first
    /// loss says nothing.
    // RFC 5348 §6.3.1.
    pub(super) fn begin_with(&mut self, fraction: f64) {
        if let (1, Some(first)) = (self.intervals.len(), self.intervals.front_mut()) {
            *first = first.max(1.0 / fraction.clamp(1e-9, 1.0));
        }
    }

    /// The fraction of datagrams that begin a loss event, 0 before the first.
    // RFC 5348 §5.4: average loss interval, and §5.5: history discounting, within one round.
    pub(super) fn fraction(&self) -> f64 {
        if self.intervals.is_empty() {
            return 0.0;
        }
        let mean = |newest: Option<f64>, discount: f64| {
            let intervals = self.intervals.iter().map(|interval| (*interval, discount));
            let all = newest.map(|it| (it, 1.0)).into_iter().chain(intervals);
            let (mut sum, mut weights) = (0.0, 0.0);
            for ((interval, discount), weight) in all.zip(WEIGHTS) {
                sum += interval * weight * discount;
                weights += weight * discount;
            }
            sum / weights
        };
        let (closed, open) = (mean(None, 1.0), f64::from(self.since));
        let discount = (2.0 * closed / open.max(1.0)).clamp(0.5, 1.0);
        1.0 / closed.max(mean(Some(open), discount)).max(1.0)
    }
}

/// How much longer probes take now than they took lately.
///
/// A queue can fill within a round trip, and the sender's measure of round-trip times comes a few of
/// them later. Losses of one full queue would be taken for several events in the meantime.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delay {
    /// When the first probe was sent by the sender's clock, and when it came.
    first: Option<(Duration, Instant)>,
    /// How much later than the first the last one came, and what that was lately, in seconds.
    last: f64,
    mean: f64,
}

impl Delay {
    /// Takes in a probe that was sent at `time` by the sender's clock.
    pub(super) fn add(&mut self, time: Duration, now: Instant) {
        let (sent, came) = *self.first.get_or_insert((time, now));
        let taken = now.saturating_duration_since(came).as_secs_f64();
        self.last = taken + sent.as_secs_f64() - time.as_secs_f64();
        // As round-trip times are smoothed: a drift of the clocks does not count.
        self.mean += 0.1 * (self.last - self.mean);
    }

    /// No more than a second: a clock that was set says nothing.
    pub(super) fn excess(&self) -> Duration {
        Duration::from_secs_f64((self.last - self.mean).clamp(0.0, 1.0))
    }
}

/// The rate at which something comes.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    since: Instant,
    bytes: usize,
    count: u32,
    rate: f64,
    /// What was measured before that.
    before: f64,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            count: 0,
            rate: 0.0,
            before: 0.0,
        }
    }

    /// In bytes a second: the higher one of the last two, since what comes late counts for the next.
    // RFC 5348 §4.3: X_recv_set.
    pub(super) const fn rate(&self) -> f64 {
        self.rate.max(self.before)
    }

    /// Measures over a round trip at least; a lower rate only over some datagrams.
    pub(super) fn datagram(&mut self, bytes: usize, now: Instant, round_trip: Duration) {
        self.bytes += bytes;
        self.count += 1;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < round_trip.max(ROUND) {
            return;
        }
        let rate = self.bytes as f64 / elapsed.as_secs_f64();
        if self.rate > 0.0 && rate >= self.rate
            || self.count >= 4
            || elapsed >= Duration::from_secs(1)
        {
            (self.before, self.rate) = (self.rate, rate);
            (self.since, self.bytes, self.count) = (now, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(10);

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_is_overtaken_by_three_is_lost() {
        let (mut losses, now) = (Losses::default(), start());
        for sequence in [65_533, 65_534, 0, 65_535, 2, 3] {
            assert!(!losses.datagram(sequence, now, TRIP), "{sequence}");
        }
        assert!(losses.datagram(4, now, TRIP), "1 is lost");
        assert!(!losses.datagram(1, now, TRIP), "it comes too late");
        assert!(losses.any());
    }

    #[test]
    fn losses_within_a_round_trip_are_one_event() {
        let (mut losses, mut now) = (Losses::default(), start());
        let mut events = 0;
        // One of ten is lost, a datagram a millisecond.
        for sequence in 0..20_000_u16 {
            now += Duration::from_millis(1);
            if sequence % 10 != 0 {
                events += u32::from(losses.datagram(sequence, now, TRIP * 10));
            }
        }
        assert!((180..=200).contains(&events), "{events}");
        let fraction = losses.fraction();
        assert!((0.009..0.0115).contains(&fraction), "{fraction}");
    }

    #[test]
    fn the_fraction_falls_when_nothing_is_lost() {
        let (mut losses, now) = (Losses::default(), start());
        for sequence in (0..1000_u16).filter(|sequence| sequence % 50 != 0) {
            losses.datagram(sequence, now + TRIP * u32::from(sequence), TRIP);
        }
        let before = losses.fraction();
        assert!((0.018..0.022).contains(&before), "{before}");
        for sequence in 1000..3000_u16 {
            losses.datagram(sequence, now + TRIP * u32::from(sequence), TRIP);
        }
        assert!(losses.fraction() < before / 8.0, "{}", losses.fraction());
    }

    #[test]
    fn a_long_gap_is_one_event() {
        let (mut losses, now) = (Losses::default(), start());
        losses.datagram(1, now, TRIP);
        assert!(losses.datagram(1000, now, TRIP));
        assert!(!losses.datagram(1001, now, TRIP));
    }

    #[test]
    fn a_queue_that_fills_shows_at_once() {
        let (mut delay, start) = (Delay::default(), start());
        let mut probe = |count: u32, queue| {
            // The sender's clock is a day ahead, and runs a thousandth slower.
            let sent = Duration::from_secs(86_400) + TRIP.mul_f64(f64::from(count) * 0.999);
            delay.add(sent, start + TRIP * count + queue);
            delay.excess()
        };
        for count in 0..1000 {
            assert!(probe(count, Duration::ZERO) < Duration::from_millis(1));
        }
        let excess = probe(1000, TRIP * 3);
        assert!(excess > TRIP * 2, "{excess:?}");
        for count in 1001..1100 {
            probe(count, TRIP * 3);
        }
        assert!(probe(1100, TRIP * 3) < Duration::from_millis(1));
        assert_eq!(probe(1101, Duration::ZERO), Duration::ZERO);
        assert_eq!(
            probe(1102, Duration::from_secs(100)),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_rate_is_measured_over_a_round_trip() {
        let now = start();
        let mut meter = Meter::new(now);
        for count in 1..=20 {
            meter.datagram(1000, now + Duration::from_millis(1) * count, TRIP);
        }
        assert!((meter.rate() - 1_000_000.0).abs() < 1.0, "{}", meter.rate());
    }

    /// A processor that comes to it late now and then does not make the network slower.
    #[test]
    fn what_comes_late_counts_for_the_next_round() {
        let now = start();
        let mut meter = Meter::new(now);
        let mut lowest = f64::MAX;
        for count in 0..1000_u32 {
            let sent = now + Duration::from_millis(1) * count;
            // What is sent in the last 15 of 50 ms is taken all at once.
            let late = Duration::from_millis(1) * (50 - count % 50);
            let late = if count % 50 >= 35 {
                late
            } else {
                Duration::ZERO
            };
            meter.datagram(1000, sent + late, Duration::from_millis(1));
            if count > 50 {
                lowest = lowest.min(meter.rate());
            }
        }
        assert!(lowest > 800_000.0, "{lowest}");
    }
}
