//! What takes datagrams away where no firewall shows it, and what only looks as if something did.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{self, Code, Confidence, Examination, Report, Severity};
use manycast_lab::netns::{Host, Lab};

use crate::{
    FORGED, GROUPS, Stream, address, assert_delivered, assert_fault, evidence, examine,
    examine_privileged, privileged_program, remedy, two_hosts,
};

/// No fault that is found is proved.
#[track_caller]
fn assert_nothing_proved(report: &Report) {
    assert!(!report.is_healthy(), "{report:#?}");
    let faults = report.findings.iter();
    for fault in faults.filter(|finding| finding.severity == Severity::Fault) {
        assert_ne!(fault.confidence, Confidence::Proved, "{report:#?}");
    }
}

/// The commands of a remedy, each of which begins with `sudo`.
pub(crate) fn commands(report: &Report) -> Vec<String> {
    let clauses = remedy(report).split("; ");
    let commands = clauses.filter_map(|clause| Some(clause.split_once("sudo ")?.1.to_owned()));
    commands.collect()
}

/// Does what the report tells to do, up to the first of several ways.
#[track_caller]
pub(crate) fn mend(host: &Host, report: &Report) {
    let command = commands(report).into_iter().next();
    host.output(&command.unwrap_or_else(|| panic!("no command: {report:#?}")));
}

pub(crate) fn a_filter_of_tc() {
    for group in GROUPS {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.output("tc qdisc add dev eth0 clsact");
        // All that is UDP: 2 is TC_ACT_SHOT. Of IPv6 the next header is the seventh byte.
        let at = if group.contains(':') { 20 } else { 23 };
        let program = format!("4,48 0 0 {at},21 0 1 17,6 0 0 2,6 0 0 4294967295");
        let mut tc = b.command("tc");
        tc.args([
            "filter", "add", "dev", "eth0", "ingress", "bpf", "da", "bytecode",
        ]);
        let added = tc.arg(&program).output().unwrap();
        assert!(added.status.success(), "{added:?}");
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::XdpOrTc, Confidence::Likely);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::XdpOrTc, Confidence::Proved);
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}

pub(crate) fn a_translation_of_the_port() {
    for (group, (family, own)) in GROUPS
        .into_iter()
        .zip([("ip", "10.0.0.2"), ("ip6", "[fd00::2]")])
    {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.nft(&format!(
            "table {family} n {{
                chain c {{
                    type nat hook prerouting priority dstnat
                    udp dport 5000 dnat to {own}:6000
                }}
            }}"
        ));
        let stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // The table of translations is for root alone, and nothing else tells of them for sure.
        assert_nothing_proved(&examine(&b, &address(group)));
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::NatRedirect, Confidence::Proved);
        assert!(report.findings[0].title.contains(":6000"), "{report:#?}");
        // What is translated goes on as long as its stream; another one is free.
        drop(stream);
        mend(&b, &report);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&b, &address(group)));
    }
}

pub(crate) fn frames_that_are_longer_than_the_mtu() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for host in [&a, &b] {
        host.set_mtu("eth0", 9000);
    }
    b.output("ip link set eth0 mtu 1500");
    for group in GROUPS {
        let to = address(&format!("{group}%eth0"));
        let config = SenderConfig::default();
        let _stream = Stream::of(&a, &to, config, 4000, Duration::from_millis(5));
        for report in [
            examine(&b, &address(group)),
            examine_privileged(&b, &address(group), None),
        ] {
            assert_fault(&report, Code::InterfaceDrops, Confidence::Likely);
            assert!(evidence(&report).contains("rx_dropped"), "{report:#?}");
        }
    }
    let _stream = Stream::of(
        &a,
        "239.1.2.3%eth0:5000",
        SenderConfig::default(),
        4000,
        Duration::from_millis(5),
    );
    mend(&b, &examine(&b, "239.1.2.3:5000"));
    assert_delivered(&examine(&b, "239.1.2.3:5000"));
}

/// As firewalld has it by default: what comes from where no route leads back.
pub(crate) fn a_reverse_path_filter_of_the_firewall() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    a.output("ip address add fd77::77/128 dev eth0 nodad");
    b.nft(
        "table inet firewalld {
            chain filter_PREROUTING {
                type filter hook prerouting priority -290
                icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
                meta nfproto ipv6 fib saddr . mark . iif oif missing drop
            }
        }",
    );
    let from = SenderConfig::default().from("[fd77::77]:0").unwrap();
    let _stream = Stream::of(
        &a,
        "[ff15::1234%eth0]:5000",
        from,
        64,
        Duration::from_millis(5),
    );
    let report = examine(&b, "[ff15::1234]:5000");
    let counted = crate::firewall::assert_possible(&report);
    assert!(counted.contains("Ip6InReceives"), "{report:#?}");
    // A translation may do the same.
    let mut codes = report.findings.iter().map(|found| found.code);
    assert!(codes.any(|code| code == Code::NatRedirect), "{report:#?}");
    let report = examine_privileged(&b, "[ff15::1234]:5000", None);
    assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
    assert!(
        evidence(&report).contains("inet firewalld filter_PREROUTING"),
        "{report:#?}"
    );
    let insert = commands(&report)
        .into_iter()
        .find(|command| command.starts_with("nft insert"));
    b.output(&insert.unwrap());
    assert_delivered(&examine(&b, "[ff15::1234]:5000"));
}

/// A datagram every 12 seconds is no silence.
pub(crate) fn what_is_sent_seldom() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        for report in [
            examine(&b, &address(group)),
            examine_privileged(&b, &address(group), None),
        ] {
            assert_fault(&report, Code::NotArriving, Confidence::Likely);
            assert_nothing_proved(&report);
            assert!(remedy(&report).contains("--for"), "{report:#?}");
        }
    }
}

/// A trunk sends the VLAN with its tag, and the host has no interface of it; or a device writes the
/// MAC address of another host.
pub(crate) fn frames_that_ip_does_not_take() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, source) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        for (frame, title) in [
            ("vlan=7", "VLAN 7"),
            ("to=bytes([2, 0, 0, 0, 9, 9])", "another host"),
        ] {
            let script = format!("{FORGED}\nforge('{source}', '{group}', None, {frame})");
            let _sender = privileged_program(&a, &script);
            let report = examine(&b, &address(group));
            assert_fault(&report, Code::ForeignFrame, Confidence::Likely);
            let report = examine_privileged(&b, &address(group), None);
            assert_fault(&report, Code::ForeignFrame, Confidence::Likely);
            assert!(report.findings[0].title.contains(title), "{report:#?}");
        }
    }
}

/// As root, the doctor knows what the sender sends instead.
pub(crate) fn another_group_is_sent_to() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other) in GROUPS.into_iter().zip(["239.192.0.10", "ff15::10"]) {
        let _stream = Stream::start(&a, &address(&format!("{other}%eth0")));
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        assert!(evidence(&report).contains(&format!("sends to {other}, port 5000")));
        assert!(remedy(&report).contains(other), "{report:#?}");
    }
}

/// Of each five, four are lost on the way: what comes looks well to who does not know how much was
/// sent.
pub(crate) fn fewer_than_are_expected() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    // Before the host's capture, as a switch does that limits multicast.
    let a_part = "udp dport 5000 numgen inc mod 5 != 0";
    a.nft(&format!(
        "table inet t {{
            chain c {{
                type filter hook output priority 0
                {a_part} drop
            }}
        }}"
    ));
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&b, &address(group)));
        for privileged in [false, true] {
            for (expected, verdict) in [(200.0, Code::Loss), (20.0, Code::Delivered)] {
                let how = Examination::default()
                    .duration(Duration::from_secs(2))
                    .expected_rate(Some(expected));
                let examine = || doctor::examine(address(group), &how).unwrap();
                let report = if privileged {
                    b.run(examine)
                } else {
                    b.run_unprivileged(examine)
                };
                assert_eq!(report.verdict(), verdict, "{report:#?}");
            }
        }
    }
}

/// As those of a switch that announces itself are, which are dropped where nobody knows their protocol.
pub(crate) fn frames_of_a_protocol_that_nobody_knows() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _others = privileged_program(
        &a,
        "import threading
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); wire.bind(('eth0', 0))
frame = bytes(6 * [255]) + bytes([2, 0, 0, 0, 9, 9]) + bytes([0x88, 0xb5]) + bytes(100)
def send():
    while not threading.Event().wait(.05): wire.send(frame)
threading.Thread(target=send, daemon=True).start()",
    );
    for group in GROUPS {
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        let mut found = report.findings.iter();
        let drops = found
            .find(|found| found.code == Code::InterfaceDrops)
            .unwrap();
        let told = (drops.severity, drops.confidence);
        assert_eq!(
            told,
            (Severity::Warning, Confidence::Possible),
            "{report:#?}"
        );
    }
}

/// The pieces come whole, and the host has no room to put them together.
pub(crate) fn pieces_that_the_host_has_no_room_for() {
    for (group, memory) in GROUPS
        .into_iter()
        .zip(["net.ipv4.ipfrag", "net.ipv6.ip6frag"])
    {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.sysctl(&format!("{memory}_low_thresh"), "0");
        b.sysctl(&format!("{memory}_high_thresh"), "1");
        let to = address(&format!("{group}%eth0"));
        let pause = Duration::from_millis(5);
        let _stream = Stream::of(&a, &to, SenderConfig::default(), 4000, pause);
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::Fragmentation, Confidence::Likely);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::Fragmentation, Confidence::Proved);
        let title = &report.findings[0].title;
        assert!(title.contains("no room"), "{report:#?}");
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}
