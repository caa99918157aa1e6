//! Where a protocol asks or announces: each group on each interface, and hosts that are asked by themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use manycast_types::{ErrorKind, Group, InterfaceId, InterfaceSelector, NetworkError};

use crate::{Output, Request};

/// How many places there are at most.
const MAX_PLACES: usize = 256;

/// A place, with what a protocol knows of it.
pub(crate) trait Place {
    /// The group or the host.
    fn destination(&self) -> SocketAddr;

    /// The interface; `None` where the kernel chooses it for a host.
    fn interface(&self) -> Option<&InterfaceId>;

    /// Whether it is on an interface.
    fn is_on(&self, index: u32) -> bool {
        self.interface().is_some_and(|it| it.index == index)
    }
}

/// The places, each with a number that is never given again.
#[derive(Debug)]
pub(crate) struct Places<P> {
    all: BTreeMap<usize, P>,
    next: usize,
}

impl<P: Place> Places<P> {
    pub(crate) const fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            next: 0,
        }
    }

    /// Adds a place and gives its number; `None` where it is there already. Where there are too many, the error is what is
    /// to be told.
    pub(crate) fn add(&mut self, place: P) -> Result<Option<usize>, NetworkError> {
        let index = |place: &P| place.interface().map(|it| it.index);
        let known =
            |other: &P| other.destination() == place.destination() && index(other) == index(&place);
        if self.all.values().any(known) {
            return Ok(None);
        }
        if self.all.len() >= MAX_PLACES {
            let mut at = place.destination().to_string();
            if let Some(interface) = place.interface() {
                at = format!("{} on {interface}", place.destination().ip());
            }
            let fewer = match place.interface() {
                Some(_) => "groups on interfaces; name the interfaces that are meant",
                None => "groups and hosts; name fewer hosts",
            };
            let message =
                format!("cannot ask or announce in {at}: there are more than {MAX_PLACES} {fewer}");
            return Err(NetworkError::new(ErrorKind::LimitReached, message));
        }
        let number = self.next;
        self.next += 1;
        self.all.insert(number, place);
        Ok(Some(number))
    }

    /// Removes a group that was left on an interface, and gives the number that it had.
    pub(crate) fn leave(&mut self, group: SocketAddr, index: u32) -> Option<usize> {
        let is = |place: &P| place.destination().ip() == group.ip() && place.is_on(index);
        let number = self.find(is)?;
        self.all.remove(&number);
        Some(number)
    }

    /// The number of the first place of which this holds.
    pub(crate) fn find(&self, holds: impl Fn(&P) -> bool) -> Option<usize> {
        let mut all = self.all.iter();
        all.find_map(|(number, place)| holds(place).then_some(*number))
    }

    pub(crate) fn get(&self, number: usize) -> Option<&P> {
        self.all.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut P> {
        self.all.get_mut(&number)
    }

    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.all.keys().copied().collect()
    }
}

/// What joins the groups on the interfaces.
pub(crate) fn joins<'a, E>(
    groups: &'a [IpAddr],
    interfaces: &'a [InterfaceSelector],
    port: u16,
) -> impl Iterator<Item = Output<E>> + 'a {
    let join = move |group| Output::Request(Request::Join { group, port });
    groups.iter().flat_map(move |address| {
        let group = Group::new(*address);
        let everywhere = interfaces.is_empty().then(|| group.clone());
        let named = interfaces
            .iter()
            .map(move |it| group.clone().on(it.clone()));
        everywhere.into_iter().chain(named).map(join)
    })
}
