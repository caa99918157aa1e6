//! The hop limit that each datagram had left, and that of those to send: `IP_RECVTTL` and `IP_TTL`
//! (`ip(7)`), `IPV6_RECVHOPLIMIT` and `IPV6_HOPLIMIT` (RFC 3542 §6.3).

use std::io;
use std::os::fd::BorrowedFd;

use super::super::calls;
use super::{ControlMessage, ControlWriter, Metadata};

pub(super) fn enable(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        calls::set_int(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)
    } else {
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
    }
}

pub(super) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    let is = message.is(libc::IPPROTO_IP, libc::IP_TTL)
        || message.is(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT);
    if is {
        metadata.hops = message.int().and_then(|hops| u8::try_from(hops).ok());
    }
    is
}

/// Sends with this hop limit, from 1.
pub(super) fn encode(ipv4: bool, hops: u8, writer: &mut ControlWriter) {
    let (level, kind) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_TTL)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
    };
    writer.push(level, kind, &i32::from(hops).to_ne_bytes());
}
