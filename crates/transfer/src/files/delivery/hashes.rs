//! Hashes that were not known when it began: which are made, and which are still to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use manycast_proto::norm::{Content, Object, ObjectId, Sender};

use super::{Delivery, Phase};
use crate::files::message::{MOST_HASHES, Said, emit_hashes};
use crate::files::scan::LARGE;

/// How often hashes are told: several at once.
const OFTEN: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// The files that are to be read for their hashes, and those that are being read.
    wanted: Vec<u32>,
    making: BTreeSet<u32>,
    /// Those that are to be told, and when others were.
    due: BTreeSet<u32>,
    told: BTreeMap<u32, Instant>,
    last: Option<Instant>,
    /// The objects in which they are told that were not sent yet.
    pub(super) unsent: BTreeSet<ObjectId>,
}

impl Hashes {
    /// Whether some are still made, or to be told.
    pub(super) fn are_due(&self) -> bool {
        !self.making.is_empty() || !self.due.is_empty() || !self.unsent.is_empty()
    }

    /// How long was waited, counted anew from when hashes were last told.
    pub(super) fn waited(&self, waited: Duration, now: Instant) -> Duration {
        let last = self.last.map(|last| now.saturating_duration_since(last));
        waited.min(last.unwrap_or(waited))
    }
}

impl Delivery {
    /// Short files have their hash before they are sent.
    pub(super) fn want_short(&mut self) {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if !entry.is_folder && entry.hash.is_none() && entry.size < LARGE {
                self.want(index);
            }
        }
    }

    fn want(&mut self, index: usize) {
        if let Ok(index) = u32::try_from(index)
            && self.hashes.making.insert(index)
        {
            self.hashes.wanted.push(index);
        }
    }

    /// The files that are to be read for their hashes from now on.
    pub(in crate::files) fn take_wanted(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.hashes.wanted)
    }

    /// Whether a file is hashed as it is sent.
    pub(in crate::files) fn is_hashed_as_sent(&self, index: u32) -> bool {
        self.is_unhashed(index) && !self.hashes.making.contains(&index)
    }

    /// All of a file was read to be sent. Whether its hash is to be made of it now.
    pub(in crate::files) fn was_read(&mut self, index: u32) -> bool {
        self.is_unhashed(index) && self.hashes.making.insert(index)
    }

    fn is_unhashed(&self, index: u32) -> bool {
        let entry = self.entries.get(index as usize);
        entry.is_some_and(|entry| entry.hash.is_none())
    }

    /// Whether the last file is being sent without its hash: that goes right behind it, and no other
    /// file between them.
    pub(super) fn waits_for_hash(&self) -> bool {
        let last = self.flights.back();
        last.is_some_and(|last| last.sent.is_none() && self.is_unhashed(last.index))
    }

    /// Files are read for their hashes: what is waited for comes on.
    pub(in crate::files) const fn goes_on(&mut self, now: Instant) {
        self.progress = now;
    }

    /// The hash of a file is known. It returns when to go on: at once where that file, or what comes
    /// after it, waits for it.
    pub(in crate::files) fn hashed(&mut self, index: u32, hash: [u8; 32], now: Instant) -> Instant {
        self.progress = now;
        self.hashes.making.remove(&index);
        let is_next = self.waits_for_hash() || self.queue.front() == Some(&index);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return now;
        };
        entry.hash = Some(hash);
        self.manifest = None;
        // Those of short files go with them, and are told where somebody waits for them.
        if entry.size >= LARGE {
            self.hashes.due.insert(index);
        }
        match is_next {
            true => now,
            false => now + OFTEN,
        }
    }

    /// The hash of a file will not be known.
    pub(super) fn forget_hash(&mut self, index: u32) {
        self.hashes.making.remove(&index);
        self.hashes.due.remove(&index);
    }

    /// A receiver needs the hash of a file. One that is sent anyway has it when all of it was.
    pub(super) fn needs_hash(&mut self, index: u32) {
        let at = index as usize;
        if self.unreadable[at].is_some() || self.hashes.making.contains(&index) {
            return;
        }
        if !self.is_unhashed(index) {
            self.hashes.due.insert(index);
            return;
        }
        // Where nobody is expected, all is sent once. The queue is in the order of the entries.
        let will_be_sent = match self.phase {
            Phase::Gathering => self.expected.count == 0,
            _ => self.queue.binary_search(&index).is_ok(),
        };
        if !will_be_sent && !self.flights.iter().any(|flight| flight.index == index) {
            self.want(at);
        }
    }

    /// Tells hashes, again where a receiver does not have them though they were told.
    pub(super) fn tell_hashes(&mut self, sender: &mut Sender, now: Instant) {
        let hashes = &mut self.hashes;
        let is_soon = |at: &Instant, pause| now.saturating_duration_since(*at) < pause;
        if hashes.due.is_empty() || hashes.last.is_some_and(|at| is_soon(&at, OFTEN)) {
            return;
        }
        let pause = super::again(sender);
        let told = &hashes.told;
        let is_waiting = !hashes.unsent.is_empty();
        let is_told = |index: &u32| {
            let at = told.get(index);
            at.is_some_and(|at| is_waiting || is_soon(at, pause))
        };
        hashes.due.retain(|index| !is_told(index));
        let next = hashes.due.iter().filter_map(|&index| {
            let entry = self.entries.get(index as usize)?;
            Some((index, entry.hash?))
        });
        let next: Vec<_> = next.take(MOST_HASHES).collect();
        if next.is_empty() {
            return;
        }
        let object = Object {
            content: Content::Memory(emit_hashes(self.session, &next)),
            file: false,
            info: Some(Said::Hashes.emit(self.session)),
        };
        if let Ok(object) = sender.enqueue(object) {
            hashes.last = Some(now);
            hashes.unsent.insert(object);
            for (index, _) in next {
                hashes.due.remove(&index);
                hashes.told.insert(index, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use manycast_proto::norm::SenderConfig;

    use super::*;
    use crate::files::delivery::Expected;
    use crate::files::entry::Entry;
    use crate::files::message::{Report, Status, node_of};

    /// A delivery to one receiver, as time passes.
    struct Site {
        delivery: Delivery,
        sender: Sender,
        now: Instant,
        report: Report,
    }

    impl Site {
        fn new(sizes: &[u64]) -> Self {
            let now = Instant::now();
            let config = SenderConfig {
                grtt: Duration::from_millis(10),
                ..SenderConfig::new(([239, 1, 1, 1], 5).into(), 1)
            };
            let entries = (0..).zip(sizes).map(|(index, size): (u32, _)| Entry {
                path: index.to_string(),
                is_folder: false,
                mode: 0o644,
                modified: (0, 0),
                size: *size,
                hash: None,
            });
            let expected = Expected {
                names: vec!["r".to_owned()],
                count: 1,
                at_host: false,
            };
            let wait = Duration::from_secs(5);
            Self {
                delivery: Delivery::new(9, entries.collect(), expected, wait, now),
                sender: Sender::new(config, [1; 32], now),
                now,
                report: Report {
                    name: "r".to_owned(),
                    has_manifest: true,
                    ..Report::default()
                },
            }
        }

        fn report(&mut self, statuses: &[Status]) {
            self.report.number += 1;
            self.report.set_statuses(0, statuses);
            let report = self.report.emit(9);
            self.delivery.take(node_of("r"), &report, self.now).unwrap();
        }

        /// Goes on as far as it can now.
        fn step(&mut self) {
            for _ in 0..3 {
                self.delivery.step(&mut self.sender, self.now);
            }
        }

        fn flights(&self) -> Vec<u32> {
            let flights = self.delivery.flights.iter();
            flights.map(|flight| flight.index).collect()
        }

        fn told(&self, index: u32) -> Option<Instant> {
            self.delivery.hashes.told.get(&index).copied()
        }
    }

    /// A short file waits for its hash. That of a long one goes right behind it once it is known, and
    /// again, but not at once, to who says that it is needed.
    #[test]
    fn hashes_are_told_until_they_are_there() {
        use Status::{Coming, Missing, Unhashed, Verified};
        let mut site = Site::new(&[5, LARGE, 5]);
        let start = site.now;
        assert_eq!(site.delivery.take_wanted(), [0, 2]);
        site.report(&[Missing; 3]);
        site.step();
        assert_eq!(site.flights(), []);
        assert_eq!(site.delivery.hashed(0, [1; 32], start), start);
        assert!(site.delivery.hashed(2, [1; 32], start) > start);
        site.step();
        assert_eq!(site.flights(), [0, 1]);
        // It is made of what is sent, and of nothing else.
        site.report(&[Coming, Unhashed, Missing]);
        assert_eq!(site.delivery.take_wanted(), []);
        let delivery = &mut site.delivery;
        assert!(delivery.is_hashed_as_sent(1) && delivery.was_read(1));
        assert!(!delivery.is_hashed_as_sent(1) && !delivery.was_read(1));
        assert_eq!(delivery.hashed(1, [2; 32], start), start);
        assert_eq!(site.told(1), None);
        site.step();
        assert_eq!(site.told(1), Some(start));
        assert_eq!(site.flights(), [0, 1, 2]);
        // Not while it waits to be sent itself, and not as soon as it was.
        for (milliseconds, is_sent, is_again) in [
            (100, false, false),
            (2000, false, false),
            (2100, true, true),
            (2200, true, false),
        ] {
            let before = site.told(1);
            site.now = start + Duration::from_millis(milliseconds);
            if is_sent && let Some(&object) = site.delivery.hashes.unsent.first() {
                site.delivery.sent(object, site.now);
            }
            site.report(&[Verified, Unhashed, Coming]);
            site.step();
            let last = if is_again { Some(site.now) } else { before };
            assert_eq!(site.told(1), last, "{milliseconds}");
        }
    }

    /// It lasts as long as it comes on at the receiver, and not much longer.
    #[test]
    fn a_receiver_that_compares_is_waited_for() {
        let mut site = Site::new(&[LARGE]);
        site.report(&[Status::Unhashed]);
        site.step();
        assert_eq!(site.delivery.take_wanted(), [0]);
        site.delivery.hashed(0, [1; 32], site.now);
        site.step();
        for _ in 0..20 {
            site.now += Duration::from_secs(3);
            site.report.read += 1;
            site.report(&[Status::Checking]);
            site.step();
            assert!(matches!(site.delivery.phase, Phase::Judging(_)));
        }
        for _ in 0..3 {
            site.now += Duration::from_secs(3);
            site.report(&[Status::Checking]);
            site.step();
        }
        assert!(matches!(site.delivery.phase, Phase::Ending | Phase::Over));
    }

    #[test]
    fn a_hash_that_is_not_to_be_had_is_not_waited_for() {
        let mut site = Site::new(&[LARGE]);
        site.report(&[Status::Unhashed]);
        site.step();
        assert!(matches!(site.delivery.phase, Phase::Judging(_)));
        let why = "it was changed".to_owned();
        site.delivery.fail(0, why, &mut site.sender);
        site.step();
        assert!(matches!(site.delivery.phase, Phase::Ending | Phase::Over));
    }
}
