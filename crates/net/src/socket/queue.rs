//! What one call is to send, as [`super::send`] goes through it.

use std::net::IpAddr;

use manycast_types::{MAX_PAYLOAD, Transmit};

use crate::sys::Messages;
use crate::sys::features::gso;

/// Datagrams that lie side by side: all of `size` bytes, but the last perhaps shorter.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) payload: &'a [u8],
    pub(super) size: usize,
    pub(super) count: usize,
}

impl<'a> Piece<'a> {
    pub(super) const fn single(payload: &'a [u8]) -> Self {
        Self {
            payload,
            size: payload.len(),
            count: 1,
        }
    }
}

/// What one call is to send.
pub(super) trait Queue<'a>: Copy {
    fn len(self) -> usize;
    /// From a datagram on as many as one message can have, where it is known without a look at each
    /// that they are alike and lie side by side.
    fn piece(self, index: usize) -> Piece<'a> {
        Piece::single(self.payload(index))
    }
    /// Adds to a message, from a datagram on, what can be seen at a glance to be of the same `size`, to
    /// differ in nothing else and to lie side by side, at most so many; and says how many.
    fn push_adjacent(
        self,
        _messages: &mut Messages<'a>,
        _from: usize,
        _most: usize,
        _size: usize,
    ) -> usize {
        0
    }
    fn payload(self, index: usize) -> &'a [u8];
    fn transmit(self, index: usize) -> Transmit<()>;
    fn dont_fragment(self, index: usize) -> bool;
    /// Whether two datagrams differ in nothing but their payloads.
    fn are_alike(self, one: usize, other: usize) -> bool;
}

impl<'a, P: AsRef<[u8]>> Queue<'a> for &'a [Transmit<P>] {
    fn len(self) -> usize {
        self.len()
    }

    fn payload(self, index: usize) -> &'a [u8] {
        self[index].payload.as_ref()
    }

    fn transmit(self, index: usize) -> Transmit<()> {
        self[index].with(())
    }

    fn dont_fragment(self, index: usize) -> bool {
        self[index].dont_fragment
    }

    fn are_alike(self, one: usize, other: usize) -> bool {
        self[one].is_like(&self[other])
    }
}

/// Payloads that differ in nothing else.
pub(super) struct Alike<'a, P> {
    pub(super) transmit: &'a Transmit<()>,
    pub(super) payloads: &'a [P],
}

impl<P> Clone for Alike<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Alike<'_, P> {}

impl<'a, P: AsRef<[u8]>> Queue<'a> for Alike<'a, P> {
    fn len(self) -> usize {
        self.payloads.len()
    }

    fn push_adjacent(
        self,
        messages: &mut Messages<'a>,
        from: usize,
        most: usize,
        size: usize,
    ) -> usize {
        let payloads = &self.payloads[from..];
        messages.push_adjacent(&payloads[..most.min(payloads.len())], size)
    }

    fn payload(self, index: usize) -> &'a [u8] {
        self.payloads[index].as_ref()
    }

    fn transmit(self, _index: usize) -> Transmit<()> {
        *self.transmit
    }

    fn dont_fragment(self, _index: usize) -> bool {
        self.transmit.dont_fragment
    }

    fn are_alike(self, _one: usize, _other: usize) -> bool {
        true
    }
}

/// Datagrams that lie side by side and differ in nothing but their payloads.
#[derive(Clone, Copy)]
pub(super) struct Segments<'a> {
    pub(super) transmit: &'a Transmit<()>,
    pub(super) payload: &'a [u8],
    pub(super) size: usize,
    pub(super) count: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(transmit: &'a Transmit<()>, payload: &'a [u8], size: usize) -> Self {
        let size = size.max(1);
        Self {
            transmit,
            payload,
            size,
            count: payload.len().div_ceil(size).max(1),
        }
    }
}

impl<'a> Queue<'a> for Segments<'a> {
    fn len(self) -> usize {
        self.count
    }

    fn piece(self, index: usize) -> Piece<'a> {
        let rest = &self.payload[index * self.size..];
        let most = (MAX_PAYLOAD / self.size).clamp(1, gso::MAX_SEGMENTS);
        let count = most.min(self.count - index);
        Piece {
            payload: &rest[..rest.len().min(count * self.size)],
            size: self.size.min(rest.len()),
            count,
        }
    }

    fn payload(self, index: usize) -> &'a [u8] {
        let rest = &self.payload[index * self.size..];
        &rest[..self.size.min(rest.len())]
    }

    fn transmit(self, _index: usize) -> Transmit<()> {
        *self.transmit
    }

    fn dont_fragment(self, _index: usize) -> bool {
        self.transmit.dont_fragment
    }

    fn are_alike(self, _one: usize, _other: usize) -> bool {
        true
    }
}

/// Datagrams by an interface that they do not name.
pub(super) struct By<'a, P> {
    pub(super) interface: u32,
    pub(super) source: Option<IpAddr>,
    pub(super) transmits: &'a [Transmit<P>],
}

impl<P> Clone for By<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for By<'_, P> {}

impl<'a, P: AsRef<[u8]>> Queue<'a> for By<'a, P> {
    fn len(self) -> usize {
        self.transmits.len()
    }

    fn payload(self, index: usize) -> &'a [u8] {
        self.transmits[index].payload.as_ref()
    }

    fn transmit(self, index: usize) -> Transmit<()> {
        let mut transmit = self.transmits[index].with(());
        transmit.interface = Some(self.interface);
        transmit.source = transmit.source.or(self.source);
        transmit
    }

    fn dont_fragment(self, index: usize) -> bool {
        self.transmits[index].dont_fragment
    }

    fn are_alike(self, one: usize, other: usize) -> bool {
        self.transmits[one].is_like(&self.transmits[other])
    }
}
