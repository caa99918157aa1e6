//! Objects: how they are numbered, and cut into blocks and segments.

use super::message::{FecId, Fti};

/// The number of an object without going round: the low 16 bits are on the wire
/// (object_transport_id).
pub(super) type Number = u64;

/// The number nearest to `near` whose low 16 bits are `id`.
// RFC 5740 §4.2.1: object_transport_id goes round.
pub(super) fn number(id: u16, near: Number) -> Number {
    let ahead = id.wrapping_sub(id_of(near)).cast_signed();
    near.saturating_add_signed(ahead.into())
}

/// What an object's number is on the wire.
pub(super) const fn id_of(number: Number) -> u16 {
    (number & 0xffff) as u16
}

/// How far apart objects may lie: farther ones cannot be told from others of the same identifier.
pub(super) const FAR: Number = 16_384;

/// How an object is cut into blocks and segments.
///
/// ```
/// use manycast_proto::norm::Layout;
///
/// // 250 bytes are 25 segments, in blocks of 10 at most: 9, 8 and 8.
/// let layout = Layout::new(250, 10, 10).expect("it can be cut so");
/// assert_eq!(layout.blocks(), 3);
/// assert_eq!([0, 1, 2].map(|block| layout.segments(block)), [9, 8, 8]);
/// assert_eq!(layout.bytes(1), 90..170);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    length: u64,
    segment: u16,
    max_block: u16,
    blocks: u32,
    /// How many source symbols the first blocks have.
    large: u16,
    /// How many blocks are large; the others have one symbol fewer.
    larges: u32,
}

impl Layout {
    /// An object of `length` bytes, in segments of `segment` bytes, in blocks of at most `max_block`
    /// segments. `None` where one of the two is zero, or where more blocks or segments would be
    /// needed than FEC Encoding ID 5 can number.
    // RFC 5052 §9.1: blocking algorithm.
    pub fn new(length: u64, segment: u16, max_block: u16) -> Option<Self> {
        if segment == 0 || max_block == 0 || max_block > 255 || length > Fti::MAX_LENGTH {
            return None;
        }
        let segments = length.div_ceil(segment.into());
        let blocks = u32::try_from(segments.div_ceil(max_block.into())).ok()?;
        if blocks > FecId::ReedSolomon8.max_block() {
            return None;
        }
        let large = segments.div_ceil(u64::from(blocks).max(1));
        // All are large where the segments divide evenly.
        let short_of = large * u64::from(blocks) - segments;
        Some(Self {
            length,
            segment,
            max_block,
            blocks,
            large: u16::try_from(large).ok()?,
            larges: blocks - u32::try_from(short_of).ok()?,
        })
    }

    /// The object's length in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The length of a segment in bytes.
    pub const fn segment(&self) -> u16 {
        self.segment
    }

    /// The most source symbols that a block could have.
    pub const fn max_block(&self) -> u16 {
        self.max_block
    }

    /// How many blocks there are.
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// How many source symbols a block has.
    pub const fn segments(&self, block: u32) -> u16 {
        if block < self.larges {
            self.large
        } else {
            self.large.saturating_sub(1)
        }
    }

    /// The lengths that blocks have, in source symbols.
    pub fn block_lengths(&self) -> impl Iterator<Item = usize> {
        let lengths = [
            self.segments(0),
            self.segments(self.blocks.saturating_sub(1)),
        ];
        let count = if lengths[0] == lengths[1] { 1 } else { 2 };
        lengths
            .into_iter()
            .take(count)
            .filter(|length| *length > 0)
            .map(usize::from)
    }

    /// Which bytes of the object a block has.
    pub fn bytes(&self, block: u32) -> std::ops::Range<u64> {
        let start = |block: u32| {
            let larges = u64::from(block.min(self.larges)) * u64::from(self.large);
            let smalls = u64::from(block.saturating_sub(self.larges));
            let segments = larges + smalls * u64::from(self.large.saturating_sub(1));
            (segments * u64::from(self.segment)).min(self.length)
        };
        start(block)..start(block.saturating_add(1))
    }

    /// The block that begins at a byte of the object, if one does.
    pub fn block_at(&self, offset: u64) -> Option<u32> {
        let block = self.block_of(offset)?;
        (self.bytes(block).start == offset).then_some(block)
    }

    /// The blocks of which all bytes lie within `bytes`.
    pub fn blocks_within(&self, bytes: std::ops::Range<u64>) -> std::ops::Range<u32> {
        let whole = |block: u32| self.bytes(block).start == bytes.start;
        let start = self.block_of(bytes.start);
        let start = start.map_or(self.blocks, |block| block + u32::from(!whole(block)));
        let end = self.block_of(bytes.end).unwrap_or(self.blocks);
        start..end.max(start)
    }

    /// The block that has a byte of the object.
    fn block_of(&self, offset: u64) -> Option<u32> {
        if offset >= self.length {
            return None;
        }
        let (segments, large) = (offset / u64::from(self.segment), u64::from(self.large));
        let larges = u64::from(self.larges);
        let block = if segments < larges * large {
            segments / large
        } else {
            larges + (segments - larges * large) / (large - 1).max(1)
        };
        u32::try_from(block).ok()
    }

    /// How many bytes a source symbol has.
    pub fn symbol_len(&self, block: u32, symbol: u16) -> usize {
        let bytes = self.bytes(block);
        let length = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
        let start = usize::from(symbol) * usize::from(self.segment);
        length.saturating_sub(start).min(self.segment.into())
    }
}

/// A set of symbols of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Symbols([u64; 4]);

impl Symbols {
    /// Adds a symbol below 256; true where it was not there before.
    pub(super) fn insert(&mut self, symbol: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(symbol >> 6)) else {
            return false;
        };
        let bit = 1 << (symbol & 63);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(super) fn remove(&mut self, symbol: u16) {
        if let Some(word) = self.0.get_mut(usize::from(symbol >> 6)) {
            *word &= !(1 << (symbol & 63));
        }
    }

    pub(super) fn contains(&self, symbol: u16) -> bool {
        let word = self.0.get(usize::from(symbol >> 6));
        word.is_some_and(|word| word >> (symbol & 63) & 1 != 0)
    }

    pub(super) fn first(&self) -> Option<u16> {
        (0..256).find(|symbol| self.contains(*symbol))
    }

    /// How many there are.
    pub(super) fn count(&self) -> u16 {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= !other;
        }
    }

    pub(super) fn union(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_go_on_where_identifiers_go_round() {
        assert_eq!(number(3, 0x1_fffe), 0x2_0003);
        assert_eq!(number(0xfffd, 0x2_0001), 0x1_fffd);
        assert_eq!(number(0xffff, 0), 0, "nothing is before the first");
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        assert_eq!(Layout::new(1, 0, 64), None);
        assert_eq!(Layout::new(1, 1400, 0), None);
        assert_eq!(Layout::new(1, 1400, 256), None);
        assert_eq!(Layout::new(1 << 48, 65_000, 255), None);
        assert_eq!(Layout::new((1 << 48) - 1, 1, 1), None);
        assert_eq!(Layout::new(0, 1400, 64).map(|it| it.blocks()), Some(0));
    }

    proptest! {
        /// RFC 5052 §9.1: blocks follow each other, differ by one symbol at most, the large come first.
        #[test]
        fn blocks_make_up_the_object(length in 0..100_000_u64, segment in 1..200_u16, max in 1..256_u16) {
            let layout = Layout::new(length, segment, max).unwrap();
            let (mut at, mut segments) = (0, 0);
            for block in 0..layout.blocks() {
                let bytes = layout.bytes(block);
                prop_assert_eq!(bytes.start, at);
                prop_assert_eq!(layout.block_at(at), Some(block));
                at = bytes.end;
                let symbols = layout.segments(block);
                prop_assert!(symbols >= 1 && symbols <= max);
                prop_assert!(symbols <= layout.segments(0) && symbols + 1 >= layout.segments(0));
                prop_assert!(block == 0 || symbols <= layout.segments(block - 1));
                let sum: usize = (0..symbols).map(|symbol| layout.symbol_len(block, symbol)).sum();
                prop_assert_eq!(sum as u64, bytes.end - bytes.start);
                prop_assert!(layout.symbol_len(block, symbols - 1) > 0);
                segments += u64::from(symbols);
            }
            prop_assert_eq!(at, length);
            for range in [0..length, 0..length / 2, length / 3..length, length / 4..length / 2] {
                let inside = |block: &u32| {
                    let bytes = layout.bytes(*block);
                    bytes.start >= range.start && bytes.end <= range.end
                };
                let blocks: Vec<_> = (0..layout.blocks()).filter(inside).collect();
                prop_assert_eq!(layout.blocks_within(range).collect::<Vec<_>>(), blocks);
            }
            prop_assert_eq!(segments, length.div_ceil(segment.into()));
            prop_assert_eq!(layout.blocks(), u32::try_from(segments.div_ceil(max.into())).unwrap());
        }
    }
}
