//! The window of a stream on its way out: the blocks that can still be repaired, and the one that
//! is being filled.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::block_near;
use crate::norm::message::{FecId, StreamHeader};

/// The blocks of a stream that are kept.
#[derive(Clone, Debug)]
pub(in crate::norm) struct Window {
    /// The bytes of the stream in a segment.
    segment: usize,
    /// The symbols of a block.
    length: u16,
    fec: FecId,
    /// How many blocks are kept at most.
    capacity: usize,
    /// The number of the first that is kept.
    first: u32,
    full: VecDeque<Block>,
    /// The block after them, as far as it is filled.
    growing: BytesMut,
    /// Where it begins in the stream.
    start: u64,
    /// How many of its symbols may be sent.
    ready: u16,
    /// How many bytes the next symbol has already.
    partial: usize,
    /// What the next symbol will say of the message that begins in it.
    message: u16,
    /// Whether the next byte begins a message.
    begins: bool,
    /// The next byte.
    offset: u64,
    closed: bool,
}

/// A block that is full.
#[derive(Clone, Debug)]
struct Block {
    bytes: Bytes,
    /// Where it begins in the stream.
    start: u64,
    parity_sent: u8,
    /// When all of it had been sent once.
    sent: Option<Instant>,
}

impl Window {
    /// A window of `bytes`, but of four blocks at least.
    pub(in crate::norm) fn new(bytes: usize, segment: u16, length: u16, fec: FecId) -> Self {
        let block = usize::from(segment).max(1) * usize::from(length).max(1);
        Self {
            segment: segment.into(),
            length,
            fec,
            capacity: (bytes / block).clamp(4, 1 << 20),
            first: 0,
            full: VecDeque::new(),
            growing: BytesMut::new(),
            start: 0,
            ready: 0,
            partial: 0,
            message: 0,
            begins: false,
            offset: 0,
            closed: false,
        }
    }

    /// How many bytes a symbol has: a segment and its head.
    pub(in crate::norm) const fn stride(&self) -> usize {
        self.segment + StreamHeader::LEN
    }

    /// How many bytes of the stream it keeps at most.
    pub(in crate::norm) fn bytes(&self) -> u64 {
        (self.capacity * usize::from(self.length) * self.segment) as u64
    }

    pub(in crate::norm) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(in crate::norm) const fn first(&self) -> u32 {
        self.first
    }

    /// How many symbols a block has.
    pub(in crate::norm) const fn length(&self) -> u16 {
        self.length
    }

    /// The last symbol of a block.
    pub(in crate::norm) const fn last_symbol(&self) -> u16 {
        self.length - 1
    }

    /// The number of the block that is being filled, and how many of its symbols may be sent.
    pub(in crate::norm) fn ready(&self) -> (u32, u16) {
        (self.current(), self.ready)
    }

    fn current(&self) -> u32 {
        // The window has a million blocks at most, and `write` ends before numbers do.
        self.first + u32::try_from(self.full.len()).unwrap_or(0)
    }

    pub(in crate::norm) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether there is no room for another block.
    pub(in crate::norm) fn is_full(&self) -> bool {
        self.full.len() >= self.capacity
    }

    /// Whether no block can follow, since it could not be numbered.
    pub(in crate::norm) fn is_at_end(&self) -> bool {
        self.current() >= u32::MAX - 2
    }

    /// Takes as many bytes as there is room for, and tells how many.
    pub(in crate::norm) fn write(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed && !self.is_full() && !self.is_at_end() {
            if std::mem::take(&mut self.begins) && self.message == 0 {
                self.message = u16::try_from(self.partial + 1).unwrap_or(0);
            }
            self.make_room();
            let (now, later) = rest.split_at(rest.len().min(self.segment - self.partial));
            let at = usize::from(self.ready) * self.stride() + StreamHeader::LEN + self.partial;
            self.growing[at..at + now.len()].copy_from_slice(now);
            self.partial += now.len();
            self.offset += now.len() as u64;
            rest = later;
            if self.partial == self.segment {
                self.push();
            }
        }
        bytes.len() - rest.len()
    }

    /// The next byte begins a message of the application.
    pub(in crate::norm) const fn begin_message(&mut self) {
        self.begins = true;
    }

    /// Lets the symbol be sent that is being filled, however short it is. False where there is none.
    pub(in crate::norm) fn push(&mut self) -> bool {
        let is_open = self.partial > 0;
        if is_open {
            let offset = self.offset - self.partial as u64;
            let header = StreamHeader {
                length: u16::try_from(self.partial).unwrap_or(u16::MAX),
                message: std::mem::take(&mut self.message),
                offset: low_bits(offset),
            };
            self.end_symbol(header);
        }
        is_open
    }

    /// Ends the stream. For its last symbol there is always room. With `parity`, the end is said
    /// until the block is full, since of a part of a block there is none.
    pub(in crate::norm) fn close(&mut self, parity: bool) {
        if !self.closed {
            self.push();
            self.end_symbol(StreamHeader::end(low_bits(self.offset)));
            while parity && self.ready > 0 {
                self.end_symbol(StreamHeader::end(low_bits(self.offset)));
            }
            self.closed = true;
        }
    }

    fn make_room(&mut self) {
        let size = usize::from(self.length) * self.stride();
        self.growing.resize(size, 0);
    }

    fn end_symbol(&mut self, header: StreamHeader) {
        self.make_room();
        let at = usize::from(self.ready) * self.stride();
        self.growing[at..at + StreamHeader::LEN].copy_from_slice(&header.emit());
        self.partial = 0;
        self.ready += 1;
        if self.ready == self.length {
            self.full.push_back(Block {
                bytes: std::mem::take(&mut self.growing).freeze(),
                start: self.start,
                parity_sent: 0,
                sent: None,
            });
            (self.start, self.ready) = (self.offset, 0);
        }
    }

    fn index(&self, block: u32) -> Option<usize> {
        usize::try_from(block.checked_sub(self.first)?).ok()
    }

    /// The symbols of a block that may be sent, a stride each.
    pub(in crate::norm) fn source(&self, block: u32) -> Option<Bytes> {
        if block == self.current() {
            let length = usize::from(self.ready) * self.stride();
            return Some(Bytes::copy_from_slice(self.growing.get(..length)?));
        }
        Some(self.full.get(self.index(block)?)?.bytes.clone())
    }

    /// The head of a symbol that may be sent.
    fn header(&self, block: u32, symbol: u16) -> Option<StreamHeader> {
        let bytes = match self.full.get(self.index(block)?) {
            Some(block) => &block.bytes[..],
            None if block == self.current() => &self.growing[..],
            None => return None,
        };
        let at = usize::from(symbol) * self.stride();
        let (header, _) = StreamHeader::parse(bytes.get(at..at + self.stride())?).ok()?;
        Some(header)
    }

    /// How many bytes a source symbol has on the wire.
    pub(in crate::norm) fn symbol_len(&self, block: u32, symbol: u16) -> usize {
        let header = self.header(block, symbol);
        StreamHeader::LEN + header.map_or(0, |header| usize::from(header.length))
    }

    /// How many bytes of the stream there are up to the end of a symbol.
    pub(in crate::norm) fn offset_after(&self, block: u32, symbol: u16) -> Option<u64> {
        let header = self.header(block, symbol)?;
        let start = match self.full.get(self.index(block)?) {
            Some(block) => block.start,
            None => self.start,
        };
        let ahead = header.offset.wrapping_sub(low_bits(start));
        Some(start + u64::from(ahead) + u64::from(header.length))
    }

    pub(in crate::norm) fn parity_sent(&mut self, block: u32) -> Option<&mut u8> {
        let index = self.index(block)?;
        Some(&mut self.full.get_mut(index)?.parity_sent)
    }

    /// Takes note that all of a block was sent.
    pub(in crate::norm) fn sent(&mut self, block: u32, now: Instant) {
        if let Some(index) = self.index(block)
            && let Some(block) = self.full.get_mut(index)
        {
            block.sent.get_or_insert(now);
        }
    }

    /// When the first block had been sent.
    pub(in crate::norm) fn first_sent(&self) -> Option<Instant> {
        self.full.front()?.sent
    }

    /// Forgets the first block.
    pub(in crate::norm) fn release(&mut self) {
        if self.full.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// The number of a block that is called `block` on the wire.
    pub(in crate::norm) fn number(&self, block: u32) -> Option<u32> {
        block_near(block, self.current(), self.fec)
    }

    /// The blocks from `first` to `last`, as they are called on the wire, that are kept, and whether
    /// some of them are not kept any more.
    pub(in crate::norm) fn kept(&self, first: u32, last: u32) -> (Option<(u32, u32)>, bool) {
        let near = self.current();
        let number = |block| self.number(block);
        let gone = number(first).is_none_or(|block| block < self.first);
        let first = number(first).map_or(self.first, |block| block.max(self.first));
        let last = number(last).map_or(0, |block| block.min(near));
        ((first <= last).then_some((first, last)), gone)
    }
}

/// How an offset is said: its low 32 bits.
const fn low_bits(offset: u64) -> u32 {
    (offset & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four blocks of two symbols of ten bytes.
    fn window() -> Window {
        Window::new(0, 10, 2, FecId::ReedSolomon8)
    }

    #[test]
    fn bytes_are_taken_as_there_is_room() {
        let mut window = window();
        assert_eq!(window.write(&[1; 25]), 25);
        assert_eq!(window.ready(), (1, 0), "five bytes wait for more");
        window.push();
        assert_eq!(window.ready(), (1, 1));
        assert_eq!(window.symbol_len(1, 0), 13);
        assert_eq!(window.offset_after(1, 0), Some(25));
        assert_eq!(window.write(&[2; 100]), 50);
        assert_eq!(window.write(&[2; 100]), 0, "it is full");
        window.release();
        assert_eq!(window.write(&[3; 100]), 20);
        assert_eq!(window.offset_after(4, 1), Some(95));
        assert_eq!(window.offset_after(0, 0), None);
        window.close(false);
        assert_eq!(window.ready(), (5, 1), "the end has room");
        assert_eq!(window.write(&[4]), 0);
    }

    #[test]
    fn a_message_begins_where_it_was_said() {
        let mut window = window();
        window.write(&[1; 3]);
        window.begin_message();
        window.write(&[2; 3]);
        window.begin_message();
        window.write(&[3; 30]);
        let message = |block, symbol| window.header(block, symbol).map(|header| header.message);
        assert_eq!(message(0, 0), Some(4), "the first of two");
        assert_eq!(message(0, 1), Some(0));
    }

    #[test]
    fn what_is_kept_is_told() {
        let mut window = window();
        window.write(&[1; 80]);
        window.release();
        assert_eq!(window.kept(0, 0), (None, true));
        assert_eq!(window.kept(0, 2), (Some((1, 2)), true));
        assert_eq!(window.kept(2, 9), (Some((2, 4)), false));
        assert_eq!(window.kept(9, 9), (None, false));
    }

    /// Numbers of blocks go round on the wire after 2²⁴; neither end notices.
    #[test]
    fn numbers_go_round() {
        use crate::norm::fec::{Code, Variant};
        use crate::norm::message::Fti;
        use crate::norm::stream::{Inflow, Told};

        let mut window = window();
        window.first = 0x00ff_fffe;
        let fti = Fti {
            segment: 10,
            max_block: 2,
            ..Fti::default()
        };
        let code = Code::new(Variant::Nrl, 2);
        let stream = Inflow::new(&fti, FecId::ReedSolomon8, code, false, false, false);
        let (mut stream, mut told) = (stream.expect("it can be cut so"), Vec::new());
        for round in 0..3_u8 {
            assert_eq!(window.write(&[round; 80]), 80);
            for _ in 0..4 {
                let block = window.first();
                let source = window.source(block).expect("it is kept");
                let on_wire = block & 0x00ff_ffff;
                assert_eq!(window.kept(on_wire, on_wire), (Some((block, block)), false));
                for symbol in [1, 0] {
                    let at = usize::from(symbol) * 18;
                    let number = stream.block(on_wire).expect("it is near");
                    stream.take(number, symbol, &source[at..at + 18], 10_000, &mut told);
                }
                window.release();
            }
        }
        assert_eq!(window.first(), 0x0100_000a);
        let bytes: Vec<_> = told
            .iter()
            .flat_map(|told| match told {
                Told::Bytes(_, bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(bytes.len(), 240);
        assert_eq!((bytes[79], bytes[80], bytes[239]), (0, 1, 2));
    }
}
