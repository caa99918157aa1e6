//! Destination address and interface of each datagram, and the way of those to send: `IP_PKTINFO`
//! (`ip(7)`) and `IPV6_PKTINFO` (RFC 3542 §6.1).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use super::super::calls;
use super::{ControlMessage, ControlWriter, Metadata};

pub(crate) fn enable(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        calls::set_int(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        calls::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

pub(crate) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    if message.is(libc::IPPROTO_IP, libc::IP_PKTINFO) {
        // struct in_pktinfo { int ipi_ifindex; in_addr ipi_spec_dst; in_addr ipi_addr; }
        let (Some(index), Some(local), Some(destination)) = (
            message.array(0),
            message.array::<4>(4),
            message.array::<4>(8),
        ) else {
            return true;
        };
        let destination = Ipv4Addr::from(destination);
        metadata.interface = u32::from_ne_bytes(index);
        metadata.destination = Some(destination.into());
        // For a broadcast, `ipi_spec_dst` is the interface's own address. For a group it is one
        // that the route would choose, which is no better than letting the route choose.
        metadata.local = (!destination.is_multicast()).then(|| Ipv4Addr::from(local).into());
        true
    } else if message.is(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
        // struct in6_pktinfo { in6_addr ipi6_addr; unsigned ipi6_ifindex; }
        let (Some(destination), Some(index)) = (message.array::<16>(0), message.array(16)) else {
            return true;
        };
        let destination = Ipv6Addr::from(destination);
        metadata.interface = u32::from_ne_bytes(index);
        metadata.destination = Some(destination.into());
        metadata.local = (!destination.is_multicast()).then_some(destination.into());
        true
    } else {
        false
    }
}

/// Sends from `source` and by `interface`, as far as they are given.
pub(crate) fn encode(
    ipv4: bool,
    source: Option<IpAddr>,
    interface: Option<u32>,
    writer: &mut ControlWriter,
) {
    let index = interface.unwrap_or(0).to_ne_bytes();
    if ipv4 {
        let source = match source {
            Some(IpAddr::V4(source)) => source,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let mut info = [0; 12];
        info[..4].copy_from_slice(&index);
        info[4..8].copy_from_slice(&source.octets());
        writer.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
    } else {
        let source = match source {
            Some(IpAddr::V6(source)) => source,
            _ => Ipv6Addr::UNSPECIFIED,
        };
        let mut info = [0; 20];
        info[..16].copy_from_slice(&source.octets());
        info[16..].copy_from_slice(&index);
        writer.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    }
}
