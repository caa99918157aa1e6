//! TFTP: reading and writing files over UDP, as devices do that boot, and many clients at once.
//!
//! ```text
//!   Client                                                        Server
//!     │ ── Read or write request: name, mode, options ─▶ (port 69) │
//!     │ ◀──────────────── Option acknowledgment (a port of its own) │
//!     │                                                             │
//!  to read:                                                         │
//!     │ ── Acknowledgment 0 ──────────────────────────────────────▶ │
//!     │ ◀════════════════════════════════════ Data 1, 2 … window ══ │
//!     │ ── Acknowledgment of the window's last block ─────────────▶ │
//!     │ ◀═══════════════════════════ Data, the last one not full ══ │
//!     │ ── Acknowledgment ────────────────────────────────────────▶ │
//!  to write:                                                        │
//!     │ ══ Data 1, 2 … window ════════════════════════════════════▶ │
//!     │ ◀─────────────── Acknowledgment of the window's last block ─│
//! ```
//!
//! By multicast the data go to a group; the first client acknowledges, and when it has all, the
//! server appoints the next one, which asks for what it has missed.
//!
//! # What is done
//!
//! | RFC | section | |
//! | --- | --- | --- |
//! | 1350 | §2, §5 packets | done |
//! | 1350 | §1 modes | octet and netascii ([`netascii`], which the application applies); mail is refused, as RFC 1123 §4.2.3.3 allows |
//! | 1350 | §4 transfer identifiers | done; strangers get error 5. [`ServerConfig::single_port`] deviates: all transfers have the port that was asked |
//! | 1350 | §6 normal termination | done: whoever has acknowledged the last block waits three time-outs; where nothing was lost, it acknowledges twice |
//! | 1123 | §4.2.3.1 Sorcerer's Apprentice | done: no acknowledgment has a block sent twice within a round trip |
//! | 1123 | §4.2.3.2 time-out algorithms | done: RFC 6298, with 100 ms for the least time-out where that has 1 s |
//! | 1123 | §4.2.3.5 broadcast requests | ignored |
//! | 2347 | options | done; a client asks again without them where the server refuses them |
//! | 2348 | block size | done, 8 to 65,464 |
//! | 2349 | time-out and transfer size | done; the time-out bounds what is measured |
//! | 7440 | §4 window size | done; up to 32,767 blocks, and as many bytes as [`ServerConfig::window_bytes`] allows. Fewer blocks go at once where many are lost |
//! | 2090 | multicast | done, for files of at most 65,535 blocks; a longer one goes by unicast |
//!
//! What follows on block 65,535 is not said by any of them: see [`RollOver`].
//!
//! # Loss
//!
//! RFC 7440 has everything after a missing block sent again. Here the receiver keeps what came
//! early, and acknowledges it once the missing block has come; the sender tries with the missing
//! block alone and goes on behind what it has sent. With a peer that keeps nothing it notices so, and
//! sends all again.

mod client;
mod config;
mod course;
mod event;
mod exchange;
mod following;
mod message;
pub mod netascii;
mod numbering;
mod receiving;
mod round_trip;
mod sending;
mod server;

pub use client::{Client, ClientStats};
pub use config::{
    BLOCK_SIZE, ClientConfig, MAX_BLOCK_SIZE, MULTICAST_PORT, PORT, ServerConfig, Timing,
};
pub use event::{Agreed, ClientEvent, Failure, ServerEvent, Summary, TransferId};
pub use message::{ErrorCode, FileRequest, Message, Mode, Multicast, Options, Refusal};
pub use numbering::RollOver;
pub use server::{Server, ServerStats};
