//! Datagrams that belong together.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use manycast_types::{InterfaceId, Received};

/// Datagrams from one source to one destination on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Who sent them; port 0 where that host sends from more ports than are told apart.
    pub source: SocketAddr,
    /// What they were sent to.
    pub destination: SocketAddr,
    /// Which interface they came in on.
    pub interface: InterfaceId,
    /// How many.
    pub datagrams: u64,
    /// How long the longest payload is, in bytes.
    pub largest: usize,
    /// The least hop limit that was left.
    pub hops: Option<u8>,
    /// When the first one came, from the beginning.
    pub first: Duration,
    /// When the last one came, from the beginning.
    pub last: Duration,
    /// The longest time between two of them.
    pub longest_gap: Duration,
}

impl Flow {
    /// Whether they are sent from there.
    pub(super) fn comes_from(&self, source: SocketAddr) -> bool {
        without_zone(self.source) == without_zone(source)
    }

    /// Whether another flow is of the same sender, and goes to the same address.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.comes_from(other.source)
            && without_zone(self.destination) == without_zone(other.destination)
    }

    /// Whether they may be sent from this port.
    pub(super) fn may_come_from(&self, port: u16) -> bool {
        [0, port].contains(&self.source.port())
    }

    /// Whether a datagram is one of them, but for the port that it was sent from.
    pub(super) fn is_of(&self, received: &Received<'_>) -> bool {
        self.source.ip() == received.source.ip()
            && self.destination == received.destination
            && self.interface.index == received.interface.index
    }
}

/// An address of the link names the interface that it came by, and none where it is captured.
fn without_zone(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip(), address.port())
}

/// How many datagrams there are in flows.
pub(super) fn total(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| flow.datagrams).sum()
}
