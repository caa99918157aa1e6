//! The half of an asynchronous socket that sends.

use std::sync::Arc;

use manycast_types::Transmit;

use super::readiness::Room;
use super::{has_name, unblocked};
use crate::socket::transmit_to;
use crate::{Error, IntoAddress};

#[cfg(doc)]
use super::Socket;

/// The half of a [`Socket`] that sends; the other half goes on to follow the interfaces for both, as
/// long as it receives.
#[derive(Clone, Debug)]
pub struct SendHalf {
    inner: crate::SendHalf,
    room: Arc<Room>,
}

impl SendHalf {
    pub(super) fn new(inner: crate::SendHalf, room: Room) -> Self {
        Self {
            inner,
            room: Arc::new(room),
        }
    }

    /// Sends to the peer that the socket is connected to, which the other half may change.
    ///
    /// # Errors
    ///
    /// As [`Socket::send`].
    pub async fn send(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        let transmit = Transmit::new(self.inner.connected_peer()?, payload);
        self.send_batch(&[transmit]).await.map(drop)
    }

    /// As [`Socket::send_to`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`].
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

    /// As [`Socket::answer`].
    ///
    /// # Errors
    ///
    /// As [`Socket::answer`].
    pub async fn answer(
        &self,
        reply: Transmit<()>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        self.send_batch(&[reply.with(payload)]).await.map(drop)
    }

    /// As [`Socket::send_batch`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_batch`].
    pub async fn send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        let outlets = || self.inner.outlets();
        self.room.send_batch(outlets, transmits).await
    }
}
