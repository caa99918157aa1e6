//! The congestion mark of each datagram (RFC 3168 §5), and the traffic class of those to send:
//! `IP_RECVTOS` and `IP_TOS` (`ip(7)`), `IPV6_RECVTCLASS` and `IPV6_TCLASS` (RFC 3542 §6.5).

use std::io;
use std::os::fd::BorrowedFd;

use manycast_types::Ecn;

use super::super::calls;
use super::{ControlMessage, ControlWriter, Metadata};

pub(super) fn enable(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        calls::set_int(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
    } else {
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
    }
}

pub(super) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    // IPv4 sends one octet, IPv6 an int.
    let octet = if message.is(libc::IPPROTO_IP, libc::IP_TOS) {
        message.data.first().copied()
    } else if message.is(libc::IPPROTO_IPV6, libc::IPV6_TCLASS) {
        message.int().and_then(|class| u8::try_from(class).ok())
    } else {
        return false;
    };
    metadata.ecn = octet.map(Ecn::from_traffic_class).unwrap_or_default();
    true
}

/// Sends with this octet: code point and mark.
pub(super) fn encode(ipv4: bool, octet: u8, writer: &mut ControlWriter) {
    let (level, kind) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_TOS)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
    };
    writer.push(level, kind, &i32::from(octet).to_ne_bytes());
}
