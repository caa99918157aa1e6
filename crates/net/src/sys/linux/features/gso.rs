//! Many datagrams to one destination as one buffer, which the kernel or the device cuts up:
//! `UDP_SEGMENT` (`udp(7)`), generic segmentation offload.

use super::ControlWriter;

/// How many segments one buffer may have: the limit of kernels before 6.9 (`UDP_MAX_SEGMENTS`).
pub(crate) const MAX_SEGMENTS: usize = 64;

/// `linux/udp.h`; not in every C library's header.
const UDP_SEGMENT: i32 = 103;

/// Cuts the buffer into datagrams of `size` bytes, of which the last may be shorter.
pub(crate) fn encode(size: u16, writer: &mut ControlWriter) {
    writer.push(libc::SOL_UDP, UDP_SEGMENT, &size.to_ne_bytes());
}

/// Whether a send failed because segmentation was asked for: a segment longer than the MTU of the
/// way (EINVAL, EMSGSIZE), or a way that cannot compute the checksums (EIO).
pub(crate) const fn is_refusal(errno: i32) -> bool {
    matches!(
        errno,
        libc::EINVAL | libc::EMSGSIZE | libc::EIO | libc::EOPNOTSUPP
    )
}
