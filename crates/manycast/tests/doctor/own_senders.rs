//! Programs of this host that send, and whose datagrams do not come where they should.

use std::time::Duration;

use manycast::doctor::{Code, Confidence, ProgramChoice};
use manycast_lab::netns::Lab;

use crate::programs::{by_pid, connected_sender};
use crate::stream::Stream;
use crate::{
    GROUPS, READS, address, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    program, sending, two_hosts,
};

/// A program of the host sends there itself, to a group that a program of the host receives.
pub(crate) fn loopback_off_beside_a_receiver() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for (group, udp) in GROUPS.into_iter().zip(["udp('')", "udp('::', True)"]) {
        let receiver = format!("s = {udp}; join(s, '{group}', 'eth0'){READS}");
        let _receiver = program(&b, &receiver);
        let asked = address(group);
        for loopback in [false, true] {
            let config = sending(loopback, 1);
            let to = address(&format!("{group}%eth0"));
            let _stream = Stream::of(&b, &to, config, 10, Duration::from_millis(5));
            for choice in [None, Some(ProgramChoice::Port)] {
                let report = examine_privileged(&b, &asked, choice);
                if loopback {
                    assert_delivered(&report);
                    continue;
                }
                assert_fault(&report, Code::LoopbackOff, Confidence::Likely);
                assert!(evidence(&report).contains("left by eth0"), "{report:#?}");
            }
        }
    }
    // Where it has connected its socket to the group, that shows to anybody, of IPv4.
    let off = "s.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)";
    let _sender = program(&b, &connected_sender("239.1.2.3", off));
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::LoopbackOff, Confidence::Likely);
}

/// What has a hop limit of 0 stays on a host where a program is a member, and leaves one where none is.
pub(crate) fn a_hop_limit_of_0() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let asked = address(group);
        let first = match group.contains(':') {
            true => "s.setsockopt(41, socket.IPV6_MULTICAST_HOPS, 0)",
            false => "s.setsockopt(0, socket.IP_MULTICAST_TTL, 0)",
        };
        let sender = program(&a, &connected_sender(group, first));
        assert_delivered(&examine(&b, &asked));
        let report = by_pid(&a, &asked, &sender);
        assert_fault(&report, Code::HopLimit, Confidence::Proved);
        let title = &report.findings[0].title;
        let rule = format!("stay on this host while a program here is a member of {group}");
        assert!(title.contains(&rule), "{report:#?}");
        let udp = if group.contains(':') {
            "udp('::', True)"
        } else {
            "udp('')"
        };
        let _member = program(&a, &format!("s = {udp}; join(s, '{group}', 'eth0'){READS}"));
        assert_fault(&examine(&b, &asked), Code::NotArriving, Confidence::Likely);
    }
}
