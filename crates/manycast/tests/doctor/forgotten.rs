//! Memberships that switches have forgotten, or never knew.

use std::time::Duration;

use manycast::doctor::{self, Code, Confidence, ProgramChoice};
use manycast_lab::netns::{Hook, Host, Lab, Process, Rule, Snooping, Switch, wait_until};

use crate::serving::{Serving, far};
use crate::{
    GROUPS, QUERY, QUERY_6, READS, Stream, address, assert_delivered, assert_fault, evidence,
    examine_for, examine_privileged_for, how, ip, privileged_program, program, remedy, two_ends,
    two_hosts,
};

const QUERIES: [&str; 2] = [
    "igmp type membership-query",
    "icmpv6 type mld-listener-query",
];
const REPORTS: [&str; 2] = [
    "ip protocol igmp",
    "icmpv6 type { mld-listener-report, mld2-listener-report }",
];

/// A switch that prunes and asks for nothing by itself.
fn silent(lab: &Lab) -> Switch {
    lab.switch("sw").snooping(Snooping {
        querier: false,
        ..Snooping::default()
    })
}

/// Sends one query, and returns when it is seen.
fn ask(from: &Host, query: &str, seen: &Rule) {
    let before = seen.count();
    privileged_program(from, query).close_stdin();
    wait_until("the query to be seen", || seen.count() > before);
}

/// Waits until what one host sends does not come to the other. Before, the switch sends all to everybody: it
/// prunes once the time is over that the first query gives for answers.
fn wait_until_pruned(from: &Host, to: &Host) {
    let sent = from.count_at(Hook::Output, "udp dport 5000");
    let came = to.count_at(Hook::Prerouting, "udp dport 5000");
    wait_until("the switch to prune", || {
        let (before, so_far) = (came.count(), sent.count());
        wait_until("more to be sent", || sent.count() >= so_far + 10);
        came.count() == before
    });
}

/// A program that is a member, and stays one.
fn member(host: &Host, group: &str) -> Process {
    let any = if group.contains(':') {
        "'::', True"
    } else {
        "''"
    };
    program(
        host,
        &format!("s = udp({any}); join(s, '{group}', 'eth0'){READS}"),
    )
}

/// It asked once, was answered, and asked no more: the switch forgets, and no firewall is to blame.
pub(crate) fn a_querier_that_has_stopped() {
    for (index, group) in GROUPS.into_iter().enumerate() {
        let lab = Lab::new();
        let switch = silent(&lab);
        let [a, b] = two_hosts(&lab, &switch);
        let seen = b.count_at(Hook::Prerouting, QUERIES[index]);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let asked = address(group);
        let examined = b.spawn(move || {
            let how = how(Duration::from_secs(10), None);
            doctor::examine(asked.as_str(), &how).unwrap()
        });
        b.wait_for_group("eth0", ip(group));
        ask(&a, [QUERY, QUERY_6][index], &seen);
        let report = examined.join();
        assert_fault(&report, Code::NoQuerier, Confidence::Likely);
        let told = evidence(&report);
        assert!(told.contains("asked once for memberships"), "{told}");
    }
}

/// The reports of a program that runs already do not leave: it is asked, and does not answer.
pub(crate) fn a_member_whose_reports_are_dropped() {
    for (group, reports) in GROUPS.into_iter().zip(REPORTS) {
        let lab = Lab::new();
        let switch = lab.switch("sw").snooping(Snooping::default());
        let [a, b] = two_hosts(&lab, &switch);
        let dropped = b.drop_at(Hook::Output, reports);
        let member = member(&b, group);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let long = Duration::from_secs(4);
        for choice in [None, Some(ProgramChoice::Pid(member.id()))] {
            let report = examine_privileged_for(long, &b, &address(group), choice);
            assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Likely);
            let told = evidence(&report);
            assert!(told.contains("no report left eth0"), "{told}");
            assert!(told.contains("at the output hook, dropped"), "{told}");
            assert!(remedy(&report).contains("accept"), "{report:#?}");
            let report = examine_for(long, &b, &address(group), choice);
            if group.contains(':') {
                // By MLD, the kernel counts what it is asked and what it throws away.
                assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Likely);
            } else {
                // Who sees neither the wire nor the rules is told what to try.
                assert_eq!(report.verdict(), Code::NotArriving, "{report:#?}");
                assert!(remedy(&report).contains("join it again"), "{report:#?}");
            }
        }
        let answered = b.count_at(Hook::Output, reports);
        dropped.remove();
        wait_until("an answer to leave", || answered.count() > 0);
        assert_delivered(&examine_for(long, &b, &address(group), None));
    }
}

/// The queries are dropped before a program that runs already: the switch knows it, and forgets it.
pub(crate) fn a_member_before_which_queries_are_dropped() {
    for (group, queries) in GROUPS.into_iter().zip(QUERIES) {
        let lab = Lab::new();
        let switch = lab.switch("sw").snooping(Snooping::default());
        let [a, b] = two_hosts(&lab, &switch);
        b.drop_at(Hook::Input, queries);
        let member = member(&b, group);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // It comes for three seconds, if it does, and not at all the second time.
        for choice in [None, Some(ProgramChoice::Pid(member.id()))] {
            let long = Duration::from_secs(8);
            let report = examine_privileged_for(long, &b, &address(group), choice);
            assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Likely);
            let told = evidence(&report);
            assert!(told.contains("at the input hook, dropped"), "{told}");
        }
    }
}

/// Nobody asks, and the switch does not know the program: joining once more mends nothing, and starting it
/// anew does.
pub(crate) fn a_member_that_nobody_asks() {
    for (index, group) in GROUPS.into_iter().enumerate() {
        let lab = Lab::new();
        let switch = silent(&lab);
        let [a, b] = two_hosts(&lab, &switch);
        let seen = b.count_at(Hook::Prerouting, QUERIES[index]);
        ask(&a, [QUERY, QUERY_6][index], &seen);
        let dropped = b.drop_at(Hook::Output, REPORTS[index]);
        let unheard = member(&b, group);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        wait_until_pruned(&a, &b);
        // The last report that a host gives by itself leaves within a second.
        let long = Duration::from_secs(4);
        for choice in [None, Some(ProgramChoice::Port)] {
            for examine in [examine_for, examine_privileged_for] {
                let report = examine(long, &b, &address(group), choice);
                assert_fault(&report, Code::NotArriving, Confidence::Likely);
                let told = remedy(&report);
                assert!(
                    told.contains("leave") && told.contains("join it again"),
                    "{told}"
                );
                assert!(told.contains("no-querier"), "{told}");
            }
        }
        let _serving = Serving::start(&a, None);
        let report = two_ends::examine(&b, &address(group), &far("10.0.0.1"));
        assert_fault(&report, Code::NotArriving, Confidence::Proved);
        assert!(remedy(&report).contains("join it again"), "{report:#?}");
        dropped.remove();
        drop(unheard);
        let _again = member(&b, group);
        assert_delivered(&examine_for(
            Duration::from_secs(2),
            &b,
            &address(group),
            None,
        ));
    }
}
