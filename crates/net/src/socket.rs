//! One UDP socket: batches in, batches out, and every option readable and settable while it runs.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, MAX_PAYLOAD, Transmit};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::features::{self, ControlWriter, pktinfo, unreachable};
use crate::{BufferSize, Error, Operation, RecvBatch, SocketConfig, Unreachable, sys};

/// A UDP socket of one version of IP.
///
/// Receiving fills a [`RecvBatch`] by one system call, with all that the kernel can tell of each
/// datagram. The descriptor is a blocking one, but each call says itself whether it waits.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    local: SocketAddr,
    requested: Requested,
    multicast_interface: AtomicU32,
    /// The drop counter, extended beyond the 32 bits that the kernel gives.
    dropped: AtomicU64,
    /// Whether a send met the error of an earlier datagram, whose details wait in the queue.
    error_waits: AtomicBool,
    report_unreachable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Requested {
    receive_buffer: usize,
    send_buffer: usize,
}

impl Socket {
    /// Opens a socket and binds it to `local`: a local address, the unspecified one, or a group (so
    /// that it receives nothing but datagrams to this group). Port 0 stands for any free port.
    ///
    /// # Errors
    ///
    /// * [`AddressInUse`](crate::ErrorKind::AddressInUse): another socket has the port and one of
    ///   the two does not share it.
    /// * [`AddressNotAvailable`](crate::ErrorKind::AddressNotAvailable): the address is not one of
    ///   this host.
    /// * [`PermissionDenied`](crate::ErrorKind::PermissionDenied): the port is a privileged one.
    /// * [`Unsupported`](crate::ErrorKind::Unsupported): this version of IP is switched off.
    pub fn bind(local: SocketAddr, config: &SocketConfig) -> Result<Self, Error> {
        let domain = socket2::Domain::for_address(local);
        let inner = socket2::Socket::new(domain, socket2::Type::DGRAM, None)
            .map_err(|error| Error::new(Operation::Open, "a UDP socket", error))?;
        let mut socket = Self {
            inner,
            local,
            requested: Requested {
                receive_buffer: config.receive_buffer,
                send_buffer: config.send_buffer,
            },
            multicast_interface: AtomicU32::new(0),
            dropped: AtomicU64::new(0),
            error_waits: AtomicBool::new(false),
            report_unreachable: config.report_unreachable,
        };
        socket.set_up(config)?;
        socket
            .inner
            .bind(&local.into())
            .map_err(|error| Error::new(Operation::Bind, local, error))?;
        socket.local = socket.local_addr()?;
        Ok(socket)
    }

    fn set_up(&self, config: &SocketConfig) -> Result<(), Error> {
        if config.share_port {
            self.set("SO_REUSEADDR", self.inner.set_reuse_address(true))?;
            self.set("SO_REUSEPORT", self.inner.set_reuse_port(true))?;
        }
        if self.is_ipv4() {
            // A member of a group receives that group alone, not whatever the host has joined.
            self.set_int(
                "IP_MULTICAST_ALL",
                libc::IPPROTO_IP,
                libc::IP_MULTICAST_ALL,
                0,
            )?;
        } else {
            self.set("IPV6_V6ONLY", self.inner.set_only_v6(true))?;
            self.set_int(
                "IPV6_MULTICAST_ALL",
                libc::IPPROTO_IPV6,
                IPV6_MULTICAST_ALL,
                0,
            )?;
        }
        self.set("IP_PKTINFO", features::enable(self.fd(), self.is_ipv4()))?;
        if config.report_unreachable {
            self.set("IP_RECVERR", unreachable::enable(self.fd(), self.is_ipv4()))?;
        }
        if let Some(index) = config.device {
            let name = interface_id(index).name;
            self.set("SO_BINDTODEVICE", self.inner.bind_device(Some(name.as_bytes())))?;
        }
        self.request_buffers()?;
        self.set_multicast_hops(config.multicast_hops)?;
        if let Some(hops) = config.unicast_hops {
            self.set_unicast_hops(hops)?;
        }
        self.set_loopback(config.loopback)?;
        self.set_multicast_interface(config.multicast_interface)?;
        self.set_broadcast(config.broadcast)
    }

    /// Asks for the buffers; where the process may, beyond the system's limits, which changes
    /// nothing but this socket.
    fn request_buffers(&self) -> Result<(), Error> {
        let Requested {
            receive_buffer,
            send_buffer,
        } = self.requested;
        self.set("SO_RCVBUF", self.inner.set_recv_buffer_size(receive_buffer))?;
        if self.receive_buffer()?.is_capped() {
            let size = i32::try_from(receive_buffer).unwrap_or(i32::MAX / 2);
            let _ = sys::set_int(self.fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size);
        }
        self.set("SO_SNDBUF", self.inner.set_send_buffer_size(send_buffer))
    }

    /// The local address and port, after port 0 as the kernel chose it.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let address = self.get("the local address", self.inner.local_addr())?;
        Ok(address.as_socket().unwrap_or(self.local))
    }

    /// Whether the socket speaks IPv4; otherwise it speaks IPv6.
    pub const fn is_ipv4(&self) -> bool {
        self.local.is_ipv4()
    }

    /// Sets the peer: only its datagrams are received, and [`Transmit`]s to it need no route
    /// lookup. A second call sets another peer.
    ///
    /// Answers to a *group* come from the addresses of its members, so a socket that is connected
    /// to a group does not receive them.
    ///
    /// # Errors
    ///
    /// [`NetworkUnreachable`](crate::ErrorKind::NetworkUnreachable): no route leads there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        self.inner
            .connect(&peer.into())
            .map_err(|error| Error::new(Operation::Connect, peer, error))
    }

    /// Undoes [`Socket::connect`]: datagrams of anybody are received again.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn disconnect(&self) -> Result<(), Error> {
        let port = self.local_addr()?.port();
        sys::disconnect(self.fd())
            .map_err(|error| Error::new(Operation::Connect, "nobody", error))?;
        // A port that the kernel had chosen is let go of by this, and taken again here.
        if self.local_addr()?.port() != port {
            let local = SocketAddr::new(self.local.ip(), port);
            self.inner
                .bind(&local.into())
                .map_err(|error| Error::new(Operation::Bind, local, error))?;
        }
        Ok(())
    }

    /// The peer, if there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.peer_addr().ok()?.as_socket()
    }

    /// Receives what is there, at most as many datagrams as `batch` has room for, and says how
    /// many. Where nothing is there it waits for `timeout`: `None` for ever, zero not at all.
    ///
    /// It also ends, with 0, when a datagram came back as undeliverable: see
    /// [`RecvBatch::unreachable`]. That is news of a peer, not a failure, and the socket goes on
    /// working.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn recv_batch(
        &self,
        batch: &mut RecvBatch,
        timeout: Option<Duration>,
    ) -> Result<usize, Error> {
        batch.clear();
        if self.error_waits.swap(false, Ordering::Relaxed) {
            self.drain_error_queue(batch);
            if !batch.unreachable().is_empty() {
                return Ok(0);
            }
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // With no time-out the call itself waits, which saves a second one.
        let flags = if timeout.is_none() {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        loop {
            let limit = batch.slots().count();
            match batch.slots().receive(self.fd(), limit, flags) {
                Ok(count) => {
                    batch.take_up(count, self.local, interface_id, |seen| self.dropped(seen));
                    return Ok(batch.len());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                    let ready = self.wait(left)?;
                    if ready.contains(PollFlags::ERR) {
                        self.drain_error_queue(batch);
                    }
                    if !ready.contains(PollFlags::IN) {
                        return Ok(0);
                    }
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or_default();
                    if !is_news_of_a_peer(errno) {
                        return Err(Error::new(Operation::Receive, self.local, error));
                    }
                    self.drain_error_queue(batch);
                    if batch.unreachable().is_empty()
                        && let Some(peer) = self.peer_addr()
                    {
                        batch.push_unreachable(Unreachable { peer, errno });
                    }
                    return Ok(0);
                }
            }
        }
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<PollFlags, Error> {
        let mut fds = [PollFd::new(&self.inner, PollFlags::IN)];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds[0].revents()),
            Err(error) => Err(Error::new(Operation::Wait, self.local, error.into())),
        }
    }

    fn drain_error_queue(&self, batch: &mut RecvBatch) {
        // Whoever floods us with ICMP messages gets no more of our time than this.
        for _ in 0..64 {
            let slots = batch.slots();
            match sys::error_queue(self.fd(), slots) {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let errno = features::control_messages(slots.control(0))
                .find_map(|message| unreachable::decode(&message));
            if let (Some(peer), Some(errno)) = (slots.name(0), errno) {
                batch.push_unreachable(Unreachable { peer, errno });
            }
        }
    }

    fn dropped(&self, seen: Option<u32>) -> u64 {
        let known = self.dropped.load(Ordering::Relaxed);
        let Some(seen) = seen else { return known };
        let mut extended = (known & !u64::from(u32::MAX)) | u64::from(seen);
        if extended < known {
            extended += 1 << 32;
        }
        self.dropped.store(extended, Ordering::Relaxed);
        extended
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send<P: AsRef<[u8]>>(&self, transmit: &Transmit<P>) -> Result<(), Error> {
        self.send_batch(std::slice::from_ref(transmit)).map(drop)
    }

    /// Sends datagrams in order, waiting where the send buffer is full, and says how many the
    /// kernel took: all of them, or as many as come before the first that fails. That one's error
    /// is returned when it is the first of its call.
    ///
    /// # Errors
    ///
    /// * [`NetworkUnreachable`](crate::ErrorKind::NetworkUnreachable): no route leads there.
    /// * [`MessageTooLong`](crate::ErrorKind::MessageTooLong): over 65,507 bytes.
    /// * [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a broadcast address without
    ///   [`SocketConfig::broadcast`], or a firewall of this host.
    /// * [`LimitReached`](crate::ErrorKind::LimitReached): the queue of the interface is full.
    /// * [`InvalidInput`](crate::ErrorKind::InvalidInput): an address of the other version of IP,
    ///   or port 0.
    pub fn send_batch<P: AsRef<[u8]>>(&self, transmits: &[Transmit<P>]) -> Result<usize, Error> {
        self.send_flagged(transmits, 0)
    }

    /// As [`Socket::send_batch`], but never waits: 0 means that the send buffer is full.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn try_send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        self.send_flagged(transmits, libc::MSG_DONTWAIT)
    }

    fn send_flagged<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        flags: i32,
    ) -> Result<usize, Error> {
        let mut sent = 0;
        let mut retried = false;
        while let Some(next) = transmits.get(sent) {
            let outgoing = transmits[sent..]
                .iter()
                .map(|transmit| self.outgoing(transmit));
            match sys::send(self.fd(), outgoing, flags) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What an earlier datagram met is reported once, by whatever call comes next. This
                // one was not sent, and is not at fault.
                Err(error) if !retried && is_news_of_a_peer(error.raw_os_error().unwrap_or(0)) => {
                    retried = true;
                    self.error_waits
                        .store(self.report_unreachable, Ordering::Relaxed);
                }
                Err(_) if sent > 0 => break,
                Err(error) => return Err(self.send_error(next, error)),
            }
        }
        Ok(sent)
    }

    fn outgoing<'a, P: AsRef<[u8]>>(&self, transmit: &'a Transmit<P>) -> sys::Outgoing<'a> {
        let mut control = ControlWriter::new();
        pktinfo::encode(
            self.is_ipv4(),
            transmit.source,
            transmit.interface,
            &mut control,
        );
        sys::Outgoing {
            destination: Some(transmit.destination),
            payload: transmit.payload.as_ref(),
            control,
        }
    }

    fn send_error<P: AsRef<[u8]>>(&self, transmit: &Transmit<P>, error: io::Error) -> Error {
        let Transmit {
            destination,
            interface,
            payload,
            ..
        } = transmit;
        let len = payload.as_ref().len();
        let too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
        let no_route = error.raw_os_error() == Some(libc::ENETUNREACH);
        let error = Error::new(Operation::Send, destination, error);
        if too_long && len > MAX_PAYLOAD {
            error.explained(
                format!("{len} bytes are more than a UDP datagram carries"),
                format!("send at most {MAX_PAYLOAD} bytes at once; 1,472 pass any Ethernet"),
            )
        } else if let (true, Some(index)) = (no_route, interface) {
            error.explained(
                format!(
                    "{} has no address or no way to send from",
                    interface_id(*index)
                ),
                "give it an address, or choose another interface",
            )
        } else {
            error
        }
    }

    /// Hop limit of datagrams to groups.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn multicast_hops(&self) -> Result<u8, Error> {
        let hops = if self.is_ipv4() {
            self.inner.multicast_ttl_v4()
        } else {
            self.inner.multicast_hops_v6()
        };
        Ok(octet(self.get("IP_MULTICAST_TTL", hops)?))
    }

    /// Sets the hop limit of datagrams to groups: 1 stays on the link. With 0 they should stay on
    /// this host, but Linux keeps them there only if this host is a member.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_multicast_hops(&self, hops: u8) -> Result<(), Error> {
        let result = if self.is_ipv4() {
            self.inner.set_multicast_ttl_v4(hops.into())
        } else {
            self.inner.set_multicast_hops_v6(hops.into())
        };
        self.set("IP_MULTICAST_TTL", result)
    }

    /// Hop limit of datagrams to hosts.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn unicast_hops(&self) -> Result<u8, Error> {
        let hops = if self.is_ipv4() {
            self.inner.ttl_v4()
        } else {
            self.inner.unicast_hops_v6()
        };
        Ok(octet(self.get("IP_TTL", hops)?))
    }

    /// Sets the hop limit of datagrams to hosts, from 1.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): `hops` is 0.
    pub fn set_unicast_hops(&self, hops: u8) -> Result<(), Error> {
        let result = if self.is_ipv4() {
            self.inner.set_ttl_v4(hops.into())
        } else {
            self.inner.set_unicast_hops_v6(hops.into())
        };
        self.set("IP_TTL", result)
    }

    /// Whether members on this host receive what this socket sends to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn loopback(&self) -> Result<bool, Error> {
        let result = if self.is_ipv4() {
            self.inner.multicast_loop_v4()
        } else {
            self.inner.multicast_loop_v6()
        };
        self.get("IP_MULTICAST_LOOP", result)
    }

    /// Sets whether members on this host receive what this socket sends to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_loopback(&self, loopback: bool) -> Result<(), Error> {
        let result = if self.is_ipv4() {
            self.inner.set_multicast_loop_v4(loopback)
        } else {
            self.inner.set_multicast_loop_v6(loopback)
        };
        self.set("IP_MULTICAST_LOOP", result)
    }

    /// Index of the interface by which datagrams to groups leave; `None`: as the route says.
    pub fn multicast_interface(&self) -> Option<u32> {
        let index = self.multicast_interface.load(Ordering::Relaxed);
        (index != 0).then_some(index)
    }

    /// Sets by which interface datagrams to groups leave. No route is needed then.
    ///
    /// # Errors
    ///
    /// [`NoInterface`](crate::ErrorKind::NoInterface): there is none with this index.
    pub fn set_multicast_interface(&self, index: Option<u32>) -> Result<(), Error> {
        let number = index.unwrap_or(0);
        let result = if self.is_ipv4() {
            sys::set_multicast_interface_v4(self.fd(), number)
        } else {
            self.inner.set_multicast_if_v6(number)
        };
        // Linux answers EADDRNOTAVAIL where IPv6 would answer ENODEV.
        if let (Some(index), Err(_)) = (index, &result) {
            return Err(Error::from_errno(
                Operation::Find,
                interface_id(index),
                libc::ENODEV,
            ));
        }
        self.set("IP_MULTICAST_IF", result)?;
        self.multicast_interface.store(number, Ordering::Relaxed);
        Ok(())
    }

    /// Whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn broadcast(&self) -> Result<bool, Error> {
        self.get("SO_BROADCAST", self.inner.broadcast())
    }

    /// Sets whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_broadcast(&self, broadcast: bool) -> Result<(), Error> {
        self.set("SO_BROADCAST", self.inner.set_broadcast(broadcast))
    }

    /// The receive buffer that was asked for and granted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        let size = self.get("SO_RCVBUF", self.inner.recv_buffer_size())?;
        // Linux doubles what was asked for, to pay for its own bookkeeping (socket(7)).
        Ok(BufferSize {
            requested: self.requested.receive_buffer,
            granted: size / 2,
        })
    }

    /// The send buffer that was asked for and granted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn send_buffer(&self) -> Result<BufferSize, Error> {
        let size = self.get("SO_SNDBUF", self.inner.send_buffer_size())?;
        Ok(BufferSize {
            requested: self.requested.send_buffer,
            granted: size / 2,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn set(&self, option: &'static str, result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|error| Error::new(Operation::Set(option), self.local, error))
    }

    fn set_int(
        &self,
        option: &'static str,
        level: i32,
        name: i32,
        value: i32,
    ) -> Result<(), Error> {
        self.set(option, sys::set_int(self.fd(), level, name, value))
    }

    fn get<T>(&self, option: &'static str, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| Error::new(Operation::Get(option), self.local, error))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl From<Socket> for OwnedFd {
    /// The plain socket, set up, bound and joined as it is, for other libraries.
    fn from(socket: Socket) -> Self {
        socket.inner.into()
    }
}

/// `linux/in6.h`; the C library's header lacks it.
const IPV6_MULTICAST_ALL: i32 = 29;

/// Index and name of an interface; without a name where it is gone.
pub(crate) fn interface_id(index: u32) -> InterfaceId {
    let name = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .and_then(|socket| rustix::net::netdevice::index_to_name(socket, index));
    InterfaceId::new(index, name.unwrap_or_default())
}

/// Errors that a datagram sent earlier met on its way, as ICMP tells them (`icmp(7)`, `udp(7)`).
const fn is_news_of_a_peer(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EPROTO
            | libc::ENONET
            | libc::EMSGSIZE
    )
}

fn octet(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
