//! A firewall that keeps the host's membership reports from leaving.

use std::net::IpAddr;

use crate::FirewallRule;

use super::super::proof::Grade;
use super::super::{Code, Context, Finding, Severity};
use super::firewall_rule::{described, mended};

/// Whether reports of groups of the link (224.0.0.0/24) are sent.
pub(in super::super) const OF_THE_LINK: &str = "net.ipv4.igmp_link_local_mcast_reports";

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    if !target.is_group() || context.program.is_some() {
        return None;
    }
    // What was a member before does not report anew.
    let was_member = context.host.is_member(target.ip);
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
    if was_member || by.is_empty() || !is_reported(context) {
        return None;
    }
    let moved = &watched.joining;
    let protocol = if target.is_ipv4() { "IGMP" } else { "MLD" };
    let reports = if target.is_ipv4() {
        moved.get("IpExt.OutMcastPkts")
    } else {
        moved.get("Icmp6OutMLDv2Reports") + moved.get("Icmp6OutGroupMembResponses")
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
    let least = by.len() as u64;
    // A rule that counts has dropped one report for each interface at least.
    let proof = watched.rules.iter().flat_map(|rules| &rules.membership);
    let proof = proof
        .filter(|dropped| dropped.rule.is_outward())
        .find_map(|dropped| dropped.proof(least, 0));
    let finding = Finding::fault(
        Code::FirewallDropsIgmp,
        Grade::or_likely(proof),
        format!("this host's {protocol} reports do not leave, so switches do not know of it"),
    )
    .because(format!(
        "{} was joined on {}, and not one {protocol} report was counted as sent",
        target.ip,
        super::list(&by)
    ));
    let finding = rule_of_membership(context, finding, FirewallRule::is_outward, "output");
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

/// Whether the kernel tells switches of the group at all.
pub(super) fn is_reported(context: &Context) -> bool {
    match context.target.ip {
        IpAddr::V4(group) => {
            let of_link = matches!(group.octets(), [224, 0, 0, _]);
            !of_link || context.host.number(OF_THE_LINK) != Some(0)
        }
        // RFC 3810 §6: of those that do not leave the interface, nothing is sent.
        IpAddr::V6(group) => group.octets()[1] & 0xf > 1,
    }
}

/// Adds which rule may drop what IGMP or MLD sends or receives, where rules may be read, and what
/// lets it pass there: an `accept` in one chain does not overrule the `drop` of another.
pub(super) fn rule_of_membership(
    context: &Context,
    finding: Finding,
    concerned: impl Fn(&FirewallRule) -> bool,
    hook: &str,
) -> Finding {
    let pass = if context.target.is_ipv4() {
        "meta l4proto igmp accept"
    } else {
        "icmpv6 type { 130, 131, 132, 143 } accept"
    };
    let rules = context
        .watched
        .as_ref()
        .and_then(|watched| watched.rules.as_ref());
    let Some(rules) = rules else {
        return finding
            .remedy(format!(
                "find the rule that drops it at the {hook} hook with 'sudo nft -a list ruleset', and \
                 insert before it, in the same chain: {pass}"
            ))
            .confirm(format!(
                "as root, the doctor names the rule: sudo manycast doctor {}",
                context.target.address
            ));
    };
    let mut suspects: Vec<_> = rules
        .membership
        .iter()
        .filter(|dropped| concerned(&dropped.rule))
        .collect();
    suspects.sort_by_key(|dropped| std::cmp::Reverse(dropped.most));
    let Some(first) = suspects.first() else {
        return finding
            .because("no rule of nftables shows that it was this one")
            .remedy("look where else it is dropped: sudo nft -a list ruleset; sudo bpftool net");
    };
    finding
        .because(if first.most > 0 {
            format!(
                "{} dropped {} meanwhile",
                described(&first.rule),
                super::count(first.most, "packet")
            )
        } else {
            format!("{} may be it; it has no counter", described(&first.rule))
        })
        .remedy(mended(&first.rule, pass, first.most > 0))
}
