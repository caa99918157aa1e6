//! An endpoint's descriptors in the runtime's event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use manycast_net::{Operation, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::consume_budget;
use tokio::time::timeout_at;

use crate::endpoint::{Endpoint, Look};
use crate::{Error, Event};

/// Tells when an endpoint has something to receive.
///
/// A single socket is known to the runtime itself: to go through the poller of the endpoint, which is
/// there for several, would take one more call for each datagram.
#[derive(Debug)]
pub(crate) struct Readiness {
    source: AsyncFd<Source>,
}

/// What is waited for.
#[derive(Debug)]
enum Source {
    Socket(Arc<Socket>),
    Poller(OwnedFd),
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Socket(socket) => socket.as_fd().as_raw_fd(),
            Self::Poller(poller) => poller.as_raw_fd(),
        }
    }
}

impl Source {
    fn of(endpoint: &Endpoint) -> Result<Self, Error> {
        if let Some(socket) = endpoint.lone() {
            return Ok(Self::Socket(Arc::clone(socket)));
        }
        let poller = endpoint.waiting_fd().try_clone_to_owned();
        Ok(Self::Poller(poller.map_err(failed)?))
    }

    /// Whether it still tells of all that the endpoint waits for. The poller always does; who needed
    /// it once may soon need it again.
    fn is_true_of(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Socket(socket) => endpoint.lone().is_some_and(|it| Arc::ptr_eq(it, socket)),
            Self::Poller(_) => true,
        }
    }
}

/// What came back as undeliverable is an error to the kernel, and none to us.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

impl Readiness {
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, Error> {
        let source = register(Source::of(endpoint)?, INTEREST)?;
        Ok(Self { source })
    }

    /// Waits until [`Endpoint::wait`] would have ended. Cancelling it loses nothing: whatever came
    /// stays in the endpoint.
    pub(crate) async fn wait(&mut self, endpoint: &mut Endpoint) -> Result<(), Error> {
        loop {
            // Where something is there again and again, other tasks have their turns too.
            consume_budget().await;
            if endpoint.would_end_a_wait()? {
                return Ok(());
            }
            if !self.source.get_ref().is_true_of(endpoint) {
                *self = Self::of(endpoint)?;
            }
            let ready = self.source.ready(INTEREST);
            let ready = match endpoint.retry() {
                None => ready.await,
                Some(retry) => match timeout_at(retry.into(), ready).await {
                    Ok(ready) => ready,
                    Err(_) => {
                        endpoint.look(false)?;
                        continue;
                    }
                },
            };
            let mut ready = ready.map_err(failed)?;
            match endpoint.look(ready.ready().is_error())? {
                Look::Something => return Ok(()),
                Look::Again => {}
                // What became ready since `ready` was given is not cleared by this.
                Look::Nothing => ready.clear_ready(),
            }
        }
    }

    /// Waits for a datagram or an event, and takes it.
    pub(crate) async fn next_event<'a>(
        &mut self,
        endpoint: &'a mut Endpoint,
    ) -> Result<Event<'a>, Error> {
        loop {
            self.wait(endpoint).await?;
            if let Some(event) = Event::of_the_network(endpoint) {
                return Ok(event);
            }
            if endpoint.has_datagram() || endpoint.is_stopped() {
                break;
            }
            // What ended the wait is not for who receives.
            endpoint.take_woken();
            endpoint.forget_room()?;
        }
        endpoint.take().map(Event::Datagram).ok_or(Error::Stopped)
    }

    /// As [`Endpoint::wait_for_datagram`], for ever.
    pub(crate) async fn wait_for_datagram(
        &mut self,
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
    known: Mutex<Option<Known>>,
}

/// A socket, and its descriptor in the runtime: one of its own, since a descriptor can be known there
/// but once, and [`Readiness`] may have that of the socket.
#[derive(Debug)]
struct Known {
    socket: Arc<Socket>,
    fd: Arc<AsyncFd<OwnedFd>>,
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

    fn of(&self, socket: &Arc<Socket>) -> Result<Arc<AsyncFd<OwnedFd>>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && Arc::ptr_eq(&known.socket, socket)
        {
            return Ok(Arc::clone(&known.fd));
        }
        let fd = socket.as_fd().try_clone_to_owned().map_err(failed)?;
        let known = known.insert(Known {
            socket: Arc::clone(socket),
            fd: Arc::new(register(fd, Interest::WRITABLE)?),
        });
        Ok(Arc::clone(&known.fd))
    }
}

#[expect(
    deprecated,
    reason = "its successor has the caller vouch that the descriptor stays open, as one that is held does"
)]
pub(super) fn register<T: AsRawFd>(source: T, interest: Interest) -> Result<AsyncFd<T>, Error> {
    AsyncFd::with_interest(source, interest).map_err(failed)
}

pub(super) fn failed(error: io::Error) -> Error {
    manycast_net::Error::new(Operation::Wait, "sockets", error).into()
}
