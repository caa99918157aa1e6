//! Datagrams that came and datagrams that are to go.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use bytes::Bytes;

use crate::InterfaceId;

/// The largest payload that UDP over IPv4 carries, in bytes: 65,535 less the two headers.
pub const MAX_PAYLOAD: usize = 65_507;

/// A datagram as it was received, borrowed from the batch that it came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What was sent; empty datagrams are datagrams too.
    pub payload: &'a [u8],
    /// Who sent it.
    pub source: SocketAddr,
    /// What it was sent to: the group, or the local address, and the port.
    pub destination: SocketAddr,
    /// The own address to answer from: the one that was asked, or the interface's where a
    /// broadcast was; `None` for a group, where the kernel chooses.
    pub local: Option<IpAddr>,
    /// Which interface it came in on.
    pub interface: &'a InterfaceId,
    /// The hop limit (IPv4: TTL) that was left, where the kernel said so.
    pub hops: Option<u8>,
    /// When the kernel received it, where the kernel said so.
    pub time: Option<SystemTime>,
    /// The congestion mark of the IP header.
    pub ecn: Ecn,
    /// Whether the payload was longer than the buffer, and its end is lost.
    pub truncated: bool,
    /// How many datagrams the kernel had dropped on this socket before this one came, since the
    /// socket was opened, because the receive buffer was full.
    pub dropped: u64,
}

impl Received<'_> {
    /// Copies the datagram, so that it outlives its batch.
    pub fn to_datagram(&self) -> Datagram {
        Datagram {
            payload: Bytes::copy_from_slice(self.payload),
            source: self.source,
            destination: self.destination,
            local: self.local,
            interface: self.interface.clone(),
            hops: self.hops,
            time: self.time,
            ecn: self.ecn,
            truncated: self.truncated,
            dropped: self.dropped,
        }
    }
}

/// Datagrams that came as one buffer: one, or several from one source to one destination that the
/// kernel gathered. All that is equal of them need be looked at but once.
///
/// ```
/// use manycast_types::{Ecn, InterfaceId, Received, Run};
///
/// let interface = InterfaceId::new(1, "lo");
/// let received = Received {
///     payload: b"onetwo3",
///     source: ([127, 0, 0, 1], 4000).into(),
///     destination: ([127, 0, 0, 1], 5000).into(),
///     local: None,
///     interface: &interface,
///     hops: None,
///     time: None,
///     ecn: Ecn::NotEct,
///     truncated: false,
///     dropped: 0,
/// };
/// let run = Run::new(received, 3);
/// let payloads: Vec<_> = run.datagrams().map(|datagram| datagram.payload).collect();
/// assert_eq!(payloads, [&b"one"[..], b"two", b"3"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    whole: Received<'a>,
    size: usize,
}

impl<'a> Run<'a> {
    /// What came, with the payloads of all datagrams in one; each is `size` bytes long, from 1, and
    /// the last may be shorter.
    pub const fn new(whole: Received<'a>, size: usize) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { whole, size }
    }

    /// The datagrams, but for the payload, which is that of all of them together.
    pub const fn whole(&self) -> &Received<'a> {
        &self.whole
    }

    /// How many datagrams there are, at least 1.
    pub const fn count(&self) -> usize {
        let len = self.whole.payload.len();
        if len <= self.size {
            1
        } else {
            len.div_ceil(self.size)
        }
    }

    /// The payloads one by one.
    #[inline]
    pub fn payloads(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { whole, size } = *self;
        (0..self.count()).map(move |index| {
            // An empty datagram is one too.
            let rest = &whole.payload[index * size..];
            &rest[..size.min(rest.len())]
        })
    }

    /// The datagrams one by one.
    #[inline]
    pub fn datagrams(self) -> impl Iterator<Item = Received<'a>> {
        self.payloads().map(move |payload| {
            // A copy of all that is then changed, since one field by field is slower to read back.
            let mut received = self.whole;
            received.payload = payload;
            received
        })
    }
}

/// A datagram as it was received, owned. The fields are those of [`Received`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// What was sent; empty datagrams are datagrams too.
    pub payload: Bytes,
    /// Who sent it.
    pub source: SocketAddr,
    /// What it was sent to: the group, or the local address, and the port.
    pub destination: SocketAddr,
    /// The own address to answer from, if there is one.
    pub local: Option<IpAddr>,
    /// Which interface it came in on.
    pub interface: InterfaceId,
    /// The hop limit (IPv4: TTL) that was left, where the kernel said so.
    pub hops: Option<u8>,
    /// When the kernel received it, where the kernel said so.
    pub time: Option<SystemTime>,
    /// The congestion mark of the IP header.
    pub ecn: Ecn,
    /// Whether the payload was longer than the buffer, and its end is lost.
    pub truncated: bool,
    /// How many datagrams the kernel had dropped on this socket before this one came.
    pub dropped: u64,
}

impl Datagram {
    /// The same datagram, borrowed.
    pub fn as_received(&self) -> Received<'_> {
        Received {
            payload: &self.payload,
            source: self.source,
            destination: self.destination,
            local: self.local,
            interface: &self.interface,
            hops: self.hops,
            time: self.time,
            ecn: self.ecn,
            truncated: self.truncated,
            dropped: self.dropped,
        }
    }
}

/// A datagram that is to go: where, by which way, and what.
///
/// `P` is whatever holds the payload: [`Bytes`] for protocols, `&[u8]` for a caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<P = Bytes> {
    /// The group or host, and the port.
    pub destination: SocketAddr,
    /// The local address to send from; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// The index of the interface to send by; `None` leaves it to the socket, then to the route.
    pub interface: Option<u32>,
    /// What to send, at most [`MAX_PAYLOAD`] bytes.
    pub payload: P,
}

impl<P> Transmit<P> {
    /// A datagram whose way is left to the socket and the kernel.
    pub const fn new(destination: SocketAddr, payload: P) -> Self {
        Self {
            destination,
            source: None,
            interface: None,
            payload,
        }
    }

    /// The answer to `received`: to its sender, from the address that was asked. The way is the
    /// route's, which need not be the way that the question came.
    pub const fn answer(received: &Received<'_>, payload: P) -> Self {
        Self {
            destination: received.source,
            source: received.local,
            interface: None,
            payload,
        }
    }
}

/// The congestion mark of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Not ECN-capable transport.
    #[default]
    NotEct,
    /// ECN-capable transport, codepoint ECT(1).
    Ect1,
    /// ECN-capable transport, codepoint ECT(0).
    Ect0,
    /// Congestion experienced.
    Ce,
}

impl Ecn {
    /// The mark in the low two bits of a TOS or traffic-class octet.
    pub const fn from_traffic_class(octet: u8) -> Self {
        match octet & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}
