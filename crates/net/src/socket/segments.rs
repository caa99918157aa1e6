//! Which datagrams the kernel would not cut apart (`UDP_SEGMENT`), by destination: the MTU of the
//! path to each is another.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a refusal is kept. After this time an estimate of the path MTU is raised again
/// (RFC 8201 §4), by Linux too (`net.ipv4.route.mtu_expires`).
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How many destinations are kept. One that is forgotten is asked again.
const MAX_REFUSALS: usize = 32;

/// What was refused of late.
#[derive(Debug)]
pub(super) struct SegmentLimits {
    /// The lowest limit, so that nothing else is looked at while nothing is refused.
    lowest: AtomicUsize,
    refusals: Mutex<Vec<Refusal>>,
}

/// That the kernel would not cut apart datagrams to one destination that are longer than a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) destination: IpAddr,
    /// In bytes of payload.
    pub(super) limit: usize,
    pub(super) errno: i32,
    until: Instant,
}

impl SegmentLimits {
    pub(super) const fn new() -> Self {
        Self {
            lowest: AtomicUsize::new(usize::MAX),
            refusals: Mutex::new(Vec::new()),
        }
    }

    /// Whether datagrams of `size` bytes to `destination` may go merged, as far as is known.
    #[inline]
    pub(super) fn allow(&self, size: usize, destination: IpAddr) -> bool {
        size <= self.lowest.load(Ordering::Relaxed)
            || self.allow_at(size, destination, Instant::now())
    }

    #[cold]
    fn allow_at(&self, size: usize, destination: IpAddr, now: Instant) -> bool {
        let refusals = self.valid_at(now);
        let known = refusals.iter().find(|it| it.destination == destination);
        known.is_none_or(|refusal| size <= refusal.limit)
    }

    /// Notes that datagrams of `size` bytes to `destination` were refused.
    pub(super) fn refuse(&self, size: usize, destination: IpAddr, errno: i32) {
        // With these two the kernel cannot do it at all on this path (`udp(7)`).
        let is_whole = matches!(errno, libc::EIO | libc::EOPNOTSUPP);
        let limit = if is_whole { 0 } else { size.saturating_sub(1) };
        tracing::debug!(errno, size, limit, %destination, "segmentation offload was refused");
        self.refuse_at(limit, destination, errno, Instant::now());
    }

    fn refuse_at(&self, limit: usize, destination: IpAddr, errno: i32, now: Instant) {
        let mut refusals = self.valid_at(now);
        let known = refusals.iter().position(|it| it.destination == destination);
        let before = known.map(|known| refusals.remove(known).limit);
        if refusals.len() == MAX_REFUSALS {
            // The oldest comes first, since what is noted anew goes to the end.
            refusals.remove(0);
        }
        refusals.push(Refusal {
            destination,
            limit: before.map_or(limit, |before| before.min(limit)),
            errno,
            until: now + LIFETIME,
        });
        self.note_lowest(&refusals);
    }

    /// The refusal with the lowest limit.
    pub(super) fn lowest(&self) -> Option<Refusal> {
        let refusals = self.valid_at(Instant::now());
        refusals.iter().min_by_key(|it| it.limit).copied()
    }

    /// The refusals that are not too old; the others are forgotten.
    fn valid_at(&self, now: Instant) -> MutexGuard<'_, Vec<Refusal>> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let before = refusals.len();
        refusals.retain(|it| it.until > now);
        if refusals.len() < before {
            self.note_lowest(&refusals);
        }
        refusals
    }

    fn note_lowest(&self, refusals: &[Refusal]) {
        let lowest = refusals.iter().map(|it| it.limit).min();
        self.lowest
            .store(lowest.unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{LIFETIME, MAX_REFUSALS, SegmentLimits};

    fn host(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_refusal_holds_for_its_destination_and_its_time() {
        let (limits, now) = (SegmentLimits::new(), Instant::now());
        assert!(limits.allow(1472, host(1)));
        limits.refuse_at(999, host(1), libc::EMSGSIZE, now);
        assert!(!limits.allow_at(1000, host(1), now));
        assert!(limits.allow_at(999, host(1), now));
        assert!(limits.allow_at(1472, host(2), now));
        // A second one lowers it, and begins its time anew.
        let later = now + LIFETIME / 2;
        limits.refuse_at(499, host(1), libc::EMSGSIZE, later);
        limits.refuse_at(700, host(1), libc::EMSGSIZE, later);
        assert!(!limits.allow_at(500, host(1), now + LIFETIME));
        assert!(limits.allow_at(1472, host(1), later + LIFETIME));
        assert_eq!(limits.lowest(), None, "it is forgotten");
        assert!(limits.allow(1472, host(1)));
    }

    #[test]
    fn what_cannot_be_done_at_all_is_not_tried_with_less() {
        let limits = SegmentLimits::new();
        limits.refuse(1000, host(1), libc::EIO);
        assert!(!limits.allow(1, host(1)));
        assert!(limits.allow(1, host(2)));
        assert_eq!(limits.lowest().unwrap().errno, libc::EIO);
    }

    #[test]
    fn there_is_no_more_of_them_than_is_kept() {
        let (limits, now) = (SegmentLimits::new(), Instant::now());
        for number in 0..1000 {
            let now = now + Duration::from_millis(number.into());
            limits.refuse_at(100, host(number), libc::EMSGSIZE, now);
        }
        let refusals = limits.valid_at(now);
        assert_eq!(refusals.len(), MAX_REFUSALS);
        assert_eq!(refusals.last().unwrap().destination, host(999));
    }
}
