//! The egress interface of a datagram, and what sending by it asks of a socket. It is decided here
//! and nowhere else.

mod none;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use manycast_net::{ErrorKind, Interface, InterfaceAddress, Operation, SocketConfig, errno};
use manycast_types::{InterfaceId, InterfaceSelector, with_zone};

use crate::Error;

use none::why_no_route;
pub(crate) use none::{Need, why_none};

/// How datagrams get to a destination.
#[derive(Debug)]
pub(crate) struct Egress {
    /// The destination, with the zone that it needs.
    pub(crate) destination: SocketAddr,
    /// By which interface, as far as that is known.
    pub(crate) interface: Option<Interface>,
    /// The local address that they leave from, as far as that is known.
    pub(crate) source: Option<IpAddr>,
    /// Whether the destination means every host of a link.
    pub(crate) is_broadcast: bool,
    /// Whether the interface is the user's choice and not the route's.
    is_chosen: bool,
}

impl Egress {
    /// The egress to `destination`: by the interface that is named; else as the route says for the
    /// local address `from`; else, for a group or a broadcast, by the first interface that is up
    /// and can do it.
    pub(crate) fn to(
        destination: SocketAddr,
        selector: Option<&InterfaceSelector>,
        from: Option<IpAddr>,
    ) -> Result<Self, Error> {
        let to = destination.ip();
        let interface = match selector {
            Some(selector) => {
                let interface = manycast_net::find_interface(selector)?;
                if to.is_multicast() {
                    ready_for_multicast(&interface, to, Operation::Send)?;
                }
                Some(interface)
            }
            None if lacks_zone(destination) => Some(only_link(destination)?),
            None => egress(to, from)?,
        };
        if let Some(interface) = &interface {
            // The kernel does not always refuse: it sends by a loopback that was put down.
            must_be_up(interface, to, Operation::Send)?;
        }
        let index = interface.as_ref().map(|interface| interface.index);
        let is_limited = is_limited_broadcast(to);
        if interface.is_none() && (to.is_multicast() || is_limited) {
            return Err(nowhere(to));
        }
        let route = manycast_net::route_from(from, to, index);
        Ok(Self {
            destination: index.map_or(destination, |index| with_zone(destination, index)),
            source: from.or_else(|| route.ok().flatten().and_then(|route| route.source)),
            is_broadcast: is_broadcast(to, interface.as_ref()),
            is_chosen: selector.is_some() || is_limited,
            interface,
        })
    }

    /// The set-up of a socket that sends this way.
    pub(crate) fn set_up(&self, config: &SocketConfig) -> SocketConfig {
        let mut config = config.clone();
        config.broadcast |= self.is_broadcast;
        if self.destination.ip().is_multicast() {
            config.multicast_interface = self.index();
        } else if self.is_chosen {
            config.device = self.index();
        }
        config
    }

    /// The index of the interface, as far as it is known.
    pub(crate) fn index(&self) -> Option<u32> {
        self.interface.as_ref().map(|interface| interface.index)
    }

    /// Index and name of the interface; neither where it is not known.
    pub(crate) fn interface_id(&self) -> InterfaceId {
        match &self.interface {
            Some(interface) => interface.id(),
            None => InterfaceId::new(0, ""),
        }
    }

    /// Says more of a failure on this way.
    pub(crate) fn explain(&self, error: manycast_net::Error) -> manycast_net::Error {
        let unreachable = [
            ErrorKind::NetworkUnreachable,
            ErrorKind::AddressNotAvailable,
        ];
        if self.destination.ip().is_loopback() && unreachable.contains(&error.kind()) {
            return error.explained(
                "the loopback interface is down",
                "bring it up with 'ip link set lo up'",
            );
        }
        match &self.interface {
            Some(Interface { name, loopback, .. }) => {
                no_route(error, self.destination.ip(), name, *loopback)
            }
            None if error.kind() == ErrorKind::NetworkUnreachable => {
                let interfaces = manycast_net::interfaces().unwrap_or_default();
                match why_no_route(&interfaces, self.destination.ip()) {
                    Some((cause, remedy)) => error.explained(cause, remedy),
                    None => error,
                }
            }
            None => error,
        }
    }
}

/// Whether an address of a host means another one on each link, and the link is not named.
const fn lacks_zone(destination: SocketAddr) -> bool {
    match destination {
        SocketAddr::V6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
        SocketAddr::V4(_) => false,
    }
}

/// The link of an address that does not name one, where there is but one.
fn only_link(destination: SocketAddr) -> Result<Interface, Error> {
    let is_link_local = |own: &InterfaceAddress| matches!(own.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let mut links = manycast_net::interfaces()?;
    links.retain(|interface| interface.up && interface.addresses.iter().any(is_link_local));
    let names: Vec<String> = links.iter().map(|link| link.name.to_string()).collect();
    match (links.pop(), names.as_slice()) {
        (Some(link), [_]) => Ok(link),
        (_, names) => {
            let cause = match names {
                [] => "no interface has a link-local address of its own".to_owned(),
                names => format!("the address may exist on each of {}", names.join(", ")),
            };
            let name = names.first().map_or("eth0", String::as_str);
            let remedy = format!(
                "name the interface: [{}%{name}]:{}",
                destination.ip(),
                destination.port()
            );
            let error =
                manycast_net::Error::from_errno(Operation::Send, destination, errno::EINVAL);
            Err(error.explained(cause, remedy).into())
        }
    }
}

/// A group or a broadcast, and no interface for it.
pub(crate) fn nowhere(to: IpAddr) -> Error {
    let interfaces = manycast_net::interfaces().unwrap_or_default();
    let (cause, remedy) = why_none(&interfaces, Need::Send(to));
    manycast_net::Error::from_errno(Operation::Send, to, errno::ENETUNREACH)
        .explained(cause, remedy)
        .into()
}

/// The interface by which something to `destination` leaves: by which the route leads for the local
/// address `from`; where there is none, for a group or a broadcast, the first that is up and can do
/// it.
///
/// # Errors
///
/// Only where the machine itself fails.
pub fn egress(destination: IpAddr, from: Option<IpAddr>) -> Result<Option<Interface>, Error> {
    let all = manycast_net::interfaces()?;
    if let Some(route) = manycast_net::route_from(from, destination, None)? {
        return Ok(all
            .into_iter()
            .find(|interface| interface.index == route.interface));
    }
    Ok(first_that_can(destination, all))
}

/// The first interface that is up and can send to a group or a broadcast. Loopback leads nowhere, so
/// it stands in only on a host that has nothing else, be it up or down.
fn first_that_can(destination: IpAddr, all: Vec<Interface>) -> Option<Interface> {
    let ipv4 = destination.is_ipv4();
    let leads_out = |interface: &Interface| {
        !interface.loopback
            && if destination.is_multicast() {
                interface.multicast
            } else {
                interface.broadcast
            }
    };
    let only_loopback = !all.iter().any(leads_out);
    let can = |interface: &Interface| {
        let speaks = interface
            .addresses
            .iter()
            .any(|own| own.address.is_ipv4() == ipv4);
        let reaches = if destination.is_multicast() {
            interface.can_multicast()
        } else {
            interface.up && interface.broadcast && is_limited_broadcast(destination)
        };
        speaks && reaches && (only_loopback || !interface.loopback)
    };
    let found = all.into_iter().find(|interface| can(interface))?;
    if found.loopback {
        tracing::warn!(%destination, "this host has no other interface: sent by {} to itself alone", found.name);
    }
    Some(found)
}

/// Says more of a missing route where the interface is known. Linux makes one to all groups of IPv6
/// for each interface but lo, where it delivers them only by a route of another type.
pub(crate) fn no_route(
    error: manycast_net::Error,
    destination: IpAddr,
    name: &str,
    loopback: bool,
) -> manycast_net::Error {
    let is_group = destination.is_ipv6() && destination.is_multicast();
    if !is_group || error.kind() != ErrorKind::NetworkUnreachable {
        return error;
    }
    let kind = if loopback { "local" } else { "multicast" };
    error.explained(
        format!("{name} has no route to groups"),
        format!("add one with 'ip -6 route add {kind} ff00::/8 dev {name} table local'"),
    )
}

fn is_limited_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// Whether an address means every host of a link.
fn is_broadcast(address: IpAddr, egress: Option<&Interface>) -> bool {
    let of_interface = egress.is_some_and(|interface| {
        interface.broadcast
            && interface.addresses.iter().any(|own| {
                let broadcast = own.broadcast.or_else(|| last_of_network(own));
                broadcast.is_some_and(|broadcast| IpAddr::V4(broadcast) == address)
            })
    });
    is_limited_broadcast(address) || of_interface
}

/// The last address of an IPv4 network, which the kernel treats as its broadcast address even where
/// none was set (RFC 919 §7). Networks of one or two addresses have none (RFC 3021 §2.2).
fn last_of_network(own: &InterfaceAddress) -> Option<Ipv4Addr> {
    match own.address {
        IpAddr::V4(address) if own.prefix < 31 => Some(Ipv4Addr::from_bits(
            address.to_bits() | (u32::MAX >> own.prefix),
        )),
        _ => None,
    }
}

/// Checks what the kernel does not check: it lets a socket join on an interface that cannot
/// multicast, and nothing ever arrives.
pub(crate) fn ready_for_multicast(
    interface: &Interface,
    group: IpAddr,
    operation: Operation,
) -> Result<(), Error> {
    must_be_up(interface, group, operation)?;
    if !interface.can_multicast() {
        let target = target(interface, group, operation);
        let error = manycast_net::Error::from_errno(operation, target, errno::ENODEV).explained(
            "the interface has no MULTICAST flag",
            "choose another with %INTERFACE or see 'manycast interfaces'",
        );
        return Err(error.into());
    }
    Ok(())
}

fn must_be_up(interface: &Interface, to: IpAddr, operation: Operation) -> Result<(), Error> {
    if interface.up {
        return Ok(());
    }
    let name = &interface.name;
    let remedy = format!("bring it up with 'ip link set {name} up', or choose another");
    let error = manycast_net::Error::from_errno(
        operation,
        target(interface, to, operation),
        errno::ENETDOWN,
    );
    Err(error.explained("the interface is down", remedy).into())
}

fn target(interface: &Interface, to: IpAddr, operation: Operation) -> String {
    let preposition = if operation == Operation::Send {
        "by"
    } else {
        "on"
    };
    format!("{to} {preposition} {}", interface.name)
}
