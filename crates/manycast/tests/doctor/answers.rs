//! What a group is asked, and what becomes of the answers, which its members send by unicast.

use std::time::Duration;

use manycast::doctor::{self, Code, Confidence, Report};
use manycast_lab::netns::{Host, Lab, Process};

use crate::unseen::mend;
use crate::{assert_delivered, assert_fault, evidence, how, program, two_hosts};

/// Groups that are asked, and the port.
const ASKED: [(&str, &str, u16); 3] = [
    ("239.255.255.250", "239.255.255.250:1900", 1900),
    ("ff05::c", "[ff05::c]:1900", 1900),
    ("239.1.2.3", "239.1.2.3:5000", 5000),
];

/// A member that answers by unicast, from the port that was asked.
fn member(host: &Host, group: &str, port: u16) -> Process {
    let family = if group.contains(':') {
        "AF_INET6"
    } else {
        "AF_INET"
    };
    let script = format!(
        "import threading
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.bind(('', {port})); join(s, '{group}', 'eth0')
def answer():
    while True:
        question, who = s.recvfrom(2048)
        s.sendto(b'here I am', who)
threading.Thread(target=answer, daemon=True).start()"
    );
    let process = program(host, &script);
    host.wait_for_group("eth0", crate::ip(group));
    process
}

/// Lets in what belongs to a connection and what groups need, and drops all else.
fn stateful(host: &Host) {
    host.nft(
        "table inet f {
            chain i {
                type filter hook input priority 0
                iif lo accept
                ct state established,related accept
                meta l4proto { icmpv6, igmp } accept
                counter drop
            }
        }",
    );
}

/// By an ordinary user, and by root.
fn examine(host: &Host, address: &str) -> [Report; 2] {
    let question = (!address.ends_with(":1900")).then_some(&b"who is there?"[..]);
    let how = how(Duration::from_secs(2), None);
    let examine = || doctor::examine_answers(address, question, &how).unwrap();
    [host.run_unprivileged(examine), host.run(examine)]
}

pub(crate) fn they_come() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for host in [&a, &b] {
        host.add_route("224.0.0.0/4 dev eth0");
    }
    for (group, address, port) in ASKED {
        let _member = member(&a, group, port);
        // Its own member is not asked, and its answers would say nothing of the firewall.
        let _own = member(&b, group, port);
        for report in examine(&b, address) {
            assert_delivered(&report);
            assert_eq!(report.subject, format!("answers to {address}"));
        }
    }
}

pub(crate) fn a_firewall_that_follows_connections_drops_them() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, address, port) in ASKED {
        stateful(&b);
        let _member = member(&a, group, port);
        let on_eth0 = address.replace(group, &format!("{group}%eth0"));
        let [user, root] = examine(&b, &on_eth0);
        assert_fault(&user, Code::FirewallDrops, Confidence::Likely);
        assert!(evidence(&user).contains("established"), "{user:#?}");
        assert_fault(&root, Code::FirewallDrops, Confidence::Proved);
        assert!(evidence(&root).contains("of inet f i"), "{root:#?}");
        // What another tool asks in few words.
        let question = (port != 1900).then_some(&b"?"[..]);
        let blocked = b
            .run(|| doctor::blocked_answers(on_eth0.as_str(), question))
            .unwrap();
        assert_eq!(blocked.map(|found| found.code), Some(Code::FirewallDrops));
        mend(&b, &root);
        for report in examine(&b, &on_eth0) {
            assert_delivered(&report);
        }
        b.output("nft flush ruleset");
    }
}

/// A rule that strikes all that is UDP, answers among it, and does not count.
pub(crate) fn a_rule_that_does_not_count_drops_them() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, address, port) in ASKED {
        b.nft(
            "table inet f {
                chain i {
                    type filter hook input priority 0
                    meta l4proto udp drop
                }
            }",
        );
        let _member = member(&a, group, port);
        let on_eth0 = address.replace(group, &format!("{group}%eth0"));
        let [user, root] = examine(&b, &on_eth0);
        assert_fault(&user, Code::FirewallDrops, Confidence::Likely);
        assert_fault(&root, Code::FirewallDrops, Confidence::Likely);
        let evidence = evidence(&root);
        assert!(
            evidence.contains("to the port that asked came in by the wire, and none further")
                && evidence.contains("of inet f i (drop), at the input hook, alone matches it"),
            "{root:#?}"
        );
        mend(&b, &root);
        for report in examine(&b, &on_eth0) {
            assert_delivered(&report);
        }
        b.output("nft flush ruleset");
    }
}

pub(crate) fn nobody_answers() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    stateful(&b);
    for (group, address, _) in ASKED {
        let on_eth0 = address.replace(group, &format!("{group}%eth0"));
        let [user, root] = examine(&b, &on_eth0);
        assert_fault(&user, Code::NotArriving, Confidence::CannotSee);
        assert_fault(&root, Code::NotArriving, Confidence::Likely);
        let question = Some(&b"?"[..]);
        let blocked = b.run_unprivileged(|| doctor::blocked_answers(on_eth0.as_str(), question));
        assert_eq!(blocked.unwrap(), None);
    }
}
