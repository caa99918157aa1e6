//! Opening sockets: for groups, for local addresses and for a peer.

use std::net::SocketAddr;

use manycast_net::{ErrorKind, Socket, SocketConfig};
use manycast_types::{Address, Host, InterfaceSelector, SocketId, Transmit};

use super::follow::Origin;
use super::{Endpoint, Port, slot_of, unspecified};
use crate::egress::Egress;
use crate::{Error, resolve};

impl Endpoint {
    /// Listens on all `addresses`; for groups, on every interface that they do not rule out.
    pub(crate) fn listen(addresses: &[Address], config: SocketConfig) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::unsuitable(
                "an empty list",
                "there is nothing to listen on; give one address at least",
            ));
        }
        let mut endpoint = Self::new(config)?;
        for address in addresses {
            match address.group() {
                Some(group) => endpoint.want(group, address.port())?,
                None => drop(endpoint.bind(address)?),
            }
        }
        endpoint.join_wanted()?;
        // That what it was opened for is joined is no event.
        endpoint.events.clear();
        endpoint.publish();
        Ok(endpoint)
    }

    /// A socket that only `peer` can send to.
    pub(crate) fn connect(peer: &Address, config: SocketConfig) -> Result<Self, Error> {
        if *peer.host() == Host::Any || peer.port() == 0 {
            return Err(Error::unsuitable(peer, "it names no peer; write HOST:PORT"));
        }
        let mut endpoint = Self::new(config)?;
        if peer.interface().is_some() {
            endpoint.watch()?;
        }
        let mut failure = None;
        for destination in resolve::socket_addrs(peer)? {
            let egress = match Egress::to(destination, peer.interface(), None) {
                Ok(egress) => egress,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            match endpoint.connect_by(&egress, peer.interface(), None) {
                Ok(()) => return Ok(endpoint),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Err(Error::unsuitable(peer, "its name has no address")),
        }
    }

    /// Opens a socket to one destination, by an egress that is known, from a local address if one is
    /// given.
    pub(crate) fn connect_by(
        &mut self,
        egress: &Egress,
        selector: Option<&InterfaceSelector>,
        from: Option<SocketAddr>,
    ) -> Result<(), Error> {
        let any = unspecified(egress.destination.is_ipv4());
        let local = from.unwrap_or_else(|| (any, 0).into());
        let socket = Socket::bind(local, &egress.set_up(&self.config))?;
        // A connected socket knows its own address, keeps the route, and is told of refusals.
        socket
            .connect(egress.destination)
            .map_err(|error| egress.explain(error))?;
        let origin = Origin::Peer {
            destination: egress.destination,
            selector: selector.cloned(),
            from,
            interface: egress.index(),
            source: egress.source,
        };
        self.add(socket, origin)?;
        self.publish();
        Ok(())
    }

    /// Opens a socket beside those that there are, for a local address; for any of them one for each
    /// version of IP.
    pub(crate) fn open(&mut self, local: &Address) -> Result<Vec<SocketId>, Error> {
        if local.group().is_some() {
            return Err(Error::unsuitable(local, "it is a group; join it instead"));
        }
        let opened = self.bind(local)?;
        let slots: Vec<usize> = opened.iter().copied().map(slot_of).collect();
        self.publish_slots(&slots);
        Ok(opened)
    }

    /// Closes a socket.
    pub(crate) fn close(&mut self, id: SocketId) {
        let slot = slot_of(id);
        if self.port(slot).is_some_and(|port| port.id == id) {
            self.remove(slot);
            self.publish_slots(&[slot]);
        }
    }

    /// Binds to a local address; to any of them with one socket for each version of IP.
    fn bind(&mut self, address: &Address) -> Result<Vec<SocketId>, Error> {
        let mut config = self.config.clone();
        if let Some(selector) = address.interface() {
            config.device = Some(manycast_net::find_interface(selector)?.index);
            self.watch()?;
        }
        let locals = resolve::socket_addrs(address)?;
        // Where the kernel chooses the port, the second socket needs the same, which may be taken.
        let tries = if address.port() == 0 { 16 } else { 1 };
        let mut outcome = Ok(Vec::new());
        for _ in 0..tries {
            outcome = bind_all(&locals, &config);
            if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::AddressInUse) {
                break;
            }
        }
        let mut ids = Vec::new();
        for socket in outcome.map_err(|error| self.explain_in_use(error, &locals, config.device))? {
            let origin = Origin::Local {
                selector: address.interface().cloned(),
                device: config.device,
            };
            let slot = self.add(socket, origin)?;
            ids.extend(self.port(slot).map(|port| port.id));
        }
        Ok(ids)
    }

    /// Says where it is not another program that has the port, but one of these sockets.
    fn explain_in_use(
        &self,
        error: manycast_net::Error,
        locals: &[SocketAddr],
        device: Option<u32>,
    ) -> manycast_net::Error {
        let has = |port: &&Port| {
            let on = match port.origin {
                Origin::Local { device, .. } => device,
                Origin::Group | Origin::Peer { .. } => None,
            };
            locals.iter().any(|local| {
                let (one, other) = (port.local.ip(), local.ip());
                let any = one.is_unspecified() || other.is_unspecified();
                port.local.port() == local.port()
                    && one.is_ipv4() == other.is_ipv4()
                    && (any || one == other)
                    && (on.is_none() || device.is_none() || on == device)
            })
        };
        match self.ports().find(has) {
            Some(Port { local, .. }) if error.kind() == ErrorKind::AddressInUse => error.explained(
                format!("{local} is listened on already, by this program itself"),
                "leave out one of the two",
            ),
            _ => error,
        }
    }

    /// Connects the socket that can send to `peer` to it.
    pub(crate) fn reconnect(&mut self, peer: SocketAddr) -> Result<(), Error> {
        let slot = slot_of(self.outlets.outlet(&Transmit::new(peer, ()))?.id);
        let Some(Some(port)) = self.ports.get_mut(slot) else {
            return Ok(());
        };
        port.socket.connect(peer)?;
        if let Origin::Peer { destination, .. } = &mut port.origin {
            *destination = peer;
        }
        Ok(())
    }

    /// Lets anybody send to it again, by sockets in the places of those that have a peer.
    pub(crate) fn disconnect(&mut self) -> Result<(), Error> {
        for slot in 0..self.ports.len() {
            let Some(port) = self
                .port(slot)
                .filter(|port| !port.retired && port.socket.peer_addr().is_some())
            else {
                continue;
            };
            let mut config = self.config.clone();
            let origin = match &port.origin {
                Origin::Peer {
                    selector: Some(selector),
                    interface,
                    ..
                } => Origin::Local {
                    selector: Some(selector.clone()),
                    device: *interface,
                },
                Origin::Peer { selector: None, .. } => Origin::Local {
                    selector: None,
                    device: None,
                },
                other => other.clone(),
            };
            if let Origin::Local { device, .. } = &origin {
                config.device = config.device.or(*device);
            }
            let socket = port.socket.disconnected(&config)?;
            self.replace(slot, socket, origin)?;
        }
        self.publish();
        Ok(())
    }
}

/// One socket for each address; with port 0, all on the port that the first was given.
fn bind_all(
    locals: &[SocketAddr],
    config: &SocketConfig,
) -> Result<Vec<Socket>, manycast_net::Error> {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut failure = None;
    for local in locals {
        let port = match sockets.first() {
            Some(first) => first.local_addr()?.port(),
            None => local.port(),
        };
        let mut local = *local;
        local.set_port(port);
        match Socket::bind(local, config) {
            Ok(socket) => sockets.push(socket),
            // A host with one version of IP switched off has the other one.
            Err(error)
                if locals.len() > 1
                    && [ErrorKind::Unsupported, ErrorKind::AddressNotAvailable]
                        .contains(&error.kind()) =>
            {
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}
