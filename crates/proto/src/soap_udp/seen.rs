//! Which messages came before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// How long an identifier may be that is remembered; a UUID has 45 characters.
const MAX_LENGTH: usize = 256;

/// The messages that came lately, by their `wsa:MessageID`, so that one which is sent several times counts once.
///
/// It forgets the oldest ones: those of the same source where that has its share, so that nobody can make it forget
/// what others have sent.
///
/// ```
/// use manycast_proto::soap_udp::Seen;
///
/// let mut seen = Seen::new(1_000);
/// let source = [192, 0, 2, 1].into();
/// assert!(seen.is_new(source, "urn:uuid:1"));
/// assert!(!seen.is_new(source, "urn:uuid:1"));
/// ```
#[derive(Clone, Debug)]
pub struct Seen {
    known: BTreeSet<(IpAddr, String)>,
    /// The same in the order that they came in.
    order: VecDeque<(IpAddr, String)>,
    /// How many each source has.
    sources: BTreeMap<IpAddr, usize>,
    capacity: usize,
}

impl Seen {
    /// A memory of so many messages, at least one; an eighth of it is the most that one source has.
    pub fn new(capacity: usize) -> Self {
        Self {
            known: BTreeSet::new(),
            order: VecDeque::new(),
            sources: BTreeMap::new(),
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

    /// Whether a message has not come from this source before, as far as is known; from now on it has. An identifier of
    /// more than 256 bytes is none.
    pub fn is_new(&mut self, source: IpAddr, id: &str) -> bool {
        if id.len() > MAX_LENGTH {
            return false;
        }
        let key = (source, id.to_owned());
        if !self.known.insert(key.clone()) {
            return false;
        }
        let count = self.sources.entry(source).or_default();
        *count += 1;
        let oldest = if *count > (self.capacity / 8).max(1) {
            self.order.iter().position(|(other, _)| *other == source)
        } else if self.order.len() >= self.capacity {
            Some(0)
        } else {
            None
        };
        self.order.push_back(key);
        if let Some(forgotten) = oldest.and_then(|at| self.order.remove(at)) {
            self.known.remove(&forgotten);
            if let Some(count) = self.sources.get_mut(&forgotten.0) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&forgotten.0);
                }
            }
        }
        true
    }
}
