//! An object on its way out: what was sent of it, and what is sent next.

use bytes::Bytes;

use super::fec::{Code, Variant};
use super::message::{Flags, Fti};
use super::object::{Layout, Symbols};

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub content: Content,
    /// Whether receivers should store it as a file.
    pub file: bool,
    /// What goes ahead of it, for the application to make of it what it likes; as long as a segment
    /// at most.
    pub info: Option<Bytes>,
}

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of them.
    Memory(Bytes),
    /// So many, which the application supplies when it is asked for them.
    Elsewhere(u64),
}

impl Content {
    const fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Elsewhere(length) => *length,
        }
    }
}

/// An object, and how far it is sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) content: Content,
    pub(super) info: Option<Bytes>,
    pub(super) flags: Flags,
    pub(super) layout: Layout,
    pub(super) code: Code,
    parity: u16,
    pub(super) info_sent: bool,
    /// The next symbol that was never sent.
    pub(super) block: u32,
    pub(super) symbol: u16,
    /// How many parity symbols of each block were sent; as long as the last block of which one was.
    parity_sent: Vec<u8>,
}

impl Outgoing {
    /// `None` where the object cannot be cut into segments of this length, or its information is
    /// longer than one.
    pub(super) fn new(
        object: Object,
        segment: u16,
        block: u16,
        parity: u16,
        variant: Variant,
    ) -> Option<Self> {
        let layout = Layout::new(object.content.length(), segment, block)?;
        if object
            .info
            .as_ref()
            .is_some_and(|info| info.len() > segment.into())
        {
            return None;
        }
        // An object without a symbol is told of by its information alone.
        let info = match object.info {
            None if layout.blocks() == 0 => Some(Bytes::new()),
            info => info,
        };
        let mut flags = Flags::default();
        if object.file {
            flags = flags.with(Flags::FILE);
        }
        if info.is_some() {
            flags = flags.with(Flags::INFO);
        }
        let mut code = Code::new(variant, block.into());
        if parity > 0 {
            for length in layout.block_lengths() {
                code.prepare(length, parity.into());
            }
        }
        Some(Self {
            content: object.content,
            info,
            flags,
            layout,
            code,
            parity,
            info_sent: false,
            block: 0,
            symbol: 0,
            parity_sent: Vec::new(),
        })
    }

    pub(super) fn fti(&self) -> Fti {
        Fti {
            length: self.layout.length(),
            segment: self.layout.segment(),
            max_block: self.layout.max_block(),
            parity: self.parity,
            instance: 0,
        }
    }

    /// Whether all was sent once.
    pub(super) const fn is_sent(&self) -> bool {
        self.block >= self.layout.blocks() && (self.info_sent || self.info.is_none())
    }

    /// Whether something of it was sent.
    pub(super) const fn is_begun(&self) -> bool {
        self.info_sent || self.block > 0 || self.symbol > 0
    }

    /// The next symbols that were never sent, all source or all parity: the block, the first, and
    /// how many at most.
    pub(super) fn unsent(&self, proactive: u16) -> (u32, u16, u16) {
        let source = self.layout.segments(self.block);
        let end = if self.symbol < source {
            source
        } else {
            source + proactive.min(self.parity)
        };
        (self.block, self.symbol, end - self.symbol)
    }

    /// Takes note that `count` of them were sent. True where the block is through.
    pub(super) fn advance(&mut self, count: u16, proactive: u16) -> bool {
        self.symbol += count;
        let (source, proactive) = (self.layout.segments(self.block), proactive.min(self.parity));
        if self.symbol < source + proactive {
            return false;
        }
        if proactive > 0 {
            *self.parity_sent(self.block) = u8::try_from(proactive).unwrap_or(u8::MAX);
        }
        self.block += 1;
        self.symbol = 0;
        true
    }

    fn parity_sent(&mut self, block: u32) -> &mut u8 {
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        if self.parity_sent.len() <= index {
            self.parity_sent.resize(index + 1, 0);
        }
        &mut self.parity_sent[index]
    }

    /// The symbols that repair a block of which some receiver misses `count`, while others may miss
    /// other ones. Parity that was never sent serves all of them alike; where there is not enough of
    /// it, what they named is sent again too.
    // RFC 5740 §5.4: repairs by parity first, then explicit ones.
    pub(super) fn repairs(&mut self, block: u32, count: u16, named: &Symbols) -> Symbols {
        let (source, parity) = (self.layout.segments(block), self.parity);
        let sent = self.parity_sent(block);
        let fresh = (parity - u16::from(*sent).min(parity)).min(count);
        let first = source + u16::from(*sent);
        *sent = sent.saturating_add(u8::try_from(fresh).unwrap_or(u8::MAX));
        let mut symbols = Symbols::default();
        for symbol in first..first + fresh {
            symbols.insert(symbol);
        }
        if fresh < count {
            let mut any = false;
            for symbol in (0..source + parity).filter(|symbol| named.contains(*symbol)) {
                any = true;
                symbols.insert(symbol);
            }
            if !any {
                (0..source).for_each(|symbol| {
                    symbols.insert(symbol);
                });
            }
        }
        symbols
    }
}
