//! Work that cannot be broken off, such as looking up a name: a thread does it, and whoever waits for
//! it can go away.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use manycast::{Error, Stopper};
use pyo3::prelude::*;
use rustix::event::PollFlags;

use crate::error;
use crate::wait::{Deadline, wait};

/// Does `work` with the interpreter let go, and where it looks up a name so that Ctrl-C ends the wait
/// at once.
pub(crate) fn unlocked<T: Send + 'static>(
    py: Python<'_>,
    looks_up: bool,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let done = if looks_up {
        Aside::start(work)?.wait(py)?
    } else {
        py.detach(work)
    };
    done.map_err(error::exception)
}

/// Work that a thread of its own does. What comes of it is dropped when nobody waits any more.
pub(crate) struct Aside<T> {
    ended: Stopper,
    outcome: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Aside<T> {
    pub(crate) fn start(work: impl FnOnce() -> T + Send + 'static) -> PyResult<Self> {
        /// Ends the wait for the work, also where it panics.
        struct End(Stopper);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.stop();
            }
        }

        let ended = Stopper::new().map_err(|error| error::exception(error.into()))?;
        let outcome = Arc::new(Mutex::new(None));
        let (end, slot) = (End(ended.clone()), Arc::downgrade(&outcome));
        thread::Builder::new()
            .name("manycast".to_owned())
            .spawn(move || {
                let _end = end;
                let done = work();
                if let Some(slot) = slot.upgrade() {
                    *lock(&slot) = Some(done);
                }
            })
            .map_err(|error| error::machine("start a thread", &error))?;
        Ok(Self { ended, outcome })
    }

    /// Waits until it is done, for the one who takes the outcome.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<T> {
        while !self.ended.is_stopped() {
            let forever = Deadline::after(None);
            wait(py, &[self.ended.as_fd()], PollFlags::IN, forever)?;
        }
        let outcome = lock(&self.outcome).take();
        outcome.ok_or_else(|| error::general("the work ended without an outcome".to_owned()))
    }
}

/// It is held for as long as a value is moved.
fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns the outcome of work into an object of Python.
type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Work that is being done, for event loops: they wait for ``fileno`` to be readable, and then take
/// the ``result``, once.
#[pyclass(frozen, module = "manycast._manycast", skip_from_py_object)]
pub(crate) struct Pending {
    aside: Aside<Finish>,
}

impl Pending {
    /// Starts `work`; `finish` makes of its outcome what Python sees.
    pub(crate) fn start<T: Send + 'static>(
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
        finish: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Self> {
        let aside = Aside::start(move || -> Finish {
            let outcome = work();
            Box::new(move |py| finish(py, outcome.map_err(error::exception)?))
        })?;
        Ok(Self { aside })
    }
}

#[pymethods]
impl Pending {
    /// What came of the work; waits until it is done.
    pub(crate) fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.aside.wait(py)?(py)
    }

    /// The descriptor that is readable when the work is done.
    fn fileno(&self) -> RawFd {
        self.aside.ended.as_fd().as_raw_fd()
    }
}
