//! Receiving: from groups and from anybody.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use manycast_net::{BufferSize, Dropped, SocketConfig, Stopper, Unreachable};
use manycast_proto::NetworkEvent;
use manycast_types::{Address, Datagram, Membership, Received, Run};

use crate::endpoint::Endpoint;
use crate::tentative::patiently;
use crate::{Error, IntoAddress};

/// Receives the datagrams of groups, on every interface that can multicast unless one is named,
/// and those to local addresses.
///
/// It receives what it asked for and nothing else: other groups on the same port, the same group
/// on other interfaces and other sources stay out. When an interface comes, comes back or is
/// recreated, its groups are joined there with no act of the application.
///
/// Datagrams to one group come in the order in which the kernel received them; between groups, each
/// of which has a socket of its own, compare [`Received::time`].
///
/// ```
/// use std::time::Duration;
///
/// let mut listener = manycast::listen("239.192.0.100%lo:5000")?;
/// manycast::send("239.192.0.100%lo:5000", "Hello, world!")?;
/// let received = listener.recv_timeout(Duration::from_secs(5))?.ok_or("nothing came")?;
/// assert_eq!(received.payload, b"Hello, world!");
/// assert_eq!(received.destination.to_string(), "239.192.0.100:5000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// As an iterator it gives owned datagrams:
///
/// ```no_run
/// for datagram in manycast::listen("239.192.0.100:5000")? {
///     let datagram = datagram?;
///     println!("{} bytes from {}", datagram.payload.len(), datagram.source);
/// }
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
}

/// Something that a [`Listener`] or a [`Socket`](crate::Socket) has to tell.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A datagram came.
    Datagram(Received<'a>),
    /// A group was joined, because an interface came or came back.
    Joined(Membership),
    /// A group was left, because its interface went away.
    Left(Membership),
    /// A datagram that was sent came back as undeliverable; nothing else changes by that.
    Unreachable(Unreachable),
}

impl<'a> Event<'a> {
    /// The next one of an endpoint whose wait has ended, if anything has come.
    pub(crate) fn next(endpoint: &'a mut Endpoint) -> Result<Option<Self>, Error> {
        if let Some(event) = Event::of_the_network(endpoint) {
            return Ok(Some(event));
        }
        let is_stopped = endpoint.is_stopped();
        match endpoint.take() {
            Some(received) => Ok(Some(Self::Datagram(received))),
            None if is_stopped => Err(Error::Stopped),
            None => Ok(None),
        }
    }
}

impl Event<'static> {
    /// The next one that is no datagram.
    pub(crate) fn of_the_network(endpoint: &mut Endpoint) -> Option<Self> {
        while let Some(event) = endpoint.next_event() {
            match event {
                NetworkEvent::Joined(membership) => return Some(Self::Joined(membership)),
                NetworkEvent::Left(membership) => return Some(Self::Left(membership)),
                NetworkEvent::Unreachable { unreachable, .. } => {
                    return Some(Self::Unreachable(unreachable));
                }
                // The others answer to requests, of which there were none.
                _ => {}
            }
        }
        None
    }
}

impl Listener {
    /// Listens on one or more addresses: groups, local addresses, or both, on any ports.
    ///
    /// ```
    /// use manycast::{Listener, SocketConfig};
    ///
    /// let addresses = ["239.192.0.100%lo:5000", "[ff15::100%lo]:5000", ":5001"];
    /// let listener = Listener::open(addresses, SocketConfig::default())?;
    /// # Ok::<(), manycast::Error>(())
    /// ```
    ///
    /// An IPv6 address of this host that is tentative is waited for, at most three seconds.
    ///
    /// # Errors
    ///
    /// With the reason and what to do about it: a port in use or privileged, an interface that is
    /// not there, is down or cannot multicast, a name that cannot be resolved, too many open files.
    pub fn open(
        addresses: impl IntoIterator<Item = impl IntoAddress>,
        config: SocketConfig,
    ) -> Result<Self, Error> {
        let addresses = addresses_of(addresses)?;
        patiently(|| Self::open_at_once(&addresses, &config))
    }

    /// As [`Listener::open`], but an address that is tentative is an error.
    #[doc(hidden)]
    pub fn open_at_once(addresses: &[Address], config: &SocketConfig) -> Result<Self, Error> {
        let endpoint = Endpoint::listen(addresses, config.clone())?;
        Ok(Self { endpoint })
    }

    /// A listener on nothing yet: [`Listener::join`] gives it groups.
    ///
    /// ```
    /// use manycast::{Listener, SocketConfig};
    ///
    /// let mut listener = Listener::idle(SocketConfig::default())?;
    /// listener.join("239.192.0.100%lo:5000")?;
    /// manycast::send("239.192.0.100%lo:5000", "Hello, world!")?;
    /// assert_eq!(listener.recv()?.payload, b"Hello, world!");
    /// # Ok::<(), manycast::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn idle(config: SocketConfig) -> Result<Self, Error> {
        Endpoint::new(config).map(|endpoint| Self { endpoint })
    }

    /// Waits for a datagram. It is borrowed until the next call; [`Received::to_datagram`] keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`], or a failure of the machine; no peer can cause one.
    pub fn recv(&mut self) -> Result<Received<'_>, Error> {
        self.wait(None)?;
        self.endpoint.take().ok_or(Error::Stopped)
    }

    /// As [`Listener::recv`], but gives up after `timeout` with `None`.
    ///
    /// # Errors
    ///
    /// As [`Listener::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Received<'_>>, Error> {
        self.wait(Some(timeout))?;
        Ok(self.endpoint.take())
    }

    /// The datagram that is there, if any; never waits. After a stop it still hands out what had come
    /// before, and then gives [`Error::Stopped`].
    ///
    /// # Errors
    ///
    /// As [`Listener::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Received<'_>>, Error> {
        self.recv_timeout(Duration::ZERO)
    }

    /// As [`Listener::recv_timeout`] (`None`: for ever), but takes all datagrams that came at once.
    ///
    /// # Errors
    ///
    /// As [`Listener::recv`].
    pub fn recv_batch(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<impl Iterator<Item = Received<'_>>, Error> {
        self.wait(timeout)?;
        Ok(self.endpoint.take_batch())
    }

    /// As [`Listener::recv_timeout`] (`None`: for ever), but takes neighbours that came in one piece
    /// together, at most `limit` of them: for who copies each payload, and looks once at what is
    /// equal of them.
    ///
    /// # Errors
    ///
    /// As [`Listener::recv`].
    pub fn recv_run(
        &mut self,
        limit: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Run<'_>>, Error> {
        self.wait(timeout)?;
        Ok(self.endpoint.take_run(limit))
    }

    /// Waits for a datagram or an event of the interfaces; `None` when `timeout` is over (`None`: for
    /// ever).
    ///
    /// # Errors
    ///
    /// As [`Listener::recv`].
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event<'_>>, Error> {
        self.endpoint.wait(timeout)?;
        Event::next(&mut self.endpoint)
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn endpoint_ref(&self) -> &Endpoint {
        &self.endpoint
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// Waits for a datagram, and passes over events.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.endpoint.wait_for_datagram(timeout)
    }

    /// Joins another group while it runs, and says whether it was not joined already. The same
    /// group with other sources takes the place of the former.
    ///
    /// # Errors
    ///
    /// As [`Listener::open`]; after an error the memberships are as before.
    pub fn join(&mut self, group: impl IntoAddress) -> Result<bool, Error> {
        let address = group.into_address()?;
        match address.group() {
            Some(group) => self.endpoint.join(group, address.port()),
            None => Err(Error::unsuitable(address, "it is no multicast group")),
        }
    }

    /// Leaves a group, on all interfaces unless one is named, and says whether it had been joined.
    ///
    /// # Errors
    ///
    /// The address is no group, or names an interface that is not there; or it names an interface, and the
    /// group was joined on every one: leave it without, and join it on those that are wanted.
    pub fn leave(&mut self, group: impl IntoAddress) -> Result<bool, Error> {
        let address = group.into_address()?;
        match address.group() {
            Some(group) => self.endpoint.leave(&group, address.port()),
            None => Err(Error::unsuitable(address, "it is no multicast group")),
        }
    }

    /// Joins all but some sources of a group, or changes which: see
    /// [`Group::without_sources`](manycast_types::Group::without_sources).
    ///
    /// # Errors
    ///
    /// As [`Listener::join`].
    pub fn join_group(&mut self, group: manycast_types::Group, port: u16) -> Result<bool, Error> {
        self.endpoint.join(group, port)
    }

    /// The groups that are joined now, one entry an interface.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.endpoint.memberships()
    }

    /// The local addresses that are listened on beside groups.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoint.local_addrs()
    }

    /// The receive buffer that was asked for and granted, of the socket with the smallest.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        self.endpoint.receive_buffer()
    }

    /// Asks the kernel what it has dropped until now for want of room in the receive buffers. What was
    /// received, what waits there still and this are all that came: exactly where
    /// [`SocketConfig::merge_received`] is off, and else within [`Dropped::datagrams`].
    ///
    /// ```
    /// let listener = manycast::listen("239.192.0.100%lo:5002")?;
    /// assert_eq!(listener.dropped().to_string(), "0");
    /// # Ok::<(), manycast::Error>(())
    /// ```
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

    /// Whether it was stopped.
    pub const fn is_stopped(&self) -> bool {
        self.endpoint.is_stopped()
    }

    /// The plain socket of the system, set up, bound and joined as it is; `None` where there are
    /// several. Its memberships no longer follow the interfaces.
    ///
    /// ```
    /// use std::net::UdpSocket;
    ///
    /// use manycast::{Listener, SocketConfig};
    ///
    /// // Whoever reads the plain socket wants each datagram by itself.
    /// let config = SocketConfig::default().merge_received(false);
    /// let listener = Listener::open(["239.192.0.100%lo:5001"], config)?;
    /// let socket = UdpSocket::from(listener.into_fd().ok_or("two sockets")?);
    /// manycast::send("239.192.0.100%lo:5001", "Hello, world!")?;
    /// let mut buffer = [0; 65_507];
    /// assert_eq!(socket.recv(&mut buffer)?, 13);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_fd(self) -> Option<OwnedFd> {
        self.endpoint.into_single().map(OwnedFd::from)
    }
}

/// The addresses that these texts are.
pub(crate) fn addresses_of(
    addresses: impl IntoIterator<Item = impl IntoAddress>,
) -> Result<Vec<Address>, Error> {
    let addresses = addresses.into_iter().map(IntoAddress::into_address);
    Ok(addresses.collect::<Result<_, _>>()?)
}

impl Iterator for Listener {
    type Item = Result<Datagram, Error>;

    /// Waits for a datagram; `None` when it is stopped.
    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Ok(received) => Some(Ok(received.to_datagram())),
            Err(Error::Stopped) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl AsFd for Listener {
    /// A descriptor for another event loop: readable while there is something to take.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }
}

impl From<Listener> for Endpoint {
    fn from(listener: Listener) -> Self {
        listener.endpoint
    }
}
