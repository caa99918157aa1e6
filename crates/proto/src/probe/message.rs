//! The wire format.
//!
//! ```text
//! "mcdp" · version (1) · kind · nonce (16) · cookie (16) · number (4) · body · zeros · HMAC (32)
//! ```
//!
//! Numbers are in network byte order. Without a key the last 32 bytes are zero.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use manycast_types::Malformed;
use sha2::Sha256;

use super::Key;
use crate::wire::{Reader, Writer};

const MAGIC: [u8; 4] = *b"mcdp";
const VERSION: u8 = 1;
const TAG: usize = 32;

/// Requests are of this length, and no answer is longer.
pub(super) const REQUEST: usize = 160;
const ANSWER: usize = MIN_SIZE as usize;

/// The shortest datagram of data, in bytes.
pub const MIN_SIZE: u16 = 128;

/// How many datagrams of data one request is for, at most.
pub const MAX_COUNT: u8 = 64;

/// A message, of whatever kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The client's number for the session, chosen at random.
    pub(super) nonce: [u8; 16],
    /// The server's; zeros in a `Hello`.
    pub(super) cookie: [u8; 16],
    /// Which request, or which round of data.
    pub(super) number: u32,
    pub(super) body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Hello { group: SocketAddr },
    Welcome,
    Send(Burst),
    Sent,
    Count { round: u32 },
    Counted(Counts),
    Data { index: u8, from_client: bool },
    Refused(Refusal),
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
}

/// How many different datagrams of a round came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By way of the group.
    pub group: u8,
    /// By unicast.
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
        match self.body {
            Body::Hello { group } => {
                match group.ip() {
                    IpAddr::V4(ip) => writer.u8(4).bytes(&ip.octets()).bytes(&[0; 12]),
                    IpAddr::V6(ip) => writer.u8(6).bytes(&ip.octets()),
                };
                writer.u16(group.port());
            }
            Body::Send(burst) => {
                writer
                    .u8(u8::from(burst.to_group))
                    .u8(u8::from(burst.by_route));
                writer.u8(burst.count).u16(burst.size).u8(burst.hops);
            }
            Body::Count { round } => {
                writer.u32(round);
            }
            Body::Counted(counts) => {
                writer.u8(counts.group).u8(counts.host);
            }
            Body::Data { index, from_client } => {
                writer.u8(index).u8(u8::from(from_client));
            }
            Body::Refused(why) => {
                writer.u8(why as u8);
            }
            Body::Welcome | Body::Sent => {}
        }
        let length = size.max(if self.body.is_request() {
            REQUEST
        } else {
            ANSWER
        });
        let padding = (length - TAG).saturating_sub(writer.offset());
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
                let version = reader.u8()?;
                let octets: [u8; 16] = reader.array()?;
                let ip = match (version, octets) {
                    (4, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
                    (6, octets) => IpAddr::from(octets),
                    _ => return Err(Malformed::new("there is no such version of IP", at)),
                };
                Body::Hello {
                    group: SocketAddr::new(ip, reader.u16()?),
                }
            }
            1 => Body::Welcome,
            2 => Body::Send(Burst {
                to_group: reader.u8()? != 0,
                by_route: reader.u8()? != 0,
                count: reader.u8()?,
                size: reader.u16()?,
                hops: reader.u8()?,
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
                _ => Refusal::CannotSend,
            }),
            _ => return Err(Malformed::new("there is no such kind", at)),
        };
        Ok(Self {
            nonce,
            cookie,
            number,
            body,
        })
    }
}

impl Body {
    const fn kind(self) -> u8 {
        match self {
            Self::Hello { .. } => 0,
            Self::Welcome => 1,
            Self::Send(_) => 2,
            Self::Sent => 3,
            Self::Count { .. } => 4,
            Self::Counted(_) => 5,
            Self::Data { .. } => 6,
            Self::Refused(_) => 7,
        }
    }

    const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Hello { .. } | Self::Send(_) | Self::Count { .. }
        )
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
