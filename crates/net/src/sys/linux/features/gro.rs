//! Many datagrams from one source as one buffer, with the size to cut it at: `UDP_GRO` (`udp(7)`),
//! generic receive offload.

use std::io;
use std::os::fd::BorrowedFd;

use super::super::calls;
use super::{ControlMessage, Metadata};

/// `linux/udp.h`; not in every C library's header.
const UDP_GRO: i32 = 104;

pub(crate) fn enable(fd: BorrowedFd<'_>) -> io::Result<()> {
    calls::set_int(fd, libc::SOL_UDP, UDP_GRO, 1)
}

pub(super) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    let is = message.is(libc::SOL_UDP, UDP_GRO);
    if is {
        metadata.segment = message.int().and_then(|size| usize::try_from(size).ok());
    }
    is
}
