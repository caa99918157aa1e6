//! What a server does not do, whoever asks.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

/// How many datagrams may be sent: so many a second over time.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: u32,
    /// How many may go now, and since when.
    left: u32,
    counted_from: Option<Instant>,
}

/// How many seconds' worth of datagrams may go at once.
const BURST: u32 = 10;

impl Allowance {
    pub(super) const fn new(rate: u32) -> Self {
        Self {
            rate,
            left: rate.saturating_mul(BURST),
            counted_from: None,
        }
    }

    /// Whether so many datagrams more may go, which are then counted.
    pub(super) fn take(&mut self, now: Instant, count: u32) -> bool {
        let most = self.rate.saturating_mul(BURST);
        let since = *self.counted_from.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            let more = self.rate.saturating_mul(seconds);
            self.left = self.left.saturating_add(more).min(most);
            self.counted_from = Some(now);
        }
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// The part of the address that a client cannot choose: of IPv6, the network, since every host has all
/// the addresses of a /64 (RFC 4291 §2.5.4, RFC 8981).
pub(super) fn network(client: SocketAddr) -> (IpAddr, u32) {
    match client {
        SocketAddr::V4(client) => ((*client.ip()).into(), 0),
        SocketAddr::V6(client) => match client.ip().to_ipv4_mapped() {
            Some(ip) => (ip.into(), 0),
            None => {
                let network = client.ip().to_bits() & !u128::from(u64::MAX);
                (Ipv6Addr::from_bits(network).into(), client.scope_id())
            }
        },
    }
}

/// Whether a source can be one of a group's.
pub(super) fn may_be_source(source: Option<IpAddr>, group: SocketAddr) -> bool {
    source.is_none_or(|source| {
        source.is_ipv4() == group.is_ipv4() && !source.is_multicast() && !source.is_unspecified()
    })
}

/// Whether a server sends there: to groups alone, and not to those of a link's own protocols.
pub(super) fn may_be_probed(group: SocketAddr) -> bool {
    let allowed = match group.ip() {
        IpAddr::V4(ip) => ip.is_multicast() && ip.octets()[..3] != [224, 0, 0],
        // RFC 4291 §2.7.1: those of the lowest numbers and link-local scope.
        IpAddr::V6(ip) => ip.is_multicast() && ip.segments()[0] & 0xfff0 != 0xff00,
    };
    allowed && group.port() != 0
}
