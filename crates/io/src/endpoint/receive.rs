//! Waiting for what comes, and handing it out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use manycast_net::{Position, Socket};
use manycast_proto::NetworkEvent;
use manycast_types::{Received, Run, Transmit};

use super::stop::Stop;
use super::{Endpoint, LEFT, STOP, WAKE, WATCH, slot_of};
use crate::Error;

/// How often in a row a stream is received from before the poller is asked again, who knows of
/// other sockets, of changes and of a stop.
const EAGER: u32 = 16;

/// Where batches come closer upon each other than this, the receiving call itself waits for the
/// next, unless the time-out is so short that this might be too long.
const CLOSE_TOGETHER: Duration = Duration::from_millis(1);
const TOO_SHORT: Duration = Duration::from_millis(20);

/// How often is looked once the time is over, where each look finds something that was not asked for.
const LOOKS: u32 = 64;

/// What [`Endpoint::look`] found.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What ends a wait: a datagram, an event or a stop.
    Something,
    /// Nothing that was asked for, but there may be more behind it.
    Again,
    /// Nothing is there; the descriptor will tell.
    Nothing,
}

impl Endpoint {
    /// Makes a datagram ready for [`Endpoint::take`], and says whether there is one. It waits until
    /// `timeout` is over (`None`: for ever), until there is an event, or until it is stopped.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        self.wait_until(timeout, Self::would_end_a_wait)?;
        Ok(self.has_datagram())
    }

    /// As [`Endpoint::wait`], but only a datagram or an error ends it before `timeout` is over: see
    /// [`Endpoint::datagram_or_error`].
    pub(crate) fn wait_for_datagram(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.wait_until(timeout, Self::datagram_or_error)
    }

    /// Serves what comes until it is enough, or `timeout` is over.
    fn wait_until(
        &mut self,
        timeout: Option<Duration>,
        is_enough: impl Fn(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut looks = LOOKS;
        while !is_enough(self)? && looks > 0 {
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            let served = self.advance(left)?;
            if left.is_some_and(|left| left.is_zero()) {
                // What is wanted may be behind what is not.
                looks = if served { looks - 1 } else { 0 };
            }
        }
        Ok(())
    }

    /// Looks without waiting. Where one socket is all there is, it looks for what came back as
    /// undeliverable too only if that `may_be`, since it takes a second call.
    #[cfg(feature = "tokio")]
    pub(crate) fn look(&mut self, may_be: bool) -> Result<Look, Error> {
        let mut served = false;
        if !self.would_end_a_wait()? {
            served = match self.ports.as_slice() {
                [Some(port)] if !may_be && self.retry.is_none() && self.is_lone() => {
                    port.socket.try_recv_batch(&mut self.batch)?;
                    self.begin_batch(0)
                }
                [Some(_)] if !self.is_retry_due() && self.is_beside_poller() => {
                    self.look_beside_poller(may_be)?
                }
                _ => self.advance(Some(Duration::ZERO))?,
            };
        }
        self.found(served)
    }

    /// As [`Endpoint::look`], for what the poller knows; where [`Endpoint::is_beside_poller`], that is
    /// all but datagrams.
    #[cfg(feature = "tokio")]
    pub(crate) fn look_at_poller(&mut self) -> Result<Look, Error> {
        let mut served = false;
        if !self.would_end_a_wait()? {
            self.poller.wait(&mut self.ready, Some(Duration::ZERO))?;
            served = self.serve()?;
        }
        self.found(served)
    }

    #[cfg(feature = "tokio")]
    fn found(&mut self, served: bool) -> Result<Look, Error> {
        Ok(match (self.would_end_a_wait()?, served) {
            (true, _) => Look::Something,
            (false, true) => Look::Again,
            (false, false) => Look::Nothing,
        })
    }

    /// Receives by the one socket, and asks the poller for the rest now and then, in case that the
    /// socket always has something.
    #[cfg(feature = "tokio")]
    fn look_beside_poller(&mut self, may_be: bool) -> Result<bool, Error> {
        if self.eager == 0 {
            self.eager = EAGER;
            self.poller.wait(&mut self.ready, Some(Duration::ZERO))?;
            if self.serve()? {
                return Ok(true);
            }
        }
        self.eager -= 1;
        let Some(Some(port)) = self.ports.first() else {
            return Ok(false);
        };
        if may_be {
            port.socket
                .recv_batch(&mut self.batch, Some(Duration::ZERO))?;
        } else {
            port.socket.try_recv_batch(&mut self.batch)?;
        }
        Ok(self.begin_batch(0))
    }

    /// Whether one socket is all there is to wait for.
    pub(crate) fn is_lone(&self) -> bool {
        self.watch.is_none()
            && self.stopper.is_none()
            && self.waker.is_none()
            && self.room_wanted.is_none()
            && matches!(self.ports.as_slice(), [Some(_)])
    }

    /// The one socket, where the poller need not know it: what comes by it can be waited for without.
    fn single(&self) -> Option<&Arc<Socket>> {
        match self.ports.as_slice() {
            [Some(port)] if self.room_wanted.is_none() && self.left.get().is_none() => {
                Some(&port.socket)
            }
            _ => None,
        }
    }

    /// That socket, which the poller does not know from now on, so that a datagram wakes one waiter and
    /// not two. The poller still knows all else that there is to wait for.
    pub(crate) fn single_beside_poller(&self) -> Result<Option<&Arc<Socket>>, Error> {
        let single = self.single();
        if let Some(socket) = single
            && self.polled.swap(false, Ordering::Relaxed)
        {
            self.poller.remove(&**socket)?;
        }
        Ok(single)
    }

    /// Whether there is one socket, and the poller does not know it.
    #[cfg(feature = "tokio")]
    fn is_beside_poller(&self) -> bool {
        self.single().is_some() && !self.polled.load(Ordering::Relaxed)
    }

    /// When it is to be looked again although nothing came.
    #[cfg(feature = "tokio")]
    pub(crate) const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    #[cfg(feature = "tokio")]
    fn is_retry_due(&self) -> bool {
        self.retry.is_some_and(|retry| retry <= Instant::now())
    }

    /// Whether a wait would end at once. After a stop this makes ready what came before it.
    pub(crate) fn would_end_a_wait(&mut self) -> Result<bool, Error> {
        self.receive_rest()?;
        Ok(self.has_datagram()
            || !self.events.is_empty()
            || self.is_stopped()
            || self.woken
            || self.has_room)
    }

    /// Whether another thread has woken it since this was last asked.
    pub(crate) const fn take_woken(&mut self) -> bool {
        std::mem::replace(&mut self.woken, false)
    }

    /// What a wait has brought, for a caller who wants datagrams alone: says whether there is one.
    /// A stop is an error, and so is a refusal by the peer, if there is one, once the datagrams that
    /// came with it are taken. Other events are passed over; that goes for refusals by others too,
    /// since whoever asks a server and goes away must not end its wait.
    pub(crate) fn datagram_or_error(&mut self) -> Result<bool, Error> {
        self.receive_rest()?;
        if self.has_datagram() {
            return Ok(true);
        }
        let mut refusal = None;
        if !self.events.is_empty() {
            refusal = self
                .events
                .iter()
                .filter_map(NetworkEvent::refused_by)
                .find(|by| self.outlets.peer().is_some_and(|peer| is_same(*by, peer)));
            self.events.clear();
            self.show_left();
        }
        match refusal {
            Some(peer) => Err(Error::ConnectionRefused { peer }),
            _ if self.is_stopped() => Err(Error::Stopped),
            _ => Ok(false),
        }
    }

    /// Ends the next waits also when the socket by which something to `destination` goes has room in
    /// its send buffer, until [`Endpoint::forget_room`].
    pub(crate) fn want_room<P>(&mut self, transmit: &Transmit<P>) -> Result<(), Error> {
        let outlet = self.outlets.outlet(transmit)?;
        let slot = slot_of(outlet.id);
        self.poll_ports()?;
        self.poller.add_for_writing(&*outlet.socket, slot as u64)?;
        self.room_wanted = Some(slot);
        Ok(())
    }

    /// Waits for room no more.
    pub(crate) fn forget_room(&mut self) -> Result<(), Error> {
        self.has_room = false;
        if let Some(slot) = self.room_wanted.take()
            && let Some(Some(port)) = self.ports.get(slot)
        {
            self.poller.add(&*port.socket, slot as u64)?;
        }
        Ok(())
    }

    /// Does one step: serves what is ready, or else waits for something to be. Says whether
    /// something was, be it wanted or not.
    fn advance(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        self.close_retired();
        let mut timeout = timeout;
        if let Some(retry) = self.retry {
            let left = retry.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.follow();
                return Ok(true);
            }
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        if let ([Some(port)], true) = (self.ports.as_slice(), self.is_lone()) {
            // One socket can be waited for by the receiving call itself.
            port.socket.recv_batch(&mut self.batch, timeout)?;
            return Ok(self.begin_batch(0));
        }
        if self.ready.is_empty() {
            let is_stream = self.is_stream();
            let may_wait = is_stream
                && self.ports.len() == 1
                && timeout.is_none_or(|timeout| timeout > TOO_SHORT);
            if self.eager > 0 && self.go_on(may_wait)? {
                return Ok(true);
            }
            let is_over = self.eager > 0 || !may_wait;
            self.eager = EAGER;
            if is_over || self.single_beside_poller()?.is_none() {
                self.poll_ports()?;
            } else {
                // The stream goes on, so what comes is received without the poller.
                timeout = Some(Duration::ZERO);
            }
            self.poller.wait(&mut self.ready, timeout)?;
        }
        self.serve()
    }

    /// Serves what the poller has found ready, up to the first datagram, and says whether it was
    /// anything.
    fn serve(&mut self) -> Result<bool, Error> {
        let mut served = false;
        while let Some(token) = self.ready.pop() {
            served = true;
            match token {
                STOP => self.stop = Some(Stop::new(self.ports.len())),
                WAKE => {
                    self.woken = true;
                    if let Some(waker) = &self.waker {
                        waker.clear();
                    }
                }
                // What was left may not be wanted any more.
                LEFT => self.show_left(),
                WATCH => self.heal()?,
                token => {
                    let index = usize::try_from(token).unwrap_or(usize::MAX);
                    // A socket may have been closed since it was found ready.
                    let Some(Some(port)) = self.ports.get(index) else {
                        continue;
                    };
                    let at_once = Some(Duration::ZERO);
                    let retired = port.retired;
                    self.has_room |= self.room_wanted == Some(index);
                    port.socket.recv_batch(&mut self.batch, at_once)?;
                    if !self.begin_batch(index) && retired {
                        self.remove(index);
                    }
                    if self.has_datagram() {
                        break;
                    }
                }
            }
        }
        Ok(served)
    }

    /// Whether the last batch came close upon the one before it.
    fn is_stream(&mut self) -> bool {
        let last = self.batch.at(Position::default()).and_then(|it| it.time);
        let before = std::mem::replace(&mut self.came, last);
        let gap = last
            .zip(before)
            .and_then(|(last, before)| last.duration_since(before).ok());
        gap.is_some_and(|gap| gap < CLOSE_TOGETHER)
    }

    /// Receives more of a stream, if there is one: to ask the poller first would be a second call.
    /// Perhaps waits for it.
    fn go_on(&mut self, may_wait: bool) -> Result<bool, Error> {
        let Some(Some(port)) = self.ports.get(self.current) else {
            return Ok(false);
        };
        if may_wait {
            port.socket.recv_batch_soon(&mut self.batch)?;
        } else if self.batch.has_likely_more() {
            port.socket.try_recv_batch(&mut self.batch)?;
        } else {
            return Ok(false);
        }
        self.eager -= 1;
        Ok(self.begin_batch(self.current))
    }

    /// Begins with what was just received, and says whether it is anything.
    pub(super) fn begin_batch(&mut self, current: usize) -> bool {
        (self.next, self.admitted, self.current) = (Position::default(), false, current);
        let Some(Some(port)) = self.ports.get(current) else {
            return false;
        };
        let socket = port.id;
        self.batch.set_socket(socket, port.reply_by_interface);
        for index in 0..self.batch.unreachable().len() {
            let unreachable = self.batch.unreachable()[index];
            self.tell(NetworkEvent::Unreachable {
                socket,
                unreachable,
            });
        }
        !self.batch.is_empty() || !self.batch.unreachable().is_empty()
    }

    /// Whether a datagram is left that was asked for.
    #[inline]
    pub(crate) fn has_datagram(&mut self) -> bool {
        self.admitted || self.skip_unasked()
    }

    /// Skips what was not asked for, and says whether a datagram is left.
    fn skip_unasked(&mut self) -> bool {
        while let Some(received) = self.batch.at(self.next) {
            self.admitted = self.admits(&received);
            if self.admitted {
                break;
            }
            self.next = self.batch.after(self.next);
        }
        self.admitted
    }

    /// Whether a datagram was asked for. Of a group, Linux does not compare the interface for
    /// IPv6, where all members of a host receive what comes on any interface; and what came before
    /// a membership changed is still there.
    #[inline]
    fn admits(&self, received: &Received<'_>) -> bool {
        let Some(Some(port)) = self.ports.get(self.current) else {
            return false;
        };
        if !self.came_in_time(received) {
            return false;
        }
        let (to, from) = (received.destination.ip(), received.source.ip());
        if to.is_multicast() {
            let on = received.interface.index;
            port.groups
                .iter()
                .any(|group| group.is(to, on) && group.sources.admits(from))
        } else {
            let wanted = port.peer.is_none_or(|peer| is_same(received.source, peer));
            wanted && !port.local.ip().is_multicast()
        }
    }

    /// Keeps the descriptor that others wait for readable while there is something to take: what one
    /// call received is not in the kernel any more.
    #[inline]
    pub(super) fn show_left(&mut self) {
        if self.left.get().is_some() {
            let is_left = self.has_datagram() || !self.events.is_empty();
            self.show(is_left);
        }
    }

    /// The datagram that [`Endpoint::wait`] made ready.
    pub(crate) fn take(&mut self) -> Option<Received<'_>> {
        if !self.has_datagram() {
            return None;
        }
        let this = self.next;
        (self.next, self.admitted) = (self.batch.after(this), false);
        self.show_left();
        self.batch.at(this)
    }

    /// Of what [`Endpoint::wait`] made ready that which is in one buffer, at most `limit` datagrams.
    pub(crate) fn take_run(&mut self, limit: usize) -> Option<Run<'_>> {
        if limit == 0 || !self.has_datagram() {
            return None;
        }
        let this = self.next;
        let (_, next) = self.batch.run(this, limit)?;
        (self.next, self.admitted) = (next, false);
        self.show_left();
        self.batch.run(this, limit).map(|(run, _)| run)
    }

    /// All datagrams of the batch that [`Endpoint::wait`] made ready.
    pub(crate) fn take_batch(&mut self) -> impl Iterator<Item = Received<'_>> {
        self.take_runs().flat_map(Run::datagrams)
    }

    /// The same, buffer by buffer.
    pub(crate) fn take_runs(&mut self) -> impl Iterator<Item = Run<'_>> {
        let next = self.next;
        (self.next, self.admitted) = (self.batch.end(), false);
        self.show_left();
        let this = &*self;
        this.batch.runs(next).filter(|run| this.admits(run.whole()))
    }
}

/// Whether two addresses are of one peer. A link may be told or not, or have had another index.
#[inline]
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}
