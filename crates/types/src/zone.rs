//! Addresses that mean another place on each link.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Whether an address means another place on each link, so that it needs a zone: link-local ones,
/// and groups of interface-local and link-local scope (RFC 4291 §2.5.6 and §2.7).
///
/// ```
/// assert!(manycast_types::needs_zone("ff02::1".parse()?));
/// assert!(!manycast_types::needs_zone("ff15::1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub const fn needs_zone(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => is_of_a_link(v6),
    }
}

const fn is_of_a_link(address: Ipv6Addr) -> bool {
    let octets = address.octets();
    address.is_unicast_link_local() || (octets[0] == 0xff && octets[1] & 0x0f <= 2)
}

/// Sets the zone, an interface's index, of an address that means nothing without one (RFC 4007 §6).
/// Others stay as they are.
pub const fn with_zone(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if is_of_a_link(*v6.ip()) => {
            SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index))
        }
        other => other,
    }
}
