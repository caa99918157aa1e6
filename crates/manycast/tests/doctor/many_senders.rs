//! More senders, groups or ports than the doctor tells apart.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{self, Code, Examination, ProgramChoice, Report};
use manycast_lab::netns::{Host, Lab, Process};

use crate::{READS, Stream, address, assert_delivered, examine_privileged, program, two_hosts};

#[track_caller]
fn assert_not(report: &Report, code: Code) {
    let mut codes = report.findings.iter().map(|found| found.code);
    assert!(codes.all(|found| found != code), "{report:#?}");
}

/// Sends so many datagrams a second, each from another port, and makes up for what is late.
fn from_ever_new_ports(host: &Host, to: &str, rate: u32) -> Process {
    program(
        host,
        &format!(
            "import threading
index = struct.pack('@i', socket.if_nametoindex('eth0'))
def send():
    began, sent = time.monotonic(), 0
    while not threading.Event().wait(.005):
        while sent < (time.monotonic() - began) * {rate}:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + index)
            s.bind(('', 20000 + sent % 40000)); s.sendto(b'x', {to}); s.close()
            sent += 1
threading.Thread(target=send, daemon=True).start()"
        ),
    )
}

/// Nothing is lost of what a host sends from another port each time.
pub(crate) fn a_new_port_for_each_datagram() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _sender = from_ever_new_ports(&a, "('239.1.2.3', 5000)", 400);
    let how = Examination::default()
        .duration(Duration::from_secs(3))
        .expected_rate(Some(300.0));
    for privileged in [false, true] {
        let examine = || doctor::examine("239.1.2.3:5000", &how).unwrap();
        let report = if privileged {
            b.run(examine)
        } else {
            b.run_unprivileged(examine)
        };
        assert_delivered(&report);
        assert_not(&report, Code::FirewallDrops);
        assert!(report.received > 600, "{report:#?}");
    }
}

/// The port in question comes after a hundred others of the group, as those of SSDP do.
pub(crate) fn many_ports_of_the_same_group() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _others = from_ever_new_ports(&a, "('239.1.2.3', 1900)", 1000);
    // It does not share its port, so that the wire alone tells what comes.
    let script = format!("s = udp('', False, False); join(s, '239.1.2.3', 'eth0'){READS}");
    let _program = program(&b, &script);
    let pause = Duration::from_millis(300);
    let config = SenderConfig::default();
    let _stream = Stream::of(&a, "239.1.2.3%eth0:5000", config, 10, pause);
    let port = Some(ProgramChoice::Port);
    let report = examine_privileged(&b, &address("239.1.2.3"), port);
    assert_not(&report, Code::WrongPort);
    assert!(report.is_healthy(), "{report:#?}");
}

/// One socket sends to a hundred groups, and the one in question is not among the first.
pub(crate) fn many_groups_of_one_sender() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    let process = program(
        &b,
        "import threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + struct.pack('@i', socket.if_nametoindex('eth0')))
s.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)
s.bind(('', 0))
def send():
    while not threading.Event().wait(.05):
        for n in range(1, 101): s.sendto(b'x', (f'239.1.1.{n}', 5000))
threading.Thread(target=send, daemon=True).start()",
    );
    let pid = Some(ProgramChoice::Pid(process.id()));
    for group in ["239.1.1.1", "239.1.1.80", "239.1.1.100"] {
        let report = examine_privileged(&b, &address(group), pid);
        assert_not(&report, Code::WrongGroup);
    }
}
