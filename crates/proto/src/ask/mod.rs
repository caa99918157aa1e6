//! Asking a host or a group, and answering.
//!
//! The smallest protocol there is: a question is one datagram, an answer another; neither has a
//! format of its own. It works with whatever answers a datagram with a datagram, such as the Echo
//! Protocol of RFC 862 and its many descendants.
//!
//! ```text
//!   Client                                              Responder, one or many
//!     │ ── question ──▶ host or group ─────────────────▶ │
//!     │                                                  │  from the address that was asked
//!     │ ◀───────────────────── answer: prefix, question ─│  (a group: from its unicast address)
//!     │
//!     │    no answer within the time-out
//!     │ ── question again ─────────────────────────────▶ │  each wait twice as long as the last
//!     │ ◀───────────────────────────────────── answer ───│
//!     │
//!     ▼ finished: enough answers, a time-out, or a refusal
//! ```
//!
//! * [`Client`] asks, asks again while answers are wanting, and gathers what comes.
//! * [`Responder`] answers, and ends the loop of two responders that answer each other's
//!   answers.
//!
//! | source | what it says | here |
//! | --- | --- | --- |
//! | RFC 862 | an answer is the question, sent back | done; a prefix may be added |
//! | RFC 8085 §3.1.1 | the first time-out is a second, and each is longer than the last | done; the time-out is configurable |
//! | RFC 7252 §4.2 | those who ask at the same moment spread their retries | done, with a factor of 1 to 1.25 |
//! | RFC 6298 §3 | an answer after a retry may belong to any attempt | done: [`Answer`] says how many there were |

mod client;
mod config;
mod server;
mod sources;
#[cfg(test)]
mod tests;

pub use client::{Answer, Client, ClientEvent, ClientStats, Ending};
pub use config::{ClientConfig, ResponderConfig, Responders};
pub use server::{Responder, ResponderEvent, ResponderStats, Silence};
