//! The messages of NORM, bit for bit: `parse` and `emit`.

mod command;
mod extension;
mod payload_id;
mod quantize;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use manycast_types::Malformed;

pub use command::{CcNode, Command, Nodes, Position};
pub use extension::{CcFeedback, CcFlags, Extensions};
pub use payload_id::{FecId, Fti, PayloadId};
pub use quantize::{
    quantize_group_size, quantize_loss, quantize_rate, quantize_rtt, unquantize_group_size,
    unquantize_loss, unquantize_rate, unquantize_rtt,
};
pub use request::{Form, Item, Request};
pub use stream::StreamHeader;

use crate::wire::{Reader, Writer};

/// The version of the protocol.
const VERSION: u8 = 1;

/// A message of either role.
///
/// ```text
///  0                   1                   2                   3
/// ┌─────────┬─────────┬───────────────────┬───────────────────────────────────────┐
/// │ version │ type    │ hdr_len, in words │ sequence                              │
/// ├─────────┴─────────┴───────────────────┴───────────────────────────────────────┤
/// │ source_id                                                                     │
/// ├───────────────────────────────────────────────────────────────────────────────┤
/// │ the fields of the type, then header extensions, then the payload              │
/// └───────────────────────────────────────────────────────────────────────────────┘
/// ```
///
/// ```
/// use manycast_proto::norm::message::{Body, Command, Extensions, Message, SenderInfo};
///
/// let message = Message {
///     sequence: 7,
///     source: 1,
///     extensions: Extensions::default(),
///     body: Body::Command { sender: SenderInfo::default(), command: Command::EndOfTransmission },
/// };
/// assert_eq!(Message::parse(&message.emit())?, message);
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
// RFC 5740 §4.1: common message header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Counts the sender's messages, or the receiver's, by one each.
    pub sequence: u16,
    /// The node that sends it (NormNodeId).
    pub source: u32,
    /// The header extensions that are known.
    pub extensions: Extensions,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// NORM_INFO: out-of-band information on an object, of one segment at most.
    Info {
        /// The object.
        object: ObjectInfo,
        /// The information.
        payload: &'a [u8],
    },
    /// NORM_DATA: a symbol of an object.
    Data {
        /// The object.
        object: ObjectInfo,
        /// Which symbol.
        id: PayloadId,
        /// The symbol.
        payload: &'a [u8],
    },
    /// NORM_CMD: what a sender says of the transmission.
    Command {
        /// The sender.
        sender: SenderInfo,
        /// What it says.
        command: Command<'a>,
    },
    /// NORM_NACK: what a receiver misses.
    Nack {
        /// The receiver's answer.
        feedback: Feedback,
        /// What is missing.
        requests: Vec<Request>,
    },
    /// NORM_ACK: what a receiver was asked to say.
    Ack {
        /// The receiver's answer.
        feedback: Feedback,
        /// Its kind (ack_type): [`Body::ACK_CC`], [`Body::ACK_FLUSH`], or 16 and above for the
        /// application.
        kind: u8,
        /// Which request is answered (ack_id).
        id: u8,
        /// More, as the kind says.
        payload: &'a [u8],
    },
    /// NORM_REPORT: reserved by the RFC.
    Report {
        /// Whatever it is.
        payload: &'a [u8],
    },
}

/// What every message of a sender says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Another one after each restart (instance_id).
    pub instance: u16,
    /// The group's greatest round-trip time, as [`quantize_rtt`] says it (grtt).
    pub grtt: u8,
    /// The back-off factor K, 0 to 15 (backoff).
    pub backoff: u8,
    /// The number of receivers, as [`quantize_group_size`] says it (gsize).
    pub group_size: u8,
}

/// What every message on an object says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The sender.
    pub sender: SenderInfo,
    /// See [`Flags`].
    pub flags: Flags,
    /// The FEC scheme.
    pub fec: FecId,
    /// The object (object_transport_id); numbers go round.
    pub object: u16,
}

/// The flags of an object and of the message that is about it.
// RFC 5740 §4.2.1: NORM_DATA flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The message repairs something.
    pub const REPAIR: Self = Self(0x01);
    /// The symbol is a repair that was asked for by its name.
    pub const EXPLICIT: Self = Self(0x02);
    /// There is a NORM_INFO for the object.
    pub const INFO: Self = Self(0x04);
    /// Nothing will be repaired.
    pub const UNRELIABLE: Self = Self(0x08);
    /// The object is a file, and should be stored.
    pub const FILE: Self = Self(0x10);
    /// The object is a stream.
    pub const STREAM: Self = Self(0x20);

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

/// What every message of a receiver says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// To which sender it is (server_id).
    pub sender: u32,
    /// To which of its instances.
    pub instance: u16,
    /// The last probe's time plus how long ago it came; zero before a probe has come
    /// (grtt_response).
    pub grtt_response: Timestamp,
}

/// A time by the sender's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds.
    pub seconds: u32,
    /// Microseconds, below a million.
    pub micros: u32,
}

impl Body<'_> {
    /// The acknowledgement answers a probe of congestion control (NORM_ACK(CC)).
    pub const ACK_CC: u8 = 1;
    /// The acknowledgement says that all up to a position has come (NORM_ACK(FLUSH)).
    pub const ACK_FLUSH: u8 = 2;
    /// The first kind of those that are the application's.
    pub const ACK_APPLICATION: u8 = 16;
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    ///
    /// It is of something else, of another version, cut off, or names a FEC scheme that is not known.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(datagram);
        let first = reader.u8()?;
        if first >> 4 != VERSION {
            return Err(Malformed::new("it is no NORM of version 1", 0));
        }
        let header = usize::from(reader.u8()?) * 4;
        if header > datagram.len() {
            return Err(Malformed::new("the header is longer than the datagram", 1));
        }
        let sequence = reader.u16()?;
        let source = reader.u32()?;
        let fields = Fields::parse(first & 0x0f, &mut reader)?;
        if reader.offset() > header {
            return Err(Malformed::new("the header is shorter than its fields", 1));
        }
        let extensions = Extensions::parse(&mut reader, header, fields.fec())?;
        Ok(Self {
            sequence,
            source,
            extensions,
            body: fields.body(&mut reader)?,
        })
    }

    /// The datagram.
    pub fn emit(&self) -> Bytes {
        let mut writer = Writer::with_capacity(64);
        self.write(&mut writer);
        writer.finish()
    }

    fn write(&self, writer: &mut Writer) {
        let mut head = Writer::with_capacity(64);
        let kind = self.body.emit_fields(&mut head);
        self.extensions.emit(self.body.fec(), &mut head);
        let head = head.finish();
        let words = u8::try_from((head.len() + 8) / 4).unwrap_or(u8::MAX);
        writer
            .u8(VERSION << 4 | kind)
            .u8(words)
            .u16(self.sequence)
            .u32(self.source)
            .bytes(&head);
        self.body.emit_payload(writer);
    }
}

/// Where a NORM_DATA message has its sequence number.
pub(crate) const SEQUENCE_AT: usize = 2;
/// Where it has its flags.
pub(crate) const FLAGS_AT: usize = 12;
/// Where it has the symbol's name.
pub(crate) const PAYLOAD_ID_AT: usize = 16;

/// The fields of a message before its extensions, of which the payload is still to be read.
enum Fields {
    Info(ObjectInfo),
    Data(ObjectInfo, PayloadId),
    Flush(SenderInfo, Position),
    EndOfTransmission(SenderInfo),
    Squelch(SenderInfo, Position),
    CongestionControl(SenderInfo, u16, Timestamp),
    RepairAdvertisement(SenderInfo, bool),
    AckRequest(SenderInfo, u8, u8),
    Application(SenderInfo),
    Nack(Feedback),
    Ack(Feedback, u8, u8),
    Report,
}

impl Fields {
    fn parse(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            1 => Self::Info(ObjectInfo::parse(reader)?),
            2 => {
                let object = ObjectInfo::parse(reader)?;
                Self::Data(object, PayloadId::parse(object.fec, reader)?)
            }
            3 => Self::parse_command(reader)?,
            4 => {
                let (feedback, _, _) = Feedback::parse(reader)?;
                Self::Nack(feedback)
            }
            5 => {
                let (feedback, kind, id) = Feedback::parse(reader)?;
                Self::Ack(feedback, kind, id)
            }
            6 => Self::Report,
            _ => return Err(Malformed::new("there is no such type of message", 0)),
        })
    }

    fn parse_command(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let sender = SenderInfo::parse(reader)?;
        let offset = reader.offset();
        Ok(match reader.u8()? {
            1 => Self::Flush(sender, Position::parse(reader)?),
            2 => {
                reader.array::<3>()?;
                Self::EndOfTransmission(sender)
            }
            3 => Self::Squelch(sender, Position::parse(reader)?),
            4 => {
                reader.u8()?;
                let sequence = reader.u16()?;
                Self::CongestionControl(sender, sequence, Timestamp::parse(reader)?)
            }
            5 => {
                let flags = reader.u8()?;
                reader.u16()?;
                Self::RepairAdvertisement(sender, flags & 0x01 != 0)
            }
            6 => {
                reader.u8()?;
                Self::AckRequest(sender, reader.u8()?, reader.u8()?)
            }
            7 => {
                reader.array::<3>()?;
                Self::Application(sender)
            }
            _ => return Err(Malformed::new("there is no such command", offset)),
        })
    }

    const fn fec(&self) -> Option<FecId> {
        match self {
            Self::Info(object) | Self::Data(object, _) => Some(object.fec),
            _ => None,
        }
    }

    fn body<'a>(self, reader: &mut Reader<'a>) -> Result<Body<'a>, Malformed> {
        let (sender, command) = match self {
            Self::Info(object) => {
                let payload = reader.rest();
                return Ok(Body::Info { object, payload });
            }
            Self::Data(object, id) => {
                return Ok(Body::Data {
                    object,
                    id,
                    payload: reader.rest(),
                });
            }
            Self::Nack(feedback) => {
                return Ok(Body::Nack {
                    feedback,
                    requests: Request::parse_all(reader)?,
                });
            }
            Self::Ack(feedback, kind, id) => {
                return Ok(Body::Ack {
                    feedback,
                    kind,
                    id,
                    payload: reader.rest(),
                });
            }
            Self::Report => {
                let payload = reader.rest();
                return Ok(Body::Report { payload });
            }
            Self::Flush(sender, at) => {
                let nodes = Nodes::parse(reader)?;
                (sender, Command::Flush { at, nodes })
            }
            Self::EndOfTransmission(sender) => {
                reader.rest();
                (sender, Command::EndOfTransmission)
            }
            Self::Squelch(sender, from) => {
                let offset = reader.offset();
                let invalid = reader.rest();
                if !invalid.len().is_multiple_of(2) {
                    return Err(Malformed::new("half an object is none", offset));
                }
                (sender, Command::Squelch { from, invalid })
            }
            Self::CongestionControl(sender, sequence, time) => {
                let nodes = CcNode::parse_all(reader)?;
                let command = Command::CongestionControl {
                    sequence,
                    time,
                    nodes,
                };
                (sender, command)
            }
            Self::RepairAdvertisement(sender, limited) => {
                let requests = Request::parse_all(reader)?;
                (sender, Command::RepairAdvertisement { limited, requests })
            }
            Self::AckRequest(sender, kind, id) => {
                let nodes = Nodes::parse(reader)?;
                (sender, Command::AckRequest { kind, id, nodes })
            }
            Self::Application(sender) => {
                let payload = reader.rest();
                (sender, Command::Application { payload })
            }
        };
        Ok(Body::Command { sender, command })
    }
}

impl Body<'_> {
    /// The FEC scheme by which EXT_FTI is to be read, where there may be one.
    const fn fec(&self) -> Option<FecId> {
        match self {
            Self::Info { object, .. } | Self::Data { object, .. } => Some(object.fec),
            _ => None,
        }
    }

    /// Writes the fields before the extensions, and gives the type.
    fn emit_fields(&self, writer: &mut Writer) -> u8 {
        match self {
            Self::Info { object, .. } => {
                object.emit(writer);
                1
            }
            Self::Data { object, id, .. } => {
                object.emit(writer);
                id.emit(object.fec, writer);
                2
            }
            Self::Command { sender, command } => {
                sender.emit(writer);
                command.emit_fields(writer);
                3
            }
            Self::Nack { feedback, .. } => {
                feedback.emit(0, 0, writer);
                4
            }
            Self::Ack {
                feedback, kind, id, ..
            } => {
                feedback.emit(*kind, *id, writer);
                5
            }
            Self::Report { .. } => 6,
        }
    }

    fn emit_payload(&self, writer: &mut Writer) {
        match self {
            Self::Info { payload, .. }
            | Self::Data { payload, .. }
            | Self::Ack { payload, .. }
            | Self::Report { payload } => {
                writer.bytes(payload);
            }
            Self::Nack { requests, .. } => {
                requests.iter().for_each(|request| request.emit(writer));
            }
            Self::Command { command, .. } => command.emit_payload(writer),
        }
    }
}

impl SenderInfo {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let instance = reader.u16()?;
        let grtt = reader.u8()?;
        let octet = reader.u8()?;
        Ok(Self {
            instance,
            grtt,
            backoff: octet >> 4,
            group_size: octet & 0x0f,
        })
    }

    fn emit(self, writer: &mut Writer) {
        writer
            .u16(self.instance)
            .u8(self.grtt)
            .u8(self.backoff << 4 | self.group_size & 0x0f);
    }
}

impl ObjectInfo {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            sender: SenderInfo::parse(reader)?,
            flags: Flags(reader.u8()?),
            fec: FecId::parse(reader)?,
            object: reader.u16()?,
        })
    }

    fn emit(self, writer: &mut Writer) {
        self.sender.emit(writer);
        writer
            .u8(self.flags.0)
            .u8(self.fec.number())
            .u16(self.object);
    }
}

impl Feedback {
    /// With the two octets that a NORM_ACK says more than a NORM_NACK.
    fn parse(reader: &mut Reader<'_>) -> Result<(Self, u8, u8), Malformed> {
        let (sender, instance) = (reader.u32()?, reader.u16()?);
        let (kind, id) = (reader.u8()?, reader.u8()?);
        let feedback = Self {
            sender,
            instance,
            grtt_response: Timestamp::parse(reader)?,
        };
        Ok((feedback, kind, id))
    }

    fn emit(self, kind: u8, id: u8, writer: &mut Writer) {
        writer.u32(self.sender).u16(self.instance).u8(kind).u8(id);
        self.grtt_response.emit(writer);
    }
}

impl Timestamp {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            seconds: reader.u32()?,
            micros: reader.u32()?,
        })
    }

    pub(super) fn emit(self, writer: &mut Writer) {
        writer.u32(self.seconds).u32(self.micros);
    }
}
