//! What senders say of the transmission: the flavours of NORM_CMD, and positions in it.

use bytes::Bytes;
use manycast_types::Malformed;

use super::{CcFlags, FecId, PayloadId, Request, Timestamp};
use crate::wire::{Reader, Writer};

/// What a sender says of the transmission: the flavours of NORM_CMD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// NORM_CMD(FLUSH): up to here all is sent.
    Flush {
        /// The last symbol that was sent.
        at: Position,
        /// The receivers that shall acknowledge it.
        nodes: Nodes<'a>,
    },
    /// NORM_CMD(EOT): the sender ends.
    EndOfTransmission,
    /// NORM_CMD(SQUELCH): what lies before is not repaired any more.
    Squelch {
        /// The first symbol that can still be repaired.
        from: Position,
        /// Objects after it that cannot, two bytes each.
        invalid: &'a [u8],
    },
    /// NORM_CMD(CC): a probe of round-trip times and rates.
    CongestionControl {
        /// Counts the probes.
        sequence: u16,
        /// The sender's clock.
        time: Timestamp,
        /// What the sender thinks of some receivers.
        nodes: Vec<CcNode>,
    },
    /// NORM_CMD(REPAIR_ADV): what was asked for already, for those who do not hear others ask.
    RepairAdvertisement {
        /// Whether there was more than fits (NORM_REPAIR_ADV_FLAG_LIMIT).
        limited: bool,
        /// What was asked for.
        requests: Vec<Request>,
    },
    /// NORM_CMD(ACK_REQ): some receivers shall acknowledge something.
    AckRequest {
        /// The kind of acknowledgement.
        kind: u8,
        /// Comes back in the acknowledgement.
        id: u8,
        /// Who shall acknowledge.
        nodes: Nodes<'a>,
    },
    /// NORM_CMD(APPLICATION): something of the application's.
    Application {
        /// Whatever it is.
        payload: &'a [u8],
    },
}

/// A symbol of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How the symbol's name is to be read.
    pub fec: FecId,
    /// The object.
    pub object: u16,
    /// The symbol.
    pub id: PayloadId,
}

/// A list of nodes, four bytes each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes<'a>(&'a [u8]);

impl<'a> Nodes<'a> {
    /// The nodes whose numbers stand in `bytes`, in network byte order.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The nodes.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (words, _) = self.0.as_chunks();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }
}

/// What a sender thinks of a receiver's congestion feedback.
// RFC 5740 §4.2.3.4: cc_node_list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CcNode {
    /// The receiver.
    pub node: u32,
    /// See [`CcFlags`].
    pub flags: CcFlags,
    /// Its round-trip time, quantised.
    pub rtt: u8,
    /// Its rate, quantised.
    pub rate: u16,
}

impl Command<'_> {
    pub(super) fn emit_fields(&self, writer: &mut Writer) {
        match self {
            Self::Flush { at, .. } => {
                writer.u8(1);
                at.emit(writer);
            }
            Self::EndOfTransmission => {
                writer.u8(2).bytes(&[0; 3]);
            }
            Self::Squelch { from, .. } => {
                writer.u8(3);
                from.emit(writer);
            }
            Self::CongestionControl { sequence, time, .. } => {
                writer.u8(4).u8(0).u16(*sequence);
                time.emit(writer);
            }
            Self::RepairAdvertisement { limited, .. } => {
                writer.u8(5).u8((*limited).into()).u16(0);
            }
            Self::AckRequest { kind, id, .. } => {
                writer.u8(6).u8(0).u8(*kind).u8(*id);
            }
            Self::Application { .. } => {
                writer.u8(7).bytes(&[0; 3]);
            }
        }
    }

    pub(super) fn emit_payload(&self, writer: &mut Writer) {
        match self {
            Self::Flush { nodes, .. } | Self::AckRequest { nodes, .. } => {
                writer.bytes(nodes.0);
            }
            Self::EndOfTransmission => {}
            Self::Squelch { invalid, .. } => {
                writer.bytes(invalid);
            }
            Self::CongestionControl { nodes, .. } => {
                for node in nodes {
                    writer
                        .u32(node.node)
                        .u8(node.flags.0)
                        .u8(node.rtt)
                        .u16(node.rate);
                }
            }
            Self::RepairAdvertisement { requests, .. } => {
                requests.iter().for_each(|request| request.emit(writer));
            }
            Self::Application { payload } => {
                writer.bytes(payload);
            }
        }
    }
}

impl Position {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let fec = FecId::parse(reader)?;
        Ok(Self {
            fec,
            object: reader.u16()?,
            id: PayloadId::parse(fec, reader)?,
        })
    }

    fn emit(self, writer: &mut Writer) {
        writer.u8(self.fec.number()).u16(self.object);
        self.id.emit(self.fec, writer);
    }

    /// Reads the payload of a NORM_ACK(FLUSH), which has a reserved octet within.
    pub(crate) fn parse_ack(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let fec = FecId::parse(&mut reader)?;
        reader.u8()?;
        Ok(Self {
            fec,
            object: reader.u16()?,
            id: PayloadId::parse(fec, &mut reader)?,
        })
    }

    /// The payload of a NORM_ACK(FLUSH).
    // RFC 5740 §4.3.2: NORM_ACK(FLUSH) payload.
    pub(crate) fn emit_ack(self) -> Bytes {
        let mut writer = Writer::with_capacity(12);
        writer.u8(self.fec.number()).u8(0).u16(self.object);
        self.id.emit(self.fec, &mut writer);
        writer.finish()
    }
}

impl<'a> Nodes<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        let bytes = reader.rest();
        if !bytes.len().is_multiple_of(4) {
            return Err(Malformed::new("a part of a node is none", offset));
        }
        Ok(Self(bytes))
    }
}

impl CcNode {
    pub(super) fn parse_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let mut nodes = Vec::new();
        while !reader.remaining().is_empty() {
            nodes.push(Self {
                node: reader.u32()?,
                flags: CcFlags(reader.u8()?),
                rtt: reader.u8()?,
                rate: reader.u16()?,
            });
        }
        Ok(nodes)
    }
}
