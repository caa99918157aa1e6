//! Waiting for a moment, as exactly as it has to be.

use std::thread;
use std::time::{Duration, Instant};

/// How late a sleeping thread may wake up on a machine that has something to run it on: the timer
/// slack of Linux is 50 µs (`prctl(2)`), and waking up takes a few more.
pub(crate) const SPIN: Duration = Duration::from_micros(80);

/// Waits until `at`, to the microsecond or so: sleeps until shortly before, and spins the rest.
///
/// The price is up to 80 µs of a core for each call. Where being late by as much does not matter,
/// as for a [`Pacer`](manycast_proto::pace::Pacer) with its usual burst, [`thread::sleep`] costs
/// nothing.
pub fn wait_until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if let Some(sleep) = left.checked_sub(SPIN) {
        thread::sleep(sleep);
    }
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}
