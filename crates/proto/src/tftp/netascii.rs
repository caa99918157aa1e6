//! Text on the wire (RFC 764): a line ends in CR LF, and a CR that ends no line is CR NUL.
//!
//! Both are streams: what is cut up between two calls comes out as if it were not.

/// Turns text of this system, whose lines end in LF, into netascii.
///
/// ```
/// use manycast_proto::tftp::netascii::{Decoder, Encoder};
///
/// let mut wire = Vec::new();
/// Encoder::new().encode(b"one\ntwo\r", &mut wire);
/// assert_eq!(wire, b"one\r\ntwo\r\0");
///
/// let (mut decoder, mut text) = (Decoder::new(), Vec::new());
/// decoder.decode(&wire, &mut text);
/// decoder.finish(&mut text);
/// assert_eq!(text, b"one\ntwo\r");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder;

impl Encoder {
    /// An encoder at the beginning of a text.
    pub const fn new() -> Self {
        Self
    }

    /// Appends `text` to `wire`.
    pub fn encode(&mut self, text: &[u8], wire: &mut Vec<u8>) {
        for byte in text {
            match byte {
                b'\n' => wire.extend_from_slice(b"\r\n"),
                b'\r' => wire.extend_from_slice(b"\r\0"),
                byte => wire.push(*byte),
            }
        }
    }
}

/// Turns netascii into text of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// Whether the last byte was a CR.
    pending: bool,
}

impl Decoder {
    /// A decoder at the beginning of a text.
    pub const fn new() -> Self {
        Self { pending: false }
    }

    /// Appends what `wire` says to `text`.
    pub fn decode(&mut self, wire: &[u8], text: &mut Vec<u8>) {
        for &byte in wire {
            match (std::mem::replace(&mut self.pending, byte == b'\r'), byte) {
                (true, b'\n') => text.push(b'\n'),
                (true, 0) => text.push(b'\r'),
                // A lone CR is against the rule, and is kept as it is.
                (true, b'\r') => text.push(b'\r'),
                (true, byte) => text.extend_from_slice(&[b'\r', byte]),
                (false, b'\r') => {}
                (false, byte) => text.push(byte),
            }
        }
    }

    /// Appends what was held back until the end.
    pub fn finish(&mut self, text: &mut Vec<u8>) {
        if std::mem::take(&mut self.pending) {
            text.push(b'\r');
        }
    }
}
