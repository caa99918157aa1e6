//! Unicast and connected UDP, with groups beside it where they are wanted.

mod send_half;

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use manycast_net::{BufferSize, Dropped, SocketConfig, Stopper};
use manycast_types::{
    Address, InterfaceId, InterfaceSelector, Membership, Received, Run, Transmit,
};

use crate::endpoint::Endpoint;
use crate::tentative::patiently;
use crate::{Error, Event, IntoAddress, IntoGroup, resolve};

pub use send_half::SendHalf;

/// Sends and receives: by unicast, to one peer or to anybody, and as a member of groups.
///
/// A server that answers each datagram from the address that was asked:
///
/// ```
/// use manycast::Socket;
///
/// let mut server = Socket::bind("127.0.0.1:0")?;
/// let mut client = Socket::connect(server.local_addr()?)?;
///
/// client.send("ping")?;
/// let reply = server.recv()?.reply();
/// server.answer(reply, "pong")?;
/// assert_eq!(client.recv()?.payload, b"pong");
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    endpoint: Endpoint,
}

impl Socket {
    /// Binds to a local address; `:PORT` to all of them, IPv4 and IPv6. Port 0 stands for any free
    /// port, which [`Socket::local_addr`] tells. The port is not shared with other sockets. An IPv6
    /// address of this host that is tentative is waited for, at most three seconds.
    ///
    /// # Errors
    ///
    /// A port in use or privileged, an address that this host does not have.
    pub fn bind(address: impl IntoAddress) -> Result<Self, Error> {
        Self::bind_with(address, SocketConfig::default())
    }

    /// As [`Socket::bind`], with a set-up of one's own.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind_with(address: impl IntoAddress, config: SocketConfig) -> Result<Self, Error> {
        let address = address.into_address()?;
        patiently(|| Self::bind_at_once(&address, &config))
    }

    /// As [`Socket::bind_with`], but an address that is tentative is an error.
    #[doc(hidden)]
    pub fn bind_at_once(address: &Address, config: &SocketConfig) -> Result<Self, Error> {
        if address.group().is_some() {
            return Err(Error::unsuitable(
                address,
                "it is a group; bind to :PORT and join it, or use a Listener",
            ));
        }
        let endpoint = Endpoint::listen(std::slice::from_ref(address), config.clone())?;
        Ok(Self { endpoint })
    }

    /// Opens a socket that sends to one peer and receives from it alone. UDP has no connections:
    /// the peer is told nothing of it.
    ///
    /// An IPv6 address of this host that is tentative is waited for, at most three seconds. The socket
    /// keeps its local address, since that is what the peer answers to: where this host loses it, sends
    /// fail and say so. With an interface in the address of the peer it follows that; a
    /// [`Sender`](crate::Sender), to which nobody need answer, follows the host in any case.
    ///
    /// Answers to a *group* come from the addresses of its members and are not received; ask a
    /// group with [`ask`](crate::ask), or from a socket that is not connected.
    ///
    /// # Errors
    ///
    /// No route leads there, or the name cannot be resolved.
    pub fn connect(peer: impl IntoAddress) -> Result<Self, Error> {
        let peer = peer.into_address()?;
        patiently(|| Self::connect_at_once(&peer))
    }

    /// As [`Socket::connect`], but an address that is tentative is an error.
    #[doc(hidden)]
    pub fn connect_at_once(peer: &Address) -> Result<Self, Error> {
        let endpoint = Endpoint::connect(peer, SocketConfig::default())?;
        Ok(Self { endpoint })
    }

    /// Connects to another peer, from the same local port. The interface is the one that its address
    /// names, or else that was named before; the source address is chosen anew. What had come from
    /// others is not received any more. An address of this host that is tentative is not waited for.
    /// Groups stay joined.
    ///
    /// # Errors
    ///
    /// As [`Socket::connect`]; a peer of the other version of IP; and a port below 1024 without the
    /// privilege that it takes to bind to it, since that is done anew. After an error the peer and all
    /// else is as before.
    pub fn reconnect(&mut self, peer: impl IntoAddress) -> Result<(), Error> {
        let address = peer.into_address()?;
        let peers = resolve::socket_addrs(&address)?;
        self.reconnect_to(&address, peers)
    }

    /// Connects to the first of the addresses of a peer that it can be.
    pub(crate) fn reconnect_to(
        &mut self,
        address: &Address,
        peers: Vec<SocketAddr>,
    ) -> Result<(), Error> {
        let mut result = Err(Error::unsuitable(address, "its name has no address"));
        for peer in peers {
            result = self.endpoint.reconnect(peer, address.interface());
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Lets anybody send to it again. The local port stays, and what came is still received.
    ///
    /// # Errors
    ///
    /// A port below 1024, as for [`Socket::reconnect`]; else only where the machine itself fails.
    pub fn disconnect(&mut self) -> Result<(), Error> {
        self.endpoint.disconnect()
    }

    /// The peer of a connected socket; of a link-local one with the index that its interface has now.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.endpoint.outlets().peer()
    }

    /// The local address, with the port that was chosen; of two sockets that of IPv4.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        match self.endpoint.sockets().next() {
            Some(socket) => Ok(socket.local_addr()?),
            None => Err(Error::Stopped),
        }
    }

    /// Sends to the peer of a connected socket.
    ///
    /// # Errors
    ///
    /// It is not connected, the payload is too long, or no route leads there.
    pub fn send(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        let transmit = Transmit::new(self.connected_peer()?, payload);
        self.send_batch(&[transmit]).map(drop)
    }

    pub(crate) fn connected_peer(&self) -> Result<SocketAddr, Error> {
        self.peer_addr().ok_or_else(no_peer)
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn endpoint_ref(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends to a host or a group: by the interface that the address names; else by the one that
    /// was named to listen on; else as the route says. A group needs no route: where there is none,
    /// the first interface that is up and can multicast is used.
    ///
    /// The name of a host is looked up at each call; [`resolve`](crate::resolve()) does so once.
    ///
    /// # Errors
    ///
    /// The payload is longer than 65,507 bytes, no route leads there, the group was joined on
    /// several interfaces that were named, or a broadcast was not allowed with
    /// [`Socket::set_broadcast`].
    pub fn send_to(&self, to: impl IntoAddress, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.send_batch(&[transmit_to(&to.into_address()?, payload)?])
            .map(drop)
    }

    /// Answers a datagram, to where its [`reply`](Received::reply) says: to its sender, from the
    /// address and by the socket that were asked.
    ///
    /// ```
    /// use manycast::Socket;
    ///
    /// let mut server = Socket::bind("127.0.0.1:0")?;
    /// let client = Socket::connect(server.local_addr()?)?;
    /// client.send("ping")?;
    /// let reply = server.recv()?.reply();
    /// server.answer(reply, "pong")?;
    /// # Ok::<(), manycast::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`].
    pub fn answer(&self, reply: Transmit<()>, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.send_batch(&[reply.with(payload)]).map(drop)
    }

    /// Parts it into a half that sends and a half that receives, for two threads.
    /// `tokio::Socket::split` is for two tasks.
    ///
    /// ```
    /// use manycast::Socket;
    ///
    /// let socket = Socket::bind("127.0.0.1:0")?;
    /// let to = socket.local_addr()?;
    /// let (sending, mut receiving) = socket.split();
    /// std::thread::spawn(move || sending.send_to(to, "hello"));
    /// assert_eq!(receiving.recv()?.payload, b"hello");
    /// # Ok::<(), manycast::Error>(())
    /// ```
    pub fn split(mut self) -> (SendHalf, Self) {
        let half = SendHalf {
            outlets: self.endpoint.share_outlets(),
        };
        (half, self)
    }

    /// Sends many datagrams with few system calls, and says how many datagrams went: all, or those
    /// before the first that failed. A transmit with a segment size is as many as
    /// [`Transmit::count`] says.
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`], of the first datagram.
    pub fn send_batch<P: AsRef<[u8]>>(&self, transmits: &[Transmit<P>]) -> Result<usize, Error> {
        self.endpoint.send(transmits, true)
    }

    /// As [`Socket::send_batch`], but never waits: 0 means that the send buffer is full, and
    /// [`Socket::sending_fd`] tells when there is room again. A transmit with a segment size may go
    /// in part; [`Transmit::after`] is the rest.
    ///
    /// ```
    /// use manycast::{Socket, Transmit};
    ///
    /// let mut socket = Socket::bind("127.0.0.1:0")?;
    /// let to = socket.local_addr()?;
    /// assert_eq!(socket.try_send_batch(&[Transmit::new(to, "one"), Transmit::new(to, "two")])?, 2);
    /// assert_eq!(socket.recv()?.payload, b"one");
    /// # Ok::<(), manycast::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`], of the first datagram.
    pub fn try_send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        self.endpoint.send(transmits, false)
    }

    /// The descriptor by which something to `to` is sent, for another event loop: writable when the
    /// send buffer has room.
    ///
    /// # Errors
    ///
    /// No socket that was opened can send there.
    pub fn sending_fd(&self, to: SocketAddr) -> Result<BorrowedFd<'_>, Error> {
        Ok(self
            .endpoint
            .outlets()
            .socket_for(&Transmit::new(to, ()))?
            .as_fd())
    }

    /// Waits for a datagram. It is borrowed until the next call; [`Received::reply`] keeps where to
    /// answer, and [`Received::to_datagram`] keeps all.
    ///
    /// # Errors
    ///
    /// * [`Error::ConnectionRefused`]: the socket is connected, and nobody listens on its peer's
    ///   port. It goes on working; [`Socket::next_event`] tells the same without an error, also
    ///   where the socket is not connected.
    /// * [`Error::Stopped`].
    pub fn recv(&mut self) -> Result<Received<'_>, Error> {
        self.wait(None)?;
        self.endpoint.take().ok_or(Error::Stopped)
    }

    /// As [`Socket::recv`], but gives up after `timeout` with `None`.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Received<'_>>, Error> {
        self.wait(Some(timeout))?;
        Ok(self.endpoint.take())
    }

    /// The datagram that is there, if any; never waits.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Received<'_>>, Error> {
        self.recv_timeout(Duration::ZERO)
    }

    /// As [`Socket::recv_timeout`] (`None`: for ever), but takes all datagrams that came at once.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub fn recv_batch(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<impl Iterator<Item = Received<'_>>, Error> {
        self.wait(timeout)?;
        Ok(self.endpoint.take_batch())
    }

    /// As [`Socket::recv_timeout`] (`None`: for ever), but takes neighbours that came in one piece
    /// together, at most `limit` of them: for who copies each payload, and looks once at what is
    /// equal of them.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub fn recv_run(
        &mut self,
        limit: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Run<'_>>, Error> {
        self.wait(timeout)?;
        Ok(self.endpoint.take_run(limit))
    }

    /// Waits for a datagram or an event: a refusal, a membership that came or went. `None` when
    /// `timeout` is over (`None`: for ever).
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`], or a failure of the machine; no peer can cause one.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event<'_>>, Error> {
        self.endpoint.wait(timeout)?;
        Event::next(&mut self.endpoint)
    }

    /// Waits for a datagram; a refusal by the peer is an error, other events are passed over.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.endpoint.wait_for_datagram(timeout)
    }

    /// Joins a group on the port of this socket, on every interface unless one is named, and says
    /// whether it was not joined already. Datagrams to the host and to the group both arrive.
    ///
    /// # Errors
    ///
    /// As [`Listener::open`](crate::Listener::open).
    pub fn join(&mut self, group: impl IntoGroup) -> Result<bool, Error> {
        let port = self.local_addr()?.port();
        self.endpoint.join(group.into_group()?, port)
    }

    /// Leaves a group, on all interfaces unless one is named, and says whether it had been joined.
    ///
    /// # Errors
    ///
    /// The text names no group, or an interface that is not there; or it names an interface, and the
    /// group was joined on every one: leave it without, and join it on those that are wanted.
    pub fn leave(&mut self, group: impl IntoGroup) -> Result<bool, Error> {
        let port = self.local_addr()?.port();
        self.endpoint.leave(&group.into_group()?, port)
    }

    /// The groups that are joined now, one entry an interface.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.endpoint.memberships()
    }

    /// Hop limit of datagrams to groups; 1 by default, so that they stay on their link.
    pub const fn multicast_hops(&self) -> u8 {
        self.endpoint.config().multicast_hops
    }

    /// Sets the hop limit of datagrams to groups.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_multicast_hops(&mut self, hops: u8) -> Result<(), Error> {
        self.endpoint.reconfigure(
            |config| config.multicast_hops = hops,
            |socket| socket.set_multicast_hops(hops),
        )
    }

    /// Hop limit of datagrams to hosts, as the kernel has it.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn unicast_hops(&self) -> Result<u8, Error> {
        match self.endpoint.sockets().next() {
            Some(socket) => Ok(socket.unicast_hops()?),
            None => Err(Error::unsuitable(
                "the socket",
                "it is closed; open another one",
            )),
        }
    }

    /// Sets the hop limit of datagrams to hosts, from 1.
    ///
    /// # Errors
    ///
    /// `hops` is 0.
    pub fn set_unicast_hops(&mut self, hops: u8) -> Result<(), Error> {
        self.endpoint.reconfigure(
            |config| config.unicast_hops = Some(hops),
            |socket| socket.set_unicast_hops(hops),
        )
    }

    /// Whether members on this host receive what this socket sends to a group; yes by default.
    pub const fn loopback(&self) -> bool {
        self.endpoint.config().loopback
    }

    /// Sets whether members on this host receive what this socket sends to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_loopback(&mut self, loopback: bool) -> Result<(), Error> {
        self.endpoint.reconfigure(
            |config| config.loopback = loopback,
            |socket| socket.set_loopback(loopback),
        )
    }

    /// The interface by which datagrams to groups leave; `None`: as the route says.
    ///
    /// # Errors
    ///
    /// The interface is gone.
    pub fn multicast_interface(&self) -> Result<Option<InterfaceId>, Error> {
        let index = self
            .endpoint
            .sockets()
            .find_map(manycast_net::Socket::multicast_interface);
        match index {
            Some(index) => Ok(Some(
                manycast_net::find_interface(&InterfaceSelector::Index(index))?.id(),
            )),
            None => Ok(None),
        }
    }

    /// Sets by which interface datagrams to groups leave; no route is needed then. Where it is named, it is
    /// followed to another index. `None` leaves it to the route again.
    ///
    /// # Errors
    ///
    /// There is no such interface.
    pub fn set_multicast_interface(
        &mut self,
        interface: Option<&InterfaceSelector>,
    ) -> Result<(), Error> {
        self.endpoint.set_multicast_interface(interface)
    }

    /// Whether datagrams may go to broadcast addresses; no by default.
    pub const fn broadcast(&self) -> bool {
        self.endpoint.config().broadcast
    }

    /// Sets whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_broadcast(&mut self, broadcast: bool) -> Result<(), Error> {
        self.endpoint.reconfigure(
            |config| config.broadcast = broadcast,
            |socket| socket.set_broadcast(broadcast),
        )
    }

    /// The receive buffer that was asked for and granted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        self.endpoint.receive_buffer()
    }

    /// Asks the kernel what it has dropped until now for want of room in the receive buffer, as
    /// [`Listener::dropped`](crate::Listener::dropped).
    pub fn dropped(&self) -> Dropped {
        self.endpoint.dropped()
    }

    /// Something that ends a wait from another thread, for good.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.endpoint.stopper()
    }

    /// The plain socket of the system, set up, bound and joined as it is; `None` where there are
    /// two, one for each version of IP. See [`Listener::into_fd`](crate::Listener::into_fd).
    pub fn into_fd(self) -> Option<OwnedFd> {
        self.endpoint.into_single().map(OwnedFd::from)
    }
}

/// A datagram to an address, by the interface that it names; a name is looked up.
#[doc(hidden)]
pub fn transmit_to<P>(address: &Address, payload: P) -> Result<Transmit<P>, Error> {
    let mut transmit = Transmit::new(resolve::first(address)?, payload);
    if let Some(selector) = address.interface() {
        transmit.interface = Some(manycast_net::find_interface(selector)?.index);
    }
    Ok(transmit)
}

fn no_peer() -> Error {
    Error::unsuitable(
        "the socket",
        "it has no peer; connect it first, or name the destination",
    )
}

impl AsFd for Socket {
    /// A descriptor for another event loop: readable while there is something to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }
}

impl From<Socket> for Endpoint {
    fn from(socket: Socket) -> Self {
        socket.endpoint
    }
}
