//! Policies of IPsec that stand against the datagrams.

use manycast::doctor::{Code, Confidence, ProgramChoice};
use manycast_lab::netns::{Host, Lab};

use crate::serving::{Serving, far};
use crate::sockets::slow;
use crate::unseen::mend;
use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, evidence, examine, examine_privileged,
    examine_with, program, two_ends, two_hosts,
};

/// What the policies do: they block, or want encryption, with a priority that leaves room before it or
/// with none.
const ACTIONS: [&str; 2] = [
    "priority 0 action block",
    "priority 100 tmpl proto esp mode transport",
];

/// A policy for a group, or for all that is UDP.
fn policy(host: &Host, group: &str, direction: &str, action: &str) {
    let any = if group.contains(':') {
        "::/0"
    } else {
        "0.0.0.0/0"
    };
    host.output(&format!(
        "ip xfrm policy add src {any} dst {group} proto udp dir {direction} {action}"
    ));
}

fn forget(host: &Host) {
    host.output("ip xfrm policy flush");
}

pub(crate) fn what_comes_in_is_refused() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let any = if group.contains(':') {
            "::/0"
        } else {
            "0.0.0.0/0"
        };
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        for (to, action) in ACTIONS
            .into_iter()
            .map(|action| (group, action))
            .chain([(any, "priority 100 action block")])
        {
            policy(&b, to, "in", action);
            let report = examine(&b, &address(group));
            assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
            let report = examine_privileged(&b, &address(group), None);
            assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
            assert!(evidence(&report).contains("dir in"), "{report:#?}");
            mend(&b, &report);
            assert_delivered(&examine(&b, &address(group)));
            forget(&b);
        }
    }
}

/// Where no policy matches, the default may be to block.
pub(crate) fn what_no_policy_lets_in() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.output("ip xfrm policy setdefault in block");
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}

/// The policy is for one source, so that what the host sends to itself passes.
pub(crate) fn what_one_source_sends_is_refused() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, source) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        b.output(&format!(
            "ip xfrm policy add src {source} dst {group} proto udp dir in action block"
        ));
        let report = examine(&b, &address(group));
        let first = &report.findings[0];
        assert!(first.confidence > Confidence::Proved, "{report:#?}");
        assert!(!report.is_healthy(), "{report:#?}");
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}

pub(crate) fn what_is_for_a_program_is_refused() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, any, v6) in [(GROUPS[0], "", "False"), (GROUPS[1], "::", "True")] {
        let _stream = slow(&a, group);
        let process = program(
            &b,
            &format!("s = udp('{any}', {v6}); join(s, '{group}', 'eth0')"),
        );
        let pid = Some(ProgramChoice::Pid(process.id()));
        policy(&b, group, "in", ACTIONS[1]);
        // By IPv6, the host sends to itself what the program is not given.
        let user = if v6 == "True" {
            Confidence::Proved
        } else {
            Confidence::Likely
        };
        let report = examine_with(&b, &address(group), pid);
        assert_fault(&report, Code::IpsecDrops, user);
        let report = examine_privileged(&b, &address(group), pid);
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        mend(&b, &report);
        let report = examine_with(&b, &address(group), pid);
        assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
    }
}

/// What a policy forbids to be sent fails as it does with a firewall; what is to be encrypted, and
/// cannot be, vanishes.
pub(crate) fn what_goes_out_is_held_back() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        for action in ACTIONS {
            policy(&b, group, "out", action);
            let report = examine(&b, &address(group));
            assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
            let report = examine_privileged(&b, &address(group), None);
            assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
            mend(&b, &report);
            let _stream = Stream::start(&b, &address(&format!("{group}%eth0")));
            assert_delivered(&examine(&b, &address(group)));
            forget(&b);
        }
    }
}

pub(crate) fn between_two_ends() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        policy(&b, group, "in", ACTIONS[1]);
        let report = two_ends::examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        assert_eq!(report.findings[0].host, None, "{report:#?}");
        forget(&b);
        policy(&a, group, "in", ACTIONS[1]);
        let report = two_ends::examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::IpsecDrops, Confidence::Proved);
        assert_eq!(report.findings[0].host.as_deref(), Some(far_host));
        forget(&a);
        for (host, of) in [(&b, None), (&a, Some(far_host))] {
            policy(host, group, "out", ACTIONS[0]);
            let report = two_ends::examine(&b, &address(group), &far(far_host));
            assert_fault(&report, Code::IpsecDrops, Confidence::Likely);
            assert_eq!(report.findings[0].host.as_deref(), of, "{report:#?}");
            forget(host);
        }
    }
}
