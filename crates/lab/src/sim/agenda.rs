//! What is to happen, and when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Instant;

use super::Network;
use super::network::Packet;
use super::topology::Interface;

/// Something that is to happen. At one instant, the kinds happen in this order.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// An endpoint starts.
    Start(usize),
    /// A packet comes to a network, from which it spreads.
    Spread(Network, Rc<Packet>),
    /// A packet comes to the access link of an interface.
    Access(Interface, Rc<Packet>),
    /// A packet comes to an interface.
    Arrival(Interface, Rc<Packet>),
    /// An endpoint has gathered this run for long enough.
    Gathered(usize, u64),
    /// An endpoint may go on to send.
    Turn(usize),
    /// The deadline of an endpoint is looked at.
    Alarm(usize),
}

/// The next thing first; of one instant and one kind, in the order in which they were put in.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Entry>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    /// The kind in the high bits, then a count.
    order: u64,
    what: What,
}

impl Agenda {
    pub(super) fn push(&mut self, at: Instant, what: What) {
        let kind = match what {
            What::Start(_) => 0,
            What::Spread(..) | What::Access(..) | What::Arrival(..) => 1,
            What::Gathered(..) => 2,
            What::Turn(_) => 3,
            What::Alarm(_) => 4,
        };
        self.count += 1;
        let order = kind << 56 | self.count;
        self.heap.push(Entry { at, order, what });
    }

    pub(super) fn peek(&self) -> Option<(Instant, &What)> {
        self.heap.peek().map(|entry| (entry.at, &entry.what))
    }

    pub(super) fn pop(&mut self) -> Option<What> {
        self.heap.pop().map(|entry| entry.what)
    }
}

impl Ord for Entry {
    /// The heap has its greatest entry on top, so the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
