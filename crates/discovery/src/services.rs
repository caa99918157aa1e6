//! What is known of services, within bounds.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;

use manycast_proto::ssdp::unversioned;

use crate::{Change, DiscoveryProtocol, Event, Reason, Service};

#[cfg(test)]
mod tests;

/// How many sources of one service are kept: addresses of the host on interfaces of this one.
const MAX_SOURCES: usize = 64;

/// How many attributes of one service are kept, of all sources together.
const MAX_ATTRIBUTES: usize = 256;

type Id = (DiscoveryProtocol, String);

/// Who has said something of a service. By SSDP each address of a host speaks for itself, so that no other can change
/// or end what it has said; by DNS-SD all that is said is one.
pub(crate) type Source = Option<(IpAddr, u32)>;

/// The services, and what is to be told of them.
#[derive(Debug)]
pub(crate) struct Services {
    known: BTreeMap<Id, Known>,
    most: usize,
    overflowed: u64,
    pub(crate) events: VecDeque<Event>,
}

#[derive(Debug)]
struct Known {
    /// All sources together.
    service: Service,
    /// What each has said; the one that is known for longest comes first.
    said: Vec<(Source, Service)>,
}

impl Services {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            most,
            overflowed: 0,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Service> {
        self.known.values().map(|known| &known.service)
    }

    pub(crate) const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Takes in what a source says now of a service; `change` is what the protocol itself knows to have changed.
    pub(crate) fn said(&mut self, source: Source, said: Service, change: Option<Change>) {
        let id = known_by(said.protocol, &said.id);
        let Some(known) = self.known.get_mut(&id) else {
            if self.known.len() >= self.most {
                self.overflowed += 1;
                return;
            }
            self.events.push_back(Event::Found(said.clone()));
            let known = Known {
                service: said.clone(),
                said: vec![(source, said)],
            };
            self.known.insert(id, known);
            return;
        };
        match known.said.iter().position(|(other, _)| *other == source) {
            Some(index) => known.said[index].1 = said,
            None if known.said.len() >= MAX_SOURCES => {
                self.overflowed += 1;
                return;
            }
            None => known.said.push((source, said)),
        }
        self.events.extend(known.update(change));
    }

    /// Takes in that a source still says the same of a service. What there was no room for counts once.
    pub(crate) fn heard(&mut self, source: Source, said: Service) {
        let overflowed = self.overflowed;
        self.said(source, said, None);
        self.overflowed = overflowed;
    }

    /// Takes in that a source has said that a service is gone, or has not said anything of it for too long.
    pub(crate) fn gone(&mut self, source: Source, (protocol, id): Id, reason: Reason) {
        let id = known_by(protocol, &id);
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        known.said.retain(|(other, _)| *other != source);
        if known.said.is_empty() {
            if let Some(Known { service, .. }) = self.known.remove(&id) {
                self.events.push_back(Event::Gone { service, reason });
            }
        } else {
            self.events.extend(known.update(None));
        }
    }
}

/// What a service is known by: of SSDP, it may be told in several versions.
fn known_by(protocol: DiscoveryProtocol, id: &str) -> Id {
    match protocol {
        DiscoveryProtocol::Ssdp => (protocol, unversioned(id)),
        _ => (protocol, id.to_owned()),
    }
}

impl Known {
    /// Puts together what the sources say, and tells what has changed by that.
    fn update(&mut self, change: Option<Change>) -> Option<Event> {
        let mut service = together(&self.said)?;
        service.id.clone_from(&self.service.id);
        std::mem::swap(&mut service, &mut self.service);
        let (before, now) = (service, &self.service);
        let only_in = |one: &Service, other: &Service| {
            let addresses = one.addresses.iter();
            let others = addresses.filter(|address| !other.addresses.contains(address));
            others.cloned().collect::<Vec<_>>()
        };
        let (added, removed) = (only_in(now, &before), only_in(&before, now));
        let change = if !added.is_empty() || !removed.is_empty() {
            Change::Addresses { added, removed }
        } else if let Some(change) = change {
            change
        } else if (&before.name, before.port, &before.attributes, &before.host)
            != (&now.name, now.port, &now.attributes, &now.host)
        {
            Change::Attributes
        } else {
            return None;
        };
        Some(Event::Changed {
            service: now.clone(),
            change,
        })
    }
}

/// One service of what its sources say. Nothing that one of them says hides what another does: all addresses and
/// attributes are there. Of what there is but once, the name and the port above all, the source decides that is known
/// for longest: whoever comes later can add to a service, and cannot change it.
fn together(said: &[(Source, Service)]) -> Option<Service> {
    let (_, first) = said.first()?;
    let all = || said.iter().map(|(_, service)| service);
    let mut service = first.clone();
    // Where it was found last, it is most likely to be.
    let addresses = all().rev().flat_map(|it| &it.addresses);
    service.addresses = distinct(addresses, usize::MAX);
    service.attributes = distinct(all().flat_map(|it| &it.attributes), MAX_ATTRIBUTES);
    let heard = all().map(|it| it.heard);
    service.heard = heard.max().unwrap_or(first.heard);
    service.lifetime = all().map(|it| it.lifetime).max().flatten();
    service.port = all().find_map(|it| it.port);
    if service.name.is_empty() {
        let name = all().map(|it| &it.name).find(|name| !name.is_empty());
        service.name = name.cloned().unwrap_or_default();
    }
    Some(service)
}

/// The first of those that are equal, and no more than so many.
fn distinct<'a, T: Clone + Eq + Hash + 'a>(
    all: impl Iterator<Item = &'a T>,
    most: usize,
) -> Vec<T> {
    let mut known = HashSet::new();
    let new = all.filter(|it| known.insert(*it));
    new.take(most).cloned().collect()
}
