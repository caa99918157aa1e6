//! Sending: batches of datagrams, of which neighbours go as one where the kernel cuts them apart.

use std::io;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use manycast_types::{MAX_PAYLOAD, Transmit};

use super::{Socket, interface_id, is_news_of_a_peer};
use crate::features::{ControlWriter, gso, pktinfo};
use crate::sys::Messages;
use crate::{Error, Operation};

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
        self.send_transmits(transmits, true)
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
        self.send_transmits(transmits, false)
    }

    fn send_transmits<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let nth = |index: usize| {
            let Transmit {
                destination,
                source,
                interface,
                payload,
            } = &transmits[index];
            Transmit {
                destination: *destination,
                source: *source,
                interface: *interface,
                payload: payload.as_ref(),
            }
        };
        self.send_each(transmits.len(), nth, wait)
    }

    /// As [`Socket::send_batch`], of `count` datagrams that `nth` makes up as they are needed, so
    /// that a caller with payloads alone need not keep a list.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::send_batch`].
    pub fn send_each<'a>(
        &self,
        count: usize,
        nth: impl Fn(usize) -> Transmit<&'a [u8]>,
        wait: bool,
    ) -> Result<usize, Error> {
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        let mut sent = 0;
        let mut retried = false;
        // The refusal of a merged send; what comes next goes unmerged, to see if that was it.
        let mut refusal = None;
        while sent < count {
            let segment_limit = match refusal {
                Some(_) => 0,
                None => self.segment_limit.load(Ordering::Relaxed),
            };
            let mut messages = Messages::new();
            let merged = self.gather(&mut messages, sent..count, &nth, segment_limit);
            let error = match messages.send(self.fd(), flags) {
                Ok(taken) => {
                    if let Some((errno, size)) = refusal.take() {
                        self.refuse_segments(errno, size);
                    }
                    sent += taken;
                    retried = false;
                    continue;
                }
                Err(error) => error,
            };
            let errno = error.raw_os_error().unwrap_or_default();
            let next = nth(sent);
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            } else if error.kind() == io::ErrorKind::WouldBlock {
                break;
            } else if merged && gso::is_refusal(errno) {
                refusal = Some((errno, next.payload.len()));
            } else if !retried && is_news_of_a_peer(errno) {
                // What an earlier datagram met is reported once, by whatever call comes next. This
                // one was not sent, and is not at fault.
                retried = true;
                self.error_waits
                    .store(self.report_unreachable, Ordering::Relaxed);
            } else if sent > 0 {
                break;
            } else {
                return Err(self.send_error(&next, error));
            }
        }
        Ok(sent)
    }

    /// Puts datagrams into messages: neighbours of equal size on the same way into one, of which
    /// the last may be shorter. Says whether the first message has more than one.
    fn gather<'a>(
        &self,
        messages: &mut Messages<'a>,
        range: Range<usize>,
        nth: &impl Fn(usize) -> Transmit<&'a [u8]>,
        segment_limit: usize,
    ) -> bool {
        let peer = *self.peer.read().unwrap_or_else(PoisonError::into_inner);
        let mut first_is_merged = None;
        let mut rest = range.map(nth).peekable();
        while messages.has_room()
            && let Some(first) = rest.next()
        {
            let size = first.payload.len();
            let (mut total, mut segments, mut last) = (size, 1, size);
            messages.push(first.payload);
            while messages.has_room()
                && segments < gso::MAX_SEGMENTS
                && last == size
                && size <= segment_limit
                && let Some(next) = rest.next_if(|next| {
                    let len = next.payload.len();
                    (1..=size).contains(&len)
                        && total + len <= MAX_PAYLOAD
                        && same_way(&first, next)
                })
            {
                last = next.payload.len();
                total += last;
                segments += 1;
                messages.push(next.payload);
            }
            let mut control = ControlWriter::new();
            pktinfo::encode(self.is_ipv4(), first.source, first.interface, &mut control);
            if let (true, Ok(size)) = (segments > 1, u16::try_from(size)) {
                gso::encode(size, &mut control);
            }
            // The way to the peer is known already; with an address it would be looked up again.
            let destination = (peer != Some(first.destination)).then_some(first.destination);
            messages.end(destination, &control);
            first_is_merged.get_or_insert(segments > 1);
        }
        first_is_merged.unwrap_or(false)
    }

    /// Notes that the kernel would not cut up segments of this size, and tries no such again.
    fn refuse_segments(&self, errno: i32, size: usize) {
        let whole = matches!(errno, libc::EIO | libc::EOPNOTSUPP);
        let limit = if whole { 0 } else { size.saturating_sub(1) };
        tracing::debug!(errno, size, limit, "segmentation offload was refused");
        self.segment_errno.store(errno, Ordering::Relaxed);
        self.segment_limit.fetch_min(limit, Ordering::Relaxed);
    }

    fn send_error(&self, transmit: &Transmit<&[u8]>, error: io::Error) -> Error {
        let Transmit {
            destination,
            interface,
            payload,
            ..
        } = transmit;
        let len = payload.len();
        let too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
        let no_route = error.raw_os_error() == Some(libc::ENETUNREACH);
        let error = Error::new(Operation::Send, destination, error);
        if too_long && len > MAX_PAYLOAD {
            error.explained(
                format!("{len} bytes are more than a UDP datagram carries"),
                format!("send at most {MAX_PAYLOAD} bytes at once; 1,472 pass any Ethernet"),
            )
        } else if let (true, Some(index)) = (no_route, interface) {
            error.explained(
                format!(
                    "{} has no address or no way to send from",
                    interface_id(*index)
                ),
                "give it an address, or choose another interface",
            )
        } else {
            error
        }
    }
}

/// Whether two datagrams differ in nothing but their payloads.
fn same_way(a: &Transmit<&[u8]>, b: &Transmit<&[u8]>) -> bool {
    a.destination == b.destination && a.source == b.source && a.interface == b.interface
}
