//! Addresses that cannot work as they are.

use manycast::doctor::{Code, Confidence};
use manycast_lab::netns::Lab;

use crate::{Stream, assert_fault, examine, two_hosts};

pub(crate) fn a_group_in_a_reserved_range() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _stream = Stream::start(&a, "224.0.0.5%eth0:5000");
    let report = examine(&b, "224.0.0.5:5000");
    assert_fault(&report, Code::ReservedGroup, Confidence::Proved);
    let report = examine(&b, "[ff02::1%eth0]:5000");
    assert_fault(&report, Code::ReservedGroup, Confidence::Proved);
}

pub(crate) fn a_link_local_group_without_zone() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _stream = Stream::start(&a, "[ff12::77%eth0]:5000");
    let report = examine(&b, "[ff12::77]:5000");
    assert_fault(&report, Code::ScopeMissing, Confidence::Proved);
    let remedy = report.findings[0].remedy.as_deref();
    assert_eq!(remedy, Some("write [ff12::77%eth0]:5000"));
    let report = examine(&b, "[ff12::77%eth0]:5000");
    crate::assert_delivered(&report);
}

pub(crate) fn a_source_specific_group_without_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for address in ["232.1.1.1:5000", "[ff35::1]:5000"] {
        let report = examine(&b, address);
        assert_fault(&report, Code::SourceMissing, Confidence::Proved);
    }
}
