//! Addresses that do not work everywhere as they are: where nothing comes, that is a fault, and where
//! the stream comes, a warning.

use manycast::doctor::{Code, Confidence, Mark, Report, Severity, Step};
use manycast_lab::netns::{Hook, Lab};

use crate::{
    BROADCASTS, Stream, assert_delivered, assert_fault, examine, examine_privileged, program,
    two_hosts,
};

/// It is told, and it is no fault.
#[track_caller]
fn assert_warning(report: &Report, code: Code) {
    assert_delivered(report);
    let mut findings = report.findings.iter();
    let found = findings.find(|finding| finding.code == code);
    assert_eq!(
        found.map(|found| (found.severity, found.confidence)),
        Some((Severity::Warning, Confidence::Proved)),
        "{report:#?}"
    );
}

/// Nobody sends, so no step is passed.
#[track_caller]
fn assert_nothing_passed(report: &Report) {
    let mut steps = report.steps.iter();
    let passed = steps.find(|state| state.mark == Mark::Passed);
    assert_eq!(passed, None, "{report:#?}");
    assert_eq!(report.steps[0].step, Step::Sent);
}

pub(crate) fn a_group_in_a_reserved_range() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, sent) in [
        ("224.0.0.5:5000", "224.0.0.5%eth0:5000"),
        ("224.0.0.1:5000", "224.0.0.1%eth0:5000"),
        ("[ff02::1%eth0]:5000", "[ff02::1%eth0]:5000"),
    ] {
        for report in [examine(&b, group), examine_privileged(&b, group, None)] {
            assert_fault(&report, Code::ReservedGroup, Confidence::Proved);
            assert_nothing_passed(&report);
        }
        let _stream = Stream::start(&a, sent);
        assert_warning(&examine(&b, group), Code::ReservedGroup);
    }
}

pub(crate) fn a_link_local_group_without_zone() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let report = examine(&b, "[ff12::77]:5000");
    assert_fault(&report, Code::ScopeMissing, Confidence::Proved);
    assert_nothing_passed(&report);
    let remedy = report.findings[0].remedy.as_deref().unwrap();
    let _stream = Stream::start(&a, "[ff12::77%eth0]:5000");
    assert_warning(&examine(&b, "[ff12::77]:5000"), Code::ScopeMissing);
    // What it tells to write.
    let better = remedy.strip_prefix("write ").unwrap();
    assert_eq!(better, "[ff12::77%eth0]:5000");
    let report = examine(&b, better);
    assert_delivered(&report);
    let mut codes = report.findings.iter().map(|found| found.code);
    assert!(codes.all(|code| code != Code::ScopeMissing), "{report:#?}");
}

pub(crate) fn a_source_specific_group_without_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (address, sent, source) in [
        ("232.1.1.1:5000", "232.1.1.1%eth0:5000", "10.0.0.1"),
        ("[ff35::1]:5000", "[ff35::1%eth0]:5000", "fd00::1"),
    ] {
        for report in [examine(&b, address), examine_privileged(&b, address, None)] {
            assert_fault(&report, Code::SourceMissing, Confidence::Proved);
            assert_nothing_passed(&report);
        }
        // On one link it comes to who asks for any source.
        let _stream = Stream::start(&a, sent);
        let report = examine(&b, address);
        assert_warning(&report, Code::SourceMissing);
        let mut found = report.findings.iter();
        let found = found
            .find(|found| found.code == Code::SourceMissing)
            .unwrap();
        let (_, better) = found.remedy.as_ref().unwrap().split_once(": ").unwrap();
        let report = examine(&b, &better.replace("SOURCE", source));
        assert_delivered(&report);
        let mut codes = report.findings.iter().map(|found| found.code);
        assert!(codes.all(|code| code != Code::SourceMissing), "{report:#?}");
    }
}

/// The kernel tells no switch of these, so that no report is missing.
pub(crate) fn groups_that_are_not_reported() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.sysctl("net.ipv4.igmp_link_local_mcast_reports", "0");
    for address in ["224.0.0.251:5353", "[ff11::5%eth0]:5353"] {
        for report in [examine(&b, address), examine_privileged(&b, address, None)] {
            let mut codes = report.findings.iter().map(|found| found.code);
            assert!(
                codes.all(|code| code != Code::FirewallDropsIgmp),
                "{report:#?}"
            );
        }
    }
}

/// The command that is to tell more names a host, and one that can be sent to.
pub(crate) fn what_is_told_to_be_sent_can_be_sent() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (asked, to) in [
        (":5000", "10.0.0.2:5000"),
        ("10.0.0.2:5000", "10.0.0.2:5000"),
        ("[::]:5000", "[fd00::2]:5000"),
        ("[fd00::2]:5000", "[fd00::2]:5000"),
    ] {
        for privileged in [false, true] {
            let report = match privileged {
                false => examine(&b, asked),
                true => examine_privileged(&b, asked, None),
            };
            assert_fault(&report, Code::NotArriving, Confidence::Likely);
            let confirm = report.findings[0].confirm.as_deref().unwrap_or_default();
            let command = format!("manycast send {to} hello");
            assert!(confirm.contains(&command), "{report:#?}");
        }
        let _stream = Stream::start(&a, to);
        assert_delivered(&examine(&b, asked));
    }
}

/// What comes to all hosts of the link is for who asks for no address of its own, and nothing is lost of it.
pub(crate) fn broadcasts_to_any_address() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for to in ["255.255.255.255", "10.0.0.255"] {
        let broadcasts = BROADCASTS
            .replace("255.255.255.255", to)
            .replace("57621", "5000");
        let _sender = program(&a, &broadcasts);
        assert_delivered(&examine_privileged(&b, ":5000", None));
        let drops = b.drop_at(Hook::Input, "udp dport 5000");
        let report = examine_privileged(&b, ":5000", None);
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        drops.remove();
    }
}
