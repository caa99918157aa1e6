//! What the doctor tells to do about the network, about senders and about sockets is done, and the
//! stream then flows; as an ordinary user and as root. Further remedies: `remedies`.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{Code, Confidence, ProgramChoice, Report};
use manycast_lab::netns::{self, Hook, Host, Lab, Process, wait_until};

use crate::serving::{Serving, far};
use crate::sockets::slow;
use crate::unseen::mend;
use crate::{
    FORGED, GROUPS, QUERY, QUERY_6, Stream, address, assert_delivered, assert_fault, examine,
    examine_for, examine_privileged, examine_privileged_for, examine_with, how, ip,
    privileged_program, program, remedy, sending, two_ends, two_hosts,
};

/// What is found by an ordinary user, and by root.
fn both(host: &Host, address: &str, program: Option<ProgramChoice>) -> [Report; 2] {
    [
        examine_with(host, address, program),
        examine_privileged(host, address, program),
    ]
}

#[track_caller]
fn assert_told(report: &Report, what: &str) {
    assert!(remedy(report).contains(what), "{what}: {report:#?}");
}

/// A bridge that snoops and asks for no memberships, between the hosts that send and receive. Where it
/// is told to ask, it does so once no other querier was heard for 15 seconds.
fn across_a_bridge(lab: &Lab) -> [Host; 3] {
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let [a, bridge, b] = ["a", "c", "b"].map(|name| lab.host(name));
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    bridge.connect(&left, "eth0", &[]);
    bridge.connect(&right, "eth1", &[]);
    b.connect(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    for line in [
        "link add br0 type bridge mcast_snooping 1 forward_delay 0 mcast_query_interval 100 \
         mcast_startup_query_interval 100 mcast_membership_interval 300 \
         mcast_query_response_interval 10 mcast_querier_interval 1500",
        "link set eth0 master br0",
        "link set eth1 master br0",
        "link set br0 up",
    ] {
        bridge.output(&format!("ip {line}"));
    }
    [a, bridge, b]
}

/// A program that passes frames on between two interfaces as it reads them: the sender's kernel has left
/// their checksums to a device, and there is none that computes them.
const RELAY: &str = "
import threading
def wire(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((device, 3))
    return s
def pass_on(one, other):
    while True:
        frame, (_, _, kind, *_) = one.recvfrom(65536)
        if kind != socket.PACKET_OUTGOING: other.send(frame)
wires = [wire('eth0'), wire('eth1')]
for pair in wires, wires[::-1]:
    threading.Thread(target=pass_on, args=pair, daemon=True).start()
";

pub(crate) fn checksums_are_computed() {
    netns::require(&["ethtool"]);
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let [a, relay, b] = ["a", "c", "b"].map(|name| lab.host(name));
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    relay.connect(&left, "eth0", &[]);
    relay.connect(&right, "eth1", &[]);
    b.connect(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    let _passing = privileged_program(&relay, RELAY);
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let reports = both(&b, &address(group), None);
        for (report, confidence) in reports.iter().zip([Confidence::Likely, Confidence::Proved]) {
            assert_fault(report, Code::BadChecksum, confidence);
            let (_, rest) = remedy(report).split_once("sudo ").unwrap();
            let command = rest.split(';').next().unwrap();
            a.output(&command.replace("INTERFACE", "eth0"));
            assert_delivered(&examine(&b, &address(group)));
            a.output("ethtool -K eth0 tx on");
        }
    }
}

pub(crate) fn a_querier_is_switched_on() {
    let seen = [
        "igmp type membership-query",
        "icmpv6 type mld-listener-query",
    ];
    for ((group, query), seen) in GROUPS.into_iter().zip([QUERY, QUERY_6]).zip(seen) {
        let lab = Lab::new();
        let [a, bridge, b] = across_a_bridge(&lab);
        let mut told = String::new();
        let seen = b.count_at(Hook::Prerouting, seen);
        let one_more = |what: &str, then: &dyn Fn()| {
            let before = seen.count();
            then();
            wait_until(what, || seen.count() > before);
        };
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let long = Duration::from_secs(8);
        let examinations = [examine_for, examine_privileged_for];
        for examine in examinations {
            one_more("the last query of a querier", &|| {
                privileged_program(&a, query).close_stdin();
            });
            let report = examine(long, &b, &address(group), None);
            assert_fault(&report, Code::NoQuerier, Confidence::Likely);
            let (_, command) = remedy(&report).split_once("sudo ").unwrap();
            told = command.replace("BRIDGE", "br0");
        }
        one_more("the first query of the bridge", &|| {
            bridge.output(&told);
        });
        for examine in examinations {
            assert_delivered(&examine(long, &b, &address(group), None));
        }
    }
}

/// A source that stands for no host, and that of this host itself.
pub(crate) fn a_sender_has_an_address_of_its_own() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (source, told) in [
        ("0.0.0.0", "give the sender an address"),
        ("10.0.0.2", "give the other host another address"),
    ] {
        let script = format!("{FORGED}\nforge('{source}', '239.1.2.3', 0)");
        let forger = privileged_program(&a, &script);
        let report = examine_privileged(&b, "239.1.2.3:5000", None);
        assert_fault(&report, Code::MartianSource, Confidence::Proved);
        assert_told(&report, told);
        drop(forger);
        let from = SenderConfig::default().from("10.0.0.1:0").unwrap();
        let to = "239.1.2.3%eth0:5000";
        let _stream = Stream::of(&a, to, from, 64, Duration::from_millis(5));
        for report in both(&b, "239.1.2.3:5000", None) {
            assert_delivered(&report);
        }
    }
    // By a second interface, this host hears itself.
    b.connect(&switch, "eth1", &["10.0.0.3/24"]);
    let from = sending(false, 1).from("10.0.0.3:0").unwrap();
    let _stream = Stream::of(
        &b,
        "239.1.2.3%eth1:5000",
        from,
        64,
        Duration::from_millis(5),
    );
    let report = examine_privileged(&b, "239.1.2.3%eth0:5000", None);
    assert_fault(&report, Code::MartianSource, Confidence::Proved);
    mend(&b, &report);
    for report in both(&b, "239.1.2.3%eth0:5000", None) {
        assert_delivered(&report);
    }
}

pub(crate) fn a_group_of_its_own_is_used() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in ["224.0.0.5:5000", "[ff02::1%eth0]:5000"] {
        for report in both(&b, group, None) {
            assert_fault(&report, Code::ReservedGroup, Confidence::Proved);
            let (_, own) = remedy(&report).split_once("such as ").unwrap();
            let _stream = Stream::start(&a, &address(&format!("{own}%eth0")));
            assert_delivered(&examine(&b, &address(own)));
        }
    }
}

/// The sender writes the group's address, and no VLAN: what it is told, a socket does.
pub(crate) fn frames_bear_the_address_of_the_group() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, source) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let to = "to=bytes([2, 0, 0, 0, 9, 9])";
        let script = format!("{FORGED}\nforge('{source}', '{group}', None, {to})");
        let forger = privileged_program(&a, &script);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::ForeignFrame, Confidence::Likely);
        assert_told(&report, "write the address of the group");
        drop(forger);
        let script = format!("{FORGED}\nforge('{source}', '{group}', None)");
        let _sender = privileged_program(&a, &script);
        for report in both(&b, &address(group), None) {
            assert_delivered(&report);
        }
    }
}

/// Somebody sends, to what is listened on.
pub(crate) fn something_is_sent() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    for ((group, other), far_host) in GROUPS
        .into_iter()
        .zip(["239.192.0.10", "ff15::10"])
        .zip(["10.0.0.1", "fd00::1"])
    {
        let asked = address(group);
        for report in both(&b, &asked, None) {
            assert_fault(&report, Code::NotArriving, Confidence::Likely);
            assert_told(&report, "check that somebody sends");
        }
        let report = two_ends::examine(&b, &asked, &far(far_host));
        assert_fault(&report, Code::NothingSent, Confidence::Likely);
        assert_told(&report, "start the sender");
        let stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        for report in both(&b, &asked, None) {
            assert_delivered(&report);
        }
        assert_delivered(&two_ends::examine(&b, &asked, &far(far_host)));
        drop(stream);
        // Who sees to where it sends, tells that.
        let _stream = Stream::start(&a, &address(&format!("{other}%eth0")));
        let report = examine_privileged(&b, &asked, None);
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        let (_, rest) = remedy(&report).split_once("listen on ").unwrap();
        let (told, _) = rest.split_once(',').unwrap();
        assert_delivered(&examine(&b, told));
    }
}

/// What loses a part is found by its counter, and taken away.
pub(crate) fn nothing_limits_the_rate() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let expected = |address: &str| {
        let how = how(Duration::from_secs(2), None).expected_rate(Some(150.0));
        let examine = || manycast::doctor::examine(address, &how).unwrap();
        [b.run_unprivileged(examine), b.run(examine)]
    };
    for group in GROUPS {
        let limit = a.lose_sent("eth0", "udp dport 5000 numgen inc mod 5 != 0");
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        for report in expected(&address(group)) {
            assert_fault(&report, Code::Loss, Confidence::Likely);
            assert_told(&report, "look at each step for a counter that moves");
        }
        assert!(limit.count() > 0);
        limit.remove();
        for report in expected(&address(group)) {
            assert_delivered(&report);
        }
    }
}

fn pid(process: &Process) -> Option<ProgramChoice> {
    Some(ProgramChoice::Pid(process.id()))
}

pub(crate) fn a_program_is_restarted() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    for (group, v6) in GROUPS.into_iter().zip(["False", "True"]) {
        let [a, b] = two_hosts(&lab, &switch);
        let script = format!("s = udp('{group}', {v6}); join(s, '{group}', 'eth0')");
        let process = program(&b, &script);
        b.wait_for_group("eth0", ip(group));
        b.delete_device("eth0");
        b.recreate_device("eth0");
        let _stream = slow(&a, group);
        for report in both(&b, &address(group), pid(&process)) {
            assert_fault(&report, Code::MembershipLost, Confidence::Proved);
            assert_told(&report, "restart python3");
        }
        drop(process);
        let process = program(&b, &script);
        for report in both(&b, &address(group), pid(&process)) {
            assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        }
    }
}

pub(crate) fn a_filter_is_taken_off_a_socket() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any, v6) in [(GROUPS[0], "", "False"), (GROUPS[1], "::", "True")] {
        let _stream = slow(&a, group);
        let script = format!(
            "import ctypes
s = udp('{any}', {v6}); join(s, '{group}', 'eth0')
refuse = ctypes.create_string_buffer(struct.pack('@HBBI', 6, 0, 0, 0))
s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('@HxxxxxxP', 1, ctypes.addressof(refuse)))"
        );
        let process = program(&b, &script);
        for report in both(&b, &address(group), pid(&process)) {
            assert_fault(&report, Code::SocketFilter, Confidence::Likely);
            assert_told(&report, "look for SO_ATTACH_FILTER");
        }
        drop(process);
        // SO_DETACH_FILTER.
        let detached = format!("{script}\ns.setsockopt(socket.SOL_SOCKET, 27, 0)");
        let process = program(&b, &detached);
        for report in both(&b, &address(group), pid(&process)) {
            assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
        }
    }
}

/// It receives faster, or has a larger buffer, as large as the host grants by now.
pub(crate) fn a_program_keeps_up() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any, v6) in [(GROUPS[0], "", "False"), (GROUPS[1], "::", "True")] {
        let to = address(&format!("{group}%eth0"));
        let config = SenderConfig::default();
        let _stream = Stream::of(&a, &to, config, 1000, Duration::from_millis(20));
        let script = |size: u32, reads: &str| {
            format!(
                "s = udp('{any}', {v6}); join(s, '{group}', 'eth0')
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, {size})
{reads}"
            )
        };
        let process = program(&b, &script(8192, ""));
        for report in both(&b, &address(group), pid(&process)) {
            assert_fault(&report, Code::ReceiveBufferOverflow, Confidence::Proved);
            assert_told(
                &report,
                "let it receive faster; or ask for more with SO_RCVBUF",
            );
        }
        drop(process);
        let reads = "import threading
threading.Thread(target=lambda: [s.recv(2048) for _ in iter(int, 1)], daemon=True).start()";
        // 2 MB hold half a minute of it.
        for right in [script(8192, reads), script(2 << 20, "")] {
            let process = program(&b, &right);
            let report = examine_with(&b, &address(group), pid(&process));
            assert_eq!(report.verdict(), Code::Delivered, "{right}: {report:#?}");
        }
    }
}
