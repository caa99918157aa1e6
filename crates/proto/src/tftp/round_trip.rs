//! How long an answer takes, and when to send again (RFC 6298).

use std::time::Duration;

/// The clock's grain that is reckoned with, `G` in RFC 6298.
const GRAIN: Duration = Duration::from_millis(1);

/// What was measured of round trips, and the time-out that follows from it.
#[derive(Clone, Debug)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    timeout: Duration,
    least: Duration,
    most: Duration,
}

impl RoundTrip {
    /// Nothing was measured yet, so the time-out is `initial`. It is never below `least`, nor
    /// above `most`.
    pub(super) fn new(initial: Duration, least: Duration, most: Duration) -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            timeout: initial.min(most),
            least: least.min(most),
            most,
        }
    }

    /// Takes in a measurement, of something that was sent once only (RFC 6298 §3).
    pub(super) fn measured(&mut self, sample: Duration) {
        let smoothed = match self.smoothed {
            // RFC 6298 §2.2: the first measurement.
            None => {
                self.variation = sample / 2;
                sample
            }
            // RFC 6298 §2.3: those after it.
            Some(smoothed) => {
                self.variation = self.variation * 3 / 4 + smoothed.abs_diff(sample) / 4;
                smoothed * 7 / 8 + sample / 8
            }
        };
        self.smoothed = Some(smoothed);
        self.reset();
    }

    /// The time-out as the measurements say, without the back-off.
    pub(super) fn reset(&mut self) {
        if let Some(smoothed) = self.smoothed {
            let timeout = smoothed + GRAIN.max(self.variation * 4);
            self.timeout = timeout.clamp(self.least, self.most);
        }
    }

    /// RFC 6298 §5.5: nothing came, so the next time-out is twice as long.
    pub(super) fn back_off(&mut self) {
        self.timeout = (self.timeout * 2).min(self.most);
    }

    /// How long to wait before sending again.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The smoothed round trip, once one was measured.
    pub(super) const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }
}
