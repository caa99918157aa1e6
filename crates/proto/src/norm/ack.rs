//! Who has acknowledged what: watermarks.

use std::collections::BTreeMap;

use super::object::Number;

/// A symbol among all that are sent: its object, its block, and its place there.
pub(super) type Mark = (Number, u32, u16);

/// The mark that means all of an object.
pub(super) const fn all_of(number: Number) -> Mark {
    (number, u32::MAX, u16::MAX)
}

/// The receivers that shall acknowledge, and what each has.
// RFC 5740 §5.5.3: positive acknowledgement.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks {
    /// The last symbol that each has acknowledged, with all before it.
    nodes: BTreeMap<u32, Option<Mark>>,
    /// Up to which symbol it was given up to wait.
    given_up: Option<Mark>,
}

impl Acks {
    pub(super) fn new(nodes: &[u32]) -> Self {
        Self {
            nodes: nodes.iter().map(|node| (*node, None)).collect(),
            given_up: None,
        }
    }

    /// Whether anybody shall acknowledge.
    pub(super) fn are_expected(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Takes in that a node has a symbol and all before it; true where that was not known, of one
    /// that shall acknowledge.
    pub(super) fn acknowledge(&mut self, node: u32, mark: Mark) -> bool {
        let Some(last) = self.nodes.get_mut(&node) else {
            return false;
        };
        let new = last.is_none_or(|last| last < mark);
        if new {
            *last = Some(mark);
        }
        new
    }

    /// Whether all have a symbol and all before it, or it was given up to wait for them.
    pub(super) fn all_have(&self, mark: Mark) -> bool {
        let given_up = self.given_up.is_some_and(|last| last >= mark);
        let has = |last: &Option<Mark>| last.is_some_and(|last| last >= mark);
        given_up || self.nodes.values().all(has)
    }

    /// Gives up to wait for a symbol, and tells who has not acknowledged it.
    pub(super) fn give_up(&mut self, mark: Mark) -> Vec<u32> {
        if self.given_up.is_some_and(|last| last >= mark) {
            return Vec::new();
        }
        self.given_up = Some(mark);
        self.waiting(mark).collect()
    }

    /// Those who have not acknowledged a symbol.
    pub(super) fn waiting(&self, mark: Mark) -> impl Iterator<Item = u32> {
        let lacks = move |last: &Option<Mark>| last.is_none_or(|last| last < mark);
        let nodes = self.nodes.iter().filter(move |(_, last)| lacks(last));
        nodes.map(|(node, _)| *node)
    }
}
