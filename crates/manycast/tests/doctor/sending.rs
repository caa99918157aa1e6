//! What the host's own firewall drops of what it sends.

use manycast::doctor::{self, Code, Confidence, Severity};
use manycast_lab::netns::{Hook, Lab};

use crate::firewall::{assert_named, assert_unnamed};
use crate::stream::Stream;
use crate::unseen::mend;
use crate::{
    GROUPS, address, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    program, remedy, two_hosts,
};

pub(crate) fn a_rule_that_forbids_sending() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Output, "udp dport 5000");
    for group in GROUPS {
        assert_unnamed(&examine(&b, &address(group)), Confidence::Proved);
        assert_named(&b, &examine_privileged(&b, &address(group), None));
    }
}

/// Nothing comes back from a group that nobody uses either, since nothing could be sent.
pub(crate) fn a_firewall_that_forbids_sending_to_all_groups() {
    for (group, (rules, culprit)) in GROUPS.into_iter().zip([
        (
            "policy drop; meta l4proto { igmp, icmpv6 } accept",
            "the policy of inet t c (drop), at the output hook,",
        ),
        (
            "udp dport 53 accept; meta l4proto udp counter drop",
            "rule 3 of inet t c (drop), at the output hook,",
        ),
    ]) {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.nft(&format!(
            "table inet t {{
                chain c {{
                    type filter hook output priority 0
                    {rules}
                }}
            }}"
        ));
        // Where another program would receive it, nothing is sent to the group itself.
        let _receiver = group.contains(':').then(|| {
            let script = format!("s = udp('{group}', True); join(s, '{group}', 'eth0')");
            program(&b, &script)
        });
        let report = examine(&b, &address(group));
        assert_unnamed(&report, Confidence::Proved);
        let told = &report.findings[0];
        let title = "a firewall of this host forbids sending to groups by eth0";
        assert_eq!(told.title, title, "{report:#?}");
        assert!(remedy(&report).contains("filter OUTPUT"), "{report:#?}");
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        assert_eq!(report.findings[0].title, title, "{report:#?}");
        assert!(evidence(&report).contains(culprit), "{report:#?}");

        // Without an address it is a warning, which says why it is no more.
        for (host, culprit) in [
            (b.run_unprivileged(doctor::examine_host), ""),
            (b.run(doctor::examine_host), culprit),
        ] {
            let host = host.unwrap();
            assert!(host.is_healthy(), "{host:#?}");
            let mut found = host.findings.iter();
            let found = found.find(|found| found.code == Code::FirewallDrops);
            let found = found.unwrap_or_else(|| panic!("{host:#?}"));
            let state = (found.severity, found.confidence);
            assert_eq!(state, (Severity::Warning, Confidence::Possible));
            assert!(found.title.contains("may not send"), "{host:#?}");
            let why = found.evidence.join("; ");
            let reason = "a firewall that lets out what it knows";
            assert!(why.contains(reason) && why.contains(culprit), "{why}");
        }

        mend(&b, &report);
        let _stream = Stream::start(&b, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&a, &address(group)));
    }
}

/// Of IPv4, what is lost there on its way back to this host is refused to nobody.
pub(crate) fn a_drop_at_the_postrouting_hook() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet t {
            chain c {
                type filter hook postrouting priority 0
                udp dport 5000 counter drop
            }
        }",
    );
    for (group, title) in GROUPS
        .into_iter()
        .zip(["drops what it sends to", "forbids sending to"])
    {
        let report = examine_privileged(&b, &address(group), None);
        assert_named(&b, &report);
        assert!(report.findings[0].title.contains(title), "{report:#?}");
        mend(&b, &report);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
    }
}
