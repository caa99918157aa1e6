//! An endpoint's descriptors in the runtime's event loop.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use manycast_net::{Operation, Socket};
use manycast_types::Transmit;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::task::consume_budget;
use tokio::time::{sleep, timeout_at};

use crate::endpoint::{Endpoint, Look, Outlets};
use crate::{Error, Event};

/// Tells when an endpoint has something to receive.
///
/// A single socket is known to the runtime itself, beside the poller of the endpoint: to go through the
/// poller, which is there for several, would take more calls for each datagram, and each would wake two
/// waiters.
#[derive(Debug)]
pub(crate) struct Readiness {
    source: AsyncFd<Source>,
    /// The poller, where a single socket is not all there is to wait for.
    rest: Option<AsyncFd<OwnedFd>>,
}

/// What tells of datagrams.
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

/// What became ready.
enum Ready<'a> {
    Source(AsyncFdReadyGuard<'a, Source>),
    Rest(AsyncFdReadyGuard<'a, OwnedFd>),
}

/// What came back as undeliverable is an error to the kernel, and none to us.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

impl Readiness {
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, Error> {
        let (source, rest) = match endpoint.single_beside_poller()? {
            Some(socket) => (Source::Socket(Arc::clone(socket)), rest_of(endpoint)?),
            None => (Source::Poller(owned(endpoint.waiting_fd())?), None),
        };
        let source = register(source, INTEREST)?;
        Ok(Self { source, rest })
    }

    /// Lets it tell of all that the endpoint waits for. Who needed the poller once may soon need it
    /// again, so it is kept.
    fn renew(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        match self.source.get_ref() {
            Source::Socket(socket)
                if endpoint
                    .single_beside_poller()?
                    .is_some_and(|single| Arc::ptr_eq(single, socket)) =>
            {
                if self.rest.is_none() {
                    self.rest = rest_of(endpoint)?;
                }
                Ok(())
            }
            Source::Socket(_) => Self::of(endpoint).map(|new| *self = new),
            Source::Poller(_) => endpoint.poll_ports(),
        }
    }

    async fn ready(&self) -> Result<Ready<'_>, Error> {
        let ready = match &self.rest {
            None => self.source.ready(INTEREST).await.map(Ready::Source),
            Some(rest) => {
                let mut source = pin!(self.source.ready(INTEREST));
                let mut rest = pin!(rest.readable());
                poll_fn(|context| match rest.as_mut().poll(context) {
                    Poll::Ready(ready) => Poll::Ready(ready.map(Ready::Rest)),
                    Poll::Pending => source.as_mut().poll(context).map_ok(Ready::Source),
                })
                .await
            }
        };
        ready.map_err(failed)
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
            self.renew(endpoint)?;
            let ready = self.ready();
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
            // What became ready since `ready` was given is not cleared by this.
            let look = match ready? {
                Ready::Source(mut ready) => {
                    let look = endpoint.look(ready.ready().is_error())?;
                    if look == Look::Nothing {
                        ready.clear_ready();
                    }
                    look
                }
                Ready::Rest(mut ready) => {
                    let look = endpoint.look_at_poller()?;
                    if look == Look::Nothing {
                        ready.clear_ready();
                    }
                    look
                }
            };
            if look == Look::Something {
                return Ok(());
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
    pub(crate) async fn wait_for_datagram(&mut self, endpoint: &mut Endpoint) -> Result<(), Error> {
        loop {
            self.wait(endpoint).await?;
            if endpoint.datagram_or_error()? {
                return Ok(());
            }
        }
    }
}

/// The poller of an endpoint with a single socket, where that is not all there is to wait for.
fn rest_of(endpoint: &Endpoint) -> Result<Option<AsyncFd<OwnedFd>>, Error> {
    if endpoint.is_lone() {
        return Ok(None);
    }
    register(owned(endpoint.poller_fd())?, Interest::READABLE).map(Some)
}

/// A descriptor of its own, since one can be known to the runtime but once.
fn owned(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    fd.try_clone_to_owned().map_err(failed)
}

/// Tells when the send buffer of a socket has room. The socket is known to the runtime from the first
/// wait on, until another one is waited for.
#[derive(Debug, Default)]
pub(crate) struct Room {
    known: Mutex<Option<Known>>,
}

/// How long until it is looked again whether there is room, where the runtime cannot tell.
const AGAIN: Duration = Duration::from_millis(1);

/// A socket, and its descriptor in the runtime: one of its own, since a descriptor can be known there
/// but once, and [`Readiness`] may have that of the socket.
#[derive(Debug)]
struct Known {
    socket: Arc<Socket>,
    fd: Arc<AsyncFd<OwnedFd>>,
}

impl Room {
    /// Sends many datagrams, waits where a send buffer is full without holding the runtime, and says how many went. What sends is
    /// asked for anew after each wait, since sockets may have been replaced.
    pub(crate) async fn send_batch<P: AsRef<[u8]>, O: Deref<Target = Outlets>>(
        &self,
        outlets: impl Fn() -> O,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        let (mut sent, mut left) = (0, transmits);
        // How many went of the first that is left, which may be several that lie side by side.
        let mut part = 0;
        while let Some(next) = left.first() {
            let outlets = outlets();
            let result = if next.segment_size.is_some() {
                outlets.send_segments(&next.after(part), false)
            } else {
                let plain = left.iter().take_while(|it| it.segment_size.is_none());
                outlets.send(&left[..plain.count()], false)
            };
            match result {
                Ok(0) => self.wait(outlets.socket_for(next)?).await?,
                Ok(count) => {
                    sent += count;
                    part += count;
                    if part >= next.count() {
                        left = &left[part / next.count()..];
                        part = 0;
                    }
                }
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Waits until there is room, after a send that found none.
    pub(crate) async fn wait(&self, socket: &Arc<Socket>) -> Result<(), Error> {
        let known = self.of(socket)?;
        {
            let mut guard = known.writable().await.map_err(failed)?;
            if !guard.ready().is_write_closed() {
                // What became ready since the guard was given is not cleared by this.
                guard.clear_ready();
                return Ok(());
            }
        }
        // What came back as undeliverable is an error to the kernel, which the runtime takes for an end, and
        // never forgets. So this descriptor tells of room no more.
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        while !socket
            .wait_for_room(Some(Duration::ZERO))
            .map_err(Error::from)?
        {
            sleep(AGAIN).await;
        }
        Ok(())
    }

    fn of(&self, socket: &Arc<Socket>) -> Result<Arc<AsyncFd<OwnedFd>>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && Arc::ptr_eq(&known.socket, socket)
        {
            return Ok(Arc::clone(&known.fd));
        }
        let fd = owned(socket.as_fd())?;
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
