//! Who has acknowledged what: watermarks.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::object::Number;

/// A symbol among all that are sent: its object, its block, and its place there.
pub(super) type Mark = (Number, u32, u16);

/// The mark that means all of an object.
pub(super) const fn all_of(number: Number) -> Mark {
    (number, u32::MAX, u16::MAX)
}

/// How long receivers have at least to acknowledge: as long as they bear a silent sender, since a
/// machine may be busy for many short round trips.
// RFC 5740 §5.3 has such a floor for receivers alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The receivers that shall acknowledge, and what each has.
// RFC 5740 §5.5.3: positive acknowledgement.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks {
    nodes: BTreeMap<u32, Node>,
    /// Who was asked last.
    last: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// The last symbol that it has acknowledged, with all before it.
    has: Option<Mark>,
    /// Up to which symbol it is not waited for any more.
    given_up: Option<Mark>,
    /// For what it was asked, how often, and since when.
    asked: Option<(Mark, u32, Instant)>,
    /// The stream of which a part is not known to have come, and is not kept any more.
    lacks: Option<Number>,
}

impl Node {
    fn is_waited_for(&self, mark: Mark) -> bool {
        self.has.max(self.given_up) < Some(mark)
    }
}

impl Acks {
    pub(super) fn new(nodes: &[u32]) -> Self {
        Self {
            nodes: nodes.iter().map(|node| (*node, Node::default())).collect(),
            last: 0,
        }
    }

    /// Whether anybody shall acknowledge.
    pub(super) fn are_expected(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// How many shall.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether this one shall.
    pub(super) fn are_expected_of(&self, node: u32) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Takes in that a node has a symbol and all before it; true where that was not known, of one
    /// that shall acknowledge.
    pub(super) fn acknowledge(&mut self, node: u32, mark: Mark) -> bool {
        let Some(node) = self.nodes.get_mut(&node) else {
            return false;
        };
        let is_new = node.has < Some(mark);
        if is_new {
            (node.has, node.asked) = (Some(mark), None);
        }
        is_new
    }

    /// Whether nobody is waited for: all have a symbol and all before it, or are given up.
    pub(super) fn all_have(&self, mark: Mark) -> bool {
        !self.nodes.values().any(|node| node.is_waited_for(mark))
    }

    /// Whether all of an object has come to all of them, as they say.
    pub(super) fn is_delivered(&self, number: Number) -> bool {
        let has = |node: &Node| node.has >= Some(all_of(number)) && node.lacks != Some(number);
        self.nodes.values().all(has)
    }

    /// Who is waited for, at most so many, from the one behind `last` on, so that each has its turn.
    pub(super) fn waiting(&self, mark: Mark, most: usize, last: u32) -> Vec<u32> {
        let behind = self.nodes.range((Bound::Excluded(last), Bound::Unbounded));
        let nodes = behind.chain(self.nodes.range(..=last));
        let nodes = nodes.filter(|(_, node)| node.is_waited_for(mark));
        nodes.map(|(node, _)| *node).take(most).collect()
    }

    /// Those who are asked now, at most so many. It counts where all that they miss was sent to them.
    pub(super) fn ask(&mut self, mark: Mark, most: usize, counts: bool, now: Instant) -> Vec<u32> {
        let turn = self.waiting(mark, most, self.last);
        let counted: &[u32] = if counts { &turn } else { &[] };
        for node in counted {
            if let Some(node) = self.nodes.get_mut(node) {
                let asked = node.asked.filter(|(before, ..)| *before == mark);
                let (_, times, since) = asked.unwrap_or((mark, 0, now));
                node.asked = Some((mark, times.saturating_add(1), since));
            }
        }
        self.last = turn.last().copied().unwrap_or(self.last);
        turn
    }

    /// What some miss is sent to them: all have time to answer after that.
    pub(super) fn begin_anew(&mut self) {
        self.nodes.values_mut().for_each(|node| node.asked = None);
    }

    /// A node says something that shows that it still receives.
    pub(super) fn lives(&mut self, node: u32) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.asked = None;
        }
    }

    /// Gives up those who were asked for a symbol so many times and have not answered, and tells who
    /// they are.
    // RFC 5740 §5.5.3: NORM_ROBUST_FACTOR.
    pub(super) fn give_up(&mut self, mark: Mark, robust: u32, now: Instant) -> Vec<u32> {
        let mut silent = Vec::new();
        for (number, node) in &mut self.nodes {
            let is_enough = |(at, times, since): (Mark, u32, Instant)| {
                at == mark && times >= robust && now.saturating_duration_since(since) >= PATIENCE
            };
            if node.is_waited_for(mark) && node.asked.is_some_and(is_enough) {
                node.given_up = Some(mark);
                silent.push(*number);
            }
        }
        silent
    }

    /// A symbol of a stream, and all before it, is not kept any more.
    pub(super) fn release(&mut self, mark: Mark) {
        for node in self.nodes.values_mut() {
            if node.has < Some(mark) {
                node.lacks = Some(mark.0);
            }
        }
    }

    /// Whether a part of a stream is not known to have come to a node, and is not kept any more.
    pub(super) fn lacks(&self, node: u32, stream: Number) -> bool {
        let node = self.nodes.get(&node);
        node.is_some_and(|node| node.lacks == Some(stream))
    }
}
