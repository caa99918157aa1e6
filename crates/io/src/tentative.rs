//! Waiting for an address that this host may soon use.

use std::time::{Duration, Instant};

use manycast_net::{Poller, Watch};

use crate::Error;

/// Duplicate address detection takes a second, after a wait of up to another (RFC 4862 §5.4).
const PATIENCE: Duration = Duration::from_secs(3);

impl Error {
    /// Whether an address of this host is tentative, so that the same call succeeds in a moment.
    pub(crate) fn is_tentative(&self) -> bool {
        matches!(self, Self::Net(error) if error.is_tentative())
    }
}

/// Opens something, and waits for an address that is tentative, at most three seconds.
pub(crate) fn patiently<T>(mut open: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    match open() {
        Err(error) if error.is_tentative() => {}
        result => return result,
    }
    // Before it is tried again, so that no change falls in between.
    let mut watch = Watch::open()?;
    let poller = Poller::new()?;
    poller.add(&watch, 0)?;
    let deadline = Instant::now() + PATIENCE;
    let mut ready = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match open() {
            Err(error) if error.is_tentative() && !left.is_zero() => {
                tracing::debug!(%error, "waits");
            }
            result => return result,
        }
        ready.clear();
        poller.wait(&mut ready, Some(left))?;
        watch.drain()?;
    }
}
