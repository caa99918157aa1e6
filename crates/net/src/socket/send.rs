//! Sending: batches of datagrams, of which neighbours go as one where the kernel cuts them apart.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use manycast_types::{MAX_PAYLOAD, Transmit};
use rustix::event::PollFlags;

use super::queue::{Alike, Piece, Queue, Segments};
use super::{MAX_EARLIER, Socket, interface_id};
use crate::sys::features::{self, ControlWriter, fragment, gso};
use crate::sys::{self, Messages, Span};
use crate::{Error, ErrorKind, Operation, offload};

/// What IPv6 carries in a UDP datagram without the option for more, in bytes: its length is told by
/// 16 bits, as is that of the packet, to which only IPv4 counts its own header (RFC 8200 §3).
const MAX_PAYLOAD_V6: usize = 65_527;

/// How long until it is looked again whether there is room, where the kernel does not tell.
const AGAIN: Duration = Duration::from_millis(1);

/// After how many errors in a row that say so a datagram itself is taken to be too long for its path.
const MAX_TOO_LONG: usize = 2;

/// By which interface datagrams go, and from which address those that name none.
#[derive(Clone, Copy)]
struct By {
    interface: u32,
    source: Option<IpAddr>,
}

impl Socket {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send<P: AsRef<[u8]>>(&self, transmit: &Transmit<P>) -> Result<(), Error> {
        self.send_batch(std::slice::from_ref(transmit)).map(drop)
    }

    /// Sends datagrams in order, waiting where the send buffer is full, and says how many the
    /// kernel took: all of them, or as many as come before the first that fails. That one's error
    /// is returned when it is the first of its call.
    ///
    /// # Errors
    ///
    /// * [`NetworkUnreachable`](crate::ErrorKind::NetworkUnreachable): no route leads there.
    /// * [`MessageTooLong`](crate::ErrorKind::MessageTooLong): over 65,507 bytes.
    /// * [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a broadcast address without
    ///   [`SocketConfig::broadcast`](crate::SocketConfig::broadcast), or a firewall of this host.
    /// * [`LimitReached`](crate::ErrorKind::LimitReached): the queue of the interface is full.
    /// * [`InvalidInput`](crate::ErrorKind::InvalidInput): an address of the other version of IP,
    ///   or port 0.
    pub fn send_batch<P: AsRef<[u8]>>(&self, transmits: &[Transmit<P>]) -> Result<usize, Error> {
        self.send_all(transmits, None, true)
    }

    /// As [`Socket::send_batch`], but never waits: 0 means that the send buffer is full.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn try_send_batch<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
    ) -> Result<usize, Error> {
        self.send_all(transmits, None, false)
    }

    /// As [`Socket::send_batch`], of many payloads that are all sent as `transmit` says; with `wait`
    /// unset, as [`Socket::try_send_batch`]. Nothing sends faster, above all where the payloads lie side
    /// by side in memory.
    ///
    /// ```
    /// use manycast_net::{RecvBatch, Socket, SocketConfig};
    /// use manycast_types::Transmit;
    ///
    /// let socket = Socket::bind("127.0.0.1:0".parse()?, &SocketConfig::default())?;
    /// let memory = [0; 6400];
    /// let payloads: Vec<_> = memory.chunks(64).collect();
    /// let transmit = Transmit::new(socket.local_addr()?, ());
    /// assert_eq!(socket.send_payloads(&transmit, &payloads, true)?, 100);
    /// # let mut batch = RecvBatch::new();
    /// # assert!(socket.recv_batch(&mut batch, None)? > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send_payloads<P: AsRef<[u8]>>(
        &self,
        transmit: &Transmit<()>,
        payloads: &[P],
        wait: bool,
    ) -> Result<usize, Error> {
        self.send_all(Alike { transmit, payloads }, None, wait)
    }

    /// As [`Socket::send_payloads`], of datagrams that lie side by side in one payload and are
    /// [`segment_size`](Transmit::segment_size) bytes long, the last perhaps shorter. Says how many
    /// datagrams the kernel took.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send_segments<P: AsRef<[u8]>>(
        &self,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<usize, Error> {
        self.send_all(Segments::of(transmit), None, wait)
    }

    /// As [`Socket::send_segments`], but by an interface, as [`Socket::send_batch_by`].
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send_segments_by<P: AsRef<[u8]>>(
        &self,
        interface: u32,
        source: Option<IpAddr>,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<usize, Error> {
        let by = By { interface, source };
        self.send_all(Segments::of(transmit), Some(by), wait)
    }

    /// As [`Socket::send_batch`], but by an interface, and from a source address if one is given,
    /// that the datagrams themselves do not name; with `wait` unset, as [`Socket::try_send_batch`].
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send_batch_by<P: AsRef<[u8]>>(
        &self,
        interface: u32,
        source: Option<IpAddr>,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let by = By { interface, source };
        self.send_all(transmits, Some(by), wait)
    }

    #[inline]
    fn set_dont_fragment(&self, dont_fragment: bool) -> Result<(), Error> {
        if self.dont_fragment.load(Ordering::Relaxed) != dont_fragment {
            let set = fragment::set(self.fd(), self.is_ipv4(), dont_fragment);
            self.set("IP_MTU_DISCOVER", set)?;
            self.dont_fragment.store(dont_fragment, Ordering::Relaxed);
        }
        Ok(())
    }

    fn send_all<'a>(
        &self,
        queue: impl Queue<'a>,
        by: Option<By>,
        wait: bool,
    ) -> Result<usize, Error> {
        let flags = if wait { 0 } else { sys::DONT_WAIT };
        let mut sent = 0;
        // How often in a row the error of an earlier datagram came in the place of what is first in the queue.
        let mut earlier = 0;
        // The refusal of a merged send; what comes next goes unmerged, to see if that was it.
        let mut refusal = None;
        while sent < queue.len() {
            self.set_dont_fragment(queue.transmit(sent).dont_fragment)?;
            let first = self.piece(queue, sent, refusal.is_none() && offload::is_wanted());
            let (merged, outcome) = if sent + first.count == queue.len() {
                (
                    first.count > 1,
                    self.send_one(queue.transmit(sent), by, first, flags),
                )
            } else {
                self.send_many(queue, by, sent, refusal.is_none(), flags)
            };
            let error = match outcome {
                Ok(taken) => {
                    if let Some((errno, size)) = refusal.take() {
                        let destination = queue.transmit(sent).destination.ip();
                        self.segment_limits.refuse(size, destination, errno);
                    }
                    sent += taken;
                    earlier = 0;
                    continue;
                }
                Err(error) => error,
            };
            let errno = error.raw_os_error().unwrap_or_default();
            let may_be_earlier = sys::may_be_of_an_earlier_datagram(errno);
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            } else if error.kind() == io::ErrorKind::WouldBlock {
                break;
            } else if merged && gso::is_refusal(errno) && (earlier > 0 || !may_be_earlier) {
                refusal = Some((errno, queue.payload(sent).len()));
                earlier = 0;
            } else if may_be_earlier
                && (merged && gso::is_refusal(errno)
                    || !self.refuses(queue, by, sent, errno, earlier))
            {
                // What an earlier datagram met is reported once, by whatever call comes next. This
                // one was not sent, and is not at fault.
                earlier += 1;
                self.error_waits
                    .store(self.report_unreachable, Ordering::Relaxed);
            } else if sent > 0 {
                break;
            } else {
                let len = queue.payload(sent).len();
                return Err(self.send_error(queue.transmit(sent), by, len, error));
            }
        }
        Ok(sent)
    }

    /// Whether it is this datagram that the kernel refuses with `errno`, where the error could as
    /// well be what an earlier one met, which comes in the same place, and came `before` times.
    fn refuses<'a>(
        &self,
        queue: impl Queue<'a>,
        by: Option<By>,
        index: usize,
        errno: i32,
        before: usize,
    ) -> bool {
        match errno {
            // Nothing but a peer says this.
            libc::ECONNREFUSED => before >= MAX_EARLIER,
            // The probe below does not look at the length.
            libc::EMSGSIZE => {
                let most = if self.is_ipv4() {
                    MAX_PAYLOAD
                } else {
                    MAX_PAYLOAD_V6
                };
                queue.payload(index).len() > most || before >= MAX_TOO_LONG
            }
            // The kernel looks for a route and for permission as it does for a datagram to send, but
            // leaves out the errors of earlier ones.
            errno => {
                let single = Piece::single(queue.payload(index));
                let flags = sys::PROBE | sys::DONT_WAIT;
                let probe = self.send_one(queue.transmit(index), by, single, flags);
                before >= MAX_EARLIER
                    || probe.is_err_and(|error| error.raw_os_error() == Some(errno))
            }
        }
    }

    /// What lies side by side from `index` on and may go as one message.
    #[inline]
    fn piece<'a>(&self, queue: impl Queue<'a>, index: usize, may_merge: bool) -> Piece<'a> {
        let destination = queue.transmit(index).destination.ip();
        let payload = queue.payload(index);
        if may_merge && self.segment_limits.allow(payload.len(), destination) {
            queue.piece(index)
        } else {
            Piece::single(payload)
        }
    }

    /// Sends one message: a datagram, or several that lie side by side.
    fn send_one<P>(
        &self,
        transmit: &Transmit<P>,
        by: Option<By>,
        piece: Piece<'_>,
        flags: i32,
    ) -> io::Result<usize> {
        let control = self.control(transmit, by, piece.size, piece.count);
        let destination = self.destination(transmit);
        sys::send(self.fd(), piece.payloads, destination, &control, flags).map(|()| piece.count)
    }

    /// The control messages of a message of so many datagrams, of `size` bytes each.
    #[inline]
    fn control<P>(
        &self,
        transmit: &Transmit<P>,
        by: Option<By>,
        size: usize,
        count: usize,
    ) -> ControlWriter {
        let (interface, source) = match by {
            None => (transmit.interface, transmit.source),
            Some(by) => (Some(by.interface), transmit.source.or(by.source)),
        };
        let mut control = ControlWriter::new();
        features::encode(self.is_ipv4(), transmit, interface, source, &mut control);
        if let (true, Ok(size)) = (count > 1, u16::try_from(size)) {
            gso::encode(size, &mut control);
        }
        control
    }

    /// Sends as many as one call takes. Says too whether the first of its messages has more than
    /// one. Not inlined, so that a single datagram does not pay for so much of the stack.
    #[inline(never)]
    fn send_many<'a>(
        &self,
        queue: impl Queue<'a>,
        by: Option<By>,
        from: usize,
        may_merge: bool,
        flags: i32,
    ) -> (bool, io::Result<usize>) {
        let mut messages = Messages::new();
        let merged = self.gather(&mut messages, queue, by, from, may_merge);
        (merged, messages.send(self.fd(), flags))
    }

    /// What to name to the kernel: nothing for the peer, the route to whom is known already, and
    /// would with an address be looked up again. Where the peer has changed, each is named.
    fn destination<P>(&self, transmit: &Transmit<P>) -> Option<SocketAddr> {
        let is_peer = self.peer.get() == Some(&transmit.destination)
            && !self.had_other_peers.load(Ordering::Acquire);
        (!is_peer).then_some(transmit.destination)
    }

    /// Waits until the send buffer has room, for what [`Socket::try_send_batch`] did not take, at most
    /// for `timeout` (`None`: for ever), and says whether it has. A signal ends it early.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn wait_for_room(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let ready = self.wait(PollFlags::OUT, left)?;
            if ready.contains(PollFlags::OUT) || !ready.contains(PollFlags::ERR) {
                return Ok(ready.contains(PollFlags::OUT));
            }
            // What came back as undeliverable ends each wait at once, until somebody receives it.
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            thread::sleep(left.map_or(AGAIN, |left| left.min(AGAIN)));
        }
    }

    /// Puts datagrams into messages: neighbours of equal size that go alike into one, of which
    /// the last may be shorter. Says whether the first message has more than one.
    fn gather<'a>(
        &self,
        messages: &mut Messages<'a>,
        queue: impl Queue<'a>,
        by: Option<By>,
        from: usize,
        may_merge: bool,
    ) -> bool {
        let may_merge = may_merge && offload::is_wanted();
        let mut first_is_merged = None;
        let mut next = from;
        let dont_fragment = queue.transmit(from).dont_fragment;
        while messages.has_room()
            && next < queue.len()
            && queue.transmit(next).dont_fragment == dont_fragment
        {
            let first = next;
            let piece = self.piece(queue, first, may_merge);
            let size = piece.size;
            let mut total = piece.payloads.len();
            let mut last = total - (piece.count - 1) * size;
            messages.push(piece.payloads, piece.count);
            next += piece.count;
            let may_merge = may_merge
                && self
                    .segment_limits
                    .allow(size, queue.transmit(first).destination.ip());
            // Equal ones and at the end a shorter one are what the kernel cuts apart again.
            while may_merge
                && messages.has_room()
                && next < queue.len()
                && next - first < gso::MAX_SEGMENTS
                && last == size
            {
                let payload = queue.payload(next);
                last = payload.len();
                total += last;
                if last == 0 || last > size || total > MAX_PAYLOAD || !queue.are_alike(first, next)
                {
                    break;
                }
                messages.push(Span::of(payload), 1);
                next += 1;
            }
            let is_merged = next - first > 1;
            let transmit = queue.transmit(first);
            let control = self.control(transmit, by, size, next - first);
            messages.end(self.destination(transmit), &control);
            first_is_merged.get_or_insert(is_merged);
        }
        first_is_merged.unwrap_or(false)
    }

    #[cold]
    fn send_error<P>(
        &self,
        transmit: &Transmit<P>,
        by: Option<By>,
        len: usize,
        error: io::Error,
    ) -> Error {
        let interface = by.map(|by| by.interface).or(transmit.interface);
        let too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
        let no_route = error.raw_os_error() == Some(libc::ENETUNREACH);
        let error = Error::new(Operation::Send, transmit.destination, error);
        if too_long && len > MAX_PAYLOAD {
            error.explained(
                format!("{len} bytes are more than a UDP datagram carries"),
                format!("send at most {MAX_PAYLOAD} bytes at once; 1,472 pass any Ethernet"),
            )
        } else if let (true, Some(index)) =
            (no_route, self.interface_to(transmit.destination, interface))
        {
            error.explained(
                format!(
                    "{} has no address or no way to send from",
                    interface_id(index)
                ),
                "give it an address, or choose another interface",
            )
        } else if error.kind() == ErrorKind::AddressNotAvailable && self.may_look_up() {
            let interface = self.interface_to(transmit.destination, interface);
            error.explained_by_host(transmit.destination, interface)
        } else if matches!(error.errno(), Some(libc::EINVAL | libc::ENETUNREACH))
            && let Some(source) = transmit.source.or_else(|| self.source())
            && self.may_look_up()
        {
            error.explained_by_source(source)
        } else {
            error
        }
    }

    /// The address that all is sent from, where the socket is bound or connected.
    fn source(&self) -> Option<IpAddr> {
        let source = self.local_addr().ok()?.ip();
        (!source.is_unspecified() && !source.is_multicast()).then_some(source)
    }

    /// Whether a failing send may look for its cause: at most once a second, since to list the
    /// interfaces takes longer than many sends, and peers that ask decide how often one answers.
    fn may_look_up(&self) -> bool {
        const EVERY: Duration = Duration::from_secs(1);
        let now = Instant::now();
        let mut last = self
            .explained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.duration_since(last) >= EVERY);
        if may {
            *last = Some(now);
        }
        may
    }
}
