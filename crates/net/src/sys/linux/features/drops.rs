//! How many datagrams the kernel dropped on a socket because its buffer was full: `SO_RXQ_OVFL`
//! (`socket(7)`).

use std::io;
use std::os::fd::BorrowedFd;

use super::super::calls;
use super::{ControlMessage, Metadata};

pub(super) fn enable(fd: BorrowedFd<'_>, _ipv4: bool) -> io::Result<()> {
    calls::set_int(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

pub(super) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    let is = message.is(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
    if is {
        metadata.dropped = message.array(0).map(u32::from_ne_bytes);
    }
    is
}
