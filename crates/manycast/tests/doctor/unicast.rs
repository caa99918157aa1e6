//! What comes by unicast and is dropped by a firewall: nothing is joined, and the host sends itself nothing for
//! a test.

use std::time::Duration;

use manycast::doctor::{self, Code, Confidence, Mark, Report, Step};
use manycast_lab::netns::{Hook, Lab};

use crate::firewall::{assert_named, rate};
use crate::{
    READS, Stream, address, assert_fault, evidence, examine, examine_privileged, how, program,
    remedy, two_hosts,
};

/// An address of the host, and what stands for all that it has.
const UNICAST: [(&str, &str); 2] = [("10.0.0.2", ":5000"), ("fd00::2", "[::]:5000")];

pub(crate) fn a_drop() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let dropped = b.drop_at(Hook::Input, "udp dport 5000");
    for (own, any) in UNICAST {
        let _stream = Stream::start(&a, &address(own));
        for asked in [&address(own), any] {
            assert_unseen(&examine(&b, asked));
            assert_named(&b, &examine_privileged(&b, asked, None));
        }
    }
    dropped.remove();
    // A part that is dropped is missed.
    b.drop_at(Hook::Input, "udp dport 5000 numgen inc mod 10 != 0");
    for (own, _) in UNICAST {
        let _stream = Stream::start(&a, &address(own));
        let how = how(Duration::from_secs(4), None).expected_rate(Some(rate(&b, own) * 0.3));
        let report = b.run(|| doctor::examine(address(own), &how)).unwrap();
        assert_fault(&report, Code::Loss, Confidence::Likely);
    }
}

/// It came to IP, and more an ordinary user does not see.
#[track_caller]
fn assert_unseen(report: &Report) {
    assert_fault(report, Code::NotArriving, Confidence::CannotSee);
    assert!(evidence(report).contains("went no further"), "{report:#?}");
}

pub(crate) fn a_drop_that_is_not_counted() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let chain = "type filter hook input priority 0";
    for (rules, named) in [
        ("udp dport 5000 drop", "rule 2 of"),
        ("policy drop; icmpv6 type != 1 accept", "the policy of"),
    ] {
        b.nft(&format!(
            "table inet t {{ chain c {{ {chain}; {rules}\n }}\n }}"
        ));
        for (own, any) in UNICAST {
            let _stream = Stream::start(&a, &address(own));
            for asked in [&address(own), any] {
                assert_unseen(&examine(&b, asked));
                let report = examine_privileged(&b, asked, None);
                assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
                assert!(evidence(&report).contains(named), "{report:#?}");
                assert!(!remedy(&report).contains("daddr 0.0.0.0"), "{report:#?}");
                let arrived = report
                    .steps
                    .iter()
                    .find(|state| state.step == Step::Arrived);
                assert_eq!(arrived.unwrap().mark, Mark::Passed, "{report:#?}");
            }
        }
        b.output("nft delete table inet t");
    }
    // Of a port that others share, one of them receives it, and nothing is dropped.
    let _program = program(&b, &format!("s = udp('10.0.0.2'){READS}"));
    let _stream = Stream::start(&a, "10.0.0.2:5000");
    let report = examine_privileged(&b, ":5000", None);
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(codes.all(|code| code != Code::FirewallDrops), "{report:#?}");
}
