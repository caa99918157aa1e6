//! What receivers ask to be repaired: the content of NORM_NACK and NORM_CMD(REPAIR_ADV).

use manycast_types::Malformed;

use super::{FecId, PayloadId};
use crate::wire::{Reader, Writer};

/// One repair request: items of one form and one level.
// RFC 5740 §4.3.1: NORM_NACK content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How the items are to be read.
    pub form: Form,
    /// What is wanted of them; see [`Request::SEGMENT`] and the following.
    pub flags: u8,
    /// What is wanted.
    pub items: Vec<Item>,
}

/// How the items of a request are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each for itself (NORM_NACK_ITEMS).
    Items,
    /// In pairs: from the first to the second of each, both included (NORM_NACK_RANGES).
    Ranges,
    /// The symbol is how many of the block are missing (NORM_NACK_ERASURES).
    Erasures,
}

/// A symbol, a block or an object, as the request's flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// By which FEC scheme the rest is to be read.
    pub fec: FecId,
    /// The object (object_transport_id).
    pub object: u16,
    /// The symbol within it.
    pub id: PayloadId,
}

impl Request {
    /// Symbols are wanted (NORM_NACK_SEGMENT).
    pub const SEGMENT: u8 = 0x01;
    /// Whole blocks are wanted (NORM_NACK_BLOCK).
    pub const BLOCK: u8 = 0x02;
    /// The NORM_INFO of the objects is wanted, alone or also (NORM_NACK_INFO).
    pub const INFO: u8 = 0x04;
    /// Whole objects are wanted (NORM_NACK_OBJECT).
    pub const OBJECT: u8 = 0x08;

    /// How many bytes it takes on the wire.
    pub fn len(&self) -> usize {
        let item = |item: &Item| 4 + item.fec.payload_id_len();
        4 + self.items.iter().map(item).sum::<usize>()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first and the last of each item or range, both included.
    pub fn ranges(&self) -> impl Iterator<Item = (Item, Item)> + '_ {
        let step = if self.form == Form::Ranges { 2 } else { 1 };
        self.items
            .chunks_exact(step)
            .map(|items| (items[0], items[items.len() - 1]))
    }

    /// Reads requests until the end.
    pub(super) fn parse_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let mut requests = Vec::new();
        while !reader.remaining().is_empty() {
            let offset = reader.offset();
            let form = match reader.u8()? {
                1 => Form::Items,
                2 => Form::Ranges,
                3 => Form::Erasures,
                _ => return Err(Malformed::new("there is no such form of request", offset)),
            };
            let flags = reader.u8()?;
            let length = usize::from(reader.u16()?);
            let end = reader.offset() + length;
            if length > reader.remaining().len() {
                return Err(Malformed::new("a request is cut off", end - length));
            }
            let mut items = Vec::new();
            while reader.offset() < end {
                items.push(Item::parse(reader)?);
            }
            if reader.offset() != end {
                return Err(Malformed::new("an item goes on after its request", end));
            }
            requests.push(Self { form, flags, items });
        }
        Ok(requests)
    }

    pub(super) fn emit(&self, writer: &mut Writer) {
        let form = match self.form {
            Form::Items => 1,
            Form::Ranges => 2,
            Form::Erasures => 3,
        };
        let length = u16::try_from(self.len() - 4).unwrap_or(u16::MAX);
        writer.u8(form).u8(self.flags).u16(length);
        for item in &self.items {
            writer.u8(item.fec.number()).u8(0).u16(item.object);
            item.id.emit(item.fec, writer);
        }
    }
}

impl Item {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let fec = FecId::parse(reader)?;
        reader.u8()?;
        Ok(Self {
            fec,
            object: reader.u16()?,
            id: PayloadId::parse(fec, reader)?,
        })
    }
}
