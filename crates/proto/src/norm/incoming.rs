//! An object on its way in: what has come of it, and what is missing.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::fec::Code;
use super::object::Number;
use super::object::{Layout, Symbols};
use super::repair::{Requests, Wanted};

/// An object, and what has come of it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) layout: Layout,
    pub(super) parity: u16,
    pub(super) code: Code,
    /// Whether there is information that has not come yet.
    pub(super) wants_info: bool,
    /// One bit for each block that is through, as far as any is.
    done: Vec<u64>,
    /// The first block that is not through.
    low: u32,
    count: u32,
    open: BTreeMap<u32, Open>,
}

/// A block of which some symbols have come.
#[derive(Debug)]
struct Open {
    bytes: BytesMut,
    has: Symbols,
    /// How many source symbols have come.
    source: u16,
    parity: Vec<(u16, Bytes)>,
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
            done: Vec::new(),
            low: 0,
            count: 0,
            open: BTreeMap::new(),
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.count >= self.layout.blocks() && !self.wants_info
    }

    /// How many bytes are kept of it.
    pub(super) fn memory(&self) -> usize {
        let open = self.open.len() * self.block_memory();
        open + self.done.len() * 8
    }

    /// How many bytes a block takes at most that is not through: as many symbols as it has source
    /// symbols, of which parity stands beside the room for source.
    fn block_memory(&self) -> usize {
        2 * usize::from(self.layout.segment()) * usize::from(self.layout.segments(0)) + 256
    }

    fn is_done(&self, block: u32) -> bool {
        let word = self.done.get((block / 64) as usize);
        word.is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// Takes in a symbol, with `room` bytes left for all that is not through.
    pub(super) fn take(&mut self, block: u32, symbol: u16, payload: &[u8], room: usize) -> Taken {
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
        let needed = self.block_memory() + (block as usize / 64 + 1) * 8;
        if !self.open.contains_key(&block) {
            if needed > room {
                return Taken::NoRoom;
            }
            let range = self.layout.bytes(block);
            let bytes = usize::try_from(range.end - range.start).unwrap_or(0);
            let open = Open {
                bytes: BytesMut::zeroed(bytes),
                has: Symbols::default(),
                source: 0,
                parity: Vec::new(),
            };
            self.open.insert(block, open);
        }
        let Some(open) = self.open.get_mut(&block) else {
            return Taken::NoRoom;
        };
        if !open.has.insert(symbol) {
            return Taken::Duplicate;
        }
        if symbol < length {
            let start = usize::from(symbol) * segment;
            open.bytes[start..start + payload.len()].copy_from_slice(payload);
            open.source += 1;
        } else {
            open.parity.push((symbol, Bytes::copy_from_slice(payload)));
        }
        if open.count() < length {
            return Taken::Kept;
        }
        let made = length - open.source;
        let Some(mut open) = self.open.remove(&block) else {
            return Taken::Kept;
        };
        if made > 0 {
            open.decode(length, segment, &self.code);
        }
        self.finish_block(block);
        Taken::Block(self.layout.bytes(block).start, open.bytes.freeze(), made)
    }

    fn finish_block(&mut self, block: u32) {
        let index = (block / 64) as usize;
        if self.done.len() <= index {
            self.done.resize(index + 1, 0);
        }
        self.done[index] |= 1 << (block % 64);
        self.count += 1;
        while self.low < self.layout.blocks() && self.is_done(self.low) {
            self.low += 1;
        }
    }

    /// Whether something is missing of the blocks before `end`.
    pub(super) fn lacks(&self, end: u32) -> bool {
        self.wants_info || self.low < end.min(self.layout.blocks())
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
        let end = end.min(self.layout.blocks());
        // No more is asked for than there is room for, since the sender would send it in vain.
        let mut room = (room / self.block_memory()).max(usize::from(self.open.is_empty()));
        let nothing = self.count == 0 && self.open.is_empty();
        if nothing && end == self.layout.blocks() && end > 0 && room >= end as usize {
            if !heard.covers(number, 0, u16::MAX) {
                requests.object(number);
            }
            return;
        }
        // Whole blocks side by side are asked for as one.
        let mut whole: Option<(u32, u32)> = None;
        let mut block = self.low;
        while block < end {
            if requests.is_full() {
                return;
            }
            let length = self.layout.segments(block);
            let open = self.open.get(&block);
            let missing = length - open.map_or(0, Open::count).min(length);
            let wanted = !self.is_done(block) && !heard.covers(number, block, missing);
            if open.is_none() && !self.is_done(block) {
                // Objects may have millions of blocks; of those of which nothing has come, no more
                // are looked at than there is room for.
                if room == 0 {
                    let next = self.open.range(block..end).next();
                    self.ask_blocks(number, whole.take(), requests);
                    let Some((&next, _)) = next else {
                        return;
                    };
                    block = next;
                    continue;
                }
                room -= 1;
            }
            match (open, &mut whole) {
                (None, Some((_, last))) if wanted && *last + 1 == block => *last = block,
                (None, _) if wanted => {
                    self.ask_blocks(number, whole.replace((block, block)), requests);
                }
                (Some(open), _) if wanted => {
                    self.ask_blocks(number, whole.take(), requests);
                    let symbols = open.missing(length, self.parity, missing);
                    requests.symbols(number, block, length, symbols);
                }
                _ => {}
            }
            block += 1;
        }
        self.ask_blocks(number, whole, requests);
    }

    fn ask_blocks(&self, number: Number, range: Option<(u32, u32)>, requests: &mut Requests) {
        if let Some((first, last)) = range {
            requests.blocks(number, first, last, self.layout.segments(first));
        }
    }
}

impl Open {
    fn count(&self) -> u16 {
        self.source + u16::try_from(self.parity.len()).unwrap_or(u16::MAX)
    }

    /// The names of as many symbols as are missing: of parity, where there is enough of it.
    fn missing(&self, length: u16, parity: u16, count: u16) -> Vec<u16> {
        let lacks = |symbol: &u16| !self.has.contains(*symbol);
        let parity: Vec<_> = (length..(length + parity).min(255)).filter(lacks).collect();
        let explicit = usize::from(count).saturating_sub(parity.len());
        let source = (0..length).filter(lacks).take(explicit);
        let count = usize::from(count) - explicit;
        source.chain(parity.into_iter().take(count)).collect()
    }

    fn decode(&mut self, length: u16, segment: usize, code: &Code) {
        let lost: Vec<_> = (0..length)
            .filter(|symbol| !self.has.contains(*symbol))
            .collect();
        let source: Vec<_> = self.bytes.chunks(segment).collect();
        let came = (0..length).filter(|symbol| self.has.contains(*symbol));
        let came = came.map(|symbol| (usize::from(symbol), source[usize::from(symbol)]));
        let parity = self.parity.iter().take(lost.len());
        let parity = parity.map(|(symbol, bytes)| (usize::from(*symbol), &bytes[..]));
        let known: Vec<_> = came.chain(parity).collect();
        let mut made: Vec<_> = lost
            .iter()
            .map(|symbol| vec![0; source[usize::from(*symbol)].len()])
            .collect();
        let mut outputs: Vec<_> = lost
            .iter()
            .map(|symbol| usize::from(*symbol))
            .zip(made.iter_mut().map(Vec::as_mut_slice))
            .collect();
        code.decode(length.into(), &known, &mut outputs);
        for (symbol, bytes) in lost.iter().zip(&made) {
            let start = usize::from(*symbol) * segment;
            self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
}
