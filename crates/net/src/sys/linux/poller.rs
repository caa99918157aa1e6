//! The wait for many descriptors: `epoll(7)`, `eventfd(2)` for what another thread says, and
//! `timerfd_create(2)` for a moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// A wait that is longer than this may end up to a millisecond late.
const EXACT: Duration = Duration::from_millis(20);

/// The clock that goes on with the kernel's tick (`clock_gettime(2)`).
pub(crate) fn coarse_time() -> Duration {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Duration::try_from(time).unwrap_or_default()
}

/// A set of descriptors.
#[derive(Debug)]
pub(crate) struct Set {
    epoll: OwnedFd,
}

impl Set {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Adds a descriptor, or changes one that is a member, to be waited for until it is readable or,
    /// if that is wanted, writable.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        let data = EventData::new_u64(token);
        let mut events = EventFlags::IN;
        events.set(EventFlags::OUT, writable);
        match epoll::add(&self.epoll, &fd, data, events) {
            Err(Errno::EXIST) => Ok(epoll::modify(&self.epoll, fd, data, events)?),
            result => Ok(result?),
        }
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits, and adds the tokens of the members that are ready to `ready`. A signal ends it early.
    pub(crate) fn wait(&self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        if let Some(exact) = timeout.filter(|timeout| timeout.subsec_nanos() % 1_000_000 != 0)
            && exact < EXACT
        {
            // `epoll_wait(2)` counts milliseconds, and its successor is not on every kernel.
            let exact = Timespec::try_from(exact).ok();
            let mut itself = [PollFd::new(&self.epoll, PollFlags::IN)];
            match poll(&mut itself, exact.as_ref()) {
                Ok(0) | Err(Errno::INTR) => return Ok(()),
                Ok(_) => timeout = Some(Duration::ZERO),
                Err(error) => return Err(error.into()),
            }
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => {
                ready.extend(events.iter().map(|event| event.data.u64()));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// A descriptor that is readable once it is raised, until it is cleared.
#[derive(Debug)]
pub(crate) struct Event {
    event: OwnedFd,
}

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event })
    }

    pub(crate) fn raise(&self) {
        // Should the counter be full, it is readable all the same.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
    }

    pub(crate) fn is_raised(&self) -> bool {
        let mut fds = [PollFd::new(&self.event, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// A descriptor that is readable once a time is over.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer })
    }

    pub(crate) fn set(&self, after: Duration) -> io::Result<()> {
        // Zero would turn it off.
        let after = after.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(after).map_err(|_| Errno::INVAL)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
