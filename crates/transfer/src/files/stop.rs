//! Stopping from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a stop may go unnoticed.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Stops sending or receiving files from another thread, within 50 ms. The other end is told where
/// there is one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// Stops it.
    pub fn stop(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
