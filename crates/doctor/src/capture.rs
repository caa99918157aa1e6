//! What is captured on the wire, where this process may listen there (`CAP_NET_RAW`).

mod queries;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::host::packets::{CapturedPacket, Frame, Link, PacketCapture, Piece};

use super::Target;
use super::apart::{Place, place};
pub(super) use queries::Querier;

/// What was captured on the wire meanwhile, before firewalls and filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captured {
    /// Who asked for memberships, and whether this host answered.
    pub queriers: Vec<Querier>,
    /// What was sent to the group, whatever the port, in frames that IP takes.
    pub streams: Vec<CapturedStream>,
    /// What was sent to the group in frames that IP does not take.
    pub foreign: Vec<CapturedStream>,
    /// What was sent to other groups, in frames that IP takes.
    pub elsewhere: Vec<CapturedStream>,
    /// What this host has sent to groups.
    pub sent: Vec<CapturedStream>,
    /// The pieces of datagrams to the group, whatever the port, that came in by each interface.
    pub pieces: Vec<Pieces>,
    /// How many datagrams to the group and port came by each interface from hosts of which there are more
    /// than are told apart.
    pub beyond: BTreeMap<u32, u64>,
    /// Whether there are more hosts than are told apart that send to the group and port.
    pub overflowed: bool,
    /// How many datagrams to the group and port each host sent by each interface while nobody listened yet,
    /// or any more.
    pub unheard: BTreeMap<(IpAddr, u32), u64>,
}

/// Datagrams to a group that came in pieces by one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// The index of the interface.
    pub interface: u32,
    /// How many first pieces came: those alone have ports.
    pub first: u64,
    /// How many others came.
    pub later: u64,
    /// How many of these were the last one of their datagram.
    pub last: u64,
    /// How many bytes all of them carried.
    pub bytes: u64,
    /// How many bytes the datagrams have whose last piece came.
    pub whole: u64,
}

impl Pieces {
    /// Whether at least nine of ten datagrams came with all their bytes.
    pub(super) const fn are_whole(&self) -> bool {
        self.last * 10 >= self.first * 9 && self.bytes * 10 >= self.whole * 9
    }

    /// Whether at least nine of ten datagrams came without their last piece.
    pub(super) const fn none_is_whole(&self) -> bool {
        self.last * 10 <= self.first
    }

    fn add(&mut self, piece: Piece) {
        self.bytes += u64::from(piece.length);
        match piece.offset {
            0 => self.first += 1,
            _ => self.later += 1,
        }
        if !piece.more {
            self.last += 1;
            self.whole += u64::from(piece.offset) + u64::from(piece.length);
        }
    }
}

/// Datagrams from one source to one port of the group, as they came in by one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CapturedStream {
    /// Who sent them; port 0 where that host sends from more ports than are told apart.
    pub source: SocketAddr,
    /// The group, or the address, that they were sent to.
    pub destination: IpAddr,
    /// The port that they were sent to.
    pub port: u16,
    /// The index of the interface.
    pub interface: u32,
    /// The frames that they came in.
    pub frame: Frame,
    /// How many.
    pub datagrams: u64,
}

impl Captured {
    /// How many datagrams came to this port, by the interface that most came by: what comes in by a
    /// port of a bridge is captured on the bridge once more.
    pub(super) fn count(&self, port: u16) -> u64 {
        let mut on = self.beyond.clone();
        for stream in self.to_port(port) {
            *on.entry(stream.interface).or_default() += stream.datagrams;
        }
        on.into_values().max().unwrap_or(0)
    }

    /// The pieces that came in by the interface that most of them came by.
    pub(super) fn most_pieces(&self) -> Option<&Pieces> {
        let pieces = self.pieces.iter();
        pieces.max_by_key(|pieces| pieces.first + pieces.later)
    }

    /// The streams to this port.
    pub(super) fn to_port(&self, port: u16) -> impl Iterator<Item = &CapturedStream> {
        self.streams
            .iter()
            .filter(move |stream| stream.port == port)
    }
}

/// Something that listens in the background.
#[derive(Debug)]
pub(super) struct CaptureThread {
    stop: Arc<AtomicBool>,
    /// Whether somebody listens to the address meanwhile.
    heard: Arc<AtomicBool>,
    thread: Option<JoinHandle<Captured>>,
}

/// How long the end may take.
const PAUSE: Duration = Duration::from_millis(50);

/// How many packets that wait at the end are still read.
const BACKLOG: usize = 100_000;

/// So many queriers and interfaces are told apart, and streams of each kind.
const MOST: usize = 64;

impl CaptureThread {
    /// Begins to listen; `None` where this process may not.
    pub(super) fn open(target: &Target) -> Option<Self> {
        let packets = PacketCapture::open(target.is_ipv4()).ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let wanted = Wanted::new(target).ok()?;
        let heard = Arc::new(AtomicBool::new(true));
        let is_heard = Arc::clone(&heard);
        let thread = thread::spawn(move || listen(packets, &wanted, &stopped, &is_heard));
        Some(Self {
            stop,
            heard,
            thread: Some(thread),
        })
    }

    /// Says whether somebody listens to the address from now on; at the beginning, it is so.
    pub(super) fn set_heard(&self, heard: bool) {
        self.heard.store(heard, Ordering::Relaxed);
    }

    /// Ends, and gives what was captured.
    pub(super) fn finish(mut self) -> Option<Captured> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

impl Drop for CaptureThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is looked for.
#[derive(Debug)]
struct Wanted {
    /// The group, or an address of this host.
    addresses: Vec<IpAddr>,
    port: u16,
}

impl Wanted {
    /// The unspecified address stands for all at which this host is reached but groups.
    fn new(target: &Target) -> Result<Self, manycast_net::Error> {
        let mut addresses = vec![target.ip];
        if target.ip.is_unspecified() {
            let interfaces = manycast_net::interfaces()?;
            let own = interfaces.iter().flat_map(|link| &link.addresses);
            let own = own.flat_map(|own| [Some(own.address), own.broadcast.map(IpAddr::V4)]);
            addresses.extend(own.flatten().chain([Ipv4Addr::BROADCAST.into()]));
        }
        Ok(Self {
            addresses,
            port: target.port,
        })
    }

    fn has(&self, destination: IpAddr) -> bool {
        self.addresses.contains(&destination)
    }

    fn is(&self, destination: IpAddr, port: u16) -> bool {
        port == self.port && self.has(destination)
    }
}

fn listen(
    mut packets: PacketCapture,
    wanted: &Wanted,
    stop: &AtomicBool,
    heard: &AtomicBool,
) -> Captured {
    let mut captured = Captured::default();
    let began = Instant::now();
    let mut read = |packets: &mut PacketCapture, timeout| match packets.next(timeout) {
        Ok(Some((link, packet))) => {
            if !heard.load(Ordering::Relaxed) {
                captured.note_unheard(wanted, link, packet);
            }
            captured.note(wanted, link, packet, began.elapsed());
            Some(true)
        }
        Ok(None) => Some(false),
        Err(error) => {
            tracing::debug!(%error, "nothing is captured on the wire any more");
            None
        }
    };
    while !stop.load(Ordering::Relaxed) && read(&mut packets, PAUSE).is_some() {}
    // What came until now is still read, and nothing that comes from now on.
    let mut left = BACKLOG;
    while packets.close().is_ok() && left > 0 && read(&mut packets, Duration::ZERO) == Some(true) {
        left -= 1;
    }
    queries::expire(&mut captured.queriers, began.elapsed());
    captured
}

impl Captured {
    /// What was captured so long after the beginning.
    fn note(&mut self, wanted: &Wanted, link: Link, packet: CapturedPacket, at: Duration) {
        match packet {
            CapturedPacket::Query {
                source,
                version,
                group: asked,
                within,
            } if !link.outgoing && link.frame == Frame::Taken => {
                let is_asked = asked.is_none_or(|asked| wanted.has(asked));
                let within = is_asked.then_some(within);
                let of = (source, version, link.interface);
                queries::ask(&mut self.queriers, of, within, at);
            }
            // RFC 2236 §3: who hears another member of the group tell of it says nothing himself.
            CapturedPacket::Report { group: told }
                if link.outgoing || told.is_some_and(|told| wanted.has(told)) =>
            {
                queries::answer(&mut self.queriers, link.interface, at);
            }
            CapturedPacket::Fragment { destination, piece }
                if wanted.has(destination) && !link.outgoing =>
            {
                self.piece(link.interface, piece);
            }
            CapturedPacket::Datagram {
                source,
                destination,
                piece,
            } => {
                let is_to_it = wanted.has(destination.ip());
                if let Some(piece) = piece
                    && is_to_it
                    && !link.outgoing
                {
                    self.piece(link.interface, piece);
                }
                let streams = if link.outgoing {
                    &mut self.sent
                } else if !is_to_it {
                    &mut self.elsewhere
                } else if link.frame == Frame::Taken {
                    &mut self.streams
                } else {
                    &mut self.foreign
                };
                let is_heard = is_to_it || destination.ip().is_multicast();
                if is_heard
                    && !count(streams, wanted, source, destination, link)
                    && wanted.is(destination.ip(), destination.port())
                {
                    self.overflowed = true;
                    if !link.outgoing && link.frame == Frame::Taken {
                        *self.beyond.entry(link.interface).or_default() += 1;
                    }
                }
            }
            CapturedPacket::Query { .. }
            | CapturedPacket::Report { .. }
            | CapturedPacket::Fragment { .. } => {}
        }
    }

    fn note_unheard(&mut self, wanted: &Wanted, link: Link, packet: CapturedPacket) {
        let CapturedPacket::Datagram {
            source,
            destination,
            ..
        } = packet
        else {
            return;
        };
        let key = (source.ip(), link.interface);
        let has_place = self.unheard.len() < MOST || self.unheard.contains_key(&key);
        let is_wanted = wanted.is(destination.ip(), destination.port());
        if is_wanted && !link.outgoing && link.frame == Frame::Taken && has_place {
            *self.unheard.entry(key).or_default() += 1;
        }
    }

    fn piece(&mut self, interface: u32, piece: Piece) {
        let mut known = self.pieces.iter_mut();
        if let Some(known) = known.find(|known| known.interface == interface) {
            known.add(piece);
        } else if self.pieces.len() < MOST {
            let mut pieces = Pieces {
                interface,
                ..Pieces::default()
            };
            pieces.add(piece);
            self.pieces.push(pieces);
        }
    }
}

/// Adds a datagram to the stream that it belongs to, if there is a place for it. What is `wanted` has places
/// of its own.
fn count(
    streams: &mut Vec<CapturedStream>,
    wanted: &Wanted,
    source: SocketAddr,
    destination: SocketAddr,
    link: Link,
) -> bool {
    let new = CapturedStream {
        source,
        destination: destination.ip(),
        port: destination.port(),
        interface: link.interface,
        frame: link.frame,
        datagrams: 1,
    };
    let from = |known: &CapturedStream, source| CapturedStream {
        source,
        datagrams: 1,
        ..known.clone()
    };
    let goes_there = |stream: &CapturedStream| wanted.is(stream.destination, stream.port);
    let place = place(
        streams,
        |known| known.source == source && from(known, source) == new,
        |known| known.source.ip() == source.ip() && from(known, source) == new,
        |known| goes_there(known) == goes_there(&new),
        MOST,
    );
    match place {
        Place::Same(index) => streams[index].datagrams += 1,
        Place::OfHost(index) => {
            streams[index].source.set_port(0);
            streams[index].datagrams += 1;
        }
        Place::New => streams.push(new),
        Place::None => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(captured: &mut Captured, source: ([u8; 4], u16), port: u16) {
        let link = Link {
            interface: 2,
            frame: Frame::Taken,
            outgoing: false,
        };
        let packet = CapturedPacket::Datagram {
            source: source.into(),
            destination: ([239, 1, 2, 3], port).into(),
            piece: None,
        };
        let wanted = Wanted {
            addresses: vec![[239, 1, 2, 3].into()],
            port: 5000,
        };
        captured.note(&wanted, link, packet, Duration::ZERO);
    }

    #[test]
    fn more_than_are_told_apart_are_counted_all_the_same() {
        let mut captured = Captured::default();
        // Another port of the group takes no place away.
        for port in 1..=1000 {
            note(&mut captured, ([10, 0, 0, 9], port), 1900);
        }
        for port in 1..=1000 {
            note(&mut captured, ([10, 0, 0, 1], port), 5000);
        }
        assert_eq!((captured.count(5000), captured.overflowed), (1000, false));
        assert_eq!(captured.to_port(5000).count(), MOST);
        let several = captured.to_port(5000).filter(|one| one.source.port() == 0);
        assert_eq!(several.count(), 1);
        note(&mut captured, ([10, 0, 0, 2], 1), 5000);
        assert_eq!((captured.count(5000), captured.overflowed), (1001, true));
    }
}
