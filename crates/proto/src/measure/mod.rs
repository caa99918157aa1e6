//! Measuring a stream: loss, duplicates, reordering, delay, jitter and throughput.
//!
//! The sender numbers its datagrams and stamps them with its time; the receiver draws its
//! conclusions. The format is that of iperf 2, so either end can be `iperf -u`.
//!
//! ```text
//!   Sender                                                    Receiver
//!     │ ── 1, time ──▶ host or group ──────────────────────────▶ │
//!     │ ── 2, time ────────────────────────────────────────────▶ │  one stream for each sender,
//!     │ ── 3, time ────────────────────────────────────────────▶ │  destination and interface
//!     │      …                                                   │
//!     │ ── -n, time ───────────────────────────────────────────▶ │  the end: n datagrams in all
//!     │ ◀─────────── report: bytes, time, lost, late, jitter ─── │  (a host; never a group)
//!     │ ── -n again, if there is no report ────────────────────▶ │
//! ```
//!
//! * [`Sender`] numbers datagrams, as fast as it goes or at a rate that [`Pacer`](crate::pace)
//!   holds.
//! * [`Receiver`] measures all streams that come, in [`StreamReport`]s. A smaller number that was sent
//!   later than a greater one begins another stream: its sender was started anew.
//!
//! | source | what it says | here |
//! | --- | --- | --- |
//! | iperf 2.1 | number, seconds, microseconds; the last number is negative; numbers of 63 bits | done |
//! | iperf 2.1 | a host answers the last datagram with a report | done, without its table of delays |
//! | iperf 2.0 | reports that stand 4 bytes further ahead | not done |
//! | iperf 2.1 | the test header: tests both ways, bursts, isochronous streams | not done; it is ignored |
//! | RFC 4737 §3 | reordered is what comes after a greater number | done, within 16,384 numbers |
//! | RFC 3393, RFC 5481 §4.2 | delay variation is the delay beyond the least | done, with percentiles |
//! | RFC 3550 §6.4.1, §A.8 | jitter is a running mean of differences in delay | done, in integers |
//! | RFC 7680 §2 | what is lost and what is late is told apart by a time | deviates: late is what comes before the end |

mod config;
mod histogram;
mod message;
mod receiver;
mod sender;
mod sequence;
mod stream;
#[cfg(test)]
mod tests;

pub use config::{ReceiverConfig, SenderConfig};
pub use histogram::{Bucket, Histogram};
pub use message::{Header, MIN_SIZE, ServerReport};
pub use receiver::{Receiver, ReceiverEvent, ReceiverStats};
pub use sender::{Sender, SenderEvent, SenderStats};
pub use stream::{Counters, StreamReport};
