//! The half of a socket that sends.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use manycast_types::Transmit;

use super::{no_peer, transmit_to};
use crate::endpoint::Outlets;
use crate::{Error, IntoAddress};

#[cfg(doc)]
use super::Socket;

/// The half of a [`Socket`] that sends; the other half goes on to follow the interfaces for both, as
/// long as it receives.
#[derive(Clone, Debug)]
pub struct SendHalf {
    pub(super) outlets: Arc<RwLock<Arc<Outlets>>>,
}

impl SendHalf {
    /// Sends to the peer that the socket is connected to, which the other half may change.
    ///
    /// # Errors
    ///
    /// As [`Socket::send`].
    pub fn send(&self, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        let transmit = Transmit::new(self.connected_peer()?, payload);
        self.send_batch(&[transmit]).map(drop)
    }

    pub(crate) fn connected_peer(&self) -> Result<SocketAddr, Error> {
        self.outlets().peer().ok_or_else(no_peer)
    }

    /// As [`Socket::send_to`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`].
    pub fn send_to(&self, to: impl IntoAddress, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.send_batch(&[transmit_to(&to.into_address()?, payload)?])
            .map(drop)
    }

    /// As [`Socket::answer`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`].
    pub fn answer(&self, reply: Transmit<()>, payload: impl AsRef<[u8]>) -> Result<(), Error> {
        self.send_batch(&[reply.with(payload)]).map(drop)
    }

    /// As [`Socket::send_batch`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`], of the first datagram.
    pub fn send_batch<P: AsRef<[u8]>>(&self, transmits: &[Transmit<P>]) -> Result<usize, Error> {
        self.outlets().send(transmits, true)
    }

    /// As [`Socket::try_send_batch`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send_to`], of the first datagram.
    pub fn try_send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        self.outlets().send(transmits, false)
    }

    /// The outlets as they are now: nobody waits for a send buffer with the lock in hand.
    pub(crate) fn outlets(&self) -> Arc<Outlets> {
        let outlets = self.outlets.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&outlets)
    }
}
