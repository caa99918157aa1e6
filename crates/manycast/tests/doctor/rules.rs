//! Which rule of the firewall is named, and which is not: an innocent one is there for a reason.

use manycast::doctor::{Code, Confidence, Report, Severity};
use manycast_lab::netns::Lab;

use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    remedy, two_hosts, unseen::mend,
};

/// No rule is to be taken away, and none is said to be the one.
#[track_caller]
fn assert_no_guess(report: &Report) {
    let faults = report.findings.iter();
    for fault in faults.filter(|found| found.severity == Severity::Fault) {
        let remedy = fault.remedy.as_deref().unwrap_or_default();
        assert!(!remedy.contains("nft delete"), "{report:#?}");
        let told = fault.evidence.join("; ");
        assert!(!told.contains("alone matches"), "{report:#?}");
    }
}

/// A rule for another source does not match, and the verdict of a map is not to be seen.
pub(crate) fn a_map_of_verdicts_drops() {
    for group in GROUPS {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.nft(
            "table inet filter {
                chain input {
                    type filter hook input priority 0
                    ip saddr 192.0.2.66 drop
                    ip6 saddr 2001:db8::66 drop
                    udp dport vmap { 5000 : drop }
                }
            }",
        );
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        assert_no_guess(&report);
        let told = evidence(&report);
        assert!(
            told.contains("(by a map or a program)") && told.contains("may be it"),
            "{told}"
        );
        assert!(
            !told.contains("rule 2 ") && !told.contains("rule 3 "),
            "{told}"
        );
        // It lets pass before the map what is meant, and leaves the other rules alone.
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
        assert!(b.output("nft list ruleset").contains("192.0.2.66"));
    }
}

/// The stream comes by one interface, and the rule that matches is for the other.
pub(crate) fn a_rule_for_another_interface() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24"]);
    b.nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0
                iifname eth1 udp dport 5000 drop
                iifname eth0 ip saddr 10.0.0.1 drop
            }
        }",
    );
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    let found = report.findings.iter();
    let found = found.filter(|found| found.title.contains("drops"));
    let told: String = found.flat_map(|found| found.evidence.clone()).collect();
    assert!(
        told.contains("rule 3 of") && !told.contains("rule 2 of"),
        "{report:#?}"
    );
}

/// What is taken away before IP has it, no rule at the input hook has dropped.
pub(crate) fn what_never_comes_to_ip_is_no_matter_of_the_input_hook() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0
                udp dport 5000 drop
            }
        }",
    );
    // A rule that hands them to another device: like a program of tcx, it shows to nobody here.
    b.output("ip link add away type veth peer name gone");
    b.output("ip link set away up");
    b.nft(
        "table netdev t {
            chain c {
                type filter hook ingress device eth0 priority 0
                udp dport 5000 fwd to away
            }
        }",
    );
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    assert!(!report.is_healthy(), "{report:#?}");
    assert_no_guess(&report);
    assert!(!remedy(&report).contains("handle 2"), "{report:#?}");
}
