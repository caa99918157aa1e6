//! One UDP socket: batches in, batches out, and every option readable and settable while it runs.

mod options;
mod queue;
mod receive;
mod segments;
mod send;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use manycast_types::{InterfaceId, with_zone};

use crate::offload::{self, Offload, OffloadState};
use crate::sys::features::{self, gro, unreachable};
use crate::{Error, Operation, SocketConfig, sys};
use segments::SegmentLimits;

/// A UDP socket of one version of IP.
///
/// Receiving fills a [`RecvBatch`](crate::RecvBatch) by one system call, with all that the kernel
/// can tell of each datagram. The descriptor is a blocking one, but each call says itself whether
/// it waits.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    local: SocketAddr,
    requested: Requested,
    multicast_interface: AtomicU32,
    device: Option<u32>,
    /// The drop counter, extended beyond the 32 bits that the kernel gives.
    dropped: AtomicU64,
    /// Whether a send met the error of an earlier datagram, whose details wait in the queue.
    error_waits: AtomicBool,
    report_unreachable: bool,
    /// Which datagrams are not merged, since the kernel would not cut them apart.
    segment_limits: SegmentLimits,
    gro: io::Result<()>,
    merges_received: bool,
    /// Whether what is sent now must not be cut up on the way.
    dont_fragment: AtomicBool,
    /// When it was last looked up why no address is available to send from.
    explained: Mutex<Option<Instant>>,
    /// Whether a receiving call that waits does so for some time only.
    has_timeout: AtomicBool,
    /// The first peer, and whether there was another one since.
    peer: OnceLock<SocketAddr>,
    had_other_peers: AtomicBool,
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
    /// * [`NoInterface`](crate::ErrorKind::NoInterface): there is none with the index of
    ///   [`SocketConfig::device`].
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
            device: config.device,
            dropped: AtomicU64::new(0),
            error_waits: AtomicBool::new(false),
            report_unreachable: config.report_unreachable,
            segment_limits: SegmentLimits::new(),
            gro: Ok(()),
            merges_received: false,
            dont_fragment: AtomicBool::new(false),
            explained: Mutex::new(None),
            has_timeout: AtomicBool::new(false),
            peer: OnceLock::new(),
            had_other_peers: AtomicBool::new(false),
        };
        if offload::is_wanted() && config.merge_received {
            socket.gro = gro::enable(socket.fd());
            socket.merges_received = socket.gro.is_ok();
        }
        socket.set_up(config)?;
        let mut bound = socket.inner.bind(&local.into());
        if config.share_port && is_in_use(&bound) {
            // Whoever has the port shares it by SO_REUSEPORT alone. It comes second because of what
            // Linux 6.18 does to sockets that share an address by it: a group's datagram for which
            // one of them alone is a member on that interface goes to any of them, by chance.
            socket.set("SO_REUSEPORT", socket.inner.set_reuse_port(true))?;
            bound = socket.inner.bind(&local.into());
        }
        bound.map_err(|error| {
            Error::new(Operation::Bind, local, error).explained_by_host(local, config.device)
        })?;
        socket.local = socket.local_addr()?;
        Ok(socket)
    }

    fn set_up(&self, config: &SocketConfig) -> Result<(), Error> {
        if config.share_port {
            self.share_address(true)?;
        }
        if !self.is_ipv4() {
            self.set("IPV6_V6ONLY", self.inner.set_only_v6(true))?;
        }
        // A member of a group receives that group alone, not whatever the host has joined.
        let isolated = sys::options::receive_only_joined(self.fd(), self.is_ipv4());
        self.set("IP_MULTICAST_ALL", isolated)?;
        self.set("IP_PKTINFO", features::enable(self.fd(), self.is_ipv4()))?;
        if config.report_unreachable {
            self.set("IP_RECVERR", unreachable::enable(self.fd(), self.is_ipv4()))?;
        }
        if let Some(index) = config.device {
            self.set(
                "SO_BINDTODEVICE",
                sys::options::bind_device(self.fd(), index),
            )?;
        }
        self.request_buffers()?;
        self.set_multicast_hops(config.multicast_hops)?;
        if let Some(hops) = config.unicast_hops {
            self.set_unicast_hops(hops)?;
        }
        if let Some(dscp) = config.dscp {
            self.set_dscp(dscp)?;
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
            let _ = sys::options::force_receive_buffer(self.fd(), receive_buffer);
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

    /// Sets the peer: only its datagrams are received, and datagrams to it need no route
    /// lookup. A second call sets another peer; for datagrams to that one the route is looked up.
    ///
    /// Answers to a *group* come from the addresses of its members, so a socket that is connected
    /// to a group does not receive them.
    ///
    /// # Errors
    ///
    /// [`NetworkUnreachable`](crate::ErrorKind::NetworkUnreachable): no route leads there.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        if self.peer.get().is_some_and(|first| *first != peer) {
            // Before it is so, since others may be sending.
            self.had_other_peers.store(true, Ordering::Release);
        }
        self.inner.connect(&peer.into()).map_err(|error| {
            let interface = self.interface_to(peer, None);
            Error::new(Operation::Connect, peer, error).explained_by_host(peer, interface)
        })?;
        self.peer.get_or_init(|| peer);
        Ok(())
    }

    /// A socket to take the place of this one: on the same address and port, connected to `peer` or to
    /// nobody, and a member of no group. What waits in this one is not passed on.
    ///
    /// There is no way to take the peer away from the socket itself: Linux would go on comparing its
    /// address for IPv6, and forget [`SocketConfig::device`]. With another peer, it would go on to send
    /// from the address that it took for the first.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`] and [`Socket::connect`]: a privileged port needs the privilege again.
    /// After an error this one is as before.
    pub fn successor(
        &self,
        peer: Option<SocketAddr>,
        config: &SocketConfig,
    ) -> Result<Self, Error> {
        // While there are two, they share the port, so that nobody else can take it.
        self.share_address(true)?;
        let shared = SocketConfig {
            share_port: true,
            ..config.clone()
        };
        // The device may have been made anew, with another index.
        let local = config
            .device
            .map_or(self.local, |device| with_zone(self.local, device));
        let bound = Self::bind(local, &shared);
        // Whether both share it is asked of those alone who come later.
        self.share_address(config.share_port)?;
        let socket = bound?;
        socket.share_address(config.share_port)?;
        if let Some(peer) = peer {
            socket.connect(peer)?;
        }
        Ok(socket)
    }

    /// Lets those sockets have the same address and port that are bound from now on and do the same, or
    /// no others (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn share_address(&self, share: bool) -> Result<(), Error> {
        self.set("SO_REUSEADDR", self.inner.set_reuse_address(share))
    }

    /// The peer, if there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.peer_addr().ok()?.as_socket()
    }

    /// Whether the kernel merges what is sent and gathers what is received. Where it refused to merge
    /// for some destinations in the last ten minutes, that which can do the least is told; others are
    /// not affected.
    pub fn offload(&self) -> Offload {
        if !offload::is_wanted() {
            let off = OffloadState::Off(format!("{}=off", offload::VARIABLE));
            return Offload {
                gso: off.clone(),
                gro: off,
            };
        }
        Offload {
            gso: match self.segment_limits.lowest() {
                None => OffloadState::On,
                Some(refusal) if refusal.limit == 0 => {
                    OffloadState::Off(io::Error::from_raw_os_error(refusal.errno).to_string())
                }
                Some(refusal) => OffloadState::UpTo(refusal.limit),
            },
            gro: match &self.gro {
                Ok(()) => OffloadState::On,
                Err(error) => OffloadState::Off(error.to_string()),
            },
        }
    }

    /// The index of the interface that is named for a datagram to `destination`: with it, or by the
    /// set-up of the socket. It leaves by no other, whatever the routes say.
    pub fn interface_to(&self, destination: SocketAddr, named: Option<u32>) -> Option<u32> {
        let is_group = destination.ip().is_multicast();
        let of_groups = || self.multicast_interface().filter(|_| is_group);
        named.or(self.device).or_else(of_groups)
    }

    /// The index of the interface that it keeps to, as it was set up.
    pub const fn device(&self) -> Option<u32> {
        self.device
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn set(&self, option: &'static str, result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|error| Error::new(Operation::Set(option), self.local, error))
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
    /// The plain socket, set up, bound and joined as it is, for other libraries. Open it with
    /// [`SocketConfig::merge_received`] off, unless they know of `UDP_GRO`.
    fn from(socket: Socket) -> Self {
        if socket.has_timeout.load(Ordering::Relaxed)
            && let Err(error) = socket.inner.set_read_timeout(None)
        {
            tracing::warn!(%error, "a receiving call on the descriptor will not wait for long");
        }
        socket.inner.into()
    }
}

/// Index and name of an interface; without a name where it is gone.
pub(crate) fn interface_id(index: u32) -> InterfaceId {
    let name = sys::options::interface_name(index);
    InterfaceId::new(index, name.unwrap_or_default())
}

/// How many datagrams that came back are dealt with in one go. Where many are under way, several of
/// them may come back between two calls.
const MAX_EARLIER: usize = 64;

fn is_in_use(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
}
