//! What the host's own firewall drops of what comes; with the privilege to read its rules, which of them does.

use std::time::{Duration, Instant};

use manycast::doctor::{self, Code, Confidence, Mark, ProgramChoice, Report, Severity, Step};
use manycast_lab::netns::{Hook, Host, Lab, wait_until};

use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    examine_privileged_for, examine_with, how, program, remedy, two_hosts,
};

/// The chain and number of the one rule that drops, as `nft` takes them.
pub(crate) fn the_rule(host: &Host) -> String {
    let rules = host.run(doctor::firewall_rules).unwrap();
    let mut rules = rules.iter().filter(|rule| rule.handle.is_some());
    let (Some(rule), None) = (rules.next(), rules.next()) else {
        panic!("one rule was made")
    };
    format!("{} handle {}", rule.place(), rule.handle.unwrap())
}

/// The rule is named, and the command that takes it away works.
#[track_caller]
pub(crate) fn assert_named(host: &Host, report: &Report) {
    assert_fault(report, Code::FirewallDrops, Confidence::Proved);
    let rule = the_rule(host);
    let command = format!("sudo nft delete rule {rule}");
    assert!(remedy(report).contains(&command), "{report:#?}");
    assert!(evidence(report).contains(" dropped "), "{report:#?}");
}

/// Without the privilege, the way to learn the rule is told.
#[track_caller]
pub(crate) fn assert_unnamed(report: &Report, confidence: Confidence) {
    assert_fault(report, Code::FirewallDrops, confidence);
    assert!(!evidence(report).contains(" dropped "), "{report:#?}");
    let confirm = report.findings[0].confirm.as_deref().unwrap_or_default();
    assert!(confirm.starts_with("as root"), "{report:#?}");
}

/// Counters of the host tell that a firewall drops, and not whose packets those are. Gives the evidence.
#[track_caller]
pub(crate) fn assert_possible(report: &Report) -> String {
    assert_eq!(report.findings[0].code, Code::NotArriving, "{report:#?}");
    let mut findings = report.findings.iter();
    let firewall = findings.find(|finding| finding.code == Code::FirewallDrops);
    let firewall = firewall.unwrap_or_else(|| panic!("{report:#?}"));
    assert_eq!(firewall.confidence, Confidence::Possible, "{report:#?}");
    assert_eq!(firewall.severity, Severity::Warning, "{report:#?}");
    let confirm = firewall.confirm.as_deref().unwrap_or_default();
    assert!(confirm.starts_with("as root"), "{report:#?}");
    firewall.evidence.join("; ")
}

pub(crate) fn a_drop_at_the_input_hook() {
    a_drop_at(Hook::Input);
}

pub(crate) fn a_drop_at_the_prerouting_hook() {
    a_drop_at(Hook::Prerouting);
}

fn a_drop_at(hook: Hook) {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(hook, "udp dport 5000");
    for group in GROUPS {
        // Who does not capture the stream does not know that it is not let pass by its source.
        assert_unnamed(&examine(&b, &address(group)), Confidence::Likely);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_unnamed(&examine(&b, &address(group)), Confidence::Likely);
        assert_named(&b, &examine_privileged(&b, &address(group), None));
    }
    // What is told to do mends it.
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    let insert = remedy(&report)
        .split_once("sudo ")
        .unwrap()
        .1
        .split_once(';')
        .unwrap()
        .0
        .to_owned();
    b.output(&insert);
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    assert_delivered(&examine(&b, "239.1.2.3:5000"));
}

pub(crate) fn a_drop_at_the_ingress_hook() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table netdev t {
            chain c {
                type filter hook ingress device eth0 priority 0
                udp dport 5000 counter drop
            }
        }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // They never come to IP, so that tc may have dropped them as well.
        assert_unnamed(&examine(&b, &address(group)), Confidence::Likely);
        assert_named(&b, &examine_privileged(&b, &address(group), None));
    }
}

pub(crate) fn a_drop_at_the_ingress_hook_of_one_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table netdev t {
            chain c {
                type filter hook ingress device eth0 priority 0
                ether saddr 02:00:00:00:01:01 udp dport 5000 counter drop
            }
        }",
    );
    assert_dropped_before_ip(&a, &b);
}

pub(crate) fn a_drop_in_the_bridge_of_the_host() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.output("ip link add br0 type bridge mcast_snooping 0 forward_delay 0");
    b.output("ip link set eth0 master br0");
    b.output("ip link set br0 up");
    b.output("ip address add 10.0.0.22/24 dev br0");
    b.output("ip address add fd00::22/64 dev br0 nodad");
    {
        let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
        assert_delivered(&examine(&b, "239.1.2.3:5000"));
    }
    b.nft(
        "table bridge t {
            chain c {
                type filter hook input priority 0
                udp dport 5000 counter drop
            }
        }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        let evidence = assert_possible(&report);
        assert!(evidence.contains("never came to IP"), "{report:#?}");
        assert_named(&b, &examine_privileged(&b, &address(group), None));
    }
}

/// IP knows nothing of them, and without privileges it cannot be said that none came.
#[track_caller]
fn assert_dropped_before_ip(a: &Host, b: &Host) {
    for group in GROUPS {
        let _stream = Stream::start(a, &address(&format!("{group}%eth0")));
        let report = examine(b, &address(group));
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        assert_named(b, &examine_privileged(b, &address(group), None));
    }
}

pub(crate) fn a_drop_at_the_input_hook_of_one_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let rule = b.drop_at(Hook::Input, "ip saddr 10.0.0.1 udp dport 5000");
    {
        let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
        assert_possible(&examine(&b, "239.1.2.3:5000"));
        assert_named(&b, &examine_privileged(&b, "239.1.2.3:5000", None));
    }
    rule.remove();
    of_one_source_by_ipv6(&a, &b, Hook::Input);
}

/// By IPv6 the counters tell whether a packet is lost at the prerouting hook, or behind it, where those
/// to groups that are not joined are lost as well.
fn of_one_source_by_ipv6(a: &Host, b: &Host, hook: Hook) {
    b.drop_at(hook, "ip6 saddr fd00::1 udp dport 5000");
    let _stream = Stream::start(a, "[ff15::1234%eth0]:5000");
    let report = examine(b, "[ff15::1234]:5000");
    if hook == Hook::Prerouting {
        let evidence = assert_possible(&report);
        assert!(evidence.contains("Ip6InReceives"), "{report:#?}");
    } else {
        unseen(&report);
    }
    assert_named(b, &examine_privileged(b, "[ff15::1234]:5000", None));
}

/// It cannot be seen, and that is said.
#[track_caller]
fn unseen(report: &Report) {
    assert_fault(report, Code::NotArriving, Confidence::CannotSee);
    let firewall = report
        .findings
        .iter()
        .find(|finding| finding.code == Code::FirewallDrops);
    let firewall = firewall.unwrap_or_else(|| panic!("{report:#?}"));
    assert_eq!(firewall.confidence, Confidence::CannotSee);
    assert!(firewall.confirm.as_deref().unwrap().starts_with("as root"));
}

pub(crate) fn a_drop_at_the_prerouting_hook_of_one_source() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let rule = b.drop_at(Hook::Prerouting, "ip saddr 10.0.0.1 udp dport 5000");
    {
        let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
        unseen(&examine(&b, "239.1.2.3:5000"));
        assert_named(&b, &examine_privileged(&b, "239.1.2.3:5000", None));
    }
    rule.remove();
    of_one_source_by_ipv6(&a, &b, Hook::Prerouting);
}

/// What is dropped may be for another port of the group, and rightly: that is no fault of this one, of
/// which nothing is sent.
pub(crate) fn a_drop_of_another_port() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for hook in [Hook::Input, Hook::Prerouting] {
        let rule = b.drop_at(hook, "udp dport 5001");
        for (sent, asked) in [
            ("239.1.2.3%eth0:5001", "239.1.2.3:5000"),
            ("[ff15::1234%eth0]:5001", "[ff15::1234]:5000"),
        ] {
            let _stream = Stream::start(&a, sent);
            for report in [examine(&b, asked), examine_privileged(&b, asked, None)] {
                let mut findings = report.findings.iter();
                let accused = findings.any(|finding| {
                    finding.code == Code::FirewallDrops && finding.severity == Severity::Fault
                });
                assert!(!accused, "{report:#?}");
            }
        }
        rule.remove();
    }
}

/// By IPv4, nothing is sent to a port that another program has; there the wire and the rules tell.
pub(crate) fn a_drop_before_another_program() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Input, "udp dport 5000");
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let v6 = if group.contains(':') { "True" } else { "False" };
        for share in ["True", "False"] {
            let script = format!("s = udp('{any}', {v6}, {share}); join(s, '{group}', 'eth0')");
            let _program = program(&b, &script);
            let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
            let port = Some(ProgramChoice::Port);
            assert_named(&b, &examine_privileged(&b, &address(group), port));
            if share == "True" {
                let report = examine_with(&b, &address(group), port);
                if v6 == "True" {
                    assert_unnamed(&report, Confidence::Likely);
                } else {
                    assert_possible(&report);
                }
            }
        }
    }
}

pub(crate) fn a_rule_that_does_not_count() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0
                udp dport 5000 drop
                udp dport 5001 drop
                tcp dport 5000 drop
                ip daddr 239.9.9.9 drop
                ip6 daddr ff15::9 drop
            }
        }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        let evidence = evidence(&report);
        assert!(
            evidence.contains(
                "rule 2 of inet filter input (drop), at the input hook, alone matches it"
            ),
            "{evidence}"
        );
        // As the first rule of its table after one chain.
        let command = "sudo nft delete rule inet filter input handle 2";
        assert!(remedy(&report).contains(command), "{report:#?}");
    }
    // What a program receives that has the port for itself cannot be seen.
    for (group, any) in GROUPS.into_iter().zip(["", "::"]) {
        let v6 = if group.contains(':') { "True" } else { "False" };
        let script = format!("s = udp('{any}', {v6}, False); join(s, '{group}', 'eth0')");
        let _program = program(&b, &script);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let port = Some(ProgramChoice::Port);
        let report = examine_privileged(&b, &address(group), port);
        assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
        assert!(
            evidence(&report).contains("rule 2 of inet filter input"),
            "{report:#?}"
        );
        let report = examine_with(&b, &address(group), port);
        assert_fault(&report, Code::NotArriving, Confidence::CannotSee);
    }
}

pub(crate) fn a_policy_that_drops() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet filter {
            chain input {
                type filter hook input priority 0; policy drop
                meta l4proto { igmp, icmpv6 } accept
            }
        }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine_privileged(&b, &address(group), None);
        // It does not count what it strikes, but nothing at all was delivered meanwhile.
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
        assert!(evidence(&report).contains(
            "the policy of inet filter input (drop), at the input hook, alone matches it"
        ));
        let family = if group.contains(':') { "ip6" } else { "ip" };
        assert_eq!(
            remedy(&report),
            format!(
                "let the datagrams pass: sudo nft add rule inet filter input {family} daddr {group} \
                 udp dport 5000 accept"
            )
        );
        // It may admit the sender by its address, as far as a user sees.
        assert_unnamed(&examine(&b, &address(group)), Confidence::Likely);
    }
}

/// It lets in what the host `a` sends, by its address, and nothing else.
pub(crate) const KNOWS_THE_SENDER: &str = "table inet filter {
    chain input {
        type filter hook input priority 0; policy drop
        meta l4proto { igmp, icmpv6 } accept
        ip saddr 10.0.0.1 accept
        ip6 saddr fd00::1 accept
    }
}";

/// What this host sends to itself is dropped, and that is no proof of anything: the sender, which does not
/// send now, may pass.
pub(crate) fn a_firewall_that_knows_the_sender_by_its_address() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(KNOWS_THE_SENDER);
    for group in GROUPS {
        for report in [
            examine(&b, &address(group)),
            examine_privileged(&b, &address(group), None),
        ] {
            assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
            assert!(evidence(&report).contains("by its address"), "{report:#?}");
        }
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        assert_delivered(&examine(&b, &address(group)));
        assert_delivered(&examine_privileged(&b, &address(group), None));
    }
}

/// As the firewalls of desktops are: whatever is not let in is refused, by no rule that counts. The
/// names tell who keeps the rules.
pub(crate) fn a_firewall_that_lets_in_what_it_knows() {
    for (rules, remedies) in [
        (
            "table inet firewalld {
                chain filter_INPUT {
                    type filter hook input priority 10; policy accept
                    ct state { established, related } accept
                    meta l4proto { icmp, igmp, ipv6-icmp } accept
                    jump filter_INPUT_ZONES
                    ct state invalid drop
                    reject with icmpx admin-prohibited
                }
                chain filter_INPUT_ZONES {
                    tcp dport 22 accept
                }
            }",
            ["firewall-cmd --permanent --add-port=5000/udp"; 2],
        ),
        (
            "table inet filter {
                chain ufw-before-input {
                    ct state invalid counter drop
                    meta l4proto { igmp, ipv6-icmp } accept
                }
                chain INPUT {
                    type filter hook input priority 0; policy drop
                    jump ufw-before-input
                }
            }",
            [
                "ufw allow in proto udp to 239.1.2.3 port 5000",
                "ufw allow in proto udp to ff15::1234 port 5000",
            ],
        ),
    ] {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.nft(rules);
        for (group, command) in GROUPS.into_iter().zip(remedies) {
            let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
            assert_unnamed(&examine(&b, &address(group)), Confidence::Likely);
            let report = examine_privileged(&b, &address(group), None);
            assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
            assert!(remedy(&report).contains(command), "{report:#?}");
        }
    }
}

pub(crate) fn a_chain_that_others_jump_to() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table ip filter {
            chain ufw-not-local { }
            chain INPUT {
                type filter hook input priority 0
                counter jump ufw-not-local
            }
            chain ufw-not-local {
                fib daddr type multicast counter drop
            }
        }",
    );
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    assert_named(&b, &examine_privileged(&b, "239.1.2.3:5000", None));
}

/// Nine in ten are dropped, as by a limit; who captures on the wire knows that they were of the stream.
pub(crate) fn a_drop_of_a_part() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Input, "udp dport 5000 numgen inc mod 10 != 0");
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // Without a capture, what is missing may be for other ports of the group.
        assert_delivered(&examine(&b, &address(group)));
        assert_named(&b, &examine_privileged(&b, &address(group), None));
        // Of a program, the wire tells how much was to come.
        let v6 = if group.contains(':') { "True" } else { "False" };
        let script = format!("s = udp('{group}', {v6}); join(s, '{group}', 'eth0')");
        let process = program(&b, &script);
        let choice = Some(ProgramChoice::Pid(process.id()));
        assert_named(&b, &examine_privileged(&b, &address(group), choice));
    }
}

/// One in twenty: the rule is named all the same, and it is no loss before this host.
pub(crate) fn a_drop_of_a_small_part() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let dropped = b.drop_at(Hook::Input, "udp dport 5000 numgen inc mod 20 0");
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let long = Duration::from_secs(4);
        let asked = address(group);
        let report = examine_privileged_for(long, &b, &asked, None);
        assert_named(&b, &report);
    }
    dropped.remove();
    // What is expected and does not come is missed, where it is captured and no rule counts it.
    b.nft(
        "table inet t {
            chain c {
                type filter hook input priority 0
                udp dport 5000 numgen inc mod 10 != 0 drop
            }
        }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let rate = rate(&b, group);
        // A tenth of it comes, and on a busy machine it is sent much faster or slower than just before.
        let how = how(Duration::from_secs(4), None).expected_rate(Some(rate * 0.3));
        let report = b.run(|| doctor::examine(address(group), &how)).unwrap();
        assert_fault(&report, Code::FirewallDrops, Confidence::Likely);
        let arrived = report
            .steps
            .iter()
            .find(|state| state.step == Step::Arrived);
        assert_eq!(arrived.unwrap().mark, Mark::Passed, "{report:#?}");
    }
}

/// How many to a group or an address come to a host in a second.
pub(crate) fn rate(host: &Host, to: &str) -> f64 {
    let family = if to.contains(':') { "ip6" } else { "ip" };
    let came = host.count_at(Hook::Prerouting, &format!("{family} daddr {to}"));
    let began = Instant::now();
    wait_until("some hundred datagrams to come", || came.count() >= 300);
    let seconds = began.elapsed().as_secs_f64();
    f64::from(u32::try_from(came.count()).unwrap()) / seconds
}

/// What one host sends arrives, and what another one sends does not.
pub(crate) fn a_drop_of_one_source_of_two() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let c = lab.host("c");
    c.connect(&switch, "eth0", &["10.0.0.3/24", "fd00::3/64"]);
    for (group, source) in GROUPS
        .into_iter()
        .zip(["ip saddr 10.0.0.3", "ip6 saddr fd00::3"])
    {
        let rule = b.drop_at(Hook::Prerouting, &format!("{source} udp dport 5000"));
        let _streams = [&a, &c].map(|host| Stream::start(host, &address(&format!("{group}%eth0"))));
        assert_delivered(&examine(&b, &address(group)));
        assert_named(&b, &examine_privileged(&b, &address(group), None));
        // Asked for by its source, it is no matter of the source.
        let source = source.rsplit_once(' ').unwrap().1;
        let asked = format!("{source}@{}", address(group));
        assert_named(&b, &examine_privileged(&b, &asked, None));
        rule.remove();
    }
}
