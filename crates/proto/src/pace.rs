//! Pacing: how much may be sent now, and when more.

use std::time::{Duration, Instant};

/// Holds a rate in small bursts. It reads no clock: whoever sends tells it the time.
///
/// Two buckets fill with the same time. The *account* fills at the rate itself and holds up to
/// [`Pacer::CATCH_UP`] of data. The *burst* bucket holds the longest burst and fills a quarter
/// faster, so that what was missed is caught up in bursts that are no longer than others, only
/// closer together. To be sent, data must be in both.
///
/// So the mean over any second is the rate within 1 %, as long as the sender is never late by more
/// than 10 ms; and the mean over longer times is the rate also on a machine that is busy.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_proto::pace::Pacer;
///
/// let start = Instant::now();
/// // 8 Mbit/s are 1,000 bytes a millisecond.
/// let mut pacer = Pacer::new(8_000_000, Duration::from_millis(1), start);
/// assert_eq!(pacer.ready(start, 100), 10);
/// pacer.spend(1000);
/// assert_eq!(pacer.ready(start, 100), 0);
/// assert_eq!(pacer.next(100), start + Duration::from_micros(100));
/// ```
#[derive(Clone, Debug)]
pub struct Pacer {
    account: Bucket,
    burst: Bucket,
    now: Instant,
}

impl Pacer {
    /// How much lateness is made up for later; what is missed beyond it is not sent at all.
    pub const CATCH_UP: Duration = Duration::from_millis(50);

    /// The burst that is usual: a millisecond of data.
    pub const BURST: Duration = Duration::from_millis(1);

    /// A pacer of `rate` bits a second, at least 1, in bursts of `burst` of data at most, or of one
    /// datagram where that is more.
    pub fn new(rate: u64, burst: Duration, now: Instant) -> Self {
        let rate = u128::from(rate.max(1));
        Self {
            account: Bucket::new(rate, Self::CATCH_UP.max(burst), burst),
            burst: Bucket::new(rate + rate / 4, burst.mul_f64(0.8), burst.mul_f64(0.8)),
            now,
        }
    }

    /// Goes on with another rate. What may be sent already still may, as far as the new rate allows.
    pub fn set_rate(&mut self, rate: u64, burst: Duration) {
        let new = Self::new(rate, burst, self.now);
        let level = |old: &Bucket, new: &Bucket| old.level.min(new.depth);
        let (account, of_burst) = (
            level(&self.account, &new.account),
            level(&self.burst, &new.burst),
        );
        *self = new;
        self.account.level = account;
        self.burst.level = of_burst;
    }

    /// How many datagrams of `bytes` each may go at `now`.
    pub fn ready(&mut self, now: Instant, bytes: usize) -> usize {
        let elapsed = now.saturating_duration_since(self.now);
        self.now = self.now.max(now);
        self.account.fill(elapsed);
        self.burst.fill(elapsed);
        self.account.holds(bytes).min(self.burst.holds(bytes))
    }

    /// Takes note that `bytes` were sent. Where they are more than were ready, again and again, what is
    /// owed grows to [`Pacer::CATCH_UP`] of data beyond them at most.
    pub fn spend(&mut self, bytes: usize) {
        self.account.spend(bytes);
        self.burst.spend(bytes);
    }

    /// When `bytes` may go, if nothing else goes before: at [`Pacer::ready`]'s last `now`, or
    /// later.
    ///
    /// For more than a burst it is when the longest burst may go.
    pub fn next(&self, bytes: usize) -> Instant {
        let wait = self.account.wait(bytes).max(self.burst.wait(bytes));
        // A wait beyond the end of time is as good as a year.
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        self.now + wait.min(YEAR)
    }
}

/// A bucket of data. Its level is in bits times nanoseconds a second, so nothing is ever rounded;
/// it is below zero after a datagram that is larger than the bucket.
#[derive(Clone, Debug)]
struct Bucket {
    rate: i128,
    depth: i128,
    level: i128,
    /// What it must hold for a datagram that is longer than the longest burst.
    enough: i128,
}

const NANOSECONDS: i128 = 1_000_000_000;

fn price(bytes: usize) -> i128 {
    // A usize has 64 bits at most, so the product has 97.
    i128::try_from(bytes).unwrap_or(i128::MAX >> 40) * 8 * NANOSECONDS
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX >> 1)
}

impl Bucket {
    /// A bucket of `depth` of data, which holds a `burst`.
    fn new(rate: u128, depth: Duration, burst: Duration) -> Self {
        let rate = i128::try_from(rate).unwrap_or(i128::MAX);
        let burst = rate.saturating_mul(nanoseconds(burst));
        Self {
            rate,
            depth: rate.saturating_mul(nanoseconds(depth)),
            level: burst,
            enough: burst,
        }
    }

    fn fill(&mut self, elapsed: Duration) {
        let more = self.rate.saturating_mul(nanoseconds(elapsed));
        self.level = self.level.saturating_add(more).min(self.depth);
    }

    fn spend(&mut self, bytes: usize) {
        let price = price(bytes);
        let least = -self.depth.saturating_add(price);
        self.level = (self.level - price).max(least.min(self.level));
    }

    /// How many datagrams of `bytes` it holds.
    fn holds(&self, bytes: usize) -> usize {
        let price = price(bytes.max(1));
        if price > self.enough {
            return usize::from(self.level >= self.enough);
        }
        usize::try_from(self.level / price).unwrap_or(0)
    }

    fn wait(&self, bytes: usize) -> Duration {
        let missing = price(bytes).min(self.enough) - self.level;
        if missing <= 0 {
            return Duration::ZERO;
        }
        let nanoseconds = (missing + self.rate - 1) / self.rate;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Somewhere in time: a test needs an instant to begin with, and no other.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    /// What goes when, in bytes, over `span`, by a sender that wakes up `late(n)` after it should.
    fn run(
        rate: u64,
        burst: Duration,
        size: usize,
        span: Duration,
        mut late: impl FnMut(usize) -> Duration,
    ) -> Vec<(Duration, usize)> {
        let start = start();
        let mut pacer = Pacer::new(rate, burst, start);
        let (mut now, mut sent) = (start, Vec::new());
        while now < start + span {
            let ready = pacer.ready(now, size);
            pacer.spend(ready * size);
            if ready > 0 {
                sent.push((now - start, ready * size));
            }
            let next = pacer.next(size);
            assert!(next > now, "it stands still");
            now = next + late(sent.len());
        }
        sent
    }

    /// The least and the most bytes in any second that begins with a burst.
    fn any_second(sent: &[(Duration, usize)]) -> (usize, usize) {
        let (mut least, mut most) = (usize::MAX, 0);
        let (mut end, mut sum) = (0, 0);
        for (from, bytes) in sent {
            while let Some((_, more)) = sent.get(end).filter(|(at, _)| *at < *from + SECOND) {
                sum += more;
                end += 1;
            }
            if end == sent.len() {
                break;
            }
            (least, most) = (least.min(sum), most.max(sum));
            sum -= bytes;
        }
        (least, most)
    }

    fn within_one_percent(rate: u64, (least, most): (usize, usize)) {
        let bytes = usize::try_from(rate / 8).unwrap();
        assert!(
            least >= bytes - bytes / 100,
            "{least} of {bytes} in a second"
        );
        assert!(most <= bytes + bytes / 100, "{most} of {bytes} in a second");
    }

    #[test]
    fn a_punctual_sender_holds_the_rate() {
        for rate in [10_000_000, 100_000_000, 1_000_000_000] {
            let sent = run(rate, Pacer::BURST, 1316, SECOND * 3, |_| Duration::ZERO);
            within_one_percent(rate, any_second(&sent));
        }
    }

    #[test]
    fn a_late_sender_holds_the_rate_in_bounded_bursts() {
        // Each time up to 0.3 ms late, and for 4 ms once in a while.
        let late = |n: usize| {
            let usual = Duration::from_nanos((n as u64 * 7919) % 300_000);
            usual
                + if n.is_multiple_of(100) {
                    Duration::from_millis(4)
                } else {
                    Duration::ZERO
                }
        };
        let rate = 400_000_000;
        let sent = run(rate, Pacer::BURST, 1316, SECOND * 3, late);
        within_one_percent(rate, any_second(&sent));
        let longest = sent.iter().map(|(_, bytes)| *bytes).max().unwrap();
        assert!(longest <= 50_000, "{longest} bytes in a burst");
    }

    #[test]
    fn what_is_missed_for_long_is_not_made_up_for() {
        let start = start();
        let mut pacer = Pacer::new(8_000_000, Pacer::BURST, start);
        let mut now = start + SECOND * 60;
        let mut sent = 0;
        while now < start + SECOND * 61 {
            let ready = pacer.ready(now, 100);
            pacer.spend(ready * 100);
            sent += ready * 100;
            now = pacer.next(100);
        }
        assert!((999_000..=1_052_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_datagram_longer_than_a_burst_goes_alone() {
        // 1,316 bytes at 1 Mbit/s are 10.5 ms.
        let sent = run(1_000_000, Pacer::BURST, 1316, SECOND * 10, |_| {
            Duration::ZERO
        });
        assert!(sent.iter().all(|(_, bytes)| *bytes == 1316));
        let rate = sent.len() * 1316 * 8 / 10;
        assert!((990_000..=1_010_000).contains(&rate), "{rate}");
    }

    /// Who is charged for more than it may send owes a bounded time, and a small datagram takes nothing off
    /// what a large one owes.
    #[test]
    fn what_is_owed_has_a_bound() {
        let start = start();
        let mut pacer = Pacer::new(8_000_000, Pacer::BURST, start);
        (0..100_000).for_each(|_| pacer.spend(1000));
        let next = pacer.next(1000) - start;
        assert!(next < Duration::from_millis(60), "{next:?}");
        let mut pacer = Pacer::new(8_000, Pacer::BURST, start);
        pacer.spend(1400);
        let next = pacer.next(1400);
        pacer.spend(60);
        assert!(pacer.next(1400) >= next);
    }

    #[test]
    fn one_bit_a_second_is_a_rate() {
        let start = start();
        let mut pacer = Pacer::new(0, Pacer::BURST, start);
        assert_eq!(pacer.ready(start, 1), 1);
        pacer.spend(1);
        assert_eq!(pacer.next(1), start + SECOND * 8);
    }

    proptest! {
        #[test]
        fn any_numbers_will_do(
            rate: u64,
            burst in any::<u32>().prop_map(|micros| Duration::from_micros(micros.into())),
            steps in prop::collection::vec((any::<u64>(), 0..100_000_usize), 1..20),
        ) {
            let start = start();
            let mut pacer = Pacer::new(rate, burst, start);
            for (nanoseconds, bytes) in steps {
                let now = start + Duration::from_nanos(nanoseconds);
                let ready = pacer.ready(now, bytes);
                pacer.spend(bytes * usize::from(ready > 0));
                prop_assert!(pacer.next(bytes) >= start);
            }
        }
    }
}
