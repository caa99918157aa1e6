//! What is captured on the wire, where this process may listen there (`CAP_NET_RAW`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::host::packets::{CapturedPacket, Frame, Link, PacketCapture, Piece};

use super::Target;

/// What was captured on the wire meanwhile, before firewalls and filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Queriers, the version of IGMP or MLD that each speaks, and how often it asked.
    pub queriers: Vec<(IpAddr, u8, u64)>,
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
}

/// Datagrams to a group that came in pieces by one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
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
pub struct CapturedStream {
    /// Who sent them.
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
        let on = |interface| {
            let streams = self
                .to_port(port)
                .filter(move |other| other.interface == interface);
            streams.map(|stream| stream.datagrams).sum()
        };
        self.to_port(port)
            .map(|stream| on(stream.interface))
            .max()
            .unwrap_or(0)
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
    thread: Option<JoinHandle<Captured>>,
}

/// How long the end may take.
const PAUSE: Duration = Duration::from_millis(50);

/// How many packets that wait at the end are still read.
const BACKLOG: usize = 100_000;

/// Whoever floods the wire gets no more of the memory than this.
const MOST: usize = 64;

impl CaptureThread {
    /// Begins to listen; `None` where this process may not.
    pub(super) fn open(target: &Target) -> Option<Self> {
        let packets = PacketCapture::open(target.is_ipv4()).ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, group) = (Arc::clone(&stop), target.ip);
        let thread = thread::spawn(move || listen(packets, group, &stopped));
        Some(Self {
            stop,
            thread: Some(thread),
        })
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

fn listen(mut packets: PacketCapture, group: IpAddr, stop: &AtomicBool) -> Captured {
    let mut captured = Captured::default();
    let mut read = |packets: &mut PacketCapture, timeout| match packets.next(timeout) {
        Ok(Some((link, packet))) => {
            captured.note(group, link, packet);
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
    captured
}

impl Captured {
    fn note(&mut self, group: IpAddr, link: Link, packet: CapturedPacket) {
        match packet {
            CapturedPacket::Query { source, version } if !link.outgoing => {
                self.query(source, version);
            }
            CapturedPacket::Fragment { destination, piece }
                if destination == group && !link.outgoing =>
            {
                self.piece(link.interface, piece);
            }
            CapturedPacket::Datagram {
                source,
                destination,
                piece,
            } => {
                if let Some(piece) = piece
                    && destination.ip() == group
                    && !link.outgoing
                {
                    self.piece(link.interface, piece);
                }
                let streams = if link.outgoing {
                    &mut self.sent
                } else if destination.ip() != group {
                    &mut self.elsewhere
                } else if link.frame == Frame::Taken {
                    &mut self.streams
                } else {
                    &mut self.foreign
                };
                if destination.ip() == group || destination.ip().is_multicast() {
                    count(streams, source, destination, link);
                }
            }
            CapturedPacket::Query { .. } | CapturedPacket::Fragment { .. } => {}
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

    fn query(&mut self, source: IpAddr, version: u8) {
        let known = self.queriers.iter_mut();
        let same = |known: &&mut (IpAddr, u8, u64)| (known.0, known.1) == (source, version);
        if let Some(known) = known.into_iter().find(same) {
            known.2 += 1;
        } else if self.queriers.len() < MOST {
            self.queriers.push((source, version, 1));
        }
    }
}

/// Adds a datagram to the stream that it belongs to.
fn count(
    streams: &mut Vec<CapturedStream>,
    source: SocketAddr,
    destination: SocketAddr,
    link: Link,
) {
    let key = (
        source,
        destination.ip(),
        destination.port(),
        link.interface,
        link.frame,
    );
    let same = |known: &&mut CapturedStream| {
        let of = (
            known.source,
            known.destination,
            known.port,
            known.interface,
            known.frame,
        );
        of == key
    };
    if let Some(known) = streams.iter_mut().find(same) {
        known.datagrams += 1;
    } else if streams.len() < MOST {
        streams.push(CapturedStream {
            source,
            destination: destination.ip(),
            port: destination.port(),
            interface: link.interface,
            frame: link.frame,
            datagrams: 1,
        });
    }
}
