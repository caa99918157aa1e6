//! The sending side: numbers datagrams, holds the rate, says when it is over.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manycast_types::{MAX_PAYLOAD, Received, Transmit};

use super::SenderConfig;
use super::message::{Header, MIN_SIZE, ServerReport};
use crate::pace::Pacer;
use crate::{Output, Protocol};

/// Sends a stream of numbered datagrams to a group or a host.
///
/// As any [`Protocol`] it can be run by any driver, one datagram at a time. Who wants to send
/// millions a second has it number many at once, in buffers that are used again and again:
///
/// 1. [`Sender::number`] writes headers into as many buffers as may be sent now.
/// 2. [`Sender::sent`] is told how many of them the kernel took.
/// 3. When none may be sent, [`Protocol::poll_output`] says how long to wait, and sends the last
///    datagrams when it is over.
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
    /// How many datagrams were polled since then.
    polled: usize,
    /// The number of the next datagram.
    next: u64,
    /// How often the end is announced, and at which distance.
    closings: (u32, Duration),
    phase: Phase,
    report: Option<ServerReport>,
    stats: SenderStats,
    told: bool,
}

/// What a [`Sender`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Datagrams sent, the last one included, but not its repetitions.
    pub datagrams: u64,
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
/// How many datagrams are polled at one time.
const POLLED: usize = 64;
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
            polled: 0,
            pacer: config.rate.map(|rate| Pacer::new(rate, config.burst, now)),
            epoch: (now, time.duration_since(UNIX_EPOCH).unwrap_or_default()),
            now,
            started: now,
            next: 1,
            phase: Phase::New,
            report: None,
            stats: SenderStats::default(),
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

    /// Writes headers into as many of `buffers`, from the first, as may be sent now, and says how
    /// many. Each must be [`SenderConfig::size`] long; what follows the header stays as it is.
    ///
    /// # Panics
    ///
    /// If a buffer is shorter than [`MIN_SIZE`].
    pub fn number<B: AsMut<[u8]>>(&mut self, now: Instant, buffers: &mut [B]) -> usize {
        self.now = self.now.max(now);
        if self.phase != Phase::Sending || self.now < self.due {
            return 0;
        }
        let left = self.left();
        if left == 0 {
            self.phase = Phase::Closing(0, self.now);
            return 0;
        }
        let ready = match &mut self.pacer {
            Some(pacer) => pacer.ready(self.now, self.config.size),
            None => usize::MAX,
        };
        let count = buffers
            .len()
            .min(ready)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 {
            self.due = self.next_burst().max(self.now + TICK);
        }
        let time = self.time();
        for (buffer, number) in buffers[..count].iter_mut().zip(self.next..) {
            let header = Header {
                number,
                last: false,
                wide: true,
                time,
            };
            header.emit(buffer.as_mut());
        }
        count
    }

    /// Takes note that the first `count` of the datagrams numbered last were sent. The others will
    /// be numbered again.
    pub fn sent(&mut self, count: usize) {
        self.next += count as u64;
        self.stats.datagrams += count as u64;
        self.stats.bytes += (count * self.config.size) as u64;
        self.stats.duration = self.now.duration_since(self.started);
        if let Some(pacer) = &mut self.pacer {
            pacer.spend(count * self.config.size);
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
    fn closing(&mut self, attempts: u32) -> Transmit {
        let mut payload = vec![0; self.config.size];
        let header = Header {
            number: self.next,
            last: true,
            wide: true,
            time: self.time(),
        };
        header.emit(&mut payload);
        if attempts == 0 {
            self.stats.datagrams += 1;
            self.stats.bytes += self.config.size as u64;
            self.stats.duration = self.now.duration_since(self.started);
        }
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

    fn handle_refused(&mut self, now: Instant, peer: SocketAddr) {
        self.now = self.now.max(now);
        if peer == self.config.destination {
            self.stats.refused += 1;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn poll_output(&mut self) -> Output<SenderEvent> {
        match self.phase {
            Phase::New => Output::Wait {
                until: None,
                reason: "its start",
            },
            Phase::Sending => {
                if self.polled >= POLLED {
                    self.polled = 0;
                    self.due = self.now + TICK;
                }
                let mut payload = [vec![0; self.config.size]];
                if self.number(self.now, &mut payload) == 1 {
                    self.sent(1);
                    self.polled += 1;
                    let [payload] = payload;
                    let transmit = Transmit::new(self.config.destination, payload.into());
                    return Output::Transmit(transmit);
                }
                if self.phase != Phase::Sending {
                    return self.poll_output();
                }
                Output::Wait {
                    until: Some(self.due),
                    reason: "its turn, at the rate that is to be held",
                }
            }
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
                    return self.poll_output();
                }
                let transmit = self.closing(attempts);
                self.phase = Phase::Closing(attempts + 1, self.now + pause);
                Output::Transmit(transmit)
            }
            Phase::Finished if !std::mem::replace(&mut self.told, true) => {
                Output::Event(SenderEvent::Finished(self.report))
            }
            Phase::Finished => Output::Finished,
        }
    }
}
