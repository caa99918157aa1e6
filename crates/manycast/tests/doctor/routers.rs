//! Hosts that forward groups.

use std::time::Duration;

use manycast::doctor::{Code, Confidence, Finding, ProgramChoice, Report, Severity};
use manycast_lab::netns::{Hook, Host, Lab, wait_until};

use crate::unseen::mend;
use crate::{
    GROUPS, READS, Stream, address, assert_delivered, assert_fault, examine, examine_privileged,
    examine_with, ip, program, remedy, sending,
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
    with_hops(host, group, 8)
}

fn with_hops(host: &Host, group: &str, hops: u8) -> Stream {
    Stream::of(
        host,
        &address(&format!("{group}%eth0")),
        sending(true, hops),
        64,
        Duration::from_millis(5),
    )
}

/// What a router that receives the stream itself is told.
#[track_caller]
fn not_forwarded(report: &Report) -> &Finding {
    assert_delivered(report);
    let mut found = report.findings.iter();
    let found = found.find(|finding| finding.code == Code::NotForwarded);
    let found = found.unwrap_or_else(|| panic!("{report:#?}"));
    let state = (found.severity, found.confidence);
    assert_eq!(state, (Severity::Warning, Confidence::Proved));
    found
}

/// The stream comes from the right, and the route is for what comes from the left.
pub(crate) fn a_route_for_another_interface() {
    let lab = Lab::new();
    let (router, [a, b]) = between(&lab);
    for group in GROUPS {
        router.forward_group(ip(group), "eth0", "eth1");
        let _stream = far(&b, group);
        let report = examine(&router, &address(group));
        let title = "route is for what comes in by eth0";
        assert!(not_forwarded(&report).title.contains(title), "{report:#?}");
        let report = examine_privileged(&router, &address(group), None);
        let remedy = not_forwarded(&report).remedy.as_ref().unwrap();
        assert!(remedy.contains("change the static route"), "{remedy}");
        router.forward_group(ip(group), "eth1", "eth0");
        assert_delivered(&examine(&a, &address(group)));
    }
}

/// What has no more hops left than the route says stays on its side.
pub(crate) fn a_hop_limit_at_the_threshold_of_the_route() {
    let lab = Lab::new();
    let (router, [a, b]) = between(&lab);
    for (group, threshold, hops) in [(GROUPS[0], 5, 3), (GROUPS[1], 1, 1)] {
        router.forward_group_above(ip(group), "eth0", "eth1", threshold);
        let stream = with_hops(&a, group, hops);
        let report = examine(&router, &address(group));
        let title = format!("by eth1: it comes with hop limit {hops}");
        assert!(not_forwarded(&report).title.contains(&title), "{report:#?}");
        let report = examine_privileged(&router, &address(group), None);
        let remedy = not_forwarded(&report).remedy.as_ref().unwrap();
        let (_, higher) = remedy.split_once("higher by ").unwrap();
        let higher: u8 = higher.split(',').next().unwrap().parse().unwrap();
        drop(stream);
        let stream = with_hops(&a, group, hops + higher);
        assert_delivered(&examine(&b, &address(group)));
        drop(stream);
        // What the router sends itself was never to be forwarded by that route.
        let _stream = with_hops(&router, group, 1);
        let report = examine(&router, &address(group));
        let forwarding = |found: &Finding| found.code == Code::NotForwarded;
        assert!(!report.findings.iter().any(forwarding), "{report:#?}");
    }
}

/// The router receives it by both interfaces, with fewer hops by the second: no fault of these.
pub(crate) fn what_is_forwarded_comes_twice() {
    let lab = Lab::new();
    let (router, [a, _b]) = between(&lab);
    for group in GROUPS {
        router.forward_group(ip(group), "eth0", "eth1");
        let _stream = far(&a, group);
        let (any, v6) = if group.contains(':') {
            ("::", "True")
        } else {
            ("", "False")
        };
        let joined = ["eth0", "eth1"].map(|device| format!("join(s, '{group}', '{device}')"));
        let script = format!("s = udp('{any}', {v6}); {}{READS}", joined.join("; "));
        let process = program(&router, &script);
        let pid = Some(ProgramChoice::Pid(process.id()));
        let report = examine_privileged(&router, &address(group), None);
        assert_delivered(&report);
        for report in [
            report,
            examine(&router, &address(group)),
            examine_with(&router, &address(group), pid),
        ] {
            assert!(report.is_healthy(), "{report:#?}");
            let twice = |found: &Finding| found.code == Code::DuplicateInterface;
            assert!(!report.findings.iter().any(twice), "{report:#?}");
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

/// A bridge as a switch that asks for members, and does not understand reports of the newest version.
pub(crate) fn a_switch_that_knows_no_new_reports() {
    for (group, (query, report, version)) in GROUPS.into_iter().zip([
        (
            "igmp type membership-query",
            "ip protocol igmp igmp type 0x22",
            "net.ipv4.conf.all.force_igmp_version=2",
        ),
        (
            "icmpv6 type mld-listener-query",
            "icmpv6 type mld2-listener-report",
            "net.ipv6.conf.all.force_mld_version=1",
        ),
    ]) {
        let lab = Lab::new();
        let (left, right) = (lab.switch("left"), lab.switch("right"));
        let [a, switch, b] = ["a", "s", "b"].map(|name| lab.host(name));
        a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
        switch.connect(&left, "eth0", &[]);
        switch.connect(&right, "eth1", &[]);
        b.connect(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
        let asked = b.count_at(Hook::Prerouting, query);
        // It floods for one response interval, which is zero for that reason.
        for line in [
            "link add br0 type bridge forward_delay 0 mcast_snooping 1 mcast_igmp_version 3 \
                 mcast_mld_version 2 mcast_query_interval 100 mcast_startup_query_interval 100 \
                 mcast_query_response_interval 0",
            "link set eth0 master br0",
            "link set eth1 master br0",
            "link set br0 up",
            "link set br0 type bridge mcast_querier 1",
        ] {
            switch.output(&format!("ip {line}"));
        }
        switch.nft(&format!(
            "table bridge t {{
                chain c {{
                    type filter hook prerouting priority 0
                    {report} drop
                }}
            }}"
        ));
        wait_until("a query to be seen", || asked.count() > 0);
        switch.output("ip link set br0 type bridge mcast_query_response_interval 10");
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        assert!(remedy(&report).contains(version), "{report:#?}");
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}
