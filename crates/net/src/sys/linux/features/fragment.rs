//! Whether datagrams may be cut up on the way: `IP_MTU_DISCOVER` (`ip(7)`) and `IPV6_DONTFRAG`
//! (RFC 3542 §11.2).

use std::io;
use std::os::fd::BorrowedFd;

use super::super::calls;

/// Sets the don't-fragment bit of all that is sent from now on, or leaves it to the system as at the
/// beginning. IPv4 has no control message for it, so it is an option of the socket.
///
/// With it the kernel's own idea of the path MTU does not count, since whoever sets the bit looks
/// for the MTU by himself (RFC 8899 §4.1).
pub(crate) fn set(fd: BorrowedFd<'_>, ipv4: bool, dont_fragment: bool) -> io::Result<()> {
    if ipv4 {
        let mode = if dont_fragment {
            libc::IP_PMTUDISC_PROBE
        } else {
            libc::IP_PMTUDISC_WANT
        };
        calls::set_int(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)
    } else {
        let mode = if dont_fragment {
            libc::IPV6_PMTUDISC_PROBE
        } else {
            libc::IPV6_PMTUDISC_WANT
        };
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)?;
        let dont_fragment = dont_fragment.into();
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, dont_fragment)
    }
}
