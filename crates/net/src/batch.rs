//! What one system call received: many datagrams, each with its metadata.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use manycast_types::{
    Ecn, InterfaceId, Received, Run, SocketId, Unreachable, needs_zone, with_zone,
};

use crate::sys::Slots;
use crate::sys::features::{self, Metadata};

/// Memory for the datagrams of one receiving call, to be used again for the next.
///
/// ```
/// use manycast_net::{RecvBatch, Socket, SocketConfig};
/// use manycast_types::Transmit;
///
/// let socket = Socket::bind("127.0.0.1:0".parse()?, &SocketConfig::default())?;
/// socket.send(&Transmit::new(socket.local_addr()?, "hello"))?;
///
/// let mut batch = RecvBatch::new();
/// socket.recv_batch(&mut batch, None)?;
/// assert_eq!(batch.get(0).map(|received| received.payload), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RecvBatch {
    slots: Slots,
    entries: Vec<Entry>,
    unreachable: Vec<Unreachable>,
    /// How many buffers the next call may fill, and how many calls in a row have filled all.
    limit: usize,
    full: usize,
    likely_more: bool,
    /// Which socket they came by, and whether an answer must leave by the interface that they came
    /// in on.
    socket: SocketId,
    reply_by_interface: bool,
    /// The interfaces met so far. There are few, so a search in order is the fastest.
    interfaces: Vec<InterfaceId>,
    are_names_old: bool,
}

/// One buffer of one datagram, or of several that the kernel gathered, and what came with it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: usize,
    /// Length of each datagram in it but the last, at least 1.
    segment: usize,
    /// How many datagrams are in it, at least 1.
    count: usize,
    /// How many datagrams came before this entry.
    before: usize,
    source: SocketAddr,
    destination: SocketAddr,
    /// Position in `interfaces`.
    interface: usize,
    local: Option<IpAddr>,
    hops: Option<u8>,
    time: Option<SystemTime>,
    ecn: Ecn,
    dropped: u64,
}

/// Where a datagram is in a [`RecvBatch`]; the default is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    entry: usize,
    segment: usize,
}

/// The most that one receive can bring: a datagram of any size, or several gathered into one.
const BUFFER: usize = 1 << 16;

/// After how many single buffers in a row to look for a second one.
const PATIENCE: usize = 16;

impl RecvBatch {
    /// Room for 32 buffers of 64 KiB. Each takes one datagram of any size, or all that the kernel
    /// has gathered into one. What is not written to takes address space but no memory.
    pub fn new() -> Self {
        Self::with_capacity(32)
    }

    /// Room for `count` buffers of 64 KiB.
    ///
    /// # Panics
    ///
    /// If `count` is 0.
    pub fn with_capacity(count: usize) -> Self {
        assert!(count > 0, "a batch has room for one buffer at least");
        Self {
            slots: Slots::new(count, BUFFER),
            entries: Vec::with_capacity(count),
            unreachable: Vec::new(),
            limit: 1,
            full: 0,
            likely_more: false,
            socket: SocketId::default(),
            reply_by_interface: false,
            interfaces: Vec::new(),
            are_names_old: false,
        }
    }

    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.entries
            .last()
            .map_or(0, |entry| entry.before + entry.count)
    }

    /// Whether there is no datagram.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The datagram at `index`, in the order of arrival.
    pub fn get(&self, index: usize) -> Option<Received<'_>> {
        let entry = self
            .entries
            .partition_point(|entry| entry.before <= index)
            .checked_sub(1)?;
        let segment = index - self.entries[entry].before;
        self.at(Position { entry, segment })
    }

    /// The datagrams in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        let mut position = Position::default();
        std::iter::from_fn(move || {
            let received = self.at(position)?;
            position = self.after(position);
            Some(received)
        })
    }

    /// What is left of the buffer at a position, but no more than `limit` datagrams, which are to be
    /// at least 1; and the position behind them.
    pub fn run(&self, from: Position, limit: usize) -> Option<(Run<'_>, Position)> {
        let entry = self.entries.get(from.entry)?;
        let left = entry.count.checked_sub(from.segment)?;
        let first = self.at(from)?;
        let count = left.min(limit);
        let rest = self
            .slots
            .payload(entry.slot)
            .get(from.segment * entry.segment..)?;
        let mut whole = first;
        whole.payload = &rest[..rest.len().min(count * entry.segment)];
        let run = Run::new(whole, entry.segment);
        let next = if count < left {
            Position {
                segment: from.segment + count,
                ..from
            }
        } else {
            Position {
                entry: from.entry + 1,
                segment: 0,
            }
        };
        Some((run, next))
    }

    /// What is left from a position on, buffer by buffer. It is the fastest way to go through a
    /// batch: all that is equal of the datagrams in one buffer is looked at once.
    pub fn runs(&self, from: Position) -> impl Iterator<Item = Run<'_>> {
        let mut next = from;
        std::iter::from_fn(move || {
            let (run, behind) = self.run(next, usize::MAX)?;
            next = behind;
            Some(run)
        })
    }

    /// The datagram at a position, in constant time; `None` at the end.
    #[expect(
        clippy::inline_always,
        reason = "who looks at a part of it, as each receive does before it takes it, pays for that part"
    )]
    #[inline(always)]
    pub fn at(&self, position: Position) -> Option<Received<'_>> {
        let entry = self.entries.get(position.entry)?;
        let buffer = self.slots.payload(entry.slot);
        let start = position.segment * entry.segment;
        let rest = buffer
            .get(start..)
            .filter(|rest| !rest.is_empty() || start == 0)?;
        let interface = &self.interfaces[entry.interface];
        let payload = &rest[..entry.segment.min(rest.len())];
        let mut received = Received::new(payload, entry.source, entry.destination, interface);
        received.local = entry.local;
        received.hops = entry.hops;
        received.time = entry.time;
        received.ecn = entry.ecn;
        received.truncated = self.slots.truncated(entry.slot);
        received.dropped = entry.dropped;
        received.socket = self.socket;
        // From an address that is another one on each link, an answer leaves by this link alone.
        let by_interface = self.reply_by_interface || entry.local.is_some_and(needs_zone);
        received.reply_interface = by_interface.then_some(interface.index);
        Some(received)
    }

    /// The position behind another one.
    #[inline]
    pub fn after(&self, position: Position) -> Position {
        let next = Position {
            segment: position.segment + 1,
            ..position
        };
        match self.entries.get(position.entry) {
            Some(entry) if next.segment < entry.count => next,
            _ => Position {
                entry: position.entry + 1,
                segment: 0,
            },
        }
    }

    /// The position behind the last datagram.
    pub fn end(&self) -> Position {
        Position {
            entry: self.entries.len(),
            segment: 0,
        }
    }

    /// The datagrams that came back as undeliverable since the last call.
    pub fn unreachable(&self) -> &[Unreachable] {
        &self.unreachable
    }

    /// Says of all datagrams of the batch which socket they came by, and whether an answer must
    /// leave by the interface that they came in on.
    pub const fn set_socket(&mut self, socket: SocketId, reply_by_interface: bool) {
        (self.socket, self.reply_by_interface) = (socket, reply_by_interface);
    }

    /// Looks up the names of interfaces anew from the next receiving call on: they change when a
    /// device is renamed or recreated.
    pub const fn forget_interfaces(&mut self) {
        self.are_names_old = true;
    }

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.unreachable.clear();
        self.likely_more = false;
    }

    pub(crate) fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// Whether the last call filled all the buffers that it was given, and those were several: then
    /// there is likely more.
    pub const fn has_likely_more(&self) -> bool {
        self.likely_more
    }

    /// How many buffers to fill by one call.
    ///
    /// To look for a second datagram where there is none costs time, which a dialogue of single
    /// datagrams would pay at each turn. So it begins with one, and grows while all are filled: up
    /// to what a single buffer can hold, since to write to more memory than that drives out of the
    /// processor's cache what was written just before and is to be read next.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    fn adapt_limit(&mut self, filled: usize, bytes: usize) {
        let most = (filled * BUFFER / bytes.max(1)).clamp(1, self.slots.count());
        // Beside what the kernel has gathered, the time that a look costs is small.
        let is_gathered = self.len() > filled;
        let least = if is_gathered { 2 } else { 1 };
        self.likely_more = filled == self.limit && filled > 1;
        if filled < self.limit {
            self.full = 0;
            if filled == 1 {
                self.limit = least;
            }
        } else {
            self.full += 1;
            if self.limit > 1 || self.full >= PATIENCE {
                self.limit *= 2;
            }
        }
        self.limit = self.limit.max(least).min(most);
    }

    pub(crate) fn push_unreachable(&mut self, unreachable: Unreachable) {
        self.unreachable.push(unreachable);
    }

    /// Takes up the first `count` slots, which were just filled.
    pub(crate) fn read_slots(
        &mut self,
        count: usize,
        local: SocketAddr,
        name_of: impl Fn(u32) -> InterfaceId,
        extend_dropped: impl Fn(Option<u32>) -> u64,
    ) {
        if std::mem::take(&mut self.are_names_old) {
            self.interfaces.clear();
        }
        let (mut before, mut bytes) = (0, 0);
        for slot in 0..count {
            // Every datagram of an IP socket has a source; one without would be the kernel's fault.
            let Some(source) = self.slots.name(slot) else {
                continue;
            };
            let metadata = features::decode(self.slots.control(slot));
            let known = self
                .interfaces
                .iter()
                .position(|known| known.index == metadata.interface);
            let interface = known.unwrap_or_else(|| {
                self.interfaces.push(name_of(metadata.interface));
                self.interfaces.len() - 1
            });
            let len = self.slots.payload(slot).len();
            let (segment, count) = match metadata.segment {
                Some(segment) if segment > 0 => (segment, len.div_ceil(segment).max(1)),
                _ => (len.max(1), 1),
            };
            let entry = Entry {
                slot,
                segment,
                count,
                before,
                source,
                destination: destination(&metadata, local),
                interface,
                local: metadata.local,
                hops: metadata.hops,
                time: metadata.time,
                ecn: metadata.ecn,
                dropped: extend_dropped(metadata.dropped),
            };
            before += count;
            bytes += len;
            self.entries.push(entry);
        }
        self.adapt_limit(count, bytes);
    }
}

/// The address that a datagram was sent to, with its zone where the address alone is ambiguous.
fn destination(metadata: &Metadata, local: SocketAddr) -> SocketAddr {
    match metadata.destination {
        None => local,
        Some(address) => with_zone(SocketAddr::new(address, local.port()), metadata.interface),
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch")
            .field("capacity", &self.slots.count())
            .field("len", &self.len())
            .field("unreachable", &self.unreachable)
            .finish_non_exhaustive()
    }
}
