//! The addresses of the host that something is announced on: what is said of them, and who is near.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Where what is announced can be reached by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The same for all.
    Url(String),
    /// `http://`, the address of this host on the link where it is asked for, this port and path: for hosts with several
    /// interfaces, or whose address changes.
    Here {
        /// The port.
        port: u16,
        /// The path, from the slash on.
        path: String,
    },
    /// It cannot.
    None,
}

impl Location {
    /// The URL for a host or a group that is told by an interface, if there is one; the outer `None` where there is no
    /// address for it.
    pub(crate) fn at(
        &self,
        addresses: &[LocalAddress],
        interface: u32,
        to: IpAddr,
    ) -> Option<Option<String>> {
        let (port, path) = match self {
            Self::None => return Some(None),
            Self::Url(url) => return Some(Some(url.clone())),
            Self::Here { port, path } => (port, path),
        };
        let is_local = |it: IpAddr| matches!(it, IpAddr::V6(it) if it.is_unicast_link_local());
        // UDA 2.0 Annex A: link-local addresses for those who are asked or told by link-local ones.
        let of_link = matches!(to, IpAddr::V6(it) if it.octets()[..2] == [0xff, 2]) || is_local(to);
        let here = || {
            addresses.iter().filter(move |it| {
                it.interface == interface
                    && it.address.is_ipv4() == to.is_ipv4()
                    && (to.is_ipv4() || is_local(it.address) == of_link)
            })
        };
        let address = here().find(|it| it.has(to)).or_else(|| here().next())?;
        let address = SocketAddr::new(address.address, *port);
        Some(Some(format!("http://{address}{path}")))
    }

    /// What of it is a text of the application's.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Url(text) | Self::Here { path: text, .. } => text,
            Self::None => "",
        }
    }
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    /// The index of its interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// How many bits of it are the network's.
    pub prefix: u8,
}

impl LocalAddress {
    /// Whether another address is of the same network.
    pub fn has(&self, other: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u32| {
            let host = bits.saturating_sub(u32::from(self.prefix));
            one.checked_shr(host).unwrap_or(0) == other.checked_shr(host).unwrap_or(0)
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(u32::from(one).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.into(), other.into(), 128),
            _ => false,
        }
    }
}

/// Whether a datagram may be answered: its source is a host, of a network of this one unless `strangers` are answered too.
pub(crate) fn may_ask(source: SocketAddr, addresses: &[LocalAddress], strangers: bool) -> bool {
    let ip = source.ip().to_canonical();
    let nobody = ip.is_unspecified()
        || ip.is_multicast()
        || source.port() == 0
        || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if nobody {
        return false;
    }
    let of_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    strangers || of_link || ip.is_loopback() || addresses.iter().any(|it| it.has(ip))
}

/// How much may be answered: a second's worth at once, then at the rate.
#[derive(Debug, Default)]
pub(crate) struct Allowance(Option<Instant>);

impl Allowance {
    /// Takes `count` answers from what is allowed, if so many are.
    pub(crate) fn take(&mut self, now: Instant, rate: u32, count: u32) -> bool {
        let interval = Duration::from_secs(1) / rate.max(1);
        let due = self.0.map_or(now, |due| due.max(now));
        if due.saturating_duration_since(now) > Duration::from_secs(1) {
            return false;
        }
        self.0 = due.checked_add(interval * count);
        true
    }
}
