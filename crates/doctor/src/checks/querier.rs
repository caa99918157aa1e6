//! A stream that ceases after a while, and comes again when the group is joined anew.

use super::super::proof::Doubt;
use super::super::watch::has_ceased;
use super::super::{Code, Context, Finding};
use super::firewall_igmp::rule_of_membership;
use super::interface;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let ceased = has_ceased(watched) && interface::lost(context).is_none();
    if context.program.is_some() || !ceased {
        return None;
    }
    let last = watched.exact.iter().map(|flow| flow.last).max()?;
    let age = last.as_secs_f64();
    let evidence = format!(
        "the last datagram came {age:.1} s after {} was joined",
        context.target.ip
    );
    if watched.revived != Some(true) && context.host.is_member(context.target.ip) {
        return Some(
            // The sender may have stopped, as in the case below.
            Finding::warning(
                Code::NotArriving,
                Doubt::Possible,
                format!("nothing came any more after {age:.1} s, and why cannot be seen"),
            )
            .because(evidence)
            .because(
                "another program of this host is a member too, so that joining the group anew told \
                 no switch of it: the sender may have stopped, or the network has forgotten the \
                 membership",
            )
            .confirm(format!(
                "stop the other program, and: manycast doctor {}; do queries come, and reports go: \
                 sudo tcpdump -ni any igmp or icmp6",
                context.target.address
            )),
        );
    }
    if watched.revived != Some(true) {
        return Some(
            Finding::warning(
                Code::NothingSent,
                Doubt::Possible,
                format!("nothing came any more after {age:.1} s"),
            )
            .because(evidence)
            .because("joining the group anew did not bring it back: the sender may have stopped"),
        );
    }
    let captured = watched.captured.as_ref();
    if let Some((querier, version, queries)) =
        captured.and_then(|captured| captured.queriers.first())
    {
        return Some(queried(
            context,
            format!("the network forgot the membership after {age:.1} s, although it is asked for"),
            evidence,
            format!("{querier} asked {queries} times for memberships, in version {version}"),
        ));
    }
    let finding = Finding::fault(
        Code::NoQuerier,
        // That no query came proves nothing: it may have been kept from here as well.
        Doubt::Likely,
        format!("the network forgot the membership after {age:.1} s, since no querier asks for it"),
    )
    .because(evidence)
    .because("it came again as soon as the group was joined anew")
    .because("the kernel's tables say that the host was a member all the time")
    .remedy(
        "switch an IGMP querier on, in one switch or router of the segment; on a Linux bridge: \
             sudo ip link set dev BRIDGE type bridge mcast_querier 1",
    );
    Some(match captured {
        Some(_) => finding.because("not one query was captured on the wire meanwhile"),
        None => finding.confirm(
            "whether queries come and are dropped here (firewall-drops-igmp): \
             sudo tcpdump -ni any igmp or icmp6",
        ),
    })
}

/// Queries come, but the host does not answer them, or is not captured.
fn queried(context: &Context, title: String, evidence: String, queries: String) -> Finding {
    let finding = Finding::fault(Code::FirewallDropsIgmp, Doubt::Likely, title)
        .because(evidence)
        .because("it came again as soon as the group was joined anew")
        .because(queries);
    rule_of_membership(context, finding, |_| true, "input or the output")
}
