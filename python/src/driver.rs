//! Running protocols: one class for all of them, for blocking and for event loops.
//!
//! A protocol says by [`PythonProtocol`] what its events and its statistics are in Python, and is
//! begun by [`begin`]. Waits with time-outs, Ctrl-C, iteration, commands of other threads and closing
//! come from here, and from `aio/driver.py` for asyncio.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use manycast::proto::Protocol;
use manycast::{Commands, Error, Stopper};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyTuple;
use rustix::event::PollFlags;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::error;
use crate::fork::Birth;
use crate::origin::Origin;
use crate::sender::duplicate;
use crate::value;
use crate::wait::{Deadline, timeout, wait};

/// What a protocol is in Python.
pub(crate) trait PythonProtocol: Protocol<Event: Send> + Send + Sized + 'static {
    /// What Python sees of an event, and None where it is not told of. An error is raised by whoever
    /// waits for events.
    fn event(py: Python<'_>, event: Self::Event) -> PyResult<Option<Py<PyAny>>>;

    /// What it has counted until now.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;

    /// Comes to its end in good order.
    fn finish(&mut self, now: Instant) {
        self.stop(now);
    }

    /// A command of its own, by its name and arguments; None where there is none of this name.
    fn command(_name: &str, _arguments: &Bound<'_, PyTuple>) -> PyResult<Option<Command<Self>>> {
        Ok(None)
    }
}

/// What a command does with a protocol.
pub(crate) type Command<P> = Box<dyn FnOnce(&mut P, Instant) + Send>;

/// An event, which becomes an object of Python once the interpreter is held.
type Told = Box<dyn FnOnce(Python<'_>) -> PyResult<Option<Py<PyAny>>> + Send>;

/// A driver of whatever protocol.
trait Run: Send {
    /// Does what there is to do, without waiting, until something is to be told.
    fn step(&mut self) -> Result<Option<Told>, Error>;

    /// When it wants to go on even if nothing comes.
    fn until(&self) -> Option<Instant>;

    fn is_finished(&self) -> bool;

    fn finish(&self);

    /// Gives a command, and says whether there is one of this name.
    fn command(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<bool>;

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;

    /// Readable when there is something to do.
    fn ready(&self) -> BorrowedFd<'_>;
}

struct One<P: Protocol> {
    driver: manycast::Driver<P>,
    commands: Commands<P>,
}

impl<P: PythonProtocol> One<P> {
    fn new(mut driver: manycast::Driver<P>) -> PyResult<Self> {
        let commands = driver.commands().map_err(error::exception)?;
        Ok(Self { driver, commands })
    }
}

impl<P: PythonProtocol> Run for One<P> {
    fn step(&mut self) -> Result<Option<Told>, Error> {
        let next = self.driver.next_event(Some(Duration::ZERO))?;
        Ok(next
            .event()
            .map(|event| -> Told { Box::new(move |py| P::event(py, event)) }))
    }

    fn until(&self) -> Option<Instant> {
        self.driver.until()
    }

    fn is_finished(&self) -> bool {
        self.driver.is_finished()
    }

    fn finish(&self) {
        self.commands.give(PythonProtocol::finish);
    }

    fn command(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let command = P::command(name, arguments)?;
        Ok(command.is_some_and(|command| self.commands.give(command)))
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.driver.protocol().stats(py)
    }

    fn ready(&self) -> BorrowedFd<'_> {
        self.driver.as_fd()
    }
}

/// Several that run as one, such as one for each interface.
struct Together<P: Protocol> {
    all: Vec<One<P>>,
    epoll: OwnedFd,
}

impl<P: PythonProtocol> Together<P> {
    fn new(all: Vec<One<P>>) -> PyResult<Self> {
        let failed = |errno: rustix::io::Errno| error::machine("watch a socket", &errno.into());
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        for one in &all {
            epoll::add(&epoll, one.ready(), EventData::new_u64(0), EventFlags::IN)
                .map_err(failed)?;
        }
        Ok(Self { all, epoll })
    }

    fn running(&self) -> impl Iterator<Item = &One<P>> {
        self.all.iter().filter(|one| !one.is_finished())
    }
}

impl<P: PythonProtocol> Run for Together<P> {
    fn step(&mut self) -> Result<Option<Told>, Error> {
        for one in &mut self.all {
            if one.is_finished() {
                continue;
            }
            let told = one.step()?;
            if one.is_finished() {
                // What it has left unread must not wake the others for ever.
                let _ = epoll::delete(&self.epoll, one.ready());
            }
            if told.is_some() {
                return Ok(told);
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

/// Begins to run a protocol; `what` it does stands in messages.
pub(crate) fn begin<P: PythonProtocol>(
    py: Python<'_>,
    what: String,
    driver: manycast::Driver<P>,
) -> PyResult<Driver> {
    Driver::new(py, what, Box::new(One::new(driver)?))
}

/// As [`begin`], but several that run as one; their statistics are a tuple. One alone is no several.
pub(crate) fn begin_all<P: PythonProtocol>(
    py: Python<'_>,
    what: String,
    drivers: Vec<manycast::Driver<P>>,
) -> PyResult<Driver> {
    let mut all = drivers
        .into_iter()
        .map(One::new)
        .collect::<PyResult<Vec<_>>>()?;
    match all.pop() {
        Some(one) if all.is_empty() => Driver::new(py, what, Box::new(one)),
        last => {
            all.extend(last);
            Driver::new(py, what, Box::new(Together::new(all)?))
        }
    }
}

/// Runs a protocol in the thread that iterates over it, or that waits by ``next_event``.
///
/// What is told of is plain values. ``run`` goes on to the end and returns the ``stats``. Close it, or
/// use it as a context manager; one that has finished is closed. Several threads may use it: each event
/// goes to one of them. ``aio.Driver`` is the same for asyncio.
///
/// >>> with manycast.measure.send("127.0.0.1:9", count=3) as driver:
/// ...     for event in driver:
/// ...         print(event)
/// ...     driver.stats.datagrams
/// Finished(report=None)
/// 3
#[pyclass(frozen, generic, weakref, module = "manycast", skip_from_py_object)]
pub(crate) struct Driver {
    what: String,
    birth: Birth,
    origin: Origin,
    state: Mutex<State>,
}

enum State {
    Running(Arc<Shared>),
    Ended {
        stats: Py<PyAny>,
        /// Whether it came to its end, and was not closed before.
        finished: bool,
    },
}

struct Shared {
    run: Mutex<Box<dyn Run>>,
    /// What is waited for without the lock.
    ready: OwnedFd,
    /// Ends the waits when it is closed.
    stopper: Stopper,
}

impl Shared {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Box<dyn Run>> {
        self.run
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told of now, if anything; never waits.
    fn step(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            let told = py.detach(|| {
                let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
                run.step()
            });
            match told.map_err(error::exception)? {
                None => return Ok(None),
                Some(told) => {
                    if let Some(event) = told(py)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }
}

impl Driver {
    fn new(py: Python<'_>, what: String, run: Box<dyn Run>) -> PyResult<Self> {
        let shared = Shared {
            ready: duplicate(&run.ready())?,
            stopper: Stopper::new().map_err(|error| error::exception(error.into()))?,
            run: Mutex::new(run),
        };
        Ok(Self {
            what,
            birth: Birth::now(),
            origin: Origin::here(py)?,
            state: Mutex::new(State::Running(Arc::new(shared))),
        })
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs; None where it has finished.
    fn open(&self, py: Python<'_>) -> PyResult<Option<Arc<Shared>>> {
        self.birth.check("Driver")?;
        match &*self.lock(py) {
            State::Running(shared) => Ok(Some(Arc::clone(shared))),
            State::Ended { finished: true, .. } => Ok(None),
            State::Ended { .. } => Err(Self::closed_error()),
        }
    }

    fn closed_error() -> PyErr {
        error::closed("the Driver is closed; begin another".to_owned())
    }

    /// Closes the sockets, and keeps what was counted.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let shared = match &*self.lock(py) {
            State::Running(shared) => Arc::clone(shared),
            State::Ended { .. } => return Ok(()),
        };
        let (stats, finished) = {
            let run = shared.lock(py);
            (run.stats(py)?, run.is_finished())
        };
        *self.lock(py) = State::Ended { stats, finished };
        shared.stopper.stop();
        Ok(())
    }

    /// Waits for what is told of next; None: it has finished.
    fn wait_for(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
        let Some(shared) = self.open(py)? else {
            return Ok(None);
        };
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(event) = shared.step(py)? {
                return Ok(Some(event));
            }
            let (finished, until) = {
                let run = shared.lock(py);
                (run.is_finished(), run.until())
            };
            if shared.stopper.is_stopped() {
                return self.open(py).map(|_| None);
            }
            if finished {
                self.end(py)?;
                return Ok(None);
            }
            if deadline.is_over() {
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                return Err(error::timed_out(format!(
                    "{} told nothing within {seconds} s",
                    self.what
                )));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                py.check_signals()?;
            } else {
                let fds = [shared.ready.as_fd(), shared.stopper.as_fd()];
                wait(py, &fds, PollFlags::IN, deadline.or(until))?;
            }
        }
    }
}

#[pymethods]
impl Driver {
    /// Waits for what the protocol tells next, and returns it; None: it has finished.
    ///
    /// ``timeout`` is in seconds; None waits for ever. TimedOut: nothing was told in time.
    /// ClosedError: another thread closed it.
    #[pyo3(signature = (*, timeout=None))]
    fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.wait_for(py, self::timeout(timeout)?)
    }

    /// Does what there is to do without waiting, and returns what the protocol tells, or None. For
    /// event loops, which call it again after ``wait`` seconds, or when ``fileno`` is readable before,
    /// and close it when it has ``finished``.
    fn try_next_event(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(shared) = self.open(py)? else {
            return Ok(None);
        };
        shared.step(py)
    }

    /// Runs the protocol to its end, closes it and returns its ``stats``.
    fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let outcome = loop {
            match self.wait_for(py, None) {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.end(py)?;
        outcome?;
        self.stats(py)
    }

    /// Asks the protocol to come to its end in good order; iterate until it has.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(shared) = self.open(py)? {
            shared.lock(py).finish();
        }
        Ok(())
    }

    /// Gives the protocol a command of its own.
    ///
    /// AttributeError: it has none of this name.
    #[pyo3(signature = (name, /, *arguments))]
    fn command(&self, py: Python<'_>, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        let Some(shared) = self.open(py)? else {
            return Ok(());
        };
        let is_known = shared.lock(py).command(name, arguments)?;
        if is_known {
            return Ok(());
        }
        let what = &self.what;
        Err(PyAttributeError::new_err(format!(
            "{what} has no command {name:?}"
        )))
    }

    /// What the protocol has counted until now, or until it was closed.
    #[getter]
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let shared = match &*self.lock(py) {
            State::Ended { stats, .. } => return Ok(stats.clone_ref(py)),
            State::Running(shared) => Arc::clone(shared),
        };
        shared.lock(py).stats(py)
    }

    /// Whether the protocol has finished, or was closed.
    #[getter]
    fn finished(&self, py: Python<'_>) -> bool {
        let shared = match &*self.lock(py) {
            State::Ended { .. } => return true,
            State::Running(shared) => Arc::clone(shared),
        };
        shared.lock(py).is_finished()
    }

    /// How many seconds an event loop may wait before the next ``try_next_event``; None: for ever.
    #[getter]
    fn wait(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let Some(shared) = self.open(py)? else {
            return Ok(None);
        };
        let until = shared.lock(py).until();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        Ok(left.map(|left| left.as_secs_f64()))
    }

    /// The descriptor that is readable when there is something to do.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        match self.open(py)? {
            Some(shared) => Ok(shared.ready.as_raw_fd()),
            None => Err(Self::closed_error()),
        }
    }

    /// Ends it at once and closes its sockets; waits of other threads end with ClosedError. Repeating
    /// it is harmless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.birth == Birth::now() {
            self.end(py)?;
        }
        Ok(())
    }

    /// Whether its sockets are closed: it was closed, or has finished.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        matches!(&*self.lock(py), State::Ended { .. })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next event; the iteration ends when the protocol does, or when it is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.wait_for(py, None) {
            Err(_) if self.closed(py) => Ok(None),
            next => next,
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let ended = match &*self.lock(py) {
            State::Running(_) => "",
            State::Ended { finished: true, .. } => ", finished",
            State::Ended { .. } => ", closed",
        };
        format!("<Driver of {}{ended}>", self.what)
    }
}

impl Drop for Driver {
    /// Warns, as Python's own sockets do, when nobody closed it.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(state, State::Running(_)) && self.birth == Birth::now() {
            Python::try_attach(|py| {
                self.origin
                    .warn_unclosed(py, &format!("unclosed <Driver of {}>", self.what));
            });
        }
    }
}
