//! An endpoint's descriptor in the runtime's event loop.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use manycast_net::Operation;
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
    /// # Errors
    ///
    /// No Tokio runtime with I/O is running.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Error> {
        Self::new(fd, Interest::READABLE)
    }

    #[expect(
        deprecated,
        reason = "its successor has the caller vouch that the descriptor stays open, as an owned one does"
    )]
    fn new(fd: impl AsFd, interest: Interest) -> Result<Self, Error> {
        let fd = fd.as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Self {
            fd: AsyncFd::with_interest(fd, interest).map_err(failed)?,
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
            if endpoint.settle(connected)? {
                return Ok(());
            }
        }
    }
}

/// Waits until a socket's send buffer has room.
pub(crate) async fn writable(socket: impl AsFd) -> Result<(), Error> {
    let readiness = Readiness::new(socket, Interest::WRITABLE)?;
    let _guard = readiness.fd.writable().await.map_err(failed)?;
    Ok(())
}

fn failed(error: io::Error) -> Error {
    manycast_net::Error::new(Operation::Wait, "sockets", error).into()
}
