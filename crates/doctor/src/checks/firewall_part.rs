//! A firewall of this host that drops a part of the datagrams, as rules with a limit do.

use super::super::proof::Doubt;
use super::super::{CapturedStream, Code, Context, Finding, Tally, Watched};
use super::firewall_rule::{Direction, named};

/// One in so many is lost in other ways, or at the beginning and at the end.
const TOLERANCE: u64 = 10;

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
    let is_much =
        |(missing, of, _): &(u64, u64, String)| *missing > super::FEW && missing * TOLERANCE >= *of;
    let Some((missing, of, counted)) = counted.filter(is_much) else {
        return by_rule(context, watched);
    };
    let dropped = watched.rules.iter().flat_map(|rules| &rules.dropped);
    let mut inward = dropped.filter(|dropped| dropped.rule.is_inward());
    // What was received and what was captured are not read at the same moment.
    let proof = inward.find_map(|dropped| dropped.proof(missing, super::slack(of)));
    let title = format!(
        "a firewall of this host drops a part of what comes to {}",
        target.ip
    );
    let finding = match proof {
        Some(proof) => Finding::fault(Code::FirewallDrops, proof, title),
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
        let missing = came.saturating_sub(received);
        (received > 0 && missing > super::FEW && missing * TOLERANCE >= came).then(|| {
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
