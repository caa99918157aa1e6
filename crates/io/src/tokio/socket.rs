//! The asynchronous socket.

use manycast_net::SocketConfig;
use manycast_types::{Address, Received, Transmit};

use super::SendHalf;
use super::readiness::{Readiness, Room};
use super::{has_name, unblocked};
use crate::endpoint::Endpoint;
use crate::socket::transmit_to;
use crate::{Error, Event, IntoAddress, resolve};

/// A [`crate::Socket`] whose waits are asynchronous. What never waits, such as joining and the
/// options, is on the socket behind it: [`Socket::get_mut`].
///
/// ```
/// use manycast::tokio::Socket;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), manycast::Error> {
/// let mut server = Socket::bind("127.0.0.1:0").await?;
/// let mut client = Socket::connect(server.get_ref().local_addr()?).await?;
///
/// client.send("ping").await?;
/// let reply = server.recv().await?.reply();
/// server.answer(reply, "pong").await?;
/// assert_eq!(client.recv().await?.payload, b"pong");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Socket {
    inner: crate::Socket,
    readiness: Readiness,
    room: Room,
}

impl Socket {
    /// As [`crate::Socket::bind`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::bind`].
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn bind(address: impl IntoAddress) -> Result<Self, Error> {
        Self::open(address.into_address()?, |address| {
            crate::Socket::bind_at_once(address, &SocketConfig::default())
        })
        .await
    }

    /// As [`crate::Socket::connect`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::connect`].
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn connect(peer: impl IntoAddress) -> Result<Self, Error> {
        Self::open(peer.into_address()?, crate::Socket::connect_at_once).await
    }

    async fn open(
        address: Address,
        open: fn(&Address) -> Result<crate::Socket, Error>,
    ) -> Result<Self, Error> {
        let inner = unblocked(has_name([&address]), move || open(&address)).await?;
        let readiness = Readiness::of(inner.endpoint_ref())?;
        Ok(Self {
            inner,
            readiness,
            room: Room::default(),
        })
    }

    /// As [`crate::Socket::reconnect`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::reconnect`].
    pub async fn reconnect(&mut self, peer: impl IntoAddress) -> Result<(), Error> {
        let address = peer.into_address()?;
        let names = has_name([&address]);
        let (address, peers) = unblocked(names, move || {
            Ok((address.clone(), resolve::socket_addrs(&address)?))
        })
        .await?;
        self.inner.reconnect_to(&address, peers)
    }

    /// Sends to the peer of a connected socket.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::send`].
    pub async fn send(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        let transmit = Transmit::new(self.inner.connected_peer()?, payload);
        self.send_batch(&[transmit]).await.map(drop)
    }

    /// Sends to a host or a group.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::send_to`].
    pub async fn send_to(
        &self,
        to: impl IntoAddress,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let address = to.into_address()?;
        let names = has_name([&address]);
        let transmit = unblocked(names, move || transmit_to(&address, ())).await?;
        self.send_batch(&[transmit.with(payload)]).await.map(drop)
    }

    /// Answers a datagram, to where its [`reply`](Received::reply) says.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::answer`].
    pub async fn answer(
        &self,
        reply: Transmit<()>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        self.send_batch(&[reply.with(payload)]).await.map(drop)
    }

    /// Sends many datagrams, and says how many went.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::send_batch`].
    pub async fn send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        let outlets = || self.inner.endpoint_ref().outlets();
        self.room.send_batch(outlets, transmits).await
    }

    /// Parts it into a half that sends and a half that receives, for two tasks.
    ///
    /// ```
    /// use manycast::tokio::Socket;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), manycast::Error> {
    /// let socket = Socket::bind("127.0.0.1:0").await?;
    /// let to = socket.get_ref().local_addr()?;
    /// let (sending, mut receiving) = socket.split();
    /// tokio::spawn(async move { sending.send_to(to, "hello").await });
    /// assert_eq!(receiving.recv().await?.payload, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(self) -> (SendHalf, Self) {
        let (sending, inner) = self.inner.split();
        let receiving = Self {
            inner,
            readiness: self.readiness,
            room: Room::default(),
        };
        (SendHalf::new(sending, self.room), receiving)
    }

    /// Waits for a datagram, borrowed until the next call.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::recv`].
    pub async fn recv(&mut self) -> Result<Received<'_>, Error> {
        self.readiness
            .wait_for_datagram(self.inner.endpoint())
            .await?;
        self.inner.endpoint().take().ok_or(Error::Stopped)
    }

    /// Waits for a datagram or an event.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Socket::next_event`].
    pub async fn next_event(&mut self) -> Result<Event<'_>, Error> {
        self.readiness.next_event(self.inner.endpoint()).await
    }

    /// The socket behind it, for addresses, memberships and options.
    pub const fn get_ref(&self) -> &crate::Socket {
        &self.inner
    }

    /// The socket behind it, for joining, leaving and options. Its own waits block the thread.
    pub const fn get_mut(&mut self) -> &mut crate::Socket {
        &mut self.inner
    }
}

impl From<Socket> for Endpoint {
    fn from(socket: Socket) -> Self {
        socket.inner.into()
    }
}
