//! TFTP (RFC 1350, with the options of RFC 2347 to 2349, 7440 and 2090): [`get`] a file from a
//! server, [`put`] one to it, or be a [`Server`] for a folder.
//!
//! ```
//! use manycast::transfer::tftp::{self, Options, Server, ServerOptions};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::write(folder.join("firmware.bin"), "new")?;
//! let server = Server::open(folder, &["127.0.0.1:0".parse()?], ServerOptions::default())?;
//! let port = server.local_addrs()[0].port();
//! std::thread::spawn(move || server.run(|_| {}));
//!
//! let from = format!("127.0.0.1:{port}/firmware.bin").parse()?;
//! let report = tftp::get(&from, folder.join("copy"), &Options::default())?;
//! assert_eq!((report.bytes, std::fs::read(folder.join("copy"))?), (3, b"new".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file comes under a temporary name beside its own, and is renamed once it is complete, on both
//! ends. Whatever ends a transfer before leaves nothing under the name; where the process itself was
//! killed, the temporary file stays, `.….part`.
//!
//! With the feature `tokio` the module `tokio` has the same as futures.

#[cfg(feature = "tokio")]
pub mod tokio;

mod client;
mod disk;
mod end;
mod error;
mod file;
mod location;
mod server;

pub use client::{Options, Progress, Report, Transfer, get, put};
pub use error::Error;
pub use location::Location;
pub use server::{Event, Record, Server, ServerOptions};
