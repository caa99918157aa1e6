//! A firewall that keeps the host's membership reports from leaving.

use super::super::{Code, Confidence, Context, Finding, Severity};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    if !target.is_group() || context.program.is_some() {
        return None;
    }
    // What was a member before does not report anew.
    let was_member = context
        .host
        .joined
        .iter()
        .any(|joined| joined.group == target.ip);
    let by: Vec<_> = watched
        .joined
        .iter()
        .filter(|id| {
            context
                .host
                .interface(id.index)
                .is_some_and(|interface| !interface.loopback && interface.running)
        })
        .collect();
    if was_member || by.is_empty() {
        return None;
    }
    let moved = &watched.joining;
    let (protocol, reports, remedy) = if target.is_ipv4() {
        (
            "IGMP",
            moved.get("IpExt.OutMcastPkts"),
            "ip protocol igmp accept",
        )
    } else {
        (
            "MLD",
            moved.get("Icmp6OutMLDv2Reports") + moved.get("Icmp6OutGroupMembResponses"),
            "icmpv6 type { 130, 131, 132, 143 } accept",
        )
    };
    // On loopback they always leave; where nothing at all left by the others, no report did.
    let silent = by.iter().all(|id| {
        let interface = moved.interfaces.get(&*id.name);
        interface.is_some_and(|interface| interface.sent == 0)
    });
    if reports > 0 && !silent {
        return None;
    }
    let tally = context.tally();
    // Queries still come to where a switch prunes, and few others.
    let quiet = tally.lost() <= super::FEW && tally.ignored == 0;
    let nothing_comes = context.vain().is_some() && quiet;
    let finding = Finding::fault(
        Code::FirewallDropsIgmp,
        Confidence::Proved,
        format!("this host's {protocol} reports do not leave, so switches do not know of it"),
    )
    .because(format!(
        "{} was joined on {}, and not one {protocol} report was counted as sent",
        target.ip,
        super::list(&by)
    ))
    .remedy(format!(
        "let it pass at the output and the input hook: sudo nft insert rule inet filter output \
         {remedy}; sudo nft insert rule inet filter input {remedy}"
    ));
    Some(if nothing_comes {
        finding
    } else {
        // Something comes nevertheless, since no switch prunes here.
        Finding {
            severity: Severity::Warning,
            ..finding
        }
    })
}
