//! One stream as it comes: what one sender sends to one destination by one interface.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manycast_types::{InterfaceId, Received};

use super::histogram::Histogram;
use super::message::{Header, ServerReport};
use super::sequence::{Arrival, Sequence};

/// What was measured of a stream, over its whole length or over an interval.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamReport {
    /// Who sends it.
    pub source: SocketAddr,
    /// The group or local address that it is sent to.
    pub destination: SocketAddr,
    /// The interface that it comes in on.
    pub interface: InterfaceId,
    /// Which run of its sender it is, from 1. A sender that was started anew from the same port to
    /// the same destination begins a new one.
    pub run: u64,
    /// When an interval began, after the beginning of the stream; zero for the whole.
    pub start: Duration,
    /// The time that was measured: from the first datagram to the last, or the interval.
    pub duration: Duration,
    /// What was counted in it.
    pub counters: Counters,
    /// The number that it began with; more than 1 where it was under way already.
    pub first_number: u64,
    /// Jitter (RFC 3550 §6.4.1) at the end.
    pub jitter: Duration,
    /// Delays in nanoseconds, from the sender's clock to the receiver's. Where the clocks do not
    /// agree they are off by a constant; see [`StreamReport::delay`].
    pub delays: Histogram,
    /// The least and the greatest hop limit (IPv4: TTL) that was left.
    pub hops: Option<(u8, u8)>,
    /// Whether the sender has ended it.
    pub ended: bool,
    /// Whether more than one datagram of it came, repetitions of the end included. One alone may be
    /// forged or astray, and makes nobody a sender that was expected.
    pub confirmed: bool,
}

/// What is counted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that came, duplicates included.
    pub datagrams: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// Datagrams between the first and the last number that did not come.
    pub lost: u64,
    /// Those of the lost that this host's kernel dropped, because the receive buffer was full. What
    /// it dropped counts as up to 128 datagrams (see GRO, `udp(7)`), and may have been of another
    /// stream on the same socket, so it is an upper bound.
    pub kernel_dropped: u64,
    /// Datagrams that came once more.
    pub duplicated: u64,
    /// Datagrams that came after one with a greater number (RFC 4737 §3.3).
    pub reordered: u64,
    /// Datagrams so old that it cannot be told whether they came before.
    pub stale: u64,
}

impl Counters {
    /// How many were sent, as far as the numbers tell: those that came once, and the lost.
    pub const fn expected(&self) -> u64 {
        (self.datagrams + self.lost).saturating_sub(self.duplicated + self.stale)
    }

    /// The part that was lost, from 0 to 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio of counts needs no 64 bits"
    )]
    pub fn loss(&self) -> f64 {
        match self.expected() {
            0 => 0.0,
            expected => self.lost as f64 / expected as f64,
        }
    }

    /// What was counted since `earlier`. A loss that was made up for later is not taken back.
    const fn since(&self, earlier: &Self) -> Self {
        Self {
            datagrams: self.datagrams - earlier.datagrams,
            bytes: self.bytes - earlier.bytes,
            lost: self.lost.saturating_sub(earlier.lost),
            kernel_dropped: self.kernel_dropped.saturating_sub(earlier.kernel_dropped),
            duplicated: self.duplicated - earlier.duplicated,
            reordered: self.reordered - earlier.reordered,
            stale: self.stale - earlier.stale,
        }
    }
}

impl StreamReport {
    /// Datagrams a second.
    pub fn datagrams_per_second(&self) -> f64 {
        self.per_second(self.counters.datagrams)
    }

    /// Payload bits a second.
    pub fn bits_per_second(&self) -> f64 {
        self.per_second(self.counters.bytes.saturating_mul(8))
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 64 bits")]
    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }

    /// Whether the clocks of both ends seem to agree: the least delay is none below zero and none
    /// of a second or more.
    pub fn clocks_agree(&self) -> bool {
        self.delays
            .min()
            .is_some_and(|least| (0..NANOSECONDS).contains(&least))
    }

    /// The one-way delay that the part `fraction` of the datagrams did not exceed, where the clocks
    /// agree.
    pub fn delay(&self, fraction: f64) -> Option<Duration> {
        if !self.clocks_agree() {
            return None;
        }
        let delay = self.delays.percentile(fraction)?;
        Some(Duration::from_nanos(u64::try_from(delay).unwrap_or(0)))
    }

    /// The delay variation that the part `fraction` of the datagrams did not exceed: how much more
    /// than the least delay (RFC 3393, in the form of RFC 5481 §4.2). No clocks need agree.
    pub fn delay_variation(&self, fraction: f64) -> Option<Duration> {
        let (least, delay) = (self.delays.min()?, self.delays.percentile(fraction)?);
        Some(Duration::from_nanos(delay.abs_diff(least)))
    }
}

/// The state of one stream. Its size does not depend on what is sent.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) interface: InterfaceId,
    /// How many streams began before it.
    pub(super) order: u64,
    pub(super) run: u64,
    sequence: Sequence,
    /// When the latest of its datagrams was sent, by the sender's clock.
    sent: Duration,
    /// When the first and the latest datagram were handed to the receiver.
    began: Instant,
    latest: Instant,
    confirmed: bool,
    datagrams: u64,
    bytes: u64,
    kernel_dropped: u64,
    /// The socket's count of drops when the last datagram came.
    dropped: u64,
    /// When the first and the last datagram came, in nanoseconds of the wall clock.
    first_at: i64,
    last_at: i64,
    /// The delay of the last datagram, and 16 times the jitter, both in nanoseconds.
    delay: i64,
    jitter: i64,
    /// Delays of intervals that are over, and of the one that is not.
    delays: Histogram,
    recent: Histogram,
    hops: Option<(u8, u8)>,
    ended: bool,
    /// Whether its sender was started anew since, without having ended it.
    replaced: bool,
    /// What was told when the last interval ended, and how long after the beginning that was.
    told: Counters,
    told_until: Duration,
}

/// Why a stream may make room for another, the best reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spare {
    /// Its sender has ended it, or was started anew.
    Over,
    /// Nothing of it came for [`SILENCE`].
    Silent,
}

const NANOSECONDS: i64 = 1_000_000_000;
/// The kernel counts datagrams that it has merged as one: `UDP_MAX_SEGMENTS` of Linux 6.9.
const MERGED: u64 = 128;
/// A stream that is silent for so long may make room for another.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// When a datagram came: by the receiver's own clock, and in nanoseconds of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) now: Instant,
    pub(super) at: i64,
}

impl Stream {
    /// The stream that begins with this datagram, of so many bytes, after so many others, as this run
    /// of its sender.
    pub(super) fn new(
        header: &Header,
        datagram: &Received<'_>,
        bytes: usize,
        Arrived { now, at }: Arrived,
        (order, run): (u64, u64),
    ) -> Self {
        let delay = at.saturating_sub(nanoseconds(header.time));
        let mut recent = Histogram::new();
        recent.record(delay);
        Self {
            source: datagram.source,
            destination: datagram.destination,
            interface: datagram.interface.clone(),
            order,
            run,
            sequence: Sequence::new(header.number),
            sent: header.time,
            began: now,
            latest: now,
            confirmed: false,
            datagrams: 1,
            bytes: bytes as u64,
            kernel_dropped: 0,
            dropped: datagram.dropped,
            first_at: at,
            last_at: at,
            delay,
            jitter: 0,
            delays: Histogram::new(),
            recent,
            hops: datagram.hops.map(|hops| (hops, hops)),
            ended: header.last,
            replaced: false,
            told: Counters::default(),
            told_until: Duration::ZERO,
        }
    }

    /// Whether this datagram belongs to it.
    #[inline]
    pub(super) fn is_of(&self, datagram: &Received<'_>) -> bool {
        self.source == datagram.source
            && self.destination == datagram.destination
            && self.interface.index == datagram.interface.index
    }

    /// Whether the datagram is of a sender that was started anew from the same port.
    ///
    /// Within a stream, numbers and send times rise together, also where datagrams come late or
    /// twice: none with a smaller number was sent after the latest. After the end there are
    /// repetitions of it alone, and iperf gives them greater numbers.
    pub(super) fn is_restarted_by(&self, header: &Header) -> bool {
        let number = self.number(header);
        let is_later = header.time > self.sent;
        if self.ended && !header.last {
            is_later || number >= self.sequence.next()
        } else if self.ended {
            is_later && number.saturating_add(1) < self.sequence.next()
        } else {
            is_later && number < self.sequence.next()
        }
    }

    /// Another stream takes its place.
    pub(super) fn replace(&mut self) {
        self.replaced = true;
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Why it may make room for another stream, if it may.
    pub(super) fn spare(&self, now: Instant) -> Option<Spare> {
        if self.ended || self.replaced {
            Some(Spare::Over)
        } else {
            let silence = now.saturating_duration_since(self.latest);
            (silence >= SILENCE).then_some(Spare::Silent)
        }
    }

    /// When something of it came last.
    pub(super) const fn latest(&self) -> Instant {
        self.latest
    }

    fn number(&self, header: &Header) -> u64 {
        if header.wide {
            header.number
        } else {
            widen(header.number, self.sequence.next())
        }
    }

    /// Takes in the next datagram, of so many bytes.
    #[inline]
    pub(super) fn record(
        &mut self,
        header: &Header,
        datagram: &Received<'_>,
        bytes: usize,
        Arrived { now, at }: Arrived,
    ) {
        let number = self.number(header);
        self.latest = now;
        self.confirmed = true;
        self.sent = self.sent.max(header.time);
        if header.last && std::mem::replace(&mut self.ended, true) {
            // The end, announced again. iperf counts on with each announcement.
            return;
        }
        self.datagrams += 1;
        self.bytes += bytes as u64;
        let arrival = self.sequence.record(number);
        let dropped = datagram.dropped.saturating_sub(self.dropped);
        self.dropped = self.dropped.max(datagram.dropped);
        if let Arrival::Ahead(skipped) = arrival {
            self.kernel_dropped += skipped.min(dropped.saturating_mul(MERGED));
        }
        self.last_at = self.last_at.max(at);
        if let Some(hops) = datagram.hops {
            let (least, most) = self.hops.unwrap_or((hops, hops));
            self.hops = Some((least.min(hops), most.max(hops)));
        }
        if matches!(arrival, Arrival::Ahead(_) | Arrival::Reordered) {
            self.record_delay(at.saturating_sub(nanoseconds(header.time)));
        }
    }

    fn record_delay(&mut self, delay: i64) {
        // RFC 3550 §A.8, in integers: 16 times the jitter moves by |D| less a sixteenth of itself.
        let difference = delay.abs_diff(self.delay).min(1 << 50).cast_signed();
        self.jitter += difference - ((self.jitter + 8) >> 4);
        self.delay = delay;
        self.recent.record(delay);
    }

    fn counters(&self) -> Counters {
        let lost = self.sequence.lost();
        Counters {
            datagrams: self.datagrams,
            bytes: self.bytes,
            lost,
            kernel_dropped: self.kernel_dropped.min(lost),
            duplicated: self.sequence.duplicated(),
            reordered: self.sequence.reordered(),
            stale: self.sequence.stale(),
        }
    }

    /// What it has been since its beginning.
    pub(super) fn summary(&self) -> StreamReport {
        let mut delays = self.delays.clone();
        delays.add(&self.recent);
        self.report((Duration::ZERO, self.duration()), self.counters(), delays)
    }

    /// From the first datagram to the last.
    fn duration(&self) -> Duration {
        let nanoseconds = self.last_at.saturating_sub(self.first_at);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
    }

    fn jitter(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.jitter >> 4).unwrap_or(0))
    }

    /// What it was since the last interval, which is `duration` ago, or since it began; `None` where
    /// it had ended before that, or has not gone on after its first datagram.
    pub(super) fn end_interval(
        &mut self,
        now: Instant,
        duration: Duration,
    ) -> Option<StreamReport> {
        let counters = self.counters();
        let since = counters.since(&self.told);
        self.told = Counters {
            lost: self.told.lost.max(counters.lost),
            kernel_dropped: self.told.kernel_dropped.max(counters.kernel_dropped),
            ..counters
        };
        let is_over = self.ended || self.replaced;
        let duration = duration.min(now.saturating_duration_since(self.began));
        let start = self.told_until;
        // Of the last interval, what comes after the end is not measured.
        let duration = if is_over {
            duration.min(self.duration().saturating_sub(start))
        } else {
            duration
        };
        // Also where there is nothing to tell: the next interval begins where this one ends.
        self.told_until += duration;
        if (is_over || !self.confirmed) && since.datagrams == 0 {
            return None;
        }
        let report = self.report((start, duration), since, self.recent.clone());
        self.delays.add(&self.recent);
        self.recent.clear();
        Some(report)
    }

    fn report(
        &self,
        (start, duration): (Duration, Duration),
        counters: Counters,
        delays: Histogram,
    ) -> StreamReport {
        StreamReport {
            source: self.source,
            destination: self.destination,
            interface: self.interface.clone(),
            run: self.run,
            start,
            duration,
            counters,
            first_number: self.sequence.first(),
            jitter: self.jitter(),
            delays,
            hops: self.hops,
            ended: self.ended,
            confirmed: self.confirmed,
        }
    }

    /// What iperf's client wants to hear at the end.
    pub(super) fn server_report(&self) -> ServerReport {
        let counters = self.counters();
        let limit = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        ServerReport {
            bytes: counters.bytes,
            duration: self.duration(),
            lost: limit(counters.lost),
            reordered: limit(counters.reordered),
            datagrams: limit(counters.expected()),
            jitter: self.jitter(),
        }
    }
}

/// The number nearest to `next` whose low 31 bits are `low`.
const fn widen(low: u64, next: u64) -> u64 {
    const HALF: u64 = 1 << 30;
    const WHOLE: u64 = 1 << 31;
    let ahead = low.wrapping_sub(next) % WHOLE;
    if ahead < HALF {
        next.saturating_add(ahead)
    } else {
        // So early in the stream that there is no lower number to be meant.
        match next.checked_sub(WHOLE - ahead) {
            Some(number) => number,
            None => next.saturating_add(ahead),
        }
    }
}

/// A time of the wall clock in nanoseconds; before 1970 there were no datagrams.
pub(super) fn since_1970(time: SystemTime) -> i64 {
    nanoseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanoseconds(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds
        .saturating_mul(NANOSECONDS)
        .saturating_add(duration.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::widen;

    #[test]
    fn short_numbers_are_widened_to_the_nearest() {
        let turn = 1_u64 << 31;
        assert_eq!(widen(7, 6), 7);
        assert_eq!(widen(5, 6), 5);
        assert_eq!(widen(0, turn), turn);
        assert_eq!(widen(3, turn - 2), turn + 3);
        assert_eq!(widen(turn - 1, turn + 2), turn - 1);
        assert_eq!(widen(turn - 1, 2), turn - 1);
        assert_eq!(widen(1, u64::MAX), u64::MAX);
    }
}
