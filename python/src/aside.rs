//! Work that cannot be broken off, such as looking up a name: one of a few threads does it, and whoever
//! waits for it can go away.

use std::collections::VecDeque;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use manycast::{Error, Stopper};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error;
use crate::fork::Birth;
use crate::wait::{Deadline, wait};

/// Opens something with the interpreter let go. Where it looks up a name or waits for an address that is
/// tentative, Ctrl-C ends the wait at once. A thread that runs an event loop waits for no address: it has
/// the error at once.
pub(crate) fn unlocked<T: Send + 'static>(
    py: Python<'_>,
    looks_up: bool,
    mut open: impl FnMut() -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    if !looks_up {
        match py.detach(&mut open) {
            Err(error) if error.is_tentative() && !runs_event_loop(py)? => {}
            done => return done.map_err(error::exception),
        }
    }
    let done = Aside::start(&LOOK_UPS, || manycast::patiently(open))?.wait(py)?;
    done.map_err(error::exception)
}

/// Whether an event loop of asyncio runs in this thread.
fn runs_event_loop(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?;
    // Where nobody has imported it, it runs nothing.
    match modules.cast::<PyDict>()?.get_item("asyncio")? {
        Some(asyncio) => Ok(!asyncio.call_method0("_get_running_loop")?.is_none()),
        None => Ok(false),
    }
}

/// Begins to wait until no address of this host is tentative, three seconds at most. The result of the
/// Pending is None.
#[pyfunction]
pub(crate) fn begin_wait_for_addresses() -> PyResult<Pending> {
    Pending::start(&LOOK_UPS, manycast::wait_for_addresses, |py, ()| {
        Ok(py.None())
    })
}

/// Threads for work of one kind, so many at most. What is more than that waits for its turn, unless
/// whoever wanted it has gone. A thread ends when there is nothing left to do.
pub(crate) struct Pool {
    most: usize,
    state: Mutex<Waiting>,
}

/// Looks up names. Each may take as long as a name server does not answer.
pub(crate) static LOOK_UPS: Pool = Pool::of(16);

/// Examines why nothing arrives. Each takes as long as its caller said.
pub(crate) static EXAMINATIONS: Pool = Pool::of(16);

/// Transfers files. Each takes as long as its file.
pub(crate) static TRANSFERS: Pool = Pool::of(64);

/// Sends and receives files and streams to many. Each goes on for as long as its caller wants, and must
/// not wait for others.
pub(crate) static DELIVERIES: Pool = Pool::of(1024);

struct Waiting {
    tasks: VecDeque<Task>,
    threads: usize,
    /// In a child process that was forked off, none of the threads is left.
    birth: Option<Birth>,
}

struct Task {
    /// Whether anybody still waits for what comes of it.
    is_wanted: Box<dyn Fn() -> bool + Send>,
    work: Box<dyn FnOnce() + Send>,
}

impl Pool {
    const fn of(most: usize) -> Self {
        let waiting = Waiting {
            tasks: VecDeque::new(),
            threads: 0,
            birth: None,
        };
        Self {
            most,
            state: Mutex::new(waiting),
        }
    }

    fn add(&'static self, task: Task) -> PyResult<()> {
        let mut state = lock(&self.state);
        if state.birth != Some(Birth::now()) {
            let anew = Waiting {
                tasks: VecDeque::new(),
                threads: 0,
                birth: Some(Birth::now()),
            };
            // Dropped, they would say to the parent, who waits for them, that they have ended.
            mem::forget(mem::replace(&mut *state, anew));
        }
        state.tasks.retain(|task| (task.is_wanted)());
        state.tasks.push_back(task);
        if state.threads < self.most {
            let started = thread::Builder::new()
                .name("manycast".to_owned())
                .spawn(|| self.work());
            match started {
                Ok(_) => state.threads += 1,
                // The threads that there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    state.tasks.pop_back();
                    return Err(error::machine("start a thread", &error));
                }
            }
        }
        Ok(())
    }

    fn work(&self) {
        loop {
            let task = {
                let mut state = lock(&self.state);
                let Some(task) = state.tasks.pop_front() else {
                    state.threads -= 1;
                    return;
                };
                task
            };
            if (task.is_wanted)() {
                // A panic has been printed, and whoever waits hears that there is no outcome.
                drop(catch_unwind(AssertUnwindSafe(task.work)));
            }
        }
    }
}

/// Work that a thread of a pool does. What comes of it is dropped when nobody waits any more.
pub(crate) struct Aside<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    ended: Stopper,
    outcome: Mutex<Option<T>>,
}

impl<T: Send + 'static> Aside<T> {
    pub(crate) fn start(
        pool: &'static Pool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> PyResult<Self> {
        /// Ends the wait for the work, also where it panics.
        struct End<T>(Weak<Shared<T>>);
        impl<T> Drop for End<T> {
            fn drop(&mut self) {
                if let Some(shared) = self.0.upgrade() {
                    shared.ended.stop();
                }
            }
        }

        let ended = Stopper::new().map_err(|error| error::exception(error.into()))?;
        let outcome = Mutex::new(None);
        let shared = Arc::new(Shared { ended, outcome });
        // No more than this is kept of work that nobody waits for: it has no descriptor.
        let (wanted, end) = (Arc::downgrade(&shared), End(Arc::downgrade(&shared)));
        pool.add(Task {
            is_wanted: Box::new(move || wanted.strong_count() > 0),
            work: Box::new(move || {
                let done = work();
                if let Some(shared) = end.0.upgrade() {
                    *lock(&shared.outcome) = Some(done);
                }
                drop(end);
            }),
        })?;
        Ok(Self { shared })
    }

    /// Waits until it is done, for the one who takes the outcome.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<T> {
        let ended = &self.shared.ended;
        while !ended.is_stopped() {
            wait(py, &[ended.as_fd()], PollFlags::IN, Deadline::after(None))?;
        }
        let outcome = lock(&self.shared.outcome).take();
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
    birth: Birth,
    aside: Aside<Finish>,
    /// Ends the work when nobody waits any more, where it can be ended.
    end: Option<End>,
}

type End = Box<dyn Fn() + Send + Sync>;

impl Pending {
    /// Starts `work`; `finish` makes of its outcome what Python sees.
    pub(crate) fn start<T: Send + 'static>(
        pool: &'static Pool,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self> {
        let aside = Aside::start(pool, move || -> Finish {
            let outcome = work();
            Box::new(move |py| finish(py, outcome.map_err(error::exception)?))
        })?;
        Ok(Self {
            birth: Birth::now(),
            aside,
            end: None,
        })
    }

    /// Calls `end` when nobody waits any more.
    pub(crate) fn ended_by(mut self, end: impl Fn() + Send + Sync + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }

    /// Waits a moment for work that was ended, until it has let go of its files.
    fn let_go(&self, py: Python<'_>) {
        const AT_MOST: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 300_000_000,
        };
        let ended = &self.aside.shared.ended;
        py.detach(|| {
            // Whether it has or not, the wait is over.
            let _ = poll(&mut [PollFd::new(ended, PollFlags::IN)], Some(&AT_MOST));
        });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[pymethods]
impl Pending {
    /// What came of the work; waits until it is done. Ctrl-C ends the work too, where it can be ended.
    pub(crate) fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check("transfer")?;
        let finish = self.aside.wait(py).inspect_err(|_| {
            if self.cancel() {
                self.let_go(py);
            }
        })?;
        finish(py)
    }

    /// Ends the work, and says whether it can be ended: ``fileno`` is readable soon then. In a child that
    /// was forked off, it is left to the parent.
    fn cancel(&self) -> bool {
        match &self.end {
            Some(end) if !self.forked() => {
                end();
                true
            }
            _ => false,
        }
    }

    /// Whether this process was forked off since the work was begun, which the parent still does.
    #[getter]
    fn forked(&self) -> bool {
        self.birth != Birth::now()
    }

    /// Fails in a child that was forked off since; ``what`` stands in the message.
    fn check(&self, what: &str) -> PyResult<()> {
        self.birth.check(what)
    }

    /// The descriptor that is readable when the work is done.
    fn fileno(&self) -> RawFd {
        self.aside.shared.ended.as_fd().as_raw_fd()
    }
}

/// Defines two functions of one list of keywords: one that waits, and has the documentation, and one that
/// begins and returns the Pending, for event loops.
macro_rules! waits_or_begins {
    (
        $(#[doc = $documentation:literal])*
        signature = $signature:tt
        fn $waits:ident, $begins:ident($($name:ident: $type:ty),* $(,)?) $begin:block
    ) => {
        $(#[doc = $documentation])*
        #[pyo3::pyfunction]
        #[pyo3(signature = $signature)]
        #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
        pub(crate) fn $waits(
            py: pyo3::Python<'_>,
            $($name: $type),*
        ) -> pyo3::PyResult<pyo3::Py<pyo3::PyAny>> {
            $begins($($name),*)?.result(py)
        }

        /// Begins what the function without ``begin_`` does. The result of the Pending is what that returns.
        #[pyo3::pyfunction]
        #[pyo3(signature = $signature)]
        #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
        pub(crate) fn $begins($($name: $type),*) -> pyo3::PyResult<crate::aside::Pending> $begin
    };
}
pub(crate) use waits_or_begins;
