//! Who has acknowledged what: watermarks.

use std::collections::BTreeMap;

use super::object::Number;

/// The receivers that shall acknowledge, and what each has.
// RFC 5740 §5.5.3: positive acknowledgement.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks {
    /// The last object that each has acknowledged, with all before it.
    nodes: BTreeMap<u32, Option<Number>>,
    /// Up to which object it was given up to wait.
    given_up: Option<Number>,
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

    /// Takes in that a node has an object and all before it; true where that was not known, of one
    /// that shall acknowledge.
    pub(super) fn acknowledge(&mut self, node: u32, number: Number) -> bool {
        let Some(last) = self.nodes.get_mut(&node) else {
            return false;
        };
        let new = last.is_none_or(|last| last < number);
        if new {
            *last = Some(number);
        }
        new
    }

    /// Whether all have an object, or it was given up to wait for them.
    pub(super) fn all_have(&self, number: Number) -> bool {
        let given_up = self.given_up.is_some_and(|last| last >= number);
        let has = |last: &Option<Number>| last.is_some_and(|last| last >= number);
        given_up || self.nodes.values().all(has)
    }

    /// Gives up to wait for an object, and tells who has not acknowledged it.
    pub(super) fn give_up(&mut self, number: Number) -> Vec<u32> {
        if self.given_up.is_some_and(|last| last >= number) {
            return Vec::new();
        }
        self.given_up = Some(number);
        let lacks = |last: &Option<Number>| last.is_none_or(|last| last < number);
        let nodes = self.nodes.iter().filter(|(_, last)| lacks(last));
        nodes.map(|(node, _)| *node).collect()
    }

    /// Those who have not acknowledged an object.
    pub(super) fn waiting(&self, number: Number) -> impl Iterator<Item = u32> {
        let lacks = move |last: &Option<Number>| last.is_none_or(|last| last < number);
        let nodes = self.nodes.iter().filter(move |(_, last)| lacks(last));
        nodes.map(|(node, _)| *node)
    }
}
