//! Numbered datagrams between two hosts that want to know what lies between them.
//!
//! One end asks, the other serves. All is asked for by unicast; what is counted goes by unicast or
//! to a group, as asked, in either direction. The protocol is the project's own.
//!
//! ```text
//!   Client                                                        Server
//!     │ ── Hello: group, port ─────────────────────────────────────▶ │
//!     │ ◀───────────────────────────────────────── Welcome: cookie ──│  keeps nothing yet
//!     │ ── Hello: group, port, cookie ─────────────────────────────▶ │
//!     │ ◀───────────────────────────────────────── Welcome: cookie ──│  joins the group
//!     │                                                              │
//!     │ ── Send: so many, so long, hop limit, to the group or here ─▶ │
//!     │ ◀══════════════════════════ Data 0, 1, 2 … (group or host) ══│
//!     │ ◀───────────────────────────────────────────────────── Sent ─│
//!     │                                                              │
//!     │ ══ Data 0, 1, 2 … (group or host) ═════════════════════════▶ │
//!     │ ── Count ──────────────────────────────────────────────────▶ │
//!     │ ◀────────────────────────────── Counted: by group, by host ──│
//!     │                                                              │
//!     │ ── Watch ──────────────────────────────────────────────────▶ │  reads its counters
//!     │ ◀───────────────────────────────────────────────── Watching ─│
//!     │ ══ Data 0, 1, 2 … (group) ═════════════════════════════════▶ │
//!     │ ── Examine: so many were sent ─────────────────────────────▶ │  examines its host
//!     │ ◀────────────────────────────── Examined: a report so long ──│
//!     │ ── Read: piece 0, 1 … (as long as the piece) ──────────────▶ │
//!     │ ◀──────────────────────────────────────────── Chunk 0, 1 … ──│
//!     │ ── Bye ────────────────────────────────────────────────────▶ │  leaves the group
//! ```
//!
//! Of each request the client waits for the answer, and asks again where there is none; the server
//! gives the same answer again, and does nothing twice. Of data the client waits for more until
//! there was none for a while, both of its own and of the server's.
//!
//! Both ends send the datagrams of a round two milliseconds apart, so that no queue decides the outcome,
//! and each by itself, so that the counters of the hosts tell them apart. To a group they go by a socket
//! that is opened for the round alone, as another program of the host would send them. What a host finds
//! on itself may take a while: meanwhile the server goes on with other clients.
//!
//! What keeps a server from being misused:
//!
//! * It sends nothing but a `Welcome`, which is no longer than the `Hello`, and keeps nothing at all,
//!   until the cookie in it has come back. The cookie is good for one address and port, one group and
//!   source, and two minutes at most. So nobody can ask in another host's name, nor drive out those
//!   who ask in their own; and what is refused leaves nothing behind that could be used.
//! * It sends to the asking address and to the agreed group alone, and at most
//!   [`ServerConfig::rate`] datagrams a second.
//! * With a key, each message carries an HMAC-SHA-256 (RFC 2104) over all of it, and those with
//!   another are ignored. Nonce and cookie are new in each session, so old messages are worth
//!   nothing in another, nor is a session that has ended begun again by its own messages.
//! * No answer is longer than its request.
//! * It remembers a few sessions only, a quarter of them for one host at most (of IPv6, for one /64,
//!   of which a host has all addresses), and each for a minute without a new request; an examination
//!   counts as much as a second's worth of datagrams.
//!
//! What an examination finds is told to whoever may ask: without a key, to anybody who reaches the
//! port. What a server tells of its host is taken for what it says, but not for what it does to a
//! terminal: see [`Report`].

mod arrivals;
mod client;
mod config;
mod cookie;
mod event;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod message;
mod report;
mod round;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use config::{ClientConfig, DEFAULT_PORT, Key, Round, ServerConfig};
pub use event::{Arrival, ClientEvent, Inquiry, ServerEvent};
pub use message::{Burst, Counts, MAX_COUNT, MIN_SIZE, Refusal};
pub use report::{
    Finding, MAX_EVIDENCE, MAX_FINDINGS, MAX_REPORT, MAX_STEPS, MAX_TEXT, Report, Step,
};
pub use server::{Server, ServerStats};
