//! A stream on its way in: its bytes are handed out in order, and what is missing for good is told.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::block_near;
use crate::norm::fec::Code;
use crate::norm::incoming::Taken;
use crate::norm::message::{FecId, Fti, StreamHeader};
use crate::norm::object::Number;
use crate::norm::open::{Asking, Open};
use crate::norm::repair::{Requests, Wanted};

/// How many blocks may begin after one of which something is missing, until it is given up by who
/// cannot ask: as far as datagrams overtake each other.
const PATIENCE: u32 = 2;

/// A stream, and what has come of it.
#[derive(Debug)]
pub(in crate::norm) struct Inflow {
    segment: u16,
    /// The symbols of a block.
    length: u16,
    parity: u16,
    fec: FecId,
    code: Code,
    /// Whether there is information that has not come yet.
    pub(in crate::norm) wants_info: bool,
    /// Whether all is wanted that the sender still has, or what is sent from now on.
    earlier: bool,
    /// Whether nothing can be asked for.
    silent: bool,
    joined: bool,
    /// The block and the symbol that are handed out next.
    next: (u32, u16),
    /// All symbols before this one were sent, as far as is known.
    seen: (u32, u16),
    /// The next byte of the stream; the first segment tells where it begins.
    offset: Option<u64>,
    open: BTreeMap<u32, Open>,
    ended: bool,
}

/// What is told of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::norm) enum Told {
    /// Bytes, and where they begin.
    Bytes(u64, Bytes),
    /// A message of the application begins at this byte.
    Message(u64),
    /// Bytes from the first to the second are missing, for good.
    Gap(u64, u64),
    /// A segment contradicts the others.
    Wrong,
}

impl Inflow {
    /// `None` where a stream cannot be cut so.
    pub(in crate::norm) fn new(
        fti: &Fti,
        fec: FecId,
        code: Code,
        info: bool,
        earlier: bool,
        silent: bool,
    ) -> Option<Self> {
        let longest = usize::from(u16::MAX) - StreamHeader::LEN;
        let possible =
            (1..=longest).contains(&usize::from(fti.segment)) && (1..=254).contains(&fti.max_block);
        possible.then_some(Self {
            segment: fti.segment,
            length: fti.max_block,
            parity: fti.parity,
            fec,
            code,
            wants_info: info,
            earlier,
            silent,
            joined: false,
            next: (0, 0),
            seen: (0, 0),
            offset: None,
            open: BTreeMap::new(),
            ended: false,
        })
    }

    /// Whether it is cut as `fti` says. The length of a stream is that of its sender's window, and
    /// says nothing here.
    pub(in crate::norm) fn is_cut_by(&self, fti: &Fti) -> bool {
        (fti.segment, fti.max_block, fti.parity) == (self.segment, self.length, self.parity)
    }

    fn stride(&self) -> usize {
        usize::from(self.segment) + StreamHeader::LEN
    }

    /// Whether its end was handed out, and its information, unless that cannot be asked for.
    pub(in crate::norm) const fn is_ended(&self) -> bool {
        self.ended && (self.silent || !self.wants_info)
    }

    pub(in crate::norm) const fn segment(&self) -> u16 {
        self.segment
    }

    /// The first block of which something was not handed out.
    pub(in crate::norm) const fn low(&self) -> u32 {
        self.next.0
    }

    /// How many bytes are kept of it.
    pub(in crate::norm) fn memory(&self) -> usize {
        self.open.len() * self.block_memory()
    }

    fn block_memory(&self) -> usize {
        self.stride() * usize::from(self.length) + 256
    }

    /// The block that is called so on the wire.
    pub(in crate::norm) fn block(&self, block: u32) -> Option<u32> {
        if !self.joined {
            return Some(block);
        }
        block_near(block, self.next.0, self.fec)
    }

    /// The first that is heard of where the sender is: from here on the stream is wanted, or from
    /// its beginning.
    fn join(&mut self, block: u32) {
        if !self.joined {
            self.joined = true;
            let first = if self.earlier { 0 } else { block };
            (self.next, self.seen) = ((first, 0), (first, 0));
        }
    }

    /// The sender has sent all before a symbol.
    pub(in crate::norm) fn saw(&mut self, block: u32, symbol: u16) {
        self.join(block);
        self.seen = self.seen.max((block, symbol.min(self.length)));
    }

    /// Takes in a symbol, with `room` bytes left for all that is not through, and tells what it
    /// makes ready.
    pub(in crate::norm) fn take(
        &mut self,
        block: u32,
        symbol: u16,
        payload: &[u8],
        room: usize,
        told: &mut Vec<Told>,
    ) -> Taken {
        let (length, stride) = (self.length, self.stride());
        let source = symbol < length;
        if symbol > 254 || payload.len() > stride || source && payload.len() < StreamHeader::LEN {
            return Taken::Wrong;
        }
        self.join(block);
        if block < self.next.0 || self.ended {
            return Taken::Duplicate;
        }
        if !self.open.contains_key(&block) {
            if self.block_memory() > room {
                // What comes first is handed out first, so that there is room for the rest.
                match self.open.last_key_value() {
                    Some((&last, _)) if last > block => self.open.remove(&last),
                    _ => return Taken::NoRoom,
                };
            }
            let bytes = usize::from(length) * stride;
            self.open
                .insert(block, Open::new(BytesMut::with_capacity(bytes)));
        }
        let Some(open) = self.open.get_mut(&block) else {
            return Taken::NoRoom;
        };
        if open.count() >= length || !open.insert(symbol, payload, length, stride) {
            return Taken::Duplicate;
        }
        let mut made = 0;
        if open.count() >= length {
            made = open.decode(length, stride, &self.code);
        }
        self.hand_out(told);
        let behind = block.saturating_sub(PATIENCE);
        if self.silent && self.next.0 < behind {
            self.skip_to(behind, told);
        }
        Taken::Decoded(made)
    }

    /// Hands out what has come in order.
    fn hand_out(&mut self, told: &mut Vec<Told>) {
        while !self.ended {
            let (block, symbol) = self.next;
            if symbol >= self.length {
                self.open.remove(&block);
                self.next = (block.saturating_add(1), 0);
                continue;
            }
            let has = |open: &Open| open.has.contains(symbol);
            if !self.open.get(&block).is_some_and(has) {
                return;
            }
            self.hand_out_symbol(block, symbol, told);
            self.next = (block, symbol + 1);
        }
        self.open.clear();
    }

    fn hand_out_symbol(&mut self, block: u32, symbol: u16, told: &mut Vec<Told>) {
        let start = usize::from(symbol) * self.stride();
        let open = self.open.get(&block);
        let segment = open.and_then(|open| open.bytes.get(start..start + self.stride()));
        let Some(Ok((header, bytes))) = segment.map(StreamHeader::parse) else {
            told.push(Told::Wrong);
            return;
        };
        let expected = self.offset.unwrap_or(0);
        let missing = header.offset.wrapping_sub((expected & 0xffff_ffff) as u32);
        // An offset before the expected one cannot be told from one far behind it.
        if self.offset.is_some() && missing > u32::MAX / 2 {
            told.push(Told::Wrong);
            return;
        }
        let at = expected + u64::from(missing);
        if missing > 0 {
            told.push(Told::Gap(expected, at));
        }
        if header.message > 0 && header.message <= header.length {
            told.push(Told::Message(at + u64::from(header.message) - 1));
        }
        if header.length > 0 {
            told.push(Told::Bytes(at, Bytes::copy_from_slice(bytes)));
        }
        self.offset = Some(at + u64::from(header.length));
        self.ended = header.is_end();
    }

    /// Hands out what has come of the first block, and wants no more of it.
    fn give_up_first(&mut self, told: &mut Vec<Told>) {
        let (block, first) = self.next;
        for symbol in first..self.length {
            let has = |open: &Open| open.has.contains(symbol);
            if !self.ended && self.open.get(&block).is_some_and(has) {
                self.hand_out_symbol(block, symbol, told);
            }
        }
        self.open.remove(&block);
        self.next = (block.saturating_add(1), 0);
    }

    /// Wants nothing more before a block: what has come is handed out, and the rest is missing.
    pub(in crate::norm) fn skip_to(&mut self, block: u32, told: &mut Vec<Told>) {
        self.join(block);
        while self.next.0 < block && !self.ended {
            self.give_up_first(told);
            // Blocks of which nothing has come are passed over as one.
            let has = self.open.keys().next().copied().unwrap_or(block);
            if has > self.next.0 {
                self.next = (has.min(block), 0);
            }
        }
        self.seen = self.seen.max(self.next);
        self.hand_out(told);
    }

    /// Nothing more will come.
    pub(in crate::norm) fn end(&mut self, told: &mut Vec<Told>) {
        if let Some((&last, _)) = self.open.last_key_value() {
            self.skip_to(last.saturating_add(1), told);
        }
    }

    /// Whether something is missing of what was sent.
    pub(in crate::norm) fn lacks(&self) -> bool {
        self.wants_info || !self.ended && self.next < self.seen
    }

    /// Whether something is missing up to a symbol.
    pub(in crate::norm) fn lacks_until(&self, block: u32, symbol: u16) -> bool {
        self.wants_info || !self.ended && self.next <= (block, symbol)
    }

    /// Asks for what is missing and not asked for by others.
    // RFC 5740 §5.3: NACK content. Of a block that the sender is still filling there is no parity:
    // its symbols are named.
    pub(in crate::norm) fn ask(
        &self,
        number: Number,
        room: usize,
        heard: &Wanted,
        requests: &mut Requests,
    ) {
        if self.wants_info && !heard.covers_info(number) {
            requests.info(number);
        }
        if self.ended || !self.joined {
            return;
        }
        // For the first there is always room: others give way to it.
        let waits = !self.open.contains_key(&self.next.0);
        let room = (room / self.block_memory()).max(usize::from(waits));
        let asking = Asking {
            number,
            parity: self.parity,
            room,
            heard,
        };
        let is_done = |block| {
            let count = self.open.get(&block).map(Open::count);
            count.is_some_and(|count| count >= self.length)
        };
        let (last, end) = self.seen;
        let length = |_| self.length;
        asking.blocks(self.next.0..last, &self.open, length, is_done, requests);
        if end == 0 || last < self.next.0 || is_done(last) {
            return;
        }
        let open = self.open.get(&last);
        let first = if last == self.next.0 { self.next.1 } else { 0 };
        let lacks = |symbol: &u16| open.is_none_or(|open| !open.has.contains(*symbol));
        let missing: Vec<_> = (first..end).filter(lacks).collect();
        let count = u16::try_from(missing.len()).unwrap_or(u16::MAX);
        if count > 0 && !heard.covers(number, last, count) {
            requests.symbols(number, last, self.length, missing);
        }
    }
}
