//! Sending to one destination.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast_net::{RecvBatch, SocketConfig, Unreachable};
use manycast_types::{Address, Host, InterfaceId, Transmit};

use crate::endpoint::unspecified;
use crate::way::Way;
use crate::{Error, IntoAddress, resolve};

/// Sends datagrams to one group or host, by one interface.
///
/// ```
/// use manycast::Sender;
///
/// let sender = Sender::new("239.192.0.100%lo:5000")?;
/// let sent = sender.send("Hello, world!")?;
/// assert_eq!(sent.bytes, 13);
/// assert_eq!(sent.hops, 1);
/// println!("{sent}");
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Sender {
    socket: manycast_net::Socket,
    destination: SocketAddr,
    from: SocketAddr,
    interface: InterfaceId,
    hops: u8,
    address: Address,
    config: SenderConfig,
}

/// How a [`Sender`] sends.
#[derive(Clone, Debug, Default)]
pub struct SenderConfig {
    /// The local address and port to send from; `None`: what the kernel chooses for the way.
    pub from: Option<SocketAddr>,
    /// Hop limit, loopback and buffers. The interface is part of the [`Address`].
    pub socket: SocketConfig,
}

/// What was handed to the kernel, and on which way. That it arrived is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Length of the payload in bytes.
    pub bytes: usize,
    /// The group or host.
    pub to: SocketAddr,
    /// The local address and port.
    pub from: SocketAddr,
    /// The interface by which it left.
    pub interface: InterfaceId,
    /// The hop limit that it left with.
    pub hops: u8,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            to,
            from,
            interface,
            hops,
        } = self;
        let plural = if *bytes == 1 { "" } else { "s" };
        write!(
            f,
            "{bytes} byte{plural} to {to} from {from} by {interface}, hop limit {hops}"
        )
    }
}

impl Sender {
    /// A sender to `address`, with everything as it usually is.
    ///
    /// # Errors
    ///
    /// As [`Sender::open`].
    pub fn new(address: impl IntoAddress) -> Result<Self, Error> {
        Self::open(address, SenderConfig::default())
    }

    /// A sender to `address`. Datagrams leave by the interface that it names; else as the route
    /// says; else, for a group, by the first interface that is up and can multicast: no route is
    /// needed.
    ///
    /// # Errors
    ///
    /// An interface that is not there, is down or cannot multicast; no route to a host; a local
    /// address that this host does not have.
    pub fn open(address: impl IntoAddress, config: SenderConfig) -> Result<Self, Error> {
        let address = address.into_address()?;
        if !address.sources().is_empty() {
            return Err(Error::unsuitable(
                address,
                "sources are for listening; to send from an address of yours, give it as 'from'",
            ));
        }
        if *address.host() == Host::Any || address.port() == 0 {
            return Err(Error::unsuitable(
                address,
                "it names no destination; write HOST:PORT",
            ));
        }
        let mut result = Err(Error::unsuitable(&address, "its name has no address"));
        for destination in resolve::socket_addrs(&address)? {
            result = Self::open_to(destination, &address, &config);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn open_to(
        destination: SocketAddr,
        address: &Address,
        config: &SenderConfig,
    ) -> Result<Self, Error> {
        let way = Way::to(destination, address.interface())?;
        let destination = way.destination;
        let to = destination.ip();
        let any = SocketAddr::new(unspecified(destination.is_ipv4()), 0);
        let local = config.from.unwrap_or(any);
        let socket = manycast_net::Socket::bind(local, &way.set_up(&config.socket))?;
        // A connected socket knows its own address, keeps the route, and hears of refusals.
        socket
            .connect(destination)
            .map_err(|error| way.explain(error))?;
        let hops = if to.is_multicast() {
            socket.multicast_hops()?
        } else {
            socket.unicast_hops()?
        };
        if hops == 0 {
            tracing::warn!("a hop limit of 0 keeps datagrams here only if this host is a member");
        }
        Ok(Self {
            from: socket.local_addr()?,
            interface: way.interface_id(),
            hops,
            socket,
            destination,
            address: address.clone(),
            config: config.clone(),
        })
    }

    /// The address that it was opened with, and since set on another interface by
    /// [`Sender::set_interface`].
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// How it was opened, with what was set since.
    pub const fn config(&self) -> &SenderConfig {
        &self.config
    }

    /// Opens it anew, as the interfaces and routes are now.
    ///
    /// # Errors
    ///
    /// As [`Sender::open`]; it then stays as it was.
    pub fn reopen(&mut self) -> Result<(), Error> {
        *self = Self::open(&self.address, self.config.clone())?;
        Ok(())
    }

    /// Sends one datagram, of at most 65,507 bytes. `Ok` means that the kernel took it.
    ///
    /// # Errors
    ///
    /// * [`MessageTooLong`](crate::ErrorKind::MessageTooLong)
    /// * [`NoInterface`](crate::ErrorKind::NoInterface), [`NetworkUnreachable`](crate::ErrorKind::NetworkUnreachable):
    ///   the interface went away. [`Sender::reopen`] finds it again, or another.
    pub fn send(&self, payload: impl AsRef<[u8]>) -> Result<Sent, Error> {
        let bytes = payload.as_ref().len();
        self.socket
            .send(&Transmit::new(self.destination, payload))?;
        Ok(Sent {
            bytes,
            ..self.way()
        })
    }

    /// Sends many datagrams with few system calls, and says how many went: all, or those before
    /// the first that failed.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`], of the first datagram.
    pub fn send_batch<P: AsRef<[u8]>>(&self, payloads: &[P]) -> Result<usize, Error> {
        self.send_payloads(payloads, true)
    }

    /// As [`Sender::send_batch`], but never waits: 0 means that the send buffer is full.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`], of the first datagram.
    pub fn try_send_batch<P: AsRef<[u8]>>(&self, payloads: &[P]) -> Result<usize, Error> {
        self.send_payloads(payloads, false)
    }

    fn send_payloads<P: AsRef<[u8]>>(&self, payloads: &[P], wait: bool) -> Result<usize, Error> {
        let way = Transmit::new(self.destination, ());
        Ok(self.socket.send_payloads(&way, payloads, wait)?)
    }

    /// The way that datagrams take: all of [`Sent`] but the length, which is 0.
    pub fn way(&self) -> Sent {
        Sent {
            bytes: 0,
            to: self.destination,
            from: self.from,
            interface: self.interface.clone(),
            hops: self.hops,
        }
    }

    /// Waits for news that a datagram could not be delivered, at most for `timeout`. Only a host
    /// can say so, never a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn unreachable(&self, timeout: Duration) -> Result<Option<Unreachable>, Error> {
        let mut batch = RecvBatch::with_capacity(1);
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            // An answer is proof that it was delivered, but not what was asked for.
            self.socket.recv_batch(&mut batch, left)?;
            let news = batch.unreachable().first().copied();
            if news.is_some() || left.is_some_and(|left| left.is_zero()) {
                return Ok(news);
            }
        }
    }

    pub(crate) const fn socket(&self) -> &manycast_net::Socket {
        &self.socket
    }

    /// The hop limit of what is sent.
    pub const fn hops(&self) -> u8 {
        self.hops
    }

    /// Sets the hop limit. To a group, 1 stays on the link.
    ///
    /// # Errors
    ///
    /// It is 0 and the destination is a host.
    pub fn set_hops(&mut self, hops: u8) -> Result<(), Error> {
        if self.destination.ip().is_multicast() {
            self.socket.set_multicast_hops(hops)?;
            self.config.socket.multicast_hops = hops;
        } else {
            self.socket.set_unicast_hops(hops)?;
            self.config.socket.unicast_hops = Some(hops);
        }
        self.hops = hops;
        Ok(())
    }

    /// Whether members on this host receive what is sent to a group.
    pub const fn loopback(&self) -> bool {
        self.config.socket.loopback
    }

    /// Sets whether members on this host receive what is sent to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_loopback(&mut self, loopback: bool) -> Result<(), Error> {
        self.socket.set_loopback(loopback)?;
        self.config.socket.loopback = loopback;
        Ok(())
    }

    /// The interface by which datagrams leave.
    pub const fn interface(&self) -> &InterfaceId {
        &self.interface
    }

    /// Sends by another interface from now on.
    ///
    /// # Errors
    ///
    /// As [`Sender::open`]; it then stays as it was.
    pub fn set_interface(
        &mut self,
        interface: manycast_types::InterfaceSelector,
    ) -> Result<(), Error> {
        *self = Self::open(self.address.clone().on(interface), self.config.clone())?;
        Ok(())
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
