//! Opening sockets: for groups, for local addresses and for a peer.

use std::net::SocketAddr;

use manycast_net::{ErrorKind, Socket, SocketConfig};
use manycast_proto::NetworkEvent;
use manycast_types::{Address, Host, InterfaceSelector, SocketId};

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
            match endpoint.connect_by(&egress, peer.interface(), None, peer.interface().is_some()) {
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
    /// given, which perhaps follows the host.
    pub(crate) fn connect_by(
        &mut self,
        egress: &Egress,
        selector: Option<&InterfaceSelector>,
        from: Option<SocketAddr>,
        follows: bool,
    ) -> Result<(), Error> {
        let any = unspecified(egress.destination.is_ipv4());
        let local = from.unwrap_or_else(|| (any, 0).into());
        let socket = Socket::bind(local, &egress.set_up(&self.config))?;
        // A connected socket knows its own address, keeps the route, and is told of refusals.
        socket
            .connect(egress.destination)
            .map_err(|error| egress.explain(error))?;
        let origin = Origin::peer(egress, selector.cloned(), from, follows);
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

    /// Connects to a peer from now on: by a socket in the place of the one of its version of IP, which
    /// chooses its source address anew, and has nothing that came before. The interface is the one that
    /// is named here, or was before.
    pub(crate) fn reconnect(
        &mut self,
        peer: SocketAddr,
        selector: Option<&InterfaceSelector>,
    ) -> Result<(), Error> {
        let may = |port: &Option<Port>| {
            port.as_ref().is_some_and(|port| {
                let is_group = matches!(port.origin, Origin::Group);
                !is_group && !port.retired && port.local.is_ipv4() == peer.is_ipv4()
            })
        };
        let slot = self.ports.iter().position(may);
        let Some((slot, port)) = slot.and_then(|slot| Some((slot, self.port(slot)?))) else {
            return Err(Error::unsuitable(
                peer,
                "no socket that was opened can send to it; open one of the same version of IP",
            ));
        };
        let (before, from) = match &port.origin {
            Origin::Group => (None, None),
            Origin::Local { selector, .. } => {
                let is_any = port.local.ip().is_unspecified();
                (selector.clone(), (!is_any).then_some(port.local))
            }
            Origin::Peer { selector, from, .. } => (selector.clone(), *from),
        };
        let selector = selector.cloned().or(before);
        if selector.is_some() {
            self.watch()?;
        }
        // What goes to a group leaves by the interface that was chosen for groups, unless the whole
        // socket keeps to one.
        let of_groups = self
            .config
            .multicast_interface
            .filter(|_| peer.ip().is_multicast());
        let of_config = self.config.device.or(of_groups);
        let of_config = of_config.map(InterfaceSelector::Index);
        let chosen = selector.as_ref().or(of_config.as_ref());
        let egress = Egress::to(peer, chosen, from.map(|from| from.ip()))?;
        let follows = selector.is_some();
        let origin = Origin::peer(&egress, selector, from, follows);
        let successor = self.connected_successor(slot, &egress, origin)?;
        let peer = successor.peer;
        let mut successors = self.disconnected(Some(slot))?;
        successors.push((slot, successor));
        // Else whoever changes between peers keeps a socket for each time.
        self.drop_retired_unicast();
        self.install_all(successors, peer);
        Ok(())
    }

    /// Lets anybody send to it again, by sockets in the places of those that have a peer.
    pub(crate) fn disconnect(&mut self) -> Result<(), Error> {
        let successors = self.disconnected(None)?;
        self.install_all(successors, None);
        Ok(())
    }

    /// What takes the places of those that have a peer, but for one of them.
    fn disconnected(&self, but: Option<usize>) -> Result<Vec<(usize, Port)>, Error> {
        let mut successors = Vec::new();
        for slot in (0..self.ports.len()).filter(|slot| Some(*slot) != but) {
            let Some(port) = self.port(slot).filter(|port| !port.retired) else {
                continue;
            };
            let Origin::Peer {
                selector,
                interface,
                ..
            } = &port.origin
            else {
                continue;
            };
            let device = interface.filter(|_| selector.is_some());
            let mut config = self.config.clone();
            config.device = device.or(config.device);
            let origin = Origin::Local {
                selector: selector.clone(),
                device: config.device,
            };
            let socket = port.socket.successor(None, &config)?;
            successors.push((slot, self.successor(slot, socket, origin)?));
        }
        Ok(successors)
    }

    /// Nothing fails from here on, so that there is no state in between.
    fn install_all(&mut self, successors: Vec<(usize, Port)>, peer: Option<SocketAddr>) {
        let before = std::mem::take(&mut self.events);
        for (slot, successor) in successors {
            self.install(slot, successor);
        }
        self.join_given_up();
        let new = std::mem::replace(&mut self.events, before);
        for event in &new {
            // That another socket has joined it is nobody's concern.
            let is_moved = match event {
                NetworkEvent::Left(it) => new.contains(&NetworkEvent::Joined(it.clone())),
                NetworkEvent::Joined(it) => new.contains(&NetworkEvent::Left(it.clone())),
                _ => false,
            };
            if !is_moved {
                self.tell(event.clone());
            }
        }
        self.want_from(peer);
        self.publish();
    }

    /// Wants unicast from one alone, or from anybody, also of what has come already.
    fn want_from(&mut self, peer: Option<SocketAddr>) {
        for port in self.ports.iter_mut().flatten() {
            port.peer = peer;
        }
        self.admitted = false;
        self.show_left();
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
