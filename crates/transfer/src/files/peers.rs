//! The receivers of a delivery, as they report.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::message::{MOST_HASHES, Report, Status, node_of};
use super::report::Sample;

/// How many receivers are kept that were not expected by name.
const STRANGERS: usize = 4096;
/// How much is kept of how it stands with the files at them, in bytes: one for each file.
const STATUSES: usize = 256 << 20;
/// How many reasons are kept, of all receivers together.
const REASONS: usize = 65_536;
/// How many samples are kept of each; where there are more, every second one goes.
const SAMPLES: usize = 512;

/// The receivers that are known, by the number of their node.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) known: BTreeMap<u32, Peer>,
    /// How many entries the manifest has.
    entries: usize,
}

/// A receiver.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) is_named: bool,
    pub(super) heard: Option<Instant>,
    pub(super) has_manifest: bool,
    pub(super) statuses: Vec<Status>,
    pub(super) reasons: BTreeMap<u32, String>,
    pub(super) bytes: u64,
    read: u64,
    /// The most of both that any of its reports told.
    most: (u64, u64),
    /// Datagrams that were to come, and that came, of all its starts.
    expected: u64,
    came: u64,
    start: u32,
    before: Option<u32>,
    number: u32,
    samples: Vec<Sample>,
    every: Duration,
    last: Counters,
    /// When it was last heard, since the first datagram.
    at: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    at: Duration,
    bytes: u64,
    expected: u64,
    came: u64,
}

/// What is new in a report.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether the receiver was not heard of before.
    pub(super) is_new: bool,
    /// Whether another receiver seems to have the same name.
    pub(super) is_double: bool,
    /// The entries that are final now and were not before.
    pub(super) ended: Vec<u32>,
    /// The first entries whose hash is needed: as many as are told at once.
    pub(super) unhashed: Vec<u32>,
    /// Whether anything has come on.
    pub(super) has_progress: bool,
}

impl Peers {
    pub(super) fn new(names: &[String], entries: usize) -> Self {
        let named = |name: &String| (node_of(name), Peer::new(name.clone(), true, entries));
        Self {
            known: names.iter().map(named).collect(),
            entries,
        }
    }

    /// Those that were heard of within `patience`.
    pub(super) fn live(&self, now: Instant, patience: Duration) -> impl Iterator<Item = &Peer> {
        self.known.values().filter(move |peer| {
            peer.heard
                .is_some_and(|at| now.saturating_duration_since(at) <= patience)
        })
    }

    /// Takes in a report, `since` the first datagram. `None` where it is none of a receiver's that
    /// can be kept.
    pub(super) fn take(
        &mut self,
        node: u32,
        report: &Report,
        now: Instant,
        since: Duration,
    ) -> Option<Changes> {
        // RFC 5740 leaves numbers to the application: here they follow from names.
        if report.name.is_empty() || node_of(&report.name) != node {
            return None;
        }
        let entries = self.entries;
        if !self.known.contains_key(&node) {
            let strangers = self.known.values().filter(|peer| !peer.is_named);
            if strangers.count() >= STRANGERS.min(STATUSES / entries.max(1)) {
                return None;
            }
            let peer = Peer::new(report.name.clone(), false, entries);
            self.known.insert(node, peer);
        }
        let reasons = match report.reasons.is_empty() {
            true => 0,
            false => self.known.values().map(|peer| peer.reasons.len()).sum(),
        };
        let peer = self.known.get_mut(&node)?;
        if peer.name != report.name {
            return None;
        }
        peer.take(report, now, since, REASONS.saturating_sub(reasons))
    }
}

impl Peer {
    fn new(name: String, is_named: bool, entries: usize) -> Self {
        Self {
            name,
            is_named,
            heard: None,
            has_manifest: false,
            statuses: vec![Status::Unknown; entries],
            reasons: BTreeMap::new(),
            bytes: 0,
            read: 0,
            most: (0, 0),
            expected: 0,
            came: 0,
            start: 0,
            before: None,
            number: 0,
            samples: Vec::new(),
            every: Duration::from_millis(100),
            last: Counters::default(),
            at: Duration::ZERO,
        }
    }

    /// The part of the datagrams that it missed.
    pub(super) fn loss(&self) -> f64 {
        part(self.expected, self.came)
    }

    pub(super) fn count(&self, status: Status) -> usize {
        self.statuses.iter().filter(|it| **it == status).count()
    }

    /// Whether it is known of each entry what it wants, or that it needs the hash to know it.
    pub(super) fn has_looked(&self) -> bool {
        let is_open = |it: &Status| matches!(it, Status::Unknown | Status::Checking);
        self.has_manifest && !self.statuses.iter().any(is_open)
    }

    /// `room` is for so many reasons.
    fn take(
        &mut self,
        report: &Report,
        now: Instant,
        since: Duration,
        mut room: usize,
    ) -> Option<Changes> {
        let mut changes = Changes {
            is_new: self.heard.is_none(),
            ..Changes::default()
        };
        if !changes.is_new && report.start != self.start {
            // It was started anew. One that comes back by its former number is another one beside it.
            changes.is_double = self.before == Some(report.start);
            self.before = Some(self.start);
            self.statuses.fill(Status::Unknown);
            self.reasons.clear();
            self.has_manifest = false;
            (self.bytes, self.read) = (0, 0);
            (self.last.bytes, self.last.expected, self.last.came) = (0, 0, 0);
        } else if !changes.is_new && report.number <= self.number {
            return None;
        }
        (self.start, self.number) = (report.start, report.number);
        self.heard = Some(now);
        self.has_manifest |= report.has_manifest;
        let mut at = usize::try_from(report.from).unwrap_or(usize::MAX);
        for (status, length) in &report.runs {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let end = at.saturating_add(length).min(self.statuses.len());
            for index in at.min(end)..end {
                let before = std::mem::replace(&mut self.statuses[index], *status);
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                if status.is_final() && before != *status {
                    changes.ended.push(number);
                }
                if *status == Status::Unhashed && changes.unhashed.len() < MOST_HASHES {
                    changes.unhashed.push(number);
                }
                changes.has_progress |= *status > before;
            }
            at = end;
        }
        for (index, reason) in &report.reasons {
            let is_known = self.reasons.contains_key(index);
            if (*index as usize) < self.statuses.len() && (is_known || room > 0) {
                room -= usize::from(!is_known);
                self.reasons.insert(*index, reason.clone());
            }
        }
        changes.has_progress |= report.bytes > self.bytes || report.read > self.read;
        if changes.is_double {
            // By turns each of two has what the other has not, and that is no progress.
            changes.has_progress = report.bytes > self.most.0 || report.read > self.most.1;
        }
        self.most = (self.most.0.max(report.bytes), self.most.1.max(report.read));
        self.read = report.read;
        (self.bytes, self.expected, self.came) = (report.bytes, report.expected, report.came);
        self.sample(since);
        Some(changes)
    }

    fn sample(&mut self, at: Duration) {
        self.at = at;
        let Some(sample) = self.since_last(self.every) else {
            return;
        };
        self.samples.push(sample);
        self.last = Counters {
            at,
            bytes: self.bytes,
            expected: self.expected,
            came: self.came,
        };
        if self.samples.len() >= SAMPLES {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.every *= 2;
        }
    }

    /// What came since the last sample, where that is so long ago. It has no rate within no time, so
    /// `least` is more than zero.
    fn since_last(&self, least: Duration) -> Option<Sample> {
        let passed = self.at.saturating_sub(self.last.at);
        let bytes = self.bytes.saturating_sub(self.last.bytes);
        (passed >= least).then(|| Sample {
            at: self.at,
            rate: bytes as f64 * 8.0 / passed.as_secs_f64(),
            loss: part(
                self.expected.saturating_sub(self.last.expected),
                self.came.saturating_sub(self.last.came),
            ),
        })
    }

    /// Its rate and loss over time, with what came since the last sample, however short that took.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let rest = self.since_last(Duration::from_micros(1));
        let rest = rest.filter(|_| self.samples.is_empty() || self.bytes > self.last.bytes);
        self.samples.iter().copied().chain(rest).collect()
    }

    /// Its rate and loss of late.
    pub(super) fn of_late(&self) -> (f64, f64) {
        let first = self.since_last(Duration::from_micros(1));
        let first = first.filter(|_| self.samples.is_empty());
        let recent = &self.samples[self.samples.len().saturating_sub(5)..];
        let recent = recent.iter().chain(&first);
        let count = recent.clone().count().max(1) as f64;
        let rate: f64 = recent.clone().map(|it| it.rate).sum();
        let loss: f64 = recent.map(|it| it.loss).sum();
        (rate / count, loss / count)
    }
}

fn part(expected: u64, came: u64) -> f64 {
    if expected == 0 {
        return 0.0;
    }
    1.0 - came.min(expected) as f64 / expected as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two receivers of one name bring a delivery on where one of them has more than both had.
    #[test]
    fn what_two_of_one_name_have_by_turns_is_no_progress() {
        let now = Instant::now();
        let mut peer = Peer::new("r".to_owned(), true, 1);
        let mut told = |number, start, bytes| {
            let mut report = Report {
                name: "r".to_owned(),
                start,
                number,
                bytes,
                ..Report::default()
            };
            report.set_statuses(0, &[Status::Coming]);
            let changes = peer.take(&report, now, Duration::ZERO, 0).unwrap();
            (changes.is_double, changes.has_progress)
        };
        assert_eq!(told(1, 7, 1000), (false, true));
        assert_eq!(told(1, 8, 10), (false, true));
        assert_eq!(told(2, 7, 1000), (true, false));
        assert_eq!(told(2, 8, 10), (true, false));
        assert_eq!(told(3, 7, 1001), (true, true));
        assert_eq!(told(3, 8, 1001), (true, false));
    }

    /// However short a delivery is, its rate and loss are told.
    #[test]
    fn what_took_less_time_than_a_sample_is_one() {
        let start = Instant::now();
        let mut peer = Peer::new("r".to_owned(), true, 1);
        let mut told = |number, milliseconds, bytes, came| {
            let report = Report {
                name: "r".to_owned(),
                number,
                bytes,
                expected: 100,
                came,
                ..Report::default()
            };
            let since = Duration::from_millis(milliseconds);
            peer.take(&report, start + since, since, 0);
            let samples = peer.samples();
            let of = |it: &Sample| (it.rate.round(), (it.loss * 100.0).round());
            samples.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(told(1, 0, 0, 100), []);
        assert_eq!(told(2, 50, 1000, 90), [(160_000.0, 10.0)]);
        assert_eq!(told(3, 100, 4000, 90), [(320_000.0, 10.0)]);
        assert_eq!(
            told(4, 120, 5000, 90),
            [(320_000.0, 10.0), (400_000.0, 0.0)]
        );
        // Nothing came since.
        assert_eq!(told(5, 200, 5000, 90), [(320_000.0, 10.0), (80_000.0, 0.0)]);
        assert_eq!(told(6, 220, 5000, 90), [(320_000.0, 10.0), (80_000.0, 0.0)]);
    }
}
