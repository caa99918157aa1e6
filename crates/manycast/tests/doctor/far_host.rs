//! What the far host finds on itself, and what is told of it here.

use manycast::doctor::{Code, Confidence, Mark, Report, Severity, Step};
use manycast_lab::netns::{Hook, Host, Lab, Switch};

use crate::firewall::the_rule;
use crate::two_ends::{Serving, examine, examine_privileged, far};
use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, evidence, privileged_program, remedy,
    two_hosts,
};

/// The addresses of host `a`, in the order of [`GROUPS`].
const FAR: [&str; 2] = ["10.0.0.1", "fd00::1"];

/// The verdict is this fault of the far host, and the walk there stops at its step.
#[track_caller]
fn assert_far_fault(report: &Report, host: &str, code: Code, confidence: Confidence) {
    assert_fault(report, code, confidence);
    let first = &report.findings[0];
    assert_eq!(first.host.as_deref(), Some(host), "{report:#?}");
    assert!(first.title.contains(host), "{}", first.title);
    let texts = first.evidence.iter().chain(&first.remedy);
    for text in texts.chain([&first.title]) {
        assert!(!text.contains("this host"), "of which? {text}");
    }
    let far = report.far.as_ref().unwrap();
    assert_eq!(far.host, host);
    let broken = far.steps.iter().find(|state| state.mark == Mark::Broken);
    assert_eq!(
        broken.map(|state| state.step),
        Some(code.step()),
        "{report:#?}"
    );
}

/// Whether the group passed from the far host to this one, and the other way.
fn passed(report: &Report) -> [bool; 2] {
    use manycast::doctor::Toward;
    [Toward::Here, Toward::There].map(|toward| {
        report
            .trials
            .iter()
            .any(|trial| trial.to_group && trial.toward == toward && trial.came > 0)
    })
}

pub(crate) fn a_firewall_at_its_input_hook() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _serving = Serving::start(&a, None);
    let rule = a.drop_at(Hook::Input, "udp dport 5000");
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_far_fault(&report, host, Code::FirewallDrops, Confidence::Proved);
        assert_eq!(passed(&report), [true, false]);
    }
    rule.remove();
    a.drop_at(Hook::Prerouting, "udp dport 5000");
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_far_fault(&report, host, Code::FirewallDrops, Confidence::Proved);
    }
}

pub(crate) fn a_firewall_that_strikes_one_source() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    a.drop_at(Hook::Input, "ip saddr 10.0.0.2 ip daddr 239.1.2.3");
    let _serving = Serving::start(&a, None);
    let report = examine(&b, "239.1.2.3:5000", &far(FAR[0]));
    // Twenty were sent, and of twenty the counters tell.
    assert_far_fault(&report, FAR[0], Code::FirewallDrops, Confidence::Proved);
}

pub(crate) fn a_firewall_that_forbids_sending() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _serving = Serving::start(&a, None);
    let rule = a.drop_at(Hook::Output, "udp dport 5000");
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        let first = &report.findings[0];
        assert_eq!(first.host.as_deref(), Some(host));
        assert!(first.title.contains("forbids sending"), "{}", first.title);
        // It is the walk to this host that it breaks.
        let egress = report.steps.iter().find(|state| state.step == Step::Egress);
        assert_eq!(egress.unwrap().mark, Mark::Broken, "{report:#?}");
        let walk = &report.far.as_ref().unwrap().steps;
        assert!(
            walk.iter().all(|state| state.mark == Mark::Passed),
            "{report:#?}"
        );
    }
    rule.remove();
    b.drop_at(Hook::Output, "udp dport 5000");
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        assert_eq!(report.findings[0].host, None, "{report:#?}");
        let walk = &report.far.as_ref().unwrap().steps;
        let egress = walk.iter().find(|state| state.step == Step::Egress);
        assert_eq!(egress.unwrap().mark, Mark::Broken, "{report:#?}");
    }
}

/// With the privileges, either host names the rule that forbids it to send.
pub(crate) fn a_rule_that_forbids_sending_is_named() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _serving = Serving::privileged(&a);
    for hook in ["output", "postrouting"] {
        for (group, far_host) in GROUPS.into_iter().zip(FAR) {
            let family = if group.contains(':') { "ip6" } else { "ip" };
            for (host, name) in [(&a, Some(far_host)), (&b, None)] {
                host.nft(&format!(
                    "table inet t {{
                        chain c {{
                            type filter hook {hook} priority 0
                            {family} daddr {group} counter drop
                        }}
                    }}"
                ));
                let report = examine_privileged(&b, &address(group), &far(far_host));
                assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
                let first = &report.findings[0];
                assert_eq!(first.host.as_deref(), name, "{report:#?}");
                let told = evidence(&report);
                assert!(
                    told.contains(&format!("at the {hook} hook, dropped")),
                    "{told}"
                );
                let pass = format!("nft insert rule {}", the_rule(host));
                assert!(remedy(&report).contains(&pass), "{report:#?}");
                host.output("nft delete table inet t");
            }
        }
    }
}

/// With the privileges, the far host names the rule.
pub(crate) fn a_firewall_whose_rule_is_named() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _serving = Serving::privileged(&a);
    a.drop_at(Hook::Prerouting, "ip saddr 10.0.0.2 udp dport 5000");
    a.drop_at(Hook::Prerouting, "ip6 saddr fd00::2 udp dport 5000");
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_far_fault(&report, host, Code::FirewallDrops, Confidence::Proved);
        let evidence = &report.findings[0].evidence;
        let named = |text: &String| text.contains("dropped 20 packets");
        assert!(evidence.iter().any(named), "{evidence:?}");
    }
}

/// Host `a` and host `b` on one more switch, for the control alone: 10.1.0.1 and 10.1.0.2.
fn control(lab: &Lab, hosts: [&Host; 2]) -> Switch {
    let switch = lab.switch("control");
    for (number, host) in (1..).zip(hosts) {
        let addresses = [format!("10.1.0.{number}/24"), format!("fd01::{number}/64")];
        host.connect(&switch, "eth1", &[&addresses[0], &addresses[1]]);
    }
    switch
}

pub(crate) fn a_reverse_path_filter() {
    for (mode, which) in [("1", "strict"), ("2", "loose")] {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = ["a", "b"].map(|name| lab.host(name));
        // The far host has no way back to where the group comes from.
        a.connect(&switch, "eth0", &["192.168.7.1/24"]);
        b.connect(&switch, "eth0", &["10.0.0.2/24"]);
        let _control = control(&lab, [&a, &b]);
        b.add_route("224.0.0.0/4 dev eth0");
        a.sysctl("net.ipv4.conf.eth0.rp_filter", mode);
        for (group, privileged) in [
            ("239.1.2.3:5000", false),
            ("239.1.2.4%eth0:5000", false),
            ("239.1.2.4%eth0:5000", true),
        ] {
            let _serving = if privileged {
                Serving::privileged(&a)
            } else {
                Serving::start(&a, None)
            };
            let report = examine(&b, group, &far("10.1.0.1"));
            let code = Code::ReversePathFilter;
            assert_far_fault(&report, "10.1.0.1", code, Confidence::Proved);
            let evidence = &report.findings[0].evidence;
            assert!(
                evidence.iter().any(|text| text.contains(which)),
                "{evidence:?}"
            );
        }
    }
}

/// Packets of another stream are filtered meanwhile, as many as it pleases: whether ours are among
/// them is likely only.
pub(crate) fn a_reverse_path_filter_that_others_meet_too() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b, c] = ["a", "b", "c"].map(|name| lab.host(name));
    a.connect(&switch, "eth0", &["192.168.7.1/24"]);
    b.connect(&switch, "eth0", &["10.0.0.2/24"]);
    c.connect(&switch, "eth0", &["10.0.0.3/24"]);
    let _control = control(&lab, [&a, &b]);
    b.add_route("224.0.0.0/4 dev eth0");
    a.sysctl("net.ipv4.conf.eth0.rp_filter", "1");
    let _serving = Serving::start(&a, None);
    let _stream = Stream::start(&c, "239.9.9.9%eth0:5000");
    let report = examine(&b, "239.1.2.3%eth0:5000", &far("10.1.0.1"));
    assert_far_fault(
        &report,
        "10.1.0.1",
        Code::ReversePathFilter,
        // Its own counter moved by what was sent, whatever else was lost.
        Confidence::Proved,
    );
}

pub(crate) fn an_interface_without_the_flag() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    a.output("ip link set eth0 multicast off");
    let _serving = Serving::start(&a, None);
    // Without the flag, the kernel lets no IPv6 neighbours be found.
    let report = examine(&b, "239.1.2.3:5000", &far(FAR[0]));
    let code = Code::InterfaceNotMulticast;
    assert_far_fault(&report, FAR[0], code, Confidence::Proved);
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(codes.all(|code| code != Code::FirewallDrops), "{report:#?}");
}

pub(crate) fn an_interface_that_is_down() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _control = control(&lab, [&a, &b]);
    a.output("ip link set eth0 down");
    let _serving = Serving::start(&a, None);
    for (group, host) in GROUPS.into_iter().zip(["10.1.0.1", "fd01::1"]) {
        let named = format!("{group}%eth0");
        let report = examine(&b, &address(&named), &far(host));
        // Which interface the far host means the group to come by, nobody has said.
        let found = report
            .findings
            .iter()
            .find(|found| found.code == Code::InterfaceDown);
        let found = found.unwrap_or_else(|| panic!("{report:#?}"));
        assert_eq!(found.host.as_deref(), Some(host));
        assert_eq!(found.confidence, Confidence::Possible);
        assert_eq!(found.severity, Severity::Warning);
    }
}

pub(crate) fn another_interface_to_send_by() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    a.connect(&lab.switch("other"), "eth1", &["10.2.0.1/24", "fd02::1/64"]);
    a.add_route("224.0.0.0/4 dev eth1");
    a.output("ip -6 route add multicast ff15::/16 dev eth1 table local metric 1");
    let _serving = Serving::start(&a, None);
    for (group, host) in GROUPS.into_iter().zip(FAR) {
        let report = examine(&b, &address(group), &far(host));
        assert_fault(&report, Code::EgressOtherInterface, Confidence::Proved);
        let first = &report.findings[0];
        assert_eq!(first.host.as_deref(), Some(host));
        let remedy = first.remedy.as_ref().unwrap();
        assert!(
            remedy.contains("dev eth0"),
            "the far host knows the name: {remedy}"
        );
    }
}

pub(crate) fn a_port_that_is_not_shared() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _other = privileged_program(&a, "s = udp('', share=False)");
    let _serving = Serving::start(&a, None);
    let report = examine(&b, "239.1.2.3:5000", &far(FAR[0]));
    assert_far_fault(&report, FAR[0], Code::PortInUse, Confidence::Proved);
}

/// Another program has the port and shares it, so nothing is sent to it for a test.
pub(crate) fn a_firewall_and_a_program_that_is_not_disturbed() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let mut other = privileged_program(
        &a,
        "s = udp('239.1.2.3'); join(s, '239.1.2.3', 'eth0')
import threading
threading.Thread(target=lambda: print(len(s.recv(2048)), flush=True), daemon=True).start()",
    );
    a.drop_at(Hook::Input, "ip saddr 10.0.0.2 ip daddr 239.1.2.3");
    let _serving = Serving::start(&a, None);
    let report = examine_privileged(&b, "239.1.2.3:5000", &far(FAR[0]));
    assert_far_fault(&report, FAR[0], Code::FirewallDrops, Confidence::Likely);
    other.close_stdin();
    let finished = other.finish();
    let lines: Vec<_> = finished
        .stdout
        .iter()
        .filter(|line| *line != "ready")
        .collect();
    assert!(lines.len() <= 1, "it received {lines:?}");
}

/// What may matter on the far host is told, as long as nobody sends.
pub(crate) fn its_warnings_are_told_where_nothing_comes() {
    let lab = Lab::new();
    let [a, b] = two_hosts(&lab, &lab.switch("sw"));
    let _serving = Serving::start(&a, None);
    let of_far = |report: &Report| {
        let mut found = report.findings.iter();
        let is_far = |host: &Option<String>| host.as_deref() == Some(FAR[0]);
        found.any(|finding| finding.code == Code::NoRoute && is_far(&finding.host))
    };
    let report = examine(&b, "239.1.2.3:5000", &far(FAR[0]));
    assert_fault(&report, Code::NothingSent, Confidence::Likely);
    assert!(of_far(&report), "{report:#?}");
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    let report = examine(&b, "239.1.2.3:5000", &far(FAR[0]));
    assert_delivered(&report);
    assert!(!of_far(&report), "{report:#?}");
    let walk = &report.far.as_ref().unwrap().steps;
    assert_eq!(walk.len(), Step::ALL.len());
    assert!(
        walk.iter().all(|state| state.mark == Mark::Passed),
        "{report:#?}"
    );
}
