//! The UDP sockets of all programs of this host, as `sock_diag(7)` tells of them.

#[cfg(test)]
mod tests;

use crate::Flow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use manycast_net::netlink::{Connection, Message, Request, attributes, u16_at, u32_at};
use manycast_net::{Error, Operation};

use super::udp_table;

/// A UDP socket of some program, as it was when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSocket {
    /// What it is bound to; the unspecified address takes what comes to any.
    pub local: SocketAddr,
    /// The peer that it is connected to: it receives from nobody else.
    pub peer: Option<SocketAddr>,
    /// The index of the only interface that it receives by (`SO_BINDTODEVICE`).
    pub device: Option<u32>,
    /// By this number `/proc/PID/fd` tells whose it is.
    pub inode: u32,
    /// The user that it belongs to.
    pub user: u32,
    /// Bytes that wait to be received, with the kernel's bookkeeping.
    pub waiting: u32,
    /// The size of its receive buffer in bytes, which is twice what its program asked for
    /// (`socket(7)`), where the kernel says so.
    pub receive_buffer: Option<u32>,
    /// How many datagrams were dropped since its buffer was full, modulo 2³², where the kernel
    /// says so.
    pub drops: Option<u32>,
    /// Whether it receives whatever group any program of this host has joined
    /// (`IP_MULTICAST_ALL`), where the kernel says so; of IPv6 it does not.
    pub multicast_all: Option<bool>,
    /// Whether members on this host receive what it sends to groups (`IP_MULTICAST_LOOP`), where
    /// the kernel says so; of IPv6 it does not.
    pub loopback: Option<bool>,
    /// Whether it is a socket of IPv6. Bound to an address of IPv4, it stands for one of IPv4.
    pub ipv6: bool,
    /// Whether it is an IPv6 socket that takes no IPv4 datagrams (`IPV6_V6ONLY`).
    pub only_v6: bool,
}

impl OpenSocket {
    /// Whether datagrams of this version of IP can reach it.
    pub fn takes(&self, ipv4: bool) -> bool {
        match (self.ipv6, self.local.is_ipv4()) {
            (false, _) | (true, true) => ipv4,
            // Only the unspecified address of IPv6 is that of IPv4 as well.
            (true, false) if ipv4 => !self.only_v6 && self.local.ip().is_unspecified(),
            (true, false) => true,
        }
    }

    /// Whether it receives a flow of its peer, where it is connected.
    pub(crate) fn admits(&self, flow: &Flow) -> bool {
        self.peer
            .is_none_or(|peer| flow.source.ip() == peer.ip() && flow.may_come_from(peer.port()))
    }

    /// A socket that was never bound: the kernel does not list it, and no more is known of it.
    pub(crate) fn unbound(inode: u32, ipv4: bool) -> Self {
        let any: IpAddr = if ipv4 {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        Self {
            local: SocketAddr::new(any, 0),
            peer: None,
            device: None,
            inode,
            user: 0,
            waiting: 0,
            receive_buffer: None,
            drops: None,
            multicast_all: None,
            loopback: None,
            ipv6: !ipv4,
            only_v6: !ipv4,
        }
    }
}

/// `<linux/sock_diag.h>`, `<linux/inet_diag.h>`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKMEMINFO: u16 = 7;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_SOCKOPT: u16 = 22;

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states (4), socket (48).
const REQUEST: usize = 56;
/// `struct inet_diag_msg`: four bytes, socket (48), expires, queues (2 × 4), user, inode.
const ANSWER: usize = 72;
/// The socket within the answer: ports (2 × 2, in network order), addresses (2 × 16), interface.
const LOCAL_PORT: usize = 4;
const PEER_PORT: usize = 6;
const LOCAL: usize = 8;
const PEER: usize = 24;
const DEVICE: usize = 40;
const WAITING: usize = 56;
const USER: usize = 64;
const INODE: usize = 68;

/// Lists the UDP sockets of the network namespace of this thread, of both versions of IP.
///
/// # Errors
///
/// When the kernel cannot be asked.
///
/// ```
/// for socket in manycast_doctor::open_sockets()? {
///     println!("{} {:?}", socket.local, socket.drops);
/// }
/// # Ok::<(), manycast_net::Error>(())
/// ```
pub fn open_sockets() -> Result<Vec<OpenSocket>, Error> {
    let list = || {
        let mut connection = Connection::open(libc::NETLINK_SOCK_DIAG)?;
        let mut sockets = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut fixed = [0; REQUEST];
            fixed[0] = u8::try_from(family).expect("families have one byte");
            fixed[1] = u8::try_from(libc::IPPROTO_UDP).expect("protocols have one byte");
            fixed[2] = 1 << (INET_DIAG_SKMEMINFO - 1);
            // Sockets in whatever state.
            fixed[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
            sockets.extend(connection.list(&Request::new(SOCK_DIAG_BY_FAMILY, &fixed), socket)?);
        }
        Ok(sockets)
    };
    list()
        .or_else(|error: io::Error| match error.kind() {
            // The module udp_diag is not loaded, and this process may not have it loaded.
            io::ErrorKind::NotFound => udp_table::list(),
            _ => Err(error),
        })
        .map_err(|error| Error::new(Operation::List, "the UDP sockets", error))
}

/// Reads one socket.
pub(crate) fn socket(message: Message<'_>) -> Option<OpenSocket> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let fixed = message.payload.get(..ANSWER)?;
    let ipv4 = libc::c_int::from(fixed[0]) == libc::AF_INET;
    let address = |at: usize| -> Option<IpAddr> {
        Some(if ipv4 {
            Ipv4Addr::from(*fixed.get(at..)?.first_chunk()?).into()
        } else {
            // RFC 4291 §2.5.5.2: an IPv6 socket stands for one of IPv4 by such an address.
            Ipv6Addr::from(*fixed.get(at..)?.first_chunk()?).to_canonical()
        })
    };
    let port = |at| u16_at(fixed, at).map(u16::from_be);
    let peer = SocketAddr::new(address(PEER)?, port(PEER_PORT)?);
    let mut socket = OpenSocket {
        local: SocketAddr::new(address(LOCAL)?, port(LOCAL_PORT)?),
        peer: (peer.port() != 0).then_some(peer),
        device: u32_at(fixed, DEVICE).filter(|index| *index != 0),
        inode: u32_at(fixed, INODE)?,
        user: u32_at(fixed, USER)?,
        waiting: u32_at(fixed, WAITING)?,
        receive_buffer: None,
        drops: None,
        multicast_all: None,
        loopback: None,
        ipv6: !ipv4,
        only_v6: false,
    };
    for (kind, value) in attributes(message.payload, ANSWER) {
        match kind {
            INET_DIAG_SKMEMINFO => {
                socket.receive_buffer = u32_at(value, 4);
                socket.drops = u32_at(value, 32);
            }
            INET_DIAG_SKV6ONLY => socket.only_v6 = value.first() == Some(&1),
            // The bits of `struct inet_diag_sockopt` in their order.
            INET_DIAG_SOCKOPT => {
                let bit = |number: u8| {
                    let number = if cfg!(target_endian = "big") {
                        7 - number
                    } else {
                        number
                    };
                    value.first().map(|bits| bits & (1 << number) != 0)
                };
                // These are the options of IPv4; a socket of IPv6 has others, which are not told.
                if ipv4 {
                    socket.loopback = bit(4);
                    socket.multicast_all = bit(6);
                }
            }
            _ => {}
        }
    }
    Some(socket)
}
