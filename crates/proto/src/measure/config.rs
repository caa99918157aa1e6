//! What can be chosen.

use std::net::SocketAddr;
use std::time::Duration;

use crate::pace::Pacer;

/// What a [`Sender`](super::Sender) sends, how fast and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// The group or host, and its port.
    pub destination: SocketAddr,
    /// Length of each payload in bytes, from [`MIN_SIZE`](super::MIN_SIZE) to
    /// [`MAX_PAYLOAD`](manycast_types::MAX_PAYLOAD); 1,316 by default, which is seven packets of
    /// an MPEG transport stream. A size out of range is taken for the nearest one within.
    pub size: usize,
    /// Payload bits a second; `None` is as fast as it goes. 1 Mbit/s by default, as iperf does.
    pub rate: Option<u64>,
    /// The longest burst in which a rate is held, as time at that rate; 1 ms by default.
    pub burst: Duration,
    /// How long to send; `None` has no end. 10 s by default, as iperf does.
    pub duration: Option<Duration>,
    /// How many datagrams to send, at least 1; `None`, the default, is as many as it takes.
    pub count: Option<u64>,
}

impl SenderConfig {
    /// Sends 1 Mbit/s to `destination` for ten seconds.
    pub const fn new(destination: SocketAddr) -> Self {
        Self {
            destination,
            size: 1316,
            rate: Some(1_000_000),
            burst: Pacer::BURST,
            duration: Some(Duration::from_secs(10)),
            count: None,
        }
    }
}

/// What a [`Receiver`](super::Receiver) tells, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// How often to tell of each stream; 1 s by default, zero for never.
    pub interval: Duration,
    /// When to end; `None`, the default, never.
    pub duration: Option<Duration>,
    /// How many senders are expected: it ends a quarter of a second after as many have ended, each
    /// of them by two datagrams at least. `None`, the default, does not end by it.
    pub expect: Option<usize>,
    /// How many streams are measured at most, 256 by default. Each takes up to 80 KB. Further ones
    /// need one that makes room, see [`Receiver`](super::Receiver); while there is none, their
    /// datagrams are counted in [`ReceiverStats::untracked`](super::ReceiverStats::untracked).
    pub max_streams: usize,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            duration: None,
            expect: None,
            max_streams: 256,
        }
    }
}
