//! Socket options that are of Linux alone.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use socket2::SockRef;

use super::calls::set_int;

/// `linux/in6.h`; the C library's header lacks it.
const IPV6_MULTICAST_ALL: i32 = 29;

/// Receives of groups only those that the socket itself has joined, not whatever the host has
/// (`IP_MULTICAST_ALL` in `ip(7)`).
pub(crate) fn receive_only_joined(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_int(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)
    } else {
        set_int(fd, libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    }
}

/// Sends UDP datagrams of IPv6 without a checksum, and receives such (`linux/udp.h`).
pub(crate) fn omit_checksum(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_UDP, libc::UDP_NO_CHECK6_TX, 1)?;
    set_int(fd, libc::IPPROTO_UDP, libc::UDP_NO_CHECK6_RX, 1)
}

/// Receives and sends by one interface alone (`SO_BINDTOIFINDEX`, `SO_BINDTODEVICE` in `socket(7)`).
pub(crate) fn bind_device(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let name = interface_name(index);
    // The kernel would take an index that no interface has. A name that is no text does no harm.
    if let Err(error) = &name
        && error.raw_os_error() != Some(libc::EILSEQ)
    {
        return name.map(drop);
    }
    let bound = set_int(
        fd,
        libc::SOL_SOCKET,
        libc::SO_BINDTOIFINDEX,
        index.cast_signed(),
    );
    match (bound, name) {
        // The index can be given since Linux 5.1. An empty name would mean all interfaces.
        (Err(error), Ok(name)) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            SockRef::from(&fd).bind_device(Some(name.as_bytes()))
        }
        (bound, _) => bound,
    }
}

/// Asks for a receive buffer beyond the system's limit, which changes nothing but this socket
/// (`SO_RCVBUFFORCE` in `socket(7)`). It needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(fd: BorrowedFd<'_>, size: usize) -> io::Result<()> {
    let size = i32::try_from(size).unwrap_or(i32::MAX / 2);
    set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size)
}

/// The size of a buffer as it would be asked for: Linux doubles it, to pay for its own bookkeeping
/// (`socket(7)`).
pub(crate) const fn asked_buffer(size: usize) -> usize {
    size / 2
}

/// The name of an interface, unless it is gone, or the name is not UTF-8 (`EILSEQ`).
pub(crate) fn interface_name(index: u32) -> io::Result<String> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    Ok(netdevice::index_to_name(socket, index)?)
}
