//! Which rule of the firewall it is, and what lets datagrams pass it.

use std::net::IpAddr;

use crate::FirewallRule;

use super::super::{Context, Finding, Rules};

/// How many rules are named at most.
const NAMED: usize = 3;

/// Adds which rules it is, as far as they may be read, and what lets the group pass.
pub(super) fn named(
    context: &Context,
    finding: Finding,
    rules: Option<&Rules>,
    packets: u64,
    concerned: fn(&FirewallRule) -> bool,
) -> Finding {
    let target = &context.target;
    let (group, port) = (target.ip, target.port);
    let (family, field) = if target.is_ipv4() {
        ("ip", "ip daddr")
    } else {
        ("ip6", "ip6 daddr")
    };
    let pass = format!("{field} {group} udp dport {port} accept");
    let Some(rules) = rules else {
        return finding
            .remedy(format!(
                "find the rule with 'sudo nft list ruleset' and let the datagrams pass before it; \
                 where its chain is '{family} filter INPUT': sudo nft insert rule {family} filter \
                 INPUT {pass}"
            ))
            .settle(format!(
                "as root, the doctor names the rule: sudo manycast doctor {}",
                target.address
            ));
    };
    let struck = || rules.struck.iter().filter(|struck| concerned(&struck.rule));
    let close = |some| {
        let close = struck().filter(move |struck| struck.may_be(packets, some));
        close.collect::<Vec<_>>()
    };
    let mut counted = close(0);
    if counted.is_empty() {
        counted = close(super::slack(packets));
    }
    if counted.is_empty() {
        counted = struck().filter(|struck| struck.most > packets).collect();
    }
    let mut finding = finding;
    let mut suspects: Vec<&FirewallRule> = Vec::new();
    for struck in counted.into_iter().take(NAMED) {
        finding = finding.because(format!(
            "{} struck {} meanwhile",
            described(&struck.rule),
            super::count(struck.most, "packet")
        ));
        suspects.push(&struck.rule);
    }
    if suspects.is_empty() {
        let [certain, others] = [&rules.certain, &rules.uncounted].map(|rules| {
            let concerned = rules.iter().filter(|rule| concerned(rule));
            concerned.collect::<Vec<_>>()
        });
        let known = !certain.is_empty();
        let alone = certain.len() + others.len() == 1 && rules.legacy.is_empty();
        suspects = if known { certain } else { others };
        suspects.truncate(NAMED);
        for rule in &suspects {
            let described = described(rule);
            finding = finding.because(if alone {
                format!("no other than {described} may strike it; it does not count")
            } else if known {
                format!("{described} strikes it, if it comes so far; it does not count")
            } else {
                format!("{described} may be it; it does not count what it strikes")
            });
        }
    }
    if !rules.legacy.is_empty() {
        finding = finding
            .because(format!(
                "iptables-legacy is in use here (tables {}), whose rules do not show",
                super::list(&rules.legacy)
            ))
            .settle("sudo iptables-legacy-save --counters; sudo ip6tables-legacy-save --counters");
    }
    match suspects.first() {
        Some(rule) => finding.remedy(mended(rule, rules.keeper, (group, port), &pass)),
        None => finding
            .because("no rule of nftables shows that it was this one")
            .remedy(format!(
                "look where else packets are dropped: sudo nft list ruleset; sudo tc filter show \
                 dev INTERFACE ingress; and let pass: {pass}"
            )),
    }
}

/// The rule, and where it stands.
fn described(rule: &FirewallRule) -> String {
    match rule.hook {
        Some(hook) => format!("{rule}, at the {hook} hook,"),
        None => format!("{rule}, to which other chains jump,"),
    }
}

/// Lets the datagrams pass before a rule, or takes the rule away: that lasts until the rules are
/// loaded anew. Who keeps them can keep this as well.
fn mended(
    rule: &FirewallRule,
    keeper: Option<&str>,
    (group, port): (IpAddr, u16),
    pass: &str,
) -> String {
    let place = rule.place();
    let now = match rule.handle {
        Some(handle) => {
            let before = format!(
                "let the datagrams pass before it: sudo nft insert rule {place} handle {handle} \
                 {pass}"
            );
            // What strikes everything is there for a reason.
            if rule.strikes_all() {
                before
            } else {
                format!("{before}; or take it away: sudo nft delete rule {place} handle {handle}")
            }
        }
        None => format!("let the datagrams pass: sudo nft add rule {place} {pass}"),
    };
    match keeper {
        Some("ufw") => format!(
            "let them pass for good: sudo ufw allow in proto udp to {group} port {port}; or for \
             now {now}"
        ),
        Some("firewalld") => format!(
            "let them pass for good: sudo firewall-cmd --permanent --add-port={port}/udp; sudo \
             firewall-cmd --reload; or for now {now}"
        ),
        _ => now,
    }
}
