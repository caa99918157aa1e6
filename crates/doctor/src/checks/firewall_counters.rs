//! What comes to one point of this host and not to the next, for who sees neither the wire nor the rules:
//! what rules drop there is counted nowhere, and all else that is lost there is. Whose packets they are
//! nobody tells, so it is a warning.

use crate::Counters;

use super::super::between::concerns;
use super::super::proof::Doubt;
use super::super::{Code, Context, Finding, LinkState, Tally, Watched};
use super::firewall_rule::{Direction, named};
use super::{foreign_frame, interface_drops, sender};

/// Frames of ARP have no more bytes than these in a bridge, where the header of Ethernet is not counted.
const ARP: u64 = 46;

pub(super) fn run(context: &Context, watched: &Watched) -> Option<Finding> {
    if !is_blind(context, watched) {
        return None;
    }
    let (title, evidence) = before_routing(context, watched).or_else(|| {
        let bridge =
            context.host.interfaces.iter().find(|interface| {
                interface.kind == "bridge" && concerns(context, &interface.name)
            })?;
        let mut links = watched.links.iter();
        let link = links.find(|link| *link.name == *bridge.name)?;
        behind_bridge(context, watched, link)
    })?;
    let finding = Finding::warning(Code::FirewallDrops, Doubt::Possible, title)
        .because(evidence)
        .because("these may be other packets than those that were to arrive");
    Some(named(context, finding, None, 0, Direction::In))
}

/// Whether nothing but counters tells why nothing is received.
fn is_blind(context: &Context, watched: &Watched) -> bool {
    let program = context.program.as_ref();
    let receives = program.is_none_or(|program| sender::receives(context, program));
    let unseen = watched.captured.is_none() && watched.rules.is_none();
    unseen && receives && watched.exact.is_empty() && watched.wide.is_empty()
}

/// Whether packets are lost at the prerouting hook, where a translation may lose them as well.
pub(super) fn lost_at_prerouting(context: &Context, watched: &Watched) -> bool {
    is_blind(context, watched) && before_routing(context, watched).is_some()
}

/// By IPv6, what comes to IP is counted by its destination once the prerouting hook is passed. By IPv4,
/// groups that are not joined are lost in between as well.
fn before_routing(context: &Context, watched: &Watched) -> Option<(String, String)> {
    if context.target.is_ipv4() {
        return None;
    }
    let tally = Tally::of(&watched.counters, false);
    let counted: u64 = [
        "Ip6InHdrErrors",
        "Ip6InTooBigErrors",
        "Ip6InNoRoutes",
        "Ip6InAddrErrors",
        "Ip6InTruncatedPkts",
        "Ip6InDiscards",
        "Ip6OutForwDatagrams",
    ]
    .map(|name| watched.counters.get(name))
    .iter()
    .sum();
    // What was delivered of groups is counted by both.
    let passed = tally.multicast + tally.delivered + counted + watched.conntrack_drops;
    let lost = tally.received.saturating_sub(passed);
    // Where connections are tracked, pieces are put together at that hook.
    let pieces = tally.delivered.saturating_sub(tally.control) * 2 > lost;
    (lost > super::few(watched) + super::slack(tally.received) && !pieces).then(|| {
        (
            "a firewall of this host drops datagrams at its prerouting hook".to_owned(),
            format!(
                "{} came to IP (Ip6InReceives), and were counted neither as sent to a group \
                 (Ip6InMcastPkts) nor as delivered, nor with any error",
                super::count(lost, "packet")
            ),
        )
    })
}

/// What comes by a bridge of this host goes to IP, if rules at the bridge let it.
fn behind_bridge(
    context: &Context,
    watched: &Watched,
    link: &LinkState,
) -> Option<(String, String)> {
    let interfaces = || {
        context
            .host
            .interfaces
            .iter()
            .filter(|other| !other.loopback)
    };
    // What comes by other interfaces is not known apart.
    let quiet = interfaces()
        .filter(|other| *other.name != *link.name && other.master.is_none())
        .filter_map(|other| watched.joining.interfaces.get(&*other.name))
        .all(|moved| moved.received == 0);
    let otherwise =
        interface_drops::run(context).is_some() || foreign_frame::run(context).is_some();
    if !quiet || otherwise || link.xdp.is_some() || link.ingress.is_some() {
        return None;
    }
    let [packets, bytes] = at_ip(&watched.joining);
    let missing = link
        .received
        .saturating_sub(packets + link.dropped + link.other_host);
    let missing_bytes = link.bytes.saturating_sub(bytes);
    let lost = missing > super::few(watched) + super::slack(link.received);
    (lost && missing_bytes > missing * ARP).then(|| {
        (
            format!(
                "a firewall of this host drops what comes by {} before IP has it",
                link.name
            ),
            format!(
                "{} that came by {} never came to IP, longer than those of ARP are: rules of the \
                 bridge, or at the ingress hook, take such away",
                super::count(missing, "frame"),
                link.name
            ),
        )
    })
}

/// How many packets came to IP, of either version, and how many bytes. Those that were put together by the
/// interface (GRO) are told as what they were, by the counters of congestion.
fn at_ip(counters: &Counters) -> [u64; 2] {
    let sum = |names: &[&str]| names.iter().map(|name| counters.get(name)).sum::<u64>();
    let of_v4 = [
        "IpExt.InNoECTPkts",
        "IpExt.InECT1Pkts",
        "IpExt.InECT0Pkts",
        "IpExt.InCEPkts",
    ];
    let of_v6 = [
        "Ip6InNoECTPkts",
        "Ip6InECT1Pkts",
        "Ip6InECT0Pkts",
        "Ip6InCEPkts",
    ];
    let packets = sum(&of_v4).max(counters.get("Ip.InReceives"))
        + sum(&of_v6).max(counters.get("Ip6InReceives"));
    [packets, sum(&["IpExt.InOctets", "Ip6InOctets"])]
}
