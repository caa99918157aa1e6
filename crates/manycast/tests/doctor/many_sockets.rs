//! Programs with several sockets on the port: one for each interface, or for each source.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{Code, Confidence, ProgramChoice};
use manycast_lab::netns::{Host, Lab};

use crate::sockets::slow;
use crate::{
    GROUPS, Stream, address, assert_fault, evidence, examine_privileged, examine_with, ip, program,
    two_hosts,
};

const BY_PORT: Option<ProgramChoice> = Some(ProgramChoice::Port);

/// Sockets `of`, each bound and a member by itself alone, unless it takes what others have joined.
fn sockets(group: &str, all: bool, of: &[&str]) -> String {
    let (any, v6, option) = if group.contains(':') {
        ("::", "True", "41, 29")
    } else {
        ("", "False", "0, 49")
    };
    let all = u8::from(all);
    let each = of.iter().map(|member| {
        format!(
            "s = udp('{any}', {v6}); s.setsockopt({option}, {all}); join(s, '{group}', {member})
kept.append(s)\n"
        )
    });
    format!("kept = []\n{}", each.collect::<String>())
}

#[track_caller]
fn assert_well(host: &Host, address: &str) {
    for report in [
        examine_with(host, address, BY_PORT),
        examine_privileged(host, address, BY_PORT),
    ] {
        assert!(report.is_healthy(), "{report:#?}");
        assert_eq!(report.findings, [], "{report:#?}");
    }
}

/// As those do that speak mDNS or SSDP.
pub(crate) fn one_for_each_interface() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for group in GROUPS {
        for all in [false, true] {
            let _process = program(&b, &sockets(group, all, &["'eth1'", "'eth0'"]));
            let _stream = slow(&a, group);
            assert_well(&b, &address(group));
        }
    }
    // And for comparison: none of them is a member where the stream comes.
    for group in GROUPS {
        let _process = program(&b, &sockets(group, false, &["'eth1'", "'lo'"]));
        let _stream = slow(&a, group);
        let report = examine_with(&b, &address(group), BY_PORT);
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Proved);
        assert!(evidence(&report).contains("lo, eth1"), "{report:#?}");
    }
}

/// As `manycast listen` does with more sources than a socket may have.
pub(crate) fn one_for_each_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, sources) in [
        ("232.1.1.1", ["10.0.0.9", "10.0.0.1", "10.0.0.8"]),
        ("ff35::1", ["fd00::9", "fd00::1", "fd00::8"]),
    ] {
        let [other, right, third] = sources.map(|source| format!("'eth0', '{source}'"));
        let process = program(&b, &sockets(group, false, &[&other, &right]));
        let _stream = slow(&a, group);
        assert_well(&b, &format!("{}@{}", sources[1], address(group)));
        drop(process);
        // And for comparison: none of them admits the source.
        let _process = program(&b, &sockets(group, false, &[&other, &third]));
        let report = examine_with(&b, &format!("{}@{}", sources[0], address(group)), BY_PORT);
        assert_fault(&report, Code::WrongSource, Confidence::Proved);
        let title = &report.findings[0].title;
        assert!(
            title.contains(sources[0]) && title.contains(sources[2]),
            "{title}"
        );
    }
}

/// The first socket holds as many groups as it may, and the next one is a member.
pub(crate) fn one_for_further_groups() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _process = program(
        &b,
        "s = udp(''); s.setsockopt(0, 49, 0)
for n in range(1, 21): join(s, f'239.1.1.{n}', 'eth0')
t = udp(''); t.setsockopt(0, 49, 0); join(t, '239.1.1.21', 'eth0')",
    );
    b.wait_for_group("eth0", ip("239.1.1.21"));
    let _stream = slow(&a, "239.1.1.21");
    assert_well(&b, "239.1.1.21:5000");
}

/// What it has joined by its other socket is nothing of others.
pub(crate) fn one_for_each_group() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _process = program(
        &b,
        "s = udp(''); join(s, '239.1.2.3', 'eth0')
t = udp(''); join(t, '239.9.9.9', 'eth0')",
    );
    let pause = Duration::from_millis(100);
    let config = SenderConfig::default();
    let _other = Stream::of(&a, "239.9.9.9%eth0:5000", config, 10, pause);
    let _stream = slow(&a, "239.1.2.3");
    assert_well(&b, "239.1.2.3:5000");
}
