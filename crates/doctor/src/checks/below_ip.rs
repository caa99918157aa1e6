//! Programs of XDP and filters of tc, which take datagrams away before IP has them.

use super::super::between::concerns;
use super::super::proof::{Doubt, Grade};
use super::super::{Code, Context, Finding, LinkState, Tally};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    if !watched.exact.is_empty() || !watched.wide.is_empty() || watched.obstacle.is_some() {
        return None;
    }
    let links = || {
        let links = watched.links.iter();
        links.filter(|link| concerns(context, &link.name))
    };
    links()
        .find_map(|link| by_filter(context, link))
        .or_else(|| links().find_map(|link| by_program(context, link)))
        .or_else(|| links().find_map(|link| before_ip(context, link)))
}

/// Something stands before IP, and what comes by the link, or what this host sends to itself, never
/// comes to IP: a filter need not drop to take it away.
fn before_ip(context: &Context, link: &LinkState) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let name = &link.name;
    let (what, away) = match (link.ingress, link.xdp) {
        (Some(_), _) => (
            "filters of tc may stand at its ingress",
            format!("take them away, all of them: sudo tc filter del dev {name} ingress"),
        ),
        (None, Some(mode)) => (
            "a program of XDP is attached to it",
            format!("take it away: sudo ip link set dev {name} {mode} off"),
        ),
        (None, None) => return None,
    };
    let mut tests = watched.self_tests.iter();
    let tested = tests.find(|test| *test.interface.name == **name);
    let tested = tested.filter(|test| test.refused.is_none() && test.received == 0);
    let tested = tested.filter(|test| test.lost[0] * 2 < test.sent);
    let captured = context.lost_of_target();
    let came = Tally::of(&watched.joining, context.target.is_ipv4()).received;
    let evidence = if never_came(context) {
        format!(
            "{} to that address and port came in by the wire, and only {came} packets to IP",
            super::count(captured, "datagram")
        )
    } else {
        let test = tested?;
        format!(
            "of {} that this host sent to itself by {name}, none came to IP",
            super::count(test.sent, "datagram")
        )
    };
    Some(
        Finding::fault(
            Code::XdpOrTc,
            Doubt::Likely,
            format!("what comes by {name} is taken away before IP has it"),
        )
        .because(evidence)
        .because(format!("{name}: {what}"))
        .remedy(format!(
            "let pass what comes to {}; or {away}",
            context.target.ip
        ))
        .confirm(format!(
            "sudo tc -s filter show dev {name} ingress; sudo bpftool net list dev {name}"
        )),
    )
}

/// Whether what is captured and lost never comes to IP.
pub(super) fn never_came(context: &Context) -> bool {
    let captured = context.lost_of_target();
    let came = context.watched.as_ref().map_or(0, |watched| {
        Tally::of(&watched.joining, context.target.is_ipv4()).received
    });
    captured > super::FEW && came * 2 < captured
}

/// The kernel counts what filters at the ingress drop.
fn by_filter(context: &Context, link: &LinkState) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let drops = link.ingress.filter(|drops| *drops > super::few(watched))?;
    let name = &link.name;
    let lost = context.lost_of_target();
    if watched.captured.is_some() && drops * 2 < lost || context.is_silent() {
        return None;
    }
    let finding = Finding::fault(
        Code::XdpOrTc,
        Grade::or_likely(super::by_captured(watched, lost, drops, |moved| {
            let mut links = moved.links.iter();
            let same = links.find(|same| same.name == *name);
            same.and_then(|same| same.ingress).unwrap_or(0)
        })),
        format!("a filter of tc at the ingress of {name} drops the datagrams"),
    )
    .because(format!(
        "the qdisc at the ingress of {name} dropped {}",
        super::count(drops, "packet")
    ))
    .remedy(format!(
        "take the filters away, all of them: sudo tc filter del dev {name} ingress"
    ));
    Some(if watched.captured.is_some() {
        finding
            .because(format!(
                "{} to that address and port came in by the wire, and none further",
                super::count(lost, "datagram")
            ))
            .confirm(format!("sudo tc -s filter show dev {name} ingress"))
    } else {
        finding
            .because("these may be other packets than those that were to arrive")
            .confirm(format!(
                "as root, the doctor sees how many there were: sudo manycast doctor {}; or sudo tc \
                 -s filter show dev {name} ingress",
                context.target.address
            ))
    })
}

/// What programs of XDP drop is counted nowhere, and not captured.
fn by_program(context: &Context, link: &LinkState) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let name = &link.name;
    let captured = watched.captured.as_ref();
    let arrives = captured.is_some_and(|captured| captured.count(context.target.port) > 0);
    let mode = link.xdp.filter(|_| !arrives)?;
    let came = watched.counters.interfaces.get(name)?.received;
    let counted = [true, false].map(|ipv4| Tally::of(&watched.counters, ipv4).received);
    let below = came.saturating_sub(counted.iter().sum());
    (below > super::few(watched)).then(|| {
        Finding::fault(
            Code::XdpOrTc,
            Doubt::Likely,
            format!("an XDP program of {name} may drop the datagrams"),
        )
        .because(format!("an XDP program is attached to {name}"))
        .because(format!(
            "{} of those that came by {name} never came to IP, and no packet socket sees what such \
             a program drops",
            super::count(below, "packet")
        ))
        .remedy(format!(
            "let the program pass them; or take it away: sudo ip link set dev {name} {mode} off"
        ))
        .confirm(format!("sudo bpftool net list dev {name}"))
    })
}
