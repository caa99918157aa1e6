//! The groups that two protocols have joined by the same sockets.

use manycast_types::{Group, InterfaceId, InterfaceSelector, Membership, SourceFilter};

use super::Which;
use crate::Request;

/// What each of them wants, what the driver was asked for, and what is joined.
#[derive(Debug, Default)]
pub(super) struct Groups {
    wanted: Vec<Wanted>,
    /// What was requested and is not left yet: it can be more than is wanted, since what one of them
    /// has left stays joined while the other wants it.
    requested: Vec<(Group, u16)>,
    memberships: Vec<Joined>,
    /// The join that was passed on last.
    last: Option<LastJoin>,
}

#[derive(Clone, Debug)]
struct Wanted {
    by: Which,
    group: Group,
    port: u16,
}

/// A membership, and which of the two were told of it.
#[derive(Debug)]
struct Joined {
    membership: Membership,
    told: [bool; 2],
}

/// A join that may fail: then all is as before.
#[derive(Debug)]
struct LastJoin {
    wanted: Wanted,
    /// What the same protocol wanted of the group there before.
    before: Option<Wanted>,
    /// Whether nothing was requested of the group there before.
    is_first: bool,
}

impl Wanted {
    /// Whether it is the same but for its sources.
    fn is_like(&self, group: &Group, port: u16) -> bool {
        is_same(&self.group, self.port, group, port)
    }

    fn overlaps(&self, group: &Group, port: u16) -> bool {
        overlaps(&self.group, self.port, group, port)
    }

    fn covers(&self, membership: &Membership) -> bool {
        covers(&self.group, self.port, membership)
    }
}

impl Groups {
    /// Notes that one of them joins a group, and gives the request that serves both.
    pub(super) fn join(&mut self, by: Which, group: Group, port: u16) -> Request {
        let before = self.take(by, &group, port);
        let others = self.wanted.iter().filter(|it| it.overlaps(&group, port));
        let sources = others.fold(group.sources.clone(), |sources, other| {
            union(sources, &other.group.sources)
        });
        let joined = Group {
            sources,
            ..group.clone()
        };
        let same = |(other, at): &(Group, u16)| is_same(other, *at, &group, port);
        let is_first = !self.requested.iter().any(same);
        if is_first {
            self.requested.push((group.clone(), port));
        }
        let wanted = Wanted { by, group, port };
        self.wanted.push(wanted.clone());
        self.last = Some(LastJoin {
            wanted,
            before,
            is_first,
        });
        Request::Join {
            group: joined,
            port,
        }
    }

    /// Takes in that the join that was passed on last has failed.
    pub(super) fn not_joined(&mut self) {
        let Some(LastJoin {
            wanted: Wanted { by, group, port },
            before,
            is_first,
        }) = self.last.take()
        else {
            return;
        };
        self.take(by, &group, port);
        self.wanted.extend(before);
        if is_first {
            self.requested
                .retain(|(other, at)| !is_same(other, *at, &group, port));
        }
    }

    /// Notes that one of them leaves a group, and gives what is to be requested for that: nothing
    /// where the other one still wants it.
    pub(super) fn leave(&mut self, by: Which, group: Group, port: u16) -> Vec<Request> {
        let known = &self.memberships;
        let count = self.wanted.len();
        self.wanted.retain(|it| {
            let is_left = it.by == by
                && (it.group.address, it.port) == (group.address, port)
                && is_named(&it.group, &group, known);
            !is_left
        });
        if self.wanted.len() < count {
            return self.not_needed();
        }
        let is_others = |it: &Wanted| it.by != by && it.overlaps(&group, port);
        if self.wanted.iter().any(is_others) {
            return Vec::new();
        }
        // The sockets may have been members from the beginning.
        vec![Request::Leave { group, port }]
    }

    /// Notes that one of them leaves all that it has joined, and gives what is to be requested for
    /// that.
    pub(super) fn leave_all(&mut self, by: Which) -> Vec<Request> {
        self.wanted.retain(|it| it.by != by);
        self.not_needed()
    }

    /// The memberships that one of them was told of and does not want any more, while they stay for
    /// the other. It is told that they are left.
    pub(super) fn kept_from(&mut self, by: Which) -> Vec<Membership> {
        let mut kept = Vec::new();
        for Joined { membership, told } in &mut self.memberships {
            let wants = |it: &Wanted| it.by == by && it.covers(membership);
            let stays = |(group, port): &(Group, u16)| covers(group, *port, membership);
            if told[by as usize]
                && !self.wanted.iter().any(wants)
                && self.requested.iter().any(stays)
            {
                told[by as usize] = false;
                kept.push(membership.clone());
            }
        }
        kept
    }

    /// Takes in a membership, and says who is told: who has asked for it, who does not know of it as
    /// it is, and where nobody has requested it, both, since the sockets may have been members from the
    /// beginning.
    pub(super) fn joined(&mut self, membership: &Membership, asked: Option<Which>) -> Vec<Which> {
        let known = self
            .memberships
            .iter()
            .position(|it| is_at(&it.membership, membership));
        let known = known.map(|index| self.memberships.swap_remove(index));
        let mut told = match known {
            Some(joined) if joined.membership == *membership => joined.told,
            _ => [false; 2],
        };
        let wants = |which: Which| {
            let mut all = self.wanted.iter();
            all.any(|it| it.by == which && it.covers(membership))
        };
        let mut requested = self.requested.iter();
        let nobody = !requested.any(|(group, port)| covers(group, *port, membership));
        let is_told = |which: &Which| {
            let is_new = !told[*which as usize] || asked == Some(*which);
            is_new && (nobody || wants(*which))
        };
        let all: Vec<Which> = Which::BOTH.into_iter().filter(is_told).collect();
        for which in &all {
            told[*which as usize] = true;
        }
        self.memberships.push(Joined {
            membership: membership.clone(),
            told,
        });
        all
    }

    /// Takes in that a membership is no more, and says who is told: who was told that it was joined.
    /// Of one that is not known, who has asked or both.
    pub(super) fn left(&mut self, membership: &Membership, asked: Option<Which>) -> Vec<Which> {
        let known = self
            .memberships
            .iter()
            .position(|it| is_at(&it.membership, membership));
        match (known, asked) {
            (Some(index), _) => {
                let told = self.memberships.swap_remove(index).told;
                let was_told = |which: &Which| told[*which as usize];
                Which::BOTH.into_iter().filter(was_told).collect()
            }
            (None, Some(asked)) => vec![asked],
            (None, None) => Which::BOTH.to_vec(),
        }
    }

    /// Whether one of them wants a group on an interface that this one may be.
    pub(super) fn wants(&self, which: Which, group: &Group, port: u16) -> bool {
        let mut all = self.wanted.iter();
        all.any(|it| it.by == which && it.overlaps(group, port))
    }

    /// Takes out what one of them wants of a group there.
    fn take(&mut self, by: Which, group: &Group, port: u16) -> Option<Wanted> {
        let is_it = |it: &Wanted| it.by == by && it.is_like(group, port);
        let index = self.wanted.iter().position(is_it)?;
        Some(self.wanted.remove(index))
    }

    /// Takes out what was requested and is wanted by nobody any more, as requests to leave it.
    fn not_needed(&mut self) -> Vec<Request> {
        let wanted = &self.wanted;
        let is_needed = |group: &Group, port: u16| wanted.iter().any(|it| it.overlaps(group, port));
        let left: Vec<(Group, u16)> = self
            .requested
            .extract_if(.., |(group, port)| !is_needed(group, *port))
            .collect();
        // To leave it on all interfaces is to leave it on each.
        let is_of_another = |(group, port): &&(Group, u16)| {
            let on_all = |(other, at): &(Group, u16)| {
                other.interface.is_none() && (other.address, at) == (group.address, port)
            };
            group.interface.is_some() && left.iter().any(on_all)
        };
        let left = left.iter().filter(|it| !is_of_another(it)).cloned();
        left.map(|(group, port)| Request::Leave { group, port })
            .collect()
    }
}

/// Whether two are the same but for their sources.
fn is_same(one: &Group, port: u16, other: &Group, other_port: u16) -> bool {
    port == other_port && one.address == other.address && one.interface == other.interface
}

/// Whether two can be the same group on the same interface. That on all interfaces is on each; a
/// name, an index and an address cannot be told apart.
fn overlaps(one: &Group, port: u16, other: &Group, other_port: u16) -> bool {
    use InterfaceSelector::{Index, Name};
    let is_elsewhere = match (&one.interface, &other.interface) {
        (Some(Name(one)), Some(Name(other))) => one != other,
        (Some(Index(one)), Some(Index(other))) => one != other,
        _ => false,
    };
    (one.address, port) == (other.address, other_port) && !is_elsewhere
}

/// Whether a membership can be one of a group that was joined.
fn covers(group: &Group, port: u16, membership: &Membership) -> bool {
    let is_group = (group.address, port) == (membership.group.ip(), membership.group.port());
    let selector = group.interface.as_ref();
    is_group && selector.is_none_or(|it| is_selected(it, &membership.interface))
}

/// Whether an interface can be the one that is meant.
fn is_selected(selector: &InterfaceSelector, interface: &InterfaceId) -> bool {
    match selector {
        InterfaceSelector::Name(name) => interface.name.is_empty() || **name == *interface.name,
        InterfaceSelector::Index(index) => [0, *index].contains(&interface.index),
        InterfaceSelector::Address(_) => true,
    }
}

/// Whether a wish is what is left: on all interfaces, on the one that both name in the same way, or on
/// one that is known by the name and the index of which each names one.
fn is_named(wanted: &Group, left: &Group, known: &[Joined]) -> bool {
    use InterfaceSelector::{Index, Name};
    match (&wanted.interface, &left.interface) {
        (_, None) => true,
        (Some(Name(name)), Some(Index(index))) | (Some(Index(index)), Some(Name(name))) => {
            known.iter().any(|it| {
                let interface = &it.membership.interface;
                interface.index == *index && *interface.name == **name
            })
        }
        (wanted, left) => wanted == left,
    }
}

fn is_at(one: &Membership, other: &Membership) -> bool {
    one.group == other.group && one.interface.index == other.interface.index
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
