//! Which datagrams came back as undeliverable: `IP_RECVERR` (`ip(7)`) and `IPV6_RECVERR`
//! (`ipv6(7)`).

use std::io;
use std::os::fd::BorrowedFd;

use super::super::calls;
use super::ControlMessage;

pub(crate) fn enable(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        calls::set_int(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    } else {
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    }
}

/// The errno of an entry of the error queue, if an ICMP message of another host caused it.
pub(crate) fn decode(message: &ControlMessage<'_>) -> Option<i32> {
    const SO_EE_ORIGIN_ICMP: u8 = 2;
    const SO_EE_ORIGIN_ICMP6: u8 = 3;
    let is = message.is(libc::IPPROTO_IP, libc::IP_RECVERR)
        || message.is(libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
    // struct sock_extended_err { u32 ee_errno; u8 ee_origin; … }
    let origin = message.data.get(4)?;
    let icmp = [SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6].contains(origin);
    if is && icmp { message.int() } else { None }
}
