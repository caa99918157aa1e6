//! The asynchronous sender.

use super::readiness::Room;
use super::{has_name, unblocked};
use crate::endpoint::Endpoint;
use crate::{Error, IntoAddress, SenderConfig, Sent};

/// A [`crate::Sender`] that waits for a full send buffer asynchronously.
#[derive(Debug)]
pub struct Sender {
    inner: crate::Sender,
    room: Room,
}

impl Sender {
    /// As [`crate::Sender::new`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sender::open`].
    pub async fn new(address: impl IntoAddress) -> Result<Self, Error> {
        Self::open(address, SenderConfig::default()).await
    }

    /// As [`crate::Sender::open`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sender::open`].
    pub async fn open(address: impl IntoAddress, config: SenderConfig) -> Result<Self, Error> {
        let address = address.into_address()?;
        let names = has_name([&address]);
        let inner = unblocked(names, move || {
            crate::Sender::open_at_once(&address, &config)
        })
        .await?;
        Ok(Self {
            inner,
            room: Room::default(),
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sender::send`].
    pub async fn send(&self, payload: impl AsRef<[u8]>) -> Result<Sent, Error> {
        let bytes = payload.as_ref().len();
        self.send_batch(&[payload]).await?;
        Ok(self.inner.sent(bytes))
    }

    /// Sends many datagrams, and says how many went.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Sender::send_batch`].
    pub async fn send_batch<P: AsRef<[u8]>>(&self, payloads: &[P]) -> Result<usize, Error> {
        let mut sent = 0;
        while sent < payloads.len() {
            match self.inner.try_send_batch(&payloads[sent..]) {
                Ok(0) => self.room.wait(&self.inner.sending_socket()).await?,
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// The sender behind it, for its addresses and its interface.
    pub const fn get_ref(&self) -> &crate::Sender {
        &self.inner
    }

    /// The sender behind it, for its options. Its own sending may block the thread.
    pub const fn get_mut(&mut self) -> &mut crate::Sender {
        &mut self.inner
    }
}

impl From<Sender> for Endpoint {
    fn from(sender: Sender) -> Self {
        sender.inner.into()
    }
}
