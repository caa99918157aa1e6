//! SOAP-over-UDP: messages in XML, one in a datagram, each sent several times.
//!
//! ```text
//!   A                                                          B
//!     │ ── message, with its MessageID ─▶ B, or a group          │
//!     │ ── the same again, after a random 50 to 250 ms ─▶        │
//!     │ ── and again, after twice that, 500 ms at most ─▶        │
//!     │                                                          │
//!     │ ◀─ answer, with RelatesTo: that MessageID ────────────── │
//!     │ ◀─ the same again ────────────────────────────────────── │
//! ```
//!
//! It is what a protocol such as WS-Discovery is made of, and no protocol by itself: an [`Envelope`] is what stands in a
//! datagram, [`Transmissions`] sends it as often as it is to be sent, and [`Seen`] knows the ones that came before.
//!
//! # What is done
//!
//! The parts are those of SOAP-over-UDP 1.1 (OASIS, 2009). The text of 2004/09 has the same ones; its numbers stand beside
//! those of which they are certain.
//!
//! | part | 2004/09 | |
//! | --- | --- | --- |
//! | one message in one datagram | §3.2 | done: what follows a message makes it malformed |
//! | size | §3.2 | read up to [`MAX_READ`] bytes; sent up to what the protocol says |
//! | one-way, and request and response, to a host or a group | §4 | done: an answer goes to the source of the datagram, by the socket that was asked |
//! | `wsa:MessageID`, `wsa:RelatesTo` | | done; both WS-Addressing of 2004/08 and of 2005/08 |
//! | `wsa:ReplyTo` | | anonymous alone: an answer to anywhere else would go to who has not asked |
//! | retransmission with random waits | App. I | done: [`Transmissions`] |
//! | SOAP 1.2 and 1.1, UTF-8 | | done; UTF-16 is refused by name |
//! | `soap.udp` addresses | | not done: nothing here sends to an address out of a message |
//! | signatures | | not done, and not read |

mod envelope;
mod seen;
#[cfg(test)]
mod tests;
mod transmissions;
mod xml;

#[cfg(feature = "ws-discovery")]
pub(crate) use envelope::new_id;
pub use envelope::{Addressing, Envelope, Soap, same_id};
pub use seen::Seen;
pub use transmissions::Transmissions;
pub use xml::{Element, Name};

/// How many bytes of a datagram are read (DPWS 1.0 App. I: `MAX_ENVELOPE_SIZE`). Longer ones are malformed.
pub const MAX_READ: usize = 32_767;
