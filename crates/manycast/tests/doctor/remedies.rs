//! What the doctor tells to do is done, and the stream then flows. Further remedies are done where their
//! faults are made: `addresses`, `arriving`, `firewall`, `two_ends`, `unseen`.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{self, Code, Confidence, ProgramChoice, Report};
use manycast_lab::netns::{Host, Lab};

use crate::serving::{Serving, far};
use crate::unseen::mend;
use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, drop_fragments, examine,
    examine_privileged, examine_with, program, remedy, sending, two_hosts,
};

const PAUSE: Duration = Duration::from_millis(5);

/// A stream of `a` to a group.
fn stream(a: &Host, group: &str) -> Stream {
    Stream::start(a, &address(&format!("{group}%eth0")))
}

/// What follows these words in the first remedy, up to the end of the word.
#[track_caller]
fn told<'a>(report: &'a Report, before: &str) -> &'a str {
    let remedy = remedy(report);
    let Some((_, rest)) = remedy.split_once(before) else {
        panic!("{before:?} is not in {remedy:?}")
    };
    rest.split([' ', ',', ';']).next().unwrap()
}

pub(crate) fn an_interface_is_brought_up_and_may_multicast() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let _stream = stream(&a, group);
        let on_eth0 = address(&format!("{group}%eth0"));
        for (command, code) in [
            ("ip link set eth0 down", Code::InterfaceDown),
            (
                "ip link set eth0 multicast off",
                Code::InterfaceNotMulticast,
            ),
        ] {
            b.output(command);
            let report = examine(&b, &on_eth0);
            assert_fault(&report, code, Confidence::Proved);
            mend(&b, &report);
            assert_delivered(&examine(&b, &on_eth0));
        }
    }
    b.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1");
    let _stream = stream(&a, "ff15::1234");
    let report = examine(&b, "[ff15::1234%eth0]:5000");
    assert_fault(&report, Code::Ipv6Off, Confidence::Proved);
    mend(&b, &report);
    assert_delivered(&examine(&b, "[ff15::1234%eth0]:5000"));
}

/// The address that is told to write.
pub(crate) fn another_address_is_listened_on() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for (group, wrong) in GROUPS.into_iter().zip(["10.0.0.9", "fd00::9"]) {
        let _stream = stream(&a, group);
        let report = examine(&b, &address(&format!("{group}%eth1")));
        assert_fault(&report, Code::JoinedOnOtherInterface, Confidence::Likely);
        assert_delivered(&examine(&b, told(&report, "listen on eth0: ")));

        let report = examine(&b, &format!("{wrong}@{}", address(group)));
        assert_fault(&report, Code::WrongSource, Confidence::Likely);
        assert_delivered(&examine(&b, told(&report, "sender you mean: ")));

        let other = address(group).replace("5000", "5001");
        let report = examine_privileged(&b, &other, None);
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        let port = told(&report, "receive on port ");
        assert_delivered(&examine(&b, &other.replace("5001", port)));
    }
    // By a second interface on the segment, everything comes twice.
    b.connect(&switch, "eth2", &["10.0.0.3/24", "fd00::3/64"]);
    for group in GROUPS {
        let _stream = stream(&a, group);
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::DuplicateInterface, Confidence::Proved);
        assert_delivered(&examine(&b, told(&report, "one of them: ")));
    }
}

pub(crate) fn settings_are_set() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (setting, version, asked, group) in [
        (
            "net.ipv4.conf.all.force_igmp_version",
            "2",
            "10.0.0.1@232.1.1.1:5000",
            "232.1.1.1",
        ),
        (
            "net.ipv6.conf.all.force_mld_version",
            "1",
            "fd00::1@[ff35::1]:5000",
            "ff35::1",
        ),
    ] {
        b.sysctl(setting, version);
        let from = address(asked.split_once('@').unwrap().0).replace("5000", "0");
        let from = SenderConfig::default().from(from).unwrap();
        let to = address(&format!("{group}%eth0"));
        let report = examine(&b, asked);
        assert_fault(&report, Code::OldQuerier, Confidence::Proved);
        mend(&b, &report);
        let _stream = Stream::of(&a, &to, from, 64, PAUSE);
        let report = examine(&b, asked);
        assert_delivered(&report);
        let mut codes = report.findings.iter().map(|found| found.code);
        assert!(codes.all(|code| code != Code::OldQuerier), "{report:#?}");
    }
    // No route to groups, of the host by itself: then programs that name no interface can send.
    let report = b.run_unprivileged(doctor::examine_host).unwrap();
    let found = report
        .findings
        .iter()
        .find(|found| found.code == Code::NoRoute);
    let (_, command) = found
        .unwrap()
        .remedy
        .as_ref()
        .unwrap()
        .split_once(": sudo ")
        .unwrap();
    b.output(command);
    let report = b.run_unprivileged(doctor::examine_host).unwrap();
    assert!(
        report
            .findings
            .iter()
            .all(|found| found.code != Code::NoRoute),
        "{report:#?}"
    );
}

/// What the sender is to do: a hop limit, a size, a route.
pub(crate) fn the_sender_sends_otherwise() {
    let lab = Lab::new();
    let [a, router, b] = crate::two_ends::across_a_router(&lab);
    let serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        router.forward_group(crate::ip(group), "eth0", "eth1");
        let report = crate::two_ends::examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::HopLimit, Confidence::Proved);
        let hops = told(&report, "--hops ")
            .trim_end_matches('\'')
            .parse()
            .unwrap();
        let to = address(&format!("{group}%eth0"));
        let _stream = Stream::of(&a, &to, sending(true, hops), 64, PAUSE);
        assert_delivered(&examine(&b, &address(group)));
    }
    drop(serving);

    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    let _rules = drop_fragments(&a);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0"));
        let large = Stream::of(&a, &to, SenderConfig::default(), 4000, PAUSE);
        let report = examine_privileged(&b, &address(group), None);
        assert_eq!(report.verdict(), Code::Fragmentation, "{report:#?}");
        drop(large);
        let most = told(&report, "at most ").parse().unwrap();
        let _stream = Stream::of(&a, &to, SenderConfig::default(), most, PAUSE);
        assert_delivered(&examine(&b, &address(group)));
    }

    a.connect(&other, "eth1", &["10.1.0.1/24", "fd01::1/64"]);
    a.add_route("224.0.0.0/4 dev eth1");
    a.output("ip -6 route add multicast ff15::/16 dev eth1 table local metric 1");
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = crate::two_ends::examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::EgressOtherInterface, Confidence::Proved);
        let (_, command) = remedy(&report).split_once("a route there: ").unwrap();
        a.output(command);
        // By the route, and by no name of an interface.
        let _stream = Stream::start(&a, &address(group));
        assert_delivered(&examine(&b, &address(group)));
    }
}

/// A program that is wrong, what is told of it, and the program that has done it.
struct Mended {
    wrong: String,
    code: Code,
    /// What the remedy says.
    told: String,
    right: String,
}

fn are_mended(programs: impl Fn(&str, &str, &str) -> Vec<Mended>) {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
    for (group, any, v6) in [(GROUPS[0], "", "False"), (GROUPS[1], "::", "True")] {
        let to = address(&format!("{group}%eth0"));
        // Slow enough for the buffer of a program that reads nothing.
        let slow = Duration::from_millis(50);
        let _stream = Stream::of(&a, &to, SenderConfig::default(), 10, slow);
        for Mended {
            wrong,
            code,
            told,
            right,
        } in programs(group, any, v6)
        {
            let process = program(&b, &wrong);
            let choice = Some(ProgramChoice::Pid(process.id()));
            let report = examine_with(&b, &address(group), choice);
            assert_fault(&report, code, Confidence::Proved);
            assert!(remedy(&report).contains(&told), "{told}: {report:#?}");
            drop(process);
            let process = program(&b, &right);
            let choice = Some(ProgramChoice::Pid(process.id()));
            let report = examine_with(&b, &address(group), choice);
            assert_eq!(report.verdict(), Code::Delivered, "{right}: {report:#?}");
        }
    }
}

pub(crate) fn a_program_binds_otherwise() {
    are_mended(|group, any, v6| {
        let own = if v6 == "True" { "fd00::2" } else { "10.0.0.2" };
        let peer = if v6 == "True" { "fd00::1" } else { "10.0.0.1" };
        let other = if v6 == "True" {
            "ff15::99"
        } else {
            "239.1.2.4"
        };
        let join = format!("join(s, '{group}', 'eth0')");
        let right = format!("s = udp('{group}', {v6}); {join}");
        let device = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE";
        let mended = |wrong: String, code, told: &str, right: &str| Mended {
            wrong,
            code,
            told: told.to_owned(),
            right: right.to_owned(),
        };
        vec![
            mended(
                format!("s = udp('{own}', {v6}); {join}"),
                Code::BoundToUnicast,
                &format!("let it bind to the group, {}", address(group)),
                &right,
            ),
            mended(
                format!("s = udp('{any}', {v6}); {join}; s.connect(('{peer}', 4000))"),
                Code::BoundToUnicast,
                "let it not connect",
                &format!("s = udp('{any}', {v6}); {join}"),
            ),
            mended(
                format!("s = udp('{group}', {v6}); {join}; s.connect(('{peer}', 4000))"),
                Code::BoundToPeer,
                "let it not connect",
                &right,
            ),
            mended(
                format!("s = udp('{other}', {v6}); {join}"),
                Code::BoundToOtherGroup,
                &format!("let it bind to {group}"),
                &right,
            ),
            mended(
                format!("{right}; {device}, b'eth1')"),
                Code::BoundToDevice,
                "let it bind to eth0",
                &format!("{right}; {device}, b'eth0')"),
            ),
        ]
    });
}

pub(crate) fn a_program_joins_otherwise() {
    are_mended(|group, any, v6| {
        let another = if v6 == "True" { "fd00::9" } else { "10.0.0.9" };
        let udp = format!("s = udp('{any}', {v6})");
        let right = format!("{udp}; join(s, '{group}', 'eth0')");
        let mended = |wrong: String, code, told: String| Mended {
            wrong,
            code,
            told,
            right: right.clone(),
        };
        vec![
            mended(udp.clone(), Code::NotJoined, format!("let it join {group}")),
            mended(
                format!("{udp}; join(s, '{group}', 'eth1')"),
                Code::JoinedOnOtherInterface,
                format!("join {group} on eth0"),
            ),
            mended(
                format!("{udp}; join(s, '{group}', 'eth0', '{another}')"),
                Code::WrongSource,
                format!("@{}", address(group)),
            ),
            mended(
                right.replace("udp(", "other(").replace(
                    "s = ",
                    "def other(bind, v6):
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((bind, 5001))
    return s
s = ",
                ),
                Code::WrongPort,
                "let it bind to port 5000".to_owned(),
            ),
        ]
    });
}

pub(crate) fn a_program_takes_what_is_meant_for_it() {
    are_mended(|group, any, v6| {
        let mut programs = vec![Mended {
            wrong: format!("s = udp('{any}', {v6}); join(s, '{group}', 'eth0')\n{BESIDE}"),
            code: Code::CrossTalk,
            told: format!("bind to {group}"),
            right: format!("s = udp('{group}', {v6}); join(s, '{group}', 'eth0')\n{BESIDE}"),
        }];
        // A socket of IPv6 takes IPv4 too, unless it is told not to.
        let of_ipv6 = |only: u8| {
            format!(
                "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(41, socket.IPV6_V6ONLY, {only}); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', 5000)); join(s, '{group}', 'eth0')"
            )
        };
        if v6 == "False" {
            programs.push(Mended {
                wrong: of_ipv6(1),
                code: Code::OtherIpVersion,
                told: "let it switch IPV6_V6ONLY off".to_owned(),
                right: of_ipv6(0),
            });
        } else {
            programs.push(Mended {
                wrong: format!(
                    "s = udp(''); t = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
join(t, '{group}', 'eth0')"
                ),
                code: Code::OtherIpVersion,
                told: "open a socket of IPv6".to_owned(),
                right: format!("s = udp('{any}', True); join(s, '{group}', 'eth0')"),
            });
        }
        programs
    });
}

/// A socket of the same program with another group, to which something is sent meanwhile: it is on
/// loopback, so that it needs no other host.
const BESIDE: &str = "
other = 'ff15::9999' if s.family == socket.AF_INET6 else '239.9.9.9'
t = socket.socket(s.family, socket.SOCK_DGRAM); join(t, other, 'eth0')
u = socket.socket(s.family, socket.SOCK_DGRAM)
index = socket.if_nametoindex('eth0')
if s.family == socket.AF_INET6: u.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
else: u.setsockopt(0, socket.IP_MULTICAST_IF, struct.pack('@4s4si', bytes(4), bytes(4), index))
import threading
def send():
    while not threading.Event().wait(.05): u.sendto(b'x', (other, 5000))
threading.Thread(target=send, daemon=True).start()";

/// What a sender is told: its options, and to where it sends.
pub(crate) fn a_program_sends_otherwise() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, other) in GROUPS.into_iter().zip(["239.1.2.4", "ff15::99"]) {
        for (options, to, code, told) in [
            ("LOOP = 0", group, Code::LoopbackOff, "LOOP) to 1"),
            ("HOPS = 0", group, Code::HopLimit, "HOPS) to 1"),
            ("", other, Code::WrongGroup, "let it send to "),
        ] {
            let process = program(&b, &sender(options, to));
            let choice = Some(ProgramChoice::Pid(process.id()));
            let report = examine_with(&b, &address(group), choice);
            assert_fault(&report, code, Confidence::Proved);
            assert!(remedy(&report).contains(told), "{told}: {report:#?}");
        }
        // The options are what they are by default, and the group is right.
        let process = program(&b, &sender("", group));
        let choice = Some(ProgramChoice::Pid(process.id()));
        let report = examine_with(&b, &address(group), choice);
        assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        assert_delivered(&examine(&a, &address(group)));
    }
}

fn sender(options: &str, to: &str) -> String {
    format!(
        "LOOP, HOPS, v6 = 1, 1, ':' in '{to}'
{options}
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
index = socket.if_nametoindex('eth0')
if v6:
    s.setsockopt(41, socket.IPV6_MULTICAST_LOOP, LOOP); s.setsockopt(41, socket.IPV6_MULTICAST_HOPS, HOPS)
    s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
else:
    s.setsockopt(0, socket.IP_MULTICAST_LOOP, LOOP); s.setsockopt(0, socket.IP_MULTICAST_TTL, HOPS)
    s.setsockopt(0, socket.IP_MULTICAST_IF, struct.pack('@4s4si', bytes(4), bytes(4), index))
s.connect(('{to}', 5000))
import threading
def send():
    while not threading.Event().wait(.01): s.send(b'x')
threading.Thread(target=send, daemon=True).start()"
    )
}

/// Limits are raised, a port is given up, a way back is given, an own address is admitted.
pub(crate) fn the_host_is_set_up_otherwise() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any, v6) in [(GROUPS[0], "", "False"), (GROUPS[1], "::", "True")] {
        let _stream = stream(&a, group);
        let holder = program(&b, &format!("s = udp('{any}', {v6}, share=False)"));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::PortInUse, Confidence::Proved);
        assert!(remedy(&report).contains("stop it"), "{report:#?}");
        drop(holder);
        assert_delivered(&examine(&b, &address(group)));
    }

    let script = "s = udp('')
for n in range(1, 22):
    try: join(s, f'239.1.1.{n}', 'eth0')
    except OSError as e: assert (n, e.errno) == (21, 105), (n, e)";
    let group = "239.1.1.21:5000";
    let slow = Duration::from_millis(50);
    let to = "239.1.1.21%eth0:5000";
    let _stream = Stream::of(&a, to, SenderConfig::default(), 10, slow);
    let process = program(&b, script);
    let choice = Some(ProgramChoice::Pid(process.id()));
    let report = examine_with(&b, group, choice);
    assert_fault(&report, Code::TooManyGroups, Confidence::Proved);
    mend(&b, &report);
    drop(process);
    let process = program(&b, script);
    let choice = Some(ProgramChoice::Pid(process.id()));
    assert_eq!(examine_with(&b, group, choice).verdict(), Code::Delivered);

    a.output("ip address add 10.9.0.77/32 dev eth0");
    b.sysctl("net.ipv4.conf.eth0.rp_filter", "2");
    let from = SenderConfig::default().from("10.9.0.77:0").unwrap();
    let _filtered = Stream::of(&a, "239.1.2.5%eth0:5000", from, 64, PAUSE);
    let report = examine_privileged(&b, "239.1.2.5:5000", None);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
    mend(&b, &report);
    assert_delivered(&examine(&b, "239.1.2.5:5000"));
}
