//! What the checks look at: an address, the host's state, and what happened meanwhile.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Counters, OpenSocket, SocketOwner};
use manycast_net::{BufferSize, ErrorKind, Interface, JoinedGroup, sysctl};
use manycast_types::{Address, InterfaceId, SourceFilter};

use super::flow::total;
use super::watch::REPORTS;
use super::{
    Captured, CapturedStream, Flow, IpsecPolicy, LinkState, MulticastRoute, Rules, Surroundings,
    Tally, Translation,
};
use manycast_io::Error;

/// All that the checks look at. Nothing in it is read anew, so that they can be tried on what was
/// recorded.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// What is to arrive.
    pub target: Target,
    /// This host, before anything was done.
    pub host: Snapshot,
    /// What happened while the address was listened on; `None` where nobody listened.
    pub watched: Option<Watched>,
    /// The program that is examined, if any.
    pub program: Option<Program>,
}

/// An address that was asked for, with its interface found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The address as it was given.
    pub address: Address,
    /// The group or the local address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The named interface.
    pub interface: Option<InterfaceId>,
    /// Whose datagrams are wanted.
    pub sources: SourceFilter,
    /// The group that was asked, where what is to arrive are the answers.
    pub asked: Option<SocketAddr>,
}

/// The state of this host at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// The groups that it has joined.
    pub joined: Vec<JoinedGroup>,
    /// The UDP sockets of its programs.
    pub sockets: Vec<OpenSocket>,
    /// Kernel parameters by their names in `sysctl(8)`.
    pub sysctls: BTreeMap<String, String>,
    /// Whether the kernel knows a way to the group without an interface being named.
    pub has_route: bool,
    /// Whether it is a container or a virtual machine.
    pub surroundings: Surroundings,
}

/// What happened while an address was listened on.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// How long.
    pub lasted: Duration,
    /// Why it could not be listened on, where that is so.
    pub obstacle: Option<Obstacle>,
    /// Where the group was joined.
    pub joined: Vec<InterfaceId>,
    /// The interfaces at the end, where they could be read.
    pub interfaces: Option<Vec<Interface>>,
    /// By how much counters moved from before the group was joined until the end.
    pub joining: Counters,
    /// By how much counters moved while it was listened.
    pub counters: Counters,
    /// What came as it was asked for.
    pub exact: Vec<Flow>,
    /// How many more came from hosts of which there are more than are told apart.
    pub beyond: u64,
    /// What came of the group from any source on any interface, where that was tried.
    pub wide: Vec<Flow>,
    /// What came to the same port of other groups that are joined on this host.
    pub others: Vec<Flow>,
    /// Whether datagrams of another host are known to come to the address.
    pub is_open: bool,
    /// How many datagrams a second were to come, where that was told.
    pub expected_rate: Option<f64>,
    /// The receive buffer of the listening socket.
    pub buffer: Option<BufferSize>,
    /// Datagrams that were dropped since that buffer was full.
    pub dropped: u64,
    /// Where a group was asked: what came to IP, of any kind, in the two seconds before.
    pub quiet: Tally,
    /// What became of datagrams that this host sent to itself.
    pub self_tests: Vec<SelfTest>,
    /// What was captured on the wire, where this process may listen there.
    pub captured: Option<Captured>,
    /// What the firewall's rules did, where this process may read them.
    pub rules: Option<Rules>,
    /// What stands before IP on each interface, and what it took away meanwhile.
    pub links: Vec<LinkState>,
    /// How many packets of any kind the tracking of connections dropped meanwhile, since its table is
    /// full.
    pub conntrack_drops: u64,
    /// The policies of IPsec that may match the datagrams, where this process may read them.
    pub ipsec: Option<Vec<IpsecPolicy>>,
    /// Where this host routes groups, and what came for these routes meanwhile.
    pub multicast_routes: Vec<MulticastRoute>,
    /// The index of the interface by which this host would answer the sources that were captured; `None` where no route
    /// leads to them.
    pub routes_back: Vec<(IpAddr, Option<u32>)>,
    /// To where datagrams to the address are translated, where this process may know it.
    pub translations: Vec<Translation>,
    /// By how much counters moved while the wire was captured, read within that time. `joining`,
    /// `links` and `conntrack_drops` are read before and after it: none of these is read at the same
    /// moment as the capture begins or ends.
    pub while_captured: Option<Moved>,
    /// What the counters tell of a second in which this host was no member of the group, where that was
    /// looked at: it is of others.
    pub while_unjoined: Option<Tally>,
    /// Whether what had ceased to come came again after the group was joined anew.
    pub revived: Option<bool>,
}

/// By how much counters moved between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Those of IP and UDP.
    pub counters: Counters,
    /// What links took away.
    pub links: Vec<LinkState>,
    /// How many packets the tracking of connections dropped.
    pub conntrack_drops: u64,
}

/// Why an address could not be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The error, as text.
    pub text: String,
}

/// What became of datagrams that were sent by an interface, with hop limit 0, to a group that was
/// joined there: they turn round in the kernel and never leave the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SelfTest {
    /// By which interface.
    pub interface: InterfaceId,
    /// How many were sent to the group and port in question.
    pub sent: u64,
    /// How many of them came back.
    pub received: u64,
    /// How many of as many came back from a group and port that nobody uses.
    pub control: u64,
    /// What the counters tell of the time of both, these and whatever else came.
    pub meanwhile: Tally,
    /// How many packets of any kind came to IP and went no further while those to the group in
    /// question were sent, and while the others were.
    pub lost: [u64; 2],
    /// How many packets of any kind policies of IPsec refused, and how many they held back, while those
    /// to the group in question were sent.
    pub ipsec: [u64; 2],
    /// How long those to the group in question took to be sent.
    pub took: Duration,
    /// Why sending to the group in question failed, where it did.
    pub refused: Option<Refusal>,
    /// What the firewall's rules did to those to the group in question, where this process may
    /// read them.
    pub rules: Option<Rules>,
}

/// Why this host could not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error, as text.
    pub error: String,
    /// Whether it is what a firewall that drops it gives (`EPERM`).
    pub is_forbidden: bool,
    /// Whether a group that nobody uses could not be sent to either.
    pub is_of_all: bool,
}

/// A program that is examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// What it is called in texts: its name and number, or the port.
    pub name: String,
    /// Its UDP sockets.
    pub sockets: Vec<ProgramSocket>,
    /// How many datagrams all UDP sockets of this host dropped meanwhile, those of other programs too.
    pub dropped_on_host: u64,
}

/// A socket of a program that is examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgramSocket {
    /// What the kernel tells of it.
    pub socket: OpenSocket,
    /// Whose it is, where that is to be seen.
    pub owner: Option<SocketOwner>,
    /// How many datagrams it dropped meanwhile: its buffer was full, or a filter refused them, or their
    /// checksum was wrong.
    pub dropped: u64,
    /// The index of the interface that it names for what it sends to groups of IPv6, where that is to be
    /// seen.
    pub multicast_interface: Option<u32>,
    /// What it is a member of; `None` where this user may not ask it.
    pub memberships: Option<Vec<SocketMembership>>,
}

/// A membership of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketMembership {
    /// The group.
    pub group: IpAddr,
    /// The index of the interface, which may be gone.
    pub interface: u32,
    /// Whose datagrams are wanted.
    pub sources: SourceFilter,
}

impl Context {
    /// How many datagrams came as they were asked for.
    pub(super) fn received(&self) -> u64 {
        self.watched
            .as_ref()
            .map_or(0, |watched| total(&watched.exact) + watched.beyond)
    }

    /// Whether another program would receive what is sent to the address.
    pub(super) fn shares_port(&self) -> bool {
        let mut sockets = self.host.sockets.iter();
        sockets.any(|socket| socket.local.port() == self.target.port)
    }

    /// What happened, where the address could be listened on and nothing came as asked for.
    pub(super) fn vain(&self) -> Option<&Watched> {
        self.watched
            .as_ref()
            .filter(|watched| watched.exact.is_empty() && watched.obstacle.is_none())
    }

    /// Whether the wire was listened on, and nothing was captured there of what is to arrive: what
    /// counters tell is then of others.
    pub(super) fn is_silent(&self) -> bool {
        let captured = self
            .watched
            .as_ref()
            .and_then(|watched| watched.captured.as_ref());
        captured.is_some_and(|captured| captured.count(self.target.port) == 0)
    }

    /// Whether a counter moved as fast while the group was not joined, or half as fast: then it is of
    /// others.
    pub(super) fn is_of_others(&self, counter: fn(&Tally) -> u64) -> bool {
        self.watched.as_ref().is_some_and(|watched| {
            let others = watched.while_unjoined.as_ref().map_or(0, counter);
            let counted = watched.lasted.saturating_sub(REPORTS).as_millis();
            let expected = u128::from(others) * counted / 1000;
            expected * 2 > u128::from(counter(&self.tally()))
        })
    }

    /// What came in by the wire as it was asked for, and of which nothing was received.
    pub(super) fn lost_streams(&self) -> impl Iterator<Item = &CapturedStream> {
        let watched = self.watched.iter().filter(|_| self.program.is_none());
        watched.flat_map(|watched| {
            let captured = watched.captured.iter();
            let captured = captured.flat_map(|captured| captured.to_port(self.target.port));
            captured.filter(|stream| {
                let source = stream.source.ip();
                let named = self.target.interface.as_ref();
                self.target.sources.admits(source)
                    && self.is_heard(stream)
                    && named.is_none_or(|named| named.index == stream.interface)
                    && !watched.exact.iter().any(|flow| flow.source.ip() == source)
            })
        })
    }

    /// How many datagrams to the address were captured on the wire, in frames that IP takes, and not
    /// received: by the interface that most came by, since what comes in by a port of a bridge is
    /// captured on the bridge once more.
    pub(super) fn lost_of_target(&self) -> u64 {
        self.lost_where(|_| true)
    }

    /// The same of those streams alone of which this holds.
    pub(super) fn lost_where(&self, holds: impl Fn(&CapturedStream) -> bool) -> u64 {
        let lost: Vec<_> = self.lost().filter(|stream| holds(stream)).collect();
        let on = |interface| {
            let here = lost
                .iter()
                .filter(move |stream| stream.interface == interface);
            here.map(|stream| stream.datagrams).sum()
        };
        let interfaces = lost.iter().map(|stream| stream.interface);
        interfaces.map(on).max().unwrap_or(0)
    }

    /// What was captured of the address, in frames that IP takes, and of which nothing was received.
    pub(super) fn lost(&self) -> impl Iterator<Item = &CapturedStream> {
        self.watched.iter().flat_map(|watched| {
            let captured = watched.captured.iter();
            let captured = captured.flat_map(|captured| captured.to_port(self.target.port));
            captured.filter(|stream| {
                let source = stream.source.ip();
                let mut received = watched.exact.iter().chain(&watched.wide);
                self.target.sources.admits(source)
                    && self.is_heard(stream)
                    && !received.any(|flow| flow.source.ip() == source)
            })
        })
    }

    /// Whether the doctor can be a member where it was captured: who follows the flag `MULTICAST` joins on no
    /// interface that lacks it.
    fn is_heard(&self, stream: &CapturedStream) -> bool {
        let link = self.host.interface(self.host.at_ip(stream.interface));
        !self.target.is_group() || link.is_none_or(Interface::can_multicast)
    }

    /// What was captured as it was asked for by interfaces on which the doctor cannot be a member.
    pub(super) fn unheard(&self) -> Vec<Flow> {
        let captured = self.watched.iter().flat_map(|watched| &watched.captured);
        let streams = captured.flat_map(|captured| captured.to_port(self.target.port));
        let flows = streams
            .filter(|stream| !self.is_heard(stream))
            .map(|stream| self.as_flow(stream));
        flows.filter(|flow| self.target.admits(flow)).collect()
    }

    /// What comes to this host for a program, from any source on any interface: what was received,
    /// or where the program does not share its port, what was captured on the wire.
    pub(super) fn coming(&self) -> Vec<Flow> {
        let Some(watched) = &self.watched else {
            return Vec::new();
        };
        let captured = watched.captured.iter();
        let captured = captured.flat_map(|captured| captured.to_port(self.target.port));
        if !watched.wide.is_empty() || watched.obstacle.is_none() {
            return watched.wide.clone();
        }
        captured.map(|stream| self.as_flow(stream)).collect()
    }

    /// What was captured, as if it had been received.
    fn as_flow(&self, stream: &CapturedStream) -> Flow {
        Flow {
            source: stream.source,
            destination: SocketAddr::new(stream.destination, stream.port),
            interface: InterfaceId::new(stream.interface, self.host.name_of(stream.interface)),
            datagrams: stream.datagrams,
            largest: 0,
            hops: None,
            first: Duration::ZERO,
            last: self
                .watched
                .as_ref()
                .map_or(Duration::ZERO, |watched| watched.lasted),
            longest_gap: Duration::ZERO,
        }
    }

    /// What was captured by other interfaces than the named one, where nothing was by that.
    pub(super) fn lost_elsewhere(&self) -> Option<Flow> {
        let named = self.target.interface.as_ref()?;
        let by_named = |stream: &CapturedStream| stream.interface == named.index;
        let stream = self.lost().next().filter(|_| !self.lost().any(by_named))?;
        Some(self.as_flow(stream))
    }

    /// What came of the group, to whomever.
    pub(super) fn coming_or_received(&self) -> Vec<Flow> {
        match &self.watched {
            Some(watched) if !watched.exact.is_empty() => watched.exact.clone(),
            _ => self.coming(),
        }
    }

    /// The counters of the version of IP in question.
    pub(super) fn tally(&self) -> Tally {
        self.watched
            .as_ref()
            .map_or_else(Tally::default, |watched| {
                Tally::of(&watched.counters, self.target.is_ipv4())
            })
    }
}

impl Target {
    /// Whether it is IPv4.
    pub(super) const fn is_ipv4(&self) -> bool {
        self.ip.is_ipv4()
    }

    /// Whether it is a group.
    pub(super) const fn is_group(&self) -> bool {
        self.ip.is_multicast()
    }

    /// What it is called where something comes to it.
    pub(super) fn name(&self) -> String {
        if self.ip.is_unspecified() {
            format!("port {}", self.port)
        } else {
            self.ip.to_string()
        }
    }

    /// What `nft` calls it, to let it pass.
    pub(super) fn as_rule(&self) -> String {
        match self.asked {
            // The port that asked is another one each time.
            Some(group) => format!("udp sport {}", group.port()),
            None if self.ip.is_unspecified() => format!("udp dport {}", self.port),
            None => {
                let family = if self.is_ipv4() { "ip" } else { "ip6" };
                format!("{family} daddr {} udp dport {}", self.ip, self.port)
            }
        }
    }

    /// Whether a flow is what was asked for.
    pub(super) fn admits(&self, flow: &Flow) -> bool {
        let here = self
            .interface
            .as_ref()
            .is_none_or(|interface| interface.index == flow.interface.index);
        here && self.sources.admits(flow.source.ip())
    }
}

impl Snapshot {
    /// Reads the state of this host.
    pub(super) fn read(group: Option<IpAddr>) -> Result<Self, Error> {
        let interfaces = manycast_io::interfaces()?;
        let mut names: Vec<String> = [
            "net.core.rmem_max",
            "net.core.rmem_default",
            super::checks::firewall_igmp::OF_THE_LINK,
            "net.ipv4.igmp_max_memberships",
            "net.ipv4.igmp_max_msf",
            "net.ipv4.conf.all.rp_filter",
            "net.ipv4.conf.all.force_igmp_version",
            "net.ipv6.conf.all.force_mld_version",
            "net.ipv4.ipfrag_high_thresh",
            "net.ipv6.ip6frag_high_thresh",
            super::checks::conntrack::LIMIT,
            super::checks::vrf::ACCEPT,
        ]
        .map(String::from)
        .into();
        for interface in &interfaces {
            for setting in ["disable_ipv6", "force_mld_version"] {
                names.push(self::setting(false, &interface.name, setting));
            }
            for setting in ["rp_filter", "force_igmp_version"] {
                names.push(self::setting(true, &interface.name, setting));
            }
        }
        let has_route = match group {
            Some(group) => manycast_net::route_to(group, None)?.is_some(),
            None => false,
        };
        Ok(Self {
            joined: manycast_net::joined_groups()?,
            sockets: crate::open_sockets()?,
            sysctls: names
                .into_iter()
                .filter_map(|name| sysctl(&name).map(|value| (name, value)))
                .collect(),
            interfaces,
            has_route,
            surroundings: Surroundings::read(),
        })
    }

    /// Whether a program of this host has joined a group.
    pub(super) fn is_member(&self, group: IpAddr) -> bool {
        self.joined.iter().any(|joined| joined.group == group)
    }

    /// Whether an address is one of its own.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.interfaces
            .iter()
            .any(|interface| interface.has(address))
    }

    /// A parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.sysctls.get(name)?.parse().ok()
    }

    /// The reverse-path filter that is in force on an interface: the greater of the two settings.
    pub(super) fn rp_filter(&self, interface: &str) -> u64 {
        let all = self.number("net.ipv4.conf.all.rp_filter").unwrap_or(0);
        let own = self
            .number(&setting(true, interface, "rp_filter"))
            .unwrap_or(0);
        all.max(own)
    }

    /// Whether IPv6 is switched off on an interface.
    pub(super) fn ipv6_is_off(&self, interface: &str) -> bool {
        self.number(&setting(false, interface, "disable_ipv6")) == Some(1)
    }

    /// The interface of this index.
    pub(super) fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|found| found.index == index)
    }

    /// The name of the interface of this index, or what is left of it.
    pub(super) fn name_of(&self, index: u32) -> String {
        self.interface(index).map_or_else(
            || format!("interface {index}, which is gone"),
            |found| found.name.to_string(),
        )
    }

    /// The groups of this version of IP that programs have joined, and not the kernel by itself.
    pub(super) fn joined_by_programs(&self, ipv4: bool) -> impl Iterator<Item = &JoinedGroup> {
        self.joined
            .iter()
            .filter(move |joined| joined.group.is_ipv4() == ipv4 && !is_kernels(joined.group))
    }
}

/// The name of a setting of an interface, as `sysctl(8)` takes it: one with a dot needs slashes.
pub(super) fn setting(ipv4: bool, interface: &str, name: &str) -> String {
    let version = if ipv4 { "ipv4" } else { "ipv6" };
    let dot = if interface.contains('.') { '/' } else { '.' };
    ["net", version, "conf", interface, name].join(&dot.to_string())
}

/// Whether the kernel joins a group by itself on each interface.
fn is_kernels(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets() == [224, 0, 0, 1],
        IpAddr::V6(group) => {
            let segments = group.segments();
            let all_hosts = segments[0] & 0xfff0 == 0xff00
                && segments[1..7].iter().all(|segment| *segment == 0)
                && [1, 2, 5].contains(&segments[7]);
            // RFC 4291 §2.7.1: solicited-node addresses.
            let solicited = segments[..6] == [0xff02, 0, 0, 0, 0, 1] && segments[6] >> 8 == 0xff;
            all_hosts || solicited || segments == [0xff02, 0, 0, 0, 0, 0, 0, 0x6a]
        }
    }
}
