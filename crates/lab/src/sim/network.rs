//! How a datagram gets from one endpoint to others.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use bytes::Bytes;
use manycast_proto::NetworkEvent;
use manycast_types::{Received, SocketId, Transmit};

use super::{Arrival, Host, HostState, Path, Sim, What};
use crate::link::{Fate, Link};

impl Sim {
    /// Sends what a protocol wants to be sent.
    pub(super) fn send(&mut self, index: usize, transmit: Transmit) {
        let (host, port) = (self.endpoints[index].host, self.endpoints[index].port);
        let destination = transmit.destination;
        match self.hosts[host.0].source(transmit.source, destination.ip()) {
            Some(source) => {
                let source = SocketAddr::new(source, port);
                for payload in transmit.segments() {
                    let payload = transmit.payload.slice_ref(payload);
                    self.put_out(host, source, destination, &payload);
                }
            }
            None => {
                self.traffic.sent += 1;
                self.traffic.unroutable += 1;
            }
        }
    }

    /// Sends a copy to each host that listens.
    pub(super) fn put_out(
        &mut self,
        from: Host,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &Bytes,
    ) {
        self.traffic.sent += 1;
        let hosts = self.receivers(source, destination);
        if hosts.is_empty() && is_unicast(destination.ip()) {
            self.traffic.unroutable += 1;
        }
        for host in hosts {
            let what = What::Datagram {
                source,
                destination,
                payload: payload.clone(),
            };
            self.carry(
                from,
                Arrival {
                    host,
                    port: destination.port(),
                    what,
                },
            );
        }
    }

    /// Lets a datagram arrive at a host.
    pub(super) fn arrive(&mut self, Arrival { host, port, what }: Arrival) {
        let (source, destination, payload) = match what {
            What::Datagram {
                source,
                destination,
                payload,
            } => (source, destination, payload),
            What::Refusal { peer } => {
                if let Some(index) = self.listener(host, port) {
                    self.endpoints[index]
                        .node
                        .handle_network(self.now, NetworkEvent::refused(SocketId::default(), peer));
                    self.drain(index);
                }
                return;
            }
        };
        if !is_unicast(destination.ip()) {
            let hears = |index: &usize| self.hears(*index, host, source, destination);
            let listeners: Vec<usize> = (0..self.endpoints.len()).filter(hears).collect();
            for index in listeners {
                self.deliver(index, source, destination, &payload);
            }
        } else if let Some(index) = self.listener(host, port) {
            self.deliver(index, source, destination, &payload);
        } else {
            self.traffic.refused += 1;
            if is_unicast(source.ip()) {
                for asker in self.receivers(destination, source) {
                    let what = What::Refusal { peer: destination };
                    self.carry(
                        host,
                        Arrival {
                            host: asker,
                            port: source.port(),
                            what,
                        },
                    );
                }
            }
        }
    }

    fn deliver(
        &mut self,
        index: usize,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) {
        self.traffic.delivered += 1;
        let time = SystemTime::UNIX_EPOCH + self.elapsed();
        let endpoint = &mut self.endpoints[index];
        let host = &self.hosts[endpoint.host.0];
        let group = destination.ip().is_multicast();
        let mut received = Received::new(payload, source, destination, &host.interface);
        if !group {
            received.local = host.address_like(destination.ip());
        }
        received.hops = Some(if group { 1 } else { 64 });
        received.time = Some(time);
        endpoint.node.handle_datagram(self.now, received);
        self.drain(index);
    }

    /// Puts one datagram on the link between two hosts.
    fn carry(&mut self, from: Host, arrival: Arrival) {
        let to = arrival.host;
        if self.hosts[from.0].sides != self.hosts[to.0].sides {
            self.traffic.lost += 1;
            return;
        }
        let path = self
            .paths
            .entry((from, to))
            .or_insert_with(|| Path::new(self.start));
        let link = match path.link {
            Some(link) => link,
            None if from == to => Link::LOOPBACK,
            None => self.links,
        };
        let size = match &arrival.what {
            What::Datagram { payload, .. } => payload.len(),
            What::Refusal { .. } => 0,
        };
        let fate = path.state.carry(&link, self.now, size, &mut self.random);
        match fate {
            Fate::Overflowed | Fate::Lost => self.traffic.lost += 1,
            Fate::Arrives {
                at,
                again,
                held_back,
            } => {
                self.traffic.duplicated += u64::from(again.is_some());
                self.traffic.held_back += u64::from(held_back);
                for at in [Some(at), again].into_iter().flatten() {
                    self.arrivals += 1;
                    self.on_the_way.insert((at, self.arrivals), arrival.clone());
                }
            }
        }
    }

    /// The hosts that get what is sent from `source` to `destination`.
    fn receivers(&self, source: SocketAddr, destination: SocketAddr) -> Vec<Host> {
        let is_receiver = |host: &Host| {
            if is_unicast(destination.ip()) {
                self.hosts[host.0].addresses.contains(&destination.ip())
            } else {
                let mut endpoints = 0..self.endpoints.len();
                endpoints.any(|index| self.hears(index, *host, source, destination))
            }
        };
        (0..self.hosts.len())
            .map(Host)
            .filter(is_receiver)
            .collect()
    }

    /// The endpoint that gets what is sent to a host by unicast.
    fn listener(&self, host: Host, port: u16) -> Option<usize> {
        self.endpoints
            .iter()
            .rposition(|it| it.open && it.host == host && it.port == port)
    }

    /// Whether an endpoint is on `host` and gets what is sent from `source` to a group or to all.
    fn hears(&self, index: usize, host: Host, source: SocketAddr, destination: SocketAddr) -> bool {
        let it = &self.endpoints[index];
        let group = destination.ip();
        let member = || {
            it.groups
                .iter()
                .any(|it| it.address == group && it.sources.admits(source.ip()))
        };
        it.open
            && it.host == host
            && it.port == destination.port()
            && (!group.is_multicast() || member())
    }
}

impl HostState {
    /// The address to send from: the one that is wanted, if the host has it.
    fn source(&self, wanted: Option<IpAddr>, destination: IpAddr) -> Option<IpAddr> {
        match wanted {
            Some(wanted) => self.addresses.contains(&wanted).then_some(wanted),
            None => self.address_like(destination),
        }
    }

    /// The host's address that is this one, or else one of the same family.
    fn address_like(&self, address: IpAddr) -> Option<IpAddr> {
        let same_family = |own: &&IpAddr| own.is_ipv4() == address.is_ipv4();
        let itself = self.addresses.iter().find(|own| **own == address);
        itself
            .or_else(|| self.addresses.iter().find(same_family))
            .copied()
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !broadcast
}
