//! Following the host: its interfaces come and go, and its addresses change.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use manycast_net::{Change, Interface, Socket, Token, Watch};
use manycast_types::{InterfaceSelector, with_zone};

use super::outlets::Named;
use super::{Endpoint, Outlets, Port, WATCH};
use crate::Error;
use crate::egress::Egress;

/// After how long it is tried again to follow, where it failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a socket was opened for.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A group, and nothing else.
    Group,
    /// A local address, by the interface that was named, which had this index.
    Local {
        selector: Option<InterfaceSelector>,
        device: Option<u32>,
    },
    /// One destination.
    Peer {
        destination: SocketAddr,
        selector: Option<InterfaceSelector>,
        from: Option<SocketAddr>,
        /// The interface and the local address that it had.
        interface: Option<u32>,
        source: Option<IpAddr>,
        /// Whether it takes another local address then. Where its peer answers to that, it does so only
        /// with the interface that was named.
        follows: bool,
    },
}

/// How many sockets are kept at most that another peer had, for what is unread in them.
const MOST_RETIRED: usize = 8;

impl Origin {
    /// A destination, and what is known of the way there.
    pub(super) fn peer(
        egress: &Egress,
        selector: Option<InterfaceSelector>,
        from: Option<SocketAddr>,
        follows: bool,
    ) -> Self {
        Self::Peer {
            destination: egress.destination,
            selector,
            from,
            interface: egress.index(),
            source: egress.source,
            follows,
        }
    }
}

impl Endpoint {
    /// Watches the interfaces from now on. What is looked at after this cannot change unseen.
    pub(crate) fn watch(&mut self) -> Result<(), Error> {
        if self.watch.is_none() {
            let watch = Watch::open()?;
            self.poller.add(&watch, WATCH)?;
            self.watch = Some(watch);
        }
        Ok(())
    }

    /// Whether the interfaces may have changed since this was last asked; for who does not wait.
    pub(crate) fn has_changed(&mut self) -> Result<bool, Error> {
        match &mut self.watch {
            Some(watch) => Ok(!watch.drain()?.is_empty()),
            None => Ok(false),
        }
    }

    /// Follows the interfaces after something about them changed.
    pub(super) fn heal(&mut self) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let changes = watch.drain()?;
        if changes.is_empty() {
            return Ok(());
        }
        self.batch.forget_interfaces();
        for change in changes {
            match change {
                // Its memberships are gone with it, also where the index is given anew.
                Change::Removed(index) => self.leave_interface(index),
                // Any device may have been recreated; the kernel does not say which.
                Change::Lost => self.is_lost = true,
                Change::Changed(_) => {}
            }
        }
        self.follow();
        Ok(())
    }

    /// Makes all sockets and memberships fit the interfaces as they are. What fails is tried again
    /// after a while: for want of open files for instance, which is no reason to end a wait.
    pub(super) fn follow(&mut self) {
        self.retry = Instant::now().checked_add(RETRY);
        match self.try_to_follow() {
            Ok(true) => self.retry = None,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the sockets cannot follow the interfaces yet"),
        }
    }

    /// Says whether all could follow.
    fn try_to_follow(&mut self) -> Result<bool, Error> {
        if self.is_lost {
            self.leave_what_is_gone()?;
            self.is_lost = false;
        }
        let interfaces = manycast_net::interfaces()?;
        self.forget_left();
        self.follow_multicast_interface(&interfaces);
        let mut complete = true;
        for slot in 0..self.ports.len() {
            if let Err(error) = self.follow_port(slot, &interfaces) {
                tracing::debug!(%error, "a socket cannot follow its interface");
                complete = false;
            }
        }
        complete &= self.reconcile(&interfaces, false)?;
        self.publish();
        Ok(complete)
    }

    /// Lets datagrams to groups leave by the interface that was chosen, which may have another index now.
    /// While it is not there they leave by no other.
    fn follow_multicast_interface(&mut self, interfaces: &[Interface]) {
        let Some(selector) = &self.multicast_interface else {
            return;
        };
        let found = interfaces.iter().find(|it| is_chosen(it, selector));
        let index = found.map(|interface| interface.index);
        if index.is_none() || index == self.config.multicast_interface {
            return;
        }
        self.config.multicast_interface = index;
        for socket in self.sockets() {
            if let Err(error) = socket.set_multicast_interface(index) {
                tracing::debug!(%error, "a socket cannot follow the interface of groups");
            }
        }
    }

    /// Opens a socket anew where its interface or its local address is another one now, and says
    /// whether it did.
    fn follow_port(&mut self, slot: usize, interfaces: &[Interface]) -> Result<bool, Error> {
        let Some(port) = self.port(slot).filter(|port| !port.retired) else {
            return Ok(false);
        };
        match port.origin.clone() {
            Origin::Group | Origin::Local { selector: None, .. } => Ok(false),
            Origin::Local {
                selector: Some(selector),
                device,
            } => {
                let found = interfaces.iter().find(|it| is_chosen(it, &selector));
                let Some(index) = found.map(|interface| interface.index) else {
                    return Ok(false);
                };
                if device == Some(index) {
                    return Ok(false);
                }
                let config = self.config.clone().device(Some(index));
                // The kernel keeps the ports of two devices apart, be the one gone or not.
                let socket = Socket::bind(with_zone(port.local, index), &config)?;
                let origin = Origin::Local {
                    selector: Some(selector),
                    device: Some(index),
                };
                let successor = self.successor(slot, socket, origin)?;
                self.install(slot, successor);
                Ok(true)
            }
            Origin::Peer { follows: false, .. } => Ok(false),
            Origin::Peer { .. } => self.follow_peer(slot).map(|new| new.is_some()),
        }
    }

    /// Opens a connected socket anew where its interface or local address is another one now, and
    /// gives its egress if it did.
    pub(crate) fn follow_peer(&mut self, slot: usize) -> Result<Option<Egress>, Error> {
        let Some(port) = self.port(slot) else {
            return Ok(None);
        };
        let Origin::Peer {
            destination,
            selector,
            from,
            interface,
            source,
            follows,
        } = &port.origin
        else {
            return Ok(None);
        };
        let egress = Egress::to(*destination, selector.as_ref(), from.map(|from| from.ip()))?;
        if egress.index() == *interface && egress.source == *source {
            return Ok(None);
        }
        let origin = Origin::peer(&egress, selector.clone(), *from, *follows);
        let successor = self.connected_successor(slot, &egress, origin)?;
        self.install(slot, successor);
        self.publish();
        Ok(Some(egress))
    }

    /// A port with a new socket, which is connected, to take the place of another one. Nothing has
    /// changed before [`Endpoint::install`], also where this fails.
    pub(super) fn connected_successor(
        &self,
        slot: usize,
        egress: &Egress,
        origin: Origin,
    ) -> Result<Port, Error> {
        let old = &self.port(slot).ok_or(Error::Stopped)?.socket;
        let mut config = egress.set_up(&self.config);
        let was_named = matches!(
            &origin,
            Origin::Peer {
                selector: Some(_),
                ..
            }
        );
        // What keeps to an interface does so also where its peer is a group.
        if old.device().is_some() && (was_named || config.device.is_some()) {
            config.device = egress.index();
        }
        let socket = old
            .successor(Some(egress.destination), &config)
            .map_err(|error| egress.explain(error))?;
        self.successor(slot, socket, origin)
    }

    /// The same with any socket.
    pub(super) fn successor(
        &self,
        slot: usize,
        socket: Socket,
        origin: Origin,
    ) -> Result<Port, Error> {
        let port = self.port(slot).ok_or(Error::Stopped)?;
        if self.polled.load(Ordering::Relaxed) {
            self.poller.add(&socket, slot as Token)?;
        }
        Ok(Port {
            id: port.id,
            local: socket.local_addr()?,
            // The other one of two sockets has no peer itself.
            peer: socket.peer_addr().or(port.peer),
            socket: Arc::new(socket),
            origin,
            groups: Vec::new(),
            full: port.full,
            retired: false,
            reply_by_interface: port.reply_by_interface,
        })
    }

    /// Puts a port into the place of another one, whose groups it takes over as far as it can.
    pub(super) fn install(&mut self, slot: usize, mut successor: Port) {
        let mut lost = Vec::new();
        // Connected, it would take from its peer alone what comes to the group.
        let has_peer = successor.socket.peer_addr().is_some();
        for group in self.port(slot).into_iter().flat_map(|port| &port.groups) {
            let (address, interface) = (group.address, group.interface);
            if group.left {
                continue;
            }
            if !has_peer
                && successor
                    .socket
                    .join(address, interface, &group.sources)
                    .is_ok()
            {
                successor.groups.push(group.clone());
            } else {
                lost.push((address, interface));
            }
        }
        // While it hands out what it has, those to come need its port.
        if let Some(port) = self.port(slot)
            && let Err(error) = port.socket.share_address(true)
        {
            tracing::debug!(%error, "the port is not free before all is handed out");
        }
        self.give_up(slot, &lost);
        self.retire(slot);
        // It is the slot that became free last.
        self.free.pop();
        self.ports[slot] = Some(successor);
    }

    /// Takes a socket out of its slot, and closes it once what it has received is handed out.
    pub(super) fn retire(&mut self, slot: usize) {
        let unread = slot == self.current && self.batch.at(self.next).is_some();
        let has_more = self
            .port(slot)
            .is_some_and(|port| unread || port.socket.has_datagram());
        if !has_more {
            self.remove(slot);
            return;
        }
        let Some(mut port) = self.ports[slot].take() else {
            return;
        };
        let reused = self.free.pop();
        let place = reused.unwrap_or(self.ports.len());
        self.free.push(slot);
        port.retired = true;
        self.has_retired = true;
        if *self.polled.get_mut()
            && let Err(error) = self.poller.add(&*port.socket, place as Token)
        {
            tracing::warn!(%error, "what a socket had received is lost");
        }
        if slot == self.current {
            self.current = place;
        }
        match reused {
            Some(place) => self.ports[place] = Some(port),
            None => self.ports.push(Some(port)),
        }
    }

    /// Closes the sockets that were taken out of their slots and have handed out all.
    pub(super) fn close_retired(&mut self) {
        if !std::mem::take(&mut self.has_retired) {
            return;
        }
        for slot in 0..self.ports.len() {
            let Some(port) = self.port(slot).filter(|port| port.retired) else {
                continue;
            };
            let is_read = slot != self.current || self.batch.at(self.next).is_none();
            match is_read && !port.socket.has_datagram() {
                true => self.remove(slot),
                false => self.has_retired = true,
            }
        }
        // One socket alone is received from with fewer calls.
        while self.stop.is_none() && matches!(self.ports.last(), Some(None)) {
            self.ports.pop();
        }
        let count = self.ports.len();
        self.free.retain(|slot| *slot < count);
    }

    /// Closes the sockets that were taken out of their slots, whatever they have: for who receives
    /// nothing.
    pub(crate) fn drop_retired(&mut self) {
        for slot in 0..self.ports.len() {
            if self.port(slot).is_some_and(|port| port.retired) {
                self.remove(slot);
            }
        }
        self.has_retired = false;
    }

    /// Closes those of them that have no group, where they have become many. The peer of now may have sent
    /// what they hold.
    pub(super) fn drop_retired_unicast(&mut self) {
        let is_one = |port: &Port| port.retired && port.groups.is_empty();
        let slots = 0..self.ports.len();
        let retired: Vec<_> = slots
            .filter(|slot| self.port(*slot).is_some_and(is_one))
            .collect();
        if retired.len() >= MOST_RETIRED {
            for slot in retired {
                self.remove(slot);
            }
        }
    }

    /// Forgets memberships that were left, on sockets that have nothing more of them to hand out.
    fn forget_left(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            if port.groups.iter().any(|group| group.left) && !port.socket.has_datagram() {
                port.groups.retain(|group| !group.left);
            }
        }
    }

    /// What sending needs, as it is now.
    pub(super) fn current_outlets(&mut self) -> Outlets {
        let only = self.only_interface();
        let mut named: Vec<(IpAddr, Vec<Named>)> = Vec::new();
        for wanted in &self.wanted {
            let group = wanted.group.address;
            if named.iter().any(|(other, _)| *other == group) {
                continue;
            }
            let of_group = self.wanted.iter().filter(|it| it.group.address == group);
            let interfaces: Option<Vec<Named>> = of_group.map(|it| it.named.clone()).collect();
            if let Some(mut interfaces) = interfaces {
                interfaces.dedup();
                named.push((group, interfaces));
            }
        }
        for port in self.ports.iter_mut().flatten() {
            let of_group = named.iter().find(|(group, _)| *group == port.local.ip());
            let alone = match of_group {
                Some((_, interfaces)) if interfaces.len() == 1 => interfaces.first(),
                _ => only.as_ref(),
            };
            if let (true, Some(Named { index, .. })) = (port.local.ip().is_multicast(), alone)
                && port.socket.multicast_interface() != *index
                && let Err(error) = port.socket.set_multicast_interface(*index)
            {
                tracing::debug!(%error, "the interface is named for each datagram instead");
            }
            port.reply_by_interface =
                port.is_bound_to_interface() || of_group.is_some() || only.is_some();
        }
        let sockets = self.ports.iter().map(|port| {
            let port = port.as_ref().filter(|port| !port.retired)?;
            Some(port.outlet(&self.config))
        });
        let peer = self.ports().find_map(|port| match port.origin {
            Origin::Peer { .. } => port.peer,
            Origin::Group | Origin::Local { .. } => None,
        });
        Outlets::new(sockets.collect(), named, only, peer)
    }

    /// The one interface that all that is listened to was named with, if it is so.
    fn only_interface(&self) -> Option<Named> {
        let first = self.wanted.first()?;
        let selector = first.group.interface.as_ref()?;
        let groups = self
            .wanted
            .iter()
            .all(|wanted| wanted.group.interface.as_ref() == Some(selector));
        let locals = self.ports().all(|port| match &port.origin {
            Origin::Group => true,
            Origin::Local { selector: own, .. } => own.as_ref() == Some(selector),
            Origin::Peer { .. } => false,
        });
        (groups && locals).then(|| first.named.clone()).flatten()
    }
}

/// Whether an interface is the one that was named.
pub(super) fn is_chosen(interface: &Interface, selector: &InterfaceSelector) -> bool {
    match selector {
        InterfaceSelector::Name(name) => interface.is_named(name),
        InterfaceSelector::Index(index) => interface.index == *index,
        InterfaceSelector::Address(address) => interface.has(*address),
    }
}
