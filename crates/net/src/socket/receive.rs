//! Receiving: batches of datagrams, and reports of those that came back.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{MAX_EARLIER, Socket, interface_id};
use crate::sys::features::{self, unreachable};
use crate::{Dropped, Error, Operation, RecvBatch, Unreachable, error, sys};

/// How long [`Socket::recv_batch_soon`] waits.
const SOON: Duration = Duration::from_millis(5);

impl Socket {
    /// Receives what is there, at most as many datagrams as `batch` has room for, and says how
    /// many. Where nothing is there it waits for `timeout`: `None` for ever, zero not at all.
    ///
    /// It also ends when a datagram came back as undeliverable, with 0 if nothing else is there: see
    /// [`RecvBatch::unreachable`]. That is no failure of this call, and the socket goes on
    /// working. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn recv_batch(
        &self,
        batch: &mut RecvBatch,
        timeout: Option<Duration>,
    ) -> Result<usize, Error> {
        batch.clear();
        // With no time-out the call itself waits, which saves a second one.
        let flags = if timeout.is_none() {
            sys::WAIT_FOR_ONE
        } else {
            sys::DONT_WAIT
        };
        let mut deadline = None;
        loop {
            if let Some(count) = self.receive(batch, flags)? {
                return Ok(count);
            }
            let left = timeout.and_then(|timeout| {
                let now = Instant::now();
                let deadline = deadline.get_or_insert_with(|| now.checked_add(timeout));
                deadline.map(|deadline| deadline.saturating_duration_since(now))
            });
            let ready = self.wait(PollFlags::IN, left)?;
            if ready.contains(PollFlags::ERR) {
                self.drain_error_queue(batch);
            }
            if ready.is_empty() {
                return Ok(0);
            }
        }
    }

    /// As [`Socket::recv_batch`] without waiting, for whoever waits afterwards: where nothing is
    /// there, it does not look for datagrams that came back either, which is a second call.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv_batch`].
    pub fn try_recv_batch(&self, batch: &mut RecvBatch) -> Result<usize, Error> {
        batch.clear();
        Ok(self.receive(batch, sys::DONT_WAIT)?.unwrap_or(0))
    }

    /// As [`Socket::try_recv_batch`], but where nothing is there, the receiving call itself waits for
    /// some milliseconds: for a stream of which more comes soon, it saves asking a poller.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv_batch`].
    pub fn recv_batch_soon(&self, batch: &mut RecvBatch) -> Result<usize, Error> {
        if !self.has_timeout.load(Ordering::Relaxed) {
            self.set("SO_RCVTIMEO", self.inner.set_read_timeout(Some(SOON)))?;
            self.has_timeout.store(true, Ordering::Relaxed);
        }
        batch.clear();
        Ok(self.receive(batch, sys::WAIT_FOR_ONE)?.unwrap_or(0))
    }

    /// Adds to `batch` what is there, and says how many datagrams that are; `None`: neither a
    /// datagram is there nor one that came back.
    fn receive(&self, batch: &mut RecvBatch, flags: i32) -> Result<Option<usize>, Error> {
        if self.error_waits.load(Ordering::Relaxed)
            && self.error_waits.swap(false, Ordering::Relaxed)
        {
            self.drain_error_queue(batch);
        }
        for _ in 0..MAX_EARLIER {
            let limit = batch.limit();
            let flags = if batch.unreachable().is_empty() {
                flags
            } else {
                sys::DONT_WAIT
            };
            match batch.slots().receive(self.fd(), limit, flags) {
                Ok(count) => {
                    batch.read_slots(count, self.local, interface_id, |seen| {
                        self.extend_dropped(seen)
                    });
                    return Ok(Some(batch.len()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((!batch.unreachable().is_empty()).then_some(0));
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or_default();
                    if !sys::may_be_of_an_earlier_datagram(errno) {
                        return Err(Error::new(Operation::Receive, self.local, error));
                    }
                    // It came in the place of datagrams, which wait behind it.
                    let known = batch.unreachable().len();
                    self.drain_error_queue(batch);
                    if batch.unreachable().len() == known
                        && let Some(peer) = self.peer_addr()
                    {
                        batch.push_unreachable(Unreachable::new(
                            peer,
                            error::kind_of(errno),
                            errno,
                        ));
                    }
                }
            }
        }
        // Whoever refuses without end gets no more of our time; the next call goes on.
        Ok(Some(0))
    }

    /// Whether a datagram is there to be received, as far as can be seen without receiving it.
    pub fn has_datagram(&self) -> bool {
        self.wait(PollFlags::IN, Some(Duration::ZERO))
            .is_ok_and(|ready| ready.contains(PollFlags::IN))
    }

    pub(super) fn wait(
        &self,
        events: PollFlags,
        timeout: Option<Duration>,
    ) -> Result<PollFlags, Error> {
        let mut fds = [PollFd::new(&self.inner, events)];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds[0].revents()),
            Err(error) => Err(Error::new(Operation::Wait, self.local, error.into())),
        }
    }

    fn drain_error_queue(&self, batch: &mut RecvBatch) {
        // Whoever floods us with ICMP messages gets no more of our time than this.
        for _ in 0..MAX_EARLIER {
            let slots = batch.slots();
            match sys::error_queue(self.fd(), slots) {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let errno = features::control_messages(slots.control(0))
                .find_map(|message| unreachable::decode(&message));
            if let (Some(peer), Some(errno)) = (slots.name(0), errno) {
                batch.push_unreachable(Unreachable::new(peer, error::kind_of(errno), errno));
            }
        }
    }

    /// What the kernel had dropped on this socket, for want of room in the receive buffer, before the
    /// last datagram that was received. The kernel tells it with each datagram, so what was dropped
    /// since then is not in it: see [`Socket::count_dropped`]. It is counted as [`Dropped`] says.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Asks the kernel what it has dropped on this socket until now, for want of room in the receive
    /// buffer or for a wrong checksum (`SO_MEMINFO`). From then on [`Socket::dropped`] is as much at
    /// least.
    ///
    /// ```
    /// use manycast_net::{Socket, SocketConfig};
    ///
    /// let socket = Socket::bind("127.0.0.1:0".parse()?, &SocketConfig::default())?;
    /// assert_eq!(socket.count_dropped()?.count, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported): a kernel before Linux 4.12.
    pub fn count_dropped(&self) -> Result<Dropped, Error> {
        let seen = self.get("SO_MEMINFO", sys::dropped(self.fd()))?;
        let count = self.extend_dropped(Some(seen));
        Ok(Dropped::new(count, count == 0 || !self.merges_received()))
    }

    /// Whether the kernel may hand over several datagrams as one buffer, which it then also counts as
    /// one where it drops it: see [`Dropped::is_exact`].
    pub const fn merges_received(&self) -> bool {
        self.merges_received
    }

    fn extend_dropped(&self, seen: Option<u32>) -> u64 {
        let known = self.dropped.load(Ordering::Relaxed);
        let Some(seen) = seen else { return known };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the kernel counts modulo 2^32"
        )]
        let ahead = seen.wrapping_sub(known as u32);
        // Where several threads receive, one may come with what another has counted already.
        if ahead > u32::MAX / 2 {
            return known;
        }
        let extended = known + u64::from(ahead);
        self.dropped.fetch_max(extended, Ordering::Relaxed);
        extended
    }
}
