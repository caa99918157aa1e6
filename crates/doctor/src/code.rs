//! The names of what can be found.

use std::fmt;

/// What was found, by a name that is the same in text, in JSON and in the documentation
/// (`docs/doctor/CODE.md`), and that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// All is well.
    Delivered,
    /// The way is open, but nobody sends.
    NothingSent,
    /// Datagrams leave by another interface than the receivers are on.
    EgressOtherInterface,
    /// No route leads there.
    NoRoute,
    /// The hop limit is too low for the routers on the way.
    HopLimit,
    /// The sender has switched loopback off, so its own host receives nothing.
    LoopbackOff,
    /// This host is a router, and does not forward the group.
    NotForwarded,
    /// The network of a container or of a cloud does not carry multicast.
    ContainerNetwork,
    /// The way is by radio.
    Wireless,
    /// Nothing arrives at this host.
    NotArriving,
    /// Datagrams of more than one piece do not arrive whole.
    Fragmentation,
    /// The frames bear the tag of a VLAN, or the MAC address of another host, and IP does not take them.
    ForeignFrame,
    /// The interface throws away what comes, before IP has it.
    InterfaceDrops,
    /// A program of XDP or a filter of tc drops the datagrams before IP has them.
    XdpOrTc,
    /// A part of the datagrams does not arrive.
    Loss,
    /// The interface is down, or has no carrier.
    InterfaceDown,
    /// The interface has no `MULTICAST` flag.
    InterfaceNotMulticast,
    /// IPv6 is switched off on the interface.
    Ipv6Off,
    /// Memberships end after minutes, since nobody asks for them.
    NoQuerier,
    /// The reverse-path filter drops the datagrams.
    ReversePathFilter,
    /// The datagrams come from a source that cannot be.
    MartianSource,
    /// The group is in a range with another purpose.
    ReservedGroup,
    /// The group means another place on each link, and no link is named.
    ScopeMissing,
    /// The group is source-specific, and no source is named.
    SourceMissing,
    /// The socket holds as many groups as it may.
    TooManyGroups,
    /// Nobody has joined the group.
    NotJoined,
    /// The group was joined on an interface that is gone.
    MembershipLost,
    /// The group is joined on one interface, and arrives on another.
    JoinedOnOtherInterface,
    /// The datagrams come from another source than was asked for.
    WrongSource,
    /// An old querier makes the host forget sources towards the network.
    OldQuerier,
    /// Two interfaces are on one segment, and each datagram comes twice.
    DuplicateInterface,
    /// The interface is in a VRF, and sockets outside receive nothing that comes by it.
    InVrf,
    /// A firewall of this host drops IGMP or MLD.
    FirewallDropsIgmp,
    /// A firewall of this host drops the datagrams.
    FirewallDrops,
    /// The table of tracked connections is full, and new ones are dropped.
    ConntrackFull,
    /// A policy of IPsec blocks the datagrams, or wants them encrypted.
    IpsecDrops,
    /// A translation of addresses turns the datagrams into others.
    NatRedirect,
    /// The checksum of the datagrams is wrong.
    BadChecksum,
    /// Another program has the port for itself.
    PortInUse,
    /// The datagrams go to another port.
    WrongPort,
    /// The datagrams go to another group.
    WrongGroup,
    /// The socket is bound to a unicast address.
    BoundToUnicast,
    /// The socket is bound to another group.
    BoundToOtherGroup,
    /// The socket is bound to another interface than the datagrams come in by.
    BoundToDevice,
    /// The socket is connected to a peer, and receives from nobody else.
    BoundToPeer,
    /// The socket takes the other version of IP alone.
    OtherIpVersion,
    /// Datagrams of other groups reach the socket.
    CrossTalk,
    /// The receive buffer is full.
    ReceiveBufferOverflow,
    /// The receive buffer is smaller than the program asked for.
    ReceiveBufferCapped,
    /// A filter on the socket drops the datagrams.
    SocketFilter,
    /// The far end has found something that this version has no name for.
    Other,
}

impl Code {
    /// All codes.
    pub const ALL: &[Self] = &[
        Self::Delivered,
        Self::NothingSent,
        Self::EgressOtherInterface,
        Self::NoRoute,
        Self::HopLimit,
        Self::LoopbackOff,
        Self::NotForwarded,
        Self::ContainerNetwork,
        Self::Wireless,
        Self::NotArriving,
        Self::Fragmentation,
        Self::ForeignFrame,
        Self::InterfaceDrops,
        Self::XdpOrTc,
        Self::Loss,
        Self::InterfaceDown,
        Self::InterfaceNotMulticast,
        Self::Ipv6Off,
        Self::NoQuerier,
        Self::ReversePathFilter,
        Self::MartianSource,
        Self::ReservedGroup,
        Self::ScopeMissing,
        Self::SourceMissing,
        Self::TooManyGroups,
        Self::NotJoined,
        Self::MembershipLost,
        Self::JoinedOnOtherInterface,
        Self::WrongSource,
        Self::OldQuerier,
        Self::DuplicateInterface,
        Self::InVrf,
        Self::FirewallDropsIgmp,
        Self::FirewallDrops,
        Self::ConntrackFull,
        Self::IpsecDrops,
        Self::NatRedirect,
        Self::BadChecksum,
        Self::PortInUse,
        Self::WrongPort,
        Self::WrongGroup,
        Self::BoundToUnicast,
        Self::BoundToOtherGroup,
        Self::BoundToDevice,
        Self::BoundToPeer,
        Self::OtherIpVersion,
        Self::CrossTalk,
        Self::ReceiveBufferOverflow,
        Self::ReceiveBufferCapped,
        Self::SocketFilter,
        Self::Other,
    ];

    /// The code of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NothingSent => "nothing-sent",
            Self::EgressOtherInterface => "egress-other-interface",
            Self::NoRoute => "no-route",
            Self::HopLimit => "hop-limit",
            Self::LoopbackOff => "loopback-off",
            Self::NotForwarded => "not-forwarded",
            Self::ContainerNetwork => "container-network",
            Self::Wireless => "wireless",
            Self::NotArriving => "not-arriving",
            Self::Fragmentation => "fragmentation",
            Self::ForeignFrame => "foreign-frame",
            Self::InterfaceDrops => "interface-drops",
            Self::XdpOrTc => "xdp-or-tc",
            Self::Loss => "loss",
            Self::InterfaceDown => "interface-down",
            Self::InterfaceNotMulticast => "interface-not-multicast",
            Self::Ipv6Off => "ipv6-off",
            Self::NoQuerier => "no-querier",
            Self::ReversePathFilter => "reverse-path-filter",
            Self::MartianSource => "martian-source",
            Self::ReservedGroup => "reserved-group",
            Self::ScopeMissing => "scope-missing",
            Self::SourceMissing => "source-missing",
            Self::TooManyGroups => "too-many-groups",
            Self::NotJoined => "not-joined",
            Self::MembershipLost => "membership-lost",
            Self::JoinedOnOtherInterface => "joined-on-other-interface",
            Self::WrongSource => "wrong-source",
            Self::OldQuerier => "old-querier",
            Self::DuplicateInterface => "duplicate-interface",
            Self::FirewallDropsIgmp => "firewall-drops-igmp",
            Self::FirewallDrops => "firewall-drops",
            Self::ConntrackFull => "conntrack-full",
            Self::InVrf => "in-vrf",
            Self::IpsecDrops => "ipsec-drops",
            Self::NatRedirect => "nat-redirect",
            Self::BadChecksum => "bad-checksum",
            Self::PortInUse => "port-in-use",
            Self::WrongPort => "wrong-port",
            Self::WrongGroup => "wrong-group",
            Self::BoundToUnicast => "bound-to-unicast",
            Self::BoundToOtherGroup => "bound-to-other-group",
            Self::BoundToDevice => "bound-to-device",
            Self::BoundToPeer => "bound-to-peer",
            Self::OtherIpVersion => "other-ip-version",
            Self::CrossTalk => "cross-talk",
            Self::ReceiveBufferOverflow => "receive-buffer-overflow",
            Self::ReceiveBufferCapped => "receive-buffer-capped",
            Self::SocketFilter => "socket-filter",
            Self::Other => "other",
        }
    }

    /// The step of the walk that it breaks.
    pub const fn step(self) -> Step {
        match self {
            Self::NothingSent => Step::Sent,
            Self::EgressOtherInterface
            | Self::NoRoute
            | Self::HopLimit
            | Self::LoopbackOff
            | Self::NotForwarded => Step::Egress,
            Self::ContainerNetwork
            | Self::Wireless
            | Self::NotArriving
            | Self::Fragmentation
            | Self::InterfaceDown
            | Self::InterfaceNotMulticast
            | Self::Ipv6Off
            | Self::NoQuerier
            | Self::FirewallDropsIgmp
            | Self::ForeignFrame
            | Self::InterfaceDrops
            | Self::XdpOrTc
            | Self::Loss => Step::Arrived,
            Self::ReversePathFilter | Self::MartianSource => Step::ReversePath,
            Self::ReservedGroup
            | Self::ScopeMissing
            | Self::SourceMissing
            | Self::TooManyGroups
            | Self::NotJoined
            | Self::MembershipLost
            | Self::JoinedOnOtherInterface
            | Self::WrongSource
            | Self::OldQuerier
            | Self::InVrf
            | Self::DuplicateInterface => Step::Membership,
            Self::FirewallDrops | Self::ConntrackFull | Self::IpsecDrops | Self::NatRedirect => {
                Step::Firewall
            }
            Self::BadChecksum
            | Self::PortInUse
            | Self::WrongPort
            | Self::WrongGroup
            | Self::BoundToUnicast
            | Self::BoundToOtherGroup
            | Self::BoundToDevice
            | Self::BoundToPeer
            | Self::OtherIpVersion
            | Self::CrossTalk => Step::Port,
            Self::ReceiveBufferOverflow | Self::ReceiveBufferCapped | Self::SocketFilter => {
                Step::Buffer
            }
            Self::Delivered | Self::Other => Step::Application,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A step of a datagram's way from its sender to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Somebody sends it.
    Sent,
    /// It leaves by the right interface, with hops enough.
    Egress,
    /// It arrives at an interface of this host.
    Arrived,
    /// It comes from where this host would send to its source.
    ReversePath,
    /// This host is a member of the group, there and of that source.
    Membership,
    /// No firewall of this host drops it.
    Firewall,
    /// A socket has the port, and is bound so that it gets the group.
    Port,
    /// The socket's buffer has room.
    Buffer,
    /// The application has it.
    Application,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: &[Self] = &[
        Self::Sent,
        Self::Egress,
        Self::Arrived,
        Self::ReversePath,
        Self::Membership,
        Self::Firewall,
        Self::Port,
        Self::Buffer,
        Self::Application,
    ];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Egress => "egress",
            Self::Arrived => "arrived",
            Self::ReversePath => "reverse-path",
            Self::Membership => "membership",
            Self::Firewall => "firewall",
            Self::Port => "port",
            Self::Buffer => "buffer",
            Self::Application => "application",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_code_has_a_name_a_page_and_a_row() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let pages = fs::read_dir(docs.join("doctor")).unwrap();
        let pages = pages.map(|page| page.unwrap().path());
        let pages: BTreeSet<String> = pages
            .filter_map(|page| Some(page.file_stem()?.to_str()?.to_owned()))
            .collect();
        let names: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names, pages);
        let table = fs::read_to_string(docs.join("doctor.md")).unwrap();
        for code in Code::ALL {
            assert_eq!(Code::named(code.as_str()), Some(*code));
            assert!(
                table.contains(&format!("[`{code}`](doctor/{code}.md)")),
                "{code}"
            );
        }
    }
}
