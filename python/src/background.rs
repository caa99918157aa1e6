//! What a thread of its own runs until it is closed, such as a server, and what that tells.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use manycast::Stopper;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, PollFlags, eventfd};

use crate::error;
use crate::fork::Birth;
use crate::origin::Origin;
use crate::wait::{Deadline, wait};

/// How much is remembered that nobody asks for: the latest.
const REMEMBERED: usize = 1_000;

/// A thread that runs until it is closed or ends, and what it has told.
pub(crate) struct Background<T> {
    class: &'static str,
    what: String,
    birth: Birth,
    origin: Origin,
    told: Arc<Told<T>>,
    stopper: Stopper,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// By which the thread tells.
pub(crate) struct Told<T> {
    state: Mutex<State<T>>,
    /// Readable when there is something to take.
    signal: OwnedFd,
}

struct State<T> {
    waiting: VecDeque<T>,
    ended: bool,
}

impl<T> Told<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: T) {
        let mut state = self.lock();
        if state.waiting.len() == REMEMBERED {
            state.waiting.pop_front();
        }
        state.waiting.push_back(event);
        self.signal();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.signal();
    }

    fn signal(&self) {
        let _ = rustix::io::write(&self.signal, &1_u64.to_ne_bytes());
    }

    /// What waits longest, if anything does; whether more may come.
    fn take(&self) -> (Option<T>, bool) {
        let mut state = self.lock();
        let event = state.waiting.pop_front();
        if state.waiting.is_empty() && !state.ended {
            let _ = rustix::io::read(&self.signal, &mut [0_u8; 8]);
        }
        (event, !state.ended)
    }
}

impl<T: Send + 'static> Background<T> {
    /// Starts a thread that does `run` until `stopper` stops it; `class` and `what` stand in messages.
    pub(crate) fn start(
        py: Python<'_>,
        class: &'static str,
        what: String,
        stopper: Stopper,
        run: impl FnOnce(&Told<T>) + Send + 'static,
    ) -> PyResult<Self> {
        /// Tells that it has ended, also where it panics.
        struct End<T>(Arc<Told<T>>);
        impl<T> Drop for End<T> {
            fn drop(&mut self) {
                self.0.end();
            }
        }

        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| error::machine("make an event descriptor", &errno.into()))?;
        let told = Arc::new(Told {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                ended: false,
            }),
            signal,
        });
        let end = End(Arc::clone(&told));
        let thread = thread::Builder::new()
            .name(class.to_lowercase())
            .spawn(move || {
                let end = end;
                run(&end.0);
            })
            .map_err(|error| error::machine("start a thread", &error))?;
        Ok(Self {
            class,
            what,
            birth: Birth::now(),
            origin: Origin::here(py)?,
            told,
            stopper,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What it is about.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Waits for what is told next; None: it has ended. `late` says that nothing was, within so many
    /// seconds.
    pub(crate) fn next(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        late: impl FnOnce(f64) -> String,
    ) -> PyResult<Option<T>> {
        self.birth.check(self.class)?;
        let deadline = Deadline::after(timeout);
        loop {
            match self.told.take() {
                (Some(event), _) => return Ok(Some(event)),
                (None, false) => return Ok(None),
                (None, true) => {}
            }
            if deadline.is_over() {
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                return Err(error::timed_out(late(seconds)));
            }
            wait(py, &[self.told.signal.as_fd()], PollFlags::IN, deadline)?;
        }
    }

    /// What was told and not taken, without waiting.
    pub(crate) fn try_next(&self) -> PyResult<Option<T>> {
        self.birth.check(self.class)?;
        Ok(self.told.take().0)
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.told.signal.as_raw_fd()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.told.lock().ended
    }

    /// Ends it, and waits until it has ended in good order.
    pub(crate) fn close(&self, py: Python<'_>) {
        if let Some(thread) = self.stopped() {
            py.detach(|| drop(thread.join()));
        }
    }

    pub(crate) fn repr(&self) -> String {
        let closed = if self.has_ended() { ", closed" } else { "" };
        format!("<{} of {}{closed}>", self.class, self.what)
    }
}

impl<T> Background<T> {
    /// The thread, which is told to end; None where it was told before, or is that of another process.
    fn stopped(&self) -> Option<thread::JoinHandle<()>> {
        if self.birth != Birth::now() {
            return None;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread.take()?;
        self.stopper.stop();
        Some(thread)
    }
}

impl<T> Drop for Background<T> {
    /// Warns, as Python's own sockets do, when nobody closed it, and ends it in good order.
    fn drop(&mut self) {
        let Some(thread) = self.stopped() else {
            return;
        };
        let message = format!("unclosed <{} of {}>", self.class, self.what);
        let mut thread = Some(thread);
        let mut join = || drop(thread.take().map(thread::JoinHandle::join));
        Python::try_attach(|py| {
            self.origin.warn_unclosed(py, &message);
            py.detach(&mut join);
        });
        // Where the interpreter is at its end, nobody is warned.
        join();
    }
}
