//! The asynchronous listener.

use manycast_net::SocketConfig;
use manycast_types::Received;

use super::readiness::Readiness;
use super::{has_name, unblocked};
use crate::endpoint::Endpoint;
use crate::listener::addresses_of;
use crate::{Error, Event, IntoAddress};

/// A [`crate::Listener`] whose waits are asynchronous. What never waits, such as joining and
/// leaving, is on the listener behind it: [`Listener::get_mut`].
#[derive(Debug)]
pub struct Listener {
    inner: crate::Listener,
    readiness: Readiness,
}

impl Listener {
    /// As [`crate::Listener::open`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Listener::open`].
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn open(
        addresses: impl IntoIterator<Item = impl IntoAddress>,
        config: SocketConfig,
    ) -> Result<Self, Error> {
        let addresses = addresses_of(addresses)?;
        let names = has_name(&addresses);
        let inner = unblocked(names, move || {
            crate::Listener::open_at_once(&addresses, &config)
        })
        .await?;
        let readiness = Readiness::of(inner.endpoint_ref())?;
        Ok(Self { inner, readiness })
    }

    /// Waits for a datagram, borrowed until the next call.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Listener::recv`].
    pub async fn recv(&mut self) -> Result<Received<'_>, Error> {
        self.readiness
            .wait_for_datagram(self.inner.endpoint())
            .await?;
        self.inner.endpoint().take().ok_or(Error::Stopped)
    }

    /// Waits for datagrams, and takes all that came at once.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Listener::recv`].
    pub async fn recv_batch(&mut self) -> Result<impl Iterator<Item = Received<'_>>, Error> {
        self.readiness
            .wait_for_datagram(self.inner.endpoint())
            .await?;
        Ok(self.inner.endpoint().take_batch())
    }

    /// Waits for a datagram or an event of the interfaces.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Listener::next_event`].
    pub async fn next_event(&mut self) -> Result<Event<'_>, Error> {
        self.readiness.next_event(self.inner.endpoint()).await
    }

    /// The listener behind it, for memberships and buffers.
    pub const fn get_ref(&self) -> &crate::Listener {
        &self.inner
    }

    /// The listener behind it, for joining and leaving. Its own waits block the thread.
    pub const fn get_mut(&mut self) -> &mut crate::Listener {
        &mut self.inner
    }
}

impl From<Listener> for Endpoint {
    fn from(listener: Listener) -> Self {
        listener.inner.into()
    }
}
