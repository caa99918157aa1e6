//! Hosts that forward groups.

use manycast::doctor::{Code, Confidence, Report, Severity};
use manycast_lab::netns::{Host, Lab};

use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, examine, examine_privileged, ip,
    sending,
};

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

/// What crosses a bridge meets the rules of IP as well, and comes to the bridge itself nevertheless.
pub(crate) fn a_bridge_whose_firewall_drops() {
    for (group, family) in GROUPS.into_iter().zip(["ip", "ip6"]) {
        let lab = Lab::new();
        let (left, right) = (lab.switch("left"), lab.switch("right"));
        let [a, bridge, b] = ["a", "c", "b"].map(|name| lab.host(name));
        a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
        bridge.connect(&left, "eth0", &[]);
        bridge.connect(&right, "eth1", &[]);
        b.connect(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
        for line in [
            "link add br0 type bridge mcast_snooping 0 forward_delay 0",
            "link set eth0 master br0",
            "link set eth1 master br0",
            "link set br0 up",
            "address add 10.0.0.3/24 dev br0",
            "address add fd00::3/64 dev br0 nodad",
        ] {
            bridge.output(&format!("ip {line}"));
        }
        bridge.nft(&format!(
            "table {family} filter {{
                chain FORWARD {{
                    type filter hook forward priority 0
                    udp dport 5000 counter drop
                }}
            }}"
        ));
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_fault(
            &examine(&b, &address(group)),
            Code::NotArriving,
            Confidence::Likely,
        );
        let asked = address(&format!("{group}%br0"));
        // To whom no rule is shown, the bridge is a host that is well.
        assert_delivered(&examine(&bridge, &asked));
        let report = examine_privileged(&bridge, &asked, None);
        assert_delivered(&report);
        let mut findings = report.findings.iter();
        let found = findings
            .find(|found| found.code == Code::NotForwarded)
            .unwrap();
        let sure = (found.severity, found.confidence);
        assert_eq!(sure, (Severity::Warning, Confidence::Proved), "{report:#?}");
        let remedy = found.remedy.as_ref().unwrap();
        let (_, command) = remedy
            .split("; ")
            .next()
            .unwrap()
            .split_once("sudo ")
            .unwrap();
        bridge.output(command);
        assert_delivered(&examine(&b, &address(group)));
    }
}
