//! An object on its way out: what was sent of it, and what is sent next.

use bytes::Bytes;

use super::fec::{Code, Variant};
use super::message::{Flags, Fti};
use super::object::{Layout, Symbols};
use super::repair::{Repair, WHOLE};
use super::stream::Window;

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

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Memory(Bytes),
    Elsewhere,
    Stream(Box<Window>),
}

/// How often information goes again at most, without being asked for.
const AGAIN: u16 = 8;

/// An object, and how far it is sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) source: Source,
    pub(super) info: Option<Bytes>,
    pub(super) flags: Flags,
    pub(super) layout: Layout,
    pub(super) code: Code,
    parity: u16,
    /// How many parity symbols of each block go without being asked for.
    pub(super) proactive: u16,
    /// How often the information was sent, repairs not counted.
    pub(super) infos: u16,
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
        // An object without a symbol is told of by its information alone.
        let info = match object.info {
            None if layout.blocks() == 0 => Some(Bytes::new()),
            info => info,
        };
        let source = match object.content {
            Content::Memory(bytes) => Source::Memory(bytes),
            Content::Elsewhere(_) => Source::Elsewhere,
        };
        let flags = if object.file {
            Flags::FILE
        } else {
            Flags::default()
        };
        Self::of(source, info, flags, layout, parity, variant)
    }

    /// A stream, of which nothing was written. `None` where its information is longer than a
    /// segment.
    pub(super) fn stream(
        window: Window,
        info: Option<Bytes>,
        segment: u16,
        parity: u16,
        variant: Variant,
    ) -> Option<Self> {
        // What is said of its length is how much is kept of it.
        let layout = Layout::new(window.bytes(), segment, window.length())?;
        let source = Source::Stream(Box::new(window));
        Self::of(source, info, Flags::STREAM, layout, parity, variant)
    }

    fn of(
        source: Source,
        info: Option<Bytes>,
        mut flags: Flags,
        layout: Layout,
        parity: u16,
        variant: Variant,
    ) -> Option<Self> {
        let (segment, block) = (layout.segment(), layout.max_block());
        if info.as_ref().is_some_and(|it| it.len() > segment.into()) {
            return None;
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
            source,
            info,
            flags,
            layout,
            code,
            parity,
            proactive: 0,
            infos: 0,
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

    /// Whether EXT_FTI goes with a symbol.
    ///
    /// It takes a hundredth of a datagram, and all receivers but those that come late have it from the first
    /// block or the information. Those begin with the next block, and ask for what was before. A stream has it
    /// in each datagram, since its blocks may take long, and nothing of them is asked for before it is known.
    pub(super) fn tells_fti(&self, block: u32, symbol: u16) -> bool {
        block == 0 || symbol == 0 || self.window().is_some()
    }

    pub(super) fn window(&self) -> Option<&Window> {
        match &self.source {
            Source::Stream(window) => Some(window),
            _ => None,
        }
    }

    pub(super) fn window_mut(&mut self) -> Option<&mut Window> {
        match &mut self.source {
            Source::Stream(window) => Some(window),
            _ => None,
        }
    }

    /// How many source symbols a block has.
    pub(super) fn segments(&self, block: u32) -> u16 {
        self.window()
            .map_or_else(|| self.layout.segments(block), Window::length)
    }

    /// How many bytes a symbol has, but for one that is cut short.
    pub(super) fn stride(&self) -> usize {
        self.window()
            .map_or_else(|| self.layout.segment().into(), Window::stride)
    }

    /// How many bytes a source symbol has on the wire.
    pub(super) fn symbol_len(&self, block: u32, symbol: u16) -> usize {
        match self.window() {
            Some(window) => window.symbol_len(block, symbol),
            None => self.layout.symbol_len(block, symbol),
        }
    }

    /// How many of `count` source symbols from `first` can go as one: none but the last is cut
    /// short, and all or none have EXT_FTI.
    pub(super) fn run(&self, block: u32, first: u16, count: u16) -> u16 {
        let count = match first == 0 && !self.tells_fti(block, 1) {
            true => count.min(1),
            false => count,
        };
        let Some(window) = self.window().filter(|window| first < window.length()) else {
            return count;
        };
        let is_short = |symbol| window.symbol_len(block, symbol) < window.stride();
        let short = (first..first + count).position(is_short);
        short.map_or(count, |index| u16::try_from(index + 1).unwrap_or(count))
    }

    /// The first block that is kept.
    pub(super) fn first_block(&self) -> u32 {
        self.window().map_or(0, Window::first)
    }

    /// The last source symbol that was sent, of an object that was sent.
    pub(super) fn last_sent(&self) -> Option<(u32, u16)> {
        match (self.window(), self.symbol) {
            (None, _) => {
                let block = self.layout.blocks().saturating_sub(1);
                Some((block, self.layout.segments(block).saturating_sub(1)))
            }
            (Some(window), 0) => Some((self.block.checked_sub(1)?, window.last_symbol())),
            (Some(window), symbol) => Some((self.block, symbol.min(window.length()) - 1)),
        }
    }

    /// Whether all was sent once, of a stream all that was written so far.
    pub(super) fn is_sent(&self) -> bool {
        let symbols = match self.window() {
            Some(window) => (self.block, self.symbol) >= window.ready(),
            None => self.block >= self.layout.blocks(),
        };
        symbols && !self.is_info_due()
    }

    /// Whether the information goes next.
    pub(super) fn is_info_due(&self) -> bool {
        self.info.is_some() && self.infos < self.infos_due()
    }

    /// How often the information is to be sent by now.
    ///
    /// Without it an application can make little of an object, and no parity makes up for it. So it goes
    /// again once for each proactive parity symbol of a block, up to a bound: it is not lost sooner than
    /// a block. In short objects these are spread over the symbols; in longer ones one follows each of the
    /// first blocks, so that not much is kept in vain. Without proactive parity it goes again after the
    /// first block of several, since both are lost far more seldom than one.
    fn infos_due(&self) -> u16 {
        if self.window().is_some() {
            return 1;
        }
        let again = self.proactive.min(AGAIN);
        if again == 0 {
            return 1 + u16::from(self.block > 0 && self.layout.blocks() > 1);
        }
        if self.block >= self.layout.blocks() {
            return 1 + again;
        }
        let step = self.info_step(again);
        1 + u16::try_from(self.position() / step).map_or(again, |due| due.min(again))
    }

    /// After how many symbols the information goes again.
    fn info_step(&self, again: u16) -> u64 {
        let blocks = u64::from(self.layout.blocks()).min(u64::from(again) + 1);
        (self.symbols_of_a_block() * blocks / (u64::from(again) + 1)).max(1)
    }

    fn symbols_of_a_block(&self) -> u64 {
        u64::from(self.layout.segments(0)) + u64::from(self.proactive)
    }

    /// How many symbols were sent, repairs not counted.
    fn position(&self) -> u64 {
        u64::from(self.block) * self.symbols_of_a_block() + u64::from(self.symbol)
    }

    /// How many symbols go before the information goes again.
    fn before_info(&self) -> u16 {
        let again = self.proactive.min(AGAIN);
        if self.window().is_some() || self.infos == 0 || self.infos > again {
            return u16::MAX;
        }
        let next = self.info_step(again) * u64::from(self.infos);
        let left = next.saturating_sub(self.position()).max(1);
        u16::try_from(left).unwrap_or(u16::MAX)
    }

    /// Whether all was sent once, and nothing follows.
    pub(super) fn is_through(&self) -> bool {
        self.is_sent() && self.window().is_none_or(Window::is_closed)
    }

    /// Whether something of it was sent.
    pub(super) const fn is_begun(&self) -> bool {
        self.infos > 0 || self.block > 0 || self.symbol > 0
    }

    /// The next symbols that were never sent, all source or all parity: the block, the first, and
    /// how many at most.
    pub(super) fn unsent(&self) -> (u32, u16, u16) {
        let source = self.segments(self.block);
        let ready = self.window().map(Window::ready);
        let end = match ready {
            _ if self.symbol >= source => source + self.proactive,
            Some((block, symbol)) if block == self.block => symbol,
            _ => source,
        };
        let count = end.saturating_sub(self.symbol).min(self.before_info());
        (self.block, self.symbol, count)
    }

    /// Takes note that `count` of them were sent. True where the block is through.
    pub(super) fn advance(&mut self, count: u16) -> bool {
        self.symbol += count;
        let (source, proactive) = (self.segments(self.block), self.proactive);
        if self.symbol < source + proactive {
            return false;
        }
        if proactive > 0
            && let Some(sent) = self.parity_sent(self.block)
        {
            *sent = u8::try_from(proactive).unwrap_or(u8::MAX);
        }
        self.block += 1;
        self.symbol = 0;
        true
    }

    /// How many parity symbols were sent of a block, of a stream where all of it is there.
    fn parity_sent(&mut self, block: u32) -> Option<&mut u8> {
        if let Source::Stream(window) = &mut self.source {
            return window.parity_sent(block);
        }
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        if self.parity_sent.len() <= index {
            self.parity_sent.resize(index + 1, 0);
        }
        self.parity_sent.get_mut(index)
    }

    /// How many symbols of a block were sent, source first.
    pub(super) fn sent(&self, block: u32) -> u16 {
        let source = self.segments(block);
        match self.window() {
            Some(window) if block < window.first() => 0,
            Some(_) if block == self.block => self.symbol.min(source),
            _ if block < self.block => source,
            _ => 0,
        }
    }

    /// The symbols that repair a block of which some receiver misses `count`, while others may miss
    /// other ones. Parity that was never sent serves all of them alike; where there is not enough of
    /// it, what they named is sent again too. `extra` more of it make up for repairs that are lost.
    // RFC 5740 §5.4: repairs by parity first, then explicit ones.
    pub(super) fn repairs(
        &mut self,
        block: u32,
        count: u16,
        extra: u16,
        named: &Symbols,
    ) -> Repair {
        let (source, sent) = (self.segments(block), self.sent(block));
        // Of a block that was not sent whole there is no parity yet.
        let parity = if sent < source { 0 } else { self.parity };
        let mut symbols = Symbols::default();
        let mut fresh = 0;
        if let Some(parity_sent) = self.parity_sent(block) {
            fresh = (parity - u16::from(*parity_sent).min(parity)).min(count + extra);
            let first = source + u16::from(*parity_sent);
            *parity_sent = parity_sent.saturating_add(u8::try_from(fresh).unwrap_or(u8::MAX));
            for symbol in first..first + fresh {
                symbols.insert(symbol);
            }
        }
        if fresh < count {
            let mut any = false;
            let there = (0..sent).chain(source..source + parity);
            for symbol in there.filter(|symbol| named.contains(*symbol)) {
                any = true;
                symbols.insert(symbol);
            }
            if !any {
                (0..sent).for_each(|symbol| {
                    symbols.insert(symbol);
                });
                fresh = WHOLE;
            }
        }
        Repair { symbols, fresh }
    }
}
