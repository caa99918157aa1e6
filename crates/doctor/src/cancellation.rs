//! Ending an examination before its time.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use manycast_net::Stopper;

/// Ends an examination before its time, from another thread: what is known until then is reported.
///
/// ```no_run
/// use manycast::doctor::{self, Cancellation, Examination};
///
/// let cancellation = Cancellation::default();
/// let how = Examination::default().cancellation(cancellation.clone());
/// std::thread::spawn(move || {
///     // When the user has seen enough:
///     cancellation.cancel();
/// });
/// let report = doctor::examine("239.1.1.1:5000", &how)?;
/// assert!(report.cancelled_after.is_some());
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    requested: Condvar,
}

#[derive(Default)]
struct State {
    began: Option<Instant>,
    after: Option<Duration>,
    /// Ends the wait that goes on.
    stopper: Option<Stopper>,
}

impl Cancellation {
    /// Ends the watching, now. False where it has not begun yet, so that there is nothing to
    /// report: a name is still looked up, or the far end was not reached.
    #[must_use = "an examination that has not begun goes on"]
    pub fn cancel(&self) -> bool {
        let mut state = self.shared.state();
        let Some(began) = state.began else {
            return false;
        };
        state.after.get_or_insert_with(|| began.elapsed());
        if let Some(stopper) = &state.stopper {
            stopper.stop();
        }
        drop(state);
        self.shared.requested.notify_all();
        true
    }

    /// From now on there is something to cancel.
    pub(super) fn begin(&self) {
        self.shared.state().began.get_or_insert_with(Instant::now);
    }

    /// After how long it was cancelled, if it was.
    pub(super) fn after(&self) -> Option<Duration> {
        self.shared.state().after
    }

    pub(super) fn is_requested(&self) -> bool {
        self.after().is_some()
    }

    /// The wait that goes on is ended by this one, in place of the one before.
    pub(super) fn stops(&self, stopper: Stopper) {
        let mut state = self.shared.state();
        if state.after.is_some() {
            stopper.stop();
        }
        state.stopper = Some(stopper);
    }

    /// Lets so much time pass, unless it is cancelled.
    pub(super) fn wait(&self, duration: Duration) {
        let until = Instant::now().checked_add(duration);
        let mut state = self.shared.state();
        while state.after.is_none() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or(duration);
            if left.is_zero() {
                return;
            }
            state = self
                .shared
                .requested
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Cancellation")
            .field("began", &state.began)
            .field("after", &state.after)
            .finish_non_exhaustive()
    }
}
