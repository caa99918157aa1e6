//! Sockets and groups of an endpoint, and what a protocol requests of them.

use std::net::{IpAddr, SocketAddr};

use manycast_proto::{NetworkEvent, Request};
use manycast_types::{
    Address, ErrorKind, Group, Host as Name, Membership, NetworkError, SocketId, SourceFilter,
};

use super::{EndpointState, Host, Sim};

/// The ports that are given to those who ask for any (RFC 6335 §6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A socket of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) id: SocketId,
    /// What it is bound to: any address of one version of IP, one address, or a group.
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// The number of the interface that it was opened for.
    pub(super) interface: Option<usize>,
}

/// A group that an endpoint has joined on one interface.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) group: SocketAddr,
    pub(super) sources: SourceFilter,
    pub(super) interface: usize,
    pub(super) socket: SocketId,
    /// Whether the interface was named, and not one of all.
    pub(super) named: bool,
}

impl Socket {
    /// The address that it sends from, if it is bound to one.
    pub(super) fn source(&self) -> Option<IpAddr> {
        let is_one = !self.address.is_multicast() && !self.address.is_unspecified();
        is_one.then_some(self.address)
    }

    /// Whether it can send to a destination, from this source if one is wanted.
    pub(super) fn can_send(&self, source: Option<IpAddr>, destination: SocketAddr) -> bool {
        self.is_of_version(destination)
            && (source.is_none() || self.source().is_none() || source == self.source())
    }

    fn is_of_version(&self, destination: SocketAddr) -> bool {
        self.address.is_ipv4() == destination.is_ipv4()
    }

    /// Whether it gets what is sent to one of its host's addresses, or to all hosts.
    pub(super) fn receives(&self, destination: SocketAddr, interface: usize) -> bool {
        let any = self.address.is_unspecified() && self.is_of_version(destination);
        self.port == destination.port()
            && (any || self.address == destination.ip())
            && self.interface.is_none_or(|it| it == interface)
    }

    /// Whether two sockets cannot be open on one host.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let any = |one: &Self, other: &Self| {
            one.address.is_unspecified() && one.address.is_ipv4() == other.address.is_ipv4()
        };
        self.port == other.port
            && (self.address == other.address || any(self, other) || any(other, self))
            && (self.interface == other.interface
                || self.interface.is_none()
                || other.interface.is_none())
    }
}

impl EndpointState {
    /// The interface on which a group was joined, if it was named.
    pub(super) fn named_for(&self, group: IpAddr) -> Option<usize> {
        let is_named = |it: &&Joined| it.named && it.group.ip() == group;
        self.joined.iter().find(is_named).map(|it| it.interface)
    }

    /// Whether an answer must leave by the interface that a datagram came in on.
    pub(super) fn replies_by_interface(&self, socket: SocketId) -> bool {
        let bound = |it: &Socket| it.id == socket && it.interface.is_some();
        let named = |it: &Joined| it.socket == socket && it.named;
        self.sockets.iter().any(bound) || self.joined.iter().any(named)
    }
}

impl Sim {
    /// Does what a protocol requests, and tells it what came of it.
    pub(super) fn request(&mut self, index: usize, request: Request) {
        let events = match request {
            Request::Open { tag, local } => match self.open(index, &local) {
                Ok(opened) => opened
                    .into_iter()
                    .map(|(socket, local)| NetworkEvent::Opened { tag, socket, local })
                    .collect(),
                Err(error) => vec![NetworkEvent::NotOpened { tag, error }],
            },
            Request::Close { socket } => {
                self.endpoints[index].sockets.retain(|it| it.id != socket);
                self.forget(index, |joined| joined.socket == socket);
                Vec::new()
            }
            Request::Join { group, port } => match self.join_group(index, &group, port) {
                Ok(joined) => joined.into_iter().map(NetworkEvent::Joined).collect(),
                Err(error) => vec![NetworkEvent::NotJoined { group, port, error }],
            },
            Request::Leave { group, port } => {
                let left = self.leave_group(index, &group, port);
                left.into_iter().map(NetworkEvent::Left).collect()
            }
            // A request that is not known here is a gap in this simulator.
            _ => panic!("hosts cannot do this yet: {request:?}"),
        };
        let now = self.now();
        for event in events {
            self.endpoints[index].node.handle_network(now, event);
        }
    }

    /// Opens a socket on a local address; on any of them one for each version of IP that the host
    /// has an address of.
    fn open(
        &mut self,
        index: usize,
        local: &Address,
    ) -> Result<Vec<(SocketId, SocketAddr)>, NetworkError> {
        let host = self.endpoints[index].host;
        let state = &self.hosts[host.0];
        let fail = |kind, cause: &str| {
            let message = format!("cannot open a socket on {local}: {cause}");
            Err(NetworkError::new(kind, message))
        };
        let addresses = match local.host() {
            Name::Any => state.any_addresses(),
            Name::Ip(address) if address.is_multicast() => {
                return fail(ErrorKind::InvalidInput, "it is a group; join it");
            }
            Name::Ip(address) if address.is_unspecified() || state.owner(*address).is_some() => {
                vec![*address]
            }
            Name::Ip(_) => {
                return fail(ErrorKind::AddressNotAvailable, "this host does not have it");
            }
            Name::Name(_) => return fail(ErrorKind::NameNotResolved, "nobody knows the name"),
        };
        let interface = match local.interface() {
            None => None,
            named => match state.select(named).first() {
                None => return fail(ErrorKind::NoInterface, "there is no such interface"),
                first => first.copied(),
            },
        };
        let port = match local.port() {
            0 => self.free_port(host),
            port => Some(port),
        };
        let Some(port) = port else {
            return fail(ErrorKind::AddressInUse, "no port is free");
        };
        let opened: Vec<Socket> = (self.endpoints[index].next_socket..)
            .zip(addresses)
            .map(|(id, address)| Socket {
                id: SocketId::new(id),
                address,
                port,
                interface,
            })
            .collect();
        let taken = |socket: &Socket| self.sockets(host).any(|it| it.is_in_the_way_of(socket));
        if opened.iter().any(taken) {
            return fail(ErrorKind::AddressInUse, "the port is in use");
        }
        Ok(opened
            .into_iter()
            .map(|socket| {
                self.add_socket(index, socket);
                (socket.id, (socket.address, port).into())
            })
            .collect())
    }

    fn add_socket(&mut self, index: usize, socket: Socket) {
        let endpoint = &mut self.endpoints[index];
        endpoint.sockets.push(socket);
        endpoint.next_socket = socket.id.get() + 1;
    }

    /// The sockets that an endpoint has from the beginning.
    pub(super) fn first_sockets(&self, host: Host, port: u16) -> Vec<Socket> {
        let addresses = self.hosts[host.0].any_addresses();
        let socket = |(id, address)| Socket {
            id: SocketId::new(id),
            address,
            port,
            interface: None,
        };
        (0..).zip(addresses).map(socket).collect()
    }

    /// Joins a group on the interfaces that are meant. A group and port have a socket of their own,
    /// as a driver opens it.
    pub(super) fn join_group(
        &mut self,
        index: usize,
        group: &Group,
        port: u16,
    ) -> Result<Vec<Membership>, NetworkError> {
        let fail = |kind, cause: &str| {
            let message = format!("cannot join {group}: {cause}");
            Err(NetworkError::new(kind, message))
        };
        let address = SocketAddr::new(group.address, port);
        if !group.address.is_multicast() {
            return fail(ErrorKind::InvalidInput, "it is not the address of a group");
        }
        let host = self.endpoints[index].host;
        let interfaces = self.hosts[host.0].select(group.interface.as_ref());
        if interfaces.is_empty() {
            return fail(ErrorKind::NoInterface, "there is no such interface");
        }
        let endpoint = &self.endpoints[index];
        let own = |it: &&Socket| (it.address, it.port) == (group.address, port);
        let socket = match endpoint.sockets.iter().find(own) {
            Some(socket) => socket.id,
            None => {
                let socket = Socket {
                    id: SocketId::new(endpoint.next_socket),
                    address: group.address,
                    port,
                    interface: None,
                };
                self.add_socket(index, socket);
                socket.id
            }
        };
        self.forget(index, |it| {
            it.group == address && interfaces.contains(&it.interface)
        });
        let mut memberships = Vec::new();
        for interface in interfaces {
            let joined = Joined {
                group: address,
                sources: group.sources.clone(),
                interface,
                socket,
                named: group.interface.is_some(),
            };
            memberships.push(self.membership(host, &joined));
            self.endpoints[index].joined.push(joined);
            let network = self.hosts[host.0].interfaces[interface].network;
            let members = self.members.entry((group.address, port)).or_default();
            *members.entry((network, host, interface)).or_default() += 1;
        }
        Ok(memberships)
    }

    /// Leaves a group on the interfaces that are meant, and says where it was joined.
    pub(super) fn leave_group(
        &mut self,
        index: usize,
        group: &Group,
        port: u16,
    ) -> Vec<Membership> {
        let host = self.endpoints[index].host;
        let interfaces = self.hosts[host.0].select(group.interface.as_ref());
        let address = SocketAddr::new(group.address, port);
        let left = self.forget(index, |it| {
            it.group == address && interfaces.contains(&it.interface)
        });
        // The socket of the group goes with the last membership.
        let endpoint = &mut self.endpoints[index];
        let joined = &endpoint.joined;
        endpoint.sockets.retain(|socket| {
            !socket.address.is_multicast() || joined.iter().any(|it| it.socket == socket.id)
        });
        left.iter().map(|it| self.membership(host, it)).collect()
    }

    /// Ends the memberships of an endpoint that are meant.
    fn forget(&mut self, index: usize, is_meant: impl Fn(&Joined) -> bool) -> Vec<Joined> {
        let endpoint = &mut self.endpoints[index];
        let left: Vec<Joined> = endpoint.joined.extract_if(.., |it| is_meant(it)).collect();
        let host = endpoint.host;
        for joined in &left {
            let network = self.hosts[host.0].interfaces[joined.interface].network;
            let group = (joined.group.ip(), joined.group.port());
            let place = (network, host, joined.interface);
            if let Some(members) = self.members.get_mut(&group)
                && let Some(count) = members.get_mut(&place)
            {
                *count -= 1;
                if *count == 0 {
                    members.remove(&place);
                }
                if members.is_empty() {
                    self.members.remove(&group);
                }
            }
        }
        left
    }

    /// Closes all sockets of an endpoint.
    pub(super) fn close_sockets(&mut self, index: usize) {
        self.forget(index, |_| true);
        let host = self.endpoints[index].host;
        self.hosts[host.0].endpoints.retain(|it| *it != index);
    }

    fn membership(&self, host: Host, joined: &Joined) -> Membership {
        let interface = &self.hosts[host.0].interfaces[joined.interface];
        Membership::new(joined.group, interface.id.clone(), joined.sources.clone())
    }

    /// A port that no socket on the host has.
    pub(super) fn free_port(&self, host: Host) -> Option<u16> {
        FREE_PORTS
            .into_iter()
            .find(|port| !self.sockets(host).any(|socket| socket.port == *port))
    }

    /// The sockets of a host that are no group's.
    fn sockets(&self, host: Host) -> impl Iterator<Item = &Socket> {
        let endpoints = self.hosts[host.0].endpoints.iter();
        endpoints
            .flat_map(|index| &self.endpoints[*index].sockets)
            .filter(|socket| !socket.address.is_multicast())
    }
}
