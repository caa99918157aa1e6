//! The sending side: numbers datagrams, holds the rate, says when it is over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manycast_types::{MAX_PAYLOAD, NetworkError, Received, Transmit};

use super::SenderConfig;
use super::message::{Header, MIN_SIZE, ServerReport};
use crate::buffers::Buffers;
use crate::pace::Pacer;
use crate::{NetworkEvent, Output, Protocol};

/// Sends a stream of numbered datagrams to a group or a host.
///
/// All datagrams that may go at one time are one [`Transmit`] with a segment size. They are
/// numbered in memory that is used again and again, so nothing is allocated or copied for them.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    pacer: Option<Pacer>,
    /// The same moment by both clocks: on the wall it is so long after 1970 began.
    epoch: (Instant, Duration),
    now: Instant,
    started: Instant,
    /// When it may go on sending.
    due: Instant,
    buffers: Buffers,
    /// The number of the next datagram.
    next: u64,
    /// How often the end is announced, and at which distance.
    closings: (u32, Duration),
    phase: Phase,
    /// How often the end was announced, and how often this host did not take that.
    end: (u32, u32),
    report: Option<ServerReport>,
    stats: SenderStats,
    /// Why the last of those that were not sent was not.
    failure: Option<NetworkError>,
    told: bool,
}

/// What a [`Sender`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderStats {
    /// Datagrams sent, the last one included, but not its repetitions. Those that are on their way to
    /// the kernel count too, so it becomes less where this host does not take them.
    pub datagrams: u64,
    /// Datagrams that this host did not take: its interface was down, its queue was full, a firewall
    /// dropped them; [`Sender::failure`] says which. They have numbers, so the receiver misses them too, but for the last one, which is repeated.
    pub unsent: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// From the start to the last datagram.
    pub duration: Duration,
    /// How often the destination said that nobody listens on the port.
    pub refused: u64,
    /// Datagrams from the destination that are no report.
    pub malformed: u64,
}

/// What a [`Sender`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderEvent {
    /// All is sent. A host has answered with its report, or has not within a second; a group never
    /// does.
    Finished(Option<ServerReport>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Sending,
    /// The end was announced so often, and is announced again at the time given.
    Closing(u32, Instant),
    Finished,
}

/// How often the end is announced to a group, which never answers, and at which distance.
const GROUP_CLOSINGS: (u32, Duration) = (3, Duration::from_millis(10));
/// How often it is announced to a host that does not answer. iperf's server answers the first.
const HOST_CLOSINGS: (u32, Duration) = (10, Duration::from_millis(100));
/// How many datagrams go as one at most: what fits one GSO send (`UDP_MAX_SEGMENTS` of `udp(7)`,
/// and the length of an IP packet).
const BATCH: usize = 64;
const TICK: Duration = Duration::from_nanos(1);

impl Sender {
    /// A sender, and the same moment by both clocks: `now`, and `time`, which is what the
    /// datagrams bear.
    pub fn new(config: SenderConfig, now: Instant, time: SystemTime) -> Self {
        let config = SenderConfig {
            size: config.size.clamp(MIN_SIZE, MAX_PAYLOAD),
            ..config
        };
        Self {
            closings: if config.destination.ip().is_multicast() {
                GROUP_CLOSINGS
            } else {
                HOST_CLOSINGS
            },
            due: now,
            buffers: Buffers::new(config.size * (MAX_PAYLOAD / config.size).clamp(1, BATCH)),
            pacer: config.rate.map(|rate| Pacer::new(rate, config.burst, now)),
            epoch: (now, time.duration_since(UNIX_EPOCH).unwrap_or_default()),
            now,
            started: now,
            next: 1,
            phase: Phase::New,
            end: (0, 0),
            report: None,
            stats: SenderStats::default(),
            failure: None,
            told: false,
            config,
        }
    }

    /// What it sends to whom.
    pub const fn config(&self) -> &SenderConfig {
        &self.config
    }

    /// What it has done so far.
    pub const fn stats(&self) -> SenderStats {
        self.stats
    }

    /// Why the last of the datagrams that were not sent was not.
    pub const fn failure(&self) -> Option<&NetworkError> {
        self.failure.as_ref()
    }

    /// What the receiver reported at the end, if it has.
    pub const fn report(&self) -> Option<ServerReport> {
        self.report
    }

    /// Whether all is sent, and the receiver's report is waited for.
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(..))
    }

    /// Ends the stream in good order, before its time.
    pub fn finish(&mut self, now: Instant) {
        if self.phase == Phase::Sending {
            self.now = self.now.max(now);
            self.phase = Phase::Closing(0, self.now);
        }
    }

    /// As many datagrams as may go now; `None` where it is too early, or all have gone.
    fn batch(&mut self) -> Option<Transmit> {
        if self.now < self.due {
            return None;
        }
        let size = self.config.size;
        let ready = match &mut self.pacer {
            Some(pacer) => pacer.ready(self.now, size),
            None => usize::MAX,
        };
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let count = ready.min(left).min(BATCH).min((MAX_PAYLOAD / size).max(1));
        if count == 0 {
            if left == 0 {
                self.phase = Phase::Closing(0, self.now);
            } else {
                self.due = self.next_burst().max(self.now + TICK);
            }
            return None;
        }
        let time = self.time();
        let mut buffer = self.buffers.take();
        for (datagram, number) in buffer.chunks_exact_mut(size).take(count).zip(self.next..) {
            let header = Header {
                number,
                last: false,
                wide: true,
                time,
            };
            header.emit(datagram);
        }
        let mut payload = self.buffers.give(buffer);
        payload.truncate(count * size);
        self.count(count);
        let mut transmit = Transmit::new(self.config.destination, payload);
        transmit.segment_size = u16::try_from(size).ok().filter(|_| count > 1);
        Some(transmit)
    }

    fn count(&mut self, count: usize) {
        let bytes = count * self.config.size;
        self.next += count as u64;
        self.stats.datagrams += count as u64;
        self.stats.bytes += bytes as u64;
        self.stats.duration = self.now.duration_since(self.started);
        if let Some(pacer) = &mut self.pacer {
            pacer.spend(bytes);
        }
    }

    fn finished(&mut self) -> Output<SenderEvent> {
        if std::mem::replace(&mut self.told, true) {
            Output::Finished
        } else {
            Output::Event(SenderEvent::Finished(self.report))
        }
    }

    /// How many datagrams are still to go before the last.
    fn left(&self) -> u64 {
        let over = |duration| self.now.duration_since(self.started) >= duration;
        if self.config.duration.is_some_and(over) {
            return 0;
        }
        // The last datagram is one of the count, as iperf counts.
        let last = self.config.count.unwrap_or(u64::MAX).max(1);
        last - self.next.min(last)
    }

    /// The last datagram, whose number is negative.
    fn closing(&mut self) -> Transmit {
        let mut payload = vec![0; self.config.size];
        let header = Header {
            number: self.next,
            last: true,
            wide: true,
            time: self.time(),
        };
        header.emit(&mut payload);
        let (announced, refused) = &mut self.end;
        if announced == refused {
            // It is one datagram, and not sent only as long as no announcement is.
            let was_refused = u64::from(*announced > 0);
            self.stats.unsent = self.stats.unsent.saturating_sub(was_refused);
            self.stats.datagrams += 1;
            self.stats.bytes += self.config.size as u64;
        }
        if *announced == 0 {
            self.stats.duration = self.now.duration_since(self.started);
        }
        *announced += 1;
        Transmit::new(self.config.destination, payload.into())
    }

    fn time(&self) -> Duration {
        self.epoch.1 + self.now.saturating_duration_since(self.epoch.0)
    }

    /// When it may go on sending: when half a burst may go, so that fewer system calls do.
    fn next_burst(&self) -> Instant {
        let Some(pacer) = &self.pacer else {
            return self.now;
        };
        let rate = u128::from(self.config.rate.unwrap_or_default());
        let half = rate.saturating_mul(self.config.burst.as_nanos()) / (16 * 1_000_000_000);
        let datagrams = usize::try_from(half).unwrap_or(usize::MAX) / self.config.size;
        let next = pacer.next(datagrams.max(1).saturating_mul(self.config.size));
        match self
            .config
            .duration
            .and_then(|it| self.started.checked_add(it))
        {
            Some(end) => next.min(end),
            None => next,
        }
    }
}

impl Protocol for Sender {
    type Event = SenderEvent;

    fn start(&mut self, now: Instant) {
        if self.phase == Phase::New {
            self.now = self.now.max(now);
            self.started = self.now;
            self.phase = Phase::Sending;
        }
    }

    fn stop(&mut self, now: Instant) {
        self.finish(now);
        // One announcement must do; nobody waits for an answer.
        self.closings = (1, Duration::ZERO);
        self.phase = match self.phase {
            Phase::Closing(attempts, _) => Phase::Closing(attempts, self.now),
            _ => Phase::Finished,
        };
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.now = self.now.max(now);
        let Ok(report) = ServerReport::parse(datagram.payload) else {
            self.stats.malformed += 1;
            return;
        };
        if matches!(self.phase, Phase::Closing(1.., _))
            && datagram.source == self.config.destination
        {
            self.report = Some(report);
            self.phase = Phase::Finished;
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.now = self.now.max(now);
        if event.refused_by() == Some(self.config.destination) {
            self.stats.refused += 1;
        }
        if let NetworkEvent::NotSent { count, error, .. } = event {
            self.failure = Some(error);
            let (announced, refused) = &mut self.end;
            if refused < announced {
                *refused += 1;
                if refused < announced {
                    return;
                }
            }
            let count = (count as u64).min(self.stats.datagrams);
            self.stats.unsent += count;
            self.stats.datagrams -= count;
            self.stats.bytes = self.stats.datagrams * self.config.size as u64;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<SenderEvent> {
        self.now = self.now.max(now);
        if self.phase == Phase::Sending
            && let Some(transmit) = self.batch()
        {
            return Output::Transmit(transmit);
        }
        match self.phase {
            Phase::New => Output::Wait {
                until: None,
                reason: "its start",
            },
            Phase::Sending => Output::Wait {
                until: Some(self.due),
                reason: "its turn, at the rate that is to be held",
            },
            Phase::Closing(attempts, at) => {
                let (most, pause) = self.closings;
                if at > self.now {
                    return Output::Wait {
                        until: Some(at),
                        reason: "the receiver's report",
                    };
                }
                if attempts >= most {
                    self.phase = Phase::Finished;
                    return self.finished();
                }
                let transmit = self.closing();
                self.phase = Phase::Closing(attempts + 1, self.now + pause);
                Output::Transmit(transmit)
            }
            Phase::Finished => self.finished(),
        }
    }
}
