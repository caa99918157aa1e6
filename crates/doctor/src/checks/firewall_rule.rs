//! Which rule of the firewall it is, and what lets datagrams pass it.

use crate::FirewallRule;

use super::super::rules::RuleDelta;
use super::super::{Context, Finding, Rules, Target};

/// How many rules are named at most.
const NAMED: usize = 3;

/// Where a rule stands that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Where packets come in.
    In,
    /// The same, behind where IP counts them.
    InBehindIp,
    /// Where packets come in, before IP has them.
    BeforeIp,
    /// Where packets go out.
    Out,
}

impl Direction {
    pub(crate) fn has(self, rule: &FirewallRule) -> bool {
        match self {
            Self::In => rule.is_inward(),
            Self::InBehindIp => rule.is_inward() && rule.hook != Some("ingress"),
            Self::BeforeIp => {
                rule.is_inward() && (rule.hook == Some("ingress") || rule.family == "bridge")
            }
            Self::Out => rule.is_outward(),
        }
    }
}

/// Adds which rules it is that dropped so many packets, as far as they may be read, and what lets the group
/// pass.
pub(in super::super) fn named(
    context: &Context,
    finding: Finding,
    rules: Option<&Rules>,
    packets: u64,
    direction: Direction,
) -> Finding {
    told(context, finding, rules, direction, |dropped| {
        let close = |some| {
            let close = dropped.iter().copied();
            close
                .filter(|dropped| dropped.may_be(packets, some))
                .collect::<Vec<_>>()
        };
        let mut counted = close(0);
        if counted.is_empty() {
            counted = close(super::slack(packets));
        }
        // Whether it is known which of them it is.
        let is_known = counted.len() == 1;
        if counted.is_empty() {
            let more = dropped.iter().copied();
            counted = more.filter(|dropped| dropped.most > packets).collect();
        }
        (counted, is_known)
    })
}

/// The same of as many packets at least: which of the rules it is, is not known.
pub(in super::super) fn suspected(
    context: &Context,
    finding: Finding,
    rules: Option<&Rules>,
    least: u64,
    direction: Direction,
) -> Finding {
    told(context, finding, rules, direction, |dropped| {
        let enough = dropped.iter().copied();
        let enough = enough.filter(|dropped| dropped.most >= least);
        (enough.collect(), false)
    })
}

fn told<'a>(
    context: &Context,
    finding: Finding,
    rules: Option<&'a Rules>,
    direction: Direction,
    choose: impl FnOnce(&[&'a RuleDelta]) -> (Vec<&'a RuleDelta>, bool),
) -> Finding {
    let target = &context.target;
    let family = if target.is_ipv4() { "ip" } else { "ip6" };
    let pass = format!("{} accept", target.as_rule());
    let Some(rules) = rules else {
        let chain = if direction == Direction::Out {
            "OUTPUT"
        } else {
            "INPUT"
        };
        return finding
            .remedy(format!(
                "find the rule with 'sudo nft list ruleset' and let the datagrams pass before it; \
                 where its chain is '{family} filter {chain}': sudo nft insert rule {family} filter \
                 {chain} {pass}"
            ))
            .confirm(format!(
                "as root, the doctor names the rule: sudo manycast doctor {}",
                target.address
            ));
    };
    // A counter that moved tells more than where they were last seen.
    let counting = match direction {
        Direction::BeforeIp => Direction::In,
        other => other,
    };
    let dropped = rules.dropped.iter();
    let dropped = dropped.filter(|dropped| counting.has(&dropped.rule));
    let (counted, mut is_known) = choose(&dropped.collect::<Vec<_>>());
    let mut finding = finding;
    let mut suspects: Vec<&FirewallRule> = Vec::new();
    for dropped in counted.into_iter().take(NAMED) {
        finding = finding.because(format!(
            "{} dropped {} meanwhile",
            described(&dropped.rule),
            super::count(dropped.most, "packet")
        ));
        suspects.push(&dropped.rule);
    }
    if suspects.is_empty() {
        let [certain, others] = [&rules.certain, &rules.uncounted].map(|rules| {
            let concerned = rules.iter().filter(|rule| direction.has(rule));
            concerned.collect::<Vec<_>>()
        });
        let known = !certain.is_empty();
        let alone = certain.len() == 1 && others.is_empty() && rules.legacy.is_empty();
        is_known = alone;
        suspects = if known { certain } else { others };
        suspects.truncate(NAMED);
        for rule in &suspects {
            let described = described(rule);
            finding = finding.because(if alone {
                format!("of all rules that drop, {described} alone matches it; it has no counter")
            } else if known {
                format!("{described} matches it, if it comes so far; it has no counter")
            } else {
                format!("{described} may be it; it has no counter")
            });
        }
    }
    if !rules.legacy.is_empty() {
        finding = finding
            .because(format!(
                "iptables-legacy is in use here (tables {}), whose rules do not show",
                super::list(&rules.legacy)
            ))
            .confirm("sudo iptables-legacy-save --counters; sudo ip6tables-legacy-save --counters");
    }
    match suspects.first() {
        Some(rule) => {
            let mended = mended(rule, &pass, is_known);
            finding.remedy(kept(rules.keeper, target, direction, &mended))
        }
        None => finding
            .because("no rule of nftables shows that it was this one")
            .remedy(format!(
                "look where else packets are dropped: sudo nft list ruleset; sudo tc filter show \
                 dev INTERFACE ingress; sudo bpftool net; and let pass what matches '{pass}'"
            )),
    }
}

/// The rule, and where it stands.
pub(crate) fn described(rule: &FirewallRule) -> String {
    match rule.hook {
        Some(hook) => format!("{rule}, at the {hook} hook,"),
        None => format!("{rule}, to which other chains jump,"),
    }
}

/// Lets what is meant pass before a rule, or where it is known to be this one, takes it away: that lasts
/// until the rules are loaded anew.
pub(super) fn mended(rule: &FirewallRule, pass: &str, is_known: bool) -> String {
    let place = rule.place();
    match rule.handle {
        Some(handle) => {
            let before = format!(
                "let the datagrams pass before it: sudo nft insert rule {place} handle {handle} \
                 {pass}"
            );
            // What matches everything is there for a reason.
            if !is_known || rule.may_drop || rule.matches_all() {
                before
            } else {
                format!("{before}; or take it away: sudo nft delete rule {place} handle {handle}")
            }
        }
        None => format!("let the datagrams pass: sudo nft add rule {place} {pass}"),
    }
}

/// Who keeps the rules can keep this as well.
fn kept(keeper: Option<&str>, target: &Target, direction: Direction, now: &str) -> String {
    let port = target.port;
    // The word of ufw for whatever address.
    let group = match target.ip.is_unspecified() {
        true => "any".to_owned(),
        false => target.ip.to_string(),
    };
    if direction == Direction::Out {
        return match keeper {
            Some("ufw") => format!(
                "let them pass for good: sudo ufw allow out proto udp to {group} port {port}; or for \
                 now {now}"
            ),
            _ => now.to_owned(),
        };
    }
    if let Some(asked) = target.asked {
        let from = asked.port();
        return match keeper {
            Some("ufw") => format!(
                "let them pass for good: sudo ufw allow in proto udp from any port {from}; or for now \
                 {now}"
            ),
            Some("firewalld") => format!(
                "let them pass for good: sudo firewall-cmd --permanent --add-source-port={from}/udp; \
                 sudo firewall-cmd --reload; or for now {now}"
            ),
            _ => now.to_owned(),
        };
    }
    match keeper {
        Some("ufw") => format!(
            "let them pass for good: sudo ufw allow in proto udp to {group} port {port}; or for \
             now {now}"
        ),
        Some("firewalld") => format!(
            "let them pass for good: sudo firewall-cmd --permanent --add-port={port}/udp; sudo \
             firewall-cmd --reload; or for now {now}"
        ),
        _ => now.to_owned(),
    }
}
