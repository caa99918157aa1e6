//! Sending to one destination.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use manycast_net::{ErrorKind, Operation, RecvBatch, Socket, SocketConfig, Unreachable};
use manycast_types::{Address, Host, InterfaceId, Transmit};

use crate::egress::Egress;
use crate::endpoint::Endpoint;
use crate::tentative::patiently;
use crate::{Error, IntoAddress, resolve};

/// Sends datagrams to one group or host, by one interface.
///
/// It follows the host: an interface that comes back or is recreated under its name, and an address
/// that is replaced, are used within 50 ms of sending.
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
    state: RwLock<State>,
    destination: SocketAddr,
    hops: u8,
    address: Address,
    config: SenderConfig,
    /// When it last looked whether the host has changed, in milliseconds of the coarse clock.
    looked: AtomicU64,
}

/// What changes when the host does.
#[derive(Debug)]
struct State {
    endpoint: Endpoint,
    /// The one socket of the endpoint.
    socket: Arc<Socket>,
    to: SocketAddr,
    from: SocketAddr,
    interface: InterfaceId,
    /// Whether the last look found nothing to send by.
    is_lost: bool,
}

/// How often it looks whether the host has changed, while it sends; the clock for that goes in steps of
/// at most 10 ms.
const LOOK: Duration = Duration::from_millis(40);

/// How a [`Sender`] sends.
///
/// ```
/// use manycast::{Sender, SenderConfig, SocketConfig};
///
/// let config = SenderConfig::default()
///     .from("127.0.0.1:0")?
///     .socket(SocketConfig::default().multicast_hops(8));
/// let sender = Sender::open("239.192.0.100%lo:5000", config)?;
/// assert_eq!(sender.hops(), 8);
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SenderConfig {
    /// The local address and port to send from; `None`: what the kernel chooses for the route.
    pub from: Option<Address>,
    /// Hop limit, loopback and buffers. The interface is part of the [`Address`].
    pub socket: SocketConfig,
}

impl SenderConfig {
    /// Sets the local address and port to send from; `:PORT` for a port alone.
    ///
    /// # Errors
    ///
    /// The text is no address.
    pub fn from(mut self, address: impl IntoAddress) -> Result<Self, Error> {
        self.from = Some(address.into_address()?);
        Ok(self)
    }

    /// Sets hop limit, loopback and buffers.
    #[must_use]
    pub fn socket(mut self, socket: SocketConfig) -> Self {
        self.socket = socket;
        self
    }
}

/// What was handed to the kernel, and how it left. That it arrived is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Sent {
    /// So many bytes, to and from these addresses.
    pub const fn new(
        bytes: usize,
        to: SocketAddr,
        from: SocketAddr,
        interface: InterfaceId,
        hops: u8,
    ) -> Self {
        Self {
            bytes,
            to,
            from,
            interface,
            hops,
        }
    }
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
    /// needed. An IPv6 address of this host that is tentative is waited for, at most three seconds.
    ///
    /// # Errors
    ///
    /// An interface that is not there, is down or cannot multicast; no route to a host; a local
    /// address that this host does not have.
    pub fn open(address: impl IntoAddress, config: SenderConfig) -> Result<Self, Error> {
        let address = address.into_address()?;
        patiently(|| Self::open_at_once(&address, &config))
    }

    /// As [`Sender::open`], but an address that is tentative is an error.
    #[doc(hidden)]
    pub fn open_at_once(address: &Address, config: &SenderConfig) -> Result<Self, Error> {
        Self::open_first(address, config, true)
    }

    /// A sender for once, which does not follow the host.
    pub(crate) fn once(address: impl IntoAddress) -> Result<Self, Error> {
        let address = address.into_address()?;
        patiently(|| Self::open_first(&address, &SenderConfig::default(), false))
    }

    /// A sender to the first of the addresses that can be sent to, which perhaps follows the host.
    fn open_first(address: &Address, config: &SenderConfig, follow: bool) -> Result<Self, Error> {
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
        let mut result = Err(Error::unsuitable(address, "its name has no address"));
        for destination in resolve::socket_addrs(address)? {
            result = Self::open_to(destination, address, config, follow);
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
        follow: bool,
    ) -> Result<Self, Error> {
        let mut endpoint = Endpoint::new(config.socket.clone())?;
        if follow {
            // Before the interfaces are looked at, so that no change falls in between.
            endpoint.watch()?;
        }
        let from = config.from.as_ref();
        let from = from
            .map(|from| resolve::local(from, destination))
            .transpose()?;
        let ip = from.map(|from| from.ip());
        let egress = Egress::to(destination, address.interface(), ip)?;
        endpoint.connect_by(&egress, address.interface(), from, true)?;
        let state = State::of(endpoint, &egress)?;
        let hops = if destination.ip().is_multicast() {
            state.socket.multicast_hops()?
        } else {
            state.socket.unicast_hops()?
        };
        if hops == 0 {
            tracing::warn!("a hop limit of 0 keeps datagrams here only if this host is a member");
        }
        if state.from.ip().is_unspecified() {
            tracing::warn!(interface = %state.interface, "the interface has no address to send from yet");
        }
        Ok(Self {
            state: RwLock::new(state),
            destination,
            hops,
            address: address.clone(),
            config: config.clone(),
            looked: AtomicU64::new(coarse_milliseconds()),
        })
    }

    /// The group or host that datagrams go to, with the zone that it needs.
    pub fn destination(&self) -> SocketAddr {
        self.state().to
    }

    /// The local address and port that datagrams leave from now.
    pub fn local_addr(&self) -> SocketAddr {
        self.state().from
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

    /// Sends one datagram, of at most 65,507 bytes. `Ok` means that the kernel took it.
    ///
    /// # Errors
    ///
    /// * [`MessageTooLong`](crate::ErrorKind::MessageTooLong)
    /// * The interface is down, gone, or has no address: [`Error::is_transient`] says so, and the
    ///   same call succeeds once it is back.
    pub fn send(&self, payload: impl AsRef<[u8]>) -> Result<Sent, Error> {
        let bytes = payload.as_ref().len();
        self.send_payloads(&[payload], true)?;
        Ok(self.sent(bytes))
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

    /// Waits until the send buffer has room, after [`Sender::try_send_batch`] has found none, at most for
    /// `timeout`, and says whether it has. So that who sends can look in between whether to stop, since
    /// a slow interface may take minutes for what the buffer holds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let sender = manycast::Sender::new("239.192.0.100%lo:5000")?;
    /// while sender.try_send_batch(&["Hello, world!"])? == 0 {
    ///     sender.wait_for_room(Duration::from_millis(100))?;
    /// }
    /// # Ok::<(), manycast::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn wait_for_room(&self, timeout: Duration) -> Result<bool, Error> {
        Ok(self.sending_socket().wait_for_room(Some(timeout))?)
    }

    fn send_payloads<P: AsRef<[u8]>>(&self, payloads: &[P], wait: bool) -> Result<usize, Error> {
        self.follow(false)?;
        let result = self.send_now(payloads, wait);
        match result {
            // The host may have changed since the last look.
            Err(error) if error.is_transient() && error.kind() != ErrorKind::LimitReached => {
                self.follow(true)?;
                self.send_now(payloads, wait)
            }
            result => result,
        }
    }

    /// Sends by the socket as it is. Others may take up a new one meanwhile.
    fn send_now<P: AsRef<[u8]>>(&self, payloads: &[P], wait: bool) -> Result<usize, Error> {
        let (socket, to) = {
            let state = self.state();
            (Arc::clone(&state.socket), state.to)
        };
        Ok(socket.send_payloads(&Transmit::new(to, ()), payloads, wait)?)
    }

    /// Looks whether the interface or the own address is another one now, if it is time to, or at
    /// once.
    fn follow(&self, at_once: bool) -> Result<(), Error> {
        let now = coarse_milliseconds();
        let passed = now.saturating_sub(self.looked.load(Ordering::Relaxed));
        if !at_once && Duration::from_millis(passed) < LOOK {
            return Ok(());
        }
        self.looked.store(now, Ordering::Relaxed);
        self.state_mut().follow(at_once)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What [`Sender::send`] tells of a datagram of `bytes` bytes, for those of a batch.
    pub fn sent(&self, bytes: usize) -> Sent {
        let state = self.state();
        Sent {
            bytes,
            to: state.to,
            from: state.from,
            interface: state.interface.clone(),
            hops: self.hops,
        }
    }

    /// Waits for the report that a datagram could not be delivered, at most for `timeout`. Only a
    /// host can say so, never a group.
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
            self.sending_socket().recv_batch(&mut batch, left)?;
            let unreachable = batch.unreachable().first().copied();
            if unreachable.is_some() || left.is_some_and(|left| left.is_zero()) {
                return Ok(unreachable);
            }
        }
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
        let is_group = self.destination.ip().is_multicast();
        let change = |config: &mut SocketConfig| {
            if is_group {
                config.multicast_hops = hops;
            } else {
                config.unicast_hops = Some(hops);
            }
        };
        self.state_mut().endpoint.reconfigure(change, |socket| {
            if is_group {
                socket.set_multicast_hops(hops)
            } else {
                socket.set_unicast_hops(hops)
            }
        })?;
        change(&mut self.config.socket);
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
        self.state_mut().endpoint.reconfigure(
            |config| config.loopback = loopback,
            |socket| socket.set_loopback(loopback),
        )?;
        self.config.socket.loopback = loopback;
        Ok(())
    }

    /// The interface by which datagrams leave.
    pub fn interface(&self) -> InterfaceId {
        self.state().interface.clone()
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

impl AsRawFd for Sender {
    /// The descriptor of the socket as it is now, for another event loop: writable when the send
    /// buffer has room. After the host has changed it may be another one.
    fn as_raw_fd(&self) -> RawFd {
        self.state().socket.as_fd().as_raw_fd()
    }
}

impl Sender {
    /// A descriptor that is writable when the send buffer has room, to wait for after
    /// [`Sender::try_send_batch`] has found none. The next wait needs a new one, since the socket
    /// may be another by then.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn sending_fd(&self) -> Result<OwnedFd, Error> {
        let fd = self.state().socket.as_fd().try_clone_to_owned();
        Ok(fd.map_err(|error| manycast_net::Error::new(Operation::Wait, self.destination, error))?)
    }

    pub(crate) fn sending_socket(&self) -> Arc<Socket> {
        Arc::clone(&self.state().socket)
    }
}

impl State {
    fn of(endpoint: Endpoint, egress: &Egress) -> Result<Self, Error> {
        let socket = Arc::clone(
            endpoint
                .outlets()
                .socket_for(&Transmit::new(egress.destination, ()))?,
        );
        Ok(Self {
            endpoint,
            to: egress.destination,
            from: socket.local_addr()?,
            socket,
            interface: egress.interface_id(),
            is_lost: false,
        })
    }

    /// Takes up another interface or address, where the host has changed.
    fn follow(&mut self, at_once: bool) -> Result<(), Error> {
        let is_changed = self.endpoint.has_changed()?;
        if !(at_once || is_changed || self.is_lost) {
            return Ok(());
        }
        self.is_lost = true;
        if let Some(egress) = self.endpoint.follow_peer(0)? {
            // Answers that nobody reads keep no socket open.
            self.endpoint.drop_retired();
            self.to = egress.destination;
            self.interface = egress.interface_id();
            self.socket = Arc::clone(
                self.endpoint
                    .outlets()
                    .socket_for(&Transmit::new(self.to, ()))?,
            );
            self.from = self.socket.local_addr()?;
            tracing::debug!(from = %self.from, interface = %self.interface, "sends anew");
        }
        self.is_lost = false;
        Ok(())
    }
}

fn coarse_milliseconds() -> u64 {
    u64::try_from(manycast_net::coarse_time().as_millis()).unwrap_or(u64::MAX)
}

impl From<Sender> for Endpoint {
    fn from(sender: Sender) -> Self {
        let state = sender.state.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).endpoint
    }
}
