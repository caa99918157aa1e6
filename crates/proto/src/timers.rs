//! The deadlines of a protocol, each with its reason.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use crate::Output;

/// What a deadline is for: usually a small enum, one variant for each wait of the protocol.
pub trait Timer: Copy + PartialEq {
    /// What is waited for, as in "waiting for {reason}".
    fn reason(self) -> &'static str;
}

/// The deadlines that are set: at most one for each timer.
///
/// It is made for a handful of timers, which it searches one by one; for a deadline of each peer there
/// is [`Deadlines`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_proto::timers::{Timer, Timers};
///
/// #[derive(Clone, Copy, PartialEq, Debug)]
/// enum Wait {
///     Retry,
///     GiveUp,
/// }
///
/// impl Timer for Wait {
///     fn reason(self) -> &'static str {
///         match self {
///             Self::Retry => "an answer, before asking again",
///             Self::GiveUp => "an answer, before giving up",
///         }
///     }
/// }
///
/// let now = Instant::now();
/// let mut timers = Timers::new();
/// timers.set(Wait::GiveUp, now.checked_add(Duration::from_secs(3)));
/// timers.set(Wait::Retry, now.checked_add(Duration::from_secs(1)));
/// assert_eq!(timers.expired(now), None);
///
/// let later = now + Duration::from_secs(2);
/// assert_eq!(timers.expired(later), Some(Wait::Retry));
/// assert_eq!(timers.expired(later), None);
/// assert_eq!(timers.next(), Some((now + Duration::from_secs(3), Wait::GiveUp)));
/// ```
#[derive(Clone, Debug)]
pub struct Timers<T> {
    set: Vec<(Instant, T)>,
}

impl<T: Timer> Timers<T> {
    /// No deadline at all.
    pub const fn new() -> Self {
        Self { set: Vec::new() }
    }

    /// Sets the deadline of `timer` in place of the one it had; `None` takes it away.
    ///
    /// It takes what [`Instant::checked_add`] gives, so that a time too far away for the clock is
    /// no deadline rather than a panic.
    pub fn set(&mut self, timer: T, at: Option<Instant>) {
        self.set.retain(|(_, other)| *other != timer);
        self.set.extend(at.map(|at| (at, timer)));
    }

    /// Brings the deadline of `timer`, if it has one, nearer: of what is left at `now`, `share` stays, from 0 to
    /// 1, but no less than `least`. It never moves a deadline away.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// # use manycast_proto::timers::{Timer, Timers};
    /// # #[derive(Clone, Copy, PartialEq, Debug)]
    /// # struct Retry;
    /// # impl Timer for Retry {
    /// #     fn reason(self) -> &'static str { "an answer" }
    /// # }
    ///
    /// let now = Instant::now();
    /// let mut timers = Timers::new();
    /// timers.set(Retry, now.checked_add(Duration::from_secs(8)));
    /// timers.shorten(Retry, now, 0.25, Duration::from_secs(1));
    /// assert_eq!(timers.expired(now + Duration::from_secs(2)), Some(Retry));
    /// ```
    pub fn shorten(&mut self, timer: T, now: Instant, share: f64, least: Duration) {
        for (at, _) in self.set.iter_mut().filter(|(_, other)| *other == timer) {
            let left = at.saturating_duration_since(now);
            let shorter = left.mul_f64(share.clamp(0.0, 1.0)).max(least);
            if shorter < left {
                *at = now + shorter;
            }
        }
    }

    /// Whether `timer` has a deadline.
    pub fn is_set(&self, timer: T) -> bool {
        self.set.iter().any(|(_, other)| *other == timer)
    }

    /// Takes away every deadline.
    pub fn clear(&mut self) {
        self.set.clear();
    }

    /// The earliest deadline, and what it is for.
    pub fn next(&self) -> Option<(Instant, T)> {
        self.set.iter().copied().min_by_key(|(at, _)| *at)
    }

    /// Takes out the earliest deadline that `now` has reached. Call it until it gives `None`.
    pub fn expired(&mut self, now: Instant) -> Option<T> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.set(timer, None);
        Some(timer)
    }

    /// The output that waits for the earliest deadline, or for `idle` where there is none.
    pub fn wait<E>(&self, idle: &'static str) -> Output<E> {
        match self.next() {
            Some((at, timer)) => Output::Wait {
                until: Some(at),
                reason: timer.reason(),
            },
            None => Output::Wait {
                until: None,
                reason: idle,
            },
        }
    }
}

impl<T: Timer> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The deadlines of many, at most one for each: of each peer or each session, for instance.
///
/// The earliest is found without a look at the others. A heap holds them; one that was moved or taken
/// away stays in it until it is the earliest, or until the heap is built anew. There are never more
/// than 64 more of those than of the ones that are set.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_proto::timers::Deadlines;
///
/// let now = Instant::now();
/// let mut deadlines = Deadlines::new();
/// deadlines.set("a", now.checked_add(Duration::from_secs(1)));
/// deadlines.set("b", now.checked_add(Duration::from_secs(2)));
/// deadlines.set("a", now.checked_add(Duration::from_secs(3)));
/// assert_eq!(deadlines.earliest(), Some(now + Duration::from_secs(2)));
///
/// let later = now + Duration::from_secs(2);
/// assert_eq!(deadlines.expired(later), Some("b"));
/// assert_eq!(deadlines.expired(later), None);
/// ```
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    set: BTreeMap<K, Instant>,
}

/// So many deadlines in the heap may have been moved or taken away, however few are set.
const STALE: usize = 64;

impl<K: Copy + Ord> Deadlines<K> {
    /// No deadline at all.
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            set: BTreeMap::new(),
        }
    }

    /// Sets the deadline of `key` in place of the one it had; `None` takes it away.
    ///
    /// It takes what [`Instant::checked_add`] gives, so that a time too far away for the clock is no
    /// deadline rather than a panic.
    pub fn set(&mut self, key: K, at: Option<Instant>) {
        match at {
            Some(at) if self.set.insert(key, at) != Some(at) => {
                self.heap.push(Reverse((at, key)));
            }
            Some(_) => {}
            None => {
                self.set.remove(&key);
            }
        }
        self.bound();
    }

    /// Whether `key` has a deadline.
    pub fn is_set(&self, key: K) -> bool {
        self.set.contains_key(&key)
    }

    /// Builds the heap anew where too many in it were moved or taken away.
    fn bound(&mut self) {
        if self.heap.len() > 2 * self.set.len() + STALE {
            self.heap.clear();
            let all = self.set.iter().map(|(key, at)| Reverse((*at, *key)));
            self.heap.extend(all);
        }
    }

    /// The earliest deadline.
    pub fn earliest(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, key))) = self.heap.peek() {
            if self.set.get(key) == Some(at) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes out the earliest deadline that `now` has reached, and says whose it is. Call it until it
    /// gives `None`.
    pub fn expired(&mut self, now: Instant) -> Option<K> {
        self.earliest().filter(|at| *at <= now)?;
        let Reverse((_, key)) = self.heap.pop()?;
        self.set.remove(&key);
        self.bound();
        Some(key)
    }
}

impl<K: Copy + Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a table that is searched from end to end.
        #[test]
        fn the_earliest_of_many_is_found_whatever_was_set(
            script in prop::collection::vec((0..20_u8, prop::option::of(0..50_u64), any::<bool>()), 0..500),
        ) {
            #[allow(clippy::disallowed_methods)]
            let start = Instant::now();
            let mut deadlines = Deadlines::new();
            let mut table = BTreeMap::new();
            for (key, at, expires) in script {
                let at = at.map(|at| start + Duration::from_secs(at));
                if expires {
                    let due = |at: &Instant| *at <= start + Duration::from_secs(10);
                    let earliest = table.iter().filter(|(_, at)| due(at)).min_by_key(|(key, at)| (**at, **key));
                    let earliest = earliest.map(|(key, _)| *key);
                    prop_assert_eq!(deadlines.expired(start + Duration::from_secs(10)), earliest);
                    if let Some(key) = earliest {
                        table.remove(&key);
                    }
                } else {
                    deadlines.set(key, at);
                    match at {
                        Some(at) => table.insert(key, at),
                        None => table.remove(&key),
                    };
                }
                prop_assert_eq!(deadlines.earliest(), table.values().min().copied());
                prop_assert!(deadlines.heap.len() <= 2 * table.len() + STALE);
            }
        }
    }

    #[test]
    fn what_was_taken_away_leaves_the_heap() {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        // Each is later than the one that stays, so none of them is ever the earliest.
        deadlines.set(0, Some(start));
        for key in 1..10_000 {
            deadlines.set(key, Some(start + Duration::from_secs(1)));
        }
        for key in 1..10_000 {
            deadlines.set(key, None);
        }
        assert!(
            deadlines.heap.len() <= 2 + STALE,
            "{}",
            deadlines.heap.len()
        );
        assert_eq!(deadlines.expired(start), Some(0));
        assert_eq!(deadlines.expired(start), None);
    }
}
