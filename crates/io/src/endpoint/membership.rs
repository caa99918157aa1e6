//! Which groups are wanted, which are joined, and how the one follows the other while interfaces
//! come and go.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use manycast_net::{ErrorKind, Interface, Operation, Socket};
use manycast_proto::NetworkEvent;
use manycast_types::{Group, Membership, SourceFilter, with_zone};

use super::follow::{Origin, is_chosen};
use super::outlets::Named;
use super::{Endpoint, Port, PortGroup};
use crate::{Error, egress};

/// What the user asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) group: Group,
    pub(super) port: u16,
    /// The interface that was named, as it is now.
    pub(super) named: Option<Named>,
}

/// What the kernel has granted, and on which sockets: several where one could not hold all sources.
#[derive(Debug)]
pub(super) struct Joined {
    membership: Membership,
    sockets: Vec<usize>,
}

/// Group and port, and the index of the interface: there is one membership of each.
type Key = (SocketAddr, u32);

fn key(membership: &Membership) -> Key {
    (membership.group, membership.interface.index)
}

impl Endpoint {
    /// Joins a group on a port, on every interface that can multicast or on the one that it names,
    /// and says whether it was not wanted already. The same group with other sources takes the
    /// place of the former.
    ///
    /// # Errors
    ///
    /// It can be joined nowhere, or not on the interface that is named; then the memberships are as
    /// before.
    pub fn join(&mut self, group: Group, port: u16) -> Result<bool, Error> {
        let same = |wanted: &Wanted| {
            wanted.port == port
                && wanted.group.address == group.address
                && wanted.group.interface == group.interface
        };
        if self
            .wanted
            .iter()
            .any(|wanted| same(wanted) && wanted.group == group)
        {
            return Ok(false);
        }
        // The same group with other sources takes the place of what was wanted before.
        let before = self.wanted.clone();
        self.wanted.retain(|wanted| !same(wanted));
        let address = group.address;
        let asked = |event: &NetworkEvent| match event {
            NetworkEvent::Joined(it) | NetworkEvent::Left(it) => it.group.ip() == address,
            _ => false,
        };
        let result = self
            .want(group, port)
            .and_then(|()| self.quietly(address, asked, Self::join_wanted));
        if result.is_err() {
            self.wanted = before;
            match manycast_net::interfaces() {
                Ok(interfaces) => {
                    self.quietly(address, asked, |it| it.reconcile(&interfaces, false))?;
                }
                // Why it cannot be joined is told; the next wait makes the memberships as before.
                Err(_) => self.retry = Some(Instant::now()),
            }
        }
        self.publish();
        result.map(|()| true)
    }

    /// Leaves a group on a port, and says whether it had been wanted. Without an interface it is
    /// left on all.
    ///
    /// # Errors
    ///
    /// It names an interface that is not there, or the group was joined on every interface: then it
    /// is left without one, and joined on those that are still wanted.
    pub fn leave(&mut self, group: &Group, port: u16) -> Result<bool, Error> {
        let interfaces = manycast_net::interfaces()?;
        let on = match &group.interface {
            Some(selector) => Some(manycast_net::find_interface(selector)?),
            None => None,
        };
        let is_group =
            |wanted: &Wanted| wanted.port == port && wanted.group.address == group.address;
        let before = self.wanted.len();
        self.wanted.retain(|wanted| {
            // It may be down, and be named in another way.
            let named = wanted.group.interface.as_ref();
            let here = on
                .as_ref()
                .is_none_or(|on| named.is_some_and(|named| is_chosen(on, named)));
            !(is_group(wanted) && here)
        });
        let everywhere = |wanted: &Wanted| is_group(wanted) && wanted.group.interface.is_none();
        if on.is_some() && self.wanted.len() == before && self.wanted.iter().any(everywhere) {
            return Err(Error::unsuitable(
                group,
                "it was joined on every interface; leave it without one, and join it on those that \
                 are wanted",
            ));
        }
        let asked = |event: &NetworkEvent| matches!(event, NetworkEvent::Left(it) if it.group.ip() == group.address);
        self.quietly(group.address, asked, |it| it.reconcile(&interfaces, false))?;
        self.publish();
        Ok(self.wanted.len() < before)
    }

    /// Does what the caller has asked for a group. The events that `asked` takes are the answer to that,
    /// and are not told; others are kept, whenever they came.
    fn quietly<T>(
        &mut self,
        address: IpAddr,
        asked: impl Fn(&NetworkEvent) -> bool,
        change: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = std::mem::take(&mut self.events);
        let result = change(self);
        let new = std::mem::replace(&mut self.events, before);
        for event in new {
            if !asked(&event) {
                self.tell(event);
            }
        }
        // What had come by a membership that is not wanted any more is not wanted either; of one that is
        // wanted with other sources, theirs is.
        let joined = &self.joined;
        let sources_of = |group: &PortGroup| {
            let mut joined = joined.iter().map(|joined| &joined.membership);
            let is_it = |it: &&Membership| group.is(it.group.ip(), it.interface.index);
            joined.find(is_it).map(|it| it.sources.clone())
        };
        for port in self.ports.iter_mut().flatten() {
            port.groups.retain_mut(|group| {
                if !group.left || group.address != address {
                    return true;
                }
                match sources_of(group) {
                    Some(sources) => group.sources = sources,
                    None => return false,
                }
                true
            });
        }
        self.admitted = false;
        result
    }

    /// Notes a group, to be joined by [`Endpoint::join_wanted`].
    pub(super) fn want(&mut self, group: Group, port: u16) -> Result<(), Error> {
        if port == 0 {
            return Err(Error::unsuitable(
                format!("{group}:0"),
                "a group needs the port that its senders use; write GROUP:PORT",
            ));
        }
        let mut named = None;
        if let Some(selector) = &group.interface {
            let interface = manycast_net::find_interface(selector)?;
            named = Some(Named {
                name: interface.name.to_string(),
                index: Some(interface.index),
                loopback: interface.loopback,
            });
        }
        let known = |wanted: &Wanted| wanted.group == group && wanted.port == port;
        if !self.wanted.iter().any(known) {
            self.wanted.push(Wanted { group, port, named });
        }
        Ok(())
    }

    /// Joins what is wanted, and fails where a group can be joined nowhere.
    pub(super) fn join_wanted(&mut self) -> Result<(), Error> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        // Before the interfaces are listed, so that no change falls in between.
        self.watch()?;
        let interfaces = manycast_net::interfaces()?;
        self.reconcile(&interfaces, true).map(drop)
    }

    /// The groups that are joined now.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.joined.iter().map(|joined| &joined.membership)
    }

    /// Forgets what was joined on an interface that is gone.
    pub(super) fn leave_interface(&mut self, index: u32) {
        for position in (0..self.joined.len()).rev() {
            if self.joined[position].membership.interface.index == index {
                self.undo(position);
            }
        }
    }

    /// Leaves groups that the socket in a slot had joined, to be joined by another one soon.
    pub(super) fn give_up(&mut self, slot: usize, groups: &[(IpAddr, u32)]) {
        for position in (0..self.joined.len()).rev() {
            let Joined {
                membership,
                sockets,
            } = &self.joined[position];
            let group = (membership.group.ip(), membership.interface.index);
            if sockets.contains(&slot) && groups.contains(&group) {
                self.undo(position);
                self.retry = Some(Instant::now());
            }
        }
    }

    /// Joins what was given up by sockets that there are now; the next wait tries again what cannot be.
    pub(super) fn join_given_up(&mut self) {
        if self.retry.is_none() {
            return;
        }
        if let Ok(interfaces) = manycast_net::interfaces()
            && let Err(error) = self.reconcile(&interfaces, false)
        {
            tracing::debug!(%error, "the next wait joins the groups again");
        }
    }

    /// Forgets the memberships that the kernel has no more: a device may have been recreated unseen,
    /// and have its old index.
    pub(super) fn leave_what_is_gone(&mut self) -> Result<(), Error> {
        let there: HashSet<(IpAddr, u32)> = manycast_net::joined_groups()?
            .into_iter()
            .map(|joined| (joined.group, joined.interface.index))
            .collect();
        for position in (0..self.joined.len()).rev() {
            let Membership {
                group, interface, ..
            } = &self.joined[position].membership;
            if !there.contains(&(group.ip(), interface.index)) {
                self.undo(position);
            }
        }
        Ok(())
    }

    /// Makes what is joined equal to what is wanted on the interfaces that there are, and says
    /// whether all could be joined. If `strict`, a wanted group that is joined nowhere is an error;
    /// otherwise it waits for better times.
    pub(super) fn reconcile(
        &mut self,
        interfaces: &[Interface],
        strict: bool,
    ) -> Result<bool, Error> {
        for wanted in &mut self.wanted {
            let Some((selector, named)) =
                wanted.group.interface.as_ref().zip(wanted.named.as_mut())
            else {
                continue;
            };
            let found = interfaces.iter().find(|it| is_chosen(it, selector));
            named.index = found.filter(|it| it.up).map(|it| it.index);
        }
        let goal = self.goal(interfaces);
        let wanted: HashMap<Key, &Membership> = goal.iter().map(|it| (key(it), it)).collect();
        for position in (0..self.joined.len()).rev() {
            let joined = &self.joined[position].membership;
            if wanted.get(&key(joined)) != Some(&joined) {
                self.undo(position);
            }
        }
        let there: HashSet<Key> = self.memberships().map(key).collect();
        let mut failures = Vec::new();
        for membership in goal {
            if there.contains(&key(&membership)) {
                continue;
            }
            match self.admit(&membership) {
                Ok(sockets) => {
                    self.joined.push(Joined {
                        membership: membership.clone(),
                        sockets,
                    });
                    self.tell(NetworkEvent::Joined(membership));
                }
                Err(error) => {
                    let Membership {
                        group, interface, ..
                    } = &membership;
                    // Where it is the answer to a call, the caller gets the error.
                    if strict {
                        tracing::debug!(%group, %interface, %error, "cannot join");
                    } else {
                        tracing::warn!(%group, %interface, %error, "cannot join");
                    }
                    failures.push((membership, error));
                }
            }
        }
        let complete = failures.is_empty();
        if strict {
            self.check(interfaces, failures)?;
        }
        Ok(complete)
    }

    /// Every wanted group on every interface that it can be joined on.
    fn goal(&self, interfaces: &[Interface]) -> Vec<Membership> {
        let mut goal: Vec<Membership> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for Wanted { group, port, .. } in &self.wanted {
            for interface in interfaces.iter().filter(|interface| fits(interface, group)) {
                let address = SocketAddr::new(group.address, *port);
                let membership = Membership::new(
                    with_zone(address, interface.index),
                    interface.id(),
                    group.sources.clone(),
                );
                let place = *places.entry(key(&membership)).or_insert(goal.len());
                match goal.get_mut(place) {
                    Some(other) => other.sources = either(&other.sources, &membership.sources),
                    None => goal.push(membership),
                }
            }
        }
        goal
    }

    /// Fails if a wanted group is joined nowhere, and tells why.
    fn check(
        &self,
        interfaces: &[Interface],
        failures: Vec<(Membership, Error)>,
    ) -> Result<(), Error> {
        let is = |membership: &Membership, wanted: &Wanted| {
            membership.group.ip() == wanted.group.address && membership.group.port() == wanted.port
        };
        for (membership, error) in failures {
            let named = self
                .wanted
                .iter()
                .any(|wanted| is(&membership, wanted) && wanted.group.interface.is_some());
            let nowhere = !self
                .memberships()
                .any(|joined| joined.group == membership.group);
            if named || nowhere || error.kind() == ErrorKind::LimitReached {
                return Err(error);
            }
        }
        for wanted in &self.wanted {
            if self.memberships().any(|joined| is(joined, wanted)) {
                continue;
            }
            let group = wanted.group.address;
            if let Some(selector) = &wanted.group.interface {
                let interface = manycast_net::find_interface(selector)?;
                egress::ready_for_multicast(&interface, group, Operation::Join)?;
            }
            let target = format!("{group} anywhere");
            let source = std::io::ErrorKind::NotFound.into();
            let (cause, remedy) = egress::why_none(interfaces, egress::Need::Join);
            let error =
                manycast_net::Error::new(Operation::Join, target, source).explained(cause, remedy);
            return Err(error.into());
        }
        Ok(())
    }

    /// Joins on a socket that has room, or on a new one, or on several. After an error it is joined
    /// on none.
    fn admit(&mut self, membership: &Membership) -> Result<Vec<usize>, Error> {
        let mut sockets = Vec::new();
        match self.admit_sources(membership, &membership.sources, &mut sockets) {
            Ok(()) => Ok(sockets),
            Err(error) => {
                self.release(membership, &sockets);
                Err(error)
            }
        }
    }

    fn admit_sources(
        &mut self,
        membership: &Membership,
        sources: &SourceFilter,
        sockets: &mut Vec<usize>,
    ) -> Result<(), Error> {
        let (group, interface) = (membership.group, membership.interface.index);
        let mut limit = None;
        for index in 0..self.ports.len() {
            let Some(Some(port)) = self.ports.get(index) else {
                continue;
            };
            if !may_join(port, membership, sources) {
                continue;
            }
            match port.socket.join(group.ip(), interface, sources) {
                Ok(()) => {
                    self.enter(index, membership, sources);
                    sockets.push(index);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::LimitReached => {
                    limit = Some(error);
                    if let Some(Some(port)) = self.ports.get_mut(index) {
                        // A filter of many sources may be the reason; a plain membership is not.
                        port.full = *sources == SourceFilter::any();
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let (Some(error), true) = (limit, self.has_wildcard(group)) {
            return Err(error.into());
        }
        let config = self.config.clone().share_port(true);
        let socket = Socket::bind(group, &config)?;
        match (socket.join(group.ip(), interface, sources), sources) {
            (Ok(()), _) => {
                let index = self.add(socket, Origin::Group)?;
                self.enter(index, membership, sources);
                sockets.push(index);
                Ok(())
            }
            // More sources than one socket may have (net.ipv4.igmp_max_msf): two sockets.
            (Err(error), SourceFilter::Include(list))
                if error.kind() == ErrorKind::LimitReached && list.len() > 1 =>
            {
                drop(socket);
                let (first, second) = list.split_at(list.len() / 2);
                [first, second].into_iter().try_for_each(|half| {
                    let half = SourceFilter::Include(half.to_vec());
                    self.admit_sources(membership, &half, sockets)
                })
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Notes what a socket has joined.
    fn enter(&mut self, index: usize, membership: &Membership, sources: &SourceFilter) {
        if let Some(Some(port)) = self.ports.get_mut(index) {
            let (address, interface) = (membership.group.ip(), membership.interface.index);
            port.groups
                .retain(|group| !(group.left && group.is(address, interface)));
            port.groups.push(PortGroup {
                address,
                interface,
                sources: sources.clone(),
                left: false,
            });
        }
    }

    /// Whether the own unicast socket has the port, so that no second one can be bound to it.
    fn has_wildcard(&self, group: SocketAddr) -> bool {
        self.ports().any(|port| {
            let local = port.local;
            local.ip().is_unspecified()
                && local.is_ipv4() == group.is_ipv4()
                && local.port() == group.port()
        })
    }

    /// Leaves what was joined.
    fn undo(&mut self, position: usize) {
        let Joined {
            membership,
            sockets,
        } = self.joined.swap_remove(position);
        self.release(&membership, &sockets);
        self.tell(NetworkEvent::Left(membership));
    }

    /// Leaves a group on some sockets, and closes those that nothing else needs.
    fn release(&mut self, membership: &Membership, sockets: &[usize]) {
        let (group, interface) = (membership.group.ip(), membership.interface.index);
        for index in sockets {
            let Some(Some(port)) = self.ports.get_mut(*index) else {
                continue;
            };
            // Where the interface is gone, so is the membership; the kernel then says so.
            let left = port.socket.leave(group, interface);
            tracing::debug!(group = %membership.group, interface = %membership.interface, done = left.is_ok(), "left");
            port.full = false;
            // What had come before is still handed out.
            for joined in &mut port.groups {
                joined.left |= joined.is(group, interface);
            }
            let unused = port.groups.iter().all(|group| group.left);
            if unused && matches!(port.origin, Origin::Group) {
                self.retire(*index);
            }
        }
    }
}

/// Whether a socket can receive a group, and would filter its sources as it is wanted.
fn may_join(port: &Port, membership: &Membership, sources: &SourceFilter) -> bool {
    let (local, group) = (port.local, membership.group);
    let own = local.ip().is_unspecified() && local.is_ipv4() == group.is_ipv4();
    if port.retired || port.full {
        return false;
    }
    if !(local == group || (own && local.port() == group.port())) {
        return false;
    }
    let mut same = port
        .groups
        .iter()
        .filter(|joined| joined.address == group.ip() && !joined.left);
    same.all(|joined| {
        // For IPv6, Linux takes the first filter of a group, whatever the interface.
        let alike = group.is_ipv4() || joined.sources == *sources;
        joined.interface != membership.interface.index && alike
    })
}

/// The sources that one or the other filter wants (RFC 9776 §3.2).
fn either(one: &SourceFilter, other: &SourceFilter) -> SourceFilter {
    use SourceFilter::{Exclude, Include};
    match (one, other) {
        (Include(one), Include(other)) => {
            let new = other.iter().filter(|source| !one.contains(source));
            Include(one.iter().chain(new).copied().collect())
        }
        (Exclude(unwanted), other) | (other, Exclude(unwanted)) => {
            let still = unwanted.iter().filter(|source| !other.admits(**source));
            Exclude(still.copied().collect())
        }
    }
}

/// Whether a group can be joined on an interface and is wanted there.
fn fits(interface: &Interface, group: &Group) -> bool {
    let chosen = group
        .interface
        .as_ref()
        .is_none_or(|selector| is_chosen(interface, selector));
    chosen && interface.can_multicast() && speaks(interface, group.address)
}

/// Whether the interface takes part in the group's version of IP. IPv4 groups can be joined without
/// an address of one's own; IPv6 is switched off where there is not even a link-local one.
fn speaks(interface: &Interface, group: IpAddr) -> bool {
    group.is_ipv4() || interface.addresses.iter().any(|own| own.address.is_ipv6())
}
