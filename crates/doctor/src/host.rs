//! This host by itself: what it can do with groups, whatever is sent.

pub(crate) mod conntrack;
pub(crate) mod counters;
pub(crate) mod firewall;
pub(crate) mod foreign;
pub(crate) mod ipsec;
pub(crate) mod links;
pub(crate) mod multicast_routes;
pub(crate) mod open_sockets;
pub(crate) mod packets;
pub(crate) mod udp_table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use manycast_net::Interface;

use super::checks::firewall_rule::{Direction, described};
use super::proof::{Doubt, Proof};
use super::{Code, Counters, Finding, Report, SelfTest, Snapshot, checks, self_test};
use manycast_io::Error;

/// Groups for the self-tests, which leave this host by no interface: RFC 2365 §6.1, RFC 4291 §2.7.
const GROUPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(239, 255, 77, 67)),
    IpAddr::V6(Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x4d43, 1)),
];

/// A port for the self-tests, of those that are free for anything (RFC 6335 §6).
const PORT: u16 = 49_367;

/// How full the groups of an interface may be before it is told of.
const MANY: usize = 15;

/// Examines this host: interfaces, routes, settings, limits, and whether datagrams come back that
/// it sends to itself by each interface.
///
/// # Errors
///
/// When the kernel's tables cannot be read.
pub fn examine_host() -> Result<Report, Error> {
    let host = Snapshot::read(Some(GROUPS[0]))?;
    let before = Counters::read()?;
    let links = host.interfaces.iter();
    let links = links.filter(|interface| interface.can_multicast());
    let each = links.flat_map(|interface| GROUPS.map(|group| (interface, group)));
    let tests = self_test::until_blocked(each.filter_map(|(interface, group)| {
        self_test::test(interface, SocketAddr::new(group, PORT), false)
    }));
    let moved = Counters::read()?.since(&before);
    let found = findings(&host, &tests);
    Ok(Report {
        notes: looked_at(&host, &tests),
        ..Report::of_host(found, moved)
    })
}

/// What was looked at, so that "no fault" says of what: each interface, the route, what is joined,
/// the limits.
fn looked_at(host: &Snapshot, tests: &[SelfTest]) -> Vec<String> {
    let mut lines: Vec<String> = host
        .interfaces
        .iter()
        .map(|interface| {
            let own: Vec<_> = tests
                .iter()
                .filter(|test| test.interface.index == interface.index)
                .collect();
            let (sent, came) = own.iter().fold((0, 0), |(sent, came), test| {
                (sent + test.sent, came + test.received)
            });
            let state = if !interface.up {
                "is down".to_owned()
            } else if !interface.can_multicast() {
                "cannot multicast".to_owned()
            } else if own.is_empty() && interface.addresses.is_empty() {
                "can multicast, and has no address to send from".to_owned()
            } else if own.is_empty() {
                "can multicast, and was not tried".to_owned()
            } else {
                format!("{came} of {sent} datagrams to itself by groups came back")
            };
            let joined = host
                .joined_by_programs(true)
                .chain(host.joined_by_programs(false))
                .filter(|joined| joined.interface.index == interface.index)
                .count();
            let groups = match joined {
                0 => String::new(),
                count => format!(
                    "; programs have joined {}",
                    checks::count(count as u64, "group")
                ),
            };
            format!("{}: {state}{groups}", interface.name)
        })
        .collect();
    if has_ipv4(host) {
        lines.push(match host.has_route {
            true => "programs that name no interface use that of the route to groups".to_owned(),
            false => "there is no route to groups of IPv4".to_owned(),
        });
    }
    let limits: Vec<_> = [
        ("net.ipv4.igmp_max_memberships", "groups a socket"),
        ("net.core.rmem_max", "bytes of receive buffer"),
    ]
    .into_iter()
    .filter_map(|(name, of)| Some(format!("{} {of}", host.number(name)?)))
    .collect();
    if !limits.is_empty() {
        lines.push(format!("limits: {}", limits.join(", ")));
    }
    lines
}

/// What is found in what was read.
pub(super) fn findings(host: &Snapshot, tests: &[SelfTest]) -> Vec<Finding> {
    let links = || {
        host.interfaces
            .iter()
            .filter(|interface| !interface.loopback)
    };
    let mut findings = Vec::new();
    findings.extend(tests.iter().find_map(blocked));
    if !links().any(Interface::can_multicast) {
        findings.push(no_link(links()));
    }
    if !host.has_route && has_ipv4(host) {
        findings.push(no_route(links()));
    }
    let is_joined = |link: &Interface| {
        let joined = [true, false].map(|ipv4| host.joined_by_programs(ipv4));
        let mut joined = joined.into_iter().flatten();
        joined.any(|joined| joined.interface.index == link.index)
    };
    // One that nobody has set up is no loss.
    findings.extend(checks::interface::warning(host, |link| {
        !link.addresses.is_empty() || is_joined(link)
    }));
    findings.extend(same_segment(host));
    findings.extend(links().find_map(|interface| filtered(host, interface)));
    findings.extend(old_querier(host));
    findings.extend(many_groups(host));
    findings.extend(small_buffers(host));
    findings.extend(checks::surroundings::container(host));
    findings.extend(checks::surroundings::by_radio(host, |_| true));
    findings
}

/// Whether it has an address of IPv4 but that of loopback: a host of IPv6 alone has no need of a route
/// to groups of IPv4.
fn has_ipv4(host: &Snapshot) -> bool {
    let links = host.interfaces.iter().filter(|link| !link.loopback);
    let mut addresses = links.flat_map(|link| &link.addresses);
    addresses.any(|own| own.address.is_ipv4())
}

/// A self-test from which nothing came back, or that could not be sent. It used groups of no interest,
/// and a firewall may well let those alone pass that are in use: without an address, it is no fault.
fn blocked(test: &SelfTest) -> Option<Finding> {
    let name = &test.interface;
    let (title, evidence, direction, use_of) = match &test.refused {
        Some(refused) if !refused.is_forbidden => return None,
        Some(refused) => (
            format!("this host may not send to groups that nobody uses, by {name}"),
            refused.error.clone(),
            Direction::Out,
            "a firewall that lets out what it knows drops these, and not the groups in use",
        ),
        None if test.received + test.control > 0 => return None,
        None => (
            format!(
                "this host does not receive what it sends to groups that nobody uses, by {name}"
            ),
            format!(
                "of twice {} datagrams to two groups that it had joined there, none came back",
                test.sent
            ),
            Direction::In,
            "a firewall that lets in what it knows drops these, and not the groups in use",
        ),
    };
    let finding = Finding::warning(Code::FirewallDrops, Doubt::Possible, title).because(evidence);
    let rules = test.rules.iter();
    let mut dropped = rules.clone().flat_map(|rules| &rules.dropped);
    let mut certain = rules.flat_map(|rules| &rules.certain);
    let finding = if let Some(dropped) = dropped.find(|dropped| direction.has(&dropped.rule)) {
        let packets = checks::count(dropped.most, "packet");
        finding.because(format!(
            "{} dropped {packets} meanwhile",
            described(&dropped.rule)
        ))
    } else if let Some(rule) = certain.find(|rule| direction.has(rule)) {
        finding.because(format!("{} matches them", described(rule)))
    } else {
        finding
    };
    let finding = finding
        .because(use_of)
        .confirm("manycast doctor GROUP:PORT, with the group in use");
    Some(
        finding.remedy(
            "where a group in use does not pass: look for the rule in 'sudo nft list ruleset'",
        ),
    )
}

fn no_link<'a>(mut links: impl Iterator<Item = &'a Interface>) -> Finding {
    let Some(first) = links.next() else {
        return Finding::fault(
            Code::InterfaceDown,
            Proof::Kernel,
            "this host has no interface but loopback",
        )
        .because("the kernel lists no other, and so no group can be joined or sent to on a link")
        .remedy("give it one; a container has none where its network is 'none'");
    };
    let name = &first.name;
    if first.up {
        Finding::fault(
            Code::InterfaceNotMulticast,
            Proof::Kernel,
            format!("no interface can multicast: {name} lacks the flag MULTICAST"),
        )
        .because("the kernel lists the flags of each interface ('ip link')")
        .remedy(format!(
            "where the link can carry multicast: sudo ip link set {name} multicast on"
        ))
    } else {
        Finding::fault(
            Code::InterfaceDown,
            Proof::Kernel,
            format!("no interface can multicast: {name} is down"),
        )
        .because("the kernel lists the flags of each interface ('ip link')")
        .remedy(format!("sudo ip link set {name} up"))
    }
}

fn no_route<'a>(mut links: impl Iterator<Item = &'a Interface>) -> Finding {
    let name = links
        .find(|interface| interface.can_multicast())
        .map_or("eth0", |interface| &*interface.name);
    Finding::warning(
        Code::NoRoute,
        Proof::Kernel,
        "programs that name no interface can neither join groups of IPv4 nor send to them",
    )
    .because(format!("the kernel knows no route to {}", GROUPS[0]))
    .because("joining on the unspecified address fails with ENODEV, sending with ENETUNREACH")
    .because("programs that name the interface need none, nor does manycast")
    .remedy(format!(
        "name the interface in the program; or give groups a route: sudo ip route add 224.0.0.0/4 dev {name}"
    ))
}

/// Two interfaces with addresses of one network.
fn same_segment(host: &Snapshot) -> Option<Finding> {
    let networks: Vec<(&Interface, u32, u8)> = host
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback && interface.up)
        .flat_map(|interface| interface.addresses.iter().map(move |own| (interface, own)))
        .filter_map(|(interface, own)| match own.address {
            IpAddr::V4(address) if (1..=31).contains(&own.prefix) => {
                let mask = u32::MAX << (32 - own.prefix);
                Some((interface, address.to_bits() & mask, own.prefix))
            }
            _ => None,
        })
        .collect();
    networks.iter().enumerate().find_map(|(index, one)| {
        let other = networks[index + 1..]
            .iter()
            .find(|other| other.0.index != one.0.index && (other.1, other.2) == (one.1, one.2))?;
        let (first, second) = (&one.0.name, &other.0.name);
        let network = format!("{}/{}", Ipv4Addr::from_bits(one.1), one.2);
        Some(
            Finding::warning(
                Code::DuplicateInterface,
                Doubt::Possible,
                format!("{first} and {second} are in one network, {network}"),
            )
            .because("on one segment, each datagram of a group comes by both")
            .remedy(format!("name one of them: GROUP%{first}:PORT")),
        )
    })
}

fn filtered(host: &Snapshot, interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    let mode = host.rp_filter(name);
    let several = host
        .interfaces
        .iter()
        .filter(|other| !other.loopback && other.up)
        .count()
        > 1;
    // What comes by a port of a bridge is filtered at the bridge.
    (mode == 1 && several && host.takes(interface)).then(|| {
        Finding::warning(
            Code::ReversePathFilter,
            Doubt::Possible,
            format!("{name} drops what comes from sources that are routed by another interface"),
        )
        .because(format!(
            "rp_filter of {name} is 1 (strict), and this host has several interfaces"
        ))
        .remedy(format!(
            "where senders are not of a network of {name}: sudo ip route add NETWORK dev {name}"
        ))
    })
}

fn old_querier(host: &Snapshot) -> Option<Finding> {
    let old = host
        .joined
        .iter()
        .find(|joined| joined.igmp_version.is_some_and(|version| version < 3))?;
    let (name, version) = (&old.interface, old.igmp_version?);
    Some(
        Finding::warning(
            Code::OldQuerier,
            Proof::Kernel,
            format!("{name} speaks IGMPv{version}: sources are not told to the network there"),
        )
        .because(format!(
            "/proc/net/igmp has V{version} in the column Querier of {name}"
        ))
        .remedy("for source-specific multicast, set the querier to IGMPv3"),
    )
}

fn many_groups(host: &Snapshot) -> Option<Finding> {
    let limit = host.number("net.ipv4.igmp_max_memberships")?;
    let fullest = host
        .interfaces
        .iter()
        .map(|interface| {
            let here = host
                .joined_by_programs(true)
                .filter(|joined| joined.interface.index == interface.index);
            (here.count(), interface)
        })
        .max_by_key(|(count, _)| *count)?;
    let (count, interface) = fullest;
    (count >= MANY).then(|| {
        Finding::warning(
            Code::TooManyGroups,
            Doubt::Possible,
            format!("{count} groups are joined on {}", interface.name),
        )
        .because(format!(
            "one socket joins at most {limit} (net.ipv4.igmp_max_memberships); a further join \
             fails with ENOBUFS"
        ))
        .remedy("sudo sysctl -w net.ipv4.igmp_max_memberships=100")
    })
}

fn small_buffers(host: &Snapshot) -> Option<Finding> {
    let limit = host.number("net.core.rmem_max")?;
    (limit < 1 << 20).then(|| {
        Finding::warning(
            Code::ReceiveBufferCapped,
            Proof::Kernel,
            format!("no program gets a receive buffer of more than {limit} bytes"),
        )
        .because(format!(
            "net.core.rmem_max is {limit}; at 1 Gbit/s that is {:.1} ms, and whoever asks for more \
             is not told",
            // Millions of bits, hence thousandths of a second: exact enough for one digit.
            f64::from(u32::try_from(limit).unwrap_or(u32::MAX)) * 8.0 / 1e6
        ))
        .remedy("sudo sysctl -w net.core.rmem_max=16777216")
    })
}
