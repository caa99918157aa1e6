//! Receiving, the same for listeners and sockets: one queue of datagrams, many threads, one close.

use std::collections::VecDeque;
use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use manycast::{Run, Stopper};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};
use rustix::event::PollFlags;

use crate::datagram::{Datagram, Header};
use crate::error;
use crate::fork::Birth;
use crate::origin::Origin;
use crate::readiness::Readiness;
use crate::wait::{Deadline, wait};

/// What datagrams come from.
pub(crate) trait Source: AsFd + Send {
    /// Takes datagrams that are there and came in one piece, at most `limit`; never waits.
    fn take(&mut self, limit: usize) -> Result<Option<Run<'_>>, manycast::Error>;

    /// What it listens on, for messages.
    fn describe(&self) -> String;
}

/// A source, shared by threads until it is closed.
///
/// No lock is held while anything is waited for, and no Python object is made under a lock that
/// could run other Python code.
pub(crate) struct Receiving<S: Source> {
    class: &'static str,
    birth: Birth,
    origin: Origin,
    timeout: Option<Duration>,
    shared: Mutex<Option<Arc<Shared<S>>>>,
}

/// How many datagrams one call takes at most, more than a receive buffer holds as a rule: in a flood there
/// are always more, and the interpreter is not let go before the call ends.
const AT_ONCE: usize = 16_384;

struct Shared<S> {
    state: Mutex<State<S>>,
    /// The source's descriptor, for waiting without the lock.
    ready: OwnedFd,
    /// Ends the waits when it is closed.
    stopper: Stopper,
}

struct State<S> {
    feed: Feed<S>,
    /// What was fetched and not yet handed out.
    ahead: VecDeque<Py<Datagram>>,
    /// An error that came behind these datagrams.
    failure: Option<PyErr>,
    /// What tells an event loop of both, as soon as one has asked for a descriptor.
    readiness: Option<Readiness>,
}

struct Feed<S> {
    source: S,
    /// The last header, which the next datagrams share if it is theirs too.
    header: Option<Arc<Header>>,
}

impl<S: Source> Receiving<S> {
    pub(crate) fn new(
        py: Python<'_>,
        class: &'static str,
        source: S,
        timeout: Option<Duration>,
    ) -> PyResult<Self> {
        keep_freed_memory();
        let ready = source
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| error::machine("duplicate a descriptor", &error))?;
        let stopper = Stopper::new().map_err(|error| error::exception(error.into()))?;
        let state = Mutex::new(State {
            feed: Feed {
                source,
                header: None,
            },
            ahead: VecDeque::new(),
            failure: None,
            readiness: None,
        });
        let shared = Shared {
            state,
            ready,
            stopper,
        };
        Ok(Self {
            class,
            birth: Birth::now(),
            origin: Origin::here(py)?,
            timeout,
            shared: Mutex::new(Some(Arc::new(shared))),
        })
    }

    /// The oldest datagram, as soon as there is one.
    pub(crate) fn recv(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Py<Datagram>> {
        let shared = self.open(py)?;
        self.wait_for(py, &shared, timeout, |state| state.take_one(py))
    }

    /// The next datagram of an iteration, which ends when it is closed.
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        match self.recv(py, None) {
            Ok(datagram) => Ok(Some(datagram)),
            Err(error) if error::is_closed(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// From one to `limit` datagrams, as soon as there are any.
    pub(crate) fn recv_many(
        &self,
        py: Python<'_>,
        limit: usize,
        timeout: Option<Duration>,
    ) -> PyResult<Vec<Py<Datagram>>> {
        if limit == 0 {
            return Err(PyValueError::new_err(
                "at least one datagram is waited for; give a limit from 1",
            ));
        }
        let shared = self.open(py)?;
        self.wait_for(py, &shared, timeout, |state| {
            let taken = state.take(py, limit)?;
            Ok((!taken.is_empty()).then_some(taken))
        })
    }

    /// At most `limit` datagrams that are there now; never waits.
    pub(crate) fn take(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<Py<Datagram>>> {
        let shared = self.open(py)?;
        let mut state = shared.lock(py);
        state.take(py, limit)
    }

    /// Payloads, at most `limit` and as many as fit, into a buffer, as soon as there are any; and where
    /// each begins and the last ends.
    pub(crate) fn recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        limit: usize,
        timeout: Option<Duration>,
    ) -> PyResult<Vec<usize>> {
        if limit == 0 {
            return Err(PyValueError::new_err(
                "at least one datagram is waited for; give a limit from 1",
            ));
        }
        let shared = self.open(py)?;
        let into = Into::new(buffer)?;
        let taken = self.wait_for(py, &shared, timeout, |state| {
            let taken = state.take_payloads(py, limit, into.size)?;
            Ok((!taken.offsets.is_empty()).then_some(taken))
        })?;
        into.write(py, taken)
    }

    /// As [`Self::recv_into`], but never waits.
    pub(crate) fn take_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        limit: usize,
    ) -> PyResult<Vec<usize>> {
        let shared = self.open(py)?;
        let into = Into::new(buffer)?;
        let taken = shared.lock(py).take_payloads(py, limit, into.size)?;
        into.write(py, taken)
    }

    /// Calls `attempt` until it has something, and waits in between.
    fn wait_for<T>(
        &self,
        py: Python<'_>,
        shared: &Shared<S>,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut State<S>) -> PyResult<Option<T>>,
    ) -> PyResult<T> {
        let timeout = timeout.or(self.timeout);
        if let Some(found) = attempt(&mut shared.lock(py))? {
            return Ok(found);
        }
        let deadline = Deadline::after(timeout);
        loop {
            let fds = [shared.ready.as_fd(), shared.stopper.as_fd()];
            wait(py, &fds, PollFlags::IN, deadline)?;
            if shared.stopper.is_stopped() {
                return Err(self.closed());
            }
            // Also when nothing is ready: another thread may have fetched more than it took.
            if let Some(found) = attempt(&mut shared.lock(py))? {
                return Ok(found);
            }
            if deadline.is_over() {
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                let what = shared.lock(py).feed.source.describe();
                return Err(error::timed_out(format!(
                    "nothing came on {what} within {seconds} s; manycast.doctor() finds out \
                     why"
                )));
            }
        }
    }

    /// Does something with the source.
    pub(crate) fn with<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut S) -> PyResult<T>,
    ) -> PyResult<T> {
        let shared = self.open(py)?;
        let mut state = shared.lock(py);
        act(&mut state.feed.source)
    }

    /// The oldest datagram that is there now; never waits.
    pub(crate) fn take_one(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        let shared = self.open(py)?;
        let mut state = shared.lock(py);
        state.take_one(py)
    }

    /// The descriptor that is readable as long as there is something to receive.
    pub(crate) fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        let shared = self.open(py)?;
        let mut state = shared.lock(py);
        if let Some(readiness) = &state.readiness {
            return Ok(readiness.as_raw_fd());
        }
        let readiness = Readiness::of(shared.ready.as_fd())
            .map_err(|errno| error::machine("watch a socket", &errno.into()))?;
        let fd = readiness.as_raw_fd();
        state.readiness = Some(readiness);
        state.look_ahead(py, false)?;
        Ok(fd)
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.lock(py).is_none()
    }

    /// Closes it, and ends the waits of other threads.
    pub(crate) fn close(&self, py: Python<'_>) {
        if let Some(shared) = self.lock(py).take()
            && self.birth == Birth::now()
        {
            shared.stopper.stop();
        }
    }

    pub(crate) fn repr(&self, py: Python<'_>) -> String {
        match self.open(py) {
            Ok(shared) => format!(
                "<{} on {}>",
                self.class,
                shared.lock(py).feed.source.describe()
            ),
            Err(_) => format!("<{}, closed>", self.class),
        }
    }

    pub(crate) fn closed(&self) -> PyErr {
        error::closed(format!("the {} is closed; open another", self.class))
    }

    fn open(&self, py: Python<'_>) -> PyResult<Arc<Shared<S>>> {
        self.birth.check(self.class)?;
        self.lock(py).clone().ok_or_else(|| self.closed())
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Option<Arc<Shared<S>>>> {
        self.shared
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer of Python that payloads are written into.
struct Into<'py> {
    view: Bound<'py, PyAny>,
    size: usize,
}

impl<'py> Into<'py> {
    fn new(buffer: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = buffer.py();
        let view = PyMemoryView::from(buffer)?.into_any();
        if view.getattr("readonly")?.is_truthy()? {
            return Err(PyTypeError::new_err(
                "the buffer cannot be written to; give a bytearray, for one",
            ));
        }
        let view = view.call_method1(intern!(py, "cast"), ("B",))?;
        let size = view.len()?;
        Ok(Self { view, size })
    }

    /// Writes the payloads, and returns where each begins and the last ends.
    fn write(self, py: Python<'py>, taken: Payloads) -> PyResult<Vec<usize>> {
        if !taken.bytes.is_empty() {
            // The stable interface of CPython before 3.11 has no other access to a buffer than this.
            let end = isize::try_from(taken.bytes.len())?;
            let all = PySlice::new(py, 0, end, 1);
            self.view.set_item(all, PyBytes::new(py, &taken.bytes))?;
        }
        Ok(taken.offsets)
    }
}

/// Payloads, one behind the other.
#[derive(Default)]
struct Payloads {
    bytes: Vec<u8>,
    /// Where each begins, and where the last ends; empty where there is none.
    offsets: Vec<usize>,
}

impl Payloads {
    fn count(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Takes in a payload, if there is room for it.
    fn add(&mut self, payload: &[u8], size: usize) -> bool {
        if self.bytes.len() + payload.len() > size {
            return false;
        }
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.bytes.extend_from_slice(payload);
        self.offsets.push(self.bytes.len());
        true
    }
}

/// Lets the allocator keep what a batch of datagrams gave back, for the next one.
///
/// The GNU allocator returns the end of its heap to the kernel whenever more than 128 KiB are free
/// there, and fetches it again for the next batch, page by page, which takes longer than receiving
/// does. It raises that limit by itself when a larger block is freed (mallopt(3), under
/// M_MMAP_THRESHOLD), so one is. Nothing is written to it, so it costs no memory.
fn keep_freed_memory() {
    const BLOCK: usize = 8 << 20;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(BLOCK))));
}

impl<S: Source> Drop for Receiving<S> {
    /// Warns, as Python's own sockets do, when nobody closed it.
    fn drop(&mut self) {
        let shared = self
            .shared
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(shared) = shared
            && self.birth == Birth::now()
        {
            let class = self.class;
            Python::try_attach(|py| {
                let what = shared.lock(py).feed.source.describe();
                self.origin
                    .warn_unclosed(py, &format!("unclosed <{class} on {what}>"));
            });
        }
    }
}

impl<S: Source> Shared<S> {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State<S>> {
        self.state
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> State<S> {
    /// The oldest datagram.
    fn take_one(&mut self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        let is_drained = self.ahead.is_empty() && !self.fetch(py, usize::MAX)?;
        let taken = self.ahead.pop_front();
        self.look_ahead(py, is_drained)?;
        Ok(taken)
    }

    /// The oldest datagrams, at most `limit`.
    fn take(&mut self, py: Python<'_>, limit: usize) -> PyResult<Vec<Py<Datagram>>> {
        let limit = limit.min(AT_ONCE);
        let mut is_drained = false;
        while self.ahead.len() < limit && !is_drained {
            is_drained = !self.fetch(py, limit - self.ahead.len())?;
        }
        let count = self.ahead.len().min(limit);
        let taken = self.ahead.drain(..count).collect();
        self.look_ahead(py, is_drained)?;
        Ok(taken)
    }

    /// The payloads of the oldest datagrams, at most `limit` and `size` bytes in all. The first that does
    /// not fit stays for the next call; where it is longer than all of the buffer, the error has it.
    fn take_payloads(&mut self, py: Python<'_>, limit: usize, size: usize) -> PyResult<Payloads> {
        let limit = limit.min(AT_ONCE);
        let mut taken = Payloads::default();
        let mut is_drained = false;
        while taken.count() < limit {
            if let Some(next) = self.ahead.front() {
                if taken.add(next.get().payload(py).as_bytes(py), size) {
                    self.ahead.pop_front();
                    continue;
                }
                break;
            }
            let wanted = limit - taken.count();
            match self.failure.take() {
                None => {}
                Some(failure) if taken.offsets.is_empty() => {
                    self.tell()?;
                    return Err(failure);
                }
                Some(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
            match self
                .feed
                .fetch_payloads(py, wanted, size, &mut taken, &mut self.ahead)
            {
                Ok(true) => {}
                Ok(false) => {
                    is_drained = true;
                    break;
                }
                // It is told of by the next turn of this loop, or by the next call.
                Err(failure) => self.failure = Some(failure),
            }
        }
        let too_long = match self.ahead.front() {
            Some(_) if taken.offsets.is_empty() && limit > 0 => self.ahead.pop_front(),
            _ => None,
        };
        self.look_ahead(py, is_drained)?;
        let Some(datagram) = too_long else {
            return Ok(taken);
        };
        let length = datagram.get().payload(py).as_bytes(py).len();
        let message = format!(
            "a datagram of {length} bytes is longer than the buffer of {size}; give a larger one"
        );
        Err(error::truncated(message, datagram.into_any()))
    }

    /// Fetches at most `limit` datagrams behind those that are there, and says whether there were
    /// any. An error behind datagrams waits until they are handed out, so that none is lost with it.
    fn fetch(&mut self, py: Python<'_>, limit: usize) -> PyResult<bool> {
        let fetched = match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.feed.fetch(py, limit, &mut self.ahead),
        };
        match fetched {
            Err(failure) if !self.ahead.is_empty() => self.failure = Some(failure),
            Err(failure) => {
                self.tell()?;
                return Err(failure);
            }
            Ok(fetched) => return Ok(fetched),
        }
        Ok(false)
    }

    /// Fetches what is next, for the descriptor of event loops to be readable as long as there is
    /// something: the source may hold more than the kernel knows of. Where it was just found to be
    /// drained, there is nothing to fetch.
    fn look_ahead(&mut self, py: Python<'_>, is_drained: bool) -> PyResult<()> {
        if self.readiness.is_none() {
            return Ok(());
        }
        if !is_drained && self.ahead.is_empty() && self.failure.is_none() {
            self.failure = self.feed.fetch(py, usize::MAX, &mut self.ahead).err();
        }
        self.tell()
    }

    /// Makes the descriptor of event loops readable, or no longer.
    fn tell(&mut self) -> PyResult<()> {
        let is_fetched = !self.ahead.is_empty() || self.failure.is_some();
        match &mut self.readiness {
            Some(readiness) => readiness
                .raise(is_fetched)
                .map_err(|errno| error::machine("watch a socket", &errno.into())),
            None => Ok(()),
        }
    }
}

impl<S: Source> Feed<S> {
    /// Fetches the payloads of what is there and came in one piece, and says whether there was any. What
    /// does not fit becomes datagrams.
    fn fetch_payloads(
        &mut self,
        py: Python<'_>,
        limit: usize,
        size: usize,
        taken: &mut Payloads,
        ahead: &mut VecDeque<Py<Datagram>>,
    ) -> PyResult<bool> {
        let Some(run) = self.source.take(limit).map_err(error::exception)? else {
            return Ok(false);
        };
        for payload in run.payloads() {
            if ahead.is_empty() && taken.add(payload, size) {
                continue;
            }
            let header = Header::shared(run.whole(), &mut self.header);
            ahead.push_back(Py::new(py, Datagram::new(py, payload, header))?);
        }
        Ok(true)
    }

    /// Fetches what is there and came in one piece, at most `limit` datagrams, and says whether
    /// there were any.
    fn fetch(
        &mut self,
        py: Python<'_>,
        limit: usize,
        into: &mut impl Extend<Py<Datagram>>,
    ) -> PyResult<bool> {
        let Some(run) = self.source.take(limit).map_err(error::exception)? else {
            return Ok(false);
        };
        let header = Header::shared(run.whole(), &mut self.header);
        for payload in run.payloads() {
            into.extend([Py::new(py, Datagram::new(py, payload, header))?]);
        }
        Ok(true)
    }
}
