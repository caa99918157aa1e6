//! Files to many, reliably, by NORM (RFC 5740): [`send_files`] to a group or a host, and
//! [`receive_files`] into a folder.
//!
//! What is lost is asked for and repaired; what is complete is verified by its hash (BLAKE3), and only
//! then has its name. Receivers report, so the sender ends with an account of who has what. `docs/files.md`
//! says how.
//!
//! What a receiver keeps in memory does not depend on the length of files: at most 128 MiB of what
//! is not through, 32 MiB that wait to be written, and for each of at most four senders 16 MiB of
//! manifest and 32 MiB of what is not known yet.
//!
//! There is no authentication and no encryption: whoever can send to the address can write into the
//! folder, within [`ReceiveOptions::limit`].
//!
//! With the feature `tokio` the module `tokio` has the same as futures.

#[cfg(feature = "tokio")]
pub mod tokio;

mod delivery;
mod entry;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
mod inbox;
mod message;
mod partial;
mod peers;
mod receive;
mod report;
mod scan;
mod send;
mod session;
mod stop;
mod store;

pub use error::Error;
pub use receive::{
    Delivered, ReceiveEvent, ReceiveOptions, ReceiveReport, Receiving, receive_files,
};
pub use report::{
    FileInfo, FileState, Progress, ReceiverProgress, ReceiverReport, Sample, SendReport,
};
pub use send::{SendEvent, SendOptions, Sending, send_files};
pub use stop::Stop;

/// What streams have in common with files.
pub(crate) mod inner {
    pub(crate) use super::inbox::{Inbox, Mail};
    pub(crate) use super::message::node_of;
    pub(crate) use super::send::{check_name, open, segment};
    pub(crate) use super::stop::LOOK;
}

/// The shortest segment: the longest entry fits, and it goes through any path of IPv6 (RFC 8200 §5).
const SEGMENT_LEAST: u16 = 1100;
