//! How often which value came, in fixed memory.

/// A log-linear histogram of signed values, such as delays in nanoseconds.
///
/// As in HdrHistogram, each power of two is divided into equal parts, here 64, so a value is known
/// to 1.6 %. What is measured so is the distance from a *base*, which is the least of the first 256
/// values: delays between clocks that do not agree are known as finely as between those that do.
/// Distances beyond 2⁴² (73 minutes in nanoseconds) count as that.
///
/// ```
/// use manycast_proto::measure::Histogram;
///
/// let mut histogram = Histogram::new();
/// for value in 1..=100_000 {
///     histogram.record(value);
/// }
/// let p99 = histogram.percentile(0.99).unwrap_or(0);
/// assert!((98_000..=100_000).contains(&p99));
/// assert_eq!((histogram.min(), histogram.max()), (Some(1), Some(100_000)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// The first values as they are, until there are enough to choose a base.
    first: Vec<i64>,
    base: Option<i64>,
    /// Counts by distance from the base, up and down; empty until they are needed.
    above: Vec<u64>,
    below: Vec<u64>,
    count: u64,
    min: i64,
    max: i64,
}

/// How many values are seen before the base is chosen.
const FIRST: usize = 256;
/// Each power of two has this many buckets, as a power of two.
const PARTS: u32 = 6;
/// Distances have at most this many bits.
const BITS: u32 = 42;
/// The buckets of one direction.
const BUCKETS: usize = ((BITS - PARTS + 1) as usize) << PARTS;

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self {
            first: Vec::new(),
            base: None,
            above: Vec::new(),
            below: Vec::new(),
            count: 0,
            min: 0,
            max: 0,
        }
    }

    /// Counts a value.
    #[inline]
    pub fn record(&mut self, value: i64) {
        self.record_many(value, 1);
    }

    /// How many values there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The least value.
    pub fn min(&self) -> Option<i64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max)
    }

    /// The value that the part `fraction` (from 0 to 1) of all values does not exceed: 0.5 gives
    /// the median.
    pub fn percentile(&self, fraction: f64) -> Option<i64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank is a whole number from 0, and is limited next"
        )]
        let rank = (fraction * self.count as f64).ceil() as u64;
        let rank = rank.clamp(1, self.count.max(1));
        let mut seen = 0;
        let bucket = self.buckets().find(|bucket| {
            seen += bucket.count;
            seen >= rank
        })?;
        let middle = bucket.from + (bucket.to - bucket.from) / 2;
        Some(middle.clamp(self.min, self.max))
    }

    /// The buckets that are not empty, from the least to the greatest.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let mut first = self.first.clone();
        first.sort_unstable();
        let first = first.into_iter().map(|value| Bucket {
            from: value,
            to: value,
            count: 1,
        });
        let base = self.base.unwrap_or_default();
        let not_empty = |(index, count): (usize, &u64)| (*count > 0).then_some((index, *count));
        let below = self.below.iter().enumerate().filter_map(not_empty);
        let above = self.above.iter().enumerate().filter_map(not_empty);
        let below = below.rev().map(move |(index, count)| Bucket {
            from: base.saturating_sub(distance(index + 1) - 1),
            to: base.saturating_sub(distance(index)),
            count,
        });
        let above = above.map(move |(index, count)| Bucket {
            from: base.saturating_add(distance(index)),
            to: base.saturating_add(distance(index + 1) - 1),
            count,
        });
        first.chain(below).chain(above)
    }

    /// Adds all that `other` has counted.
    pub fn add(&mut self, other: &Self) {
        let (Some(min), Some(max)) = (other.min(), other.max()) else {
            return;
        };
        for bucket in other.buckets() {
            let middle = bucket.from + (bucket.to - bucket.from) / 2;
            self.record_many(middle.clamp(min, max), bucket.count);
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    /// Forgets all values. The least of them is the base of those to come, so that clocks that
    /// drift apart do not make it coarse.
    pub fn clear(&mut self) {
        if self.base.is_some() && self.count > 0 {
            self.base = Some(self.min);
        }
        self.first.clear();
        self.above.fill(0);
        self.below.fill(0);
        self.count = 0;
    }

    fn record_many(&mut self, value: i64, count: u64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
        self.count += count;
        match self.base {
            Some(base) => self.count_from(base, value, count),
            // So few that each is kept; a bucket of another histogram may hold more at once.
            None if self.first.len() < FIRST && count == 1 => self.first.push(value),
            None => {
                let base = self.min;
                self.base = Some(base);
                for earlier in std::mem::take(&mut self.first) {
                    self.count_from(base, earlier, 1);
                }
                self.count_from(base, value, count);
            }
        }
    }

    fn count_from(&mut self, base: i64, value: i64, count: u64) {
        let distance = value.abs_diff(base);
        let side = if value >= base {
            &mut self.above
        } else {
            &mut self.below
        };
        if side.is_empty() {
            side.resize(BUCKETS, 0);
        }
        side[bucket_of(distance)] += count;
    }
}

/// So many values from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The least value that counts here.
    pub from: i64,
    /// The greatest value that counts here.
    pub to: i64,
    /// How many there were.
    pub count: u64,
}

/// The bucket of a distance: the power of two, then the part of it.
const fn bucket_of(distance: u64) -> usize {
    let limit = (1 << BITS) - 1;
    let distance = if distance > limit { limit } else { distance };
    if distance < 1 << PARTS {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 64")]
        return distance as usize;
    }
    let shift = distance.ilog2() - PARTS;
    // The part has its top bit set, which counts the power up by one.
    #[expect(clippy::cast_possible_truncation, reason = "it is below 128")]
    let part = (distance >> shift) as usize;
    ((shift as usize) << PARTS) + part
}

/// The least distance of a bucket.
const fn distance(bucket: usize) -> i64 {
    let parts = 1 << PARTS;
    if bucket < parts {
        #[expect(clippy::cast_possible_wrap, reason = "it is below 64")]
        return bucket as i64;
    }
    let shift = (bucket >> PARTS) - 1;
    #[expect(clippy::cast_possible_wrap, reason = "it is below 2^43")]
    return ((parts + bucket % parts) << shift) as i64;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> Histogram {
        let mut histogram = Histogram::new();
        values.into_iter().for_each(|value| histogram.record(value));
        histogram
    }

    #[test]
    fn an_empty_one_has_no_percentile() {
        let empty = Histogram::new();
        assert_eq!(
            (empty.percentile(0.5), empty.min(), empty.count()),
            (None, None, 0)
        );
    }

    #[test]
    fn few_values_are_exact() {
        let histogram = of([7_000_003, -12, 5_000_000_017]);
        assert_eq!(histogram.percentile(0.5), Some(7_000_003));
        assert_eq!(histogram.percentile(0.999), Some(5_000_000_017));
        assert_eq!(histogram.percentile(0.0), Some(-12));
    }

    #[test]
    fn clocks_an_hour_apart_cost_no_resolution() {
        let hour = 3_600_000_000_000;
        let histogram = of((0..100_000).map(|n| hour + n % 1000));
        let median = histogram.percentile(0.5).unwrap() - hour;
        assert!((490..=510).contains(&median), "{median}");
    }

    #[test]
    fn a_forgetful_one_keeps_its_base() {
        let mut histogram = of((0..1000).map(|n| 1_000_000 + n));
        histogram.clear();
        assert_eq!(histogram.count(), 0);
        histogram.record(1_000_500);
        assert_eq!(histogram.percentile(0.5), Some(1_000_500));
    }

    proptest! {
        #[test]
        fn buckets_meet_without_a_gap(bucket in 0..BUCKETS - 1) {
            let (from, next) = (distance(bucket), distance(bucket + 1));
            prop_assert!(from < next);
            let unsigned = |value: i64| u64::try_from(value).unwrap();
            prop_assert_eq!(bucket_of(unsigned(from)), bucket);
            prop_assert_eq!(bucket_of(unsigned(next - 1)), bucket);
            prop_assert!(next - 1 - from <= from / 64);
        }

        #[test]
        fn percentiles_are_right_to_two_per_cent(
            values in prop::collection::vec(-1_000_000_000_000..1_000_000_000_000_i64, 1..1000),
            parts in 1..4_usize,
            fraction in 0.0..1.0_f64,
        ) {
            let mut whole = Histogram::new();
            for part in values.chunks(values.len().div_ceil(parts)) {
                whole.add(&of(part.iter().copied()));
            }
            prop_assert_eq!(whole.count(), values.len() as u64);
            let mut sorted = values;
            sorted.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
            let rank = ((fraction * sorted.len() as f64).ceil() as usize).max(1);
            let (exact, found) = (sorted[rank - 1], whole.percentile(fraction).unwrap());
            // The distance is from the base, which is a value that was seen.
            let reach = sorted[sorted.len() - 1] - sorted[0];
            prop_assert!(exact.abs_diff(found) <= u64::try_from(reach / 32 + 2).unwrap());
            prop_assert_eq!(whole.min(), sorted.first().copied());
            prop_assert_eq!(whole.max(), sorted.last().copied());
        }

        #[test]
        fn no_value_is_too_large(values in prop::collection::vec(any::<i64>(), 0..600)) {
            let histogram = of(values.iter().copied());
            prop_assert_eq!(histogram.count(), values.len() as u64);
            let counted: u64 = histogram.buckets().map(|bucket| bucket.count).sum();
            prop_assert_eq!(counted, values.len() as u64);
            let _ = histogram.percentile(0.99);
        }
    }
}
