//! Receiving from groups and from anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use manycast::{Run, SocketConfig, SourceFilter};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::address::{self, Interface, Sources, is_name, socket_address};
use crate::aside::unlocked;
use crate::datagram::Datagram;
use crate::options::Hops;
use crate::receive::{Receiving, Source};
use crate::wait::timeout;
use crate::{error, options, value};

/// Receives the datagrams of groups, on every interface that can multicast unless one is named, and
/// those to local addresses.
///
/// It receives what it asked for and nothing else: other groups on the same port, the same group on
/// other interfaces and other sources stay out. When an interface comes back, its groups are joined
/// there again.
///
///     Listener("239.192.0.100", 5000)                      a group and its port
///     Listener("239.192.0.100%eth0:5000", ":8888")         several addresses, as text
///     Listener("232.1.1.1", 5000, interface="eth0", sources=["10.0.0.5"])
///     Listener()                                           nothing yet; ``join`` gives it groups
///
/// ``interface`` is a name, an index or a local address; ``sources`` are the senders that are wanted
/// (SSM), ``excluded`` those that are not; ``timeout`` is how many seconds each wait may take, None for
/// ever; ``receive_buffer`` is the size in bytes to ask the kernel for. The port of a group is shared
/// with other sockets, that of a local address only with ``share_port=True``; each datagram to it then
/// goes to one of them.
///
/// >>> with Listener("239.192.0.100%lo:5000", timeout=5) as listener:
/// ...     sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
/// ...     datagram = listener.recv()
/// >>> datagram.payload, datagram.destination.port, datagram.interface
/// (b'Hello, world!', 5000, 'lo')
///
/// Iterate over it for all that comes; close it, or use it as a context manager. Threads may share
/// it: each datagram goes to one of them. After a fork, open one anew in the child.
///
/// AddressError: a text is no address. PermissionDenied: the port is a privileged one. SocketError:
/// the port is in use, the interface is not there, is down or cannot multicast.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct Listener {
    receiving: Receiving<manycast::Listener>,
}

impl Source for manycast::Listener {
    fn take(&mut self, limit: usize) -> Result<Option<Run<'_>>, manycast::Error> {
        self.recv_run(limit, Some(Duration::ZERO))
    }

    fn describe(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        let groups = self.memberships().map(|joined| joined.group);
        for address in groups.chain(self.local_addrs()) {
            let text = address.to_string();
            if !all.contains(&text) {
                all.push(text);
            }
        }
        if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(", ")
        }
    }
}

/// Opens a listener of the library, perhaps without some sources of its groups.
pub(crate) fn open(
    py: Python<'_>,
    addresses: Vec<manycast::Address>,
    excluded: Option<Sources>,
    config: SocketConfig,
) -> PyResult<manycast::Listener> {
    let excluded = excluded.map(|sources| sources.ips()).transpose()?;
    let mut groups = Vec::new();
    let mut plain = Vec::new();
    for address in addresses {
        match (&excluded, address.group()) {
            (Some(excluded), Some(group)) => {
                groups.push((without(group, excluded)?, address.port()));
            }
            _ => plain.push(address),
        }
    }
    unlocked(py, plain.iter().any(is_name), move || {
        let mut listener = if plain.is_empty() {
            manycast::Listener::idle(config.clone())?
        } else {
            manycast::Listener::open_at_once(&plain, &config)?
        };
        for (group, port) in &groups {
            listener.join_group(group.clone(), *port)?;
        }
        Ok(listener)
    })
}

/// A group without some sources.
pub(crate) fn without(group: manycast::Group, excluded: &[IpAddr]) -> PyResult<manycast::Group> {
    match &group.sources {
        SourceFilter::Include(_) => Err(PyValueError::new_err(
            "sources that are wanted and sources that are excluded do not go together; give one of \
             the two",
        )),
        SourceFilter::Exclude(_) => Ok(group.without_sources(excluded.iter().copied())),
    }
}

#[pymethods]
impl Listener {
    #[new]
    #[pyo3(signature = (
        *addresses, interface=None, sources=None, excluded=None, timeout=None, share_port=false,
        receive_buffer=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        addresses: &Bound<'_, PyTuple>,
        interface: Option<Interface>,
        sources: Option<Sources>,
        excluded: Option<Sources>,
        timeout: Option<f64>,
        share_port: bool,
        receive_buffer: Option<usize>,
    ) -> PyResult<Self> {
        let timeout = self::timeout(timeout)?;
        let addresses = if addresses.is_empty() {
            Vec::new()
        } else {
            address::many(addresses, interface, sources)?
        };
        let config = options::receiving(receive_buffer, share_port)?;
        let listener = open(py, addresses, excluded, config)?;
        Ok(Self {
            receiving: Receiving::new(py, "Listener", listener, timeout)?,
        })
    }

    /// Waits for a datagram and returns it.
    ///
    /// ``timeout`` in seconds takes the place of the listener's own; 0 does not wait, infinity waits
    /// for ever.
    ///
    /// TimedOut: nothing came in time. ClosedError: another thread closed the listener.
    #[pyo3(signature = (*, timeout=None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
        self.receiving.recv(py, self::timeout(timeout)?)
    }

    /// Waits for datagrams and returns a list of those that are there: at least one, and no more
    /// than ``limit``, nor than 16,384. It is the fastest way to receive.
    ///
    /// Raises what ``recv`` raises.
    #[pyo3(signature = (limit=256, /, *, timeout=None))]
    fn recv_many(
        &self,
        py: Python<'_>,
        limit: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Py<Datagram>>> {
        self.receiving.recv_many(py, limit, self::timeout(timeout)?)
    }

    /// Returns the next datagram that is there now, or None; never waits.
    fn try_recv(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        self.receiving.take_one(py)
    }

    /// Returns a list of the datagrams that are there now, which may be empty; never waits.
    #[pyo3(signature = (limit=256, /))]
    fn try_recv_many(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<Py<Datagram>>> {
        self.receiving.take(py, limit)
    }

    /// Waits for datagrams, and writes the payloads of those that are there into a buffer, one behind
    /// the other: at least one, at most ``limit`` or 16,384, and no more than fit. It makes no object for
    /// each.
    ///
    /// It returns a list of offsets, one more than datagrams: the first payload is
    /// ``buffer[offsets[0]:offsets[1]]``, and the last ends at ``offsets[-1]``. ``buffer`` is a
    /// bytearray, or whatever else can be written to.
    ///
    /// TruncatedError: the first datagram is longer than the buffer; the error has it. Raises also what
    /// ``recv`` raises.
    #[pyo3(signature = (buffer, limit=256, /, *, timeout=None))]
    fn recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        limit: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<usize>> {
        self.receiving
            .recv_into(py, buffer, limit, self::timeout(timeout)?)
    }

    /// As ``recv_into``, but never waits: an empty list means that nothing is there.
    #[pyo3(signature = (buffer, limit=256, /))]
    fn try_recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        limit: usize,
    ) -> PyResult<Vec<usize>> {
        self.receiving.take_into(py, buffer, limit)
    }

    /// Joins another group, and says whether it was not joined already.
    ///
    /// The same group with other sources takes the place of the former. Raises what opening a
    /// Listener raises; the memberships are then as before.
    #[pyo3(signature = (
        address, port=None, /, *, interface=None, sources=None, excluded=None
    ))]
    fn join(
        &self,
        py: Python<'_>,
        address: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
        sources: Option<Sources>,
        excluded: Option<Sources>,
    ) -> PyResult<bool> {
        let address = address::one(address, port, interface, sources)?;
        let excluded = excluded.map(|sources| sources.ips()).transpose()?;
        match (excluded, address.group()) {
            (Some(excluded), Some(group)) => {
                let group = without(group, &excluded)?;
                self.receiving.with(py, |listener| {
                    listener
                        .join_group(group, address.port())
                        .map_err(error::exception)
                })
            }
            _ => self.receiving.with(py, |listener| {
                listener.join(address).map_err(error::exception)
            }),
        }
    }

    /// Leaves a group, on all interfaces unless one is named, and says whether it had been joined.
    ///
    /// AddressError: one is named, and the group was joined on every one; leave it without, and join it
    /// on those that are wanted.
    #[pyo3(signature = (address, port=None, /, *, interface=None))]
    fn leave(
        &self,
        py: Python<'_>,
        address: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
    ) -> PyResult<bool> {
        let address = address::one(address, port, interface, None)?;
        self.receiving.with(py, |listener| {
            listener.leave(address).map_err(error::exception)
        })
    }

    /// The groups that are joined now, one entry for each interface.
    #[getter]
    fn memberships(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let joined: Vec<_> = self
            .receiving
            .with(py, |listener| Ok(listener.memberships().cloned().collect()))?;
        joined.iter().map(|joined| membership(py, joined)).collect()
    }

    /// The local addresses that are listened on beside groups, with the ports that were chosen.
    #[getter]
    fn local_addresses(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let addresses: Vec<_> = self
            .receiving
            .with(py, |listener| Ok(listener.local_addrs().collect()))?;
        addresses
            .into_iter()
            .map(|address| socket_address(py, address))
            .collect()
    }

    /// The size in bytes of the receive buffer that the kernel granted, which may be less than what
    /// was asked for (sysctl net.core.rmem_max).
    #[getter]
    fn receive_buffer(&self, py: Python<'_>) -> PyResult<usize> {
        self.receiving.with(py, |listener| {
            Ok(listener.receive_buffer().map_err(error::exception)?.granted)
        })
    }

    /// What the kernel dropped until now for want of room in the receive buffer; a Dropped.
    #[getter]
    fn dropped(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dropped = self.receiving.with(py, |listener| Ok(listener.dropped()))?;
        value::dropped(py, dropped)
    }

    /// A descriptor for select, poll and event loops: readable as long as there is something to
    /// receive, be it in the kernel or fetched already.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.receiving.fileno(py)
    }

    /// Leaves the groups and closes the sockets; waits of other threads end with ClosedError.
    /// Repeating it is harmless.
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

    /// The next datagram; the iteration ends when the listener is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        self.receiving.next(py)
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

/// A Membership.
pub(crate) fn membership(py: Python<'_>, joined: &manycast::Membership) -> PyResult<Py<PyAny>> {
    let (sources, excluded): (&[IpAddr], &[IpAddr]) = match &joined.sources {
        SourceFilter::Include(sources) => (sources, &[]),
        SourceFilter::Exclude(sources) => (&[], sources),
    };
    let fields = (
        socket_address(py, joined.group)?,
        joined.interface.to_string(),
        value::texts(py, sources)?,
        value::texts(py, excluded)?,
    );
    value::make(py, "Membership", fields)
}

/// Opens a plain socket and returns its descriptor: bound, and joined where the addresses are groups.
#[pyfunction]
#[pyo3(signature = (
    *addresses, interface=None, sources=None, receive_buffer=None, hops=None, loopback=true,
    broadcast=false
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn open_plain(
    py: Python<'_>,
    addresses: &Bound<'_, PyTuple>,
    interface: Option<Interface>,
    sources: Option<Sources>,
    receive_buffer: Option<usize>,
    hops: Option<Hops>,
    loopback: bool,
    broadcast: bool,
) -> PyResult<RawFd> {
    let addresses = address::many(addresses, interface, sources)?;
    let receiving = options::receiving(receive_buffer, false)?;
    let config = options::sending(hops, loopback, None, None)?
        // A report of an undeliverable datagram would come up as an error of whatever call is next.
        .report_unreachable(false)
        .merge_received(false)
        .receive_buffer(receiving.receive_buffer)
        .multicast_interface(egress(&addresses)?)
        .broadcast(broadcast);
    let fd = if addresses.len() > 1 {
        open_groups(py, addresses, config)?
    } else {
        open(py, addresses, None, config)?.into_fd()
    };
    let fd = fd.ok_or_else(|| {
        error::address(
            "one plain socket cannot listen on all of this; name one address, such as \
             0.0.0.0:8888 or [::]:8888, or groups of one version of IP on one port, 20 at most"
                .to_owned(),
        )
    })?;
    Ok(fd.into_raw_fd())
}

/// The interface that addresses name, by which a plain socket then sends to groups too.
fn egress(addresses: &[manycast::Address]) -> PyResult<Option<u32>> {
    let mut named = addresses.iter().map(manycast::Address::interface);
    let Some(Some(first)) = named.next() else {
        return Ok(None);
    };
    if named.any(|other| other != Some(first)) {
        return Ok(None);
    }
    let found = manycast::find_interface(first).map_err(error::exception)?;
    Ok(Some(found.index))
}

/// One socket that is a member of several groups on one port. It cannot be bound to a group, so
/// datagrams to the host arrive too.
fn open_groups(
    py: Python<'_>,
    addresses: Vec<manycast::Address>,
    config: SocketConfig,
) -> PyResult<Option<OwnedFd>> {
    let port = addresses.first().map_or(0, manycast::Address::port);
    let mut groups = Vec::new();
    for address in &addresses {
        let fits = address.port() == port;
        let Some(group) = address.group().filter(|_| fits) else {
            return Ok(None);
        };
        groups.push(group);
    }
    let ipv4 = |group: &manycast::Group| group.address.is_ipv4();
    let Some(is_ipv4) = groups.first().map(ipv4) else {
        return Ok(None);
    };
    if groups.iter().any(|group| ipv4(group) != is_ipv4) {
        return Ok(None);
    }
    let any: IpAddr = if is_ipv4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let config = config.share_port(true);
    let open = move || {
        let mut socket = manycast::Socket::bind_with(SocketAddr::new(any, port), config)?;
        for group in groups {
            socket.join(group)?;
        }
        Ok(socket.into_fd())
    };
    py.detach(open).map_err(error::exception)
}
