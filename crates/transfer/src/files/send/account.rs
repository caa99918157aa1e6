//! What is told of a delivery: how far it is, and its report.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use manycast_proto::norm::ObjectId;

use super::Run;
use crate::files::delivery::Delivery;
use crate::files::message::Status;
use crate::files::peers::Peer;
use crate::files::report::{
    FileInfo, FileState, Progress, ReceiverProgress, ReceiverReport, SendReport,
};

/// How many bytes of the files were sent, not counting again what was sent again.
#[derive(Debug, Default)]
pub(super) struct FirstSent {
    /// The files that were sent whole, and their bytes.
    files: HashSet<u32>,
    bytes: u64,
    /// How many datagrams had been sent when the last object had been sent whole.
    datagrams: u64,
}

impl Run {
    /// All of an object was sent once.
    pub(super) fn was_sent(&mut self, object: ObjectId) {
        self.first_sent.datagrams = self.driver.protocol().protocol.stats().datagrams;
        if let Some(index) = self.delivery.entry_of(object)
            && self.first_sent.files.insert(index)
        {
            self.first_sent.bytes += self.delivery.entries()[index as usize].size;
        }
    }

    /// The bytes of files that were sent: of the one on its way as many as were in the datagrams since
    /// the object before it.
    fn sent(&self) -> u64 {
        let stats = self.driver.protocol().protocol.stats();
        let of_it = match self.delivery.on_its_way() {
            Some(index) if !self.first_sent.files.contains(&index) => {
                let datagrams = stats.datagrams.saturating_sub(self.first_sent.datagrams);
                let size = self.delivery.entries()[index as usize].size;
                (datagrams * self.segment).min(size)
            }
            _ => 0,
        };
        self.first_sent.bytes + of_it
    }

    pub(super) fn progress(&self, now: Instant) -> Progress {
        let stats = self.driver.protocol().protocol.stats();
        let bytes = self.delivery.bytes();
        let heard = self.delivery.peers.known.values();
        let receivers: Vec<_> = heard
            .filter(|peer| peer.heard.is_some())
            .map(|peer| {
                let (rate, loss) = peer.of_late();
                ReceiverProgress {
                    name: peer.name.clone(),
                    silent: self.silent(peer, now),
                    verified: peer.count(Status::Verified),
                    failed: peer.count(Status::Failed),
                    bytes: peer.bytes,
                    rate,
                    loss,
                }
            })
            .collect();
        let left = receivers.iter().map(|receiver| {
            let missing = bytes.saturating_sub(receiver.bytes) as f64 * 8.0;
            match receiver.rate {
                rate if rate > 0.0 => Duration::try_from_secs_f64(missing / rate).ok(),
                _ => (missing == 0.0).then_some(Duration::ZERO),
            }
        });
        let left = left.collect::<Option<Vec<_>>>();
        let absent = self.delivery.peers.known.values();
        let absent = absent.filter(|peer| peer.is_named && peer.heard.is_none());
        Progress {
            elapsed: now.saturating_duration_since(self.delivery.begun()),
            files: self.delivery.entries().len(),
            bytes,
            sent: self.sent(),
            datagrams: stats.datagrams,
            repairs: stats.repairs,
            receivers,
            absent: absent.map(|peer| peer.name.clone()).collect(),
            left: left.and_then(|left| left.into_iter().max()),
        }
    }

    /// For how long a receiver was not heard.
    fn silent(&self, peer: &Peer, now: Instant) -> Duration {
        now.saturating_duration_since(peer.heard.unwrap_or_else(|| self.delivery.begun()))
    }

    pub(super) fn report(&self) -> SendReport {
        let stats = self.driver.protocol().protocol.stats();
        let entries = self.delivery.entries();
        let receivers = self
            .delivery
            .peers
            .known
            .values()
            .map(|peer| ReceiverReport {
                name: peer.name.clone(),
                is_named: peer.is_named,
                is_heard: peer.heard.is_some(),
                silent: self.silent(peer, self.ended),
                files: (0..entries.len())
                    .map(|index| state(&self.delivery, peer, index))
                    .collect(),
                loss: peer.loss(),
                samples: peer.samples(),
            });
        let mut receivers: Vec<_> = receivers.collect();
        receivers.sort_by(|one, other| one.name.cmp(&other.name));
        SendReport {
            files: entries
                .iter()
                .map(|entry| FileInfo {
                    path: entry.path.clone(),
                    size: entry.size,
                    is_folder: entry.is_folder,
                })
                .collect(),
            receivers,
            expected: self.delivery.expected().count,
            bytes: self.delivery.bytes(),
            sent: self.sent(),
            elapsed: self.ended.saturating_duration_since(self.delivery.begun()),
            datagrams: stats.datagrams,
            repairs: stats.repairs,
            nacks: stats.nacks,
            stopped: self.stop.is_requested(),
        }
    }
}

pub(super) fn state(delivery: &Delivery, peer: &Peer, index: usize) -> FileState {
    match delivery.status(peer, index) {
        (Status::Verified, _) => FileState::Verified,
        (Status::Failed, why) => {
            FileState::Failed(why.unwrap_or_else(|| "the receiver did not say why".to_owned()))
        }
        _ => FileState::Incomplete,
    }
}
