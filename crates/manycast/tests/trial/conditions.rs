//! What can be the matter with a host: faults, and what is odd but healthy. One entry each, with how
//! it is made and what may be said of it.

mod addresses;
mod arriving;
mod firewall;
mod healthy;
mod interfaces;
mod programs;
mod two_ends;

use std::fmt;

use manycast_lab::netns::Snooping;

use crate::draw::View::{self, Bare, Host, Program, TwoEnds};
use crate::scene::Scene;

/// Something that is made on the hosts of a case.
#[derive(Clone, Copy)]
pub(crate) struct Condition {
    /// How it is called here.
    pub(crate) name: &'static str,
    /// In which kinds of examination it can be made.
    pub(crate) views: &'static [View],
    /// For IPv4, for IPv6.
    pub(crate) versions: [bool; 2],
    /// Whether it is broken, and not only odd.
    pub(crate) is_fault: bool,
    /// The codes that name a fault.
    pub(crate) right: &'static [&'static str],
    /// What is true of such a host besides, so that it may be proved.
    pub(crate) also: &'static [&'static str],
    /// What may be said of it as likely, and not as proved.
    pub(crate) allowed: &'static [&'static str],
    /// To whom datagrams that come look as if all were well: an ordinary user, root.
    pub(crate) unseen: [bool; 2],
    /// What it changes: two that change the same are not made together.
    pub(crate) takes: &'static [Part],
    /// How the switch has to be.
    pub(crate) snooping: Option<Snooping>,
    /// The hosts are on the two sides of a router.
    pub(crate) routed: bool,
    /// Whose fault it is between two ends: this host's, the far host's, or either's.
    pub(crate) of: Of,
    pub(crate) make: fn(&mut Scene),
}

/// Which host a finding has to be about, where two are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    ThisHost,
    FarHost,
    /// The way between them, which the doctor may tell of either.
    Either,
}

/// What a condition changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is sent, and from where.
    Stream,
    /// What the doctor is asked about.
    Asked,
    /// By which interface it is asked about.
    Zone,
    /// The rules between the interface and the socket.
    Rules,
    /// How the switch forwards.
    Switch,
    /// The interfaces and addresses of the examined host.
    Interfaces,
    /// The program that is asked about.
    Program,
    /// Who may look at that program.
    Owner,
    /// How the doctor is told which program it is.
    Choice,
    /// Other programs on its host.
    Beside,
    /// Other traffic on the wire.
    Noise,
    /// The reverse-path filter and the routes.
    Routes,
    /// The far host.
    Far,
}

impl Condition {
    const fn new(
        name: &'static str,
        views: &'static [View],
        takes: &'static [Part],
        make: fn(&mut Scene),
    ) -> Self {
        Self {
            name,
            views,
            versions: [true, true],
            is_fault: false,
            right: &[],
            also: &[],
            allowed: &[],
            unseen: [false, false],
            takes,
            snooping: None,
            routed: false,
            of: Of::ThisHost,
            make,
        }
    }

    const fn right(self, right: &'static [&'static str]) -> Self {
        Self {
            is_fault: true,
            right,
            ..self
        }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    const fn allowed(self, allowed: &'static [&'static str]) -> Self {
        Self { allowed, ..self }
    }

    const fn unseen_by_user(self) -> Self {
        Self {
            unseen: [true, self.unseen[1]],
            ..self
        }
    }

    const fn unseen(self) -> Self {
        Self {
            unseen: [true, true],
            ..self
        }
    }

    const fn v4(self) -> Self {
        Self {
            versions: [true, false],
            ..self
        }
    }

    const fn v6(self) -> Self {
        Self {
            versions: [false, true],
            ..self
        }
    }

    const fn snooping(self, snooping: Snooping) -> Self {
        Self {
            snooping: Some(snooping),
            ..self
        }
    }

    const fn far(self) -> Self {
        Self {
            of: Of::FarHost,
            ..self
        }
    }

    const fn between(self) -> Self {
        Self {
            of: Of::Either,
            ..self
        }
    }

    const fn routed(self) -> Self {
        Self {
            routed: true,
            ..self
        }
    }

    /// Whether both can be made on one host.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        let apart = self.takes.iter().all(|part| !other.takes.contains(part));
        let switch = self.snooping.is_none() || other.snooping.is_none();
        apart && switch
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All that can be made.
pub(crate) fn all() -> impl Iterator<Item = &'static Condition> {
    [
        addresses::ALL,
        arriving::ALL,
        firewall::ALL,
        interfaces::ALL,
        programs::ALL,
        two_ends::ALL,
        healthy::ALL,
    ]
    .into_iter()
    .flatten()
}

/// Where the examined host receives, itself or by a program.
const RECEIVING: &[View] = &[Host, Program];
const RECEIVING_OR_TWO: &[View] = &[Host, Program, TwoEnds];
const HOST: &[View] = &[Host];
const PROGRAM: &[View] = &[Program];
const TWO_ENDS: &[View] = &[TwoEnds];
const BARE: &[View] = &[Bare];
const HOST_OR_BARE: &[View] = &[Host, Bare];
