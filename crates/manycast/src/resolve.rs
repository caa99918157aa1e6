//! From an [`Address`] to what a socket takes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use manycast_net::Operation;
use manycast_types::{Address, Host};

use crate::Error;

/// The socket addresses of a host, each with its zone. [`Host::Any`] gives both unspecified ones.
///
/// Of a name, those of IPv4 come first, against RFC 6724: many a UDP service listens on IPv4 alone,
/// and there is no connection whose failure would tell.
///
/// It blocks while a name is looked up.
pub(crate) fn socket_addrs(address: &Address) -> Result<Vec<SocketAddr>, Error> {
    let port = address.port();
    let mut found: Vec<SocketAddr> = match address.host() {
        Host::Any => vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ],
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => look_up(name, port)?,
    };
    if let Some(selector) = address.interface() {
        let interface = manycast_net::find_interface(selector)?;
        for address in &mut found {
            *address = with_zone(*address, interface.index);
        }
    }
    Ok(found)
}

fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let failed = |error| {
        manycast_net::Error::new(Operation::Resolve, name, error).explained(
            "no name server knows the name, or none answers",
            "check the spelling, or give the address in numbers",
        )
    };
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs().map_err(failed)? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() {
        return Err(failed(io::Error::from(io::ErrorKind::NotFound)).into());
    }
    Ok(found)
}

/// Sets the zone of an address that means nothing without one (RFC 4007 §6).
pub(crate) fn with_zone(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if needs_zone(*v6.ip()) => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index).into()
        }
        other => other,
    }
}

/// Whether an address means another place on each link: link-local ones, and groups of
/// interface-local and link-local scope (RFC 4291 §2.5.6 and §2.7).
pub(crate) fn needs_zone(address: Ipv6Addr) -> bool {
    let octets = address.octets();
    address.is_unicast_link_local() || (octets[0] == 0xff && octets[1] & 0x0f <= 2)
}

/// A seed for a protocol, from the system's randomness.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // Without randomness transaction identifiers can be guessed, but everything else works.
    if let Err(error) = getrandom::fill(&mut seed) {
        tracing::warn!(%error, "the system gives no randomness");
    }
    seed
}
