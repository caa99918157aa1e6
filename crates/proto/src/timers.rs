//! The deadlines of a protocol, each with its reason.

use std::time::Instant;

use crate::Output;

/// What a deadline is for: usually a small enum, one variant for each wait of the protocol.
pub trait Timer: Copy + PartialEq {
    /// What is waited for, as in "waiting for {reason}".
    fn reason(self) -> &'static str;
}

/// The deadlines that are set: at most one for each timer.
///
/// It is made for a handful of timers, which it searches one by one.
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
