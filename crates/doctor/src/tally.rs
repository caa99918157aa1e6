//! The counters of IP and UDP, as the checks count with them.

use crate::Counters;

/// The counters that tell at which step datagrams are lost, of one version of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Packets that came to IP.
    pub received: u64,
    /// Packets to groups. By IPv4 only to those that are joined.
    pub multicast: u64,
    /// Packets that were handed on to UDP and the like.
    pub delivered: u64,
    /// Messages of ICMP and ICMPv6 among these.
    pub control: u64,
    /// Packets that the reverse-path filter dropped; there is none for IPv6.
    pub reverse_path: u64,
    /// Datagrams to this host for ports that no socket has.
    pub no_port: u64,
    /// Datagrams to joined groups that no socket wanted. The kernel counts broadcasts with them, so as many
    /// are left out as broadcasts came.
    pub ignored: u64,
    /// Datagrams for which a socket had no room.
    pub overflow: u64,
    /// Datagrams that were dropped for their checksum, counted for each socket.
    pub checksums: u64,
    /// Fragments that came.
    pub fragments: u64,
    /// Packets that were put together of them.
    pub reassembled: u64,
    /// Fragments for which there was no room, or that did not fit together. Packets of which pieces
    /// are missing, which fail after half a minute, are left out.
    pub unassembled: u64,
    /// Packets that policies of IPsec refused, of either version of IP.
    pub refused_by_ipsec: u64,
    /// Packets that this host did not send since policies of IPsec block them or want encryption, of
    /// either version of IP.
    pub held_by_ipsec: u64,
}

impl Tally {
    /// The counters of one version of IP.
    pub(super) fn of(counters: &Counters, ipv4: bool) -> Self {
        let get = |v4, v6| counters.get(if ipv4 { v4 } else { v6 });
        let sum = |names: [&str; 3]| names.map(|name| counters.get(name)).iter().sum();
        Self {
            received: get("Ip.InReceives", "Ip6InReceives"),
            multicast: get("IpExt.InMcastPkts", "Ip6InMcastPkts"),
            delivered: get("Ip.InDelivers", "Ip6InDelivers"),
            control: get("Icmp.InMsgs", "Icmp6InMsgs"),
            reverse_path: get("TcpExt.IPReversePathFilter", "none"),
            no_port: get("Udp.NoPorts", "Udp6NoPorts"),
            ignored: get("Udp.IgnoredMulti", "Udp6IgnoredMulti")
                .saturating_sub(get("IpExt.InBcastPkts", "none")),
            overflow: get("Udp.RcvbufErrors", "Udp6RcvbufErrors"),
            checksums: get("Udp.InCsumErrors", "Udp6InCsumErrors"),
            fragments: get("Ip.ReasmReqds", "Ip6ReasmReqds"),
            reassembled: get("Ip.ReasmOKs", "Ip6ReasmOKs"),
            unassembled: get("Ip.ReasmFails", "Ip6ReasmFails")
                .saturating_sub(get("Ip.ReasmTimeout", "Ip6ReasmTimeout")),
            refused_by_ipsec: sum(["XfrmInPolBlock", "XfrmInNoPols", "XfrmInTmplMismatch"]),
            held_by_ipsec: sum(["XfrmOutPolBlock", "XfrmOutNoStates", "XfrmOutPolError"]),
        }
    }

    /// Whether a counter moved of what only groups that are joined come to.
    pub(super) const fn tells_a_reason(&self) -> bool {
        self.reverse_path + self.ignored + self.checksums + self.refused_by_ipsec > 0
    }

    /// How many packets came to IP and went no further.
    pub(super) const fn lost(&self) -> u64 {
        self.received.saturating_sub(self.delivered)
    }
}
