//! A firewall of this host that drops a part of the datagrams, as rules with a limit do.

use super::super::proof::Doubt;
use super::super::{CapturedStream, Code, Context, Finding, Tally, Watched};
use super::firewall_rule::{Direction, named};
use super::loss;

/// Of so many that came, one may be under way where the count of what came and that of what was received
/// begin and end: those who count do not do so at the same moment.
const UNDER_WAY: u64 = 100;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    // What the doctor's own buffer had no room for has a finding of its own.
    if !target.is_group() || watched.dropped > 0 {
        return None;
    }
    let counted = match &watched.captured {
        // What comes to the doctor comes to a program on the port as well.
        Some(_) => by_wire(context, watched),
        None if context.program.is_none() => by_counters(context, watched),
        None => None,
    };
    let Some((missing, of, counted)) = counted.filter(|(missing, of, _)| is_much(*missing, *of))
    else {
        return by_rule(context, watched);
    };
    let dropped = watched.rules.iter().flat_map(|rules| &rules.dropped);
    let mut inward = dropped.filter(|dropped| dropped.rule.is_inward());
    let proof = inward.find_map(|dropped| dropped.proof(missing, under_way(of)));
    let title = format!(
        "a firewall of this host drops a part of what comes to {}",
        target.ip
    );
    let finding = match proof {
        Some(proof) => Finding::fault(Code::FirewallDrops, proof, title),
        // Somebody misses what was captured, whatever it is that drops it.
        None if watched.captured.is_some() && loss::falls_short(context).is_some() => {
            Finding::fault(
                Code::FirewallDrops,
                Doubt::Likely,
                format!(
                    "something on this host drops a part of what comes to {}",
                    target.ip
                ),
            )
        }
        // It may drop what comes to other ports of the group, and rightly; and a host that is too busy
        // to capture all may miss a part as well.
        None => Finding::warning(Code::FirewallDrops, Doubt::Possible, title),
    }
    .because(counted);
    Some(named(
        context,
        finding,
        watched.rules.as_ref(),
        missing,
        Direction::In,
    ))
}

/// Whether more are missing than can be under way.
fn is_much(missing: u64, of: u64) -> bool {
    missing > 2 * under_way(of)
}

const fn under_way(of: u64) -> u64 {
    3 + of / UNDER_WAY
}

/// How many datagrams were captured and are known to be lost behind that, of what this check looks at.
pub(super) fn lost_here(context: &Context) -> u64 {
    let watched = context
        .watched
        .as_ref()
        .filter(|watched| context.target.is_group() && watched.dropped == 0);
    let lost = watched.and_then(|watched| by_wire(context, watched));
    lost.map_or(0, |(missing, ..)| missing)
}

/// A rule that dropped more than is received, where nothing tells of what: this host's own datagrams are not
/// captured as they come back.
fn by_rule(context: &Context, watched: &Watched) -> Option<Finding> {
    let rules = watched.rules.as_ref()?;
    let inward = rules
        .dropped
        .iter()
        .filter(|dropped| dropped.rule.is_inward());
    let most = inward.map(|dropped| dropped.least).max()?;
    (most > super::FEW + context.received() && context.received() > 0).then(|| {
        let finding = Finding::warning(
            Code::FirewallDrops,
            Doubt::Possible,
            format!(
                "a firewall of this host may drop a part of what comes to {}",
                context.target.ip
            ),
        );
        named(context, finding, Some(rules), most, Direction::In)
    })
}

/// Of each source that something was received from: how much of what was captured is missing.
fn by_wire(context: &Context, watched: &Watched) -> Option<(u64, u64, String)> {
    let captured = watched.captured.as_ref()?;
    // From whichever ports it sends, which may be more than are told apart.
    let from = |stream: &CapturedStream| (stream.source.ip(), stream.interface);
    captured.to_port(context.target.port).find_map(|stream| {
        let (source, interface) = from(stream);
        let came = captured.to_port(context.target.port);
        let came = came.filter(|other| from(other) == (source, interface));
        let came: u64 = came.map(|stream| stream.datagrams).sum();
        let flows = watched.exact.iter();
        let flows =
            flows.filter(|flow| (flow.source.ip(), flow.interface.index) == (source, interface));
        let received: u64 = flows.map(|flow| flow.datagrams).sum();
        let unheard = captured.unheard.get(&(source, interface)).copied();
        // What lacks its last piece was lost before this host.
        let pieces = captured.pieces.iter();
        let broken = pieces
            .filter(|pieces| pieces.interface == interface)
            .map(|pieces| pieces.first.saturating_sub(pieces.last))
            .sum();
        let came = came
            .saturating_sub(unheard.unwrap_or(0))
            .saturating_sub(broken);
        let missing = came.saturating_sub(received);
        (received > 0 && is_much(missing, came)).then(|| {
            let evidence = format!(
                "of {} that {source} sent and that came in by the wire, {received} were received",
                super::count(came, "datagram")
            );
            (missing, came, evidence)
        })
    })
}

/// By IPv4, what is joined is counted apart, before the input hook. Where all that was lost is what
/// is missing, it was lost there.
fn by_counters(context: &Context, watched: &Watched) -> Option<(u64, u64, String)> {
    let group = context.target.ip;
    let mut joined = context.host.joined_by_programs(true);
    if !group.is_ipv4() || !joined.all(|joined| joined.group == group) {
        return None;
    }
    let received = context.received();
    let tally = Tally::of(&watched.joining, true);
    let missing = tally.multicast.saturating_sub(received);
    let others = tally.ignored + tally.checksums + tally.fragments;
    let exact = others == 0 && super::alike(missing, tally.lost());
    (received > 0 && exact).then(|| {
        let evidence = format!(
            "IpExt.InMcastPkts moved by {}, {received} were received, and {} came and went no \
             further",
            tally.multicast,
            super::count(tally.lost(), "packet")
        );
        (missing, tally.multicast, evidence)
    })
}
