//! The datagrams of iperf 2, as its version 2.1 sends and reads them.

use std::time::Duration;

use bytes::Bytes;
use manycast_types::Malformed;

use crate::wire::{Reader, Writer};

/// What a numbered datagram begins with; the rest of it does not matter.
///
/// ```text
///  0                   4                   8                  12                  16
/// ┌───────────────────┬───────────────────┬───────────────────┬───────────────────┬──────────┐
/// │ number, low half  │ seconds           │ microseconds      │ number, high half │ flags    │
/// └───────────────────┴───────────────────┴───────────────────┴───────────────────┴──────────┘
/// ```
///
/// All are 32-bit words in network byte order. The high half counts only where the flags say so;
/// datagrams of fewer than 20 bytes have numbers of 31 bits.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::measure::Header;
///
/// let header = Header { number: 5, last: false, wide: true, time: Duration::from_micros(7) };
/// let mut datagram = [0; 64];
/// header.emit(&mut datagram);
/// assert_eq!(Header::parse(&datagram)?, header);
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The datagram's place in its stream, usually from 1. Where it is not `wide`, only the low
    /// 31 bits are known.
    pub number: u64,
    /// Whether the stream ends with this datagram; on the wire its number is negative.
    pub last: bool,
    /// Whether the number has 63 bits.
    pub wide: bool,
    /// When it was sent, by the sender's clock: the time since 1970 began, to the microsecond.
    pub time: Duration,
}

/// The shortest datagram that can be numbered, in bytes.
pub const MIN_SIZE: usize = 12;

/// The shortest datagram whose number has 63 bits.
const WIDE_SIZE: usize = 20;
/// `HEADER_SEQNO64B`: the number has a high half.
const WIDE: u32 = 0x0800_0000;
/// `HEADER_VERSION1`: a report follows the header.
const REPORT: u32 = 0x8000_0000;
/// How many bytes a report takes at least.
const REPORT_SIZE: usize = 56;

impl Header {
    /// Reads the beginning of a datagram.
    ///
    /// # Errors
    ///
    /// It is shorter than [`MIN_SIZE`], or bears a time that no clock shows: it is of something
    /// else.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let (words, _) = datagram.as_chunks();
        let word = |index: usize| words.get(index).map(|word| u32::from_be_bytes(*word));
        let [Some(low), Some(seconds), Some(microseconds)] = [0, 1, 2].map(word) else {
            return Err(Malformed::new(
                "the datagram ends too early",
                datagram.len(),
            ));
        };
        if microseconds >= 1_000_000 {
            return Err(Malformed::new("a second has fewer microseconds", 8));
        }
        let (wide, signed) = match [3, 4].map(word) {
            [Some(high), Some(flags)] if flags & WIDE != 0 => {
                (true, (u64::from(high) << 32 | u64::from(low)).cast_signed())
            }
            _ => (false, low.cast_signed().into()),
        };
        Ok(Self {
            // The least of all numbers is the end of a stream at a number whose bits are all 0.
            number: signed.unsigned_abs() & greatest(wide).unsigned_abs(),
            last: signed < 0,
            wide,
            time: Duration::new(seconds.into(), microseconds * 1000),
        })
    }

    /// Writes it to the beginning of `datagram`, over what was there; `wide` is what the length
    /// allows.
    ///
    /// # Panics
    ///
    /// If `datagram` is shorter than [`MIN_SIZE`].
    pub fn emit(&self, datagram: &mut [u8]) {
        let wide = datagram.len() >= WIDE_SIZE;
        let greatest = greatest(wide);
        let number = match (self.number & greatest.unsigned_abs()).cast_signed() {
            // There is no negative zero.
            0 if self.last => -greatest - 1,
            number if self.last => -number,
            number => number,
        };
        let [h3, h2, h1, h0, l3, l2, l1, l0] = number.to_be_bytes();
        #[expect(clippy::cast_possible_truncation, reason = "the format ends in 2106")]
        let seconds = self.time.as_secs() as u32;

        datagram[..4].copy_from_slice(&[l3, l2, l1, l0]);
        datagram[4..8].copy_from_slice(&seconds.to_be_bytes());
        datagram[8..12].copy_from_slice(&self.time.subsec_micros().to_be_bytes());
        if wide {
            datagram[12..16].copy_from_slice(&[h3, h2, h1, h0]);
            datagram[16..20].copy_from_slice(&WIDE.to_be_bytes());
        }
    }
}

/// The greatest number of 63 bits, or of 31.
const fn greatest(wide: bool) -> i64 {
    if wide { i64::MAX } else { i32::MAX as i64 }
}

/// What a receiver reports to the sender of a stream by unicast, after its last datagram; iperf
/// calls it the server report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// Payloads received, in bytes.
    pub bytes: u64,
    /// From the first datagram to the last.
    pub duration: Duration,
    /// Datagrams that did not come.
    pub lost: u32,
    /// Datagrams that came late.
    pub reordered: u32,
    /// Datagrams that were sent: those that came, and the lost.
    pub datagrams: u32,
    /// Jitter (RFC 3550 §6.4.1), to the microsecond.
    pub jitter: Duration,
}

impl ServerReport {
    /// Reads a datagram.
    ///
    /// # Errors
    ///
    /// It is too short, or no report.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(datagram);
        reader.bytes(16)?;
        if reader.u32()? & REPORT == 0 {
            return Err(Malformed::new("it is no report", 16));
        }
        let bytes = reader.u64()?;
        let duration = duration(&mut reader)?;
        Ok(Self {
            bytes,
            duration,
            lost: reader.u32()?,
            reordered: reader.u32()?,
            datagrams: reader.u32()?,
            jitter: self::duration(&mut reader)?,
        })
    }

    /// The datagram, which answers one of `size` bytes; `None` if it would be longer than that, as
    /// nobody shall be made to send more than they receive.
    pub fn emit(&self, size: usize) -> Option<Bytes> {
        if size < REPORT_SIZE {
            return None;
        }
        let mut writer = Writer::with_capacity(REPORT_SIZE);
        writer.bytes(&[0; 16]).u32(REPORT).u64(self.bytes);
        write_duration(&mut writer, self.duration);
        writer
            .u32(self.lost)
            .u32(self.reordered)
            .u32(self.datagrams);
        write_duration(&mut writer, self.jitter);
        Some(writer.finish())
    }
}

fn duration(reader: &mut Reader<'_>) -> Result<Duration, Malformed> {
    let (seconds, microseconds) = (reader.u32()?, reader.u32()?);
    Ok(Duration::from_secs(seconds.into()) + Duration::from_micros(microseconds.into()))
}

fn write_duration(writer: &mut Writer, duration: Duration) {
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    writer.u32(seconds).u32(duration.subsec_micros());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(octet).collect()
    }

    #[test]
    fn reads_what_iperf_sends() {
        let header = Header::parse(&bytes("000001a8 6b0171ea 00057779 00000000 48010098")).unwrap();
        assert_eq!(
            (header.number, header.last, header.wide),
            (424, false, true)
        );
        let sent = Duration::new(0x6b01_71ea, 0x0005_7779 * 1000);
        assert_eq!(header.time, sent);
        let last = Header::parse(&bytes("fffffe53 6b0171ea 00058e6e ffffffff 48010098")).unwrap();
        assert_eq!((last.number, last.last), (429, true));
    }

    #[test]
    fn a_short_header_has_a_short_number() {
        let last = Header::parse(&bytes("ffffff38 6b0171ea 00058e6e")).unwrap();
        assert_eq!((last.number, last.last, last.wide), (200, true, false));
    }

    #[test]
    fn the_least_number_ends_a_stream_within_its_bits() {
        for (datagram, wide) in [
            ("80000000 6b0171ea 00058e6e", false),
            ("00000000 6b0171ea 00058e6e 80000000 08000000", true),
        ] {
            let last = Header::parse(&bytes(datagram)).unwrap();
            assert_eq!((last.number, last.last, last.wide), (0, true, wide));
        }
    }

    #[test]
    fn reads_what_iperf_reports() {
        let text = "00000000 00000000 00000000 00000000 c8000000 00000000 0003f9d8 00000001 \
                    0000eac6 00000002 00000003 000000c8 00000000 00000004 00000000 00000010";
        let report = ServerReport::parse(&bytes(text)).unwrap();
        let expected = ServerReport {
            bytes: 260_568,
            duration: Duration::from_micros(1_060_102),
            lost: 2,
            reordered: 3,
            datagrams: 200,
            jitter: Duration::from_micros(4),
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn a_report_is_no_longer_than_what_it_answers() {
        assert_eq!(ServerReport::default().emit(REPORT_SIZE - 1), None);
        assert_eq!(
            ServerReport::default().emit(1316).unwrap().len(),
            REPORT_SIZE
        );
    }

    #[test]
    fn other_payloads_are_told() {
        let error = Header::parse(b"Hello, world! This is text.").unwrap_err();
        assert_eq!(error.offset, 8);
        assert!(Header::parse(&[0; MIN_SIZE - 1]).is_err());
        assert!(ServerReport::parse(&[0; 128]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            number in prop_oneof![Just(0), 1..=i64::MAX as u64],
            last: bool,
            seconds: u32,
            microseconds in 0..1_000_000_u32,
            size in MIN_SIZE..100,
        ) {
            let time = Duration::new(seconds.into(), microseconds * 1000);
            let wide = size >= WIDE_SIZE;
            let number = if wide { number } else { number & 0x7fff_ffff };
            let header = Header { number, last, wide, time };
            let mut datagram = vec![0xaa; size];
            header.emit(&mut datagram);
            prop_assert_eq!(Header::parse(&datagram), Ok(header));
        }

        #[test]
        fn reports_are_read_as_written(
            bytes: u64, micros: u32, lost: u32, reordered: u32, datagrams: u32, jitter: u32,
        ) {
            let report = ServerReport {
                bytes,
                duration: Duration::from_micros(micros.into()),
                lost,
                reordered,
                datagrams,
                jitter: Duration::from_micros(jitter.into()),
            };
            prop_assert_eq!(ServerReport::parse(&report.emit(1316).unwrap()), Ok(report));
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Header::parse(&input), ServerReport::parse(&input));
        }
    }
}
