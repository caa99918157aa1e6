//! Hosts that forward groups.

use manycast::doctor::{Code, Confidence, Report, Severity};
use manycast_lab::netns::{Host, Lab};

use crate::{GROUPS, Stream, address, assert_delivered, examine, examine_privileged, ip, sending};

/// A router between two switches, and a host on each.
fn between(lab: &Lab) -> (Host, [Host; 2]) {
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let router = lab.router("r");
    router.connect(&left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(&right, "eth1", &["10.1.0.254/24", "fd01::fe/64"]);
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    b.connect(&right, "eth0", &["10.1.0.1/24", "fd01::1/64"]);
    (router, [a, b])
}

fn far(host: &Host, group: &str) -> Stream {
    Stream::of(
        host,
        &address(&format!("{group}%eth0")),
        sending(true, 8),
        64,
        std::time::Duration::from_millis(5),
    )
}

#[track_caller]
fn not_forwarded(report: &Report) {
    assert_delivered(report);
    let mut found = report.findings.iter();
    let found = found.find(|finding| finding.code == Code::NotForwarded);
    let found = found.unwrap_or_else(|| panic!("{report:#?}"));
    let state = (found.severity, found.confidence);
    assert_eq!(state, (Severity::Warning, Confidence::Proved));
}

/// The stream comes from the right, and the route is for what comes from the left.
pub(crate) fn a_route_for_another_interface() {
    let lab = Lab::new();
    let (router, [_a, b]) = between(&lab);
    for group in GROUPS {
        router.forward_group(ip(group), "eth0", "eth1");
        let _stream = far(&b, group);
        not_forwarded(&examine(&router, &address(group)));
        not_forwarded(&examine_privileged(&router, &address(group), None));
    }
}

/// The router receives it by both interfaces, with fewer hops by the second: no fault of these.
pub(crate) fn what_is_forwarded_comes_twice() {
    let lab = Lab::new();
    let (router, [a, _b]) = between(&lab);
    for group in GROUPS {
        router.forward_group(ip(group), "eth0", "eth1");
        let _stream = far(&a, group);
        for report in [
            examine(&router, &address(group)),
            examine_privileged(&router, &address(group), None),
        ] {
            assert_delivered(&report);
        }
    }
}
