//! An endpoint's descriptor in the runtime's event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use manycast_net::{Operation, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::consume_budget;

use crate::Error;
use crate::endpoint::{Endpoint, Look};

/// Tells when an endpoint has something to receive.
#[derive(Debug)]
pub(crate) struct Readiness {
    fd: AsyncFd<OwnedFd>,
}

impl Readiness {
    #[expect(
        deprecated,
        reason = "its successor has the caller vouch that the descriptor stays open, as an owned one does"
    )]
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, Error> {
        let fd = endpoint.waiting_fd();
        let fd = fd.try_clone_to_owned().map_err(failed)?;
        Ok(Self {
            fd: AsyncFd::with_interest(fd, Interest::READABLE).map_err(failed)?,
        })
    }

    /// Waits until [`Endpoint::wait`] would have ended. Cancelling it loses nothing: whatever came
    /// stays in the endpoint.
    pub(crate) async fn wait(&self, endpoint: &mut Endpoint) -> Result<(), Error> {
        loop {
            // Where something is there again and again, other tasks have their turns too.
            consume_budget().await;
            match endpoint.look()? {
                Look::Something => return Ok(()),
                Look::Again => continue,
                Look::Nothing => {}
            }
            let mut guard = self.fd.readable().await.map_err(failed)?;
            match endpoint.look()? {
                Look::Something => return Ok(()),
                Look::Again => {}
                // What became ready since the guard was given is not cleared by this.
                Look::Nothing => guard.clear_ready(),
            }
        }
    }

    /// As [`Endpoint::wait_for_datagram`], for ever.
    pub(crate) async fn wait_for_datagram(
        &self,
        endpoint: &mut Endpoint,
        connected: bool,
    ) -> Result<(), Error> {
        loop {
            self.wait(endpoint).await?;
            if endpoint.datagram_or_error(connected)? {
                return Ok(());
            }
        }
    }
}

/// Tells when the send buffer of a socket has room. The socket is known to the runtime from the first
/// wait on, until another one is waited for.
#[derive(Debug, Default)]
pub(crate) struct Room {
    known: Mutex<Option<Arc<AsyncFd<Descriptor>>>>,
}

/// A socket as the runtime wants it.
#[derive(Debug)]
struct Descriptor(Arc<Socket>);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Room {
    /// Waits until there is room, after a send that found none.
    pub(crate) async fn wait(&self, socket: &Arc<Socket>) -> Result<(), Error> {
        let known = self.of(socket)?;
        let mut guard = known.writable().await.map_err(failed)?;
        // What became ready since the guard was given is not cleared by this.
        guard.clear_ready();
        Ok(())
    }

    #[expect(
        deprecated,
        reason = "its successor has the caller vouch that the descriptor stays open, as that of a socket that is held does"
    )]
    fn of(&self, socket: &Arc<Socket>) -> Result<Arc<AsyncFd<Descriptor>>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && Arc::ptr_eq(&known.get_ref().0, socket)
        {
            return Ok(Arc::clone(known));
        }
        let descriptor = Descriptor(Arc::clone(socket));
        let new = AsyncFd::with_interest(descriptor, Interest::WRITABLE).map_err(failed)?;
        Ok(Arc::clone(known.insert(Arc::new(new))))
    }
}

fn failed(error: io::Error) -> Error {
    manycast_net::Error::new(Operation::Wait, "sockets", error).into()
}
