//! Hashes that were not known when it began: which are made, and which are still to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Delivery;
use crate::files::message::{MOST_HASHES, Said, emit_hashes};
use crate::files::scan::LARGE;
use manycast_proto::norm::{Content, Object, Sender};

/// How often hashes are told: several at once.
const OFTEN: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// The files that are to be read for their hashes, and those that are being read.
    wanted: Vec<u32>,
    pub(super) making: BTreeSet<u32>,
    /// Those that are to be told, and when others were.
    due: BTreeSet<u32>,
    told: BTreeMap<u32, Instant>,
    last: Option<Instant>,
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

    /// Files are read for their hashes.
    pub(in crate::files) const fn reads(&mut self, now: Instant) {
        self.progress = now;
    }

    /// The hash of a file is known.
    pub(in crate::files) fn hashed(&mut self, index: u32, hash: [u8; 32], now: Instant) {
        self.progress = now;
        self.hashes.making.remove(&index);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        entry.hash = Some(hash);
        // Those of short files go with them, and are told where somebody waits for them.
        if entry.size >= LARGE {
            self.hashes.due.insert(index);
        }
    }

    /// The hash of a file will not be known.
    pub(super) fn forget_hash(&mut self, index: u32) {
        self.hashes.making.remove(&index);
        self.hashes.due.remove(&index);
    }

    /// A receiver needs the hash of a file. One that is being sent has it when all of it was.
    pub(super) fn needs_hash(&mut self, index: u32) {
        let at = index as usize;
        if self.unreadable[at].is_some() {
            return;
        }
        if !self.is_unhashed(index) {
            self.hashes.due.insert(index);
        } else if !self.flights.iter().any(|flight| flight.index == index) {
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
        let is_told = |index: &u32| told.get(index).is_some_and(|at| is_soon(at, pause));
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
        if sender.enqueue(object).is_ok() {
            hashes.last = Some(now);
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

    fn entry(path: &str, size: u64) -> Entry {
        Entry {
            path: path.to_owned(),
            is_folder: false,
            mode: 0o644,
            modified: (0, 0),
            size,
            hash: None,
        }
    }

    /// A short file waits for its hash. That of a long one goes right behind it once it is known, and
    /// again, but not at once, to who says that it is needed.
    #[test]
    fn hashes_are_told_until_they_are_there() {
        let mut now = Instant::now();
        let config = SenderConfig {
            grtt: Duration::from_millis(10),
            ..SenderConfig::new(([239, 1, 1, 1], 5).into(), 1)
        };
        let mut sender = Sender::new(config, [1; 32], now);
        let entries = vec![entry("short", 5), entry("long", LARGE), entry("last", 5)];
        let expected = Expected {
            names: vec!["r".to_owned()],
            count: 1,
            at_host: false,
        };
        let mut delivery = Delivery::new(9, entries, expected, Duration::from_secs(5), now);
        assert_eq!(delivery.take_wanted(), [0, 2]);
        let mut number = 0;
        let mut report = |delivery: &mut Delivery, statuses: [Status; 3], now| {
            number += 1;
            let mut report = Report {
                name: "r".to_owned(),
                number,
                has_manifest: true,
                ..Report::default()
            };
            report.set_statuses(0, &statuses);
            delivery.take(node_of("r"), &report.emit(9), now).unwrap();
        };
        report(&mut delivery, [Status::Missing; 3], now);
        for _ in 0..2 {
            delivery.step(&mut sender, now);
        }
        assert!(delivery.flights.is_empty());
        delivery.hashed(0, [1; 32], now);
        delivery.hashed(2, [1; 32], now);
        delivery.step(&mut sender, now);
        let flights = |delivery: &Delivery| {
            let flights = delivery.flights.iter().map(|flight| flight.index);
            flights.collect::<Vec<_>>()
        };
        assert_eq!(flights(&delivery), [0, 1]);
        // It is made of what is sent, and of nothing else.
        report(
            &mut delivery,
            [Status::Coming, Status::Unhashed, Status::Missing],
            now,
        );
        assert_eq!(delivery.take_wanted(), []);
        assert!(delivery.is_hashed_as_sent(1) && delivery.was_read(1));
        assert!(!delivery.is_hashed_as_sent(1) && !delivery.was_read(1));
        delivery.hashed(1, [2; 32], now);
        let told = |delivery: &Delivery| delivery.hashes.told.get(&1).copied();
        assert_eq!(told(&delivery), None);
        delivery.step(&mut sender, now);
        assert_eq!(told(&delivery), Some(now));
        assert_eq!(flights(&delivery), [0, 1, 2]);
        let first = now;
        for milliseconds in [100, 500, 2000] {
            now = first + Duration::from_millis(milliseconds);
            report(
                &mut delivery,
                [Status::Verified, Status::Unhashed, Status::Coming],
                now,
            );
            delivery.step(&mut sender, now);
            let last = if milliseconds == 2000 { now } else { first };
            assert_eq!(told(&delivery), Some(last), "{milliseconds}");
        }
    }
}
