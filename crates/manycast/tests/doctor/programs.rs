//! What is wrong with other programs.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{self, Code, Confidence, Examination, ProgramChoice, Report};
use manycast_lab::netns::{Host, Lab, Process};

use crate::{
    GROUPS, Stream, address, assert_fault, evidence, examine_privileged, examine_with, ip, program,
    sending, two_hosts,
};

fn by_port(host: &Host, address: &str) -> Report {
    examine_with(host, address, Some(ProgramChoice::Port))
}

/// `ip netns exec` becomes the program, so its number is the program's.
pub(crate) fn by_pid(host: &Host, address: &str, process: &Process) -> Report {
    examine_with(host, address, Some(ProgramChoice::Pid(process.id())))
}

fn v6(group: &str) -> &'static str {
    if group.contains(':') { "True" } else { "False" }
}

pub(crate) fn that_is_well() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let any = if group.contains(':') { "::" } else { "" };
        let script = format!(
            "s = udp('{any}', {}); join(s, '{group}', 'eth0')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::of(
            &a,
            &address(&format!("{group}%eth0")),
            SenderConfig::default(),
            10,
            // Slow enough for the buffer of a program that receives nothing.
            Duration::from_millis(100),
        );
        for report in [
            by_port(&b, &address(group)),
            by_pid(&b, &address(group), &process),
        ] {
            assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        }
    }
}

pub(crate) fn bound_to_a_unicast_address() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let script = format!(
            "s = udp('{own}', {}); join(s, '{group}', 'eth0')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::BoundToUnicast, Confidence::Proved);
    }
}

pub(crate) fn bound_to_another_group() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other) in GROUPS.into_iter().zip(["239.1.2.4", "ff15::99"]) {
        let script = format!(
            "s = udp('{other}', {}); join(s, '{group}', 'eth0'); join(s, '{other}', 'eth0')",
            v6(group)
        );
        let _process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_port(&b, &address(group));
        assert_fault(&report, Code::BoundToOtherGroup, Confidence::Proved);
    }
}

/// It is a member where the stream comes in, and takes what comes in elsewhere.
pub(crate) fn bound_to_another_device() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for group in GROUPS {
        let script = format!(
            "s = udp('{group}', {}); join(s, '{group}', 'eth0')
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth1')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::BoundToDevice, Confidence::Proved);
    }
}

/// It is bound to the group, and takes what one other sends.
pub(crate) fn connected_to_another_peer() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other) in GROUPS.into_iter().zip(["10.0.0.9", "fd00::9"]) {
        let script = format!(
            "s = udp('{group}', {}); join(s, '{group}', 'eth0'); s.connect(('{other}', 4000))",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::BoundToPeer, Confidence::Proved);
    }
}

/// Connecting binds to an address of the host what was bound to none.
pub(crate) fn connected_before_it_was_bound() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, (any, other)) in GROUPS
        .into_iter()
        .zip([("", "10.0.0.1"), ("::", "fd00::1")])
    {
        let script = format!(
            "s = udp('{any}', {}); join(s, '{group}', 'eth0'); s.connect(('{other}', 4000))",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::BoundToUnicast, Confidence::Proved);
        assert!(evidence(&report).contains("connect(2)"), "{report:#?}");
    }
}

/// The stream comes by two interfaces, and the program receives it by one.
pub(crate) fn joined_on_one_of_two_interfaces_on_one_segment() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&switch, "eth1", &["10.0.0.3/24", "fd00::3/64"]);
    for group in GROUPS {
        let script = format!(
            "s = udp('{group}', {}); join(s, '{group}', 'eth0')",
            v6(group)
        );
        let process = program(&b, &script);
        let to = address(&format!("{group}%eth0"));
        let slow = Duration::from_millis(100);
        let _stream = Stream::of(&a, &to, SenderConfig::default(), 10, slow);
        let report = by_pid(&b, &address(group), &process);
        assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
    }
}

/// Its own datagrams come back to this host; that it has another port is no fault of a sender.
pub(crate) fn that_sends() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let family = if group.contains(':') { "INET6" } else { "INET" };
        let script = format!(
            "s = socket.socket(socket.AF_{family}, socket.SOCK_DGRAM)
index = struct.pack('@I', socket.if_nametoindex('eth0'))
if '{family}' == 'INET6': s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
else: s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + index)
s.sendto(b'x', ('{group}', 5000))
import threading
def send():
    while not threading.Event().wait(.01): s.sendto(b'x', ('{group}', 5000))
threading.Thread(target=send, daemon=True).start()"
        );
        let process = program(&b, &script);
        let report = by_pid(&b, &address(group), &process);
        assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        assert!(report.received > 0, "{report:#?}");
    }
}

/// What one socket has joined reaches the other, unless that takes only what it has joined itself.
pub(crate) fn joined_by_another_socket() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let (level, option) = if group.contains(':') {
            (41, 29)
        } else {
            (0, 49)
        };
        for (all, verdict) in [(1, Code::Delivered), (0, Code::NotJoined)] {
            let script = format!(
                "s = udp('{any}', {v6}); s.setsockopt({level}, {option}, {all})
t = socket.socket(s.family, socket.SOCK_DGRAM); join(t, '{group}', 'eth0')",
                v6 = v6(group)
            );
            let process = program(&b, &script);
            let to = address(&format!("{group}%eth0"));
            let slow = Duration::from_millis(100);
            let _stream = Stream::of(&a, &to, SenderConfig::default(), 10, slow);
            for report in [
                by_pid(&b, &address(group), &process),
                by_port(&b, &address(group)),
            ] {
                assert_eq!(report.verdict(), verdict, "{report:#?}");
            }
        }
    }
}

/// A program that sends to the group by `eth0`, connected, once it has done something else with its socket.
pub(crate) fn connected_sender(group: &str, first: &str) -> String {
    format!(
        "\
import threading
s = socket.socket(socket.AF_INET6 if {v6} else socket.AF_INET, socket.SOCK_DGRAM)
{first}
index = socket.if_nametoindex('eth0')
if {v6}:
    s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
else:
    s.setsockopt(0, socket.IP_MULTICAST_IF, struct.pack('@4s4si', bytes(4), bytes(4), index))
s.connect(('{group}', 5000))
def send():
    while not threading.Event().wait(.01): s.send(b'x')
threading.Thread(target=send, daemon=True).start()",
        v6 = v6(group)
    )
}

/// Its own datagrams do not come back, so it may send or not: that is not called healthy.
pub(crate) fn a_sender_behind_a_firewall_of_what_comes() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet filter { chain input {
            type filter hook input priority 0; policy drop
        }
        }",
    );
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let script = connected_sender(group, &format!("s.bind(('{any}', 0))"));
        let process = program(&b, &script);
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::NothingSent, Confidence::CannotSee);
    }
}

/// It does not share its port, so nobody knows what comes; but nothing comes from outside there.
pub(crate) fn joined_on_loopback_alone() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let script = format!(
            "s = udp('{group}', {}, False); join(s, '{group}', 'lo')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Likely);
    }
}

/// As those in containers are.
pub(crate) fn of_another_network_namespace() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let process = program(&a, "s = udp(''); join(s, '239.1.2.3', 'eth0')");
    let how = Examination::default()
        .duration(Duration::from_secs(2))
        .program(Some(ProgramChoice::Pid(process.id())));
    let error = b
        .run(|| doctor::examine("239.1.2.3:5000", &how))
        .unwrap_err();
    assert!(error.to_string().contains("nsenter --net"), "{error}");
}

pub(crate) fn joined_on_another_interface() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for group in GROUPS {
        let script = format!(
            "s = udp('{group}', {}); join(s, '{group}', 'eth1')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Proved);
        let title = &report.findings[0].title;
        assert!(title.contains("eth1") && title.contains("eth0"), "{title}");
    }
    // Where it does not share its port, only who hears the wire knows by which interface it comes.
    for group in GROUPS {
        let script = format!(
            "s = udp('{group}', {}, False); join(s, '{group}', 'eth1')",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::NotArriving, Confidence::CannotSee);
        let by_pid = Some(ProgramChoice::Pid(process.id()));
        let report = examine_privileged(&b, &address(group), by_pid);
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Proved);
    }
}

pub(crate) fn with_another_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other) in [("232.1.1.1", "10.0.0.9"), ("ff35::1", "fd00::9")] {
        let v6 = v6(group);
        // Where it does not share its port, only who hears the wire knows what comes.
        for (share, privileged) in [("True", false), ("True", true), ("False", true)] {
            let script =
                format!("s = udp('{group}', {v6}, {share}); join(s, '{group}', 'eth0', '{other}')");
            let _process = program(&b, &script);
            let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
            let asked = format!("{other}@{}", address(group));
            let port = Some(ProgramChoice::Port);
            let report = if privileged {
                examine_privileged(&b, &asked, port)
            } else {
                examine_with(&b, &asked, port)
            };
            assert_fault(&report, Code::WrongSource, Confidence::Proved);
        }
    }
}

pub(crate) fn never_joined() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let process = program(&b, &format!("s = udp('{any}', {})", v6(group)));
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::NotJoined, Confidence::Proved);
    }
}

pub(crate) fn lost_when_the_device_was_made_anew() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    for group in GROUPS {
        let [a, b] = two_hosts(&lab, &switch);
        let script = format!(
            "s = udp('{group}', {}); join(s, '{group}', 'eth0')",
            v6(group)
        );
        let process = program(&b, &script);
        b.wait_for_group("eth0", ip(group));
        b.delete_device("eth0");
        b.recreate_device("eth0");
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::MembershipLost, Confidence::Proved);
    }
}

/// As hosts have it that make and take away many devices.
pub(crate) fn joined_on_an_interface_of_a_high_index() {
    let lab = Lab::new();
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    let far = program(&a, "");
    b.output(&format!(
        "ip link add eth5 index 5000 type veth peer name eth5 netns {}",
        far.id()
    ));
    for (host, number) in [(&a, 1), (&b, 2)] {
        host.output("ip link set eth5 up");
        host.output(&format!("ip address add 10.5.0.{number}/24 dev eth5"));
        host.output(&format!("ip address add fd05::{number}/64 dev eth5 nodad"));
    }
    for group in GROUPS {
        // It takes nothing but what it has joined itself.
        let option = if group.contains(':') {
            "41, 29"
        } else {
            "0, 49"
        };
        let script = format!(
            "s = udp('{group}', {}); s.setsockopt({option}, 0); join(s, '{group}', 'eth5')",
            v6(group)
        );
        let process = program(&b, &script);
        let to = address(&format!("{group}%eth5"));
        let slow = Duration::from_millis(100);
        let _stream = Stream::of(&a, &to, SenderConfig::default(), 10, slow);
        let report = by_pid(&b, &address(group), &process);
        assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        drop(process);
        // And for comparison: it is no member.
        let process = program(&b, &format!("s = udp('{group}', {})", v6(group)));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::NotJoined, Confidence::Proved);
    }
}

pub(crate) fn one_group_too_many() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let process = program(
        &b,
        "s = udp('')
for n in range(1, 22):
    try: join(s, f'239.1.1.{n}', 'eth0')
    except OSError as e: assert (n, e.errno) == (21, 105), (n, e)",
    );
    let _stream = Stream::start(&a, "239.1.1.21%eth0:5000");
    let report = by_pid(&b, "239.1.1.21:5000", &process);
    assert_fault(&report, Code::TooManyGroups, Confidence::Proved);
}

pub(crate) fn on_another_port() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let script = format!(
            "s = udp('{any}', {}); join(s, '{group}', 'eth0')",
            v6(group)
        );
        let process = program(&b, &script);
        let to = |host: &str| address(host).replace(":5000", ":5001");
        let _stream = Stream::start(&a, &to(&format!("{group}%eth0")));
        let report = by_pid(&b, &to(group), &process);
        assert_fault(&report, Code::WrongPort, Confidence::Proved);
        // The other way round: the program has the port that was meant, the sender another.
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        let by_pid = Some(ProgramChoice::Pid(process.id()));
        let report = examine_privileged(&b, &address(group), by_pid);
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        assert!(evidence(&report).contains("to port 5001, on eth0"));
    }
}

pub(crate) fn too_slow() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let script = format!(
            "s = udp('{any}', {}); join(s, '{group}', 'eth0')
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)",
            v6(group)
        );
        let process = program(&b, &script);
        let to = address(&format!("{group}%eth0"));
        let config = SenderConfig::default();
        let _stream = Stream::of(&a, &to, config, 1000, Duration::from_millis(5));
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::ReceiveBufferOverflow, Confidence::Proved);
    }
}

pub(crate) fn with_a_capped_buffer() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let script = format!(
            "s = udp('{any}', {}); join(s, '{group}', 'eth0')
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)",
            v6(group)
        );
        let process = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = by_pid(&b, &address(group), &process);
        let first = (report.findings[0].code, report.findings[0].confidence);
        assert_eq!(
            first,
            (Code::ReceiveBufferCapped, Confidence::Likely),
            "{report:#?}"
        );
        assert!(report.is_healthy(), "a warning: nothing is lost yet");
    }
}

pub(crate) fn cross_talk_of_another_program() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, (other, any)) in GROUPS
        .into_iter()
        .zip([("239.9.9.9", ""), ("ff15::9999", "::")])
    {
        let v6 = v6(group);
        let process = program(
            &b,
            &format!("s = udp('{any}', {v6}); join(s, '{group}', 'eth0')"),
        );
        let _other = program(
            &b,
            &format!("s = udp('{other}', {v6}); join(s, '{other}', 'eth0')"),
        );
        let slow = Duration::from_millis(100);
        let [_stream, _noise] = [group, other].map(|group| {
            let to = address(&format!("{group}%eth0"));
            Stream::of(&a, &to, SenderConfig::default(), 10, slow)
        });
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::CrossTalk, Confidence::Proved);
    }
}

pub(crate) fn loopback_switched_off() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let script = connected_sender(
            group,
            "s.setsockopt(41, socket.IPV6_MULTICAST_LOOP, 0) if s.family == socket.AF_INET6 \
             else s.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)",
        );
        let process = program(&b, &script);
        let report = by_pid(&b, &address(group), &process);
        assert_fault(&report, Code::LoopbackOff, Confidence::Proved);
    }
    // And for comparison: with loopback on, its own host hears it.
    let config = sending(true, 1);
    let to = "239.1.2.3%eth0:5000";
    let _stream = Stream::of(&b, to, config, 10, Duration::from_millis(5));
    crate::assert_delivered(&crate::examine(&b, "239.1.2.3:5000"));
}
