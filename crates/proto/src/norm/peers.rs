//! What a sender knows of its receivers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ack::{Acks, Mark, all_of};
use super::event::ObjectId;
use super::message::{CcFeedback, unquantize_rate};

/// How many receivers are remembered at most, beside those that are named.
const MOST: usize = 4096;
/// Who was silent for so long makes room for another.
const SILENT: Duration = Duration::from_secs(60);

/// What a [`Sender`](super::Sender) knows of a receiver by what it said.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// The receiver's number.
    pub node: u32,
    /// From where it answers; `None` until it has.
    pub address: Option<SocketAddr>,
    /// When it was heard last.
    pub heard: Option<Instant>,
    /// The last round-trip time that was measured with it.
    pub round_trip: Option<Duration>,
    /// Which fraction of datagrams begins a loss event on the way to it; only with congestion
    /// control.
    pub loss: Option<f64>,
    /// Which rate it allows, in bits a second; only with congestion control.
    pub rate: Option<u64>,
    /// How often it said what it misses.
    pub nacks: u64,
    /// The last object that it has acknowledged, with all before it.
    pub acknowledged: Option<ObjectId>,
}

/// The receivers of a sender, by their numbers.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    peers: BTreeMap<u32, Peer>,
    /// Until then nobody makes room for another.
    full_until: Option<Instant>,
}

impl Peers {
    pub(super) fn new(named: &[u32]) -> Self {
        let named = named.iter().map(|node| (*node, Peer::new(*node)));
        Self {
            peers: named.collect(),
            full_until: None,
        }
    }

    /// The one that is heard now; `None` where there are too many.
    pub(super) fn heard(
        &mut self,
        node: u32,
        address: SocketAddr,
        named: &Acks,
        now: Instant,
    ) -> Option<&mut Peer> {
        if !self.peers.contains_key(&node) && self.peers.len() >= MOST + named.count() {
            if self.full_until.is_some_and(|until| now < until) {
                return None;
            }
            let others = self.peers.values();
            let others = others.filter(|peer| !named.are_expected_of(peer.node));
            let oldest = others.min_by_key(|peer| peer.heard)?;
            let until = oldest.heard.and_then(|at| at.checked_add(SILENT));
            if until.is_some_and(|until| now < until) {
                self.full_until = until;
                return None;
            }
            let oldest = oldest.node;
            self.peers.remove(&oldest);
        }
        let peer = self.peers.entry(node).or_insert_with(|| Peer::new(node));
        peer.heard = Some(now);
        peer.address = Some(address);
        Some(peer)
    }

    /// Takes note of what was acknowledged.
    pub(super) fn acknowledged(&mut self, node: u32, mark: Mark) {
        // Of a stream that goes on, what is before it is through.
        let through = if mark == all_of(mark.0) {
            mark.0
        } else {
            mark.0.saturating_sub(1)
        };
        if let Some(peer) = self.peers.get_mut(&node) {
            let before = peer.acknowledged.map_or(0, |object| object.0);
            peer.acknowledged = (through > 0xffff).then_some(ObjectId(through.max(before)));
        }
    }

    /// Takes note of what a receiver says of congestion.
    pub(super) fn congestion(&mut self, node: u32, cc: &CcFeedback) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.loss = Some(cc.loss_fraction());
            peer.rate = Some(bits(unquantize_rate(cc.rate)));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }
}

impl Peer {
    const fn new(node: u32) -> Self {
        Self {
            node,
            address: None,
            heard: None,
            round_trip: None,
            loss: None,
            rate: None,
            nacks: 0,
            acknowledged: None,
        }
    }
}

/// Bytes a second as bits a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates at the ends of the integer's range"
)]
pub(super) fn bits(rate: f64) -> u64 {
    (rate * 8.0) as u64
}
