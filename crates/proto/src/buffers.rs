//! Memory for payloads that is used again and again.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// How many buffers are kept at most. A driver holds a few outputs at a time, and a sender of files some
/// thirty blocks that are read ahead.
const MOST: usize = 48;

/// Buffers of one length, for who sends many payloads that differ in little: a buffer comes back
/// with what was in it once the driver has sent it, so that nothing is allocated or written twice.
///
/// ```
/// use manycast_proto::buffers::Buffers;
///
/// let mut buffers = Buffers::new(1316);
/// let mut buffer = buffers.take();
/// buffer[0] = 7;
/// let payload = buffers.give(buffer);
/// assert_eq!(payload.len(), 1316);
///
/// drop(payload);
/// assert_eq!(buffers.take()[0], 7);
/// ```
#[derive(Clone, Debug)]
pub struct Buffers {
    length: usize,
    most: usize,
    /// Those that were given away, the oldest first.
    given: VecDeque<Bytes>,
}

impl Buffers {
    /// Buffers of `length` bytes each.
    pub const fn new(length: usize) -> Self {
        Self::keeping(length, MOST)
    }

    /// Buffers of `length` bytes each, of which `most` at most are kept.
    pub const fn keeping(length: usize, most: usize) -> Self {
        Self {
            length,
            most,
            given: VecDeque::new(),
        }
    }

    /// A buffer that nobody else holds: one that has come back, as long as it was given, or else a new
    /// one of zeros.
    pub fn take(&mut self) -> BytesMut {
        match self.given.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            Some(Err(held)) => {
                self.given.push_front(held);
                self.allocate()
            }
            None => self.allocate(),
        }
    }

    /// The payload that was written into a buffer of [`Buffers::take`].
    pub fn give(&mut self, buffer: BytesMut) -> Bytes {
        let payload = buffer.freeze();
        if self.given.len() < self.most {
            self.given.push_back(payload.clone());
        }
        payload
    }

    fn allocate(&self) -> BytesMut {
        // What is split off shares its memory by a counter from the beginning; otherwise the
        // counter would be allocated at each `give`.
        let mut memory = BytesMut::zeroed(self.length + 1);
        memory.split_to(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_it_is_let_go() {
        let mut buffers = Buffers::new(8);
        let first = buffers.take();
        let first = buffers.give(first);
        let address = first.as_ptr();
        let second = buffers.take();
        assert_ne!(second.as_ptr(), address, "the first is still held");
        let second = buffers.give(second);
        drop(first);
        let third = buffers.take();
        assert_eq!(third.as_ptr(), address);
        assert_ne!(third.as_ptr(), second.as_ptr());
    }

    #[test]
    fn what_is_held_for_ever_is_not_kept_without_end() {
        for (mut buffers, most) in [(Buffers::new(8), MOST), (Buffers::keeping(8, 3), 3)] {
            let held: Vec<_> = (0..100)
                .map(|_| {
                    let buffer = buffers.take();
                    buffers.give(buffer)
                })
                .collect();
            assert_eq!(buffers.given.len(), most);
            assert_eq!(held.len(), 100);
        }
    }
}
