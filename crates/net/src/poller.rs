//! Waiting for many sockets at once, and ending that wait from elsewhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::sys::poller::{self, Event, Set};
use crate::{Error, Operation};

/// A set of descriptors, and the wait for any of them.
///
/// It is itself a descriptor that is readable when one of its members is, so that a whole set can
/// stand in another program's event loop.
#[derive(Debug)]
pub struct Poller {
    set: Set,
}

/// Which member of a [`Poller`] is ready: the number under which it was added.
pub type Token = u64;

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let set = Set::new().map_err(failed)?;
        Ok(Self { set })
    }

    /// Adds a descriptor, to be waited for until it is readable or has an error to tell. A member
    /// that is added again has the new token.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): `fs.epoll.max_user_watches` is reached.
    pub fn add(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        self.set.add(fd, token, false).map_err(failed)
    }

    /// As [`Poller::add`], but it is waited for until it is readable or writable. Adding it again by
    /// the one or by the other changes what is waited for.
    ///
    /// # Errors
    ///
    /// As [`Poller::add`].
    pub fn add_for_writing(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        self.set.add(fd, token, true).map_err(failed)
    }

    /// Removes a descriptor. Closing it would do so too, unless it was duplicated.
    ///
    /// # Errors
    ///
    /// [`Other`](crate::ErrorKind::Other): it is no member.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), Error> {
        self.set.remove(fd).map_err(failed)
    }

    /// Waits until a member is ready, at most for `timeout` (`None`: for ever), and puts the tokens
    /// of those that are into `ready`, which is emptied first. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn wait(&self, ready: &mut Vec<Token>, timeout: Option<Duration>) -> Result<(), Error> {
        ready.clear();
        self.set.wait(ready, timeout).map_err(failed)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Operation::Wait, "sockets", error)
}

/// How much time has passed since some moment, as exactly as to 10 ms: for who looks at the time before
/// each of many datagrams, since to ask for it costs a fifth of what [`std::time::Instant`] does.
pub fn coarse_time() -> Duration {
    poller::coarse_time()
}

/// Ends a wait from another thread or from a signal's.
///
/// ```
/// use manycast_net::{Poller, Stopper};
///
/// let (poller, stopper) = (Poller::new()?, Stopper::new()?);
/// poller.add(&stopper, 7)?;
/// std::thread::spawn({
///     let stopper = stopper.clone();
///     move || stopper.stop()
/// });
/// let mut ready = Vec::new();
/// poller.wait(&mut ready, None)?;
/// assert_eq!(ready, [7]);
/// assert!(stopper.is_stopped());
/// # Ok::<(), manycast_net::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stopper {
    event: Arc<Event>,
}

impl Stopper {
    /// Something that can be stopped once and then stays so.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let event = Event::new().map_err(failed)?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Ends the wait, now or when it comes. Repeating it is harmless.
    pub fn stop(&self) {
        self.event.raise();
    }

    /// Whether [`Stopper::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.event.is_raised()
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Ends a wait from another thread, as often as wanted: whoever waits sees it and clears it.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_net::{Poller, Waker};
///
/// let (poller, waker) = (Poller::new()?, Waker::new()?);
/// poller.add(&waker, 7)?;
/// waker.wake();
/// let mut ready = Vec::new();
/// poller.wait(&mut ready, None)?;
/// assert_eq!(ready, [7]);
///
/// waker.clear();
/// poller.wait(&mut ready, Some(Duration::ZERO))?;
/// assert_eq!(ready, []);
/// # Ok::<(), manycast_net::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<Event>,
}

impl Waker {
    /// Something that is not woken yet.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let event = Event::new().map_err(failed)?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Ends the wait, now or when it comes.
    pub fn wake(&self) {
        self.event.raise();
    }

    /// Takes note of it, so that the next wait waits again. What is woken after this is not lost.
    pub fn clear(&self) {
        self.event.clear();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// A descriptor that is readable once a time is over, for an event loop whose own timers are not exact
/// enough: it is late by no more than the timer slack of the system, 50 µs on Linux (`prctl(2)`).
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_net::{Alarm, Poller};
///
/// let (poller, alarm) = (Poller::new()?, Alarm::new()?);
/// poller.add(&alarm, 7)?;
/// let begin = Instant::now();
/// alarm.set(Duration::from_micros(200))?;
/// let mut ready = Vec::new();
/// poller.wait(&mut ready, None)?;
/// assert_eq!(ready, [7]);
/// assert!(begin.elapsed() >= Duration::from_micros(200));
/// # Ok::<(), manycast_net::Error>(())
/// ```
#[derive(Debug)]
pub struct Alarm {
    alarm: poller::Alarm,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let alarm = poller::Alarm::new().map_err(failed)?;
        Ok(Self { alarm })
    }

    /// Makes the descriptor readable after this time, and until then not, whatever was set before.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set(&self, after: Duration) -> Result<(), Error> {
        self.alarm.set(after).map_err(failed)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alarm.as_fd()
    }
}
