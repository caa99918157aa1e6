//! What is told of transfers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::message::{FileRequest, Refusal};

/// What both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The bytes in a block.
    pub block_size: u16,
    /// The blocks that are acknowledged together.
    pub window: u16,
    /// The bytes in the file as they are on the wire, where the other end has told.
    pub transfer_size: Option<u64>,
    /// The time-out in seconds, where it was agreed on.
    pub timeout: Option<u8>,
    /// The group that the data are sent to, where it is so.
    pub group: Option<SocketAddr>,
}

/// What was counted of one transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The bytes of the file that went over: acknowledged, or received.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Sent: blocks that were sent again. Received: how often one was missing.
    pub again: u64,
    /// Blocks or acknowledgments that had come before.
    pub duplicates: u64,
    /// How often nothing came for so long that something was sent again.
    pub timeouts: u64,
    /// The round trip as it was measured (RFC 6298), if it was.
    pub round_trip: Option<Duration>,
}

/// Why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The peer refused or ended it.
    Refused(Refusal),
    /// The application of this end ended it, and the peer was told.
    Aborted(Refusal),
    /// Nothing came of the peer for so long.
    Silent(Duration),
    /// Nobody listens on the port of the peer.
    Unreachable(SocketAddr),
    /// No way leads to the host of the peer, or it is not there: what the kernel said as an errno.
    HostUnreachable {
        /// The peer.
        peer: SocketAddr,
        /// `EHOSTUNREACH` or `ENETUNREACH` (`icmp(7)`).
        errno: i32,
    },
    /// The peer answered with options that were not asked for, or make no sense.
    BadOptions,
    /// The port or the group for it could not be had.
    Network(String),
    /// A newer request took its place before the peer had answered.
    Displaced,
    /// It took longer than is allowed.
    TooLong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the other end says: {refusal}"),
            Self::Aborted(refusal) => refusal.fmt(f),
            Self::Silent(time) => write!(f, "nothing came for {:.1} s", time.as_secs_f64()),
            Self::Unreachable(peer) => write!(f, "nobody listens on {peer}"),
            Self::HostUnreachable { errno, .. } => io::Error::from_raw_os_error(*errno).fmt(f),
            Self::BadOptions => f.write_str("the other end answered with options not asked for"),
            Self::Network(message) => f.write_str(message),
            Self::Displaced => f.write_str("the other end never answered"),
            Self::TooLong => f.write_str("it took longer than is allowed"),
        }
    }
}

impl std::error::Error for Failure {}

/// What a [`Client`](super::Client) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server has answered.
    Agreed(Agreed),
    /// To write: wants this part of the file. [`Client::provide`](super::Client::provide) hands it
    /// over, shorter than asked for only where the file ends. Parts are wanted in order.
    Read {
        /// Where it begins, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        length: usize,
    },
    /// To read: this part of the file has come. Parts come in order, but by multicast.
    /// [`Client::written`](super::Client::written) tells when it is written.
    Write {
        /// Where it begins, in bytes.
        offset: u64,
        /// What it is.
        bytes: Bytes,
    },
    /// To read: all has come. [`Client::stored`](super::Client::stored) acknowledges it.
    Complete {
        /// The bytes in the file as they were on the wire.
        length: u64,
    },
    /// It is over. What follows are answers to what comes late.
    Ended {
        /// What was counted.
        summary: Summary,
        /// How it ended.
        result: Result<(), Failure>,
    },
}

/// Which transfer of a [`Server`](super::Server).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub(super) u64);

impl TransferId {
    /// The number: the first is 0.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a [`Server`](super::Server) tells. The first of a transfer is
/// [`Requested`](Self::Requested), the last is [`Ended`](Self::Ended).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Somebody asks for a file. [`Server::accept`](super::Server::accept) or
    /// [`Server::refuse`](super::Server::refuse) answers.
    Requested {
        /// The transfer.
        id: TransferId,
        /// Who asks.
        peer: SocketAddr,
        /// For what.
        request: FileRequest,
    },
    /// Both ends have agreed, and the first answer goes out.
    Agreed {
        /// The transfer.
        id: TransferId,
        /// On what.
        agreed: Agreed,
    },
    /// A file that is read: wants this part of it, as [`ClientEvent::Read`].
    Read {
        /// The transfer.
        id: TransferId,
        /// Where it begins, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        length: usize,
    },
    /// A file that is written: this part has come, as [`ClientEvent::Write`].
    Write {
        /// The transfer.
        id: TransferId,
        /// Where it begins, in bytes.
        offset: u64,
        /// What it is.
        bytes: Bytes,
    },
    /// A file that is written: all has come, as [`ClientEvent::Complete`].
    Complete {
        /// The transfer.
        id: TransferId,
        /// The bytes in the file as they were on the wire.
        length: u64,
    },
    /// It is over.
    Ended {
        /// The transfer.
        id: TransferId,
        /// What was counted.
        summary: Summary,
        /// How it ended.
        result: Result<(), Failure>,
    },
}
