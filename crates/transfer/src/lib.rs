//! Files over UDP.
//!
//! [`files`] sends files to many, reliably, and tells who has what; [`stream`] a stream of bytes;
//! [`tftp`] reads and writes files as devices do that boot; one server serves many, each by itself or
//! all by multicast.

#[cfg(feature = "tokio")]
mod aside;
pub mod files;
mod folder;
mod limits;
mod remedy;
pub mod stream;
pub mod tftp;

pub use files::{receive_files, send_files};
