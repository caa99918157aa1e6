//! What the numbers of a stream tell: what is missing, what came twice, what came late.

/// How far back a number is remembered, and thus how late a datagram may come.
pub(super) const WINDOW: u64 = 16_384;

const WORDS: usize = (WINDOW / 64) as usize;

/// The numbers of one stream, as they came.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// The least number, and the one after the greatest.
    first: u64,
    next: u64,
    /// Numbers that came, each counted once.
    came: u64,
    duplicated: u64,
    reordered: u64,
    stale: u64,
    /// Which of the last numbers came: a ring of bits.
    bits: Box<[u64; WORDS]>,
}

/// What a number says of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next in order, or a later one: so many were skipped before it.
    Ahead(u64),
    /// It came after one with a greater number.
    Reordered,
    /// It came before.
    Duplicate,
    /// So old that it cannot be told whether it came before.
    Stale,
}

impl Sequence {
    /// A stream that begins with `number`.
    pub(super) fn new(number: u64) -> Self {
        let mut sequence = Self {
            first: number,
            next: number.saturating_add(1),
            came: 1,
            duplicated: 0,
            reordered: 0,
            stale: 0,
            bits: Box::new([0; WORDS]),
        };
        sequence.mark(number);
        sequence
    }

    /// Takes in the number of the next datagram.
    #[inline]
    pub(super) fn record(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            let skipped = number - self.next;
            self.advance(number);
            self.came += 1;
            return Arrival::Ahead(skipped);
        }
        // The oldest word of the ring is already in use for the newest numbers.
        if self.next - number > WINDOW - 64 {
            self.stale += 1;
            return Arrival::Stale;
        }
        if self.is_marked(number) {
            self.duplicated += 1;
            return Arrival::Duplicate;
        }
        // RFC 4737 §3.3: a datagram is reordered when its number is below the next expected one.
        self.mark(number);
        self.first = self.first.min(number);
        self.came += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// The number that comes next, if all goes well.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The least number that came.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// How many numbers between the first and the last have not come.
    pub(super) const fn lost(&self) -> u64 {
        (self.next - self.first).saturating_sub(self.came)
    }

    pub(super) const fn duplicated(&self) -> u64 {
        self.duplicated
    }

    pub(super) const fn reordered(&self) -> u64 {
        self.reordered
    }

    pub(super) const fn stale(&self) -> u64 {
        self.stale
    }

    /// Moves on to `number`, which is the greatest so far, and marks it.
    fn advance(&mut self, number: u64) {
        // Words that are entered anew still hold the numbers of the turn before.
        let entered = (number / 64).saturating_sub(self.next.saturating_sub(1) / 64);
        for back in 0..entered.min(WORDS as u64) {
            self.bits[word(number - back * 64)] = 0;
        }
        self.mark(number);
        self.next = number.saturating_add(1);
    }

    fn mark(&mut self, number: u64) {
        self.bits[word(number)] |= 1 << (number % 64);
    }

    fn is_marked(&self, number: u64) -> bool {
        self.bits[word(number)] & (1 << (number % 64)) != 0
    }
}

const fn word(number: u64) -> usize {
    (number / 64 % WORDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = u64>) -> Sequence {
        let mut numbers = numbers.into_iter();
        let mut sequence = Sequence::new(numbers.next().unwrap());
        numbers.for_each(|number| {
            sequence.record(number);
        });
        sequence
    }

    #[test]
    fn in_order_nothing_is_amiss() {
        let sequence = of(1..100_000);
        assert_eq!(
            (sequence.lost(), sequence.duplicated(), sequence.reordered()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_gap_is_lost_until_it_is_filled() {
        let mut sequence = of([1, 2, 5]);
        assert_eq!(sequence.lost(), 2);
        assert_eq!(sequence.record(4), Arrival::Reordered);
        assert_eq!((sequence.lost(), sequence.reordered()), (1, 1));
        assert_eq!(sequence.record(4), Arrival::Duplicate);
        assert_eq!((sequence.lost(), sequence.duplicated()), (1, 1));
    }

    // RFC 4737 §3.4: of 1, 2, 3, 7, 4, 5, 6, 8, 9 three are reordered.
    #[test]
    fn one_that_runs_ahead_makes_others_late() {
        let sequence = of([1, 2, 3, 7, 4, 5, 6, 8, 9]);
        assert_eq!((sequence.reordered(), sequence.lost()), (3, 0));
    }

    #[test]
    fn the_head_may_come_late_too() {
        let sequence = of([2, 1, 3]);
        assert_eq!(
            (sequence.first(), sequence.lost(), sequence.reordered()),
            (1, 0, 1)
        );
    }

    #[test]
    fn a_leap_forgets_what_was_before() {
        let mut sequence = of([1, u64::MAX / 2]);
        assert_eq!(sequence.lost(), u64::MAX / 2 - 2);
        assert_eq!(sequence.record(u64::MAX / 2 - 1), Arrival::Reordered);
        assert_eq!(sequence.record(2), Arrival::Stale);
        sequence.record(u64::MAX);
        sequence.record(u64::MAX);
        assert_eq!(sequence.stale(), 1);
    }

    proptest! {
        /// Against a set of all numbers that came.
        #[test]
        fn it_counts_as_a_set_would(
            start in 0..100_u64,
            steps in prop::collection::vec(-200..300_i64, 0..2000),
        ) {
            let mut sequence = Sequence::new(start);
            let mut seen = HashSet::from([start]);
            let (mut duplicated, mut reordered, mut greatest) = (0, 0, start);
            for step in steps {
                let number = greatest.saturating_add_signed(step);
                if !seen.insert(number) {
                    duplicated += 1;
                } else if number < greatest {
                    reordered += 1;
                }
                greatest = greatest.max(number);
                sequence.record(number);
            }
            let least = seen.iter().min().unwrap();
            let lost = greatest - least + 1 - seen.len() as u64;
            prop_assert_eq!(sequence.lost(), lost);
            prop_assert_eq!(sequence.duplicated(), duplicated);
            prop_assert_eq!(sequence.reordered(), reordered);
            prop_assert_eq!(sequence.stale(), 0);
        }

        #[test]
        fn any_numbers_will_do(numbers in prop::collection::vec(any::<u64>(), 1..100)) {
            let sequence = of(numbers);
            let _ = (sequence.lost(), sequence.next());
        }
    }
}
