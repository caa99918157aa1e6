//! A server for a folder, which a thread runs.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use manycast::Stopper;
use manycast::transfer::tftp::{Error, Event, Record, Server, ServerOptions};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rustix::event::{EventfdFlags, PollFlags, eventfd};

use super::{counted, exception, make, roll_over};
use crate::address::{self, Interface, Sources, socket_address};
use crate::error;
use crate::fork::Birth;
use crate::origin::Origin;
use crate::wait::{Deadline, timeout, wait};

/// How many transfers are remembered that nobody asks for.
const REMEMBERED: usize = 1_000;

/// Serves the files of a folder by TFTP, in a thread of its own, until it is closed.
///
/// Nothing outside of ``folder`` is served: neither ``..`` nor a link leads out of it. ``addresses`` is
/// where it listens, by default ":69", which takes the privilege. It is for reading; with ``write`` it
/// takes new files of up to ``max_size`` bytes, with ``overwrite`` in place of others too. With
/// ``single_port`` it answers from the port that was asked, for firewalls. ``multicast`` is the group, or
/// the groups, that files are sent to when clients ask for that. ``limit`` is how many transfers run at
/// once, ``limit_per_address`` how many of them one address has, ``max_duration`` how many seconds each
/// may take.
///
/// Iterate over it, or wait by ``next_transfer``, for each transfer that has ended: a Transfer. The latest
/// thousand wait to be asked for; it serves whether or not anybody asks. Close it, or use it as a context
/// manager. ``aio.tftp.Server`` is the same for asyncio.
///
/// >>> with manycast.tftp.Server(".", "127.0.0.1:0") as server:
/// ...     report = manycast.tftp.get(f"{server.local_addresses[0]}/conftest.py", io.BytesIO())
/// ...     transfer = server.next_transfer(timeout=10)
/// >>> transfer.name, transfer.bytes == report.bytes, transfer.error
/// ('conftest.py', True, None)
///
/// FileError: there is no such folder. Raises also what opening a Listener raises.
#[pyclass(
    frozen,
    weakref,
    module = "manycast.tftp",
    name = "Server",
    skip_from_py_object
)]
pub(crate) struct TftpServer {
    what: String,
    birth: Birth,
    origin: Origin,
    local: Vec<std::net::SocketAddr>,
    shared: Arc<Shared>,
    stopper: Stopper,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    told: Mutex<Told>,
    /// Readable when there is something to take.
    signal: OwnedFd,
}

#[derive(Default)]
struct Told {
    records: VecDeque<Record>,
    failure: Option<Error>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, record: Record) {
        let mut told = self.lock();
        if told.records.len() == REMEMBERED {
            told.records.pop_front();
        }
        told.records.push_back(record);
        self.signal();
    }

    fn end(&self, failure: Option<Error>) {
        let mut told = self.lock();
        told.ended = true;
        told.failure = failure;
        self.signal();
    }

    fn signal(&self) {
        let _ = rustix::io::write(&self.signal, &1_u64.to_ne_bytes());
    }

    /// The next record, if there is one; whether more may come.
    fn take(&self) -> Result<(Option<Record>, bool), Error> {
        let mut told = self.lock();
        let record = told.records.pop_front();
        if told.records.is_empty() && !told.ended {
            let _ = rustix::io::read(&self.signal, &mut [0_u8; 8]);
        }
        match (&record, told.failure.take()) {
            (None, Some(failure)) => Err(failure),
            (_, failure) => {
                told.failure = failure;
                Ok((record, !told.ended))
            }
        }
    }
}

impl TftpServer {
    fn next(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
        self.birth.check("Server")?;
        let deadline = Deadline::after(timeout);
        loop {
            match self.shared.take().map_err(exception)? {
                (Some(record), _) => return transfer(py, &record).map(Some),
                (None, false) => return Ok(None),
                (None, true) => {}
            }
            if deadline.is_over() {
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                let what = &self.what;
                return Err(error::timed_out(format!(
                    "no transfer of {what} has ended within {seconds} s"
                )));
            }
            wait(py, &[self.shared.signal.as_fd()], PollFlags::IN, deadline)?;
        }
    }

    fn end(&self, py: Python<'_>) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            self.stopper.stop();
            py.detach(|| drop(thread.join()));
        }
    }
}

#[pymethods]
impl TftpServer {
    #[new]
    #[pyo3(signature = (
        folder, /, *addresses, interface=None, write=false, overwrite=false, max_size=None,
        single_port=false, multicast=None, limit=1000, limit_per_address=100, max_duration=43200.0,
        rollover=0
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        addresses: &Bound<'_, PyTuple>,
        interface: Option<Interface>,
        write: bool,
        overwrite: bool,
        max_size: Option<u64>,
        single_port: bool,
        multicast: Option<Sources>,
        limit: usize,
        limit_per_address: usize,
        max_duration: f64,
        rollover: u8,
    ) -> PyResult<Self> {
        let default = PyTuple::new(py, [":69"])?;
        let addresses = if addresses.is_empty() {
            &default
        } else {
            addresses
        };
        let addresses = address::many(addresses, interface, None)?;
        let mut options = ServerOptions::default();
        options.write = write;
        options.overwrite = overwrite;
        options.max_size = max_size;
        let protocol = &mut options.protocol;
        protocol.single_port = single_port;
        protocol.groups = multicast.map_or_else(|| Ok(Vec::new()), |groups| groups.ips())?;
        if let Some(ip) = protocol.groups.iter().find(|ip| !ip.is_multicast()) {
            return Err(error::address(format!("{ip} is no multicast group")));
        }
        protocol.transfers = limit;
        protocol.per_address = limit_per_address;
        protocol.duration = timeout(Some(max_duration))?.unwrap_or(protocol.duration);
        protocol.roll_over = roll_over(rollover)?;
        let what = folder.display().to_string();
        let mut server = py
            .detach(|| Server::open(&folder, &addresses, options))
            .map_err(exception)?;
        let local = server.local_addrs().to_vec();
        let stopper = server.stopper().map_err(exception)?;
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| error::machine("make an event descriptor", &errno.into()))?;
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            signal,
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("tftp-server".to_owned())
            .spawn(move || {
                let served = server.run(|event| {
                    if let Event::Ended(record) = event {
                        own.tell(record);
                    }
                });
                own.end(served.err());
            })
            .map_err(|error| error::machine("start a thread", &error))?;
        Ok(Self {
            what,
            birth: Birth::now(),
            origin: Origin::here(py)?,
            local,
            shared,
            stopper,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The addresses that it listens on, with their ports.
    #[getter]
    fn local_addresses(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let addresses = self.local.iter();
        addresses
            .map(|address| socket_address(py, *address))
            .collect()
    }

    /// Waits for the next transfer that ends, and returns it, a Transfer; None: the server was closed.
    ///
    /// ``timeout`` is in seconds; None waits for ever. TimedOut: none has ended in time.
    #[pyo3(signature = (*, timeout=None))]
    fn next_transfer(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.next(py, self::timeout(timeout)?)
    }

    /// The next transfer that has ended, without waiting, or None. For event loops, which call it when
    /// ``fileno`` is readable.
    fn try_next_transfer(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.birth.check("Server")?;
        let (record, _) = self.shared.take().map_err(exception)?;
        record.map(|record| transfer(py, &record)).transpose()
    }

    /// The descriptor that is readable when a transfer has ended that was not taken, or when the server
    /// was closed.
    fn fileno(&self) -> RawFd {
        self.shared.signal.as_raw_fd()
    }

    /// Ends it, and tells those who have transfers. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        if self.birth == Birth::now() {
            self.end(py);
        }
    }

    /// Whether it serves no longer.
    #[getter]
    fn closed(&self) -> bool {
        self.shared.lock().ended
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next transfer that ends; the iteration ends when the server is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.next(py, None)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed() { ", closed" } else { "" };
        format!("<Server of {}{closed}>", self.what)
    }
}

impl Drop for TftpServer {
    /// Warns, as Python's own sockets do, when nobody closed it.
    fn drop(&mut self) {
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some() && self.birth == Birth::now() {
            self.stopper.stop();
            Python::try_attach(|py| {
                self.origin
                    .warn_unclosed(py, &format!("unclosed <Server of {}>", self.what));
            });
        }
    }
}

/// A Transfer.
fn transfer(py: Python<'_>, record: &Record) -> PyResult<Py<PyAny>> {
    let fields = counted(py, &record.summary, record.agreed.as_ref())?;
    fields.set_item("peer", socket_address(py, record.peer)?)?;
    fields.set_item("write", record.write)?;
    fields.set_item("name", &record.name)?;
    fields.set_item("error", record.result.as_ref().err())?;
    make(py, "Transfer", &fields)
}
