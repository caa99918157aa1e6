//! A datagram that came.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use manycast::{Ecn, InterfaceId, Received, SocketId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::address::{self, socket_address};
use crate::options::Hops;
use crate::payload::Payload;
use crate::value;
use crate::wait::timeout;

/// A datagram as it was received: the payload, and all that the kernel tells of it.
///
/// It cannot be changed, compares by all that it holds, and unpacks in a match statement:
///
/// >>> match listener.recv():                                    # doctest: +SKIP
/// ...     case Datagram(payload, (host, port), interface="eth0"):
/// ...         print(host, "said", payload)
///
/// ``bytes(datagram)`` is its payload. ``payload`` is a ``bytes`` object made once on arrival;
/// ``memoryview(datagram.payload)`` looks at it without another copy.
///
/// It can be pickled, for a queue or a pool of processes; the other process answers from a socket of its
/// own. For tests it can be constructed: ``Datagram(b"hello", ("192.0.2.7", 4000), ("192.0.2.1", 5000))``.
#[pyclass(frozen, weakref, module = "manycast", skip_from_py_object)]
#[derive(Debug)]
pub(crate) struct Datagram {
    /// What was sent, from 0 to 65,507 bytes. Empty datagrams are datagrams too.
    // Read as a plain field, which is faster than a getter.
    #[pyo3(get)]
    payload: Py<PyBytes>,
    header: Arc<Header>,
}

/// All of a datagram but its payload. Neighbours that came in one piece share it.
#[derive(Debug)]
pub(crate) struct Header {
    source: SocketAddr,
    destination: SocketAddr,
    local: Option<IpAddr>,
    interface: InterfaceId,
    hops: Option<u8>,
    time: Option<SystemTime>,
    ecn: Ecn,
    truncated: bool,
    dropped: u64,
    socket: SocketId,
    reply_interface: Option<u32>,
}

impl PartialEq for Header {
    /// Equal in all that can be seen; which socket it came by cannot.
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
            && self.destination == other.destination
            && self.local == other.local
            && self.interface == other.interface
            && self.hops == other.hops
            && self.time == other.time
            && self.ecn == other.ecn
            && self.truncated == other.truncated
            && self.dropped == other.dropped
    }
}

impl Header {
    pub(crate) fn new(received: &Received<'_>) -> Self {
        Self {
            source: received.source,
            destination: received.destination,
            local: received.local,
            interface: received.interface.clone(),
            hops: received.hops,
            time: received.time,
            ecn: received.ecn,
            truncated: received.truncated,
            dropped: received.dropped,
            socket: received.socket,
            reply_interface: received.reply_interface,
        }
    }

    /// The header of a datagram: the one before it, if that is the same.
    pub(crate) fn shared<'a>(
        received: &Received<'_>,
        last: &'a mut Option<Arc<Self>>,
    ) -> &'a Arc<Self> {
        let same = last.take().filter(|header| header.is_of(received));
        last.insert(same.unwrap_or_else(|| Arc::new(Self::new(received))))
    }

    fn is_of(&self, received: &Received<'_>) -> bool {
        self.time == received.time
            && self.source == received.source
            && self.destination == received.destination
            && self.local == received.local
            && self.interface.index == received.interface.index
            && self.hops == received.hops
            && self.ecn == received.ecn
            && self.truncated == received.truncated
            && self.dropped == received.dropped
            && self.socket == received.socket
    }
}

impl Datagram {
    pub(crate) fn new(py: Python<'_>, payload: &[u8], header: &Arc<Header>) -> Self {
        Self {
            payload: PyBytes::new(py, payload).unbind(),
            header: Arc::clone(header),
        }
    }

    pub(crate) fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    pub(crate) fn as_received<'a>(&'a self, py: Python<'a>) -> Received<'a> {
        let header = &*self.header;
        let payload = self.payload.as_bytes(py);
        let mut received = Received::new(
            payload,
            header.source,
            header.destination,
            &header.interface,
        );
        received.local = header.local;
        received.hops = header.hops;
        received.time = header.time;
        received.ecn = header.ecn;
        received.truncated = header.truncated;
        received.dropped = header.dropped;
        received.socket = header.socket;
        received.reply_interface = header.reply_interface;
        received
    }
}

#[pymethods]
impl Datagram {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Py<PyAny>> {
        let names = [
            "payload",
            "source",
            "destination",
            "interface",
            "hops",
            "time",
            "dropped",
            "truncated",
        ];
        value::tuple(py, names)
    }

    #[new]
    #[pyo3(signature = (
        payload, source, destination, interface="", hops=None, time=None, dropped=0, truncated=false,
        *, local=None, ecn=0, time_ns=None, interface_index=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn construct(
        py: Python<'_>,
        payload: Payload,
        source: &Bound<'_, PyAny>,
        destination: &Bound<'_, PyAny>,
        interface: &str,
        hops: Option<Hops>,
        time: Option<f64>,
        dropped: u64,
        truncated: bool,
        local: Option<&str>,
        ecn: u8,
        time_ns: Option<u64>,
        interface_index: Option<u32>,
    ) -> PyResult<Self> {
        let since = match (time_ns, timeout(time)?) {
            (Some(nanoseconds), _) => Some(Duration::from_nanos(nanoseconds)),
            (None, time) => time,
        };
        let index = interface_index.unwrap_or_else(|| address::index(interface));
        let header = Header {
            source: address::in_numbers(source)?,
            destination: address::in_numbers(destination)?,
            local: local.map(address::ip).transpose()?,
            interface: InterfaceId::new(index, interface),
            hops: hops.map(|hops| hops.0),
            time: since.and_then(|since| UNIX_EPOCH.checked_add(since)),
            ecn: match ecn {
                0 => Ecn::NotEct,
                1 => Ecn::Ect1,
                2 => Ecn::Ect0,
                3 => Ecn::Ce,
                _ => {
                    return Err(PyValueError::new_err(format!(
                        "a congestion mark is 0 to 3, not {ecn}"
                    )));
                }
            },
            truncated,
            dropped,
            socket: SocketId::new(0),
            reply_interface: None,
        };
        Ok(Self::new(py, &payload, &Arc::new(header)))
    }

    /// Who sent it: a SocketAddress, which is a (host, port).
    #[getter]
    fn source(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        socket_address(py, self.header.source)
    }

    /// What it was sent to: the group or the local address, and the port; a SocketAddress.
    #[getter]
    fn destination(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        socket_address(py, self.header.destination)
    }

    /// The own address to answer from; None for a group, where the kernel chooses.
    #[getter]
    fn local(&self) -> Option<String> {
        self.header.local.map(|local| local.to_string())
    }

    /// The name of the interface that it came in on.
    #[getter]
    fn interface(&self) -> String {
        let interface = &self.header.interface;
        // Of one that was constructed without an interface there is none to name.
        if interface.index == 0 && interface.name.is_empty() {
            return String::new();
        }
        interface.to_string()
    }

    /// The hop limit (IPv4: TTL) that was left, from 0 to 255; None where the kernel did not say.
    #[getter]
    fn hops(&self) -> Option<u8> {
        self.header.hops
    }

    /// When the kernel received it, in seconds since 1970 as ``time.time()`` counts them; None
    /// where the kernel did not say.
    #[getter]
    fn time(&self) -> Option<f64> {
        let since = self.header.time?.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_secs_f64())
    }

    /// As ``time``, in whole nanoseconds, as ``time.time_ns()`` counts them.
    #[getter]
    fn time_ns(&self) -> Option<u128> {
        Some(
            self.header
                .time?
                .duration_since(UNIX_EPOCH)
                .ok()?
                .as_nanos(),
        )
    }

    /// The congestion mark of the IP header (RFC 3168): 0 not ECT, 1 ECT(1), 2 ECT(0), 3 CE.
    #[getter]
    fn ecn(&self) -> u8 {
        match self.header.ecn {
            Ecn::NotEct => 0,
            Ecn::Ect1 => 1,
            Ecn::Ect0 => 2,
            Ecn::Ce => 3,
        }
    }

    /// Whether its end is lost, because it was longer than the buffer.
    #[getter]
    fn truncated(&self) -> bool {
        self.header.truncated
    }

    /// How many datagrams the kernel had dropped on this socket before this one came, since the
    /// socket was opened, because its receive buffer was full.
    #[getter]
    fn dropped(&self) -> u64 {
        self.header.dropped
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, Self>) -> bool {
        let other = other.get();
        self.payload.as_bytes(py) == other.payload.as_bytes(py) && self.header == other.header
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.payload.bind(py).hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        /// Longer payloads are cut in the text.
        const SHOWN: usize = 32;
        let payload = self.payload.as_bytes(py);
        let shown = PyBytes::new(py, &payload[..payload.len().min(SHOWN)]).repr()?;
        let more = if payload.len() > SHOWN { "..." } else { "" };
        let hops = self
            .header
            .hops
            .map_or_else(|| "None".to_owned(), |hops| hops.to_string());
        Ok(format!(
            "<Datagram {shown}{more} of {} bytes from {} to {} on {}, hops {hops}>",
            payload.len(),
            self.header.source,
            self.header.destination,
            self.header.interface,
        ))
    }

    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let header = &self.header;
        let plain = (
            self.payload(py),
            self.source(py)?,
            self.destination(py)?,
            self.interface(),
            header.hops,
            py.None(),
            header.dropped,
            header.truncated,
        );
        let named = PyDict::new(py);
        named.set_item("local", self.local())?;
        named.set_item("ecn", self.ecn())?;
        named.set_item("time_ns", self.time_ns())?;
        named.set_item("interface_index", header.interface.index)?;
        Ok((plain.into_pyobject(py)?, named))
    }

    fn __copy__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: PyRef<'py, Self>, _memo: &Bound<'py, PyAny>) -> PyRef<'py, Self> {
        slf
    }
}
