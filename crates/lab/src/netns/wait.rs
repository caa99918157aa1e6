//! Waiting for what the kernel does in its own time.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::enter;

static DEADLINE: OnceLock<Instant> = OnceLock::new();

/// The time of a test begins, in the process that is for it alone: all its waits together have so much.
pub(super) fn begin() {
    DEADLINE.get_or_init(from_now);
}

/// When a wait that begins now is in vain: a little before the test is killed, so that it is told what
/// was waited for. A wait has no shorter limit of its own: a machine that is slow is no failure.
///
/// Outside of a test, as in a benchmark that makes many labs one after the other, each wait has the time
/// of a test.
pub(super) fn deadline() -> Instant {
    DEADLINE.get().copied().unwrap_or_else(from_now)
}

fn from_now() -> Instant {
    Instant::now() + enter::limit() * 9 / 10
}

/// How long a test may still wait for anything before it counts as failed: the bound for what one
/// can be told of, such as a datagram.
///
/// ```
/// use std::net::UdpSocket;
///
/// use manycast_lab::netns::patience;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.set_read_timeout(Some(patience()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn patience() -> Duration {
    // Sockets take a timeout of zero for none at all.
    deadline()
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Reads a state again and again until `reached` says so, and panics with `what` a little before
/// the test would be killed.
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
    let (begin, deadline) = (Instant::now(), deadline());
    while !reached() {
        assert!(
            Instant::now() < deadline,
            "waited {:.0?} in vain for {what}",
            begin.elapsed()
        );
        thread::sleep(Duration::from_millis(1));
    }
}
