//! Programs of XDP and filters of tc, which take datagrams away before IP has them.

use super::super::between::concerns;
use super::super::proof::{Doubt, Grade, Proof};
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
}

/// The kernel counts what filters at the ingress drop.
fn by_filter(context: &Context, link: &LinkState) -> Option<Finding> {
    let drops = link.ingress.filter(|drops| *drops > super::FEW)?;
    let name = &link.name;
    let watched = context.watched.as_ref()?;
    let lost = context.lost_of_target();
    if watched.captured.is_some() && drops * 2 < lost || context.is_silent() {
        return None;
    }
    let finding = Finding::fault(
        Code::XdpOrTc,
        Grade::or_likely(Proof::counted(drops, lost)),
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
    if !link.xdp || arrives {
        return None;
    }
    let came = watched.counters.interfaces.get(name)?.received;
    let counted = [true, false].map(|ipv4| Tally::of(&watched.counters, ipv4).received);
    let below = came.saturating_sub(counted.iter().sum());
    (below > super::FEW).then(|| {
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
            "let the program pass them; or take it away: sudo ip link set dev {name} xdp off"
        ))
        .confirm(format!("sudo bpftool net list dev {name}"))
    })
}
