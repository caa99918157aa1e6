//! What happens to a datagram on its way.

use std::time::{Duration, Instant};

use manycast_proto::random::Random;

use super::Traffic;

/// A link in one direction. The default loses nothing and takes a millisecond.
///
/// Probabilities are from 0 (never) to 1 (always), and each datagram is judged by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// How probable it is that a datagram is lost.
    pub loss: f64,
    /// How long every datagram takes at least.
    pub delay: Duration,
    /// How much longer a datagram takes at most; each takes a random part of it. Jitter alone
    /// changes no order: a datagram waits for the ones before it.
    pub jitter: Duration,
    /// How probable it is that a datagram arrives twice.
    pub duplicate: f64,
    /// How probable it is that a datagram is held back and later ones overtake it.
    pub reorder: f64,
    /// How long a datagram that is held back takes in addition.
    pub hold: Duration,
}

impl Link {
    /// What lies between a host and itself.
    pub(super) const LOOPBACK: Self = Self {
        loss: 0.0,
        delay: Duration::from_micros(10),
        jitter: Duration::ZERO,
        duplicate: 0.0,
        reorder: 0.0,
        hold: Duration::ZERO,
    };
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            hold: Duration::from_millis(10),
            ..Self::LOOPBACK
        }
    }
}

/// The state of a link between two hosts.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) link: Option<Link>,
    /// When the last datagram arrives that nothing held back.
    last: Instant,
}

impl Path {
    pub(super) const fn new(start: Instant) -> Self {
        Self {
            link: None,
            last: start,
        }
    }

    /// When a datagram that is sent now arrives: never, once or twice.
    pub(super) fn carry(
        &mut self,
        link: Link,
        now: Instant,
        random: &mut Random,
        traffic: &mut Traffic,
    ) -> [Option<Instant>; 2] {
        if random.chance(link.loss) {
            traffic.lost += 1;
            return [None; 2];
        }
        let copies = [true, random.chance(link.duplicate)];
        traffic.duplicated += u64::from(copies[1]);
        copies.map(|copied| {
            copied.then(|| {
                let travel = link.delay + random.duration(Duration::ZERO..=link.jitter);
                let in_order = self.last.max(now + travel);
                if random.chance(link.reorder) {
                    traffic.held_back += 1;
                    return in_order + link.hold;
                }
                self.last = in_order;
                in_order
            })
        })
    }
}
