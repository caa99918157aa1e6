//! A server for a folder, which a thread runs.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use manycast::transfer::tftp::{Error, Event, Record, Server, ServerOptions};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{counted, exception, make, roll_over};
use crate::address::{self, Interface, Sources, socket_address};
use crate::background::Background;
use crate::error;
use crate::wait::timeout;

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
    local: Vec<std::net::SocketAddr>,
    /// What it tells are the transfers that have ended, and at the end perhaps a failure.
    background: Background<Result<Record, Error>>,
}

impl TftpServer {
    fn next(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
        let what = self.background.what();
        let late = |seconds| format!("no transfer of {what} has ended within {seconds} s");
        transfer(py, self.background.next(py, timeout, late)?)
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
        let background = Background::start(py, "Server", what, stopper, move |told| {
            let served = server.run(|event| {
                if let Event::Ended(record) = event {
                    told.tell(Ok(record));
                }
            });
            if let Err(failure) = served {
                told.tell(Err(failure));
            }
        })?;
        Ok(Self { local, background })
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
        transfer(py, self.background.try_next()?)
    }

    /// The descriptor that is readable when a transfer has ended that was not taken, or when the server
    /// was closed.
    fn fileno(&self) -> RawFd {
        self.background.fileno()
    }

    /// Ends it, and tells those who have transfers. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        self.background.close(py);
    }

    /// Whether it serves no longer.
    #[getter]
    fn closed(&self) -> bool {
        self.background.has_ended()
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
        self.background.repr()
    }
}

/// A Transfer, or what has ended the server.
fn transfer(py: Python<'_>, told: Option<Result<Record, Error>>) -> PyResult<Option<Py<PyAny>>> {
    let Some(record) = told.transpose().map_err(exception)? else {
        return Ok(None);
    };
    let fields = counted(py, &record.summary, record.agreed.as_ref())?;
    fields.set_item("peer", socket_address(py, record.peer)?)?;
    fields.set_item("write", record.write)?;
    fields.set_item("name", &record.name)?;
    fields.set_item("error", record.result.as_ref().err())?;
    make(py, "Transfer", &fields).map(Some)
}
