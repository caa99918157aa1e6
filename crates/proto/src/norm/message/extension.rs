//! Header extensions.

use manycast_types::Malformed;

use super::{FecId, Fti};
use crate::wire::{Reader, Writer};

/// The header extensions of a message that are known here; others, EXT_AUTH among them, are passed
/// over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// EXT_FTI: what a receiver must know to decode the object.
    pub fti: Option<Fti>,
    /// EXT_CC: what a receiver knows of congestion.
    pub cc: Option<CcFeedback>,
    /// EXT_RATE: the sender's rate, as [`quantize_rate`](super::quantize_rate) says it.
    pub rate: Option<u16>,
}

/// Congestion control feedback of a receiver (EXT_CC).
// RFC 5740 §4.3.1: NORM-CC feedback header extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CcFeedback {
    /// The cc_sequence of the probe that is answered.
    pub sequence: u16,
    /// See [`CcFlags`].
    pub flags: CcFlags,
    /// The round-trip time that the receiver reckons with, quantised.
    pub rtt: u8,
    /// The loss event fraction, quantised: the high 16 of 32 bits.
    pub loss: u16,
    /// The rate that the receiver reckons fair, quantised.
    pub rate: u16,
    /// Reserved by the RFC; NRL's implementation and this one have the low 16 bits of the loss here:
    /// at 100 Mbit/s the high ones are too coarse.
    pub reserved: u16,
}

impl CcFeedback {
    /// The loss event fraction, from 0 to 1.
    pub fn loss_fraction(&self) -> f64 {
        let code = u32::from(self.loss) << 16 | u32::from(self.reserved);
        f64::from(code) / f64::from(u32::MAX)
    }

    /// With a loss event fraction; above 0, it is never said to be 0.
    #[must_use]
    pub fn with_loss(self, fraction: f64) -> Self {
        let code = (fraction.clamp(0.0, 1.0) * f64::from(u32::MAX)).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the range"
        )]
        let code = code as u32;
        let [a, b, c, d] = code.to_be_bytes();
        Self {
            loss: u16::from_be_bytes([a, b]),
            reserved: u16::from_be_bytes([c, d]),
            ..self
        }
    }
}

/// Flags of congestion control (cc_flags), in messages of both roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CcFlags(pub u8);

impl CcFlags {
    /// The receiver is the current limiting one.
    pub const CLR: Self = Self(0x01);
    /// The receiver might become the limiting one.
    pub const PLR: Self = Self(0x02);
    /// The receiver has measured its round-trip time.
    pub const RTT: Self = Self(0x04);
    /// The receiver has had no loss, and says what it receives.
    pub const START: Self = Self(0x08);
    /// The receiver leaves.
    pub const LEAVE: Self = Self(0x10);

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Header extension types; from 128 they are one word long.
const AUTH: u8 = 1;
const CC: u8 = 3;
const FTI: u8 = 64;
const RATE: u8 = 128;

impl Extensions {
    /// Reads the extensions that end at `end`. Without a FEC scheme there is no EXT_FTI.
    // RFC 5740 §4.1: header extensions.
    pub(super) fn parse(
        reader: &mut Reader<'_>,
        end: usize,
        fec: Option<FecId>,
    ) -> Result<Self, Malformed> {
        let mut extensions = Self::default();
        while reader.offset() < end {
            let start = reader.offset();
            let kind = reader.u8()?;
            let words = if kind >= 128 { 1 } else { reader.u8()? };
            let length = usize::from(words) * 4;
            if length == 0 || start + length > end {
                return Err(Malformed::new(
                    "a header extension has no such length",
                    start,
                ));
            }
            let content = reader.bytes(start + length - reader.offset())?;
            let mut content = Reader::new(content);
            let too_short = |_| Malformed::new("a header extension is too short", start);
            match (kind, fec) {
                (FTI, Some(fec)) => {
                    let fti = Fti::parse(fec, &mut content).map_err(too_short)?;
                    let other = || Malformed::new("it is no code over GF(2^8)", start);
                    extensions.fti = Some(fti.ok_or_else(other)?);
                }
                (CC, _) => {
                    let cc = CcFeedback::parse(&mut content).map_err(too_short)?;
                    extensions.cc = Some(cc);
                }
                (RATE, _) => {
                    content.u8().map_err(too_short)?;
                    extensions.rate = Some(content.u16().map_err(too_short)?);
                }
                (AUTH, _) => tracing::trace!("EXT_AUTH is passed over"),
                _ => {}
            }
        }
        Ok(extensions)
    }

    pub(super) fn emit(&self, fec: Option<FecId>, writer: &mut Writer) {
        if let (Some(fti), Some(fec)) = (&self.fti, fec) {
            writer.u8(FTI).u8(Fti::words(fec));
            fti.emit(fec, writer);
        }
        if let Some(cc) = &self.cc {
            writer.u8(CC).u8(3);
            cc.emit(writer);
        }
        if let Some(rate) = self.rate {
            writer.u8(RATE).u8(0).u16(rate);
        }
    }
}

impl CcFeedback {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            sequence: reader.u16()?,
            flags: CcFlags(reader.u8()?),
            rtt: reader.u8()?,
            loss: reader.u16()?,
            rate: reader.u16()?,
            reserved: reader.u16()?,
        })
    }

    fn emit(&self, writer: &mut Writer) {
        writer
            .u16(self.sequence)
            .u8(self.flags.0)
            .u8(self.rtt)
            .u16(self.loss)
            .u16(self.rate)
            .u16(self.reserved);
    }
}
