//! A stream of bytes to many, reliably and in order, by NORM (RFC 5740, NORM_OBJECT_STREAM):
//! [`send_stream`] what a reader gives, and [`receive_stream`] into a writer.
//!
//! A stream has no second round: who listens from its beginning gets all of it. What receivers that
//! are named have not acknowledged is kept, so the slowest of them slows down the stream; others are
//! left behind where they lack more than the window holds, and are told.
//!
//! There is no authentication and no encryption.

mod receive;
mod send;

use crate::files;

pub use receive::{StreamReceiveOptions, StreamReceived, receive_stream};
pub use send::{StreamSendOptions, StreamSent, send_stream};

/// The acknowledgement in which receivers say that they are there (ack_type).
// RFC 5740 §4.3.2: 16 to 255 are the application's.
const HERE: u8 = 17;

/// What a sender asks all: who is there? Within so many milliseconds, two octets, each answers as
/// [`HERE`], with its name.
// RFC 5740 §4.2.3.7: NORM_CMD(APPLICATION).
const WHO: [u8; 4] = *b"MCS\x01";

/// The error of everything here.
pub type Error = files::Error;
