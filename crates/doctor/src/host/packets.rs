//! What comes in by any interface, before the host decides what to do with it (`packet(7)`).

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_net::{Error, PacketSocket, PacketType, errno};

/// As Ethernet numbers the protocols.
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A capture on all interfaces of the network namespace of the thread that opens it, for one version
/// of IP. It receives what comes in, joined or not, before firewalls, filters and bridges; it needs
/// `CAP_NET_RAW`.
///
/// What comes in by a port of a bridge is captured there, and on the bridge once more.
#[derive(Debug)]
pub(crate) struct PacketCapture {
    socket: PacketSocket,
    ipv4: bool,
    /// The version of IP, as Ethernet numbers it.
    protocol: u16,
}

/// Something that is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapturedPacket {
    /// A querier asks for memberships.
    Query {
        /// Who asks.
        source: IpAddr,
        /// The version of IGMP, from 1 to 3, or of MLD, 1 or 2.
        version: u8,
        /// The group that it asks for; `None` where it asks for all.
        group: Option<IpAddr>,
        /// For how long members may put their answers off.
        within: Duration,
    },
    /// A member tells of its groups.
    Report {
        /// The group, in the versions that tell of one at a time.
        group: Option<IpAddr>,
    },
    /// A UDP datagram, or its first fragment.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// What it was sent to.
        destination: SocketAddr,
        /// Which piece it is, where it is one.
        piece: Option<Piece>,
    },
    /// A later fragment of a UDP datagram, which has no ports.
    Fragment {
        /// What the datagram was sent to.
        destination: IpAddr,
        /// Which piece it is.
        piece: Piece,
    },
}

/// Which piece of a packet a fragment is, in bytes of what IP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins.
    pub offset: u32,
    /// How long it is.
    pub length: u32,
    /// Whether others follow it.
    pub more: bool,
}

/// On which link a packet was captured, and in which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The index of the interface.
    pub interface: u32,
    /// Whether IP takes such a frame.
    pub frame: Frame,
    /// Whether this host has sent it.
    pub outgoing: bool,
}

/// Whether IP takes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Frame {
    /// It does.
    Taken,
    /// It bears the tag of this VLAN, and so belongs to another interface, if there is one.
    Vlan(u16),
    /// It was sent to the MAC address of another host.
    OtherHost,
}

/// How much longer it may take to pass over packets of no interest.
const PASSING: Duration = Duration::from_millis(20);

/// The buffer that is asked for, in bytes: packets wait there while others are looked at.
const BUFFER: usize = 4 << 20;

/// The headers that are of interest are shorter than this.
const HEADERS: usize = 256;

impl PacketCapture {
    /// Opens it for IPv4 or for IPv6.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW`.
    pub(crate) fn open(ipv4: bool) -> Result<Self, Error> {
        let socket = PacketSocket::open(None)?;
        // Where less is granted, more is missed, and no more than that.
        let _ = socket.set_receive_buffer(BUFFER);
        let protocol = if ipv4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        Ok(Self {
            socket,
            ipv4,
            protocol,
        })
    }

    /// Lets nothing more in; what came before can still be asked for.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.socket.refuse_more()
    }

    /// Waits for a packet that is of interest, and gives it with the link that it came in by, or
    /// went out by; `Ok(None)` when none came in time. Others are passed over, which may take a little
    /// longer. With a timeout of zero, it gives what waits to be read.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub(crate) fn next(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<(Link, CapturedPacket)>, Error> {
        let begun = Instant::now();
        let mut buffer = [0; HEADERS];
        while begun.elapsed() <= timeout + PASSING {
            let packet = match self.socket.receive(&mut buffer, timeout) {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                // An interface that goes down says so once to all who listen on it.
                Err(error) if error.errno() == Some(errno::ENETDOWN) => continue,
                Err(error) => return Err(error),
            };
            if packet.protocol != self.protocol {
                continue;
            }
            if let Some(captured) = parse(&buffer[..packet.length], self.ipv4) {
                let link = Link {
                    interface: packet.interface,
                    outgoing: packet.packet_type == PacketType::Outgoing,
                    frame: match (packet.vlan, packet.packet_type) {
                        (Some(vlan @ 1..), _) => Frame::Vlan(vlan),
                        (_, PacketType::OtherHost) => Frame::OtherHost,
                        _ => Frame::Taken,
                    },
                };
                return Ok(Some((link, captured)));
            }
        }
        Ok(None)
    }
}

/// Understands the headers of a packet.
pub(crate) fn parse(packet: &[u8], ipv4: bool) -> Option<CapturedPacket> {
    if ipv4 {
        parse_ipv4(packet)
    } else {
        parse_ipv6(packet)
    }
}

fn parse_ipv4(packet: &[u8]) -> Option<CapturedPacket> {
    let header = packet.get(..20)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 4] = *header.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv4Addr::from(octets)))
    };
    let (source, destination) = (address(12)?, address(16)?);
    let payload = packet.get(length..)?;
    // RFC 791 §3.1: flags, and the offset in units of eight bytes.
    let field = u16::from_be_bytes([header[6], header[7]]);
    let piece = Piece {
        offset: u32::from(field & 0x1fff) * 8,
        length: u32::try_from(total.saturating_sub(length)).ok()?,
        more: field & 0x2000 != 0,
    };
    // Later fragments have no ports.
    if piece.offset != 0 {
        return (header[9] == 17).then_some(CapturedPacket::Fragment { destination, piece });
    }
    match header[9] {
        2 => igmp(source, payload, total.checked_sub(length)?),
        17 => datagram(source, destination, payload, piece.more.then_some(piece)),
        _ => None,
    }
}

fn parse_ipv6(packet: &[u8]) -> Option<CapturedPacket> {
    let header = packet.get(..40)?;
    let mut left = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| {
        let octets: [u8; 16] = *header.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let (mut next, mut payload) = (header[6], packet.get(40..)?);
    let mut first = None;
    loop {
        match next {
            // Hop-by-hop options, which reports and queries have; and fragments, the first alone.
            0 | 44 => {
                if next == 44 {
                    // RFC 8200 §4.5: the offset in units of eight bytes, and a flag.
                    let field = u16::from_be_bytes([*payload.get(2)?, *payload.get(3)?]);
                    let piece = Piece {
                        offset: u32::from(field & 0xfff8),
                        length: u32::try_from(left.checked_sub(8)?).ok()?,
                        more: field & 1 != 0,
                    };
                    if piece.offset != 0 {
                        let udp = *payload.first()? == 17;
                        return udp.then_some(CapturedPacket::Fragment { destination, piece });
                    }
                    first = piece.more.then_some(piece);
                }
                let units = if next == 0 { *payload.get(1)? } else { 0 };
                let length = (usize::from(units) + 1) * 8;
                next = *payload.first()?;
                payload = payload.get(length..)?;
                left = left.checked_sub(length)?;
            }
            58 => return mld(source, payload, left),
            17 => return datagram(source, destination, payload, first),
            _ => return None,
        }
    }
}

/// RFC 9776 §4, and RFC 2236 §2 for what the versions before it say.
fn igmp(source: IpAddr, payload: &[u8], length: usize) -> Option<CapturedPacket> {
    let group = || {
        let octets: [u8; 4] = *payload.get(4..)?.first_chunk()?;
        Some(IpAddr::from(Ipv4Addr::from(octets)))
    };
    match *payload.first()? {
        0x11 => {
            // §7.1: the versions are told apart by length and by the second octet.
            let (version, tenths) = match (length, u64::from(*payload.get(1)?)) {
                (12.., code) => (3, floating(code, 8)),
                (_, 0) => (1, 100),
                (_, code) => (2, code),
            };
            Some(CapturedPacket::Query {
                source,
                version,
                group: group().filter(IpAddr::is_multicast),
                within: Duration::from_millis(tenths * 100),
            })
        }
        0x12 | 0x16 => Some(CapturedPacket::Report { group: group() }),
        0x22 => Some(CapturedPacket::Report { group: None }),
        _ => None,
    }
}

/// RFC 3810 §5, and RFC 2710 §3 for the version before it.
fn mld(source: IpAddr, payload: &[u8], length: usize) -> Option<CapturedPacket> {
    let group = || {
        let octets: [u8; 16] = *payload.get(8..)?.first_chunk()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    // §5.1.14: hosts ignore queries from any other source.
    let is_of_link = matches!(source, IpAddr::V6(source) if source.is_unicast_link_local());
    match *payload.first()? {
        130 if is_of_link => {
            let code = u64::from(u16::from_be_bytes(*payload.get(4..)?.first_chunk()?));
            // §8.1.
            let (version, millis) = match length {
                28.. => (2, floating(code, 16)),
                _ => (1, code),
            };
            Some(CapturedPacket::Query {
                source,
                version,
                group: group().filter(IpAddr::is_multicast),
                within: Duration::from_millis(millis),
            })
        }
        131 => Some(CapturedPacket::Report { group: group() }),
        143 => Some(CapturedPacket::Report { group: None }),
        _ => None,
    }
}

/// A time as queries bear it: above half of what so many bits hold, as a mantissa and an exponent of
/// three bits (RFC 9776 §4.1.1, RFC 3810 §5.1.3).
const fn floating(code: u64, bits: u32) -> u64 {
    let half = 1 << (bits - 1);
    if code < half {
        return code;
    }
    let mantissa_bits = bits - 4;
    let mantissa = code & ((1 << mantissa_bits) - 1) | 1 << mantissa_bits;
    mantissa << (((code >> mantissa_bits) & 7) + 3)
}

fn datagram(
    source: IpAddr,
    destination: IpAddr,
    payload: &[u8],
    piece: Option<Piece>,
) -> Option<CapturedPacket> {
    let port = |at: usize| {
        Some(u16::from_be_bytes([
            *payload.get(at)?,
            *payload.get(at + 1)?,
        ]))
    };
    Some(CapturedPacket::Datagram {
        source: SocketAddr::new(source, port(0)?),
        destination: SocketAddr::new(destination, port(2)?),
        piece,
    })
}
