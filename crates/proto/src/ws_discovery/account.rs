//! What is known of one service.

use std::net::IpAddr;
use std::time::Instant;

use manycast_types::Received;

use super::{Change, Entry, Sequence, Service, Version};
use crate::cache::Known;

/// An entry, and what else is remembered of it.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) entry: Entry,
    /// Where the last message of it stands that it sent unasked.
    sequence: Option<Sequence>,
    /// Whether it is one that is searched for, and was told; not so while it has not said what it is.
    pub(super) told: bool,
    /// How often its addresses were asked for.
    pub(super) resolves: u32,
    /// How often it was asked for since it was heard of last.
    pub(super) checks: u32,
}

impl Account {
    pub(super) fn new(
        now: Instant,
        datagram: &Received<'_>,
        version: Version,
        service: Service,
    ) -> Self {
        Self {
            entry: Entry {
                service,
                version,
                source: datagram.source,
                interface: datagram.interface.clone(),
                heard: now,
                instance: None,
            },
            sequence: None,
            told: false,
            resolves: 0,
            checks: 0,
        }
    }

    /// Takes note of where a message stands. The identifier of the question proves that an answer is new, so its place
    /// is not needed; and WSDiscovery makes one up for each answer, after which its goodbye would count as old.
    pub(super) fn order(&mut self, sequence: Sequence, is_answer: bool) {
        self.entry.instance = Some(sequence.instance);
        self.sequence = Some(sequence).filter(|_| !is_answer);
    }

    /// Whether it was sent before another (§7). Many devices send the same numbers all the time, so equal ones are not.
    pub(super) fn is_older_than(&self, known: &Self) -> bool {
        let (Some(said), Some(known)) = (&self.sequence, &known.sequence) else {
            return false;
        };
        said.instance < known.instance
            || (said.instance == known.instance
                && said.id == known.id
                && said.number < known.number)
    }
}

impl Known for Account {
    fn place(&self) -> (IpAddr, u32) {
        (self.entry.source.ip(), self.entry.interface.index)
    }

    fn name(&self) -> String {
        self.entry.service.endpoint.clone()
    }
}

/// Whether a list is told, and is another than the one that is known, whatever the order.
fn differs<T: Ord>(known: &[T], said: &[T]) -> bool {
    fn sorted<T: Ord>(list: &[T]) -> Vec<&T> {
        let mut sorted: Vec<&T> = list.iter().collect();
        sorted.sort();
        sorted
    }
    !said.is_empty() && sorted(known) != sorted(said)
}

/// What is new in what a service says.
pub(super) fn differences(known: &Account, said: &Account) -> Option<Change> {
    let (was, is) = (&known.entry, &said.entry);
    let both = |one: Option<u32>, other: Option<u32>| {
        one.zip(other).is_some_and(|(one, other)| one != other)
    };
    if both(was.instance, is.instance) {
        Some(Change::Rebooted)
    } else if differs(&was.service.addresses, &is.service.addresses) {
        Some(Change::Addresses)
    } else if both(was.service.metadata_version, is.service.metadata_version)
        || differs(&was.service.types, &is.service.types)
        || differs(&was.service.scopes, &is.service.scopes)
    {
        Some(Change::Metadata)
    } else {
        None
    }
}

/// Takes over what a service says. What it leaves out stays as it was.
pub(super) fn update(known: &mut Account, said: Account) {
    fn keep<T>(known: &mut Vec<T>, said: Vec<T>) {
        if !said.is_empty() {
            *known = said;
        }
    }
    let Entry {
        service,
        source,
        heard,
        instance,
        ..
    } = said.entry;
    let entry = &mut known.entry;
    keep(&mut entry.service.types, service.types);
    keep(&mut entry.service.scopes, service.scopes);
    keep(&mut entry.service.addresses, service.addresses);
    let version = &mut entry.service.metadata_version;
    *version = service.metadata_version.or(*version);
    (entry.source, entry.heard) = (source, heard);
    entry.instance = instance.or(entry.instance);
    known.sequence = said.sequence.or_else(|| known.sequence.take());
    known.checks = 0;
}
