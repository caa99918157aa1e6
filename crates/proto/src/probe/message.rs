//! The wire format.
//!
//! ```text
//! "mcdp" · version (1) · kind · nonce (16) · cookie (16) · number (4) · body · zeros · HMAC (32)
//! ```
//!
//! Numbers are in network byte order. Without a key the last 32 bytes are zero.
//!
//! What stands before the body stays the same in all versions, and so do `Hello`, of which only the
//! beginning is looked at in another version, and `Refused` with [`Refusal::Version`]. So two
//! versions that do not understand each other can say so.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use manycast_types::Malformed;
use sha2::Sha256;

use super::Key;
use crate::wire::{Reader, Writer};

const MAGIC: [u8; 4] = *b"mcdp";
/// Version 2 has examinations, and sources.
const VERSION: u8 = 3;
const TAG: usize = 32;

/// Requests are of this length at least, and no answer is longer.
pub(super) const REQUEST: usize = 160;
const ANSWER: usize = MIN_SIZE as usize;

/// Requests for a piece of a report are of this length: the piece, and what stands around it. So
/// they fit into the smallest packets that IPv6 knows (RFC 8200 §5).
const READ: usize = 1200;

/// The length of the pieces of a report, but for the last one.
pub(super) const CHUNK: usize = 1024;

/// The shortest datagram of data, in bytes.
pub const MIN_SIZE: u16 = 128;

/// How many datagrams of data one request is for, at most.
pub const MAX_COUNT: u8 = 64;

/// A message, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The client's number for the session, chosen at random.
    pub(super) nonce: [u8; 16],
    /// The server's; zeros in the first `Hello`.
    pub(super) cookie: [u8; 16],
    /// Which request, or which round of data.
    pub(super) number: u32,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The source is the one that the client sends to the group from, where it must be named.
    Hello {
        group: SocketAddr,
        source: Option<IpAddr>,
    },
    Welcome,
    Send(Burst),
    Sent,
    Count {
        round: u32,
    },
    Counted(Counts),
    Data {
        index: u8,
        from_client: bool,
    },
    Refused(Refusal),
    Watch,
    Watching,
    Examine {
        round: u32,
        sent: u16,
    },
    Examined {
        length: u16,
    },
    Read {
        chunk: u8,
    },
    Chunk {
        chunk: u8,
        bytes: Bytes,
    },
    Bye,
}

/// Datagrams of data that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// To the group, or to the host that asks.
    pub to_group: bool,
    /// To the group: by the interface that the route chooses, or by the one that the request came
    /// in on.
    pub by_route: bool,
    /// How many, from 1 to [`MAX_COUNT`].
    pub count: u8,
    /// How long each is, in bytes of payload, from [`MIN_SIZE`].
    pub size: u16,
    /// The hop limit, from 1.
    pub hops: u8,
    /// To the group: the address to send from; `None`: what the route says.
    pub source: Option<IpAddr>,
}

/// How many different datagrams of a round came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To the group.
    pub group: u8,
    /// To the host.
    pub host: u8,
}

/// Why a server does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The group is none, or is one of the link's own protocols.
    Group,
    /// A number in the request is out of its range.
    Request,
    /// It was asked for more than it sends a second.
    TooMuch,
    /// Its host could not send.
    CannotSend,
    /// Its host does not have the address that it was to send from.
    Source,
    /// It speaks another version of this protocol.
    Version,
}

impl Message {
    /// The message as a datagram, padded to `size` bytes at least.
    pub(super) fn emit(&self, key: Option<&Key>, size: usize) -> Bytes {
        let mut writer = Writer::with_capacity(size.max(REQUEST));
        writer.bytes(&MAGIC).u8(VERSION).u8(self.body.kind());
        writer
            .bytes(&self.nonce)
            .bytes(&self.cookie)
            .u32(self.number);
        match &self.body {
            Body::Hello { group, source } => {
                write_ip(&mut writer, Some(group.ip()));
                writer.u16(group.port());
                write_ip(&mut writer, *source);
            }
            Body::Send(burst) => {
                writer
                    .u8(u8::from(burst.to_group))
                    .u8(u8::from(burst.by_route));
                writer.u8(burst.count).u16(burst.size).u8(burst.hops);
                write_ip(&mut writer, burst.source);
            }
            Body::Count { round } => {
                writer.u32(*round);
            }
            Body::Counted(counts) => {
                writer.u8(counts.group).u8(counts.host);
            }
            Body::Data { index, from_client } => {
                writer.u8(*index).u8(u8::from(*from_client));
            }
            Body::Refused(why) => {
                writer.u8(*why as u8);
            }
            Body::Examine { round, sent } => {
                writer.u32(*round).u16(*sent);
            }
            Body::Examined { length } => {
                writer.u16(*length);
            }
            Body::Read { chunk } => {
                writer.u8(*chunk);
            }
            Body::Chunk { chunk, bytes } => {
                // The writer has put no more into a piece than the length of one.
                let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                writer.u8(*chunk).u16(length).bytes(bytes);
            }
            Body::Welcome | Body::Sent | Body::Watch | Body::Watching | Body::Bye => {}
        }
        let length = size.max(self.body.shortest().unwrap_or(ANSWER));
        let padding = length.saturating_sub(TAG + writer.offset());
        writer.bytes(&vec![0; padding]);
        let datagram = writer.finish();
        let tag = tag(key, &datagram);
        [&datagram[..], &tag[..]].concat().into()
    }

    /// Understands a datagram, if it bears the right HMAC.
    pub(super) fn parse(datagram: &[u8], key: Option<&Key>) -> Result<Self, Malformed> {
        let end = datagram.len().saturating_sub(TAG);
        let (signed, tag) = datagram.split_at(end);
        let mut reader = Reader::new(signed);
        if reader.array()? != MAGIC {
            return Err(Malformed::new("it is of another protocol", 0));
        }
        if reader.u8()? != VERSION {
            return Err(Malformed::new("it is of another version", MAGIC.len()));
        }
        if !is_tag(key, signed, tag) {
            return Err(Malformed::new("it has another key", end));
        }
        let kind = reader.u8()?;
        let (nonce, cookie, number) = (reader.array()?, reader.array()?, reader.u32()?);
        let at = reader.offset();
        let body = match kind {
            0 => {
                let Some(ip) = read_ip(&mut reader)? else {
                    return Err(Malformed::new("there is no group", at));
                };
                Body::Hello {
                    group: SocketAddr::new(ip, reader.u16()?),
                    source: read_ip(&mut reader)?,
                }
            }
            1 => Body::Welcome,
            2 => Body::Send(Burst {
                to_group: reader.u8()? != 0,
                by_route: reader.u8()? != 0,
                count: reader.u8()?,
                size: reader.u16()?,
                hops: reader.u8()?,
                source: read_ip(&mut reader)?,
            }),
            3 => Body::Sent,
            4 => Body::Count {
                round: reader.u32()?,
            },
            5 => Body::Counted(Counts {
                group: reader.u8()?,
                host: reader.u8()?,
            }),
            6 => Body::Data {
                index: reader.u8()?,
                from_client: reader.u8()? != 0,
            },
            7 => Body::Refused(match reader.u8()? {
                0 => Refusal::Group,
                1 => Refusal::Request,
                2 => Refusal::TooMuch,
                4 => Refusal::Source,
                5 => Refusal::Version,
                _ => Refusal::CannotSend,
            }),
            8 => Body::Watch,
            9 => Body::Watching,
            10 => Body::Examine {
                round: reader.u32()?,
                sent: reader.u16()?,
            },
            11 => Body::Examined {
                length: reader.u16()?,
            },
            12 => Body::Read {
                chunk: reader.u8()?,
            },
            13 => {
                let (chunk, length) = (reader.u8()?, reader.u16()?);
                let bytes = reader.bytes(length.into())?;
                Body::Chunk {
                    chunk,
                    bytes: Bytes::copy_from_slice(bytes),
                }
            }
            14 => Body::Bye,
            _ => return Err(Malformed::new("there is no such kind", at)),
        };
        if body.shortest().is_some_and(|least| datagram.len() < least) {
            // The answer could be longer, which would help those who ask in another's name.
            return Err(Malformed::new("the request is too short", datagram.len()));
        }
        Ok(Self {
            nonce,
            cookie,
            number,
            body,
        })
    }
}

/// What can be understood of a message of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) version: u8,
    pub(super) nonce: [u8; 16],
    pub(super) number: u32,
    /// Whether it is a `Hello` that is long enough to be answered.
    pub(super) is_hello: bool,
}

impl Foreign {
    /// Understands what it can of a message, where it is of another version than this.
    pub(super) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let magic: [u8; 4] = reader.array().ok()?;
        let version = reader.u8().ok()?;
        if magic != MAGIC || version == VERSION {
            return None;
        }
        let kind = reader.u8().ok()?;
        let (nonce, _cookie) = (reader.array().ok()?, reader.array::<16>().ok()?);
        Some(Self {
            version,
            nonce,
            number: reader.u32().ok()?,
            is_hello: kind == 0 && datagram.len() >= REQUEST,
        })
    }
}

impl Body {
    const fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 0,
            Self::Welcome => 1,
            Self::Send(_) => 2,
            Self::Sent => 3,
            Self::Count { .. } => 4,
            Self::Counted(_) => 5,
            Self::Data { .. } => 6,
            Self::Refused(_) => 7,
            Self::Watch => 8,
            Self::Watching => 9,
            Self::Examine { .. } => 10,
            Self::Examined { .. } => 11,
            Self::Read { .. } => 12,
            Self::Chunk { .. } => 13,
            Self::Bye => 14,
        }
    }

    /// How long a request is at least; `None`: it is none.
    const fn shortest(&self) -> Option<usize> {
        match self {
            Self::Hello { .. }
            | Self::Send(_)
            | Self::Count { .. }
            | Self::Watch
            | Self::Examine { .. } => Some(REQUEST),
            Self::Read { .. } => Some(READ),
            _ => None,
        }
    }
}

/// Writes an address in 17 bytes: the version of IP, or 0 for none, and the address with zeros.
fn write_ip(writer: &mut Writer, ip: Option<IpAddr>) {
    match ip {
        None => writer.u8(0).bytes(&[0; 16]),
        Some(IpAddr::V4(ip)) => writer.u8(4).bytes(&ip.octets()).bytes(&[0; 12]),
        Some(IpAddr::V6(ip)) => writer.u8(6).bytes(&ip.octets()),
    };
}

fn read_ip(reader: &mut Reader<'_>) -> Result<Option<IpAddr>, Malformed> {
    let at = reader.offset();
    let version = reader.u8()?;
    let octets: [u8; 16] = reader.array()?;
    match (version, octets) {
        (0, _) => Ok(None),
        (4, [a, b, c, d, ..]) => Ok(Some(IpAddr::from([a, b, c, d]))),
        (6, octets) => Ok(Some(IpAddr::from(octets))),
        _ => Err(Malformed::new("there is no such version of IP", at)),
    }
}

/// RFC 2104, with the hash of RFC 6234.
fn mac(key: &Key, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(signed);
    mac
}

fn tag(key: Option<&Key>, signed: &[u8]) -> [u8; TAG] {
    key.map_or([0; TAG], |key| {
        mac(key, signed).finalize().into_bytes().into()
    })
}

/// Compares in constant time.
fn is_tag(key: Option<&Key>, signed: &[u8], tag: &[u8]) -> bool {
    match key {
        Some(key) => mac(key, signed).verify_slice(tag).is_ok(),
        None => tag == [0; TAG],
    }
}
