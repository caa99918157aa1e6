//! NORM: objects to many receivers, reliably (RFC 5740).
//!
//! A sender sends each object once, in blocks of segments. Receivers ask by NACK for what they miss
//! of a block, and the sender answers with parity, of which one symbol repairs another loss at each
//! receiver. Who asks waits a random time before, and does not ask for what others have asked for;
//! so a thousand receivers ask hardly more than one.
//!
//! ```text
//!   Sender                                                      Receivers
//!     │ ── NORM_INFO, NORM_DATA: block 0, source 0, 1, 2 … ───────▶ │
//!     │ ── NORM_DATA: block 1 … ──────────────────────────────────▶ │  something of block 0 is
//!     │ ── NORM_CMD(CC): time ────────────────────────────────────▶ │  missing: a random wait of
//!     │ ◀────────── NORM_NACK: block 0, 3 symbols; time + age ──────│  up to K round trips; others
//!     │                                                             │  hear it, and are quiet
//!     │  waits K + 1 round trips for more NACKs                     │
//!     │ ── NORM_DATA: block 0, parity 0, 1, 2 ────────────────────▶ │  waits K + 2 round trips
//!     │      …                                                      │
//!     │ ── NORM_CMD(FLUSH): up to here, nodes 1, 2 ───────────────▶ │  what is still missing?
//!     │ ◀─────────────────────────────── NORM_ACK(FLUSH): node 1 ───│  nothing
//!     │ ── NORM_CMD(EOT) ─────────────────────────────────────────▶ │
//! ```
//!
//! * [`Sender`] sends [`Object`]s at a fixed rate or with congestion control, repairs them, and tells
//!   who acknowledged them. Of objects that are not in memory it asks for the bytes as they are
//!   needed. A [stream](Sender::open_stream) takes bytes as its window has room.
//! * [`Receiver`] receives from any number of senders, and hands out the bytes of objects block by
//!   block, those of streams in order.
//! * [`fec`] is the erasure code, [`message`] the wire format.
//!
//! What is kept has a bound. A sender keeps its objects, a byte for each block that was repaired,
//! and [`SenderConfig::memory`] of objects that are elsewhere. A receiver keeps
//! [`ReceiverConfig::memory`] at most: the symbols of blocks that are not through, and of each object
//! a bit for each block after the first of these; and a quarter of that beside, of blocks that are used
//! again. So a file of 20 GB needs no more than one of 20 MB, but for 28 kB at most, with the usual
//! blocks. What it has no room for it takes for lost, and asks for later.
//! The window of a stream is chosen; what leaves it is told to receivers that miss it.
//!
//! There is no authentication: who can send from the sender's address is the sender. Others can ask in
//! vain, which takes three of four turns of the sender at most once it sends what was never sent, and a
//! tenth of the rate for each kind of answer beside (REPAIR_ADV, SQUELCH); acknowledge in another's
//! name; and say what others will not ask for then, until the next time. Commands and data from another
//! address than the sender's do not reach its state while it is heard: whoever sends objects in its
//! name before it does, or a second after its last word, is taken for it, as it is itself where its
//! address changes. With congestion control, who claims to lose everything slows the sender down to a
//! segment a second, as long as it does and for 20 round trips more, since that cannot be told from a
//! slow path; so where receivers are named, others are not heard of congestion, nor in their name from
//! another address. Who claims a high rate changes nothing. Who claims a long round trip, up to 15 s,
//! makes the sender wait as long for others before it repairs, for as long as it does and about twice
//! that time more; where receivers are named, others are not heard of that either. Who asks for the
//! same without end keeps a sender that was told to finish from its end, or one whose window is full
//! from going on without a silent receiver, for [`SenderConfig::robust`] rounds, and who asks for one
//! block after the other, for as many for each; then its requests are not heard any more, in whose name
//! it may ask: of those that are not named, the first 16 have such rounds each, and all others have
//! them together. Who asks the group in the sight of receivers, but not of the sender, keeps each of
//! them from asking three times in a row, which delays them; then they ask whatever they hear, until a
//! repair is of use.
//!
//! | source | what it says | here |
//! | --- | --- | --- |
//! | RFC 5740 §4.1–§4.3 | all messages, EXT_FTI, EXT_CC, EXT_RATE | done; EXT_FTI goes with information, the first block of an object and the first symbol of each other, with streams always; EXT_AUTH is passed over |
//! | RFC 5740 §4.2 | quantised round-trip times, group sizes, rates and losses | done |
//! | RFC 5740 §5.1 | sender initialisation and transmission | done |
//! | RFC 5740 §5.1.1 | objects of data and files | done |
//! | RFC 5740 §5.1.1, §4.2.1 | streams: segment heads, messages, the end, gaps | done; with 2³² blocks at most. With proactive parity the end is said until its block is full, so that parity serves it too; otherwise the symbols of the last block are repaired by name |
//! | RFC 5740 §4.2.1 | identifiers that come round | done: after a silence in which, at the sender's pace, 16,384 objects may have passed, what is not complete is abandoned, and what comes counts as new |
//! | RFC 5740 §5.2 | receivers join at the first object they see, or at earlier ones | done |
//! | RFC 5740 §5.3 | NACK initiation, back-off, suppression, content | done; who was kept from asking three times in a row, and got no repair that was of use, asks whatever it hears |
//! | RFC 5740 §5.4 | aggregation, hold-off, parity first, REPAIR_ADV, SQUELCH | deviates: what was repaired within a round trip and a quarter (without a back-off, within a round trip) is not repaired again, nor what is being repaired, instead of all before the present position; where nothing else is to be sent, repairs have more parity than was asked for; and repairs that never end leave every fourth turn to new data |
//! | RFC 5740 §5.5.1 | GRTT from probes | done; a sender whose receivers are named asks some to answer at once, in turn, so that it need not wait for a loss. It is said to be a datagram's time at least: at low rates a repair takes longer than a round trip |
//! | RFC 5740 §5.5.2 | congestion control | done: limiting and potentially limiting receivers, slow start, also after a pause (RFC 5348 §4.4), suppression of feedback, by REPAIR_ADV too. Deviates: it begins with four segments a round trip, as TCP does; probes are 10 ms apart at least, and what is received is measured over as long; and EXT_CC has the low bits of the loss where NRL's has them |
//! | RFC 5348 §3.1, §5 | the throughput equation, loss events, discounting, damping | done; the discount is reckoned anew each time instead of being kept. Deviates: losses are one event also while probes take longer than the known round-trip time accounts for, since a queue fills within a round trip |
//! | RFC 5740 §5.5.3 | positive acknowledgement | done: of all that was sent, of streams while they go on. A flush names as many as a segment has room for, in turn. Who does not answer is given up after NORM_ROBUST_FACTOR flushes that name it, which the RFC sends every two GRTT, and not before 2 s: with a GRTT of 10 ms the former alone are 0.4 s, which a busy machine takes to answer. The later ones are 100 ms apart at least |
//! | RFC 5740 §4.2.3.6, §4.3.2 | NORM_CMD(ACK_REQ), and answers of the application | done |
//! | RFC 5740 §4.2.3.7 | NORM_CMD(APPLICATION) | done |
//! | RFC 5401 §3.2.3 | truncated exponential back-off | done |
//! | RFC 5052 §9.1 | the blocking algorithm | done |
//! | RFC 5510 | Reed–Solomon, FEC Encoding ID 5 | done, m = 8; by default with the points and shortened blocks of NRL's implementation, see [`fec::Variant`]; EXT_FTI says the number of parity symbols, as NRL's, not that of all |
//! | RFC 5510 | FEC Encoding ID 2 | done for m = 8, which is the code of ID 5; other fields are not, and count as malformed |
//! | RFC 5445 | small block codes, FEC Encoding ID 129 | done, with the same code |

mod ack;
mod application;
mod config;
mod event;
pub mod fec;
mod grtt;
mod incoming;
mod loss;
pub mod message;
mod object;
mod open;
mod outgoing;
mod peers;
mod rate;
mod receiver;
mod remote;
mod repair;
mod rounds;
mod sender;
mod stream;

pub use config::{FeedbackTo, ReceiverConfig, SenderConfig};
pub use event::{
    Abandonment, EnqueueError, ObjectId, ObjectKey, ReceiverEvent, ReceiverStats, SenderEvent,
    SenderStats, WriteError,
};
pub use object::Layout;
pub use outgoing::{Content, Object};
pub use peers::Peer;
pub use receiver::Receiver;
pub use sender::Sender;
