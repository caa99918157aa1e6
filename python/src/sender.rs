//! Sending to one destination.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manycast::{InterfaceId, SenderConfig, SocketConfig};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyIterator, PyTuple};

use crate::address::{self, Interface, is_name, socket_address};
use crate::aside::unlocked;
use crate::error;
use crate::fork::Birth;
use crate::options::{self, Dscp, Hops};
use crate::origin::Origin;
use crate::payload::Payload;
use crate::value;
use crate::wait::wait_for_room;

/// Sends datagrams to one group or host, by one interface.
///
///     Sender("239.192.0.100", 5000)
///     Sender("239.192.0.100%eth0:5000", hops=8)
///
/// They leave by ``interface`` (a name, an index or a local address); else as the route says; else,
/// for a group, by the first interface that is up and can multicast. ``source`` is the local address
/// to send from, with a port if wanted, or a port alone: "192.0.2.1", "192.0.2.1:5000", ":5000". ``hops`` is the hop limit from 0 to 255: to a group 1 by default, which stays on the
/// link. ``loopback`` says whether members on this host receive it too. ``dscp`` is from 0 to 63 (RFC
/// 2474); ``send_buffer`` is the size in bytes to ask the kernel for.
///
/// >>> with Sender("239.192.0.100%lo:5000") as sender:
/// ...     sent = sender.send("Hello, world!")
/// >>> sent.size, sent.interface, sent.hops
/// (13, 'lo', 1)
///
/// AddressError: the address is none, or names no destination. SocketError: the interface is not
/// there, is down or cannot multicast, no route leads there, or the name is not known.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct Sender {
    birth: Birth,
    origin: Origin,
    /// Its own address, for messages.
    address: String,
    inner: Mutex<Option<Arc<Mutex<manycast::Sender>>>>,
}

/// Sends one datagram to a group or a host, and returns how it left.
///
/// ``payload`` is str, sent as UTF-8, or bytes-like, of at most 65,507 bytes. Returning means that
/// the kernel took it, never that it arrived. To send more than one, keep a Sender, which also
/// explains the other arguments.
///
///     send("Hello, world!", "239.192.0.100", 5000)
///     send(b"Hello, world!", "239.192.0.100%eth0:5000", hops=8)
///
/// >>> print(send("Hello, world!", "239.192.0.100%lo:5000"))     # doctest: +ELLIPSIS
/// 13 bytes to 239.192.0.100:5000 from ... by lo, hop limit 1
///
/// Raises what opening a Sender raises, and SocketError where the payload is too long.
#[pyfunction]
#[pyo3(signature = (
    payload, address, port=None, /, *, interface=None, source=None, hops=None, loopback=true,
    dscp=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn send(
    py: Python<'_>,
    payload: Payload,
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
    interface: Option<Interface>,
    source: Option<&str>,
    hops: Option<Hops>,
    loopback: bool,
    dscp: Option<Dscp>,
) -> PyResult<Sent> {
    let address = address::one(address, port, interface, None)?;
    let config = config(source, options::sending(hops, loopback, dscp, None)?)?;
    let sender = open(py, address, config)?;
    let sender = Arc::new(Mutex::new(sender));
    push(
        py,
        || Ok(Arc::clone(&sender)),
        std::slice::from_ref(&payload),
    )?;
    Ok(Sent(lock(py, &sender).sent(payload.len())))
}

fn open(
    py: Python<'_>,
    address: manycast::Address,
    config: SenderConfig,
) -> PyResult<manycast::Sender> {
    unlocked(py, is_name(&address), move || {
        manycast::Sender::open_at_once(&address, &config)
    })
}

/// How to send from a local address, if one is given.
pub(crate) fn config(source: Option<&str>, socket: SocketConfig) -> PyResult<SenderConfig> {
    let mut config = SenderConfig::default().socket(socket);
    config.from = source.map(address::local).transpose()?;
    Ok(config)
}

/// Sends all `payloads`, waiting where the send buffer is full, and says how many went. `open` gives the
/// sender anew after each wait, since another thread may have closed it.
fn push(
    py: Python<'_>,
    open: impl Fn() -> PyResult<Arc<Mutex<manycast::Sender>>>,
    payloads: &[Payload],
) -> PyResult<usize> {
    let mut sent = 0;
    while let left @ [_, ..] = &payloads[sent..] {
        let sender = open()?;
        let count = match left {
            // To let go of the interpreter takes its time too.
            [_] => lock(py, &sender).try_send_batch(left),
            _ => py.detach(|| {
                let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                sender.try_send_batch(left)
            }),
        };
        let count = count.map_err(error::exception)?;
        sent += count;
        if count == 0 {
            let fd = lock(py, &sender).sending_fd().map_err(error::exception)?;
            wait_for_room(py, fd.as_fd())?;
        }
    }
    Ok(sent)
}

/// The payloads one by one. A text is iterable too, but is one payload.
fn many<'py>(payloads: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    if payloads.extract::<Payload>().is_ok() {
        return Err(PyTypeError::new_err(
            "this is one payload; give many, such as a list, or use send",
        ));
    }
    payloads.try_iter()
}

/// How many payloads are read before they are sent: an iterable may have no end, and what it says of
/// its length need not be true.
const CHUNK: usize = 256;

/// The next payloads, and why there are no more where that is an error.
fn read(payloads: &mut Bound<'_, PyIterator>) -> (Vec<Payload>, Option<PyErr>) {
    let mut some = Vec::new();
    while some.len() < CHUNK
        && let Some(payload) = payloads.next()
    {
        match payload.and_then(|payload| payload.extract()) {
            Ok(payload) => some.push(payload),
            Err(failure) => return (some, Some(failure)),
        }
    }
    (some, None)
}

pub(crate) fn duplicate(fd: &impl AsFd) -> PyResult<OwnedFd> {
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|error| error::machine("duplicate a descriptor", &error))
}

/// The send buffer of a socket, in the unit in which it was asked for: the kernel counts it twice, for
/// its own needs (socket(7)).
pub(crate) fn granted(fd: &impl AsFd) -> PyResult<usize> {
    let size = rustix::net::sockopt::socket_send_buffer_size(fd);
    let size = size.map_err(|errno| error::machine("read SO_SNDBUF of a socket", &errno.into()))?;
    Ok(size / 2)
}

fn lock<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    mutex
        .lock_py_attached(py)
        .unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Opens it anew with another address, and then closes what it was.
    fn replace(
        &self,
        py: Python<'_>,
        change: impl FnOnce(manycast::Address) -> manycast::Address,
    ) -> PyResult<()> {
        let sender = self.open(py)?;
        let (address, config) = {
            let sender = lock(py, &sender);
            (sender.address().clone(), sender.config().clone())
        };
        let anew = open(py, change(address), config)?;
        *lock(py, &sender) = anew;
        Ok(())
    }

    fn open(&self, py: Python<'_>) -> PyResult<Arc<Mutex<manycast::Sender>>> {
        self.birth.check("Sender")?;
        let inner = lock(py, &self.inner).clone();
        inner.ok_or_else(|| error::closed("the Sender is closed; open another".to_owned()))
    }

    fn with<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut manycast::Sender) -> Result<T, manycast::Error>,
    ) -> PyResult<T> {
        let sender = self.open(py)?;
        let mut sender = lock(py, &sender);
        act(&mut sender).map_err(error::exception)
    }
}

#[pymethods]
impl Sender {
    #[new]
    #[pyo3(signature = (
        address, port=None, /, *, interface=None, source=None, hops=None, loopback=true, dscp=None,
        send_buffer=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        address: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
        source: Option<&str>,
        hops: Option<Hops>,
        loopback: bool,
        dscp: Option<Dscp>,
        send_buffer: Option<usize>,
    ) -> PyResult<Self> {
        let address = address::one(address, port, interface, None)?;
        let text = address.to_string();
        let socket = options::sending(hops, loopback, dscp, send_buffer)?;
        let sender = open(py, address, config(source, socket)?)?;
        Ok(Self {
            birth: Birth::now(),
            origin: Origin::here(py)?,
            address: text,
            inner: Mutex::new(Some(Arc::new(Mutex::new(sender)))),
        })
    }

    /// Sends one datagram, of at most 65,507 bytes, and returns how it left.
    ///
    /// ``payload`` is str, sent as UTF-8, or bytes-like. SocketError: it is too long, or the
    /// interface went away; ``reopen`` then finds it again, or another.
    #[pyo3(signature = (payload, /))]
    fn send(&self, py: Python<'_>, payload: Payload) -> PyResult<Sent> {
        let sender = self.open(py)?;
        push(py, || self.open(py), std::slice::from_ref(&payload))?;
        Ok(Sent(lock(py, &sender).sent(payload.len())))
    }

    /// Sends many datagrams with few system calls, and returns how many went, which is all.
    ///
    /// ``payloads`` is any iterable of str and bytes-like, also one without end: it is read 256 at a
    /// time. Raises what ``send`` raises; what was read before is sent then.
    #[pyo3(signature = (payloads, /))]
    fn send_many(&self, py: Python<'_>, payloads: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.open(py)?;
        let mut payloads = many(payloads)?;
        let mut sent = 0;
        loop {
            let (some, failure) = read(&mut payloads);
            sent += push(py, || self.open(py), &some)?;
            py.check_signals()?;
            match failure {
                Some(failure) => return Err(failure),
                None if some.len() < CHUNK => return Ok(sent),
                None => {}
            }
        }
    }

    /// Sends what it can of a list of datagrams without waiting, at most 256, and returns how many
    /// went; 0 means that the send buffer is full.
    #[pyo3(signature = (payloads, /))]
    fn try_send_many(&self, py: Python<'_>, payloads: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (some, failure) = read(&mut many(payloads)?);
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.with(py, |sender| sender.try_send_batch(&some))
    }

    /// As ``send``, but never waits: None means that the send buffer is full.
    #[pyo3(signature = (payload, /))]
    fn try_send(&self, py: Python<'_>, payload: Payload) -> PyResult<Option<Sent>> {
        self.with(py, |sender| {
            let sent = sender.try_send_batch(std::slice::from_ref(&payload))?;
            Ok((sent > 0).then(|| Sent(sender.sent(payload.len()))))
        })
    }

    /// The group or host that datagrams go to; a SocketAddress.
    #[getter]
    fn destination(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let destination = self.with(py, |sender| Ok(sender.destination()))?;
        socket_address(py, destination)
    }

    /// The local address and port that datagrams leave from now; a SocketAddress.
    #[getter]
    fn source(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let source = self.with(py, |sender| Ok(sender.local_addr()))?;
        socket_address(py, source)
    }

    /// The hop limit of what is sent, from 0 to 255. It can be set; to a group, 1 stays on the link.
    #[getter]
    fn hops(&self, py: Python<'_>) -> PyResult<u8> {
        self.with(py, |sender| Ok(sender.hops()))
    }

    #[setter]
    fn set_hops(&self, py: Python<'_>, hops: Hops) -> PyResult<()> {
        self.with(py, |sender| sender.set_hops(hops.0))
    }

    /// Whether members on this host receive what is sent to a group. It can be set.
    #[getter]
    fn loopback(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |sender| Ok(sender.loopback()))
    }

    #[setter]
    fn set_loopback(&self, py: Python<'_>, loopback: bool) -> PyResult<()> {
        self.with(py, |sender| sender.set_loopback(loopback))
    }

    /// The name of the interface by which datagrams leave. It can be set, by name, index or address.
    #[getter]
    fn interface(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |sender| Ok(sender.interface().to_string()))
    }

    #[setter]
    fn set_interface(&self, py: Python<'_>, interface: Interface) -> PyResult<()> {
        self.replace(py, |address| address.on(interface.0))
    }

    /// The DSCP of what is sent, from 0 to 63 (RFC 2474), or None where the system's was left.
    #[getter]
    fn dscp(&self, py: Python<'_>) -> PyResult<Option<u8>> {
        self.with(py, |sender| {
            Ok(sender.config().socket.dscp.map(manycast::Dscp::get))
        })
    }

    /// The size in bytes of the send buffer that the kernel granted, which may be less than what was
    /// asked for (sysctl net.core.wmem_max).
    #[getter]
    fn send_buffer(&self, py: Python<'_>) -> PyResult<usize> {
        let fd = self.with(py, |sender| sender.sending_fd())?;
        granted(&fd)
    }

    /// Opens it anew, as the interfaces and routes are now. When that fails, it stays as it was.
    fn reopen(&self, py: Python<'_>) -> PyResult<()> {
        self.replace(py, |address| address)
    }

    /// The descriptor of its socket: writable when the send buffer has room.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.with(py, |sender| Ok(sender.as_raw_fd()))
    }

    /// Closes it; what other threads send ends with ClosedError. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        lock(py, &self.inner).take();
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        lock(py, &self.inner).is_none()
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let closed = if self.closed(py) { ", closed" } else { "" };
        format!("<Sender to {}{closed}>", self.address)
    }
}

impl Drop for Sender {
    /// Warns, as Python's own sockets do, when nobody closed it.
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if inner.take().is_some() && self.birth == Birth::now() {
            Python::try_attach(|py| {
                self.origin
                    .warn_unclosed(py, &format!("unclosed <Sender to {}>", self.address));
            });
        }
    }
}

/// What was handed to the kernel, and how it left. That it arrived is not known.
///
/// >>> str(send("Hello, world!", "239.192.0.100%lo:5000"))        # doctest: +ELLIPSIS
/// '13 bytes to 239.192.0.100:5000 from ... by lo, hop limit 1'
#[pyclass(frozen, eq, hash, weakref, module = "manycast", skip_from_py_object)]
#[derive(PartialEq)]
pub(crate) struct Sent(pub(crate) manycast::Sent);

impl std::hash::Hash for Sent {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.0.bytes, self.0.to, self.0.from, self.0.hops).hash(state);
    }
}

#[pymethods]
impl Sent {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Py<PyAny>> {
        value::tuple(py, ["size", "destination", "source", "interface", "hops"])
    }

    #[new]
    #[pyo3(signature = (size, destination, source, interface, hops))]
    fn new(
        size: usize,
        destination: &Bound<'_, PyAny>,
        source: &Bound<'_, PyAny>,
        interface: &str,
        hops: Hops,
    ) -> PyResult<Self> {
        let (to, from) = (
            address::in_numbers(destination)?,
            address::in_numbers(source)?,
        );
        let interface = InterfaceId::new(address::index(interface), interface);
        Ok(Self(manycast::Sent::new(size, to, from, interface, hops.0)))
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (to, from) = (self.destination(py)?, self.source(py)?);
        (self.0.bytes, to, from, self.interface(), self.hops()).into_pyobject(py)
    }

    fn __copy__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: PyRef<'py, Self>, _memo: &Bound<'py, PyAny>) -> PyRef<'py, Self> {
        slf
    }

    /// Length of the payload in bytes.
    #[getter]
    fn size(&self) -> usize {
        self.0.bytes
    }

    /// The group or host; a SocketAddress.
    #[getter]
    fn destination(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        socket_address(py, self.0.to)
    }

    /// The local address and port that it was sent from; a SocketAddress.
    #[getter]
    fn source(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        socket_address(py, self.0.from)
    }

    /// The name of the interface by which it left.
    #[getter]
    fn interface(&self) -> String {
        self.0.interface.to_string()
    }

    /// The hop limit that it left with, from 0 to 255.
    #[getter]
    fn hops(&self) -> u8 {
        self.0.hops
    }

    fn __str__(&self) -> String {
        self.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Sent {self}>")
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
