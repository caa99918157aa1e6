//! What can be chosen.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// The port that a server listens on by default: one of those that are free for anything
/// (RFC 6335 §6).
pub const DEFAULT_PORT: u16 = 49_366;

/// A secret that both ends know. It is not shown in traces.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Bytes);

impl Key {
    /// The bytes of a text or a file.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Whom a [`Client`](super::Client) asks about which group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The server's address and port.
    pub server: SocketAddr,
    /// The group and port that are to be tried. Without a zone, since both ends have their own.
    pub group: SocketAddr,
    /// For a source-specific group: the address that the client sends to it from, to be named by
    /// the server where it joins.
    pub source: Option<IpAddr>,
    /// The key, where the server has one.
    pub key: Option<Key>,
}

/// Datagrams that a [`Client`](super::Client) sends, to be counted by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// To the group, by a socket of its own as other programs of this host would send; or to the
    /// server.
    pub to_group: bool,
    /// To the group: the index of the interface to send by; `None`: what the route says.
    pub interface: Option<u32>,
    /// To the group: the address to send from; `None`: what the route says.
    pub source: Option<IpAddr>,
    /// How many, from 1 to [`MAX_COUNT`](super::MAX_COUNT).
    pub count: u8,
    /// How long each is, in bytes of payload, from [`MIN_SIZE`](super::MIN_SIZE).
    pub size: u16,
    /// The hop limit, from 1.
    pub hops: u8,
}

/// What a [`Server`](super::Server) does at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The key that clients must have; without one, whoever can reach it may ask.
    pub key: Option<Key>,
    /// How many datagrams of data it sends a second at most, over time; 200 by default. Ten times
    /// as many may go at once. An examination counts as much as a second of them, and so does a group
    /// that nobody has agreed on yet.
    pub rate: u32,
    /// How many clients it remembers; 32 by default. One host, or one /64 of IPv6, has a quarter of them
    /// at most.
    pub sessions: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            key: None,
            rate: 200,
            sessions: 32,
        }
    }
}
