//! By which interface it is that the kernel takes a source for a wrong one.

use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{Code, Confidence};
use manycast_lab::netns::{Host, Lab, Switch};

use crate::unseen::{commands, mend};
use crate::{
    FORGED, Stream, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    privileged_program, remedy, two_hosts,
};

const GROUP: &str = "239.1.2.3:5000";

/// Gives a host a bridge with `eth0` as a port.
fn bridge(host: &Host) {
    host.output("ip link add br0 type bridge mcast_snooping 0 forward_delay 0");
    host.output("ip link set eth0 master br0");
    host.output("ip address flush dev eth0");
    host.output("ip link set br0 up");
    host.output("ip address add 10.0.0.2/24 dev br0");
}

/// Sends by an interface from a source to which the receiver's route leads by another one.
fn from_afar(host: &Host, device: &str) -> Stream {
    let config = SenderConfig::default().from("10.9.0.77:0").unwrap();
    let to = format!("239.1.2.3%{device}:5000");
    Stream::of(host, &to, config, 64, Duration::from_millis(5))
}

fn set_filters(host: &Host, filters: &[(&str, &str)]) {
    for (place, mode) in filters {
        host.sysctl(&format!("net.ipv4.conf.{place}.rp_filter"), mode);
    }
}

/// The two hosts, and a way back to what is sent from afar by an interface of its own.
fn hosts_with_another_way(lab: &Lab, switch: &Switch, other: &Switch) -> [Host; 2] {
    let [a, b] = two_hosts(lab, switch);
    b.connect(other, "eth9", &["10.9.0.2/24"]);
    a.output("ip address add 10.9.0.77/32 dev eth0");
    [a, b]
}

pub(crate) fn a_filter_of_a_bridge() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = hosts_with_another_way(&lab, &switch, &other);
    bridge(&b);
    set_filters(
        &b,
        &[("all", "0"), ("eth0", "0"), ("eth9", "0"), ("br0", "1")],
    );
    let _stream = from_afar(&a, "eth0");
    let report = examine(&b, GROUP);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Likely);
    assert!(report.findings[0].title.contains("br0"), "{report:#?}");
    let report = examine_privileged(&b, GROUP, None);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
    assert!(report.findings[0].title.contains("br0"), "{report:#?}");
    assert!(evidence(&report).contains("rp_filter of br0 is 1"));
    assert!(!remedy(&report).contains("eth0"), "{report:#?}");
    // Both ways mend it.
    b.output(&commands(&report)[1]);
    assert_delivered(&examine(&b, GROUP));
    set_filters(&b, &[("br0", "1")]);
    mend(&b, &report);
    assert_delivered(&examine(&b, GROUP));
}

/// The stream comes by two interfaces: one filters by the way back, at the other a firewall drops.
pub(crate) fn a_filter_of_one_interface_of_two() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = hosts_with_another_way(&lab, &switch, &other);
    let second = lab.switch("second");
    a.connect(&second, "eth1", &["10.1.0.1/24"]);
    b.connect(&second, "eth1", &["10.1.0.2/24"]);
    set_filters(
        &b,
        &[("all", "0"), ("eth0", "0"), ("eth9", "0"), ("eth1", "1")],
    );
    b.nft(
        "table inet t { chain c {
            type filter hook prerouting priority 0
            iifname eth0 udp dport 5000 counter drop
        }
        }",
    );
    let _streams = ["eth0", "eth1"].map(|device| from_afar(&a, device));
    let report = examine_privileged(&b, GROUP, None);
    let found = |code| report.findings.iter().find(move |found| found.code == code);
    let filter = found(Code::ReversePathFilter).unwrap();
    assert!(filter.title.contains("eth1"), "{report:#?}");
    assert!(
        filter.evidence.iter().all(|line| !line.contains("eth0")),
        "{report:#?}"
    );
}

/// The host's own address comes in by a port of its bridge, which is where it may be allowed.
pub(crate) fn an_own_source_by_a_bridge() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    bridge(&b);
    let script = format!("{FORGED}\nforge('10.0.0.2', '239.1.2.3', None)");
    let _stream = privileged_program(&a, &script);
    let report = examine_privileged(&b, GROUP, None);
    assert_fault(&report, Code::MartianSource, Confidence::Proved);
    mend(&b, &report);
    assert_delivered(&examine(&b, GROUP));
}

/// Its name has a dot, as those of VLANs have, and `sysctl` takes such between slashes.
pub(crate) fn a_filter_of_an_interface_with_a_dot() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    a.connect(&switch, "eth0", &["10.0.0.1/24"]);
    a.output("ip address add 10.9.0.77/32 dev eth0");
    b.connect(&switch, "eth0.10", &["10.0.0.2/24"]);
    b.connect(&other, "eth9", &["10.9.0.2/24"]);
    set_filters(&b, &[("all", "0"), ("eth9", "0")]);
    b.sysctl("net/ipv4/conf/eth0.10/rp_filter", "1");
    let _stream = from_afar(&a, "eth0");
    let report = examine_privileged(&b, GROUP, None);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
    b.output(&commands(&report)[1]);
    assert_delivered(&examine(&b, GROUP));
    // The same of the other settings of an interface.
    b.sysctl("net/ipv4/conf/eth0.10/force_igmp_version", "2");
    let report = examine(&b, "10.0.0.1@232.1.1.1%eth0.10:5000");
    assert_fault(&report, Code::OldQuerier, Confidence::Proved);
    mend(&b, &report);
    let report = examine(&b, "10.0.0.1@232.1.1.1%eth0.10:5000");
    let mut codes = report.findings.iter().map(|found| found.code);
    assert!(codes.all(|code| code != Code::OldQuerier), "{report:#?}");
    b.sysctl("net/ipv6/conf/eth0.10/disable_ipv6", "1");
    let report = examine(&b, "[ff15::1%eth0.10]:5000");
    assert_fault(&report, Code::Ipv6Off, Confidence::Proved);
    mend(&b, &report);
}
