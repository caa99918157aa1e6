//! The receiving side: tells streams apart, and measures each.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use manycast_types::{InterfaceId, Received, Run};

use super::ReceiverConfig;
use super::message::Header;
use super::stream::{Stream, StreamReport, since_1970};
use crate::timers::{Timer, Timers};
use crate::{Output, Protocol};

/// Measures every stream that comes: who sends it, to which destination, by which interface.
///
/// Memory is bounded whatever is sent: see [`ReceiverConfig::max_streams`]. Nothing is allocated
/// for a datagram of a stream that is known.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    /// The same moment by both clocks, for datagrams without the kernel's time.
    epoch: (Instant, SystemTime),
    streams: Vec<Stream>,
    positions: HashMap<Key, usize>,
    /// The stream of the last datagram, which is mostly the stream of the next.
    last: usize,
    timers: Timers<Wait>,
    interval_began: Instant,
    outputs: VecDeque<Output<ReceiverEvent>>,
    phase: Phase,
    stats: ReceiverStats,
}

/// What a [`Receiver`] tells.
#[derive(Clone, Debug)]
pub enum ReceiverEvent {
    /// A stream has begun.
    Began {
        /// Who sends it.
        source: SocketAddr,
        /// The group or local address that it is sent to.
        destination: SocketAddr,
        /// The interface that it comes in on.
        interface: InterfaceId,
    },
    /// An interval is over: what each stream was in it, in the order in which they began.
    Interval(Vec<StreamReport>),
    /// The time is over, or all expected streams have ended. [`Receiver::streams`] has the sums.
    Finished,
}

/// What a [`Receiver`] has counted beside its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Datagrams without the header that is expected: they are of something else.
    pub malformed: u64,
    /// Datagrams of streams beyond [`ReceiverConfig::max_streams`].
    pub untracked: u64,
    /// Datagrams that came before the start or after the end.
    pub untimely: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: SocketAddr,
    destination: SocketAddr,
    interface: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Interval,
    End,
    /// The expected streams have ended; what was overtaken may still come.
    Linger,
}

impl Timer for Wait {
    fn reason(self) -> &'static str {
        match self {
            Self::Interval => "datagrams, until the interval is over",
            Self::End => "datagrams, until the time is over",
            Self::Linger => "datagrams that were overtaken by the last",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Finished,
}

/// How long it goes on after the last expected stream has ended: its sender announces the end
/// several times within it.
const LINGER: Duration = Duration::from_millis(250);

impl Receiver {
    /// A receiver, and the same moment by both clocks: `now`, and `time`, which stands in where the
    /// kernel does not say when a datagram came.
    pub fn new(config: ReceiverConfig, now: Instant, time: SystemTime) -> Self {
        Self {
            config,
            epoch: (now, time),
            streams: Vec::new(),
            positions: HashMap::new(),
            last: 0,
            timers: Timers::new(),
            interval_began: now,
            outputs: VecDeque::new(),
            phase: Phase::New,
            stats: ReceiverStats::default(),
        }
    }

    /// What each stream has been since its beginning, in the order in which they began.
    pub fn streams(&self) -> impl Iterator<Item = StreamReport> {
        self.streams.iter().map(Stream::summary)
    }

    /// What was counted beside the streams.
    pub const fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// The stream of a datagram, if it has begun.
    fn position(&mut self, datagram: &Received<'_>) -> Option<usize> {
        if self
            .streams
            .get(self.last)
            .is_some_and(|stream| stream.is_of(datagram))
        {
            return Some(self.last);
        }
        let position = *self.positions.get(&Key::of(datagram))?;
        self.last = position;
        Some(position)
    }

    /// Begins a stream with a datagram of so many bytes.
    fn begin(&mut self, header: &Header, datagram: &Received<'_>, bytes: usize, at: i64) {
        let stream = Stream::new(header, datagram, bytes, at);
        match self.positions.entry(Key::of(datagram)) {
            Entry::Occupied(entry) => self.streams[*entry.get()] = stream,
            Entry::Vacant(_) if self.streams.len() >= self.config.max_streams => {
                self.stats.untracked += 1;
                return;
            }
            Entry::Vacant(entry) => {
                entry.insert(self.streams.len());
                self.streams.push(stream);
            }
        }
        self.outputs.push_back(Output::Event(ReceiverEvent::Began {
            source: datagram.source,
            destination: datagram.destination,
            interface: datagram.interface.clone(),
        }));
    }

    /// Answers the end of a stream by unicast, and ends itself when the last sender has ended.
    fn ended(&mut self, now: Instant, datagram: &Received<'_>, bytes: usize) {
        let Some(position) = self.position(datagram) else {
            return;
        };
        if !datagram.destination.ip().is_multicast() {
            let report = self.streams[position].server_report();
            if let Some(report) = report.emit(bytes) {
                let answer = datagram.reply().with(report);
                self.outputs.push_back(Output::Transmit(answer));
            }
        }
        let Some(expect) = self.config.expect else {
            return;
        };
        let ended = self.streams.iter().filter(|stream| stream.has_ended());
        let senders: HashSet<_> = ended.map(|stream| stream.source).collect();
        if senders.len() >= expect {
            self.timers.set(Wait::Linger, now.checked_add(LINGER));
        }
    }

    fn end_interval(&mut self, now: Instant) {
        let duration = now.saturating_duration_since(self.interval_began);
        self.interval_began = now;
        let reports = self.streams.iter_mut();
        let reports: Vec<_> = reports
            .filter_map(|stream| stream.end_interval(duration))
            .collect();
        if !reports.is_empty() {
            let event = ReceiverEvent::Interval(reports);
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn finish(&mut self, now: Instant) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            self.timers.clear();
            if !self.config.interval.is_zero() && now > self.interval_began {
                self.end_interval(now);
            }
            self.outputs
                .push_back(Output::Event(ReceiverEvent::Finished));
        }
    }
}

impl Protocol for Receiver {
    type Event = ReceiverEvent;

    fn start(&mut self, now: Instant) {
        if self.phase != Phase::New {
            return;
        }
        self.phase = Phase::Running;
        self.interval_began = now;
        if !self.config.interval.is_zero() {
            self.timers
                .set(Wait::Interval, now.checked_add(self.config.interval));
        }
        if let Some(duration) = self.config.duration {
            self.timers.set(Wait::End, now.checked_add(duration));
        }
    }

    fn stop(&mut self, now: Instant) {
        self.finish(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let bytes = datagram.payload.len();
        self.handle_run(now, Run::new(datagram, bytes));
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        if self.phase != Phase::Running {
            self.stats.untimely += run.count() as u64;
            return;
        }
        let whole = run.whole();
        let at = since_1970(
            whole
                .time
                .unwrap_or_else(|| self.epoch.1 + now.saturating_duration_since(self.epoch.0)),
        );
        let mut position = self.position(whole);
        for payload in run.payloads() {
            let Ok(header) = Header::parse(payload) else {
                self.stats.malformed += 1;
                continue;
            };
            let bytes = payload.len();
            let stream = position.map(|position| &mut self.streams[position]);
            match stream.filter(|stream| !stream.is_over(&header)) {
                Some(stream) => stream.record(&header, whole, bytes, at),
                None => {
                    // Intervals begin with the first stream: before it there is nothing to measure.
                    if self.streams.is_empty() && !self.config.interval.is_zero() {
                        self.interval_began = now;
                        self.timers
                            .set(Wait::Interval, now.checked_add(self.config.interval));
                    }
                    self.begin(&header, whole, bytes, at);
                    position = self.position(whole);
                }
            }
            if header.last {
                self.ended(now, whole, bytes);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Wait::Interval => {
                    self.end_interval(now);
                    self.timers
                        .set(Wait::Interval, now.checked_add(self.config.interval));
                }
                Wait::End | Wait::Linger => self.finish(now),
            }
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<ReceiverEvent> {
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.phase == Phase::Finished => Output::Finished,
            None => self.timers.wait("datagrams"),
        }
    }
}

impl Key {
    fn of(datagram: &Received<'_>) -> Self {
        Self {
            source: datagram.source,
            destination: datagram.destination,
            interface: datagram.interface.index,
        }
    }
}
