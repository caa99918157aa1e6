//! Waiting, with the interpreter let go and signals heard.

use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error;

/// A signal ends a wait at once, but one that lands just before the wait begins is only seen when
/// it ends: so it ends this often.
const SLICE: Duration = Duration::from_millis(100);

/// How long until it is looked again whether there is room, where the kernel does not tell.
const AGAIN: Duration = Duration::from_millis(1);

/// When a wait is over: after `timeout`, or never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// This one, or the other if that is sooner.
    pub(crate) fn or(self, other: Option<Instant>) -> Self {
        Self(match (self.0, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    /// What is left of it, and no more than a slice.
    fn slice(self) -> Duration {
        self.0.map_or(SLICE, |at| {
            at.saturating_duration_since(Instant::now()).min(SLICE)
        })
    }

    pub(crate) fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }
}

/// Waits until one of `fds` is ready for `flags`, or for a slice of time, or until the deadline, and
/// says what is ready. A signal's handler runs at once, and may end it with its exception.
pub(crate) fn wait(
    py: Python<'_>,
    fds: &[BorrowedFd<'_>],
    flags: PollFlags,
    deadline: Deadline,
) -> PyResult<PollFlags> {
    let slice = Timespec::try_from(deadline.slice()).ok();
    let ready = py.detach(|| {
        let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, flags)).collect();
        poll(&mut fds, slice.as_ref())?;
        Ok(fds.iter().map(PollFd::revents).collect())
    });
    match ready {
        Ok(ready) => py.check_signals().map(|()| ready),
        Err(Errno::INTR) => py.check_signals().map(|()| PollFlags::empty()),
        Err(errno) => Err(error::machine("wait for a socket", &errno.into())),
    }
}

/// Waits until the send buffer of a socket has room, or for a slice of time.
pub(crate) fn wait_for_room(py: Python<'_>, fd: BorrowedFd<'_>) -> PyResult<()> {
    let ready = wait(py, &[fd], PollFlags::OUT, Deadline::after(None))?;
    // What came back as undeliverable ends each wait at once, until somebody receives it.
    if ready.contains(PollFlags::ERR) && !ready.contains(PollFlags::OUT) {
        py.detach(|| thread::sleep(AGAIN));
    }
    Ok(())
}

/// Reads a time-out in seconds. Infinity is longer than any deadline; what `None` means is up to
/// the caller.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    match seconds {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => Err(PyValueError::new_err(format!(
            "a time-out of {seconds} s cannot be waited; give seconds from 0, or None"
        ))),
        Some(seconds) => Ok(Some(
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        )),
    }
}
