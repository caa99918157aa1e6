//! Blocks of which something is missing: what has come of them, and what is asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::fec::Code;
use super::object::{Number, Symbols};
use super::repair::{Requests, Wanted};
use crate::buffers::Buffers;

/// Memory for the blocks of a sender. That of blocks that are through is used again: memory that is new
/// to a program costs the kernel more than the copy into it.
#[derive(Debug)]
pub(super) struct Blocks {
    buffers: Buffers,
    /// The bytes of the longest block so far.
    length: usize,
    most: usize,
}

impl Blocks {
    /// Keeps so many bytes at most.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            buffers: Buffers::keeping(0, 0),
            length: 0,
            most,
        }
    }

    /// Empty memory with room for `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        if length > self.length {
            self.length = length;
            self.buffers = Buffers::keeping(length, self.most / length);
        }
        // A short block would take up the room of a long one.
        if length <= self.length / 2 {
            return BytesMut::with_capacity(length);
        }
        let mut bytes = self.buffers.take();
        bytes.clear();
        bytes
    }

    /// The bytes of a block that is through.
    pub(super) fn give(&mut self, bytes: BytesMut) -> Bytes {
        match bytes.capacity() < self.length {
            true => bytes.freeze(),
            false => self.buffers.give(bytes),
        }
    }
}

/// A block of which some symbols have come.
#[derive(Debug)]
pub(super) struct Open {
    /// A slot for each source symbol, as far as one was needed.
    pub(super) bytes: BytesMut,
    pub(super) has: Symbols,
    /// How many source symbols have come.
    source: u16,
    /// Parity, and in which slots it lies: of source symbols that have not come. So a block takes no
    /// more memory than its source symbols.
    parity: Vec<(u16, u16)>,
}

impl Open {
    /// A block of which nothing has come, in empty memory that has room for it.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self {
            bytes,
            has: Symbols::default(),
            source: 0,
            parity: Vec::new(),
        }
    }

    /// Takes in a symbol of a block of `length` source symbols, which are `stride` bytes apart, where
    /// not all have come; false where it was there already.
    pub(super) fn insert(
        &mut self,
        symbol: u16,
        payload: &[u8],
        length: u16,
        stride: usize,
    ) -> bool {
        if !self.has.insert(symbol) {
            return false;
        }
        if symbol < length {
            self.source += 1;
            let in_its_slot = self.parity.iter().position(|(_, slot)| *slot == symbol);
            if let Some(index) = in_its_slot
                && let Some(slot) = self.free_slot(length)
            {
                let (from, to) = (usize::from(symbol) * stride, usize::from(slot) * stride);
                self.make_room(to + stride);
                self.bytes.copy_within(from..from + stride, to);
                self.parity[index].1 = slot;
            }
            self.put(symbol, payload, stride);
        } else if let Some(slot) = self.free_slot(length) {
            self.put(slot, payload, stride);
            self.parity.push((symbol, slot));
        }
        true
    }

    /// The slot of a source symbol that has not come, and in which no parity lies.
    fn free_slot(&self, length: u16) -> Option<u16> {
        let is_taken = |slot: &u16| self.parity.iter().any(|(_, other)| other == slot);
        (0..length).find(|slot| !self.has.contains(*slot) && !is_taken(slot))
    }

    fn make_room(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }

    /// Writes to a slot; what is left of it is zero, as the code takes it.
    fn put(&mut self, slot: u16, payload: &[u8], stride: usize) {
        let start = usize::from(slot) * stride;
        if start == self.bytes.len() {
            // The usual case, in which nothing is written twice.
            self.bytes.extend_from_slice(payload);
            self.make_room(start + stride);
            return;
        }
        self.make_room(start + stride);
        let (bytes, rest) = self.bytes[start..start + stride].split_at_mut(payload.len());
        bytes.copy_from_slice(payload);
        rest.fill(0);
    }

    /// How many symbols have come.
    pub(super) fn count(&self) -> u16 {
        self.source + u16::try_from(self.parity.len()).unwrap_or(u16::MAX)
    }

    /// The names of as many symbols as are missing: of parity, where there is enough of it.
    fn missing(&self, length: u16, parity: u16, count: u16) -> Vec<u16> {
        let lacks = |symbol: &u16| !self.has.contains(*symbol);
        let parity: Vec<_> = (length..length.saturating_add(parity).min(255))
            .filter(lacks)
            .collect();
        let explicit = usize::from(count).saturating_sub(parity.len());
        let source = (0..length).filter(lacks).take(explicit);
        let count = usize::from(count) - explicit;
        source.chain(parity.into_iter().take(count)).collect()
    }

    /// Makes the source symbols that are missing of the others, and tells how many those are.
    pub(super) fn decode(&mut self, length: u16, stride: usize, code: &Code) -> u16 {
        let made = length - self.source;
        if made == 0 {
            return 0;
        }
        let lost: Vec<_> = (0..length)
            .filter(|symbol| !self.has.contains(*symbol))
            .collect();
        self.make_room(usize::from(length) * stride);
        let source: Vec<_> = self.bytes.chunks(stride).collect();
        let came = (0..length).filter(|symbol| self.has.contains(*symbol));
        let came = came.map(|symbol| (usize::from(symbol), source[usize::from(symbol)]));
        let parity = self.parity.iter().take(lost.len());
        let parity =
            parity.map(|(symbol, slot)| (usize::from(*symbol), source[usize::from(*slot)]));
        let known: Vec<_> = came.chain(parity).collect();
        let mut decoded: Vec<_> = lost
            .iter()
            .map(|symbol| vec![0; source[usize::from(*symbol)].len()])
            .collect();
        let mut outputs: Vec<_> = lost
            .iter()
            .map(|symbol| usize::from(*symbol))
            .zip(decoded.iter_mut().map(Vec::as_mut_slice))
            .collect();
        code.decode(length.into(), &known, &mut outputs);
        for (symbol, bytes) in lost.iter().zip(&decoded) {
            let start = usize::from(*symbol) * stride;
            self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
            self.has.insert(*symbol);
        }
        self.source = length;
        self.parity = Vec::new();
        made
    }
}

/// What is asked for of an object.
pub(super) struct Asking<'a> {
    pub(super) number: Number,
    /// How many parity symbols a block has at most.
    pub(super) parity: u16,
    /// For how many blocks more of which nothing has come there is room.
    pub(super) room: usize,
    /// What others have asked for.
    pub(super) heard: &'a Wanted,
}

impl Asking<'_> {
    /// Asks for what is missing of `blocks`.
    // RFC 5740 §5.3: NACK content; parity where there is as much as is missing, and what was not
    // received of source otherwise.
    pub(super) fn blocks(
        &self,
        blocks: Range<u32>,
        open: &BTreeMap<u32, Open>,
        length: impl Fn(u32) -> u16,
        is_done: impl Fn(u32) -> bool,
        requests: &mut Requests,
    ) {
        let mut room = self.room;
        // Whole blocks side by side are asked for as one.
        let mut whole: Option<(u32, u32)> = None;
        let ask = |range: Option<(u32, u32)>, requests: &mut Requests| {
            if let Some((first, last)) = range {
                requests.blocks(self.number, first, last, length(first));
            }
        };
        let mut block = blocks.start;
        while block < blocks.end {
            if requests.is_full() {
                return;
            }
            let length = length(block);
            let part = open.get(&block);
            let missing = length - part.map_or(0, Open::count).min(length);
            let done = is_done(block);
            let wanted = !done && !self.heard.covers(self.number, block, missing);
            if part.is_none() && !done {
                // Objects may have millions of blocks; of those of which nothing has come, no more
                // are looked at than there is room for.
                if room == 0 {
                    ask(whole.take(), requests);
                    let Some((&next, _)) = open.range(block..blocks.end).next() else {
                        return;
                    };
                    block = next;
                    continue;
                }
                room -= 1;
            }
            match (part, &mut whole) {
                (None, Some((_, last))) if wanted && *last + 1 == block => *last = block,
                (None, _) if wanted => ask(whole.replace((block, block)), requests),
                (Some(part), _) if wanted => {
                    ask(whole.take(), requests);
                    let symbols = part.missing(length, self.parity, missing);
                    requests.symbols(self.number, block, length, symbols);
                }
                _ => {}
            }
            block += 1;
        }
        ask(whole, requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norm::fec::Variant;

    /// Parity lies in the slots of source symbols, and gives way to those that come after all.
    #[test]
    fn parity_gives_way_to_source() {
        const STRIDE: usize = 8;
        let source: Vec<Vec<u8>> = vec![vec![1; 8], vec![2; 8], vec![3; 8], vec![4; 3]];
        let mut code = Code::new(Variant::Nrl, 4);
        code.prepare(4, 3);
        let mut parity = [[0; STRIDE]; 3];
        let symbols: Vec<_> = source.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<_> = parity.iter_mut().map(|it| &mut it[..]).collect();
        code.encode(&symbols, 0, &mut outputs);
        let whole: Vec<u8> = source.iter().flat_map(|it| it.iter().copied()).collect();
        for order in [[4, 5, 0, 3], [4, 5, 6, 0], [6, 0, 1, 2], [4, 3, 5, 1]] {
            let mut open = Open::new(BytesMut::with_capacity(4 * STRIDE));
            let room = open.bytes.capacity();
            for symbol in order {
                let payload = match symbol {
                    0..=3 => &source[usize::from(symbol)][..],
                    _ => &parity[usize::from(symbol) - 4][..],
                };
                assert!(open.insert(symbol, payload, 4, STRIDE));
                assert!(!open.insert(symbol, payload, 4, STRIDE));
            }
            assert_eq!(open.count(), 4);
            open.decode(4, STRIDE, &code);
            assert_eq!(open.bytes[..whole.len()], whole, "{order:?}");
            assert!(open.bytes[whole.len()..].iter().all(|it| *it == 0));
            assert_eq!(open.bytes.capacity(), room, "no more than the source");
        }
    }

    #[test]
    fn the_memory_of_a_block_that_is_through_is_used_again() {
        let mut blocks = Blocks::new(3000);
        let mut block = blocks.take(1000);
        block.extend_from_slice(&[7; 900]);
        let block = blocks.give(block);
        let place = block.as_ptr();
        let held = blocks.take(1000);
        assert_ne!(held.as_ptr(), place, "the application has it yet");
        drop(block);
        let again = blocks.take(1000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        // Short ones have memory of their own, and longer ones replace what there was.
        let short = blocks.take(100);
        assert!(short.capacity() < 1000);
        let long = blocks.take(2000);
        let (short, long) = (blocks.give(short), blocks.give(long));
        let place = long.as_ptr();
        drop((short, long, blocks.give(again)));
        assert_eq!(blocks.take(1500).as_ptr(), place);
    }
}
