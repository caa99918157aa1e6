//! What goes ahead of the bytes in each segment of a stream.

use manycast_types::Malformed;

use crate::wire::{Reader, Writer};

/// The head of a segment of a stream. It is part of the symbol, so parity makes up for it too.
///
/// ```text
///  0                   1                   2                   3
/// ┌───────────────────────────────────────┬───────────────────────────────────────┐
/// │ payload_len                           │ payload_msg_start                     │
/// ├───────────────────────────────────────┴───────────────────────────────────────┤
/// │ payload_offset                                                                │
/// └───────────────────────────────────────────────────────────────────────────────┘
/// ```
// RFC 5740 §4.2.1: NORM_DATA of NORM_OBJECT_STREAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// How many bytes of the stream follow. None follow where the segment says something of the
    /// stream itself: its end ([`is_end`](Self::is_end)).
    pub length: u16,
    /// One more than how many bytes of these come before the first that begins a message of the
    /// application; 0 where none does.
    pub message: u16,
    /// The bytes of the stream before these; the count goes round after 4 GiB.
    pub offset: u32,
}

impl StreamHeader {
    /// How many bytes it takes.
    pub const LEN: usize = 8;

    /// The head of a segment that ends the stream at `offset`.
    pub const fn end(offset: u32) -> Self {
        Self {
            length: 0,
            message: 0,
            offset,
        }
    }

    /// Whether the stream ends here.
    // RFC 5740 §4.2.1: the stream control code NORM_STREAM_END is 0.
    pub const fn is_end(&self) -> bool {
        self.length == 0 && self.message == 0
    }

    /// Reads the head of a segment, and gives the bytes of the stream that follow it.
    ///
    /// # Errors
    ///
    /// The segment is cut off.
    pub fn parse(segment: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(segment);
        let header = Self {
            length: reader.u16()?,
            message: reader.u16()?,
            offset: reader.u32()?,
        };
        let bytes = reader.bytes(header.length.into())?;
        Ok((header, bytes))
    }

    /// The head on the wire.
    pub fn emit(self) -> [u8; Self::LEN] {
        let mut writer = Writer::with_capacity(Self::LEN);
        writer.u16(self.length).u16(self.message).u32(self.offset);
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&writer.finish());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_eight_bytes_before_those_of_the_stream() {
        let header = StreamHeader {
            length: 3,
            message: 2,
            offset: 0x0102_0304,
        };
        let mut segment = header.emit().to_vec();
        assert_eq!(segment, [0, 3, 0, 2, 1, 2, 3, 4]);
        assert!(StreamHeader::parse(&segment).is_err(), "it is cut off");
        segment.extend(b"abcd");
        assert_eq!(StreamHeader::parse(&segment), Ok((header, &b"abc"[..])));
        assert!(!header.is_end());
        assert!(StreamHeader::end(7).is_end());
    }
}
