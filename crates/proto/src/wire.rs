//! Cursors over the bytes of a datagram, in network byte order.

use bytes::Bytes;
use manycast_types::Malformed;

/// Reads a datagram from front to back; whatever the bytes are, it never panics.
///
/// ```
/// use manycast_proto::wire::Reader;
///
/// let mut reader = Reader::new(&[0x01, 0x00, 0x02, b'h', b'i']);
/// assert_eq!(reader.u8(), Ok(1));
/// let length = reader.u16()?;
/// assert_eq!(reader.bytes(length.into()), Ok(&b"hi"[..]));
/// assert_eq!(reader.u32().unwrap_err().to_string(), "the datagram ends too early (offset 5)");
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// How many bytes were read.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes that are still to be read, without reading them.
    pub fn remaining(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// The next octet.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two octets as a number.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four octets as a number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight octets as a number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `N` octets, for addresses and identifiers.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&array, _) = self
            .remaining()
            .split_first_chunk()
            .ok_or_else(|| self.too_short())?;
        self.offset += N;
        Ok(array)
    }

    /// The next `length` octets.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, _) = self
            .remaining()
            .split_at_checked(length)
            .ok_or_else(|| self.too_short())?;
        self.offset += length;
        Ok(bytes)
    }

    /// All octets that remain.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.remaining();
        self.offset = self.bytes.len();
        rest
    }

    /// Succeeds when every byte was read, for formats that allow nothing after their end.
    pub fn end(&self) -> Result<(), Malformed> {
        match self.remaining() {
            [] => Ok(()),
            _ => Err(Malformed::new(
                "the datagram goes on after its end",
                self.offset,
            )),
        }
    }

    fn too_short(&self) -> Malformed {
        Malformed::new("the datagram ends too early", self.bytes.len())
    }
}

/// Writes a datagram from front to back.
///
/// ```
/// use manycast_proto::wire::Writer;
///
/// let mut writer = Writer::new();
/// writer.u8(1).u16(2).bytes(b"hi");
/// assert_eq!(writer.finish(), &[0x01, 0x00, 0x02, b'h', b'i'][..]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty datagram.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// An empty datagram with room for `length` bytes.
    pub fn with_capacity(length: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(length),
        }
    }

    /// How many bytes were written.
    pub const fn offset(&self) -> usize {
        self.bytes.len()
    }

    /// Appends an octet.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends a number of two octets.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a number of four octets.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a number of eight octets.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends octets as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The datagram.
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Field {
        U8(u8),
        U16(u16),
        U32(u32),
        U64(u64),
        Array([u8; 6]),
        Bytes(Vec<u8>),
    }

    fn field() -> impl Strategy<Value = Field> {
        prop_oneof![
            any::<u8>().prop_map(Field::U8),
            any::<u16>().prop_map(Field::U16),
            any::<u32>().prop_map(Field::U32),
            any::<u64>().prop_map(Field::U64),
            any::<[u8; 6]>().prop_map(Field::Array),
            any::<Vec<u8>>().prop_map(Field::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(fields in prop::collection::vec(field(), 0..20)) {
            let mut writer = Writer::new();
            for field in &fields {
                match field {
                    Field::U8(value) => writer.u8(*value),
                    Field::U16(value) => writer.u16(*value),
                    Field::U32(value) => writer.u32(*value),
                    Field::U64(value) => writer.u64(*value),
                    Field::Array(array) => writer.bytes(array),
                    Field::Bytes(bytes) => writer.bytes(bytes),
                };
            }
            let written = writer.offset();
            let datagram = writer.finish();
            prop_assert_eq!(datagram.len(), written);

            let mut reader = Reader::new(&datagram);
            for field in &fields {
                match field {
                    Field::U8(value) => prop_assert_eq!(reader.u8(), Ok(*value)),
                    Field::U16(value) => prop_assert_eq!(reader.u16(), Ok(*value)),
                    Field::U32(value) => prop_assert_eq!(reader.u32(), Ok(*value)),
                    Field::U64(value) => prop_assert_eq!(reader.u64(), Ok(*value)),
                    Field::Array(array) => prop_assert_eq!(reader.array(), Ok(*array)),
                    Field::Bytes(bytes) => {
                        prop_assert_eq!(reader.bytes(bytes.len()), Ok(bytes.as_slice()));
                    }
                }
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn no_input_panics_and_a_failed_read_reads_nothing(
            input in any::<Vec<u8>>(),
            reads in prop::collection::vec((0..8_u8, any::<usize>()), 0..20),
        ) {
            let mut reader = Reader::new(&input);
            for (kind, length) in reads {
                let before = reader.offset();
                let wanted = match kind {
                    0 => reader.u8().map(|_| 1),
                    1 => reader.u16().map(|_| 2),
                    2 => reader.u32().map(|_| 4),
                    3 => reader.u64().map(|_| 8),
                    4 => reader.array::<16>().map(|_| 16),
                    5 => reader.bytes(length).map(<[u8]>::len),
                    6 => reader.bytes(length % 8).map(<[u8]>::len),
                    _ => reader.end().map(|()| 0),
                };
                prop_assert_eq!(reader.offset(), before + wanted.unwrap_or(0));
                prop_assert_eq!(reader.remaining(), &input[reader.offset()..]);
            }
            let remaining = reader.remaining().len();
            prop_assert_eq!(reader.rest().len(), remaining);
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn what_goes_on_after_its_end_is_told_where() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(
            reader.end().unwrap_err().to_string(),
            "the datagram goes on after its end (offset 2)"
        );
    }
}
