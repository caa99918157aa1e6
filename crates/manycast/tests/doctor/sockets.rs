//! What is wrong with a socket: which version of IP it takes, its filter, whose membership feeds it,
//! and, of a sender, to where it sends.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{Code, Confidence, ProgramChoice, Report, Severity};
use manycast_lab::netns::{Host, Lab, Process};

use crate::{
    GROUPS, Stream, address, assert_fault, examine_privileged, examine_with, privileged_program,
    program, two_hosts,
};

fn pid(process: &Process) -> Option<ProgramChoice> {
    Some(ProgramChoice::Pid(process.id()))
}

/// A stream that is slow enough for the buffer of a program that receives nothing.
pub(crate) fn slow(host: &Host, group: &str) -> Stream {
    Stream::of(
        host,
        &address(&format!("{group}%eth0")),
        SenderConfig::default(),
        10,
        Duration::from_millis(50),
    )
}

pub(crate) fn of_the_other_version_of_ip() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, script) in GROUPS.into_iter().zip([
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(41, socket.IPV6_V6ONLY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('::', 5000)); join(s, '239.1.2.3', 'eth0')",
        "s = udp('')
t = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); join(t, 'ff15::1234', 'eth0')",
    ]) {
        let process = program(&b, script);
        let _stream = slow(&a, group);
        for report in [
            examine_with(&b, &address(group), pid(&process)),
            examine_privileged(&b, &address(group), pid(&process)),
        ] {
            assert_fault(&report, Code::OtherIpVersion, Confidence::Proved);
        }
    }
}

/// It is bound to an address of IPv4 by a socket of IPv6 (RFC 4291 §2.5.5.2).
pub(crate) fn bound_to_a_mapped_address() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (bound, verdict) in [
        ("::ffff:10.0.0.2", Code::BoundToUnicast),
        ("::ffff:239.1.2.3", Code::Delivered),
        ("::", Code::Delivered),
    ] {
        let script = format!(
            "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(41, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('{bound}', 5000)); join(s, '239.1.2.3', 'eth0')"
        );
        let process = program(&b, &script);
        let _stream = slow(&a, "239.1.2.3");
        let report = examine_with(&b, "239.1.2.3:5000", pid(&process));
        assert_eq!(report.verdict(), verdict, "{report:#?}");
    }
}

/// What a filter refuses is counted by the socket as what finds its buffer full.
pub(crate) fn with_a_filter() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let v6 = if any.is_empty() { "False" } else { "True" };
        // One instruction, which lets none of a datagram in.
        let script = format!(
            "import ctypes
s = udp('{any}', {v6}); join(s, '{group}', 'eth0')
refuse = ctypes.create_string_buffer(struct.pack('@HBBI', 6, 0, 0, 0))
s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('@HxxxxxxP', 1, ctypes.addressof(refuse)))"
        );
        let process = program(&b, &script);
        let _stream = slow(&a, group);
        for report in [
            examine_with(&b, &address(group), pid(&process)),
            examine_privileged(&b, &address(group), pid(&process)),
        ] {
            assert_fault(&report, Code::SocketFilter, Confidence::Likely);
        }
        // Full buffers are counted of all sockets of the host together.
        let _full = program(
            &b,
            &format!(
                "s = socket.socket(socket.AF_INET{}, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
s.bind(('{any}', 6000)); join(s, '{group}', 'eth0')",
                if any.is_empty() { "" } else { "6" }
            ),
        );
        let to = address(&format!("{group}%eth0")).replace("5000", "6000");
        let _other = Stream::of(
            &a,
            &to,
            SenderConfig::default(),
            1000,
            Duration::from_millis(5),
        );
        for report in [
            examine_with(&b, &address(group), pid(&process)),
            examine_privileged(&b, &address(group), pid(&process)),
        ] {
            assert_fault(&report, Code::ReceiveBufferOverflow, Confidence::Likely);
        }
    }
}

/// The host is a member by an address (`autojoin`), so the program receives without joining.
pub(crate) fn fed_by_the_membership_of_the_host() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.output("ip address add 239.1.2.3/32 dev eth0 autojoin");
    b.output("ip address add ff15::1234/128 dev eth0 autojoin nodad");
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let v6 = if any.is_empty() { "False" } else { "True" };
        let process = program(&b, &format!("s = udp('{any}', {v6})"));
        let _stream = slow(&a, group);
        let report = examine_with(&b, &address(group), pid(&process));
        assert!(report.is_healthy(), "{report:#?}");
        let note = report.findings.iter();
        let note = note.filter(|finding| finding.severity == Severity::Warning);
        let mut codes = note.map(|finding| finding.code);
        assert!(codes.any(|code| code == Code::NotJoined), "{report:#?}");
    }
}

/// Its sockets may not be looked at, and what comes to the doctor says nothing of them.
pub(crate) fn of_another_user() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let v6 = if any.is_empty() { "False" } else { "True" };
        let script = format!("s = udp('{any}', {v6}); join(s, '{group}', 'eth0')");
        let _process = privileged_program(&b, &script);
        let _stream = slow(&a, group);
        let port = Some(ProgramChoice::Port);
        let report = examine_with(&b, &address(group), port);
        assert_fault(&report, Code::NotJoined, Confidence::CannotSee);
        let report = examine_privileged(&b, &address(group), port);
        assert!(report.is_healthy(), "{report:#?}");
    }
}

/// Sends every ten milliseconds to where it is told, connected or not, by an interface.
fn sender(host: &Host, to: &str, connected: bool, device: &str) -> Process {
    let by_option = "
if s.family == socket.AF_INET6: s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
else: s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + index)";
    sender_with(host, to, connected, device, by_option)
}

/// The same with the interface that these lines give to the socket `s`.
fn sender_with(host: &Host, to: &str, connected: bool, device: &str, by: &str) -> Process {
    let (family, send) = match (to.contains(':'), connected) {
        (true, false) => ("INET6", format!("s.sendto(b'x', ('{to}', 5000))")),
        (false, false) => ("INET", format!("s.sendto(b'x', ('{to}', 5000))")),
        (true, true) => ("INET6", "s.send(b'x')".to_owned()),
        (false, true) => ("INET", "s.send(b'x')".to_owned()),
    };
    let connect = if connected {
        format!("s.connect(('{to}', 5000))")
    } else {
        "pass".to_owned()
    };
    let script = format!(
        "s = socket.socket(socket.AF_{family}, socket.SOCK_DGRAM)
index = struct.pack('@I', socket.if_nametoindex('{device}'))
{by}
import threading
def once():
    try: {send}
    except OSError as e: assert e.errno in (1, 101), e
def send():
    while not threading.Event().wait(.01): once()
{connect}; once()
threading.Thread(target=send, daemon=True).start()"
    );
    program(host, &script)
}

pub(crate) fn that_sends_to_another_group() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for (group, other) in GROUPS.into_iter().zip(["239.1.2.4", "ff15::99"]) {
        for connected in [true, false] {
            let process = sender(&b, other, connected, "eth0");
            let report = examine_with(&b, &address(group), pid(&process));
            // To where a socket sends that is not connected shows on the wire alone.
            let confidence = if connected {
                Confidence::Proved
            } else {
                Confidence::CannotSee
            };
            assert_fault(&report, Code::WrongGroup, confidence);
            let report = examine_privileged(&b, &address(group), pid(&process));
            assert_fault(&report, Code::WrongGroup, Confidence::Proved);
            assert!(report.findings[0].title.contains(other), "{report:#?}");
        }
    }
}

/// A group of IPv6 goes by loopback only where a route is made for it; elsewhere sending fails.
pub(crate) fn that_sends_by_loopback() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    let told = |process: &Process, group: &str| {
        for report in [
            examine_with(&b, &address(group), pid(process)),
            examine_privileged(&b, &address(group), pid(process)),
        ] {
            assert_fault(&report, Code::EgressOtherInterface, Confidence::Proved);
            let title = &report.findings[0].title;
            assert!(title.contains("by lo alone"), "{report:#?}");
        }
    };
    let bound = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo')";
    for group in GROUPS {
        told(&sender(&b, group, false, "lo"), group);
        told(&sender_with(&b, group, false, "lo", bound), group);
    }
    b.output("ip -6 route add multicast ff15::/16 dev lo table local metric 1");
    told(&sender(&b, GROUPS[1], false, "lo"), GROUPS[1]);
}

/// The kernel tells it so each time, and it goes on.
pub(crate) fn that_may_not_send() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet t {
            chain c {
                type filter hook output priority 0; policy drop
            }
        }",
    );
    for (group, connected) in GROUPS.into_iter().zip([true, false]) {
        let process = sender(&b, group, connected, "eth0");
        for report in [
            examine_with(&b, &address(group), pid(&process)),
            examine_privileged(&b, &address(group), pid(&process)),
        ] {
            assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
            let title = &report.findings[0].title;
            assert!(title.contains("forbids sending"), "{report:#?}");
        }
    }
}

/// Two programs have the port, and what each of them lacks is told.
pub(crate) fn of_two_programs() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other, any, v6) in [
        (GROUPS[0], "239.1.2.4", "", "False"),
        (GROUPS[1], "ff15::99", "::", "True"),
    ] {
        let _stream = slow(&a, group);
        let wrong = [
            format!("s = udp('{other}', {v6}); join(s, '{other}', 'eth0')"),
            format!("s = udp('{any}', {v6})"),
        ];
        let right = format!("s = udp('{group}', {v6}); join(s, '{group}', 'eth0')");
        let _programs = wrong.map(|script| program(&b, &script));
        let port = Some(ProgramChoice::Port);
        let both = |report: &Report, severity: Severity| {
            for code in [Code::BoundToOtherGroup, Code::NotJoined] {
                let mut findings = report.findings.iter();
                let found = findings.find(|found| found.code == code);
                let found = found.unwrap_or_else(|| panic!("{code}: {report:#?}"));
                assert_eq!(found.severity, severity, "{report:#?}");
                assert!(found.title.contains("python3 ("), "{report:#?}");
            }
        };
        for report in [
            examine_with(&b, &address(group), port),
            examine_privileged(&b, &address(group), port),
        ] {
            assert!(!report.is_healthy(), "{report:#?}");
            both(&report, Severity::Fault);
        }
        // Where one receives it, the others may be for something else.
        let _right = program(&b, &right);
        let report = examine_with(&b, &address(group), port);
        assert!(report.is_healthy(), "{report:#?}");
        both(&report, Severity::Warning);
    }
}
