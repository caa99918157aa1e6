//! Hosts with nothing wrong.

use std::time::Instant;

use manycast::doctor::Counters;
use manycast::doctor::{self, Code, Confidence, Finding, Severity};
use manycast_lab::netns::{Hook, Host, Lab, Snooping, wait_until};

use crate::stream::Flood;
use crate::unseen::mend;
use crate::{
    GROUPS, READS, Stream, address, assert_delivered, assert_fault, examine, program, two_hosts,
};

pub(crate) fn a_healthy_host() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&b, &address(group)));
        assert_delivered(&examine(&b, &address(&format!("{group}%eth0"))));
    }
    let _stream = Stream::start(&a, "232.1.1.1%eth0:5000");
    assert_delivered(&examine(&b, "10.0.0.1@232.1.1.1:5000"));
}

pub(crate) fn a_healthy_host_that_is_busy_with_other_groups() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _reader = program(
        &b,
        &format!("s = udp('239.9.9.9'); join(s, '239.9.9.9', 'eth0'){READS}"),
    );
    // One of the groups is joined here, the others flood.
    let _others = Flood::start(&a, 20_000);
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let began = Instant::now();
        let before = b.run(Counters::read).unwrap();
        let report = examine(&b, &address(group));
        assert_delivered(&report);
        let came = b
            .run(Counters::read)
            .unwrap()
            .since(&before)
            .get("Ip.InReceives");
        let rate = came as f64 / began.elapsed().as_secs_f64();
        assert!(rate >= 10_000.0, "only {rate:.0} a second");
    }
}

pub(crate) fn nothing_is_changed() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Input, "udp dport 9");
    let _member = program(&b, "s = udp(''); join(s, '239.1.2.3', 'eth0')");
    let before = state(&b);
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    examine(&b, "239.1.2.3:5000");
    examine(&b, "10.0.0.9@232.1.2.3%eth0:5000");
    examine(&b, "[ff15::1234]:5001");
    b.run(doctor::examine_host).unwrap();
    let port = Some(doctor::ProgramChoice::Port);
    crate::examine_with(&b, "239.1.2.3:5000", port);
    assert_eq!(state(&b), before);
}

/// Settings, routes, rules, addresses, links and memberships, as text.
pub(crate) fn state(host: &Host) -> Vec<String> {
    let quiet = |line: &str| host.output(line);
    let joined = host.run(manycast::joined_groups).unwrap();
    let links = quiet("ip -oneline link show");
    vec![
        quiet("sysctl -a --pattern ^net\\.ipv[46]\\.(conf|igmp|route\\.(max|min)|ip_forward|mld)"),
        quiet("ip -4 route show table all"),
        quiet("ip -6 route show table all"),
        quiet("ip rule show"),
        quiet("nft list ruleset"),
        quiet("ip -oneline address show"),
        links,
        format!("{joined:#?}"),
    ]
}

pub(crate) fn a_host_by_itself() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.add_route("224.0.0.0/4 dev eth0");
    let report = b.run(doctor::examine_host).unwrap();
    assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
    // By each version of IP, ten.
    let looked_at = "eth0: 20 of 20 datagrams to itself by groups came back";
    assert!(
        report.notes.contains(&looked_at.to_owned()),
        "{:?}",
        report.notes
    );

    b.connect(&switch, "eth1", &["10.0.0.3/24"]);
    let report = b.run(doctor::examine_host).unwrap();
    let found = |code| report.findings.iter().find(|finding| finding.code == code);
    let twins = found(Code::DuplicateInterface).unwrap();
    assert_eq!(twins.severity, Severity::Warning);
    assert!(report.is_healthy(), "{report:#?}");
}

/// What a host says of itself, the first finding of this code.
fn finding(host: &Host, code: Code) -> Finding {
    let report = host.run_unprivileged(doctor::examine_host).unwrap();
    let found = report.findings.iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("{report:#?}")).clone()
}

pub(crate) fn a_host_that_has_joined_many_groups() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    let _member = program(
        &b,
        "s = udp('')
for n in range(1, 19): join(s, f'239.1.1.{n}', 'eth0')",
    );
    let found = finding(&b, Code::TooManyGroups);
    assert_eq!(found.severity, Severity::Warning);
    assert_eq!(found.title, "18 groups are joined on eth0");
    assert!(found.evidence[0].contains("at most 20"), "{found:#?}");
}

pub(crate) fn a_host_under_an_old_querier() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping {
        igmp_version: 2,
        ..Snooping::default()
    });
    let [_a, b] = two_hosts(&lab, &switch);
    wait_until("an IGMPv2 query to be seen", || {
        let joined = b.run(manycast::joined_groups).unwrap();
        joined.iter().any(|joined| joined.igmp_version == Some(2))
    });
    let found = finding(&b, Code::OldQuerier);
    let state = (found.severity, found.confidence);
    assert_eq!(state, (Severity::Warning, Confidence::Proved));
    assert!(found.title.starts_with("eth0 speaks IGMPv2"), "{found:#?}");
}

/// A container has a virtual cable, and marks in its files; `/run` is the lab's own.
pub(crate) fn a_host_in_a_container() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    std::fs::write("/run/.containerenv", "").unwrap();
    let found = finding(&b, Code::ContainerNetwork);
    let state = (found.severity, found.confidence);
    assert_eq!(state, (Severity::Warning, Confidence::Possible));
    assert!(
        found.evidence[1].starts_with("eth0 is one end"),
        "{found:#?}"
    );
    // Where nothing comes, it is told along.
    let report = examine(&b, "239.1.2.3:5000");
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(
        codes.any(|code| code == Code::ContainerNetwork),
        "{report:#?}"
    );
    // With a network card of its own it would not be.
    b.output("ip link add link eth0 name mac0 type macvlan mode bridge");
    b.output("ip link set mac0 up");
    let report = b.run_unprivileged(doctor::examine_host).unwrap();
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(
        codes.all(|code| code != Code::ContainerNetwork),
        "{report:#?}"
    );
}

pub(crate) fn a_host_that_drops_all_groups() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.add_route("224.0.0.0/4 dev eth0");
    b.drop_at(Hook::Input, "meta pkttype multicast");
    // It may let in the groups in use: without an address it is no fault.
    let found = finding(&b, Code::FirewallDrops);
    let state = (found.severity, found.confidence);
    assert_eq!(state, (Severity::Warning, Confidence::Possible));
    assert!(
        b.run_unprivileged(doctor::examine_host)
            .unwrap()
            .is_healthy()
    );
}

/// A firewall that lets in the group in use and nothing else, and a host of IPv6 alone: both are well.
pub(crate) fn a_host_that_lets_in_what_is_in_use() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0; policy drop
                meta l4proto { igmp, icmpv6 } accept
                udp dport 5000 accept
            }
        }",
    );
    let well = |culprit: [&str; 2], no_route: bool| {
        for (report, culprit) in [
            b.run_unprivileged(doctor::examine_host),
            b.run(doctor::examine_host),
        ]
        .into_iter()
        .zip(culprit)
        {
            let report = report.unwrap();
            assert!(report.is_healthy(), "{report:#?}");
            let find = |code| report.findings.iter().find(|found| found.code == code);
            let drops = find(Code::FirewallDrops).unwrap();
            assert_eq!(drops.confidence, Confidence::Possible);
            let why = drops.evidence.join("; ");
            let reason = "a firewall that lets in what it knows drops these";
            assert!(why.contains(reason) && why.contains(culprit), "{why}");
            assert_eq!(find(Code::NoRoute).is_some(), no_route, "{report:#?}");
            let told = |note: &String| note.contains("no route");
            assert_eq!(report.notes.iter().any(told), no_route, "{report:#?}");
        }
    };
    let policy = "the policy of inet filter input (drop), at the input hook, matches them";
    well(["", policy], true);
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&b, &address(group)));
        for host in [&a, &b] {
            host.output("ip -4 address flush dev eth0");
        }
    }
    well(["", policy], false);
}

/// Whatever group is meant, it cannot come: that is a fault without an address as well.
pub(crate) fn a_host_without_a_link() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let b = lab.host("b");
    let bare = || b.run_unprivileged(doctor::examine_host).unwrap();
    let report = bare();
    assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
    b.connect(&switch, "eth0", &["10.0.0.2/24"]);
    for (command, code) in [
        (
            "ip link set eth0 multicast off",
            Code::InterfaceNotMulticast,
        ),
        ("ip link set eth0 down", Code::InterfaceDown),
    ] {
        b.output(command);
        let report = bare();
        assert_fault(&report, code, Confidence::Proved);
        mend(&b, &report);
        assert!(bare().is_healthy());
    }
}

pub(crate) fn a_host_without_a_route() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    let found = finding(&b, Code::NoRoute);
    assert_eq!(found.severity, Severity::Warning);
    for address in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
        let report = examine(&b, address);
        assert_fault(&report, Code::NoRoute, Confidence::Proved);
    }
    // Where there is one, what arrives is for the other host to tell.
    let how = doctor::Examination::default();
    b.run(|| doctor::examine("10.0.0.1:5000", &how))
        .unwrap_err();
}
