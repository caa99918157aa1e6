//! Datagrams that came and datagrams that are to go.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Dscp, InterfaceId, SocketId};

/// The largest payload that UDP over IPv4 carries, in bytes: 65,535 less the two headers.
pub const MAX_PAYLOAD: usize = 65_507;

/// A datagram as it was received, borrowed from the batch that it came in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// Which socket it came by, where there are several.
    pub socket: SocketId,
    /// The index of the interface that an answer must leave by: the one that the datagram came in
    /// on, where the socket was opened for interfaces that were named, or a link-local address was
    /// asked; `None` leaves it to the route.
    pub reply_interface: Option<u32>,
}

impl<'a> Received<'a> {
    /// A datagram of which no more is known than this. The other fields can be set after that.
    #[inline]
    pub const fn new(
        payload: &'a [u8],
        source: SocketAddr,
        destination: SocketAddr,
        interface: &'a InterfaceId,
    ) -> Self {
        Self {
            payload,
            source,
            destination,
            local: None,
            interface,
            hops: None,
            time: None,
            ecn: Ecn::NotEct,
            truncated: false,
            dropped: 0,
            socket: SocketId::new(0),
            reply_interface: None,
        }
    }

    /// Where an answer goes: to the sender, from the address and by the socket that were asked. It
    /// borrows nothing, so that the answer can be sent while the payload is not needed any more;
    /// [`Transmit::with`] gives it a payload.
    ///
    /// ```
    /// use manycast_types::{InterfaceId, Received};
    ///
    /// let (client, server) = (([10, 0, 0, 5], 4000).into(), ([10, 0, 0, 1], 8888).into());
    /// let interface = InterfaceId::new(2, "eth0");
    /// let question = Received::new(b"ping", client, server, &interface);
    /// let answer = question.reply().with("pong");
    /// assert_eq!(answer.destination, client);
    /// ```
    #[inline]
    pub const fn reply(&self) -> Transmit<()> {
        Transmit {
            source: self.local,
            interface: self.reply_interface,
            socket: Some(self.socket),
            ..Transmit::new(self.source, ())
        }
    }

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
            socket: self.socket,
            reply_interface: self.reply_interface,
        }
    }
}

/// Datagrams that came as one buffer: one, or several from one source to one destination that the
/// kernel gathered. All that is equal of them need be looked at but once.
///
/// ```
/// use manycast_types::{InterfaceId, Received, Run};
///
/// let interface = InterfaceId::new(1, "lo");
/// let (from, to) = (([127, 0, 0, 1], 4000).into(), ([127, 0, 0, 1], 5000).into());
/// let received = Received::new(b"onetwo3", from, to, &interface);
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
#[non_exhaustive]
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
    /// Which socket it came by, where there are several.
    pub socket: SocketId,
    /// The index of the interface that an answer must leave by, if it must leave by one.
    pub reply_interface: Option<u32>,
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
            socket: self.socket,
            reply_interface: self.reply_interface,
        }
    }

    /// Where an answer goes, as [`Received::reply`] says.
    pub const fn reply(&self) -> Transmit<()> {
        Transmit {
            source: self.local,
            interface: self.reply_interface,
            socket: Some(self.socket),
            ..Transmit::new(self.source, ())
        }
    }
}

/// A datagram that is to go: where to, how, and what; or several that differ in nothing but what
/// they carry.
///
/// `P` is whatever holds the payload: [`Bytes`] for protocols, `&[u8]` for a caller's buffer. With
/// `()` it says only where to and how.
///
/// ```
/// use manycast_types::Transmit;
///
/// let mut far = Transmit::new(([239, 192, 0, 100], 5000).into(), "hello");
/// far.hops = Some(8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit<P = Bytes> {
    /// The group or host, and the port.
    pub destination: SocketAddr,
    /// The local address to send from; `None` leaves it to the socket and the kernel.
    pub source: Option<IpAddr>,
    /// The local port to send from, which chooses among the sockets; `None` leaves it open.
    pub source_port: Option<u16>,
    /// The index of the interface to send by; `None` leaves it to the socket, then to the route.
    pub interface: Option<u32>,
    /// Which socket to send by; `None`: the first that can.
    pub socket: Option<SocketId>,
    /// The hop limit (IPv4: TTL), from 1; `None` leaves it to the socket.
    pub hops: Option<u8>,
    /// The differentiated services code point; `None` leaves it to the socket.
    pub dscp: Option<Dscp>,
    /// The congestion mark; `None` leaves it to the socket, which sets none by default.
    pub ecn: Option<Ecn>,
    /// Whether it must not be cut up on the way, for who looks for the path MTU (RFC 8899): one
    /// that is longer than the MTU of its interface then fails.
    pub dont_fragment: bool,
    /// Where several datagrams lie side by side in the payload: the length of each but the last in
    /// bytes, from 1, at most 65,507. They go out as one, without a copy, where the kernel cuts
    /// them apart again (generic segmentation offload).
    pub segment_size: Option<u16>,
    /// What to send, at most [`MAX_PAYLOAD`] bytes; with a segment size, any number.
    pub payload: P,
}

impl<P> Transmit<P> {
    /// A datagram of which all else is left to the socket and the kernel.
    #[inline]
    pub const fn new(destination: SocketAddr, payload: P) -> Self {
        Self {
            destination,
            source: None,
            source_port: None,
            interface: None,
            socket: None,
            hops: None,
            dscp: None,
            ecn: None,
            dont_fragment: false,
            segment_size: None,
            payload,
        }
    }

    /// The same with another payload.
    #[inline]
    pub fn with<Q>(&self, payload: Q) -> Transmit<Q> {
        Transmit {
            destination: self.destination,
            source: self.source,
            source_port: self.source_port,
            interface: self.interface,
            socket: self.socket,
            hops: self.hops,
            dscp: self.dscp,
            ecn: self.ecn,
            dont_fragment: self.dont_fragment,
            segment_size: self.segment_size,
            payload,
        }
    }

    /// Whether two datagrams go the same way: they differ in nothing but the payload.
    #[inline]
    pub fn is_like<Q>(&self, other: &Transmit<Q>) -> bool {
        self.with(()) == other.with(())
    }

    /// The IPv4 TOS or IPv6 traffic class octet, if DSCP or congestion mark is set: what is not set
    /// of the two is 0.
    pub fn traffic_class(&self) -> Option<u8> {
        match (self.dscp, self.ecn) {
            (None, None) => None,
            (dscp, ecn) => Some(dscp.unwrap_or_default().octet() | ecn.unwrap_or_default().bits()),
        }
    }
}

impl<P: AsRef<[u8]>> Transmit<P> {
    /// How many datagrams it is, at least 1.
    pub fn count(&self) -> usize {
        let len = self.payload.as_ref().len();
        match self.segment_size {
            Some(size) => len.div_ceil(usize::from(size).max(1)).max(1),
            None => 1,
        }
    }

    /// What is left of it after so many of its datagrams: what a call that never waits did not send.
    ///
    /// ```
    /// use manycast_types::Transmit;
    ///
    /// let mut transmit = Transmit::new(([127, 0, 0, 1], 5000).into(), "aabbc");
    /// transmit.segment_size = Some(2);
    /// let left = transmit.after(1);
    /// assert_eq!((left.payload, left.count()), (&b"bbc"[..], 2));
    /// ```
    pub fn after(&self, datagrams: usize) -> Transmit<&[u8]> {
        let payload = self.payload.as_ref();
        let size = self.segment_size.map_or(payload.len(), usize::from).max(1);
        let start = datagrams.saturating_mul(size).min(payload.len());
        self.with(&payload[start..])
    }

    /// The payloads of the datagrams that it is, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let payload = self.payload.as_ref();
        let size = self.segment_size.map_or(payload.len(), usize::from).max(1);
        (0..self.count()).map(move |index| {
            let rest = &payload[index * size..];
            &rest[..size.min(rest.len())]
        })
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
    /// The two bits of the mark.
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }

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
