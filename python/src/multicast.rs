//! The interfaces that users wished for, in their own words.

use manycast::SocketConfig;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::address::{self, Interface, Sources};
use crate::datagram::Datagram;
use crate::receive::Receiving;
use crate::wait::timeout;
use crate::{error, listener};

/// Receives the payloads that come to a group.
///
/// The smallest of interfaces: where source, interface or time of a datagram matter, use Listener.
/// ``interface`` is a name, an index or a local address, and every interface that can multicast
/// where it is left out; ``sources`` are the senders that are wanted (SSM); ``timeout`` is in
/// seconds, None waits for ever.
///
/// >>> with MulticastListener("239.192.0.100", 5000, interface="lo", timeout=5) as listener:
/// ...     sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
/// ...     print(listener.recv(100))
/// b'Hello, world!'
///
/// Raises what opening a Listener raises.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct MulticastListener {
    receiving: Receiving<manycast::Listener>,
}

#[pymethods]
impl MulticastListener {
    #[new]
    #[pyo3(signature = (group, port=None, *, interface=None, sources=None, timeout=None))]
    fn new(
        py: Python<'_>,
        group: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
        sources: Option<Sources>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let timeout = self::timeout(timeout)?;
        let group = address::one(group, port, interface, sources)?;
        let listener = open_group(py, group)?;
        Ok(Self {
            receiving: Receiving::new(py, "MulticastListener", listener, timeout)?,
        })
    }

    /// Waits for a datagram and returns its payload, of at most ``limit`` bytes.
    ///
    /// A longer one is never cut silently: it raises TruncatedError, whose ``datagram`` has all of
    /// it; with ``truncate=True`` its beginning is returned. ``timeout`` in seconds takes the place
    /// of the listener's own.
    ///
    /// TimedOut: nothing came in time. ClosedError: another thread closed the listener.
    #[pyo3(signature = (limit=65507, /, *, truncate=false, timeout=None))]
    fn recv(
        &self,
        py: Python<'_>,
        limit: usize,
        truncate: bool,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyBytes>> {
        let datagram = self.receiving.recv(py, self::timeout(timeout)?)?;
        limited(py, datagram, limit, truncate)
    }

    /// A descriptor for select, poll and event loops: readable as long as there is something to
    /// receive.
    fn fileno(&self, py: Python<'_>) -> PyResult<std::os::fd::RawFd> {
        self.receiving.fileno(py)
    }

    /// Leaves the group and closes the socket. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        self.receiving.close(py);
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.receiving.is_closed(py)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        let next = self.receiving.next(py)?;
        Ok(next.map(|datagram| datagram.get().payload(py)))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.receiving.close(py);
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.receiving.repr(py)
    }
}

/// Receives the payloads that come to a group on one interface: the interface of py-multicast.
///
/// ``interface`` is a name, an index or a local address.
///
/// >>> receiver = MulticastUDPReceiver("lo", "239.192.0.100", 5000)
/// >>> sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
/// >>> receiver.read()
/// b'Hello, world!'
/// >>> receiver.close()
///
/// Raises what opening a Listener raises.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct MulticastUDPReceiver {
    receiving: Receiving<manycast::Listener>,
}

#[pymethods]
impl MulticastUDPReceiver {
    #[new]
    #[pyo3(signature = (interface, group, port, *, timeout=None))]
    fn new(
        py: Python<'_>,
        interface: Interface,
        group: &Bound<'_, PyAny>,
        port: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let timeout = self::timeout(timeout)?;
        let group = address::one(group, Some(port), Some(interface), None)?;
        let listener = open_group(py, group)?;
        Ok(Self {
            receiving: Receiving::new(py, "MulticastUDPReceiver", listener, timeout)?,
        })
    }

    /// Waits for a datagram and returns its payload, all of it.
    ///
    /// ``timeout`` in seconds takes the place of the receiver's own. TimedOut: nothing came in time.
    #[pyo3(signature = (*, timeout=None))]
    fn read(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyBytes>> {
        let datagram = self.receiving.recv(py, self::timeout(timeout)?)?;
        Ok(datagram.get().payload(py))
    }

    /// A descriptor for select, poll and event loops: readable as long as there is something to
    /// receive.
    fn fileno(&self, py: Python<'_>) -> PyResult<std::os::fd::RawFd> {
        self.receiving.fileno(py)
    }

    /// Leaves the group and closes the socket. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        self.receiving.close(py);
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.receiving.is_closed(py)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.receiving.close(py);
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.receiving.repr(py)
    }
}

fn open_group(py: Python<'_>, address: manycast::Address) -> PyResult<manycast::Listener> {
    if address.group().is_none() {
        return Err(error::address(format!(
            "{address} is no multicast group; use one from 224.0.0.0/4 or ff00::/8, or a Listener"
        )));
    }
    listener::open(py, vec![address], None, SocketConfig::default())
}

fn limited(
    py: Python<'_>,
    datagram: Py<Datagram>,
    limit: usize,
    truncate: bool,
) -> PyResult<Py<PyBytes>> {
    let payload = datagram.get().payload(py);
    let len = payload.as_bytes(py).len();
    if len <= limit {
        Ok(payload)
    } else if truncate {
        Ok(PyBytes::new(py, &payload.as_bytes(py)[..limit]).unbind())
    } else {
        let source = datagram.get().as_received(py).source;
        let message = format!(
            "a datagram of {len} bytes from {source} is longer than the limit of {limit}; give a \
             larger limit, or truncate=True for its beginning"
        );
        Err(error::truncated(message, datagram.into_any()))
    }
}
