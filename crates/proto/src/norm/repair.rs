//! What is missing and what was asked for: the same set at both ends.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::message::{FecId, Form, Item, PayloadId, Request};
use super::object::{Number, Symbols, id_of, number};
use crate::random::Random;

/// How many blocks a set names one by one at most.
const MOST_BLOCKS: usize = 4096;
/// How many objects a set names at most.
const MOST_OBJECTS: usize = 1024;
/// How many items or ranges are read of what one receiver asks for: more than fit into a datagram of
/// Ethernet, and few enough that nobody takes much time by a long one.
const MOST_ITEMS: usize = 1024;
/// How many ranges of whole blocks a set names of one object at most.
const MOST_RANGES: usize = 256;

/// More symbols than any block has: all of them.
pub(super) const WHOLE: u16 = u16::MAX;

/// A random time to wait before asking, up to `most`, so distributed that few of `group_size` ask
/// early.
// RFC 5401 §3.2.3: truncated exponential back-off.
pub(super) fn backoff(random: &mut Random, most: Duration, group_size: u64) -> Duration {
    let lambda = (group_size.max(1) as f64).ln() + 1.0;
    let share = (random.unit() * (lambda.exp() - 1.0)).ln_1p() / lambda;
    most.mul_f64(share.clamp(0.0, 1.0))
}

/// With what a block was repaired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repair {
    /// The symbols that were sent.
    pub(super) symbols: Symbols,
    /// How many of them are parity that was never sent before, which serves all who miss something;
    /// [`WHOLE`] where all of the block was sent.
    pub(super) fresh: u16,
}

/// What receivers ask for, or would.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    objects: BTreeMap<Number, WantedObject>,
    blocks: usize,
}

/// What is wanted of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedObject {
    pub(super) info: bool,
    /// All of it.
    pub(super) whole: bool,
    /// Whole blocks: first and last of each range, both included; ranges do not overlap.
    ranges: BTreeMap<u32, u32>,
    /// Symbols of blocks; the set counts those of all objects.
    blocks: BTreeMap<u32, WantedBlock>,
}

/// What is wanted of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedBlock {
    /// How many symbols the receiver misses that misses the most.
    pub(super) count: u16,
    /// Which symbols were named.
    pub(super) named: Symbols,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.objects.clear();
        self.blocks = 0;
    }

    pub(super) fn first(&mut self) -> Option<(Number, &mut WantedObject)> {
        let (number, object) = self.objects.iter_mut().next()?;
        Some((*number, object))
    }

    /// Takes out what is wanted of a block by symbols.
    pub(super) fn take_block(&mut self, number: Number, block: u32) -> Option<WantedBlock> {
        let wanted = self.objects.get_mut(&number)?.blocks.remove(&block)?;
        self.blocks = self.blocks.saturating_sub(1);
        Some(wanted)
    }

    pub(super) fn remove(&mut self, number: Number) {
        if let Some(object) = self.objects.remove(&number) {
            self.blocks = self.blocks.saturating_sub(object.blocks.len());
        }
    }

    fn object(&mut self, number: Number) -> Option<&mut WantedObject> {
        if self.objects.len() >= MOST_OBJECTS && !self.objects.contains_key(&number) {
            return None;
        }
        Some(self.objects.entry(number).or_default())
    }

    /// Adds what one receiver asks for. `near` is the number of an object near to those that are
    /// meant; objects that are not `known` are passed over. `blocks` gives the numbers of the blocks
    /// of an object from the first to the last, as they are called on the wire, as far as there are
    /// such, and whether some are kept no more. True where something of what is asked for is not.
    // RFC 5740 §5.4: aggregation of NACK content.
    pub(super) fn add(
        &mut self,
        requests: &[Request],
        near: Number,
        known: std::ops::Range<Number>,
        blocks: impl Fn(Number, u32, u32) -> (Option<(u32, u32)>, bool),
    ) -> bool {
        let mut gone = false;
        // What one receiver wants of a block may be said by several items.
        let mut mine: BTreeMap<(Number, u32), WantedBlock> = BTreeMap::new();
        let mut objects = 2 * MOST_OBJECTS;
        let ranges = requests
            .iter()
            .flat_map(|request| request.ranges().map(move |range| (request, range)));
        for (request, (first, last)) in ranges.take(MOST_ITEMS) {
            let (start, end) = (number(first.object, near), number(last.object, near));
            if !known.contains(&start) {
                gone |= start < known.start;
                continue;
            }
            if request.flags & (Request::INFO | Request::OBJECT) != 0 {
                for number in start..=end.min(start + MOST_OBJECTS as u64) {
                    if !known.contains(&number) || objects == 0 {
                        break;
                    }
                    objects -= 1;
                    let Some(object) = self.object(number) else {
                        break;
                    };
                    object.info |= request.flags & Request::INFO != 0;
                    object.whole |= request.flags & Request::OBJECT != 0;
                }
            }
            if request.flags & (Request::BLOCK | Request::SEGMENT) == 0 {
                continue;
            }
            let whole = request.flags & Request::BLOCK != 0;
            let end = if whole { last.id.block } else { first.id.block };
            let (range, some_gone) = blocks(start, first.id.block, end);
            gone |= some_gone;
            let Some((low, high)) = range else {
                continue;
            };
            if whole {
                if let Some(object) = self.object(start) {
                    object.add_range(low, high);
                }
            } else {
                if mine.len() >= MOST_BLOCKS {
                    continue;
                }
                let block = mine.entry((start, low)).or_default();
                if request.form == Form::Erasures {
                    block.count = block.count.max(first.id.symbol.min(255));
                    continue;
                }
                for symbol in first.id.symbol..=last.id.symbol.min(255) {
                    block.count += u16::from(block.named.insert(symbol));
                }
            }
        }
        for ((number, at), block) in mine {
            if self.blocks < MOST_BLOCKS
                && let Some(object) = self.object(number)
            {
                let before = object.blocks.len();
                let all = object.blocks.entry(at).or_default();
                all.count = all.count.max(block.count);
                all.named.union(&block.named);
                let added = object.blocks.len() - before;
                self.blocks += added;
            }
        }
        gone
    }

    /// Adds what `other` has.
    pub(super) fn merge(&mut self, other: &Self) {
        for (&number, wanted) in &other.objects {
            let room = MOST_BLOCKS.saturating_sub(self.blocks);
            let Some(object) = self.object(number) else {
                continue;
            };
            object.info |= wanted.info;
            object.whole |= wanted.whole;
            for (first, last) in &wanted.ranges {
                object.add_range(*first, *last);
            }
            let before = object.blocks.len();
            for (at, block) in wanted.blocks.iter().take(room) {
                let all = object.blocks.entry(*at).or_default();
                all.count = all.count.max(block.count);
                all.named.union(&block.named);
            }
            let added = object.blocks.len() - before;
            self.blocks += added;
        }
    }

    /// The objects of which something is wanted.
    pub(super) fn objects(&self) -> impl Iterator<Item = Number> {
        self.objects.keys().copied()
    }

    /// Keeps what is wanted of the objects that `is_kept` is true of.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Number) -> bool) {
        let gone: Vec<_> = self.objects().filter(|number| !is_kept(*number)).collect();
        gone.into_iter().for_each(|number| self.remove(number));
    }

    /// Takes out of what is wanted of a block what was sent since.
    pub(super) fn take_out(&mut self, number: Number, block: u32, repair: &Repair) {
        let Some(object) = self.objects.get_mut(&number) else {
            return;
        };
        if let Some(wanted) = object.blocks.get_mut(&block) {
            let all_are_named = wanted.named.count() >= wanted.count;
            wanted.count = wanted.count.saturating_sub(repair.fresh);
            wanted.named.subtract(&repair.symbols);
            // Who named what they miss need no more than those of them that were not sent.
            if all_are_named {
                wanted.count = wanted.count.min(wanted.named.count());
            }
            if wanted.count == 0 {
                object.blocks.remove(&block);
                self.blocks = self.blocks.saturating_sub(1);
            }
        }
        if repair.fresh == WHOLE {
            object.take_out(block);
        }
        if object.is_empty() {
            self.objects.remove(&number);
        }
    }

    /// Takes out what was answered, as far as that is fresh.
    pub(super) fn take_out_answered(
        &mut self,
        answered: &BTreeMap<(Number, u32), (Repair, Instant)>,
        fresh: impl Fn((Number, u32), Instant) -> bool,
    ) {
        let mut repairs = Vec::new();
        for (&number, object) in &self.objects {
            let single = object.blocks.keys().map(|block| (*block, *block));
            let ranges = object.ranges.iter().map(|(first, last)| (*first, *last));
            for (first, last) in single.chain(ranges) {
                let answered = answered.range((number, first)..=(number, last));
                let fresh = answered.filter(|(place, (_, at))| fresh(**place, *at));
                repairs
                    .extend(fresh.map(|((number, block), (repair, _))| (*number, *block, *repair)));
            }
        }
        for (number, block, repair) in repairs {
            self.take_out(number, block, &repair);
        }
    }

    /// The next blocks of which something is wanted, in order, at most so many.
    pub(super) fn next_blocks(&self, most: usize) -> Vec<(Number, u32)> {
        let mut next = Vec::new();
        for (&number, object) in &self.objects {
            let parts = object.blocks.keys().copied();
            let whole = object
                .ranges
                .iter()
                .flat_map(|(first, last)| *first..=*last);
            let mut blocks: Vec<_> = parts.take(most).chain(whole.take(most)).collect();
            blocks.sort_unstable();
            next.extend(blocks.into_iter().map(|block| (number, block)));
            if next.len() >= most {
                next.truncate(most);
                break;
            }
        }
        next
    }

    /// Whether `count` symbols of a block are asked for already, or more.
    pub(super) fn covers(&self, number: Number, block: u32, count: u16) -> bool {
        let Some(object) = self.objects.get(&number) else {
            return false;
        };
        let named = object.blocks.get(&block);
        object.whole || object.has(block) || named.is_some_and(|block| block.count >= count)
    }

    /// The first place of which something is wanted, and about how many symbols are in all.
    pub(super) fn extent(&self) -> Option<((Number, u32), u64)> {
        let (&number, first) = self.objects.first_key_value()?;
        let block = match first.whole || first.info {
            true => 0,
            false => first.first_block().map_or(0, |(block, _)| block),
        };
        let symbols = self.objects.values().map(WantedObject::symbols).sum();
        Some(((number, block), symbols))
    }

    /// Whether something of a block is asked for.
    pub(super) fn wants(&self, number: Number, block: u32) -> bool {
        let object = self.objects.get(&number);
        object.is_some_and(|object| object.has(block) || object.blocks.contains_key(&block))
    }

    /// Whether the information on an object is asked for already.
    pub(super) fn covers_info(&self, number: Number) -> bool {
        self.objects.get(&number).is_some_and(|object| object.info)
    }

    /// What is wanted as requests, as far as they fit into `room` bytes; false where more is.
    pub(super) fn requests(&self, fec: FecId, room: usize) -> (Vec<Request>, bool) {
        let mut requests = Requests::new(fec, room);
        for (number, object) in &self.objects {
            if requests.is_full() {
                break;
            }
            if object.info {
                requests.info(*number);
            }
            if object.whole {
                requests.object(*number);
                continue;
            }
            for (first, last) in &object.ranges {
                requests.blocks(*number, *first, *last, 0);
            }
            for (at, block) in &object.blocks {
                if requests.is_full() {
                    break;
                }
                let named = (0..256).filter(|symbol| block.named.contains(*symbol));
                requests.symbols(*number, *at, 0, named);
            }
        }
        requests.finish()
    }
}

impl WantedObject {
    pub(super) fn is_empty(&self) -> bool {
        !self.info && !self.whole && self.ranges.is_empty() && self.blocks.is_empty()
    }

    /// About how many symbols are wanted: a whole block counts as the longest that there is.
    fn symbols(&self) -> u64 {
        let whole = self
            .ranges
            .iter()
            .map(|(first, last)| u64::from(last - first) + 1);
        let blocks = whole.sum::<u64>() + if self.whole { u64::from(u32::MAX) } else { 0 };
        let named: u64 = self
            .blocks
            .values()
            .map(|block| u64::from(block.count))
            .sum();
        blocks * 256 + named + u64::from(self.info)
    }

    pub(super) fn add_range(&mut self, first: u32, last: u32) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // Those that overlap or touch become one.
        while let Some((&start, &end)) = self
            .ranges
            .range(..=last.saturating_add(1))
            .next_back()
            .filter(|(_, end)| end.saturating_add(1) >= first)
        {
            self.ranges.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        if self.ranges.len() < MOST_RANGES {
            self.ranges.insert(first, last);
        }
    }

    /// Takes a block out of the ranges of whole blocks.
    fn take_out(&mut self, block: u32) {
        let range = self.ranges.range(..=block).next_back();
        let Some((&first, &last)) = range.filter(|(_, last)| **last >= block) else {
            return;
        };
        self.ranges.remove(&first);
        if first < block {
            self.ranges.insert(first, block - 1);
        }
        if block < last {
            self.ranges.insert(block + 1, last);
        }
    }

    fn has(&self, block: u32) -> bool {
        let range = self.ranges.range(..=block).next_back();
        range.is_some_and(|(_, last)| *last >= block)
    }

    /// The first block of which something is wanted, up to `end`, and whether it is all of it.
    pub(super) fn first_block(&self) -> Option<(u32, bool)> {
        let whole = self.ranges.keys().next().map(|block| (*block, true));
        let part = self.blocks.keys().next().map(|block| (*block, false));
        match (whole, part) {
            (Some(whole), Some(part)) if part.0 < whole.0 => Some(part),
            (whole, part) => whole.or(part),
        }
    }

    /// Takes out the first range of whole blocks but for what follows its first block.
    pub(super) fn shorten(&mut self, end: u32) {
        if let Some((first, last)) = self.ranges.pop_first()
            && first < last
            && first + 1 < end
        {
            self.ranges.insert(first + 1, last);
        }
    }
}

/// Requests in the making, as few and as short as they can be.
pub(super) struct Requests {
    fec: FecId,
    room: usize,
    full: bool,
    requests: Vec<Request>,
}

impl Requests {
    pub(super) const fn new(fec: FecId, room: usize) -> Self {
        Self {
            fec,
            room,
            full: false,
            requests: Vec::new(),
        }
    }

    /// The requests, and whether there was more than fits.
    pub(super) fn finish(self) -> (Vec<Request>, bool) {
        (self.requests, self.full)
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    fn push(&mut self, form: Form, flags: u8, items: &[Item]) {
        let length: usize = 4 + items.len() * (4 + self.fec.payload_id_len());
        let same = |last: &&mut Request| last.form == form && last.flags == flags;
        let header = match self.requests.last_mut().filter(same) {
            Some(_) => 4,
            None => 0,
        };
        if length - header > self.room {
            self.full = true;
            return;
        }
        self.room -= length - header;
        match self.requests.last_mut().filter(same) {
            Some(last) => last.items.extend_from_slice(items),
            None => self.requests.push(Request {
                form,
                flags,
                items: items.to_vec(),
            }),
        }
    }

    fn item(&self, number: Number, block: u32, length: u16, symbol: u16) -> Item {
        let length = if self.fec == FecId::SmallBlock {
            length
        } else {
            0
        };
        Item {
            fec: self.fec,
            object: id_of(number),
            id: PayloadId {
                block,
                length,
                symbol,
            },
        }
    }

    fn range(&mut self, flags: u8, first: Item, last: Item) {
        if first == last {
            self.push(Form::Items, flags, &[first]);
        } else {
            self.push(Form::Ranges, flags, &[first, last]);
        }
    }

    pub(super) fn info(&mut self, number: Number) {
        let item = self.item(number, 0, 0, 0);
        self.range(Request::INFO, item, item);
    }

    pub(super) fn object(&mut self, number: Number) {
        let item = self.item(number, 0, 0, 0);
        self.range(Request::OBJECT, item, item);
    }

    pub(super) fn blocks(&mut self, number: Number, first: u32, last: u32, length: u16) {
        let first = self.item(number, first, length, 0);
        let last = self.item(number, last, length, 0);
        self.range(Request::BLOCK, first, last);
    }

    pub(super) fn symbols(
        &mut self,
        number: Number,
        block: u32,
        length: u16,
        symbols: impl IntoIterator<Item = u16>,
    ) {
        let mut open: Option<(u16, u16)> = None;
        for symbol in symbols {
            match open {
                Some((first, last)) if last + 1 == symbol => open = Some((first, symbol)),
                _ => {
                    self.close(number, block, length, open);
                    open = Some((symbol, symbol));
                }
            }
        }
        self.close(number, block, length, open);
    }

    fn close(&mut self, number: Number, block: u32, length: u16, open: Option<(u16, u16)>) {
        if let Some((first, last)) = open {
            let first = self.item(number, block, length, first);
            let last = self.item(number, block, length, last);
            self.range(Request::SEGMENT, first, last);
        }
    }
}
