//! How a datagram gets from one endpoint to others.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use manycast_proto::NetworkEvent;
use manycast_proto::random::Random;
use manycast_types::{Ecn, ErrorKind, MAX_PAYLOAD, NetworkError, SocketId, Transmit};

use super::agenda::{Agenda, What};
use super::topology::{Interface, Path};
use super::{Host, Network, PAIRS, SEND_BUFFER, Sim, Traffic};
use crate::Link;
use crate::link::{Fate, LinkState};

/// A datagram on its way, shared by all who get it, or the refusal of one.
#[derive(Debug)]
pub(super) struct Packet {
    /// The host that sent it, whatever the source says.
    pub(super) from: Host,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) hops: u8,
    pub(super) ecn: Ecn,
    pub(super) payload: Bytes,
    /// It says that nobody listens on its source.
    pub(super) refusal: bool,
}

impl Packet {
    pub(super) fn new(
        from: Host,
        source: SocketAddr,
        destination: SocketAddr,
        payload: Bytes,
    ) -> Self {
        Self {
            from,
            source,
            destination,
            hops: if is_unicast(destination.ip()) { 64 } else { 1 },
            ecn: Ecn::NotEct,
            payload,
            refusal: false,
        }
    }

    /// How long it is, with the headers of IP and UDP.
    fn size(&self) -> usize {
        let headers = if self.destination.is_ipv4() { 28 } else { 48 };
        self.payload.len() + headers
    }
}

/// What every link needs to carry a packet.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) traffic: Traffic,
    pub(super) agenda: Agenda,
}

impl Transit {
    pub(super) fn push(&mut self, at: Instant, what: What) {
        self.agenda.push(at, what);
    }

    /// Puts a packet on a link, at whose end it is `what`.
    fn carry(&mut self, link: &Link, state: &mut LinkState, size: usize, what: What) {
        match state.carry(link, self.now, size, &mut self.random) {
            Fate::Overflowed => self.traffic.overflowed += 1,
            Fate::Lost => self.traffic.lost += 1,
            Fate::Arrives {
                at,
                again,
                held_back,
            } => {
                self.traffic.held_back += u64::from(held_back);
                if let Some(again) = again {
                    self.traffic.duplicated += 1;
                    self.agenda.push(at, what.clone());
                    self.agenda.push(again, what);
                } else {
                    self.agenda.push(at, what);
                }
            }
        }
    }

    fn carry_on(&mut self, path: &mut Path, size: usize, what: What) {
        let link = path.link.unwrap_or_default();
        self.carry(&link, &mut path.state, size, what);
    }
}

impl Sim {
    /// Sends what a protocol wants to be sent; says until when its send buffer is full, if it is.
    pub(super) fn send(&mut self, index: usize, transmit: &Transmit) -> Option<Instant> {
        match self.egress(index, transmit) {
            Ok((source, interface)) => {
                let host = self.endpoints[index].host;
                for payload in transmit.segments() {
                    let payload = transmit.payload.slice_ref(payload);
                    let mut packet = Packet::new(host, source, transmit.destination, payload);
                    packet.hops = transmit.hops.unwrap_or(packet.hops);
                    packet.ecn = transmit.ecn.unwrap_or_default();
                    self.emit(interface, packet);
                }
                self.full_until(host, interface?)
            }
            Err(error) => {
                let count = transmit.count();
                self.transit.traffic.sent += count as u64;
                self.transit.traffic.unroutable += count as u64;
                let event = NetworkEvent::NotSent {
                    destination: transmit.destination,
                    count,
                    error,
                };
                let now = self.now();
                self.endpoints[index].node.handle_network(now, event);
                None
            }
        }
    }

    /// Where a datagram goes out: its source, and the number of the interface.
    fn egress(
        &self,
        index: usize,
        transmit: &Transmit,
    ) -> Result<(SocketAddr, Option<usize>), NetworkError> {
        let endpoint = &self.endpoints[index];
        let host = &self.hosts[endpoint.host.0];
        let destination = transmit.destination;
        let fail = |kind, cause: &str| {
            let message = format!("cannot send to {destination}: {cause}");
            Err(NetworkError::new(kind, message))
        };
        if transmit.segments().any(|it| it.len() > MAX_PAYLOAD) {
            return fail(ErrorKind::MessageTooLong, "the datagram is too long");
        }
        let Some(socket) = endpoint.sockets.iter().find(|socket| {
            transmit.socket.is_none_or(|id| id == socket.id)
                && transmit.source_port.is_none_or(|port| port == socket.port)
                && socket.can_send(transmit.source, destination)
        }) else {
            return fail(ErrorKind::AddressNotAvailable, "there is no such socket");
        };
        let wanted = transmit.source.or_else(|| socket.source());
        if wanted.is_some_and(|wanted| host.owner(wanted).is_none()) {
            let cause = "the source is no address of this host";
            return fail(ErrorKind::AddressNotAvailable, cause);
        }
        let interface = match transmit.interface {
            Some(index) => {
                let named = host.interfaces.iter().position(|it| it.id.index == index);
                if named.is_none() {
                    return fail(ErrorKind::NoInterface, "there is no such interface");
                }
                named
            }
            None if is_unicast(destination.ip()) => socket
                .interface
                .or_else(|| self.interface_to(endpoint.host, destination.ip())),
            // What was named for listening holds for sending too.
            None => socket
                .interface
                .or_else(|| endpoint.named_for(destination.ip()))
                .or_else(|| host.owner(wanted?))
                .or_else(|| self.interface_to(endpoint.host, destination.ip())),
        };
        let source = wanted.filter(|wanted| wanted.is_ipv4() == destination.is_ipv4());
        let first = interface.unwrap_or_default();
        match source.or_else(|| host.address_like(destination.ip(), first)) {
            Some(source) => Ok((SocketAddr::new(source, socket.port), interface)),
            None => fail(ErrorKind::NetworkUnreachable, "no address of its family"),
        }
    }

    /// Until when the link of an interface has more to send than a send buffer holds.
    fn full_until(&self, host: Host, interface: usize) -> Option<Instant> {
        let [up, _] = &**self.hosts[host.0].interfaces[interface].access.as_ref()?;
        let rate = up.link?.rate?;
        up.state.full_until(rate, self.now(), SEND_BUFFER)
    }

    /// Sends a packet by an interface, if there is one that leads there.
    pub(super) fn emit(&mut self, interface: Option<usize>, packet: Packet) {
        self.transit.traffic.sent += 1;
        let host = packet.from;
        let to_one = is_unicast(packet.destination.ip());
        let owner = self.addresses.get(&packet.destination.ip()).copied();
        let Some(number) = interface.filter(|_| !to_one || owner.is_some()) else {
            self.transit.traffic.unroutable += 1;
            return;
        };
        let packet = Rc::new(packet);
        // What the host itself receives does not leave it.
        let own = Interface { host, number };
        if let Some((owner, number)) = owner.filter(|(owner, _)| *owner == host) {
            return self.reach(
                Interface {
                    host: owner,
                    number,
                },
                &packet,
            );
        }
        if !to_one && self.is_receiver(own, &packet) {
            self.reach(own, &packet);
        }
        let interface = &mut self.hosts[host.0].interfaces[number];
        let network = interface.network;
        match &mut interface.access {
            Some(access) => {
                let size = packet.size();
                let what = What::Spread(network, packet);
                self.transit.carry_on(&mut access[0], size, what);
            }
            None => self.spread(network, packet),
        }
    }

    /// Brings a packet from a network to all that it is for, there and beyond.
    pub(super) fn spread(&mut self, network: Network, packet: Rc<Packet>) {
        let address = packet.destination.ip();
        if is_unicast(address) {
            let Some(&(host, number)) = self.addresses.get(&address) else {
                return;
            };
            let target = self.hosts[host.0].interfaces[number].network;
            if target == network {
                return self.reach(Interface { host, number }, &packet);
            }
            let tree = self.tree(network);
            match self.branch(&tree, target).last() {
                Some(route) => self.forward(route, &packet),
                None => self.transit.traffic.unroutable += 1,
            }
            return;
        }
        for interface in self.receivers(network, &packet) {
            self.reach(interface, &packet);
        }
        if packet.hops > 1 && address.is_multicast() {
            for route in self.routes_to_members(network, &packet) {
                self.forward(route, &packet);
            }
        }
    }

    /// Takes a packet to the next network.
    fn forward(&mut self, route: usize, packet: &Rc<Packet>) {
        let route = &mut self.routes[route];
        let Some(hops) = packet.hops.checked_sub(1).filter(|hops| *hops > 0) else {
            self.transit.traffic.lost += 1;
            return;
        };
        let next = Packet {
            hops,
            payload: packet.payload.clone(),
            ..**packet
        };
        let what = What::Spread(route.to, Rc::new(next));
        self.transit.carry_on(&mut route.path, packet.size(), what);
    }

    /// Puts a packet on the link between its sender and an interface.
    fn reach(&mut self, to: Interface, packet: &Rc<Packet>) {
        let (from, host) = (packet.from, to.host);
        if self.hosts[from.0].sides != self.hosts[host.0].sides {
            self.transit.traffic.lost += 1;
            return;
        }
        let has_access = self.hosts[host.0].interfaces[to.number].access.is_some();
        let packet = Rc::clone(packet);
        let size = packet.size();
        let what = if has_access && from != host {
            What::Access(to, packet)
        } else {
            What::Arrival(to, packet)
        };
        let usual = if from == host {
            Link::LOOPBACK
        } else {
            self.links
        };
        self.forget_pairs();
        let start = self.start;
        let path = match self.pairs.get_mut(&(from, host)) {
            Some(path) => path,
            // Among thousands of hosts, most pairs need not be remembered.
            None if !usual.has_memory() => {
                let state = &mut LinkState::new(start);
                return self.transit.carry(&usual, state, size, what);
            }
            None => self
                .pairs
                .entry((from, host))
                .or_insert_with(|| Path::new(None, start)),
        };
        let link = path.link.unwrap_or(usual);
        self.transit.carry(&link, &mut path.state, size, what);
    }

    /// Forgets the links between two hosts that are as good as new, once there are many: each of ten
    /// thousand hosts may send to all others.
    fn forget_pairs(&mut self) {
        if self.pairs.len() >= self.most_pairs {
            let now = self.now();
            self.pairs
                .retain(|_, path| path.link.is_some() || path.state.matters(now));
            self.most_pairs = PAIRS.max(2 * self.pairs.len());
        }
    }

    /// Puts a packet on the access link of an interface, from the network to the host.
    pub(super) fn access(&mut self, to: Interface, packet: Rc<Packet>) {
        let size = packet.size();
        let what = What::Arrival(to, packet);
        match &mut self.hosts[to.host.0].interfaces[to.number].access {
            Some(access) => self.transit.carry_on(&mut access[1], size, what),
            None => self.transit.push(self.transit.now, what),
        }
    }

    /// Lets a packet arrive at a host.
    pub(super) fn arrive(&mut self, to: Interface, packet: &Rc<Packet>) {
        if !is_unicast(packet.destination.ip()) {
            let endpoints = self.hosts[to.host.0].endpoints.iter();
            let listeners: Vec<_> = endpoints
                .filter_map(|&index| Some((index, self.receives(index, to.number, packet)?)))
                .collect();
            for (index, socket) in listeners {
                self.deliver(index, socket, to, packet);
            }
            return;
        }
        let Some((index, socket)) = self.listener(to, packet.destination) else {
            if !packet.refusal {
                self.transit.traffic.refused += 1;
                self.refuse(to, packet);
            }
            return;
        };
        if packet.refusal {
            let event = NetworkEvent::refused(socket, packet.source);
            let now = self.now();
            self.endpoints[index].node.handle_network(now, event);
            self.drain(index);
        } else {
            self.deliver(index, socket, to, packet);
        }
    }

    /// Tells the sender of a packet that nobody listens (ICMP port unreachable).
    fn refuse(&mut self, at: Interface, packet: &Packet) {
        if !is_unicast(packet.source.ip()) {
            return;
        }
        let (source, destination) = (packet.destination, packet.source);
        let mut refusal = Packet::new(at.host, source, destination, Bytes::new());
        refusal.refusal = true;
        // It is no datagram, so it is not counted as one.
        let traffic = self.transit.traffic;
        self.emit(self.interface_to(at.host, destination.ip()), refusal);
        self.transit.traffic.sent = traffic.sent;
        self.transit.traffic.unroutable = traffic.unroutable;
    }

    /// The interfaces on a network that get a packet to a group or to all, but for the sender's.
    fn receivers(&self, network: Network, packet: &Packet) -> Vec<Interface> {
        let others = |interface: &Interface| interface.host != packet.from;
        let receives = |interface: &Interface| self.is_receiver(*interface, packet);
        if packet.destination.ip().is_multicast() {
            let key = (packet.destination.ip(), packet.destination.port());
            let Some(members) = self.members.get(&key) else {
                return Vec::new();
            };
            let here = (network, Host(0), 0)..(Network(network.0 + 1), Host(0), 0);
            let members = members.range(here);
            members
                .map(|(&(_, host, number), _)| Interface { host, number })
                .filter(others)
                .filter(receives)
                .collect()
        } else {
            let here = self.networks[network.0].interfaces.iter().copied();
            here.filter(others).filter(receives).collect()
        }
    }

    /// The routes from a network by which a packet to a group gets to members, on the tree that has
    /// its root where the packet was sent.
    fn routes_to_members(&self, network: Network, packet: &Packet) -> Vec<usize> {
        let key = (packet.destination.ip(), packet.destination.port());
        let source = self.addresses.get(&packet.source.ip());
        let (Some(members), Some(&(host, number))) = (self.members.get(&key), source) else {
            return Vec::new();
        };
        let tree = self.tree(self.hosts[host.0].interfaces[number].network);
        let mut routes = Vec::new();
        let mut last = None;
        for &(with_member, _, _) in members.keys() {
            if last.replace(with_member) == Some(with_member) {
                continue;
            }
            for route in self.branch(&tree, with_member) {
                if self.routes[route].from == network && !routes.contains(&route) {
                    routes.push(route);
                }
            }
        }
        routes
    }

    /// Whether anybody at an interface gets a packet to a group or to all.
    fn is_receiver(&self, interface: Interface, packet: &Packet) -> bool {
        let endpoints = &self.hosts[interface.host.0].endpoints;
        endpoints
            .iter()
            .any(|&index| self.receives(index, interface.number, packet).is_some())
    }

    /// By which socket an endpoint gets a packet to a group or to all that comes in on an interface.
    fn receives(&self, index: usize, interface: usize, packet: &Packet) -> Option<SocketId> {
        let endpoint = &self.endpoints[index];
        if !endpoint.open {
            return None;
        }
        let destination = packet.destination;
        if destination.ip().is_multicast() {
            let joined = endpoint.joined.iter().find(|joined| {
                joined.interface == interface
                    && joined.group == destination
                    && joined.sources.admits(packet.source.ip())
            });
            return joined.map(|joined| joined.socket);
        }
        let mut sockets = endpoint.sockets.iter();
        let socket = sockets.find(|it| it.receives(destination, interface));
        socket.map(|socket| socket.id)
    }

    /// The endpoint and socket that get what is sent to a host by unicast.
    fn listener(&self, at: Interface, destination: SocketAddr) -> Option<(usize, SocketId)> {
        let endpoints = self.hosts[at.host.0].endpoints.iter().rev();
        endpoints
            .filter(|index| self.endpoints[**index].open)
            .find_map(|&index| {
                let mut sockets = self.endpoints[index].sockets.iter();
                let socket = sockets.find(|socket| socket.receives(destination, at.number))?;
                Some((index, socket.id))
            })
    }
}

pub(super) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !broadcast
}
