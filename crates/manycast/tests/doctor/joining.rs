//! Where and from whom groups are joined.

use manycast::doctor::{self, Code, Confidence, ProgramChoice, Report, Severity};
use manycast_lab::netns::{Lab, Snooping, wait_until};

use crate::{
    GROUPS, READS, Stream, address, assert_delivered, assert_fault, examine, examine_privileged,
    examine_with, program, remedy, two_hosts,
};

pub(crate) fn another_interface() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(&format!("{group}%eth1")));
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Likely);
        let remedy = report.findings[0].remedy.clone().unwrap();
        assert!(remedy.contains("%eth0"), "{remedy}");
    }
}

pub(crate) fn another_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, asked) in [
        ("232.1.1.1", "10.0.0.9@232.1.1.1:5000"),
        ("ff35::1", "fd00::9@[ff35::1]:5000"),
    ] {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, asked);
        assert_fault(&report, Code::WrongSource, Confidence::Likely);
    }
}

pub(crate) fn an_old_querier() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping {
        igmp_version: 2,
        mld_version: 1,
        ..Snooping::default()
    });
    let [a, b] = two_hosts(&lab, &switch);
    wait_until("an IGMPv2 query to be seen", || {
        let joined = b.run(manycast::joined_groups).unwrap();
        joined.iter().any(|joined| joined.igmp_version == Some(2))
    });
    for (group, asked) in [
        ("232.1.1.1", "10.0.0.1@232.1.1.1:5000".to_owned()),
        ("ff35::1", "fd00::1@[ff35::1]:5000".to_owned()),
    ] {
        let report = examine(&b, &asked);
        assert_fault(&report, Code::OldQuerier, Confidence::Proved);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_warned(&examine(&b, &asked));
    }
}

/// The stream comes, and the sources are not told all the same.
#[track_caller]
fn assert_warned(report: &Report) {
    assert_delivered(report);
    let found = report.findings.first().map(|found| found.code);
    assert_eq!(found, Some(Code::OldQuerier), "{report:#?}");
}

/// The stream comes by another interface.
pub(crate) fn an_old_version_elsewhere() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    b.sysctl("net.ipv4.conf.eth1.force_igmp_version", "2");
    b.sysctl("net.ipv6.conf.eth1.force_mld_version", "1");
    for (group, source) in [("232.1.1.1", "10.0.0.1"), ("ff35::1", "fd00::1")] {
        let asked = format!("{source}@{}", address(group));
        let stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &asked);
        assert_delivered(&report);
        let mut codes = report.findings.iter().map(|finding| finding.code);
        assert!(codes.all(|code| code != Code::OldQuerier), "{report:#?}");
        // Where nothing comes, nobody knows by which of them it would.
        drop(stream);
        let report = examine(&b, &asked);
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
    }
}

pub(crate) fn an_old_version_by_the_host_s_own_setting() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (setting, version, group, source) in [
        (
            "net.ipv4.conf.all.force_igmp_version",
            "2",
            "232.1.1.1",
            "10.0.0.1",
        ),
        (
            "net.ipv6.conf.all.force_mld_version",
            "1",
            "ff35::1",
            "fd00::1",
        ),
    ] {
        b.sysctl(setting, version);
        let asked = format!("{source}@{}", address(group));
        let report = examine(&b, &asked);
        assert_fault(&report, Code::OldQuerier, Confidence::Proved);
        assert_eq!(remedy(&report), format!("sudo sysctl -w {setting}=0"));
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_warned(&examine(&b, &asked));
    }
}

pub(crate) fn an_interface_that_is_down() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [_a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24"]);
    b.link_down("eth1");
    for group in GROUPS {
        let report = examine(&b, &address(&format!("{group}%eth1")));
        assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
        let remedy = report.findings[0].remedy.as_deref();
        assert_eq!(remedy, Some("sudo ip link set eth1 up"));
    }
    b.link_down("eth0");
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
}

/// Another interface is well: the doctor joins there alone.
pub(crate) fn an_interface_that_is_down_beside_another() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [_a, b] = two_hosts(&lab, &switch);
    let c = lab.host("c");
    c.connect(&other, "eth0", &["10.1.0.3/24", "fd01::3/64"]);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    b.link_down("eth0");
    assert_warned_of(&b.run(doctor::examine_host).unwrap());
    assert_fault(
        &examine(&b, "10.0.0.2:5000"),
        Code::InterfaceDown,
        Confidence::Likely,
    );
    for (group, udp) in GROUPS.into_iter().zip(["udp('')", "udp('::', True)"]) {
        let asked = address(group);
        let joined = |devices: &str| {
            let script = format!("for d in {devices}: join(s, '{group}', d)");
            program(&b, &format!("s = {udp}\n{script}"))
        };
        // Which interface it is to come by, nobody has said.
        let report = examine(&b, &asked);
        assert_eq!(report.verdict(), Code::NotArriving, "{report:#?}");
        assert_warned_of(&report);
        // A program that has joined says so.
        let process = joined("['eth0']");
        assert_fault(
            &examine(&b, &asked),
            Code::InterfaceDown,
            Confidence::Likely,
        );
        for privileged in [false, true] {
            let examine = if privileged {
                examine_privileged
            } else {
                examine_with
            };
            let report = examine(&b, &asked, Some(ProgramChoice::Port));
            assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
        }
        drop(process);
        let _process = joined("['eth0', 'eth1']");
        let report = examine_with(&b, &asked, Some(ProgramChoice::Port));
        assert_eq!(report.verdict(), Code::NotArriving, "{report:#?}");
        assert_warned_of(&report);
        // What comes by the other one is not for the first.
        let _stream = Stream::start(&c, &address(&format!("{group}%eth0")));
        let report = examine(&b, &asked);
        assert_delivered(&report);
        let mut codes = report.findings.iter().map(|finding| finding.code);
        assert!(codes.all(|code| code != Code::InterfaceDown), "{report:#?}");
    }
}

#[track_caller]
fn assert_warned_of(report: &Report) {
    let mut findings = report.findings.iter();
    let down = findings.find(|finding| finding.code == Code::InterfaceDown);
    let down = down.unwrap_or_else(|| panic!("{report:#?}"));
    assert_eq!(down.title, "eth0 is down", "{report:#?}");
    assert_eq!(down.severity, Severity::Warning, "{report:#?}");
    assert_eq!(down.confidence, Confidence::Possible, "{report:#?}");
}

pub(crate) fn an_interface_without_ipv6() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1");
    for address in ["[ff15::1234]:5000", "[ff15::1234%eth0]:5000"] {
        let report = examine(&b, address);
        assert_fault(&report, Code::Ipv6Off, Confidence::Proved);
    }
}

pub(crate) fn an_interface_without_carrier() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.unplug("eth0");
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
}

pub(crate) fn an_interface_without_the_flag() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [_a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24"]);
    b.output("ip link set eth1 multicast off");
    for group in GROUPS {
        let report = examine(&b, &address(&format!("{group}%eth1")));
        assert_fault(&report, Code::InterfaceNotMulticast, Confidence::Proved);
    }
}

/// The stream comes by it, and another interface is well: the doctor joins there alone.
pub(crate) fn the_stream_comes_by_an_interface_without_the_flag() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    b.output("ip link set eth0 multicast off");
    for (group, udp) in GROUPS.into_iter().zip(["udp('')", "udp('::', True)"]) {
        let joined_on = |device: &str| {
            program(
                &b,
                &format!("s = {udp}; join(s, '{group}', '{device}'){READS}"),
            )
        };
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let examine = |choice| examine_privileged(&b, &address(group), choice);
        assert_without_the_flag(&examine(None));
        let elsewhere = joined_on("eth1");
        assert_without_the_flag(&examine(Some(ProgramChoice::Port)));
        drop(elsewhere);
        // By its index, the kernel lets a program join there, and gives it what comes.
        let _there = joined_on("eth0");
        let report = examine(Some(ProgramChoice::Port));
        assert!(report.is_healthy(), "{report:#?}");
    }
}

#[track_caller]
fn assert_without_the_flag(report: &Report) {
    assert_fault(report, Code::InterfaceNotMulticast, Confidence::Proved);
    assert!(remedy(report).contains("eth0 multicast on"), "{report:#?}");
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(codes.all(|code| code != Code::FirewallDrops), "{report:#?}");
}

pub(crate) fn two_interfaces_on_one_segment() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&switch, "eth1", &["10.0.0.3/24", "fd00::3/64"]);
    // To a group of the link, the sender's address is one of the link, which bears the interface.
    for group in GROUPS.into_iter().chain(["ff12::77"]) {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::DuplicateInterface, Confidence::Proved);
    }
}

pub(crate) fn a_port_that_is_not_shared() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, (any, v6)) in GROUPS.into_iter().zip([("", "False"), ("::", "True")]) {
        let _holder = program(&b, &format!("s = udp('{any}', {v6}, share=False)"));
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::PortInUse, Confidence::Proved);
    }
}
