//! The policies of IPsec (`ip-xfrm(8)`), which need `CAP_NET_ADMIN` to be read.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use manycast_net::netlink::{Connection, Message, Request, address, attributes, u32_at};

/// A policy that blocks what it matches, or lets it pass encrypted alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpsecPolicy {
    /// To which addresses what it matches goes, and how many bits of them count.
    pub destination: (IpAddr, u8),
    /// From which addresses it comes, and how many bits of them count.
    pub source: (IpAddr, u8),
    /// The protocol; 0: any.
    pub protocol: u8,
    /// The port that it goes to, and which bits of it count.
    pub port: (u16, u16),
    /// Whether it is for what comes in, and not for what goes out.
    pub is_inward: bool,
    /// Whether it blocks; otherwise it wants encryption.
    pub blocks: bool,
    /// Of several that match, the lowest holds.
    pub priority: u32,
    /// Its number, as `ip xfrm policy` knows it.
    pub index: u32,
}

/// `<linux/netlink.h>`.
const NETLINK_XFRM: i32 = 6;
/// `<linux/xfrm.h>`: `XFRM_MSG_GETPOLICY`.
const GET: u16 = 0x15;
/// `struct xfrm_userpolicy_id`, which may be zero for a list.
const ID: usize = 64;
/// `struct xfrm_userpolicy_info`: a selector (56), lifetimes (96), priority, index, direction, action,
/// flags, share.
const HEADER: usize = 168;
const SOURCE: usize = 16;
const PORT: usize = 32;
const FAMILY: usize = 40;
const PREFIXES: usize = 42;
const PROTOCOL: usize = 44;
const PRIORITY: usize = 152;
const INDEX: usize = 156;
const DIRECTION: usize = 160;
const ACTION: usize = 161;
/// `XFRM_POLICY_BLOCK`.
const BLOCK: u8 = 1;
/// `XFRMA_TMPL`: what encryption it wants.
const TEMPLATES: u16 = 5;
const UDP: u8 = 17;

impl IpsecPolicy {
    /// Whether it may match a UDP datagram to this address.
    pub(crate) fn may_match(&self, to: SocketAddr) -> bool {
        let (destination, prefix) = self.destination;
        let (port, mask) = self.port;
        same_bits(destination, to.ip(), prefix)
            && [0, UDP].contains(&self.protocol)
            && port & mask == to.port() & mask
    }
}

impl fmt::Display for IpsecPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_inward { "in" } else { "out" };
        let [from, to] = [self.source, self.destination];
        let does = if self.blocks {
            "blocks"
        } else {
            "wants encryption"
        };
        write!(
            f,
            "policy {} (dir {way}, src {}/{}, dst {}/{}) {does}",
            self.index, from.0, from.1, to.0, to.1
        )
    }
}

/// The policies of this network namespace that may keep a UDP datagram to this address from passing,
/// those that hold first; an error without the privilege, or where the kernel has no IPsec.
pub(crate) fn policies(to: SocketAddr) -> io::Result<Vec<IpsecPolicy>> {
    let mut xfrm = Connection::open(NETLINK_XFRM)?;
    let mut policies = xfrm.list(&Request::new(GET, &[0; ID]), |message| {
        policy(message).filter(|policy| policy.may_match(to))
    })?;
    policies.sort_by_key(|policy| (policy.priority, policy.index));
    Ok(policies)
}

/// Reads one policy, if it keeps anything from passing.
pub(crate) fn policy(message: Message<'_>) -> Option<IpsecPolicy> {
    let payload = message.payload;
    let of_ipv4 = i32::from(u16::from_ne_bytes(*payload.get(FAMILY..)?.first_chunk()?));
    let length = match of_ipv4 {
        libc::AF_INET => 4,
        libc::AF_INET6 => 16,
        _ => return None,
    };
    let [to_bits, from_bits] = *payload.get(PREFIXES..)?.first_chunk()?;
    let [high, low, high_mask, low_mask] = *payload.get(PORT..)?.first_chunk()?;
    let templates = attributes(payload, HEADER).any(|(kind, _)| kind == TEMPLATES);
    let blocks = *payload.get(ACTION)? == BLOCK;
    // `XFRM_POLICY_IN`, `XFRM_POLICY_OUT`; what is forwarded is no matter of this host's sockets.
    let is_inward = match payload.get(DIRECTION)? {
        0 => true,
        1 => false,
        _ => return None,
    };
    (blocks || templates).then_some(())?;
    Some(IpsecPolicy {
        destination: (address(payload.get(..length)?)?, to_bits),
        source: (address(payload.get(SOURCE..SOURCE + length)?)?, from_bits),
        protocol: *payload.get(PROTOCOL)?,
        port: (
            u16::from_be_bytes([high, low]),
            u16::from_be_bytes([high_mask, low_mask]),
        ),
        is_inward,
        blocks,
        priority: u32_at(payload, PRIORITY)?,
        index: u32_at(payload, INDEX)?,
    })
}

/// Whether two addresses are of one version of IP and begin with the same bits.
fn same_bits(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_matches_by_its_bits_its_protocol_and_its_port() {
        let policy = |destination: &str, bits, protocol, port| IpsecPolicy {
            destination: (destination.parse().unwrap(), bits),
            source: ("0.0.0.0".parse().unwrap(), 0),
            protocol,
            port,
            is_inward: true,
            blocks: true,
            priority: 0,
            index: 8,
        };
        let to = "239.1.2.3:5000".parse().unwrap();
        for (matching, policy) in [
            (true, policy("239.1.2.3", 32, UDP, (5000, 0xffff))),
            (true, policy("239.1.2.3", 32, 0, (0, 0))),
            (true, policy("224.0.0.0", 4, UDP, (0, 0))),
            (true, policy("0.0.0.0", 0, 0, (0, 0))),
            (false, policy("239.1.2.4", 32, UDP, (0, 0))),
            (false, policy("239.1.2.3", 32, 6, (0, 0))),
            (false, policy("239.1.2.3", 32, UDP, (5001, 0xffff))),
            (false, policy("::", 0, UDP, (0, 0))),
        ] {
            assert_eq!(policy.may_match(to), matching, "{policy}");
        }
    }
}
