//! What is known of devices, within bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use manycast_types::InterfaceId;

use super::{Advertisement, Entry};

/// What an entry is known by. The source is a part of it, so that nobody can change or end what another
/// address has said.
type Key = (IpAddr, u32, String);

/// The entries, each with a number that is never given again.
#[derive(Debug, Default)]
pub(super) struct Cache {
    keys: BTreeMap<Key, u64>,
    entries: BTreeMap<u64, Entry>,
    /// How many entries an address on an interface has.
    sources: BTreeMap<(IpAddr, u32), usize>,
    next: u64,
}

fn key(source: IpAddr, interface: u32, advertisement: &Advertisement) -> Key {
    let name = advertisement.usn.as_ref().unwrap_or(&advertisement.target);
    (source, interface, name.clone())
}

impl Cache {
    pub(super) fn find(&self, source: IpAddr, interface: u32, of: &Advertisement) -> Option<u64> {
        self.keys.get(&key(source, interface, of)).copied()
    }

    pub(super) fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn of_source(&self, source: IpAddr, interface: u32) -> usize {
        let count = self.sources.get(&(source, interface));
        count.copied().unwrap_or_default()
    }

    /// Adds an entry that is not there, and gives its number.
    pub(super) fn add(&mut self, entry: Entry) -> u64 {
        let (source, interface) = (entry.source.ip(), entry.interface.index);
        let number = self.next;
        self.next += 1;
        let key = key(source, interface, &entry.advertisement);
        self.keys.insert(key, number);
        *self.sources.entry((source, interface)).or_default() += 1;
        self.entries.insert(number, entry);
        number
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        let (source, interface) = (entry.source.ip(), entry.interface.index);
        self.keys
            .remove(&key(source, interface, &entry.advertisement));
        if let Some(count) = self.sources.get_mut(&(source, interface)) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&(source, interface));
            }
        }
        Some(entry)
    }

    /// The number of the first entry that came by an interface.
    pub(super) fn first_by(&self, interface: &InterfaceId) -> Option<u64> {
        let mut all = self.entries.iter();
        let found = all.find(|(_, entry)| entry.interface.index == interface.index);
        found.map(|(number, _)| *number)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}
