//! What is known of others, within bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Something that one address has said of itself, or of what it has.
pub(crate) trait Known {
    /// Who said it, and the index of the interface that it came by.
    fn place(&self) -> (IpAddr, u32);

    /// What it is said of, by the name that the protocol knows it by.
    fn name(&self) -> String;
}

/// What an entry is known by. The source is a part of it, so that nobody can change or end what another
/// address has said.
type Key = (IpAddr, u32, String);

/// The entries, each with a number that is never given again.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    keys: BTreeMap<Key, u64>,
    entries: BTreeMap<u64, T>,
    /// How many entries an address on an interface has.
    sources: BTreeMap<(IpAddr, u32), usize>,
    next: u64,
}

impl<T: Known> Cache<T> {
    pub(crate) const fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            entries: BTreeMap::new(),
            sources: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn find(&self, source: IpAddr, interface: u32, name: String) -> Option<u64> {
        self.keys.get(&(source, interface, name)).copied()
    }

    pub(crate) fn entry(&mut self, number: u64) -> Option<&mut T> {
        self.entries.get_mut(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn of_source(&self, source: IpAddr, interface: u32) -> usize {
        let count = self.sources.get(&(source, interface));
        count.copied().unwrap_or_default()
    }

    /// Adds an entry that is not there, and gives its number.
    pub(crate) fn add(&mut self, entry: T) -> u64 {
        let (source, interface) = entry.place();
        let number = self.next;
        self.next += 1;
        self.keys.insert((source, interface, entry.name()), number);
        *self.sources.entry((source, interface)).or_default() += 1;
        self.entries.insert(number, entry);
        number
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let entry = self.entries.remove(&number)?;
        let (source, interface) = entry.place();
        self.keys.remove(&(source, interface, entry.name()));
        if let Some(count) = self.sources.get_mut(&(source, interface)) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&(source, interface));
            }
        }
        Some(entry)
    }

    /// The numbers of the entries that came by an interface.
    pub(crate) fn by(&self, interface: u32) -> impl Iterator<Item = u64> {
        let all = self.entries.iter();
        let here = all.filter(move |(_, entry)| entry.place().1 == interface);
        here.map(|(number, _)| *number)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}
