//! Socket addresses as the system calls want them.

#![allow(unsafe_code)]
// The sizes are those of small structures, and their C types differ by system.
#![allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::c_int;

/// A socket address of either family, at its size and not at that of `sockaddr_storage`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

pub(super) fn to_name(address: SocketAddr) -> (Name, libc::socklen_t) {
    match address {
        SocketAddr::V4(address) => (
            Name {
                v4: to_in(&address),
            },
            size_of_len::<libc::sockaddr_in>(),
        ),
        SocketAddr::V6(address) => (
            Name {
                v6: to_in6(&address),
            },
            size_of_len::<libc::sockaddr_in6>(),
        ),
    }
}

pub(super) fn size_of_len<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

pub(super) fn to_in(address: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

pub(super) fn to_in6(address: &SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as _,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: address.scope_id(),
    }
}

pub(super) fn to_storage(address: IpAddr) -> libc::sockaddr_storage {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let pointer = &raw mut storage;
    match address {
        IpAddr::V4(ip) => {
            let name = to_in(&SocketAddrV4::new(ip, 0));
            // SAFETY: `sockaddr_storage` is large and aligned enough for any socket address.
            unsafe { pointer.cast::<libc::sockaddr_in>().write(name) };
        }
        IpAddr::V6(ip) => {
            let name = to_in6(&SocketAddrV6::new(ip, 0, 0, 0));
            // SAFETY: as above.
            unsafe { pointer.cast::<libc::sockaddr_in6>().write(name) };
        }
    }
    storage
}

pub(super) fn to_socket_addr(name: &Name, len: libc::socklen_t) -> Option<SocketAddr> {
    // SAFETY: every family begins with this field, and none has invalid values.
    match c_int::from(unsafe { name.family }) {
        libc::AF_INET if len >= size_of_len::<libc::sockaddr_in>() => {
            // SAFETY: the kernel wrote this family.
            let address = unsafe { name.v4 };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of_len::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { name.v6 };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            let flow = address.sin6_flowinfo;
            Some(SocketAddrV6::new(ip, port, flow, address.sin6_scope_id).into())
        }
        _ => None,
    }
}
