//! Unicast and connected UDP, with groups beside it where they are wanted.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use manycast::{Host, Run, Transmit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::address::{self, Interface, Sources, is_name, socket_address};
use crate::aside::unlocked;
use crate::datagram::Datagram;
use crate::error;
use crate::listener;
use crate::options::{self, Dscp, Hops};
use crate::payload::Payload;
use crate::receive::{Receiving, Source};
use crate::sender::{duplicate, granted};
use crate::value;
use crate::wait::{timeout, wait_for_room};

/// Sends and receives: by unicast, to one peer or to anybody, and as a member of groups.
///
///     Socket("127.0.0.1", 5005)          bound to a local address
///     Socket(":8888")                    ... to all of them, IPv4 and IPv6
///     Socket(":0")                       ... on any free port, which local_address tells
///     Socket.connect("192.0.2.7:5005")   sends to one peer, and receives from it alone
///
/// The port is not shared with other sockets, unless ``share_port`` is true. ``timeout`` is how many
/// seconds each wait may take, None for ever; ``receive_buffer`` and ``send_buffer`` are the sizes in
/// bytes to ask the kernel for; ``dscp`` is from 0 to 63 (RFC 2474).
///
/// >>> with Socket("127.0.0.1:0") as server, Socket.connect(server.local_address) as client:
/// ...     client.send("ping")
/// ...     server.answer("pong", server.recv(timeout=5))
/// ...     client.recv(timeout=5).payload
/// b'pong'
///
/// Threads may share it. After a fork, open one anew in the child.
///
/// AddressError: a text is no address, or is a group. PermissionDenied: the port is a privileged
/// one. SocketError: the port is in use, or the address is not one of this host.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct Socket {
    receiving: Receiving<manycast::Socket>,
    /// That of what is sent; none beyond 63.
    dscp: AtomicU8,
}

/// The first that is no DSCP.
const NO_DSCP: u8 = 64;

impl Source for manycast::Socket {
    fn take(&mut self, limit: usize) -> Result<Option<Run<'_>>, manycast::Error> {
        self.recv_run(limit, Some(Duration::ZERO))
    }

    fn describe(&self) -> String {
        let local = self
            .local_addr()
            .map_or_else(|_| "nothing".to_owned(), |local| local.to_string());
        match self.peer_addr() {
            Some(peer) => format!("{local} to {peer}"),
            None => local,
        }
    }
}

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (
        address=None, port=None, /, *, share_port=false, timeout=None, receive_buffer=None,
        send_buffer=None, dscp=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        address: Option<&Bound<'_, PyAny>>,
        port: Option<&Bound<'_, PyAny>>,
        share_port: bool,
        timeout: Option<f64>,
        receive_buffer: Option<usize>,
        send_buffer: Option<usize>,
        dscp: Option<Dscp>,
    ) -> PyResult<Self> {
        let timeout = self::timeout(timeout)?;
        let address = match address {
            Some(address) => address::one(address, port, None, None)?,
            None => SocketAddr::from(([0, 0, 0, 0], 0)).into(),
        };
        let receiving = options::receiving(receive_buffer, share_port)?;
        let size = options::buffer("send", send_buffer, receiving.send_buffer)?;
        let config = receiving.send_buffer(size);
        let socket = unlocked(py, is_name(&address), move || {
            manycast::Socket::bind_at_once(&address, &config)
        })?;
        Self::of(py, socket, timeout, dscp)
    }

    /// Opens a socket that sends to one peer and receives from it alone. UDP has no connections:
    /// the peer is told nothing of it.
    ///
    /// Answers to a group come from the addresses of its members and are not received; ask a group
    /// with ``ask``, or from a socket that is not connected.
    ///
    /// SocketError: no route leads there, or the name is not known.
    #[classmethod]
    #[pyo3(signature = (peer, port=None, /, *, timeout=None, dscp=None))]
    fn connect(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        peer: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        timeout: Option<f64>,
        dscp: Option<Dscp>,
    ) -> PyResult<Self> {
        let timeout = self::timeout(timeout)?;
        let peer = address::one(peer, port, None, None)?;
        let socket = unlocked(py, is_name(&peer), move || {
            manycast::Socket::connect_at_once(&peer)
        })?;
        Self::of(py, socket, timeout, dscp)
    }

    /// Connects to another peer, from the same local port.
    #[pyo3(signature = (peer, port=None, /))]
    fn reconnect(
        &self,
        py: Python<'_>,
        peer: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let peer = address::one(peer, port, None, None)?;
        let peer = in_numbers(py, peer)?;
        self.with(py, |socket| socket.reconnect(peer))
    }

    /// Lets anybody send to it again. The local port stays.
    fn disconnect(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, manycast::Socket::disconnect)
    }

    /// Sends to the peer of a connected socket. ``payload`` is str, sent as UTF-8, or bytes-like,
    /// of at most 65,507 bytes.
    ///
    /// SocketError: it is too long, or no route leads there. AddressError: there is no peer.
    #[pyo3(signature = (payload, /))]
    fn send(&self, py: Python<'_>, payload: Payload) -> PyResult<()> {
        let transmit = self.transmit(py, payload, None)?;
        self.push(py, &transmit)
    }

    /// Sends to a host or a group. A group needs no route.
    ///
    /// Raises what ``send`` raises.
    #[pyo3(signature = (payload, address, port=None, /))]
    fn send_to(
        &self,
        py: Python<'_>,
        payload: Payload,
        address: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let address = address::one(address, port, None, None)?;
        self.push(py, &self.marked(transmit_to(py, address, payload)?))
    }

    /// Sends without waiting, and says whether the send buffer had room: to an address, to the peer
    /// where it is None, or as an answer to a Datagram.
    ///
    /// AddressError: the address is a name, which would have to be looked up.
    #[pyo3(signature = (payload, to=None, /))]
    fn try_send(
        &self,
        py: Python<'_>,
        payload: Payload,
        to: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let transmit = self.transmit(py, payload, to)?;
        let sent = self.with(py, |socket| socket.try_send_batch(&[transmit]))?;
        Ok(sent > 0)
    }

    /// The descriptor by which ``try_send`` sends, writable when the send buffer has room.
    #[pyo3(signature = (to=None, /))]
    fn sending_fileno(&self, py: Python<'_>, to: Option<&Bound<'_, PyAny>>) -> PyResult<RawFd> {
        let to = self.transmit(py, (), to)?.destination;
        self.with(py, |socket| Ok(socket.sending_fd(to)?.as_raw_fd()))
    }

    /// Answers a datagram, from the address that it was sent to. Raises what ``send`` raises.
    #[pyo3(signature = (payload, datagram, /))]
    fn answer(
        &self,
        py: Python<'_>,
        payload: Payload,
        datagram: &Bound<'_, Datagram>,
    ) -> PyResult<()> {
        let received = datagram.get().as_received(py);
        self.push(py, &self.marked(received.reply().with(payload)))
    }

    /// Waits for a datagram and returns it.
    ///
    /// ``timeout`` in seconds takes the place of the socket's own; 0 does not wait, infinity waits
    /// for ever.
    ///
    /// ConnectionRefused: it is connected, and nobody listens on the port of its peer; it goes on
    /// working.
    /// TimedOut: nothing came in time. ClosedError: another thread closed the socket.
    #[pyo3(signature = (*, timeout=None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
        self.receiving.recv(py, self::timeout(timeout)?)
    }

    /// Waits for datagrams and returns a list of those that are there: at least one, and no more
    /// than ``limit``, nor than 16,384. Raises what ``recv`` raises.
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

    /// Joins a group on the port of this socket, on every interface unless one is named, and says
    /// whether it was not joined already. Datagrams to the host and to the group both arrive.
    /// ``sources`` are the senders that are wanted (SSM), ``excluded`` those that are not.
    #[pyo3(signature = (group, /, *, interface=None, sources=None, excluded=None))]
    fn join(
        &self,
        py: Python<'_>,
        group: &str,
        interface: Option<Interface>,
        sources: Option<Sources>,
        excluded: Option<Sources>,
    ) -> PyResult<bool> {
        let mut group = self::group(group, interface, sources)?;
        if let Some(excluded) = excluded {
            group = listener::without(group, &excluded.ips()?)?;
        }
        self.with(py, |socket| socket.join(group))
    }

    /// Leaves a group, on all interfaces unless one is named, and says whether it had been joined.
    ///
    /// AddressError: one is named, and the group was joined on every one; leave it without, and join it
    /// on those that are wanted.
    #[pyo3(signature = (group, /, *, interface=None))]
    fn leave(&self, py: Python<'_>, group: &str, interface: Option<Interface>) -> PyResult<bool> {
        let group = self::group(group, interface, None)?;
        self.with(py, |socket| socket.leave(group))
    }

    /// The groups that are joined now, one entry for each interface.
    #[getter]
    fn memberships(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let joined: Vec<_> = self.with(py, |socket| Ok(socket.memberships().cloned().collect()))?;
        joined
            .iter()
            .map(|joined| listener::membership(py, joined))
            .collect()
    }

    /// The local address and port; of two sockets that of IPv4. A SocketAddress.
    #[getter]
    fn local_address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let local = self.with(py, |socket| socket.local_addr())?;
        socket_address(py, local)
    }

    /// The peer of a connected socket, a SocketAddress, or None.
    #[getter]
    fn peer_address(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let peer = self.with(py, |socket| Ok(socket.peer_addr()))?;
        peer.map(|peer| socket_address(py, peer)).transpose()
    }

    /// The hop limit of datagrams to groups, from 0 to 255; 1 stays on the link. It can be set.
    #[getter]
    fn multicast_hops(&self, py: Python<'_>) -> PyResult<u8> {
        self.with(py, |socket| Ok(socket.multicast_hops()))
    }

    #[setter]
    fn set_multicast_hops(&self, py: Python<'_>, hops: Hops) -> PyResult<()> {
        self.with(py, |socket| socket.set_multicast_hops(hops.0))
    }

    /// The hop limit of datagrams to hosts, from 1 to 255. It can be set.
    #[getter]
    fn unicast_hops(&self, py: Python<'_>) -> PyResult<u8> {
        self.with(py, |socket| socket.unicast_hops())
    }

    #[setter]
    fn set_unicast_hops(&self, py: Python<'_>, hops: Hops) -> PyResult<()> {
        self.with(py, |socket| socket.set_unicast_hops(hops.0))
    }

    /// Whether members on this host receive what this socket sends to a group. It can be set.
    #[getter]
    fn loopback(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |socket| Ok(socket.loopback()))
    }

    #[setter]
    fn set_loopback(&self, py: Python<'_>, loopback: bool) -> PyResult<()> {
        self.with(py, |socket| socket.set_loopback(loopback))
    }

    /// The name of the interface by which datagrams to groups leave; None leaves it to the route.
    /// It can be set, by name, index or address.
    #[getter]
    fn multicast_interface(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |socket| {
            Ok(socket.multicast_interface()?.map(|id| id.to_string()))
        })
    }

    #[setter]
    fn set_multicast_interface(
        &self,
        py: Python<'_>,
        interface: Option<Interface>,
    ) -> PyResult<()> {
        let selector = interface.map(|interface| interface.0);
        self.with(py, |socket| {
            socket.set_multicast_interface(selector.as_ref())
        })
    }

    /// Whether datagrams may go to broadcast addresses. It can be set.
    #[getter]
    fn broadcast(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |socket| Ok(socket.broadcast()))
    }

    #[setter]
    fn set_broadcast(&self, py: Python<'_>, broadcast: bool) -> PyResult<()> {
        self.with(py, |socket| socket.set_broadcast(broadcast))
    }

    /// The size in bytes of the receive buffer that the kernel granted, which may be less than what
    /// was asked for (sysctl net.core.rmem_max).
    #[getter]
    fn receive_buffer(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |socket| Ok(socket.receive_buffer()?.granted))
    }

    /// The size in bytes of the send buffer that the kernel granted (sysctl net.core.wmem_max).
    #[getter]
    fn send_buffer(&self, py: Python<'_>) -> PyResult<usize> {
        let fd = self.receiving.with(py, |socket| {
            let local = socket.peer_addr().map_or_else(|| socket.local_addr(), Ok);
            let fd = local.and_then(|local| socket.sending_fd(local));
            duplicate(&fd.map_err(error::exception)?)
        })?;
        granted(&fd)
    }

    /// The DSCP of what is sent, from 0 to 63 (RFC 2474); None leaves the system's. It can be set.
    #[getter]
    fn dscp(&self) -> Option<u8> {
        self.code_point().map(manycast::Dscp::get)
    }

    #[setter]
    fn set_dscp(&self, dscp: Option<Dscp>) {
        let dscp = dscp.map_or(NO_DSCP, |dscp| dscp.0.get());
        self.dscp.store(dscp, Ordering::Relaxed);
    }

    /// What the kernel dropped until now for want of room in the receive buffer; a Dropped.
    #[getter]
    fn dropped(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dropped = self.with(py, |socket| Ok(socket.dropped()))?;
        value::dropped(py, dropped)
    }

    /// A descriptor for select, poll and event loops: readable as long as there is something to
    /// receive, be it in the kernel or fetched already.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.receiving.fileno(py)
    }

    /// Leaves its groups and closes it; waits of other threads end with ClosedError. Repeating it
    /// is harmless.
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

    /// The next datagram; the iteration ends when the socket is closed.
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

impl Socket {
    fn with<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut manycast::Socket) -> Result<T, manycast::Error>,
    ) -> PyResult<T> {
        self.receiving
            .with(py, |socket| act(socket).map_err(error::exception))
    }

    fn of(
        py: Python<'_>,
        socket: manycast::Socket,
        timeout: Option<Duration>,
        dscp: Option<Dscp>,
    ) -> PyResult<Self> {
        Ok(Self {
            receiving: Receiving::new(py, "Socket", socket, timeout)?,
            dscp: AtomicU8::new(dscp.map_or(NO_DSCP, |dscp| dscp.0.get())),
        })
    }

    /// The DSCP that was set: none beyond 63, as [`NO_DSCP`] is.
    fn code_point(&self) -> Option<manycast::Dscp> {
        manycast::Dscp::new(self.dscp.load(Ordering::Relaxed))
    }

    /// The same, with the DSCP of this socket.
    fn marked<P>(&self, mut transmit: Transmit<P>) -> Transmit<P> {
        transmit.dscp = self.code_point();
        transmit
    }

    /// What is to go where; nothing is looked up.
    fn transmit<P>(
        &self,
        py: Python<'_>,
        payload: P,
        to: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Transmit<P>> {
        let Some(to) = to else {
            let why = "the socket is not connected; use Socket.connect, or send_to with the \
                       destination";
            let peer = self.with(py, |socket| Ok(socket.peer_addr()))?;
            let peer = peer.ok_or_else(|| error::address(why.to_owned()))?;
            return Ok(self.marked(Transmit::new(peer, payload)));
        };
        if let Ok(datagram) = to.cast::<Datagram>() {
            let reply = datagram.get().as_received(py).reply();
            return Ok(self.marked(reply.with(payload)));
        }
        let address = address::one(to, None, None, None)?;
        if let Host::Name(name) = address.host() {
            return Err(error::address(format!(
                "{name} is a name, and looking it up would wait; resolve it first"
            )));
        }
        Ok(self.marked(transmit_to(py, address, payload)?))
    }

    /// Sends one datagram, waiting where the send buffer is full.
    fn push(&self, py: Python<'_>, transmit: &Transmit<Payload>) -> PyResult<()> {
        let transmits = std::slice::from_ref(transmit);
        while self.with(py, |socket| socket.try_send_batch(transmits))? == 0 {
            let fd = self.receiving.with(py, |socket| {
                let fd = socket.sending_fd(transmit.destination);
                duplicate(&fd.map_err(error::exception)?)
            })?;
            wait_for_room(py, fd.as_fd())?;
        }
        Ok(())
    }
}

/// A datagram to an address, by the interface that it names; a name is looked up.
fn transmit_to<P>(py: Python<'_>, address: manycast::Address, payload: P) -> PyResult<Transmit<P>> {
    if let (Host::Ip(ip), None) = (address.host(), address.interface()) {
        return Ok(Transmit::new(SocketAddr::new(*ip, address.port()), payload));
    }
    let way = unlocked(py, is_name(&address), move || {
        manycast::transmit_to(&address, ())
    })?;
    Ok(way.with(payload))
}

/// The same address without a name that must be looked up.
fn in_numbers(py: Python<'_>, address: manycast::Address) -> PyResult<manycast::Address> {
    if !is_name(&address) {
        return Ok(address);
    }
    let interface = address.interface().cloned();
    let found = manycast::Address::from(look_up(py, address)?);
    Ok(match interface {
        Some(interface) => found.on(interface),
        None => found,
    })
}

fn look_up(py: Python<'_>, address: manycast::Address) -> PyResult<SocketAddr> {
    if let (Host::Ip(ip), None) = (address.host(), address.interface()) {
        return Ok(SocketAddr::new(*ip, address.port()));
    }
    let text = address.to_string();
    let found = unlocked(py, is_name(&address), move || {
        manycast::resolve(address.clone())
    })?;
    let none = || error::address(format!("{text}: its name has no address"));
    found.first().copied().ok_or_else(none)
}

fn group(
    text: &str,
    interface: Option<Interface>,
    sources: Option<Sources>,
) -> PyResult<manycast::Group> {
    let parsed: Result<manycast::Group, _> = text.try_into();
    let mut group = parsed.map_err(|rejected| error::exception(rejected.into()))?;
    if let Some(Interface(selector)) = interface {
        group = group.on(selector);
    }
    match sources {
        Some(sources) => Ok(group.with_sources(sources.ips()?)),
        None => Ok(group),
    }
}
