//! The groups that two protocols have joined by the same sockets.

use std::net::SocketAddr;

use manycast_types::{Group, Membership, SourceFilter};

use super::Which;
use crate::Request;

/// What each of them wants, and what is joined.
#[derive(Debug, Default)]
pub(super) struct Groups {
    wanted: Vec<Wanted>,
    memberships: Vec<Membership>,
}

#[derive(Debug)]
struct Wanted {
    by: Which,
    group: Group,
    port: u16,
}

impl Wanted {
    fn is(&self, address: SocketAddr) -> bool {
        (self.group.address, self.port) == (address.ip(), address.port())
    }

    /// Whether it is the same but for its sources.
    fn is_like(&self, group: &Group, port: u16) -> bool {
        self.port == port
            && self.group.address == group.address
            && self.group.interface == group.interface
    }
}

impl Groups {
    /// Notes that one of them joins a group, and gives the request that serves both.
    pub(super) fn join(&mut self, by: Which, group: Group, port: u16) -> Request {
        self.forget(by, &group, port);
        let others = self.wanted.iter().filter(|it| it.is_like(&group, port));
        let sources = others.fold(group.sources.clone(), |sources, other| {
            union(sources, &other.group.sources)
        });
        let joined = Group {
            sources,
            ..group.clone()
        };
        self.wanted.push(Wanted { by, group, port });
        Request::Join {
            group: joined,
            port,
        }
    }

    /// Notes that one of them leaves a group. Where the other one still wants it, it stays joined:
    /// then the memberships are given of which the one that leaves is told that they are left.
    pub(super) fn leave(&mut self, by: Which, group: &Group, port: u16) -> Option<Vec<Membership>> {
        let address = SocketAddr::new(group.address, port);
        let had = self.wants(by, address);
        self.wanted.retain(|it| {
            let is_left = group.interface.is_none() || it.group.interface == group.interface;
            it.by != by || !it.is(address) || !is_left
        });
        if !self.wants(by.other(), address) {
            return None;
        }
        let left = self.memberships.iter().filter(|it| it.group == address);
        Some(left.filter(|_| had).cloned().collect())
    }

    /// Notes that one of them leaves all that it has joined, and gives that.
    pub(super) fn leave_all(&mut self, by: Which) -> Vec<(Group, u16)> {
        let left = self.wanted.extract_if(.., |it| it.by == by);
        left.map(|it| (it.group, it.port)).collect()
    }

    /// Forgets that one of them wants a group.
    pub(super) fn forget(&mut self, by: Which, group: &Group, port: u16) {
        self.wanted
            .retain(|it| it.by != by || !it.is_like(group, port));
    }

    /// Whether one of them wants a group, on whatever interface.
    pub(super) fn wants(&self, which: Which, group: SocketAddr) -> bool {
        self.wanted.iter().any(|it| it.by == which && it.is(group))
    }

    /// Whether anyone wants it.
    pub(super) fn is_wanted(&self, group: &Group, port: u16) -> bool {
        let address = SocketAddr::new(group.address, port);
        self.wanted.iter().any(|it| it.is(address))
    }

    /// Takes in a membership, and says whether it is new.
    pub(super) fn joined(&mut self, membership: &Membership) -> bool {
        let is_new = !self.memberships.contains(membership);
        if is_new {
            self.left(membership);
            self.memberships.push(membership.clone());
        }
        is_new
    }

    /// Takes in that a membership is no more.
    pub(super) fn left(&mut self, membership: &Membership) {
        self.memberships.retain(|it| {
            it.group != membership.group || it.interface.index != membership.interface.index
        });
    }
}

/// RFC 3376 §3.2: what several want of a group, together.
fn union(one: SourceFilter, other: &SourceFilter) -> SourceFilter {
    match (one, other) {
        (SourceFilter::Include(mut one), SourceFilter::Include(other)) => {
            one.extend(other);
            one.sort_unstable();
            one.dedup();
            SourceFilter::Include(one)
        }
        (SourceFilter::Exclude(one), other) => {
            SourceFilter::Exclude(one.into_iter().filter(|it| !other.admits(*it)).collect())
        }
        (one, SourceFilter::Exclude(other)) => {
            let excluded = other.iter().copied().filter(|it| !one.admits(*it));
            SourceFilter::Exclude(excluded.collect())
        }
    }
}
