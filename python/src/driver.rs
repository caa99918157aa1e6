//! Running protocols: one class for all of them, for blocking and for event loops.
//!
//! A protocol says by [`PythonProtocol`] what its events and its statistics are in Python, and is
//! begun by [`begin`]. Waits with time-outs, Ctrl-C, iteration, commands of other threads and closing
//! come from here, and from `aio/driver.py` for asyncio.

mod run;

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use manycast::Stopper;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyTuple;
use rustix::event::PollFlags;

use crate::error;
use crate::fork::Birth;
use crate::origin::Origin;
use crate::sender::duplicate;
use crate::wait::{Deadline, timeout, wait};

use run::{One, Together};
pub(crate) use run::{PythonProtocol, Run, Tell};

/// Begins to run a protocol; `what` it does stands in messages.
pub(crate) fn begin<P: PythonProtocol>(
    py: Python<'_>,
    what: String,
    driver: manycast::Driver<P>,
) -> PyResult<Driver> {
    Driver::new(py, what, Box::new(One::new(driver)?), None)
}

/// As [`begin`], of something that runs a protocol by itself.
pub(crate) fn begin_own(py: Python<'_>, what: String, run: Box<dyn Run>) -> PyResult<Driver> {
    Driver::new(py, what, run, None)
}

/// As [`begin`], but several that run as one, until `enough` events are told of in all; their
/// statistics are a tuple. One alone is no several.
pub(crate) fn begin_all<P: PythonProtocol>(
    py: Python<'_>,
    what: String,
    drivers: Vec<manycast::Driver<P>>,
    enough: Option<usize>,
) -> PyResult<Driver> {
    let mut all = drivers
        .into_iter()
        .map(One::new)
        .collect::<PyResult<Vec<_>>>()?;
    match all.pop() {
        Some(one) if all.is_empty() => Driver::new(py, what, Box::new(one), enough),
        last => {
            all.extend(last);
            Driver::new(py, what, Box::new(Together::new(all)?), enough)
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
    told: Mutex<Told>,
}

/// What was told of until now.
struct Told {
    /// How many events are still wanted; None: all.
    wanted: Option<usize>,
    /// The error of one while others went on.
    failure: Option<PyErr>,
}

impl Shared {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Box<dyn Run>> {
        self.run
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told of now, if anything; never waits. The error of one of several is told when the
    /// others have ended.
    fn step(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            let (told, has_others, is_finished) = py.detach(|| {
                let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
                let told = run.step();
                (told, run.has_others(), run.is_finished())
            });
            let event = match told {
                Ok(Some(told)) => told(py),
                Ok(None) => {
                    let failure = self.told(py).failure.take_if(|_| is_finished);
                    return failure.map_or(Ok(None), Err);
                }
                Err(failure) => Err(error::exception(failure)),
            };
            match event {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if let Some(event) = self.count(py, event) {
                        return Ok(Some(event));
                    }
                }
                Err(failure) if has_others => {
                    self.told(py).failure.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The event, unless enough were told of before. With the last that is wanted all comes to its end,
    /// and an error of one does not matter.
    fn count(&self, py: Python<'_>, event: Py<PyAny>) -> Option<Py<PyAny>> {
        let mut told = self.told(py);
        let Some(wanted) = told.wanted else {
            return Some(event);
        };
        told.wanted = Some(wanted.checked_sub(1)?);
        if wanted == 1 {
            told.failure = None;
            drop(told);
            self.lock(py).finish();
        }
        Some(event)
    }

    fn told(&self, py: Python<'_>) -> MutexGuard<'_, Told> {
        self.told
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    fn new(
        py: Python<'_>,
        what: String,
        run: Box<dyn Run>,
        enough: Option<usize>,
    ) -> PyResult<Self> {
        let shared = Shared {
            ready: duplicate(&run.ready())?,
            stopper: Stopper::new().map_err(|error| error::exception(error.into()))?,
            run: Mutex::new(run),
            told: Mutex::new(Told {
                wanted: enough,
                failure: None,
            }),
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

    /// Closes what a child that was forked off has of it, but for a search, whose threads are the parent's. Whoever waits does so in the parent.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let shared = match &*self.lock(py) {
            State::Running(shared) => Arc::clone(shared),
            State::Ended { .. } => return Ok(()),
        };
        // Where a thread of the parent was at it, it is so for ever here.
        let Ok(run) = shared.run.try_lock() else {
            return Ok(());
        };
        let (stats, finished) = (run.stats(py)?, run.is_finished());
        *self.lock(py) = State::Ended { stats, finished };
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
            self.end(py)
        } else {
            self.leave(py)
        }
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
            Err(error) if error::is_closed(py, &error) => Ok(None),
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
