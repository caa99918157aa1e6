//! One descriptor for two things: what the kernel holds, and what was fetched from it already.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

/// The descriptor that a receiver shows to event loops.
///
/// The kernel hands over many datagrams at once, and those that were fetched and not yet handed out
/// make no socket readable. So the descriptor is an epoll(7) of the source and of an eventfd(2), whose
/// counter is not zero while something lies fetched.
#[derive(Debug)]
pub(crate) struct Readiness {
    epoll: OwnedFd,
    fetched: OwnedFd,
    is_raised: bool,
}

impl Readiness {
    pub(crate) fn of(source: BorrowedFd<'_>) -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let fetched = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        for fd in [source, fetched.as_fd()] {
            epoll::add(&epoll, fd, EventData::new_u64(0), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            fetched,
            is_raised: false,
        })
    }

    /// Says whether something lies fetched.
    pub(crate) fn raise(&mut self, is_fetched: bool) -> Result<(), Errno> {
        if is_fetched == self.is_raised {
            return Ok(());
        }
        if is_fetched {
            write(&self.fetched, &1_u64.to_ne_bytes())?;
        } else {
            read(&self.fetched, &mut [0_u8; 8])?;
        }
        self.is_raised = is_fetched;
        Ok(())
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}
