//! What a protocol is for Python, and one driver or several that run as one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use manycast::proto::Protocol;
use manycast::{Commands, Dropped, Error, Stopper};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::error;
use crate::fork::Owned;
use crate::value;

/// What a protocol is in Python.
pub(crate) trait PythonProtocol: Protocol<Event: Send> + Send + Sized + 'static {
    /// What Python sees of an event, and None where it is not told of. An error is raised by whoever
    /// waits for events.
    fn event(py: Python<'_>, event: Self::Event) -> PyResult<Option<Py<PyAny>>>;

    /// What it has counted until now, and what the kernel dropped for want of room.
    fn stats(&self, py: Python<'_>, dropped: Dropped) -> PyResult<Py<PyAny>>;

    /// How it comes to its end in good order, so that it tells what there is to tell before. None: it is
    /// stopped as at once, and tells nothing more.
    const FINISH: Option<fn(&mut Self, Instant)> = None;

    /// A command of its own, by its name and arguments; None where there is none of this name.
    fn command(_name: &str, _arguments: &Bound<'_, PyTuple>) -> PyResult<Option<Command<Self>>> {
        Ok(None)
    }
}

/// What a command does with a protocol.
pub(crate) type Command<P> = Box<dyn FnOnce(&mut P, Instant) + Send>;

/// An event, which becomes an object of Python once the interpreter is held.
pub(crate) type Tell = Box<dyn FnOnce(Python<'_>) -> PyResult<Option<Py<PyAny>>> + Send>;

/// A driver of whatever protocol.
pub(crate) trait Run: Send {
    /// Does what there is to do, without waiting, until something is to be told.
    fn step(&mut self) -> Result<Option<Tell>, Error>;

    /// When it wants to go on even if nothing comes.
    fn until(&self) -> Option<Instant>;

    fn is_finished(&self) -> bool;

    /// Whether another one goes on where the one that spoke last has failed.
    fn has_others(&self) -> bool {
        false
    }

    fn finish(&self);

    /// Gives a command, and says whether there is one of this name.
    fn command(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<bool>;

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;

    /// Readable when there is something to do.
    fn ready(&self) -> BorrowedFd<'_>;
}

pub(super) struct One<P: Protocol> {
    driver: Owned<manycast::Driver<P>>,
    stopper: Stopper,
    commands: Commands<P>,
}

impl<P: PythonProtocol> One<P> {
    pub(super) fn new(mut driver: manycast::Driver<P>) -> PyResult<Self> {
        let stopper = driver.stopper().map_err(error::exception)?;
        let commands = driver.commands().map_err(error::exception)?;
        Ok(Self {
            // Taken apart, it does not run the stop hook of the protocol.
            driver: Owned::new(driver, |driver| drop(driver.into_parts())),
            stopper,
            commands,
        })
    }
}

impl<P: PythonProtocol> Run for One<P> {
    fn step(&mut self) -> Result<Option<Tell>, Error> {
        let next = self.driver.next_event(Some(Duration::ZERO))?;
        Ok(next
            .event()
            .map(|event| -> Tell { Box::new(move |py| P::event(py, event)) }))
    }

    fn until(&self) -> Option<Instant> {
        self.driver.until()
    }

    fn is_finished(&self) -> bool {
        self.driver.is_finished()
    }

    fn finish(&self) {
        // The driver stops the protocol at its end, and a protocol is stopped once.
        match P::FINISH {
            Some(finish) => drop(self.commands.give(finish)),
            None => self.stopper.stop(),
        }
    }

    fn command(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let command = P::command(name, arguments)?;
        Ok(command.is_some_and(|command| self.commands.give(command)))
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dropped = self.driver.endpoint().dropped();
        self.driver.protocol().stats(py, dropped)
    }

    fn ready(&self) -> BorrowedFd<'_> {
        self.driver.as_fd()
    }
}

/// Several that run as one, such as one for each interface.
pub(super) struct Together<P: Protocol> {
    all: Vec<One<P>>,
    /// Which one spoke last: the next has its turn before it.
    last: usize,
    epoll: OwnedFd,
}

impl<P: PythonProtocol> Together<P> {
    pub(super) fn new(all: Vec<One<P>>) -> PyResult<Self> {
        let failed = |errno: rustix::io::Errno| error::machine("watch a socket", &errno.into());
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        for one in &all {
            epoll::add(&epoll, one.ready(), EventData::new_u64(0), EventFlags::IN)
                .map_err(failed)?;
        }
        Ok(Self {
            last: all.len().saturating_sub(1),
            all,
            epoll,
        })
    }

    fn running(&self) -> impl Iterator<Item = &One<P>> {
        self.all.iter().filter(|one| !one.is_finished())
    }
}

impl<P: PythonProtocol> Run for Together<P> {
    fn step(&mut self) -> Result<Option<Tell>, Error> {
        let (count, first) = (self.all.len(), self.last + 1);
        for place in first..first + count {
            let place = place % count;
            let one = &mut self.all[place];
            if one.is_finished() {
                continue;
            }
            let told = one.step();
            if one.is_finished() {
                // What it has left unread must not wake the others for ever.
                let _ = epoll::delete(&self.epoll, one.ready());
            }
            if !matches!(told, Ok(None)) {
                self.last = place;
                return told;
            }
        }
        Ok(None)
    }

    fn until(&self) -> Option<Instant> {
        self.running().filter_map(Run::until).min()
    }

    fn is_finished(&self) -> bool {
        self.running().next().is_none()
    }

    fn has_others(&self) -> bool {
        let mut all = self.all.iter().enumerate();
        all.any(|(place, one)| place != self.last && !one.is_finished())
    }

    fn finish(&self) {
        self.running().for_each(Run::finish);
    }

    fn command(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let mut is_known = false;
        for one in self.running() {
            is_known |= one.command(name, arguments)?;
        }
        Ok(is_known)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let stats = self.all.iter().map(|one| one.stats(py));
        value::tuple(py, stats.collect::<PyResult<Vec<_>>>()?)
    }

    fn ready(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
