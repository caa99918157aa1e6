//! A firewall of this host that drops the datagrams.

use super::super::{Code, Confidence, Context, Finding, Severity};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    if !watched.wide.is_empty() || !context.target.is_group() {
        return None;
    }
    let tally = context.tally();
    let (group, port) = (context.target.ip, context.target.port);
    let fault = |confidence, title: String| {
        let (family, field) = if group.is_ipv4() {
            ("ip", "ip daddr")
        } else {
            ("ip6", "ip6 daddr")
        };
        Finding::fault(Code::FirewallDrops, confidence, title).remedy(format!(
            "find the rule with 'sudo nft list ruleset' and let it pass {field} {group} udp dport \
             {port}; where its chain is '{family} filter INPUT': sudo nft insert rule {family} \
             filter INPUT {field} {group} udp dport {port} accept"
        ))
    };
    for test in &watched.self_tests {
        if let Some(refused) = &test.refused {
            return Some(
                fault(
                    Confidence::Proved,
                    format!("a firewall of this host forbids sending to {group}"),
                )
                .because(refused.clone()),
            );
        }
        if test.control == test.sent && test.received == 0 {
            return Some(
                fault(
                    Confidence::Proved,
                    format!("a firewall of this host drops what comes to {group}:{port}"),
                )
                .because(format!(
                    "of {} that this host sent to itself by {}, {} came back from {group}:{port}, \
                     and {} of as many from a group that nobody uses",
                    super::count(test.sent, "datagram"),
                    test.interface,
                    test.received,
                    test.control
                )),
            );
        }
    }
    let others_explain = tally.reverse_path > 0 || tally.ignored > 0 || tally.fragments > 0;
    if others_explain || tally.lost() == 0 || !group.is_ipv4() {
        return None;
    }
    // By IPv4, only what is joined is counted as multicast, and this comes before the input hook.
    let at_input = tally.multicast > 0 && tally.multicast == tally.lost();
    if at_input {
        let alone = context
            .host
            .joined_by_programs(true)
            .all(|joined| joined.group == group);
        let tested = !watched.self_tests.is_empty();
        let finding = fault(
            Confidence::proved_if(alone && tested),
            "a firewall of this host drops datagrams at its input hook".to_owned(),
        )
        .because(format!(
            "IpExt.InMcastPkts moved by {}, and as many packets were not delivered",
            tally.multicast
        ))
        .settle("sudo nft list ruleset");
        return Some(if tested {
            finding.because(
                "what this host sends to itself is not dropped, so the rule goes by source",
            )
        } else {
            finding
        });
    }
    // What is not joined is lost at the same place; only a test could tell it apart.
    let untested = watched.self_tests.is_empty();
    untested.then(|| {
        let finding = fault(
            Confidence::CannotSee,
            format!("whether a firewall of this host drops {group} cannot be seen"),
        );
        Finding {
            severity: Severity::Warning,
            ..finding
        }
        .because(format!(
            "{} came and went no further; these may have been of other groups",
            super::count(tally.lost(), "packet")
        ))
        .because("another program has the port, so nothing was sent to it for a test")
        .settle("sudo nft list ruleset")
    })
}
