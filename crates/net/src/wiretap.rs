//! What comes in by any interface, before the host decides what to do with it (`packet(7)`).

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

/// An ear on all interfaces of the network namespace of the thread that opens it, for one version
/// of IP. It hears what comes in, joined or not, before firewalls, filters and bridges; it needs
/// `CAP_NET_RAW`.
///
/// What comes in by a port of a bridge is heard there, and on the bridge once more.
#[derive(Debug)]
pub struct Wiretap {
    socket: Socket,
    ipv4: bool,
    /// The type of Ethernet, as the kernel gives it.
    kind: u16,
}

/// Something that is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overheard {
    /// A querier asks for memberships.
    Query {
        /// Who asks.
        source: IpAddr,
        /// The version of IGMP, from 1 to 3, or of MLD, 1 or 2.
        version: u8,
    },
    /// A UDP datagram, or its first fragment.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// What it was sent to.
        destination: SocketAddr,
    },
}

/// How much longer it may take to pass over packets of no interest.
const PASSING: Duration = Duration::from_millis(20);

/// The buffer that is asked for, in bytes: packets wait there while others are looked at.
const BUFFER: usize = 4 << 20;

/// The headers that are of interest are shorter than this.
const HEADERS: usize = 256;

impl Wiretap {
    /// Opens it for IPv4 or for IPv6.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW`.
    pub fn open(ipv4: bool) -> io::Result<Self> {
        let kind = if ipv4 {
            libc::ETH_P_IP
        } else {
            libc::ETH_P_IPV6
        };
        let [kind, all] = [kind, libc::ETH_P_ALL].map(|kind| {
            let kind = u16::try_from(kind).expect("types of Ethernet have two bytes");
            kind.to_be()
        });
        // Those who ask for one type alone hear it only behind the ingress hook and the bridge.
        let protocol = Protocol::from(i32::from(all));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        // Where less is granted, more is missed, and no more than that.
        let _ = socket.set_recv_buffer_size(BUFFER);
        Ok(Self { socket, ipv4, kind })
    }

    /// Hears nothing more; what was heard before can still be asked for.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn close(&self) -> io::Result<()> {
        sys::refuse_packets(self.socket.as_fd())
    }

    /// Waits for a packet that is of interest, and gives it with the index of the interface that it
    /// came in by; `Ok(None)` when none came in time. Others are passed over, which may take a little
    /// longer. With a timeout of zero, it gives what waits to be read.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn next(&mut self, timeout: Duration) -> io::Result<Option<(u32, Overheard)>> {
        // No timeout at all would be for ever.
        let least = Duration::from_micros(1);
        self.socket.set_read_timeout(Some(timeout.max(least)))?;
        let begun = Instant::now();
        let mut buffer = [0; HEADERS];
        while begun.elapsed() <= timeout + PASSING {
            match sys::receive_packet(self.socket.as_fd(), &mut buffer) {
                Ok((_, origin)) if origin.outgoing || origin.kind != self.kind => {}
                Ok((length, origin)) => {
                    if let Some(overheard) = overheard(&buffer[..length], self.ipv4) {
                        return Ok(Some((origin.interface, overheard)));
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) =>
                {
                    return Ok(None);
                }
                // An interface that goes down says so once to all who listen on it.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Understands the headers of a packet.
pub(crate) fn overheard(packet: &[u8], ipv4: bool) -> Option<Overheard> {
    if ipv4 {
        over_ipv4(packet)
    } else {
        over_ipv6(packet)
    }
}

fn over_ipv4(packet: &[u8]) -> Option<Overheard> {
    let header = packet.get(..20)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Later fragments have no ports.
    if header[0] >> 4 != 4 || u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 4] = *header.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv4Addr::from(octets)))
    };
    let (source, destination) = (address(12)?, address(16)?);
    let payload = packet.get(length..)?;
    match header[9] {
        // RFC 9776 §7.1: the versions are told apart by length and by the second octet.
        2 if payload.first() == Some(&0x11) => Some(Overheard::Query {
            source,
            version: match (total.checked_sub(length)?, payload.get(1)?) {
                (12.., _) => 3,
                (_, 0) => 1,
                _ => 2,
            },
        }),
        17 => datagram(source, destination, payload),
        _ => None,
    }
}

fn over_ipv6(packet: &[u8]) -> Option<Overheard> {
    let header = packet.get(..40)?;
    let mut left = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| {
        let octets: [u8; 16] = *header.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let (mut next, mut payload) = (header[6], packet.get(40..)?);
    loop {
        match next {
            // Hop-by-hop options, which reports and queries have; and fragments, the first alone.
            0 | 44 => {
                if next == 44 && u16::from_be_bytes([*payload.get(2)?, *payload.get(3)?]) >> 3 != 0
                {
                    return None;
                }
                let units = if next == 0 { *payload.get(1)? } else { 0 };
                let length = (usize::from(units) + 1) * 8;
                next = *payload.first()?;
                payload = payload.get(length..)?;
                left = left.checked_sub(length)?;
            }
            // RFC 3810 §8.1.
            58 if payload.first() == Some(&130) => {
                let version = if left >= 28 { 2 } else { 1 };
                return Some(Overheard::Query { source, version });
            }
            17 => return datagram(source, destination, payload),
            _ => return None,
        }
    }
}

fn datagram(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Option<Overheard> {
    let port = |at: usize| {
        Some(u16::from_be_bytes([
            *payload.get(at)?,
            *payload.get(at + 1)?,
        ]))
    };
    Some(Overheard::Datagram {
        source: SocketAddr::new(source, port(0)?),
        destination: SocketAddr::new(destination, port(2)?),
    })
}
