//! A host that refuses: whether it does so for long enough to be given up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Since when a host refuses what is sent to it. A receiver that is started together with the sender
/// may be a little later, and one that is started anew is away for a moment: so a host is given up
/// only where its refusals have not ceased for [`Refusal::PATIENCE`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use manycast_proto::refusal::Refusal;
///
/// let (start, peer) = (Instant::now(), "192.0.2.7:5013".parse()?);
/// let mut refusal = Refusal::default();
/// refusal.note(start, peer);
/// assert_eq!((refusal.of_late(start), refusal.lasting()), (Some(peer), None));
/// refusal.note(start + Duration::from_secs(1), peer);
/// assert_eq!(refusal.lasting(), Some(peer));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusal {
    latest: Option<Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    peer: SocketAddr,
    at: Instant,
    /// When the first was seen after which they did not cease.
    since: Instant,
}

impl Refusal {
    /// How long a host may refuse before it is given up.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    /// How soon a refusal is known, on a path that is not long: Linux tells of a closed port once a
    /// second at least (`icmp_ratelimit` of `icmp(7)`).
    pub const KNOWN: Duration = Duration::from_millis(1200);

    /// After how long without a refusal a host is taken to listen.
    pub const CEASED: Duration = Duration::from_secs(2);

    /// Takes note that a peer has refused something at `now`:
    /// [`NetworkEvent::refused_by`](crate::NetworkEvent::refused_by).
    pub fn note(&mut self, now: Instant, peer: SocketAddr) {
        let since = match self.latest {
            Some(latest) if self.of_late(now).is_some() => latest.since,
            _ => now,
        };
        self.latest = Some(Latest {
            peer,
            at: now,
            since,
        });
    }

    /// Who refuses at `now`, as far as is known.
    pub fn of_late(&self, now: Instant) -> Option<SocketAddr> {
        let latest = self
            .latest
            .filter(|latest| now.saturating_duration_since(latest.at) < Self::CEASED);
        latest.map(|latest| latest.peer)
    }

    /// Who refuses, where that has lasted too long.
    pub fn lasting(&self) -> Option<SocketAddr> {
        let lasting = self
            .latest
            .filter(|latest| latest.at.saturating_duration_since(latest.since) >= Self::PATIENCE);
        lasting.map(|latest| latest.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of the looks, a hundred milliseconds apart, it is given up, where it refused at these.
    #[allow(clippy::disallowed_methods)]
    fn given_up(refused: impl IntoIterator<Item = bool>) -> Vec<u32> {
        let (begin, mut refusal) = (Instant::now(), Refusal::default());
        let looks = (0..).zip(refused).filter(|(look, refused)| {
            if *refused {
                let now = begin + Duration::from_millis(100) * *look;
                refusal.note(now, ([192, 0, 2, 7], 5013).into());
            }
            refusal.lasting().is_some()
        });
        looks.map(|(look, _)| look).collect()
    }

    #[test]
    fn a_host_is_given_up_after_a_second_of_refusals() {
        assert_eq!(given_up([true; 12]), [10, 11]);
        // At a datagram a second.
        assert_eq!(given_up((0..12).map(|look| look % 10 == 0)), [10, 11]);
    }

    #[test]
    fn a_receiver_may_come_late_and_be_started_anew() {
        let late = |look| (5..13).contains(&look) || (40..48).contains(&look);
        assert!(given_up((0..100).map(late)).is_empty());
    }
}
