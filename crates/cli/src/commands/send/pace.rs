//! How fast is sent.

use std::time::{Duration, Instant};

use manycast::proto::pace::Pacer;

use crate::interrupt::Interrupt;
use crate::values::Rate;

/// When the next datagram may go.
pub(super) struct Pace {
    interval: Duration,
    pacer: Option<Pacer>,
    next: Option<Instant>,
}

/// What was slept too long is made up for, but not what was lost by a slow source.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Nobody waits for longer, which the clock could not tell: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Pace {
    pub(super) fn new(interval: Duration, rate: Option<Rate>) -> Self {
        Self {
            interval: interval.min(LONGEST),
            pacer: rate.map(|rate| Pacer::new(rate.bits(), Pacer::BURST, Instant::now())),
            next: None,
        }
    }

    /// Waits until the next datagram, of so many bytes, may go, and says whether the user has asked
    /// for an end.
    pub(super) fn wait(&mut self, bytes: usize, interrupt: &Interrupt) -> bool {
        let now = Instant::now();
        let next = self
            .next
            .map_or(now, |next| match now.checked_sub(CATCH_UP) {
                Some(earliest) => next.max(earliest),
                None => next,
            });
        self.next = Some(next);
        if interrupt.wait_until(next) {
            return true;
        }
        while let Some(pacer) = &mut self.pacer
            && pacer.ready(Instant::now(), bytes) == 0
        {
            if interrupt.wait_until(pacer.next(bytes)) {
                return true;
            }
        }
        false
    }

    /// Takes into account that so many bytes went.
    pub(super) fn spent(&mut self, bytes: usize) {
        if let Some(pacer) = &mut self.pacer {
            pacer.spend(bytes);
        }
        self.next = self.next.and_then(|next| next.checked_add(self.interval));
    }
}
