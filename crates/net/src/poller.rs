//! Waiting for many sockets at once: `epoll(7)`, behind a face that any system can offer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};

use crate::{Error, Operation};

/// A set of descriptors, and the wait for any of them.
///
/// It is itself a descriptor that is readable when one of its members is, so that a whole set can
/// stand in another program's event loop.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// A wait that is longer than this may end up to a millisecond late.
const EXACT: Duration = Duration::from_millis(20);

/// Which member of a [`Poller`] is ready: the number under which it was added.
pub type Token = u64;

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        Ok(Self { epoll })
    }

    /// Adds a descriptor, to be waited for until it is readable or has an error to tell. A member
    /// that is added again has the new token.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): `fs.epoll.max_user_watches` is reached.
    pub fn add(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        self.add_for(fd, token, EventFlags::IN)
    }

    /// As [`Poller::add`], but it is waited for until it is readable or writable. Adding it again by
    /// the one or by the other changes what is waited for.
    ///
    /// # Errors
    ///
    /// As [`Poller::add`].
    pub fn add_for_writing(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        self.add_for(fd, token, EventFlags::IN | EventFlags::OUT)
    }

    fn add_for(&self, fd: impl AsFd, token: Token, events: EventFlags) -> Result<(), Error> {
        let data = EventData::new_u64(token);
        match epoll::add(&self.epoll, &fd, data, events) {
            Err(rustix::io::Errno::EXIST) => {
                epoll::modify(&self.epoll, fd, data, events).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    /// Removes a descriptor. Closing it would do so too, unless it was duplicated.
    ///
    /// # Errors
    ///
    /// [`Other`](crate::ErrorKind::Other): it is no member.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), Error> {
        epoll::delete(&self.epoll, fd).map_err(failed)
    }

    /// Waits until a member is ready, at most for `timeout` (`None`: for ever), and puts the tokens
    /// of those that are into `ready`, which is emptied first. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn wait(&self, ready: &mut Vec<Token>, timeout: Option<Duration>) -> Result<(), Error> {
        ready.clear();
        let mut timeout = timeout;
        if let Some(exact) = timeout.filter(|timeout| timeout.subsec_nanos() % 1_000_000 != 0)
            && exact < EXACT
        {
            // `epoll_wait(2)` counts milliseconds, and its successor is not on every kernel.
            let exact = Timespec::try_from(exact).ok();
            let mut itself = [PollFd::new(&self.epoll, PollFlags::IN)];
            match rustix::event::poll(&mut itself, exact.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                Ok(_) => timeout = Some(Duration::ZERO),
                Err(error) => return Err(failed(error)),
            }
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => {
                ready.extend(events.iter().map(|event| event.data.u64()));
                Ok(())
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn failed(error: rustix::io::Errno) -> Error {
    Error::new(Operation::Wait, "sockets", io::Error::from(error))
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
    event: Arc<OwnedFd>,
}

impl Stopper {
    /// Something that can be stopped once and then stays so.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Ends the wait, now or when it comes. Repeating it is harmless.
    pub fn stop(&self) {
        // The counter is never read down, so it stays readable; should it be full, it is that too.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Whether [`Stopper::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        let mut fds = [PollFd::new(&*self.event, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Ends a wait from another thread, as often as wanted: whoever waits hears it and clears it.
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
    event: Arc<OwnedFd>,
}

impl Waker {
    /// Something that is not woken yet.
    ///
    /// # Errors
    ///
    /// [`LimitReached`](crate::ErrorKind::LimitReached): too many open files.
    pub fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Ends the wait, now or when it comes.
    pub fn wake(&self) {
        // Should the counter be full, it is readable all the same.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Takes note of it, so that the next wait waits again. What is woken after this is not lost.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
