//! Sockets and groups of an endpoint, and what a protocol requests of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use manycast_proto::{NetworkEvent, Request};
use manycast_types::{
    Address, ErrorKind, Group, Host as Name, Membership, NetworkError, SocketId, SourceFilter,
};

use super::{Host, Sim};

/// The ports that are given to those who ask for any (RFC 6335 §6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A socket of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) id: SocketId,
    /// What it is bound to: `None` is any address. That of a group is the group.
    pub(super) address: Option<IpAddr>,
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
}

impl Socket {
    /// The first socket of an endpoint.
    pub(super) const fn on_any(port: u16) -> Self {
        Self {
            id: SocketId::new(0),
            address: None,
            port,
            interface: None,
        }
    }

    /// The address that it sends from, if it is bound to one.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.address.filter(|address| !address.is_multicast())
    }

    pub(super) fn can_send_to(&self, destination: SocketAddr) -> bool {
        self.address
            .is_none_or(|address| address.is_ipv4() == destination.is_ipv4())
    }

    /// Whether it gets what is sent by unicast to one of its host's addresses.
    pub(super) fn hears(&self, destination: SocketAddr, interface: usize) -> bool {
        self.port == destination.port()
            && self.address.is_none_or(|it| it == destination.ip())
            && self.interface.is_none_or(|it| it == interface)
    }

    pub(super) fn hears_broadcast(&self, port: u16, interface: usize) -> bool {
        self.port == port
            && self.address.is_none()
            && self.interface.is_none_or(|it| it == interface)
    }
}

impl Sim {
    /// Does what a protocol requests, and tells it what came of it.
    pub(super) fn request(&mut self, index: usize, request: Request) {
        let events = match request {
            Request::Open { tag, local } => vec![match self.open(index, &local) {
                Ok((socket, local)) => NetworkEvent::Opened { tag, socket, local },
                Err(error) => NetworkEvent::NotOpened { tag, error },
            }],
            Request::Close { socket } => {
                // The first socket was not opened by a request.
                let sockets = &mut self.endpoints[index].sockets;
                sockets.retain(|it| it.id != socket || it.id == SocketId::new(0));
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

    /// Opens a socket, unless another on the host has the address and port.
    fn open(
        &mut self,
        index: usize,
        local: &Address,
    ) -> Result<(SocketId, SocketAddr), NetworkError> {
        let host = self.endpoints[index].host;
        let state = &self.hosts[host.0];
        let fail = |kind, cause: &str| {
            let message = format!("cannot open a socket on {local}: {cause}");
            Err(NetworkError::new(kind, message))
        };
        let address = match local.host() {
            Name::Any => None,
            Name::Ip(address) if address.is_unspecified() => None,
            Name::Ip(address) if state.owner(*address).is_some() => Some(*address),
            Name::Ip(address) if address.is_multicast() => {
                return fail(ErrorKind::InvalidInput, "it is a group; join it");
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
            port => Some(port).filter(|port| {
                let overlap = |it: &Socket| {
                    let address =
                        it.address.is_none() || address.is_none() || it.address == address;
                    let interface =
                        it.interface.is_none() || interface.is_none() || it.interface == interface;
                    it.port == *port && address && interface
                };
                !self.sockets(host).any(overlap)
            }),
        };
        let Some(port) = port else {
            return fail(ErrorKind::AddressInUse, "the port is in use");
        };
        let any: IpAddr = match local.host() {
            Name::Ip(address) => *address,
            _ if state
                .address_like(Ipv4Addr::UNSPECIFIED.into(), 0)
                .is_some() =>
            {
                Ipv4Addr::UNSPECIFIED.into()
            }
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let id = self.add_socket(index, address, port, interface);
        Ok((id, SocketAddr::new(address.unwrap_or(any), port)))
    }

    fn add_socket(
        &mut self,
        index: usize,
        address: Option<IpAddr>,
        port: u16,
        interface: Option<usize>,
    ) -> SocketId {
        let endpoint = &mut self.endpoints[index];
        let id = SocketId::new(endpoint.next_socket);
        endpoint.next_socket += 1;
        endpoint.sockets.push(Socket {
            id,
            address,
            port,
            interface,
        });
        id
    }

    /// Joins a group on the interfaces that are meant. Its datagrams come by a socket on any address
    /// and that port, if the endpoint has one, else by one of its own.
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
        let mut sockets = self.endpoints[index].sockets.iter();
        let there = sockets.find(|socket| {
            socket.port == port && socket.address.is_none_or(|it| it == group.address)
        });
        let socket = match there.map(|socket| socket.id) {
            Some(socket) => socket,
            None => self.add_socket(index, Some(group.address), port, None),
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
        // A socket of the group's own goes with the last membership.
        let endpoint = &mut self.endpoints[index];
        let joined = &endpoint.joined;
        endpoint.sockets.retain(|socket| {
            socket.address != Some(group.address) || joined.iter().any(|it| it.socket == socket.id)
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
            .filter(|socket| socket.address.is_none_or(|it| !it.is_multicast()))
    }
}
