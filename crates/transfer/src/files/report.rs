//! What came of a delivery: for each receiver, each file.

use std::time::Duration;

/// A file or folder that was to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Relative, with `/` between its parts.
    pub path: String,
    /// Its length in bytes; 0 of a folder.
    pub size: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// What became of a file at a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileState {
    /// It is there, whole, with the hash that it has at the sender.
    Verified,
    /// The receiver does not take it, and says why; or the sender could not read it.
    Failed(String),
    /// It is not complete.
    Incomplete,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SendReport {
    /// What was to be sent, in this order.
    pub files: Vec<FileInfo>,
    /// The receivers that were expected or heard of, by their names.
    pub receivers: Vec<ReceiverReport>,
    /// How many receivers were expected.
    pub expected: usize,
    /// The bytes of all files.
    pub bytes: u64,
    /// Those that were sent, whatever was repaired: fewer than all where all receivers had some before,
    /// or where it ended early.
    pub sent: u64,
    /// For how long it lasted, from the first datagram on.
    pub elapsed: Duration,
    /// Datagrams with data that were sent for the first time, and that repaired something.
    pub datagrams: u64,
    /// See `datagrams`.
    pub repairs: u64,
    /// How often receivers said what they missed.
    pub nacks: u64,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

impl SendReport {
    /// Whether all receivers that were expected have verified every file; where none was expected,
    /// whether all do that were heard of.
    pub fn is_complete(&self) -> bool {
        let complete = self.receivers.iter().filter(|it| it.is_complete());
        let named = self
            .receivers
            .iter()
            .filter(|it| it.is_named || self.expected == 0);
        !self.stopped
            && complete.count() >= self.expected
            && named.clone().all(ReceiverReport::is_complete)
    }
}

/// What came of a delivery at one receiver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceiverReport {
    /// Its name.
    pub name: String,
    /// Whether it was expected by this name.
    pub is_named: bool,
    /// Whether it was heard of.
    pub is_heard: bool,
    /// For how long it was not heard at the end; since the first datagram, where it was never.
    pub silent: Duration,
    /// What became of each file, in the order of [`SendReport::files`].
    pub files: Vec<FileState>,
    /// The part of the datagrams that it missed, from 0 to 1.
    pub loss: f64,
    /// How it went over time.
    pub samples: Vec<Sample>,
}

impl ReceiverReport {
    /// Whether it has verified every file.
    pub fn is_complete(&self) -> bool {
        self.is_heard && self.files.iter().all(|file| *file == FileState::Verified)
    }
}

/// How it went at a receiver from the sample before until then.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// When, since the first datagram.
    pub at: Duration,
    /// The bits of files that it took in a second.
    pub rate: f64,
    /// The part of the datagrams that it missed, from 0 to 1.
    pub loss: f64,
}

/// How far a delivery is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Since the first datagram.
    pub elapsed: Duration,
    /// How many files and folders there are.
    pub files: usize,
    /// The bytes of all files.
    pub bytes: u64,
    /// The bytes that were sent for the first time.
    pub sent: u64,
    /// Datagrams that were sent for the first time, and that repaired something.
    pub datagrams: u64,
    /// See `datagrams`.
    pub repairs: u64,
    /// The receivers that were heard of.
    pub receivers: Vec<ReceiverProgress>,
    /// The names of those that are expected and were not heard of.
    pub absent: Vec<String>,
    /// How long it will last until the slowest receiver has all, at its rate of late; `None` where
    /// that is not known.
    pub left: Option<Duration>,
}

impl Progress {
    /// Whether so much is repaired, for so long, that a lower rate is perhaps faster.
    pub(super) fn is_overrun(&self) -> bool {
        self.elapsed >= Duration::from_secs(1) && self.repairs > self.datagrams / 2
    }
}

/// How far a receiver is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceiverProgress {
    /// Its name.
    pub name: String,
    /// For how long it was not heard. Who is at it speaks at least every few seconds.
    pub silent: Duration,
    /// The files that it has verified.
    pub verified: usize,
    /// The files that it does not take.
    pub failed: usize,
    /// The bytes that it has.
    pub bytes: u64,
    /// The bits of files that it takes in a second, of late.
    pub rate: f64,
    /// The part of the datagrams that it missed, of late.
    pub loss: f64,
}
