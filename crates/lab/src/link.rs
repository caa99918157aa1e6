//! What a link does to the datagrams that it carries: one model for the simulator, in virtual time,
//! and for the [wire](crate::netns::Wire), in real time.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use manycast_proto::random::Random;

/// A link in one direction. The default loses nothing, takes a millisecond and has no limit.
///
/// A datagram first waits in the queue, when there is a rate; then it is lost, or it travels, and
/// is doubled or held back on the way. Probabilities are from 0 (never) to 1 (always), and each
/// datagram is judged by itself, but for [bursts](Self::bursts).
///
/// ```
/// use std::time::Duration;
///
/// use manycast_lab::{Bursts, Link};
///
/// // 10 Mbit/s, half of a second's worth of queue, and 2 % loss in bursts of 5 on average.
/// let link = Link {
///     rate: Some(10_000_000),
///     queue: 625_000,
///     delay: Duration::from_millis(20),
///     bursts: Some(Bursts::new(0.02, 5.0)),
///     ..Link::default()
/// };
/// assert_eq!(link.loss, 0.0, "outside of the bursts");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// How probable it is that a datagram is lost; with [bursts](Self::bursts), outside of them.
    pub loss: f64,
    /// Losses that come together.
    pub bursts: Option<Bursts>,
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
    /// How many bits a second the link carries; `None` is any number.
    pub rate: Option<u64>,
    /// How many bytes may wait for a link with a rate, the part of the present packet that has not
    /// left yet included. A packet that does not fit any more is dropped (tail drop). An idle link
    /// takes one of any size.
    pub queue: usize,
}

/// Losses in bursts: the model of Gilbert and Elliott, as `tc-netem(8)` has it under `gemodel`.
///
/// A link is good or bad, and before each datagram it may change. While it is bad, datagrams are
/// lost with [`loss`](Self::loss), while it is good with [`Link::loss`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// How probable it is that a good link turns bad (netem's `p`).
    pub begin: f64,
    /// How probable it is that a bad link turns good (netem's `r`). A burst is 1 / `end` datagrams
    /// long on average.
    pub end: f64,
    /// How probable it is that a datagram is lost while the link is bad (netem's `1-h`).
    pub loss: f64,
}

impl Bursts {
    /// Bursts in which every datagram is lost, `length` of them on average, so that a part of
    /// `share` is lost altogether.
    ///
    /// # Panics
    ///
    /// When `share` is not from 0 to below 1, or `length` is below 1, or so short that the gaps
    /// between bursts would be shorter than one datagram.
    pub fn new(share: f64, length: f64) -> Self {
        assert!((0.0..1.0).contains(&share), "a share of {share}");
        assert!(length >= 1.0, "bursts of {length} datagrams");
        let end = 1.0 / length;
        // In the long run, as many bursts begin as end.
        let begin = end * share / (1.0 - share);
        assert!(begin <= 1.0, "bursts of {length} cannot lose {share}");
        Self {
            begin,
            end,
            loss: 1.0,
        }
    }
}

impl Link {
    /// What lies between a host and itself.
    pub(crate) const LOOPBACK: Self = Self {
        loss: 0.0,
        bursts: None,
        delay: Duration::from_micros(10),
        jitter: Duration::ZERO,
        duplicate: 0.0,
        reorder: 0.0,
        hold: Duration::ZERO,
        rate: None,
        queue: 256 * 1024,
    };
}

impl Link {
    /// Whether what becomes of a datagram depends on those before it.
    pub(crate) fn has_memory(&self) -> bool {
        self.rate.is_some() || self.bursts.is_some() || self.jitter > Duration::ZERO
    }
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

/// What a link remembers of the datagrams before.
#[derive(Clone, Debug)]
pub(crate) struct LinkState {
    /// When all that waits has left.
    idle: Instant,
    /// When the last datagram arrives that nothing held back.
    last: Instant,
    /// Whether there is a burst of losses.
    bad: bool,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The queue is full.
    Overflowed,
    /// It is lost on the way.
    Lost,
    /// It arrives, perhaps twice.
    Arrives {
        at: Instant,
        again: Option<Instant>,
        /// How many of the two were held back.
        held_back: u8,
    },
}

impl LinkState {
    pub(crate) const fn new(start: Instant) -> Self {
        Self {
            idle: start,
            last: start,
            bad: false,
        }
    }

    /// Whether it differs from that of a link that has carried nothing yet.
    pub(crate) fn matters(&self, now: Instant) -> bool {
        self.bad || self.idle > now || self.last > now
    }

    /// Carries a packet of `size` bytes that is sent now.
    pub(crate) fn carry(
        &mut self,
        link: &Link,
        now: Instant,
        size: usize,
        random: &mut Random,
    ) -> Fate {
        let Some(left) = self.queue(link, now, size) else {
            return Fate::Overflowed;
        };
        if self.loses(link, random) {
            return Fate::Lost;
        }
        let twice = random.chance(link.duplicate);
        let mut held_back = 0;
        let mut travel = || {
            let travel = link.delay + random.duration(Duration::ZERO..=link.jitter);
            let in_order = self.last.max(left + travel);
            if random.chance(link.reorder) {
                held_back += 1;
                return in_order + link.hold;
            }
            self.last = in_order;
            in_order
        };
        let at = travel();
        let again = twice.then(travel);
        Fate::Arrives {
            at,
            again,
            held_back,
        }
    }

    /// How many bytes have not left yet.
    fn backlog(&self, rate: u64, now: Instant) -> usize {
        let nanos = self.idle.saturating_duration_since(now).as_nanos();
        let bytes = (nanos * u128::from(rate)).div_ceil(8_000_000_000);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// When no more than `bytes` wait, if that is not now.
    pub(crate) fn full_until(&self, rate: u64, now: Instant, bytes: usize) -> Option<Instant> {
        let full = self.idle.checked_sub(transmission(rate, bytes))?;
        (full > now).then_some(full)
    }

    /// When the last bit of the packet leaves, if it finds room in the queue.
    fn queue(&mut self, link: &Link, now: Instant, size: usize) -> Option<Instant> {
        let Some(rate) = link.rate else {
            return Some(now);
        };
        let backlog = self.backlog(rate, now);
        if backlog > 0 && backlog.saturating_add(size) > link.queue {
            return None;
        }
        self.idle = self.idle.max(now) + transmission(rate, size);
        Some(self.idle)
    }

    fn loses(&mut self, link: &Link, random: &mut Random) -> bool {
        let Some(bursts) = link.bursts else {
            return random.chance(link.loss);
        };
        let turns = random.chance(if self.bad { bursts.end } else { bursts.begin });
        self.bad ^= turns;
        random.chance(if self.bad { bursts.loss } else { link.loss })
    }
}

/// How long it takes to send so many bytes, at a rate in bits a second.
fn transmission(rate: u64, bytes: usize) -> Duration {
    let nanos = bytes as u128 * 8_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
