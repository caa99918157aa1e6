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
            Self::Delivered => include_str!("../../../docs/doctor/delivered.md"),
            Self::NothingSent => include_str!("../../../docs/doctor/nothing-sent.md"),
            Self::EgressOtherInterface => {
                include_str!("../../../docs/doctor/egress-other-interface.md")
            }
            Self::NoRoute => include_str!("../../../docs/doctor/no-route.md"),
            Self::HopLimit => include_str!("../../../docs/doctor/hop-limit.md"),
            Self::LoopbackOff => include_str!("../../../docs/doctor/loopback-off.md"),
            Self::NotForwarded => include_str!("../../../docs/doctor/not-forwarded.md"),
            Self::ContainerNetwork => include_str!("../../../docs/doctor/container-network.md"),
            Self::Wireless => include_str!("../../../docs/doctor/wireless.md"),
            Self::NotArriving => include_str!("../../../docs/doctor/not-arriving.md"),
            Self::Fragmentation => include_str!("../../../docs/doctor/fragmentation.md"),
            Self::ForeignFrame => include_str!("../../../docs/doctor/foreign-frame.md"),
            Self::InterfaceDrops => include_str!("../../../docs/doctor/interface-drops.md"),
            Self::XdpOrTc => include_str!("../../../docs/doctor/xdp-or-tc.md"),
            Self::Loss => include_str!("../../../docs/doctor/loss.md"),
            Self::InterfaceDown => include_str!("../../../docs/doctor/interface-down.md"),
            Self::InterfaceNotMulticast => {
                include_str!("../../../docs/doctor/interface-not-multicast.md")
            }
            Self::Ipv6Off => include_str!("../../../docs/doctor/ipv6-off.md"),
            Self::NoQuerier => include_str!("../../../docs/doctor/no-querier.md"),
            Self::ReversePathFilter => include_str!("../../../docs/doctor/reverse-path-filter.md"),
            Self::MartianSource => include_str!("../../../docs/doctor/martian-source.md"),
            Self::ReservedGroup => include_str!("../../../docs/doctor/reserved-group.md"),
            Self::ScopeMissing => include_str!("../../../docs/doctor/scope-missing.md"),
            Self::SourceMissing => include_str!("../../../docs/doctor/source-missing.md"),
            Self::TooManyGroups => include_str!("../../../docs/doctor/too-many-groups.md"),
            Self::NotJoined => include_str!("../../../docs/doctor/not-joined.md"),
            Self::MembershipLost => include_str!("../../../docs/doctor/membership-lost.md"),
            Self::JoinedOnOtherInterface => {
                include_str!("../../../docs/doctor/joined-on-other-interface.md")
            }
            Self::WrongSource => include_str!("../../../docs/doctor/wrong-source.md"),
            Self::OldQuerier => include_str!("../../../docs/doctor/old-querier.md"),
            Self::DuplicateInterface => include_str!("../../../docs/doctor/duplicate-interface.md"),
            Self::FirewallDropsIgmp => include_str!("../../../docs/doctor/firewall-drops-igmp.md"),
            Self::FirewallDrops => include_str!("../../../docs/doctor/firewall-drops.md"),
            Self::InVrf => include_str!("../../../docs/doctor/in-vrf.md"),
            Self::ConntrackFull => include_str!("../../../docs/doctor/conntrack-full.md"),
            Self::IpsecDrops => include_str!("../../../docs/doctor/ipsec-drops.md"),
            Self::NatRedirect => include_str!("../../../docs/doctor/nat-redirect.md"),
            Self::BadChecksum => include_str!("../../../docs/doctor/bad-checksum.md"),
            Self::PortInUse => include_str!("../../../docs/doctor/port-in-use.md"),
            Self::WrongPort => include_str!("../../../docs/doctor/wrong-port.md"),
            Self::WrongGroup => include_str!("../../../docs/doctor/wrong-group.md"),
            Self::BoundToUnicast => include_str!("../../../docs/doctor/bound-to-unicast.md"),
            Self::BoundToOtherGroup => include_str!("../../../docs/doctor/bound-to-other-group.md"),
            Self::BoundToDevice => include_str!("../../../docs/doctor/bound-to-device.md"),
            Self::BoundToPeer => include_str!("../../../docs/doctor/bound-to-peer.md"),
            Self::OtherIpVersion => include_str!("../../../docs/doctor/other-ip-version.md"),
            Self::CrossTalk => include_str!("../../../docs/doctor/cross-talk.md"),
            Self::ReceiveBufferOverflow => {
                include_str!("../../../docs/doctor/receive-buffer-overflow.md")
            }
            Self::ReceiveBufferCapped => {
                include_str!("../../../docs/doctor/receive-buffer-capped.md")
            }
            Self::SocketFilter => include_str!("../../../docs/doctor/socket-filter.md"),
            Self::Other => include_str!("../../../docs/doctor/other.md"),
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
