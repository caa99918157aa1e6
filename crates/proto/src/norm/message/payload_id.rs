//! How a symbol of an object is named, and what must be known of the object to decode it.

use manycast_types::Malformed;

use crate::wire::{Reader, Writer};

/// Which FEC scheme an object is coded by: its FEC Encoding ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FecId {
    /// 5: Reed–Solomon over GF(2⁸), fully specified (RFC 5510 §5).
    #[default]
    ReedSolomon8,
    /// 2: Reed–Solomon over GF(2ᵐ), fully specified (RFC 5510 §4); here m is 8, which is the same
    /// code as with 5.
    ReedSolomon,
    /// 129: small block systematic codes, under-specified (RFC 5445 §4).
    SmallBlock,
}

impl FecId {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::ReedSolomon8 => 5,
            Self::ReedSolomon => 2,
            Self::SmallBlock => 129,
        }
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        match reader.u8()? {
            5 => Ok(Self::ReedSolomon8),
            2 => Ok(Self::ReedSolomon),
            129 => Ok(Self::SmallBlock),
            _ => Err(Malformed::new("the FEC scheme is not known", offset)),
        }
    }

    /// The greatest source block number of this scheme.
    pub const fn max_block(self) -> u32 {
        match self {
            Self::ReedSolomon8 | Self::ReedSolomon => 0x00ff_ffff,
            Self::SmallBlock => u32::MAX,
        }
    }

    /// How many bytes the name of a symbol takes.
    pub(crate) const fn payload_id_len(self) -> usize {
        match self {
            Self::ReedSolomon8 | Self::ReedSolomon => 4,
            Self::SmallBlock => 8,
        }
    }
}

/// The name of a symbol within its object (fec_payload_id).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadId {
    /// The source block number, 24 bits with FEC Encoding IDs 5 and 2.
    pub block: u32,
    /// How many source symbols the block has; on the wire with FEC Encoding ID 129 alone, else 0.
    pub length: u16,
    /// The encoding symbol ID: source symbols come first, then parity; 8 bits with FEC Encoding
    /// IDs 5 and 2.
    pub symbol: u16,
}

impl PayloadId {
    pub(super) fn parse(fec: FecId, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match fec {
            // RFC 5510 §5.1, and §4.1 with m = 8: 24 bits and 8 bits.
            FecId::ReedSolomon8 | FecId::ReedSolomon => {
                let word = reader.u32()?;
                Ok(Self {
                    block: word >> 8,
                    length: 0,
                    symbol: u16::from(word.to_be_bytes()[3]),
                })
            }
            // RFC 5445 §4.1: 32, 16 and 16 bits.
            FecId::SmallBlock => Ok(Self {
                block: reader.u32()?,
                length: reader.u16()?,
                symbol: reader.u16()?,
            }),
        }
    }

    pub(super) fn emit(self, fec: FecId, writer: &mut Writer) {
        match fec {
            FecId::ReedSolomon8 | FecId::ReedSolomon => {
                writer.u32(self.block << 8 | u32::from(self.symbol & 0xff))
            }
            FecId::SmallBlock => writer.u32(self.block).u16(self.length).u16(self.symbol),
        };
    }
}

/// FEC Object Transmission Information (EXT_FTI): what a receiver must know to decode an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fti {
    /// The object's length in bytes, 48 bits; for a stream, the length of the sender's buffer.
    pub length: u64,
    /// The length of a symbol in bytes (fec_symbol_len); the last of an object may be shorter.
    pub segment: u16,
    /// The most source symbols that a block has; 8 bits with FEC Encoding ID 5.
    pub max_block: u16,
    /// The parity symbols of a block; 8 bits with FEC Encoding ID 5.
    pub parity: u16,
    /// Which code it is; with FEC Encoding ID 129 alone, else 0.
    pub instance: u16,
}

impl Fti {
    /// The greatest length of an object in bytes.
    pub const MAX_LENGTH: u64 = (1 << 48) - 1;

    /// Reads what follows the type and the length of the extension; `None` where it is of a code that
    /// is not known here.
    pub(super) fn parse(fec: FecId, reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let length = u64::from(reader.u16()?) << 32 | u64::from(reader.u32()?);
        let fti = match fec {
            // RFC 5510 §5.2.4.1. RFC 5510 says the greatest number of symbols where NRL's
            // implementation, and so this one, says how many of them are parity.
            FecId::ReedSolomon8 => Self {
                length,
                segment: reader.u16()?,
                max_block: reader.u8()?.into(),
                parity: reader.u8()?.into(),
                instance: 0,
            },
            // RFC 5510 §4.2.4.1. With another m than 8 all symbols would be named in another way.
            FecId::ReedSolomon => {
                let (m, group) = (reader.u8()?, reader.u8()?);
                // RFC 5510 §4.2.4.2: 0 stands for the default, m = 8 and one symbol in each datagram.
                if ![0, 8].contains(&m) || group > 1 {
                    return Ok(None);
                }
                Self {
                    length,
                    segment: reader.u16()?,
                    max_block: reader.u16()?,
                    parity: reader.u16()?,
                    instance: 0,
                }
            }
            // RFC 5740 §4.2.1: EXT_FTI for FEC Encoding ID 129.
            FecId::SmallBlock => {
                let instance = reader.u16()?;
                Self {
                    length,
                    segment: reader.u16()?,
                    max_block: reader.u16()?,
                    parity: reader.u16()?,
                    instance,
                }
            }
        };
        Ok(Some(fti))
    }

    /// How many words the extension takes.
    pub(super) const fn words(fec: FecId) -> u8 {
        match fec {
            FecId::ReedSolomon8 => 3,
            FecId::ReedSolomon | FecId::SmallBlock => 4,
        }
    }

    pub(super) fn emit(&self, fec: FecId, writer: &mut Writer) {
        let [.., h1, h0, l3, l2, l1, l0] = self.length.to_be_bytes();
        writer.bytes(&[h1, h0, l3, l2, l1, l0]);
        let octet = |value: u16| value.to_be_bytes()[1];
        match fec {
            FecId::ReedSolomon8 => writer
                .u16(self.segment)
                .u8(octet(self.max_block))
                .u8(octet(self.parity)),
            FecId::ReedSolomon => writer
                .u8(8)
                .u8(1)
                .u16(self.segment)
                .u16(self.max_block)
                .u16(self.parity),
            FecId::SmallBlock => writer
                .u16(self.instance)
                .u16(self.segment)
                .u16(self.max_block)
                .u16(self.parity),
        };
    }
}
