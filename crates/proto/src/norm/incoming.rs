//! An object on its way in: what has come of it, and what is missing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::fec::Code;
use super::message::Fti;
use super::object::{Layout, Number};
use super::open::{Asking, Blocks, Open};
use super::repair::{Requests, Wanted};

/// An object, and what has come of it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) layout: Layout,
    pub(super) parity: u16,
    pub(super) code: Code,
    /// Whether there is information that has not come yet.
    pub(super) wants_info: bool,
    /// Whether nothing else is asked for, since the application has yet to say what it wants.
    pub(super) waits: bool,
    /// One bit for each block that is through, from the word of the first that is not as far as any
    /// is: of what is through without a gap nothing is kept.
    done: VecDeque<u64>,
    /// How many words of bits came before.
    past: u32,
    /// The first block that is not through.
    low: u32,
    count: u32,
    open: BTreeMap<u32, Open>,
}

/// What became of a symbol.
#[derive(Debug)]
pub(super) enum Taken {
    /// It was there already, or is not needed.
    Duplicate,
    /// There is no room for it.
    NoRoom,
    /// It contradicts what is known of the object.
    Wrong,
    Kept,
    /// It is kept, or made others of a stream ready: how many symbols were made of others.
    Decoded(u16),
    /// With it the block is through: where its bytes begin, the bytes, and how many symbols were
    /// made of others.
    Block(u64, Bytes, u16),
}

impl Incoming {
    pub(super) fn new(layout: Layout, parity: u16, code: Code, info: bool) -> Self {
        Self {
            layout,
            parity,
            code,
            wants_info: info,
            waits: false,
            done: VecDeque::new(),
            past: 0,
            low: 0,
            count: 0,
            open: BTreeMap::new(),
        }
    }

    /// Whether it is cut as `fti` says.
    pub(super) fn is_cut_by(&self, fti: &Fti) -> bool {
        let cut = (fti.length, fti.segment, fti.max_block, fti.parity);
        let layout = &self.layout;
        cut == (
            layout.length(),
            layout.segment(),
            layout.max_block(),
            self.parity,
        )
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.count >= self.layout.blocks() && !self.wants_info
    }

    /// How many bytes are kept of it.
    pub(super) fn memory(&self) -> usize {
        let open = self.open.len() * self.block_memory();
        open + self.done.len() * 8
    }

    /// How many bytes a block takes at most that is not through: parity lies where source is missing.
    fn block_memory(&self) -> usize {
        usize::from(self.layout.segment()) * usize::from(self.layout.segments(0)) + 256
    }

    /// Whether something of a block has come that is not through.
    pub(super) fn is_open(&self, block: u32) -> bool {
        self.open.contains_key(&block)
    }

    fn is_done(&self, block: u32) -> bool {
        let Some(index) = (block / 64).checked_sub(self.past) else {
            return true;
        };
        let word = self.done.get(index as usize);
        word.is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// Takes in a symbol, with `room` bytes left for all that is not through, in memory of `blocks`.
    pub(super) fn take(
        &mut self,
        block: u32,
        symbol: u16,
        payload: &[u8],
        room: usize,
        blocks: &mut Blocks,
    ) -> Taken {
        let segment = usize::from(self.layout.segment());
        if block >= self.layout.blocks() || symbol > 254 || payload.len() > segment {
            return Taken::Wrong;
        }
        let length = self.layout.segments(block);
        if symbol < length && payload.len() != self.layout.symbol_len(block, symbol) {
            return Taken::Wrong;
        }
        if self.is_done(block) {
            return Taken::Duplicate;
        }
        let longest = usize::from(self.layout.segments(0)) * segment;
        let needed = self.block_memory() + (block / 64 - self.past + 1) as usize * 8;
        let open = match self.open.entry(block) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if needed <= room => entry.insert(Open::new(blocks.take(longest))),
            Entry::Vacant(_) => return Taken::NoRoom,
        };
        if !open.insert(symbol, payload, length, segment) {
            return Taken::Duplicate;
        }
        if open.count() < length {
            return Taken::Kept;
        }
        let Some(mut open) = self.open.remove(&block) else {
            return Taken::Kept;
        };
        let made = open.decode(length, segment, &self.code);
        self.finish_block(block);
        let range = self.layout.bytes(block);
        let bytes = usize::try_from(range.end - range.start).unwrap_or(0);
        open.bytes.truncate(bytes);
        Taken::Block(range.start, blocks.give(open.bytes), made)
    }

    fn finish_block(&mut self, block: u32) {
        let index = (block / 64).saturating_sub(self.past) as usize;
        if self.done.len() <= index {
            self.done.resize(index + 1, 0);
        }
        self.done[index] |= 1 << (block % 64);
        self.count += 1;
        while self.low < self.layout.blocks() && self.is_done(self.low) {
            self.low += 1;
        }
        while self.past < self.low / 64 {
            self.done.pop_front();
            self.past += 1;
        }
    }

    /// Takes the blocks that lie wholly within `bytes` for received, and says how many bytes were not
    /// before.
    pub(super) fn have(&mut self, bytes: std::ops::Range<u64>) -> u64 {
        let mut had = 0;
        for block in self.layout.blocks_within(bytes) {
            if !self.is_done(block) {
                self.open.remove(&block);
                self.finish_block(block);
                let range = self.layout.bytes(block);
                had += range.end - range.start;
            }
        }
        had
    }

    /// Whether something is missing of the blocks before `end`.
    pub(super) fn lacks(&self, end: u32) -> bool {
        self.wants_info || self.low < end.min(self.layout.blocks())
    }

    /// Whether something is to be asked for of the blocks before `end`.
    pub(super) fn asks(&self, end: u32) -> bool {
        self.wants_info || !self.waits && self.lacks(end)
    }

    /// The first block that is not through.
    pub(super) const fn low(&self) -> u32 {
        self.low
    }

    /// Asks for what is missing of the blocks before `end` and not asked for by others. True where
    /// something was missing.
    // RFC 5740 §5.3: NACK content; parity where there is as much as is missing, and what was not
    // received of source otherwise.
    pub(super) fn ask(
        &self,
        number: Number,
        end: u32,
        room: usize,
        heard: &Wanted,
        requests: &mut Requests,
    ) {
        if self.wants_info && !heard.covers_info(number) {
            requests.info(number);
        }
        if self.waits {
            return;
        }
        let end = end.min(self.layout.blocks());
        // No more is asked for than there is room for, since the sender would send it in vain.
        let room = (room / self.block_memory()).max(usize::from(self.open.is_empty()));
        let nothing = self.count == 0 && self.open.is_empty();
        if nothing && end == self.layout.blocks() && end > 0 && room >= end as usize {
            if !heard.covers(number, 0, u16::MAX) {
                requests.object(number);
            }
            return;
        }
        let asking = Asking {
            number,
            parity: self.parity,
            room,
            heard,
        };
        let length = |block| self.layout.segments(block);
        let is_done = |block| self.is_done(block);
        asking.blocks(self.low..end, &self.open, length, is_done, requests);
    }
}
