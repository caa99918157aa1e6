//! Congestion control: the rate of a sender, as the receiver allows it that has the worst path.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::{CcFeedback, CcFlags, CcNode, quantize_rate, quantize_rtt, unquantize_rate};

/// How many receivers are watched: the limiting one, and those that might become it.
const WATCHED: usize = 5;
/// After how many round trips without a word a receiver is watched no more.
const SILENT: u32 = 20;
/// How many probes it may leave unanswered at least: at a low rate they are farther apart than that.
const UNANSWERED: u32 = 4;

/// The shortest time that counts as a round trip where something is measured or waited for: within less,
/// it shows when a busy processor came to it, and not what the network carries.
pub(super) const ROUND: Duration = Duration::from_millis(10);

/// The rate that a flow of TCP would have, in bytes a second: with segments of `size` bytes, a
/// round trip of `round_trip`, and a loss event for each 1 / `loss` datagrams.
// RFC 5348 §3.1: the throughput equation, with one acknowledgement a datagram and t_RTO = 4 R.
pub(super) fn tcp_rate(size: f64, round_trip: Duration, loss: f64) -> f64 {
    let trip = round_trip.as_secs_f64().max(1e-6);
    let loss = loss.clamp(1e-12, 1.0);
    let timeouts = 4.0 * 3.0 * (3.0 * loss / 8.0).sqrt() * loss * (1.0 + 32.0 * loss * loss);
    size / (trip * ((2.0 * loss / 3.0).sqrt() + timeouts))
}

/// The fraction of loss events at which [`tcp_rate`] is `rate`.
pub(super) fn loss_for(size: f64, round_trip: Duration, rate: f64) -> f64 {
    // The rate falls as the loss grows.
    let (mut low, mut high) = (1e-12_f64, 1.0_f64);
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if tcp_rate(size, round_trip, middle) > rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The rate of a sender.
// RFC 5740 §5.5.2: NORM congestion control.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// In bytes a second.
    rate: f64,
    least: f64,
    most: f64,
    /// The bytes of a datagram.
    size: f64,
    /// The limiting receiver comes first (CLR), then those that might become it (PLR).
    nodes: Vec<Node>,
    /// When the last probe was sent.
    probed: Option<Instant>,
}

/// A receiver that is watched.
#[derive(Clone, Debug)]
struct Node {
    node: u32,
    address: SocketAddr,
    round_trip: Duration,
    /// The mean of the square roots of round-trip times.
    root: f64,
    rate: f64,
    /// It has lost nothing yet.
    start: bool,
    sequence: u16,
    heard: Instant,
}

/// What a receiver says, and what was measured with it.
pub(super) struct Said<'a> {
    pub(super) node: u32,
    pub(super) address: SocketAddr,
    pub(super) round_trip: Option<Duration>,
    pub(super) cc: &'a CcFeedback,
}

impl Rate {
    /// At most `most` bytes a second, in datagrams of `size` bytes, with a first guess of the
    /// round-trip time.
    pub(super) fn new(most: f64, size: f64, grtt: Duration) -> Self {
        let trip = grtt.as_secs_f64().max(1e-3);
        Self {
            // RFC 5348 §4.2: as TCP begins, with four segments.
            rate: (4.0 * size / trip).min(most),
            // RFC 5740 §5.5.2: a segment each second, or each round trip.
            least: (size / trip.max(1.0)).min(most),
            most,
            size,
            nodes: Vec::new(),
            probed: None,
        }
    }

    /// In bytes a second.
    pub(super) const fn get(&self) -> f64 {
        self.rate
    }

    /// The round-trip time of the limiting receiver.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.nodes.first().map(|node| node.round_trip)
    }

    /// The receivers that shall answer at once.
    pub(super) fn nodes(&self) -> Vec<CcNode> {
        let nodes = self.nodes.iter().enumerate();
        let node = |(index, node): (usize, &Node)| {
            let role = if index == 0 {
                CcFlags::CLR
            } else {
                CcFlags::PLR
            };
            let start = if node.start {
                CcFlags::START
            } else {
                CcFlags(0)
            };
            CcNode {
                node: node.node,
                flags: role.with(CcFlags::RTT).with(start),
                rtt: quantize_rtt(node.round_trip),
                rate: quantize_rate(node.rate),
            }
        };
        nodes.map(node).collect()
    }

    /// Takes in what a receiver says. `busy` tells whether there was as much to send as the rate
    /// allows.
    pub(super) fn said(&mut self, said: &Said<'_>, grtt: Duration, busy: bool, now: Instant) {
        let known = self.nodes.iter().position(|it| it.node == said.node);
        if known.is_some_and(|index| self.nodes[index].address != said.address) {
            // Who speaks in another's name from elsewhere is not heard.
            return;
        }
        if said.cc.flags.has(CcFlags::LEAVE) {
            known.map(|index| self.nodes.remove(index));
            return;
        }
        let before = known.map(|index| self.nodes[index].clone());
        let newer = |node: &Node| said.cc.sequence.wrapping_sub(node.sequence).cast_signed() > 0;
        if before.as_ref().is_some_and(|before| !newer(before)) {
            return;
        }
        let node = self.node(before.as_ref(), said, grtt, now);
        if let Some(index) = known {
            self.nodes[index] = node;
        } else {
            self.nodes.push(node);
        }
        let limiting = self.nodes[0].node;
        self.nodes
            .sort_by(|one, other| one.rate.total_cmp(&other.rate));
        // Of two with nearly the same rate, the one goes on to limit that does.
        if let [first, second, ..] = &self.nodes[..]
            && second.node == limiting
            && second.rate < first.rate * 1.1
        {
            self.nodes.swap(0, 1);
        }
        self.nodes.truncate(WATCHED);
        // The limiting receiver decides, and who has become it.
        if self.nodes[0].node == said.node {
            self.adjust(said.round_trip, busy);
        }
    }

    fn node(&self, before: Option<&Node>, said: &Said<'_>, grtt: Duration, now: Instant) -> Node {
        let measured = said.round_trip.unwrap_or(grtt);
        let (round_trip, root) = match before {
            Some(before) => (
                before.round_trip.mul_f64(0.9) + measured.mul_f64(0.1),
                before.root * 0.9 + measured.as_secs_f64().sqrt() * 0.1,
            ),
            None => (measured, measured.as_secs_f64().sqrt()),
        };
        let start = said.cc.flags.has(CcFlags::START);
        let loss = said.cc.loss_fraction();
        let rate = if start || loss <= 0.0 {
            unquantize_rate(said.cc.rate)
        } else {
            tcp_rate(self.size, round_trip, loss)
        };
        Node {
            node: said.node,
            address: said.address,
            round_trip,
            root,
            rate,
            start,
            sequence: said.cc.sequence,
            heard: now,
        }
    }

    fn adjust(&mut self, measured: Option<Duration>, busy: bool) {
        let Some(node) = self.nodes.first() else {
            return;
        };
        if node.start {
            // What is received is no measure where little was sent, and a few datagrams are none.
            // RFC 5348 §4.4: four segments a round trip are always allowed before a loss.
            if busy {
                let begin = 4.0 * self.size / node.round_trip.as_secs_f64().max(1e-3);
                let begin = begin.min(self.rate);
                self.set(node.rate.min(self.rate * 2.0).max(begin));
            }
            return;
        }
        // RFC 5348 §4.5: a round trip that grows shows a queue that grows.
        let damping = measured.map_or(1.0, |measured| {
            (node.root / measured.as_secs_f64().max(1e-6).sqrt()).clamp(0.5, 2.0)
        });
        self.set((node.rate * damping).min(self.rate * 2.0));
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate.clamp(self.least, self.most);
    }

    /// Something is to be sent again, after a time in which nobody was asked: what the path carries now
    /// is not known, the less the longer that was.
    // RFC 5348 §4.4: half for each four round trips of a pause, down to four segments a round trip.
    pub(super) fn resume(&mut self, grtt: Duration, now: Instant) {
        let Some(probed) = self.probed else {
            return;
        };
        let trip = self.round_trip().unwrap_or(grtt).max(ROUND);
        let idle = now.saturating_duration_since(probed);
        let halves = idle.as_secs_f64() / (trip * 4).as_secs_f64();
        let begin = (4.0 * self.size / trip.as_secs_f64()).min(self.rate);
        self.set((self.rate * (-halves.floor()).exp2()).max(begin));
        self.nodes.iter_mut().for_each(|node| node.heard = now);
    }

    /// A probe is sent: who is silent is watched no more, and without anybody the rate falls.
    pub(super) fn probe(&mut self, grtt: Duration, busy: bool, now: Instant) {
        let limiting = self.nodes.first().map(|node| node.node);
        self.probed = Some(now);
        // At a low rate there is one datagram's time from probe to probe.
        let datagram = Duration::from_secs_f64((self.size / self.rate.max(1.0)).min(1.0));
        self.nodes.retain(|node| {
            let patience =
                (node.round_trip.max(grtt).max(ROUND) * SILENT).max(datagram * UNANSWERED);
            now.saturating_duration_since(node.heard) < patience
        });
        if self.nodes.is_empty() && busy {
            self.set(self.rate / 2.0);
        } else if self.nodes.first().map(|node| node.node) != limiting {
            self.adjust(None, busy);
        }
    }
}
