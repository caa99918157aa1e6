//! The receiving side: tells streams apart, and measures each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use manycast_types::{InterfaceId, Received, Run, SocketId};

use super::ReceiverConfig;
use super::message::Header;
use super::stream::{Arrived, Stream, StreamReport, since_1970};
use crate::random::Random;
use crate::timers::{Timer, Timers};
use crate::{Output, Protocol};

/// Measures every stream that comes: who sends it, to which destination, by which interface.
///
/// A sender that is started anew from the same port begins another stream, and what its former runs
/// were stays among [`Receiver::streams`].
///
/// Memory is bounded whatever is sent: see [`ReceiverConfig::max_streams`]. Beyond it, streams of
/// which one datagram came make room for others first, then those that are over, then those that
/// were silent for ten seconds. Nothing is allocated for a datagram of a stream that is known.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    random: Random,
    /// The same moment by both clocks, for datagrams without the kernel's time.
    epoch: (Instant, SystemTime),
    /// In no order; where one made room, another stands.
    streams: Vec<Stream>,
    /// The latest run of each sender.
    positions: HashMap<Key, usize>,
    /// The stream of the last datagram, which is mostly the stream of the next.
    last: usize,
    /// Of each socket, the greatest count of drops that came with a datagram of a stream.
    drops: Vec<(SocketId, u64)>,
    /// The senders that have ended, until there are as many as are expected. Their streams may have
    /// made room since.
    ended: HashSet<SocketAddr>,
    /// How many streams have begun.
    begun: u64,
    timers: Timers<Wait>,
    interval_began: Instant,
    outputs: VecDeque<Output<ReceiverEvent>>,
    phase: Phase,
    stats: ReceiverStats,
}

/// What a [`Receiver`] tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// A stream made room for another, and is not among [`Receiver::streams`] any more: what it was
    /// over its whole length.
    Freed(Box<StreamReport>),
    /// The time is over, or all expected streams have ended. [`Receiver::streams`] has the sums.
    Finished,
}

/// What a [`Receiver`] has counted beside its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Datagrams without the header that is expected: they are of something else.
    pub malformed: u64,
    /// Datagrams of streams beyond [`ReceiverConfig::max_streams`], none of which could make room.
    pub untracked: u64,
    /// Streams of which one datagram came, and which made room for others.
    pub unconfirmed: u64,
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
    /// kernel does not say when a datagram came. The seed decides which of the streams of which one
    /// datagram came make room; no peer should be able to guess it.
    pub fn new(config: ReceiverConfig, now: Instant, time: SystemTime, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(seed),
            epoch: (now, time),
            streams: Vec::new(),
            positions: HashMap::new(),
            last: 0,
            drops: Vec::new(),
            ended: HashSet::new(),
            begun: 0,
            timers: Timers::new(),
            interval_began: now,
            outputs: VecDeque::new(),
            phase: Phase::New,
            stats: ReceiverStats::default(),
        }
    }

    /// What each stream has been since its beginning, in the order in which they began.
    pub fn streams(&self) -> impl Iterator<Item = StreamReport> {
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_by_key(|stream| stream.order);
        streams.into_iter().map(Stream::summary)
    }

    /// What was counted beside the streams.
    pub const fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// What the kernel had dropped, of all sockets together, when the latest datagrams of streams came:
    /// the greatest [`Received::dropped`] of each socket. It counts the buffers of the kernel, each of
    /// which may hold several datagrams. What was dropped after that is missing in no stream's numbers.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(|(_, dropped)| dropped).sum()
    }

    /// Takes note of how much was dropped until a datagram of a stream came.
    fn note_drops(&mut self, datagram: &Received<'_>) {
        let (socket, dropped) = (datagram.socket, datagram.dropped);
        if dropped == 0 {
            return;
        }
        match self.drops.iter_mut().find(|(known, _)| *known == socket) {
            Some((_, most)) => *most = dropped.max(*most),
            None => self.drops.push((socket, dropped)),
        }
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

    /// Begins a stream with a datagram of so many bytes, perhaps in the place of the former run of
    /// its sender, and says where it stands. `None`: there is no room.
    fn begin(
        &mut self,
        header: &Header,
        datagram: &Received<'_>,
        bytes: usize,
        arrived: Arrived,
    ) -> Option<usize> {
        let key = Key::of(datagram);
        let former = self.positions.get(&key).copied();
        // The latest of them may have made room, and a former one not.
        let runs = self.streams.iter().filter(|it| it.is_of(datagram));
        let run = 1 + runs.map(|it| it.run).max().unwrap_or(0);
        if let Some(former) = former {
            self.streams[former].replace();
        }
        let Some(position) = self.room(arrived.now) else {
            self.stats.untracked += 1;
            return None;
        };
        // Intervals begin with the first stream: before it there is nothing to measure.
        if self.begun == 0 && !self.config.interval.is_zero() {
            self.interval_began = arrived.now;
            let next = arrived.now.checked_add(self.config.interval);
            self.timers.set(Wait::Interval, next);
        }
        let stream = Stream::new(header, datagram, bytes, arrived, (self.begun, run));
        self.begun += 1;
        match self.streams.get_mut(position) {
            Some(place) => *place = stream,
            None => self.streams.push(stream),
        }
        self.positions.insert(key, position);
        self.last = position;
        self.outputs.push_back(Output::Event(ReceiverEvent::Began {
            source: datagram.source,
            destination: datagram.destination,
            interface: datagram.interface.clone(),
        }));
        Some(position)
    }

    /// A place for one more stream, which another made room for if need be.
    fn room(&mut self, now: Instant) -> Option<usize> {
        if self.streams.len() < self.config.max_streams {
            return Some(self.streams.len());
        }
        let position = self.unconfirmed().or_else(|| self.spare(now))?;
        let stream = &self.streams[position];
        let key = Key {
            source: stream.source,
            destination: stream.destination,
            interface: stream.interface.index,
        };
        if self.positions.get(&key) == Some(&position) {
            self.positions.remove(&key);
        }
        if stream.is_confirmed() {
            let freed = ReceiverEvent::Freed(Box::new(stream.summary()));
            self.outputs.push_back(Output::Event(freed));
        } else {
            self.stats.unconfirmed += 1;
        }
        Some(position)
    }

    /// One of the streams of which one datagram came.
    ///
    /// Chance decides which, and not age: where forged ones come so fast that all are replaced before
    /// a sender sends its second datagram, age would never let it begin.
    fn unconfirmed(&mut self) -> Option<usize> {
        let streams = &self.streams;
        let positions = || (0..streams.len()).filter(|at| !streams[*at].is_confirmed());
        let last = positions().count().checked_sub(1)?;
        let chance = self.random.within(0..=last as u64);
        positions().nth(usize::try_from(chance).unwrap_or(last))
    }

    /// The stream that was silent longest of those that are over, or else of those that are silent.
    fn spare(&self, now: Instant) -> Option<usize> {
        let spares = (0..self.streams.len()).filter_map(|position| {
            let stream = &self.streams[position];
            Some((stream.spare(now)?, stream.latest(), position))
        });
        spares.min().map(|(.., position)| position)
    }

    /// Answers the end of a stream by unicast, and ends itself when the last sender has ended.
    fn ended(&mut self, now: Instant, position: usize, datagram: &Received<'_>, bytes: usize) {
        let stream = &self.streams[position];
        // The end is announced again where it was the only datagram and is not answered.
        if !stream.is_confirmed() {
            return;
        }
        if !datagram.destination.ip().is_multicast()
            && let Some(report) = stream.server_report().emit(bytes)
        {
            let answer = datagram.reply().with(report);
            self.outputs.push_back(Output::Transmit(answer));
        }
        let Some(expect) = self.config.expect else {
            return;
        };
        if self.ended.len() < expect {
            let ended = self.streams.iter();
            let ended = ended.filter(|stream| stream.has_ended() && stream.is_confirmed());
            self.ended.extend(ended.map(|stream| stream.source));
        }
        if self.ended.len() >= expect {
            self.timers.set(Wait::Linger, now.checked_add(LINGER));
        }
    }

    fn end_interval(&mut self, now: Instant) {
        let duration = now.saturating_duration_since(self.interval_began);
        self.interval_began = now;
        let mut streams: Vec<_> = self.streams.iter_mut().collect();
        streams.sort_by_key(|stream| stream.order);
        let reports: Vec<_> = streams
            .into_iter()
            .filter_map(|stream| stream.end_interval(now, duration))
            .collect();
        if !reports.is_empty() {
            let event = ReceiverEvent::Interval(reports);
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Ends it as when its duration is over: the last interval is told.
    pub fn finish(&mut self, now: Instant) {
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
        let arrived = Arrived { now, at };
        let mut position = self.position(whole);
        let mut is_of_a_stream = false;
        for payload in run.payloads() {
            let Ok(header) = Header::parse(payload) else {
                self.stats.malformed += 1;
                continue;
            };
            let bytes = payload.len();
            let stream = position.map(|position| &mut self.streams[position]);
            match stream.filter(|stream| !stream.is_restarted_by(&header)) {
                Some(stream) => stream.record(&header, whole, bytes, arrived),
                None => position = self.begin(&header, whole, bytes, arrived),
            }
            is_of_a_stream |= position.is_some();
            if let Some(position) = position
                && header.last
            {
                self.ended(now, position, whole, bytes);
            }
        }
        if is_of_a_stream {
            self.note_drops(whole);
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
