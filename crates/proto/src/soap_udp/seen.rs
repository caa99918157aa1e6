//! Which messages came before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// How long an identifier may be that is remembered; a UUID has 45 characters.
const MAX_LENGTH: usize = 256;

/// An address, and the index of the interface that leads to it: on two links, one address may be two hosts.
type Source = (IpAddr, u32);

/// The messages that came lately, by their `wsa:MessageID`, so that one which is sent several times counts once.
///
/// It forgets the oldest ones: those of the same source where that has its share, so that nobody can make it forget
/// what others have sent. A source is an address on an interface, since on another link the same address is another
/// host.
///
/// ```
/// use manycast_proto::soap_udp::Seen;
///
/// let mut seen = Seen::new(1_000);
/// let (source, eth0, eth1) = ([192, 0, 2, 1].into(), 2, 3);
/// assert!(seen.is_new(source, eth0, "urn:uuid:1"));
/// assert!(!seen.is_new(source, eth0, "urn:uuid:1"));
/// assert!(seen.is_new(source, eth1, "urn:uuid:1"));
/// ```
#[derive(Clone, Debug)]
pub struct Seen {
    known: BTreeSet<(Source, String)>,
    /// The same by a number that rises with each.
    order: BTreeMap<u64, (Source, String)>,
    /// The numbers of each source, the oldest first.
    sources: BTreeMap<Source, VecDeque<u64>>,
    next: u64,
    capacity: usize,
}

impl Seen {
    /// A memory of so many messages, at least one; an eighth of it is the most that one source has.
    pub fn new(capacity: usize) -> Self {
        Self {
            known: BTreeSet::new(),
            order: BTreeMap::new(),
            sources: BTreeMap::new(),
            next: 0,
            capacity: capacity.max(1),
        }
    }

    /// How many messages it knows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether a message has not come before from this address by this interface, as far as is known; from now on it
    /// has. An identifier of more than 256 bytes is none.
    pub fn is_new(&mut self, source: IpAddr, interface: u32, id: &str) -> bool {
        let source = (source, interface);
        if id.len() > MAX_LENGTH || !self.known.insert((source, id.to_owned())) {
            return false;
        }
        let of_source = self.sources.get(&source);
        let oldest_of_source = of_source.filter(|it| it.len() >= (self.capacity / 8).max(1));
        let forgotten = match oldest_of_source {
            Some(numbers) => numbers.front().copied(),
            None if self.order.len() >= self.capacity => self.order.keys().next().copied(),
            None => None,
        };
        if let Some(number) = forgotten {
            self.forget(number);
        }
        self.order.insert(self.next, (source, id.to_owned()));
        self.sources.entry(source).or_default().push_back(self.next);
        self.next += 1;
        true
    }

    /// Forgets the oldest message of its source.
    fn forget(&mut self, number: u64) {
        let Some(key) = self.order.remove(&number) else {
            return;
        };
        self.known.remove(&key);
        if let Some(numbers) = self.sources.get_mut(&key.0) {
            numbers.pop_front();
            if numbers.is_empty() {
                self.sources.remove(&key.0);
            }
        }
    }
}
