//! From an [`Address`] to what a socket takes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use manycast_net::{ErrorKind, Interface, Operation};
use manycast_types::{Address, Host, InterfaceSelector};

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

/// The interface by which to send to `destination`: the named one; else the route's choice; else,
/// for a group or a broadcast, the first that is up and can do it.
pub(crate) fn egress(
    destination: IpAddr,
    selector: Option<&InterfaceSelector>,
) -> Result<Option<Interface>, Error> {
    if let Some(selector) = selector {
        let interface = manycast_net::find_interface(selector)?;
        if destination.is_multicast() {
            ready_for_multicast(&interface, destination, Operation::Send)?;
        }
        return Ok(Some(interface));
    }
    let all = manycast_net::interfaces()?;
    if let Some(route) = manycast_net::route_to(destination, None)? {
        return Ok(all
            .into_iter()
            .find(|interface| interface.index == route.interface));
    }
    let ipv4 = destination.is_ipv4();
    let can = |interface: &&Interface| {
        let speaks = interface
            .addresses
            .iter()
            .any(|own| own.address.is_ipv4() == ipv4);
        let reaches = if destination.is_multicast() {
            interface.can_multicast()
        } else {
            interface.up && interface.broadcast && is_limited_broadcast(destination)
        };
        speaks && reaches
    };
    // Loopback comes last: it is first by index, but leads nowhere else.
    let found = all
        .iter()
        .filter(can)
        .min_by_key(|interface| interface.loopback);
    Ok(found.cloned())
}

/// Says more of a missing route where the interface is known. Linux makes one to all groups of IPv6
/// for each interface but lo, where it delivers them only by a route of another type.
pub(crate) fn no_route(
    error: manycast_net::Error,
    destination: IpAddr,
    egress: Option<&Interface>,
) -> manycast_net::Error {
    let is_group = destination.is_ipv6() && destination.is_multicast();
    match egress {
        Some(Interface { name, loopback, .. })
            if is_group && error.kind() == ErrorKind::NetworkUnreachable =>
        {
            let kind = if *loopback { "local" } else { "multicast" };
            error.explained(
                format!("{name} has no route to groups"),
                format!("add one with 'ip -6 route add {kind} ff00::/8 dev {name} table local'"),
            )
        }
        _ => error,
    }
}

pub(crate) fn is_limited_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// Whether an address means every host of a link.
pub(crate) fn is_broadcast(address: IpAddr, egress: Option<&Interface>) -> bool {
    let of_interface = egress.is_some_and(|interface| {
        interface.addresses.iter().any(|own| {
            own.broadcast
                .is_some_and(|broadcast| IpAddr::V4(broadcast) == address)
        })
    });
    is_limited_broadcast(address) || of_interface
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

/// Checks what the kernel does not check: it lets a socket join on an interface that cannot
/// multicast, and nothing ever arrives.
pub(crate) fn ready_for_multicast(
    interface: &Interface,
    group: IpAddr,
    operation: Operation,
) -> Result<(), Error> {
    let target = match operation {
        Operation::Send => format!("{group} by {}", interface.name),
        _ => format!("{group} on {}", interface.name),
    };
    let name = &interface.name;
    if !interface.up {
        let error = manycast_net::Error::from_errno(operation, target, ENETDOWN);
        let remedy = format!("bring it up with 'ip link set {name} up', or choose another");
        return Err(error.explained("the interface is down", remedy).into());
    }
    if !interface.can_multicast() {
        let error = manycast_net::Error::from_errno(operation, target, ENODEV).explained(
            "the interface has no MULTICAST flag",
            "choose another with %INTERFACE or see 'manycast interfaces'",
        );
        return Err(error.into());
    }
    Ok(())
}

const ENODEV: i32 = 19;
const ENETDOWN: i32 = 100;
