//! Randomness that follows from a seed, so that a run can be repeated.

use std::ops::RangeInclusive;
use std::time::Duration;

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of random numbers (ChaCha with 8 rounds).
///
/// The same seed gives the same numbers on every machine and in every version. A driver seeds each
/// protocol from the system's randomness; whoever does not know the seed cannot foresee the
/// numbers, so they serve as transaction identifiers too. They are no keys.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::random::Random;
///
/// let mut random = Random::new([7; 32]);
/// let pause = random.duration(Duration::ZERO..=Duration::from_millis(250));
/// assert!(pause <= Duration::from_millis(250));
/// assert_eq!(Random::new([7; 32]).duration(Duration::ZERO..=Duration::from_millis(250)), pause);
/// ```
#[derive(Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream that follows from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Any number of 32 bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any number of 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number within `range`, each as likely as the other. An empty range gives its start.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let Some(span) = end.saturating_sub(start).checked_add(1) else {
            return self.u64();
        };
        // The lowest `excess` numbers of 64 bits are left out, so that as many remain for each
        // remainder; without that the low numbers of the range would be a little more likely.
        let excess = (u64::MAX % span + 1) % span;
        loop {
            let number = self.u64();
            if number >= excess {
                return start + number % span;
            }
        }
    }

    /// A duration within `range`, to the nanosecond; 584 years are the most that it tells apart.
    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.within(nanos(range.start())..=nanos(range.end())))
    }

    /// A number from 0 (included) to 1 (excluded), in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        (self.u64() >> 11) as f64 / STEPS
    }

    /// True with the given probability, from 0 (never) to 1 (always).
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A seed for another stream.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other implementations must agree: the key is the seed, nonce and counter are zero.
    #[test]
    fn the_stream_is_that_of_chacha8() {
        let mut bytes = [0; 8];
        Random::new([0; 32]).fill(&mut bytes);
        // draft-strombergson-chacha-test-vectors-01 §3.1: TC1, 256 bits, 8 rounds.
        assert_eq!(bytes, [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
    }

    #[test]
    fn numbers_stay_within_their_range_and_reach_both_ends() {
        let mut random = Random::new([1; 32]);
        let mut seen = [0; 6];
        for _ in 0..6_000 {
            let number = random.within(10..=15);
            seen[usize::try_from(number - 10).unwrap()] += 1;
        }
        // 1,000 each are expected; the standard deviation is 29.
        assert!(
            seen.iter().all(|count| (850..=1_150).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn the_whole_range_and_the_narrowest_are_ranges_too() {
        let mut random = Random::new([2; 32]);
        assert_ne!(random.within(0..=u64::MAX), random.within(0..=u64::MAX));
        assert_eq!(random.within(5..=5), 5);
        let (start, end) = (5, 4);
        assert_eq!(random.within(start..=end), 5);
        assert!(random.within(u64::MAX - 1..=u64::MAX) >= u64::MAX - 1);
        assert!(random.duration(Duration::ZERO..=Duration::MAX) > Duration::ZERO);
    }

    #[test]
    fn chances_are_met() {
        let mut random = Random::new([3; 32]);
        let met = (0..10_000).filter(|_| random.chance(0.3)).count();
        // The standard deviation is 46.
        assert!((2_770..=3_230).contains(&met), "{met} of 10,000");
        assert!((0..1_000).all(|_| random.chance(1.0) && !random.chance(0.0)));
    }
}
