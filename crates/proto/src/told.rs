//! What is told of once, though it happens again and again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use manycast_types::{ErrorKind, NetworkError, Received};

/// Where something could not be sent: a group that an interface cannot send to would be told of with each
/// question again.
#[derive(Debug, Default)]
pub(crate) struct NotSent(Vec<(SocketAddr, ErrorKind)>);

impl NotSent {
    /// How many places are told of at most.
    const MOST: usize = 64;

    /// Whether it is told of.
    pub(crate) fn is_new(&mut self, destination: SocketAddr, error: &NetworkError) -> bool {
        let place = (destination, error.kind);
        if self.0.len() >= Self::MOST || self.0.contains(&place) {
            return false;
        }
        self.0.push(place);
        true
    }
}

/// In which ways each source deviates.
#[derive(Debug)]
pub(crate) struct Deviating<D>(BTreeMap<(IpAddr, u32), D>);

impl<D: PartialEq> Deviating<D> {
    /// How many sources are remembered.
    const MOST: usize = 1_024;

    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether it is told of: the source deviated in no way before, or in another.
    pub(crate) fn is_new(&mut self, datagram: &Received<'_>, deviations: D) -> bool {
        let source = (datagram.source.ip(), datagram.interface.index);
        let known = self.0.get(&source);
        if known == Some(&deviations) || (known.is_none() && self.0.len() >= Self::MOST) {
            return false;
        }
        self.0.insert(source, deviations);
        true
    }
}
