//! Control messages (`cmsg(3)`), read and written as bytes.

use libc::c_int;

/// Room for the control messages of one datagram, in bytes: those that [`super::enable`] asks for
/// take up to 168, and with an entry of the error queue 232.
pub(crate) const CONTROL_LEN: usize = 256;

/// `cmsg_len`, `cmsg_level` and `cmsg_type`; then the data, aligned to a machine word.
const HEADER_LEN: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();

/// One control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlMessage<'a> {
    pub(crate) level: c_int,
    pub(crate) kind: c_int,
    pub(crate) data: &'a [u8],
}

impl ControlMessage<'_> {
    pub(crate) fn is(&self, level: c_int, kind: c_int) -> bool {
        self.level == level && self.kind == kind
    }

    /// The first bytes of the data, if there are as many.
    pub(crate) fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.data.get(offset..offset + N)?.try_into().ok()
    }

    pub(crate) fn int(&self) -> Option<c_int> {
        self.array(0).map(c_int::from_ne_bytes)
    }
}

/// The control messages in what the kernel wrote. A broken one ends them.
pub(crate) fn control_messages(mut bytes: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let len = usize::from_ne_bytes(*header.first_chunk()?);
        let level = c_int::from_ne_bytes(*header[ALIGN..].first_chunk()?);
        let kind = c_int::from_ne_bytes(*header.last_chunk()?);
        let data = bytes.get(HEADER_LEN..len)?;
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(ControlMessage { level, kind, data })
    })
}

/// The control messages to send with one datagram, aligned as the kernel wants them.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(crate) struct ControlWriter {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl ControlWriter {
    /// Packet information of IPv6 (40 bytes), hop limit, traffic class and segment size (24 bytes
    /// each).
    const CAPACITY: usize = 112;

    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            len: 0,
        }
    }

    /// Appends one message.
    #[inline]
    pub(crate) fn push(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        let len = HEADER_LEN + data.len();
        let room = &mut self.bytes[self.len..];
        room[..ALIGN].copy_from_slice(&len.to_ne_bytes());
        room[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        room[ALIGN + 4..HEADER_LEN].copy_from_slice(&kind.to_ne_bytes());
        room[HEADER_LEN..len].copy_from_slice(data);
        self.len += len.next_multiple_of(ALIGN);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlMessage, ControlWriter, control_messages};

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = ControlWriter::new();
        writer.push(1, 2, &[1, 2, 3]);
        writer.push(3, 4, &[]);
        writer.push(5, 6, &[9; 8]);
        let messages: Vec<_> = control_messages(writer.as_bytes()).collect();
        assert_eq!(
            messages,
            [
                ControlMessage {
                    level: 1,
                    kind: 2,
                    data: &[1, 2, 3]
                },
                ControlMessage {
                    level: 3,
                    kind: 4,
                    data: &[]
                },
                ControlMessage {
                    level: 5,
                    kind: 6,
                    data: &[9; 8]
                },
            ]
        );
    }

    #[test]
    fn a_broken_length_ends_the_messages() {
        let mut writer = ControlWriter::new();
        writer.push(1, 2, &[7; 4]);
        for len in [0_usize, 3, 15, 99, usize::MAX] {
            let mut bytes = writer.as_bytes().to_vec();
            bytes[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(control_messages(&bytes).count(), 0, "length {len}");
        }
        for end in 0..writer.as_bytes().len() - 4 {
            assert_eq!(
                control_messages(&writer.as_bytes()[..end]).count(),
                0,
                "cut at {end}"
            );
        }
    }
}
