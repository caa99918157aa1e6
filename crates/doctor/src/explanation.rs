//! The page of each code, compiled in: an installed program has no other.

use super::Code;

impl Code {
    /// The page about it, in Markdown: what it means, how the doctor knows, and what to do.
    ///
    /// ```
    /// use manycast::doctor::Code;
    ///
    /// assert!(Code::NoQuerier.explanation().starts_with("# `no-querier`"));
    /// ```
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Delivered => include_str!("../docs/delivered.md"),
            Self::NothingSent => include_str!("../docs/nothing-sent.md"),
            Self::EgressOtherInterface => {
                include_str!("../docs/egress-other-interface.md")
            }
            Self::NoRoute => include_str!("../docs/no-route.md"),
            Self::HopLimit => include_str!("../docs/hop-limit.md"),
            Self::LoopbackOff => include_str!("../docs/loopback-off.md"),
            Self::NotForwarded => include_str!("../docs/not-forwarded.md"),
            Self::ContainerNetwork => include_str!("../docs/container-network.md"),
            Self::Wireless => include_str!("../docs/wireless.md"),
            Self::NotArriving => include_str!("../docs/not-arriving.md"),
            Self::Fragmentation => include_str!("../docs/fragmentation.md"),
            Self::ForeignFrame => include_str!("../docs/foreign-frame.md"),
            Self::InterfaceDrops => include_str!("../docs/interface-drops.md"),
            Self::XdpOrTc => include_str!("../docs/xdp-or-tc.md"),
            Self::Loss => include_str!("../docs/loss.md"),
            Self::InterfaceDown => include_str!("../docs/interface-down.md"),
            Self::InterfaceNotMulticast => {
                include_str!("../docs/interface-not-multicast.md")
            }
            Self::Ipv6Off => include_str!("../docs/ipv6-off.md"),
            Self::NoQuerier => include_str!("../docs/no-querier.md"),
            Self::ReversePathFilter => include_str!("../docs/reverse-path-filter.md"),
            Self::MartianSource => include_str!("../docs/martian-source.md"),
            Self::ReservedGroup => include_str!("../docs/reserved-group.md"),
            Self::ScopeMissing => include_str!("../docs/scope-missing.md"),
            Self::SourceMissing => include_str!("../docs/source-missing.md"),
            Self::TooManyGroups => include_str!("../docs/too-many-groups.md"),
            Self::NotJoined => include_str!("../docs/not-joined.md"),
            Self::MembershipLost => include_str!("../docs/membership-lost.md"),
            Self::JoinedOnOtherInterface => {
                include_str!("../docs/joined-on-other-interface.md")
            }
            Self::WrongSource => include_str!("../docs/wrong-source.md"),
            Self::OldQuerier => include_str!("../docs/old-querier.md"),
            Self::DuplicateInterface => include_str!("../docs/duplicate-interface.md"),
            Self::FirewallDropsIgmp => include_str!("../docs/firewall-drops-igmp.md"),
            Self::FirewallDrops => include_str!("../docs/firewall-drops.md"),
            Self::InVrf => include_str!("../docs/in-vrf.md"),
            Self::ConntrackFull => include_str!("../docs/conntrack-full.md"),
            Self::IpsecDrops => include_str!("../docs/ipsec-drops.md"),
            Self::NatRedirect => include_str!("../docs/nat-redirect.md"),
            Self::BadChecksum => include_str!("../docs/bad-checksum.md"),
            Self::PortInUse => include_str!("../docs/port-in-use.md"),
            Self::WrongPort => include_str!("../docs/wrong-port.md"),
            Self::WrongGroup => include_str!("../docs/wrong-group.md"),
            Self::BoundToUnicast => include_str!("../docs/bound-to-unicast.md"),
            Self::BoundToOtherGroup => include_str!("../docs/bound-to-other-group.md"),
            Self::BoundToDevice => include_str!("../docs/bound-to-device.md"),
            Self::BoundToPeer => include_str!("../docs/bound-to-peer.md"),
            Self::OtherIpVersion => include_str!("../docs/other-ip-version.md"),
            Self::CrossTalk => include_str!("../docs/cross-talk.md"),
            Self::ReceiveBufferOverflow => {
                include_str!("../docs/receive-buffer-overflow.md")
            }
            Self::ReceiveBufferCapped => {
                include_str!("../docs/receive-buffer-capped.md")
            }
            Self::SocketFilter => include_str!("../docs/socket-filter.md"),
            Self::Other => include_str!("../docs/other.md"),
        }
    }

    /// What it means, in one sentence.
    ///
    /// ```
    /// use manycast::doctor::Code;
    ///
    /// assert_eq!(Code::WrongPort.meaning(), "The datagrams go to another port.");
    /// ```
    pub fn meaning(self) -> &'static str {
        // Under its name, which is the heading.
        self.explanation().lines().nth(2).unwrap_or_default()
    }
}
