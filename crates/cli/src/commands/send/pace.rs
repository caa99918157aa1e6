//! How fast is sent.

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use crate::values::Rate;

/// When the next datagram may go.
pub(super) struct Pace {
    interval: Duration,
    rate: Option<Rate>,
    next: Option<Instant>,
}

/// What was slept too long is made up for, but not what was lost by a slow source.
const CATCH_UP: Duration = Duration::from_millis(10);

impl Pace {
    pub(super) const fn new(interval: Duration, rate: Option<Rate>) -> Self {
        Self {
            interval,
            rate,
            next: None,
        }
    }

    /// Waits until the next datagram may go, and says whether the user has asked for an end.
    pub(super) fn wait(&mut self, interrupt: &Interrupt) -> bool {
        let now = Instant::now();
        let next = self
            .next
            .map_or(now, |next| match now.checked_sub(CATCH_UP) {
                Some(earliest) => next.max(earliest),
                None => next,
            });
        self.next = Some(next);
        interrupt.wait_until(next)
    }

    /// Takes into account that so many bytes went.
    pub(super) fn spent(&mut self, bytes: usize) {
        let time = self
            .rate
            .map_or(Duration::ZERO, |rate| rate.time_for(bytes));
        self.next = self
            .next
            .and_then(|next| next.checked_add(time.max(self.interval)));
    }
}
