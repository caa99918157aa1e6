//! What one call is to send, as [`super::send`] goes through it.

use manycast_types::{MAX_PAYLOAD, Transmit};

use crate::sys::Span;
use crate::sys::features::gso;

/// Datagrams that lie side by side: all of `size` bytes, but the last perhaps shorter.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) payloads: Span<'a>,
    pub(super) size: usize,
    pub(super) count: usize,
}

impl<'a> Piece<'a> {
    pub(super) const fn single(payload: &'a [u8]) -> Self {
        Self {
            payloads: Span::of(payload),
            size: payload.len(),
            count: 1,
        }
    }
}

/// How many datagrams of a size one message has at most, for the kernel to cut it apart.
pub(super) fn most_segments(size: usize) -> usize {
    (MAX_PAYLOAD / size.max(1)).clamp(1, gso::MAX_SEGMENTS)
}

/// What one call is to send. Nothing of it is copied on the way to the kernel.
pub(super) trait Queue<'a>: Copy {
    /// What the transmits hold beside where to and how.
    type Payload: 'a;
    fn len(self) -> usize;
    /// Where a datagram goes and how.
    fn transmit(self, index: usize) -> &'a Transmit<Self::Payload>;
    /// From a datagram on those that one message can have, as far as it is seen at a glance that they
    /// are alike and lie side by side.
    fn piece(self, index: usize) -> Piece<'a> {
        Piece::single(self.payload(index))
    }
    fn payload(self, index: usize) -> &'a [u8];
    /// Whether two datagrams differ in nothing but their payloads.
    fn are_alike(self, one: usize, other: usize) -> bool;
}

impl<'a, P: AsRef<[u8]>> Queue<'a> for &'a [Transmit<P>] {
    type Payload = P;

    fn len(self) -> usize {
        self.len()
    }

    fn transmit(self, index: usize) -> &'a Transmit<P> {
        &self[index]
    }

    fn payload(self, index: usize) -> &'a [u8] {
        self[index].payload.as_ref()
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
    type Payload = ();

    fn len(self) -> usize {
        self.payloads.len()
    }

    fn transmit(self, _index: usize) -> &'a Transmit<()> {
        self.transmit
    }

    #[inline]
    fn piece(self, index: usize) -> Piece<'a> {
        let mut piece = Piece::single(self.payload(index));
        let rest = &self.payloads[index + 1..];
        let most = (most_segments(piece.size) - 1).min(rest.len());
        if piece.size > 0 {
            piece.count += piece.payloads.extend(&rest[..most], piece.size);
        }
        piece
    }

    fn payload(self, index: usize) -> &'a [u8] {
        self.payloads[index].as_ref()
    }

    fn are_alike(self, _one: usize, _other: usize) -> bool {
        true
    }
}

/// Datagrams that lie side by side and differ in nothing but their payloads.
pub(super) struct Segments<'a, P> {
    transmit: &'a Transmit<P>,
    payload: &'a [u8],
    size: usize,
    count: usize,
}

impl<'a, P: AsRef<[u8]>> Segments<'a, P> {
    /// The datagrams of one [`Transmit`].
    pub(super) fn of(transmit: &'a Transmit<P>) -> Self {
        let payload = transmit.payload.as_ref();
        let size = transmit.segment_size.map_or(payload.len(), usize::from);
        let size = size.max(1);
        Self {
            transmit,
            payload,
            size,
            count: payload.len().div_ceil(size).max(1),
        }
    }
}

impl<P> Clone for Segments<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Segments<'_, P> {}

impl<'a, P: AsRef<[u8]>> Queue<'a> for Segments<'a, P> {
    type Payload = P;

    fn len(self) -> usize {
        self.count
    }

    fn transmit(self, _index: usize) -> &'a Transmit<P> {
        self.transmit
    }

    fn piece(self, index: usize) -> Piece<'a> {
        let rest = &self.payload[index * self.size..];
        let count = most_segments(self.size).min(self.count - index);
        Piece {
            payloads: Span::of(&rest[..rest.len().min(count * self.size)]),
            size: self.size.min(rest.len()),
            count,
        }
    }

    fn payload(self, index: usize) -> &'a [u8] {
        let rest = &self.payload[index * self.size..];
        &rest[..self.size.min(rest.len())]
    }

    fn are_alike(self, _one: usize, _other: usize) -> bool {
        true
    }
}
