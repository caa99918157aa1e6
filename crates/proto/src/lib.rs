//! Protocols of `manycast` as state machines: no I/O and no clock.
//!
//! A protocol is told the time and what happens, and says what it wants: see [`Protocol`]. The
//! same code then runs under a blocking driver, an asynchronous one, a simulator in virtual time,
//! and a fuzzer.
//!
//! * [`ask`]: asking a host or a group, and answering.
//! * [`measure`]: what a network does to a stream: loss, duplicates, reordering, delay.
//! * `norm` (a feature that is off unless asked for): objects to many receivers, reliably.
//! * [`probe`]: what lies between two hosts, and what the other one finds on itself.
//! * `soap_udp`: messages of SOAP in datagrams, with the feature `soap-udp`.
//! * `ssdp`: what devices say of themselves, and finding them, with the feature of this name.
//! * `tftp`: reading and writing files, with the feature of this name.
//! * `ws_discovery`: what printers, cameras and Windows hosts say of themselves, and finding them, with the feature
//!   `ws-discovery`.
//!
//! [`Combined`] makes one of two that share their sockets.
//!
//! Protocols are made of [`wire`] (cursors over the bytes of a datagram), [`timers`] (deadlines, each
//! with its reason), [`buffers`] (payload memory that is used again), [`pace`] (how much may be sent
//! when), [`refusal`] (a host that refuses for long) and [`random`] (randomness that follows from a
//! seed).
//!
//! # Anatomy
//!
//! Every protocol is a folder with the same files, so who knows one finds their way in all:
//!
//! | file | holds |
//! | --- | --- |
//! | `mod.rs` | what it is, a drawing of the exchange, a table of the RFC's sections: done, not done, deviates |
//! | `message.rs` | the wire format: `parse` and `emit`; none where the payload is the application's, as in [`ask`] |
//! | `client.rs` and `server.rs`, or `sender.rs` and `receiver.rs` | the roles, one state machine each, in the RFC's own words |
//! | `config.rs` | what can be chosen: plain structs with defaults, and the RFC's constant and section at each field |
//! | `tests.rs` | its behaviour, step by step; whole networks are in the crate's `tests/`, on the simulator of `lab` |
//!
//! And every role looks alike:
//!
//! * `new(config, seed, now)` makes it; what it does not need is left out. Nothing is sent before
//!   [`Protocol::start`].
//! * Commands are methods with the domain's verb.
//! * It tells of itself by an enum of events, and by `stats()`, a plain struct of counters.
//! * What a peer sends wrongly is counted there and traced, and never is an error.
//! * RFCs are cited above the code that obeys them: `// RFC 3550 §6.4.1: jitter`.

#[cfg(feature = "ask")]
pub mod ask;
pub mod buffers;
#[cfg(feature = "measure")]
pub mod measure;
#[cfg(feature = "norm")]
pub mod norm;
pub mod pace;
#[cfg(feature = "probe")]
pub mod probe;
pub mod random;
pub mod refusal;
#[cfg(feature = "soap-udp")]
pub mod soap_udp;
#[cfg(feature = "ssdp")]
pub mod ssdp;
#[cfg(feature = "tftp")]
pub mod tftp;
pub mod timers;
pub mod wire;
#[cfg(feature = "ws-discovery")]
pub mod ws_discovery;

#[cfg(any(feature = "ssdp", feature = "ws-discovery"))]
mod cache;
mod combine;
#[cfg(any(feature = "ssdp", feature = "ws-discovery"))]
mod local;
mod network;
#[cfg(any(feature = "ssdp", feature = "ws-discovery"))]
mod places;
mod protocol;
#[cfg(any(feature = "ssdp", feature = "ws-discovery"))]
mod told;

pub use combine::{Combined, Either};
pub use network::{NetworkEvent, Request};
pub use protocol::{Output, Protocol};
