//! Waiting for what the kernel does in its own time.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything in a lab may take before it counts as failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a state again and again until `reached` says so, and panics with `what` after ten seconds.
///
/// It is for states that nothing tells of, such as a socket that a program has opened. What one can
/// be told of (a line of output, a datagram) is better waited for itself.
///
/// ```
/// use manycast_lab::netns::wait_until;
///
/// let mut reads = 0;
/// wait_until("three reads", || {
///     reads += 1;
///     reads == 3
/// });
/// ```
#[track_caller]
pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}
