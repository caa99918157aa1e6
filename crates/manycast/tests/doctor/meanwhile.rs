//! What happens while it is watched.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{self, Cancellation, Code, Confidence};
use manycast_lab::netns::{Hook, Host, Lab, wait_until};

use crate::{
    GROUPS, READS, Stream, address, assert_delivered, assert_fault, evidence, examine, how, ip,
    program, two_hosts,
};

pub(crate) fn the_interface_goes() {
    for (group, named, gone) in [
        (GROUPS[0], "%eth0", true),
        (GROUPS[0], "", false),
        (GROUPS[1], "%eth0", false),
        (GROUPS[1], "", true),
    ] {
        let lab = Lab::new();
        let (switch, other) = (lab.switch("sw"), lab.switch("other"));
        let [a, b] = two_hosts(&lab, &switch);
        b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let asked = address(&format!("{group}{named}"));
        let examined = b.spawn(move || {
            let how = how(Duration::from_secs(4), None);
            doctor::examine(asked.as_str(), &how).unwrap()
        });
        b.wait_for_group("eth0", ip(group));
        let came = b.count_at(Hook::Prerouting, "udp dport 5000");
        wait_until("some datagrams to come", || came.count() > 100);
        if gone {
            b.delete_device("eth0");
        } else {
            b.link_down("eth0");
        }
        let report = examined.join();
        assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
        let title = if gone { "eth0 is gone" } else { "eth0 is down" };
        assert_eq!(report.findings[0].title, title, "{report:#?}");
        assert!(report.received > 0, "{report:#?}");
        let told = evidence(&report);
        assert!(told.contains("the last one after"), "{report:#?}");
    }
}

/// A program is a member as well, so that joining the group anew would tell no switch of it.
pub(crate) fn the_sender_stops_beside_another_member() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0"));
        let any = if group.contains(':') {
            "'::', True"
        } else {
            "''"
        };
        let script = format!("s = udp({any}); join(s, '{group}', 'eth0'){READS}");
        let _member = program(&b, &script);
        // Five datagrams within a quarter of a second, as mDNS announces, and a stream of a while.
        for (pause, count, told) in [(50, 5, false), (5, 400, true)] {
            let asked = address(group);
            let examined = b.spawn(move || {
                let how = how(Duration::from_secs(5), None);
                doctor::examine(asked.as_str(), &how).unwrap()
            });
            wait_until("the doctor to listen", || {
                let sockets = b.run(doctor::open_sockets).unwrap();
                let on_port = sockets.iter().filter(|socket| socket.local.port() == 5000);
                on_port.count() > 1
            });
            let came = b.count_at(Hook::Prerouting, "udp dport 5000");
            let pause = Duration::from_millis(pause);
            let stream = Stream::of(&a, &to, SenderConfig::default(), 10, pause);
            wait_until("the datagrams to come", || came.count() >= count);
            drop(stream);
            let report = examined.join();
            assert_delivered(&report);
            let found = report.findings.iter();
            let mut found = found.filter(|found| found.code == Code::NotArriving);
            assert_eq!(found.next().is_some(), told, "{report:#?}");
        }
    }
}

/// A host with forty interfaces, of which the firewall drops whatever comes.
fn host_of_many_interfaces(lab: &Lab) -> Host {
    let host = lab.host("b");
    for number in 1..=40 {
        host.output(&format!(
            "ip link add v{number} type veth peer name w{number}"
        ));
        host.output(&format!("ip link set v{number} up"));
        host.output(&format!("ip link set w{number} up"));
        host.output(&format!("ip address add 10.{number}.0.1/24 dev v{number}"));
    }
    host.nft(
        "table inet t {
            chain c {
                type filter hook input priority 0; policy drop
            }
        }",
    );
    host
}

/// Where nothing comes back from the first interfaces, it is not tried on forty.
pub(crate) fn what_it_sends_to_itself_comes_to_an_end() {
    let lab = Lab::new();
    let b = host_of_many_interfaces(&lab);
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
    let report = b.run_unprivileged(doctor::examine_host).unwrap();
    let tried = report.notes.iter();
    let tried = tried.filter(|note| note.contains("datagrams to itself"));
    assert!((1..=4).contains(&tried.count()), "{report:#?}");
}

/// One request ends it, whatever it does.
pub(crate) fn it_is_cancelled_while_it_sends_to_itself() {
    let lab = Lab::new();
    let b = host_of_many_interfaces(&lab);
    let cancellation = Cancellation::default();
    let how = how(Duration::from_secs(600), None).cancellation(cancellation.clone());
    let examined = b.spawn(move || doctor::examine("239.1.2.3:5000", &how).unwrap());
    b.wait_for_group("v40", ip("239.1.2.3"));
    assert!(cancellation.cancel());
    let report = examined.join();
    let accused = report
        .findings
        .iter()
        .find(|found| found.code == Code::FirewallDrops);
    assert_eq!(accused, None, "nothing was sent any more: {report:#?}");
}
