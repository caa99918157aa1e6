//! What two ends find out together.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use manycast::SenderConfig;
use manycast::doctor::{
    self, Code, Confidence, Examination, FarEnd, Finding, Key, Mark, Notes, Report, Severity,
};
use manycast_lab::netns::{Hook, Host, Lab, Snooping, wait_until};

use crate::drop_fragments;
use crate::firewall::KNOWS_THE_SENDER;
use crate::healthy::state;
pub(crate) use crate::serving::{Serving, far};
use crate::{
    GROUPS, QUERY, Stream, address, assert_delivered, assert_fault, privileged_program, two_hosts,
};

/// What is found with the far end, as an ordinary user.
pub(crate) fn examine(host: &Host, address: &str, far: &FarEnd) -> Report {
    host.run_unprivileged(|| doctor::examine_with(address, &brief(), far))
        .unwrap()
}

pub(crate) fn examine_privileged(host: &Host, address: &str, far: &FarEnd) -> Report {
    host.run(|| doctor::examine_with(address, &brief(), far))
        .unwrap()
}

fn brief() -> Examination {
    Examination::default().duration(Duration::from_secs(2))
}

pub(crate) fn the_way_is_open_and_nobody_sends() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::NothingSent, Confidence::Likely);
        assert!(
            report
                .trials
                .iter()
                .any(|trial| trial.size > 30_000 && trial.came == trial.sent)
        );
    }
}

/// Their datagrams are sent one after another, and what the far host finds for one holds up nobody.
pub(crate) fn two_hosts_ask_one_far_end_at_once() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    let c = lab.host("c");
    c.connect(&switch, "eth0", &["10.0.0.3/24"]);
    // The far host has something to find, so that it tries its own firewall too.
    a.drop_at(Hook::Input, "udp dport 5000");
    let _serving = Serving::start(&a, None);
    let asking = [(b, "239.1.2.3:5000"), (c, "239.4.5.6:5000")].map(|(host, group)| {
        thread::spawn(move || {
            let report = examine(&host, group, &far("10.0.0.1"));
            (report, host)
        })
    });
    for (report, _host) in asking.map(|asking| asking.join().unwrap()) {
        let found = report
            .findings
            .iter()
            .find(|it| it.code == Code::FirewallDrops);
        let found = found.unwrap_or_else(|| panic!("{report:#?}"));
        assert_eq!(found.host.as_deref(), Some("10.0.0.1"), "{report:#?}");
        assert!(
            report
                .trials
                .iter()
                .all(|trial| trial.to_group || trial.came == trial.sent)
        );
    }
}

pub(crate) fn what_is_sent_is_delivered() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, Some("secret"));
    let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
    let far = far("10.0.0.1").key(Some(Key::new("secret")));
    assert_delivered(&examine(&b, "239.1.2.3:5000", &far));
}

/// A firewall drops what this host sends to itself, and lets the far host pass by its address.
pub(crate) fn a_firewall_that_knows_the_far_host() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(KNOWS_THE_SENDER);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let to = address(group);
        for report in [
            examine(&b, &to, &far(far_host)),
            examine_privileged(&b, &to, &far(far_host)),
        ] {
            assert_fault(&report, Code::NothingSent, Confidence::Likely);
            let mut findings = report.findings.iter();
            let firewall = findings.find(|finding| finding.code == Code::FirewallDrops);
            let firewall = firewall.unwrap_or_else(|| panic!("{report:#?}"));
            assert_eq!(firewall.severity, Severity::Warning, "{report:#?}");
        }
    }
}

/// A far end that has the source sends as it; for another one, its own address stands in, and that
/// is told before it is tried.
pub(crate) fn a_source_of_the_far_end_or_another() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    a.output("ip address add 10.0.0.77/24 dev eth0");
    a.output("ip address add fd00::77/64 dev eth0 nodad");
    let _serving = Serving::start(&a, None);
    for (address, host, has) in [
        ("10.0.0.77@232.1.1.1:5000", "10.0.0.1", true),
        ("10.0.0.9@232.1.1.1:5000", "10.0.0.1", false),
        ("fd00::1@[ff35::1]:5000", "fd00::1", true),
        ("fd00::77@[ff35::1]:5000", "10.0.0.1", true),
        ("fd00::9@[ff35::1]:5000", "10.0.0.1", false),
    ] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let tell = move |note: &str| notes.lock().unwrap().push(note.to_owned());
        let how = brief().notes(Notes::to(tell));
        let report = b
            .run_unprivileged(|| doctor::examine_with(address, &how, &far(host)))
            .unwrap();
        assert_fault(&report, Code::NothingSent, Confidence::Likely);
        let groups = report.trials.iter().filter(|trial| trial.to_group);
        assert!(groups.clone().count() >= 10, "{report:#?}");
        assert!(
            groups.clone().all(|trial| trial.came == trial.sent),
            "{report:#?}"
        );
        assert_eq!(*told.lock().unwrap(), report.notes);
        assert_eq!(report.notes.len(), usize::from(!has), "{:?}", report.notes);
    }

    // The stream itself is what counts in the end.
    let _stream = Stream::start(&a, "232.1.1.1%eth0:5000");
    assert_delivered(&examine(&b, "10.0.0.1@232.1.1.1:5000", &far("10.0.0.1")));
    let report = examine(&b, "10.0.0.9@232.1.1.1:5000", &far("10.0.0.1"));
    assert_fault(&report, Code::WrongSource, Confidence::Likely);
}

pub(crate) fn nothing_is_changed_on_either_host() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    // Without counters, which would be changes.
    for (host, group) in [(&a, "239.1.2.4"), (&b, "239.1.2.5")] {
        host.nft(&format!(
            "table ip t {{
                chain c {{
                    type filter hook input priority 0
                    ip daddr {group} drop
                }}
            }}"
        ));
    }
    let members = [&a, &b]
        .map(|host| privileged_program(host, "s = udp('239.1.2.6'); join(s, '239.1.2.6', 'eth0')"));
    let before = [&a, &b].map(state);
    let serving = Serving::privileged(&a);
    // What passes, what either host drops, what a program has, and a source.
    for group in [
        "239.1.2.3:5000",
        "239.1.2.4:5000",
        "239.1.2.5:5000",
        "239.1.2.6:5000",
    ] {
        examine_privileged(&b, group, &far("10.0.0.1"));
    }
    examine_privileged(&b, "[ff15::1234]:5000", &far("fd00::1"));
    examine_privileged(&b, "10.0.0.9@232.1.1.1:5000", &far("10.0.0.1"));
    // The far host leaves as soon as nobody asks any more, and not only when it ends.
    wait_until("the far host to leave", || state(&a) == before[0]);
    assert_eq!([&a, &b].map(state), before);
    drop(serving);
    assert_eq!(state(&a), before[0]);
    drop(members);
}

pub(crate) fn another_key_finds_nobody() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, Some("secret"));
    let how = Examination::default();
    let error = b
        .run(|| doctor::examine_with("239.1.2.3:5000", &how, &far("10.0.0.1")))
        .unwrap_err();
    assert!(error.to_string().contains("--key"), "{error}");
}

pub(crate) fn a_hop_limit_of_1_across_a_router() {
    let lab = Lab::new();
    let [a, router, b] = across_a_router(&lab);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        router.forward_group(crate::ip(group), "eth0", "eth1");
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::HopLimit, Confidence::Proved);
        let title = &report.findings[0].title;
        assert!(
            title.ends_with("needs a hop limit of 2 at least"),
            "{title}"
        );
    }
}

pub(crate) fn the_far_end_sends_by_another_interface() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    a.connect(&other, "eth1", &["10.1.0.1/24"]);
    a.add_route("224.0.0.0/4 dev eth1");
    let _serving = Serving::start(&a, None);
    let report = examine(&b, "239.1.2.3:5000", &far("10.0.0.1"));
    assert_fault(&report, Code::EgressOtherInterface, Confidence::Proved);
}

pub(crate) fn large_datagrams_do_not_pass() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _rules = drop_fragments(&a);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::Fragmentation, Confidence::Proved);
    }
}

/// One end sends frames that the link of the other one does not take: these are no pieces.
pub(crate) fn links_of_two_sizes() {
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        for larger in ["a", "b"] {
            let lab = Lab::new();
            let hosts = two_hosts(&lab, &lab.switch("sw"));
            let [a, b] = &hosts;
            let large = if larger == "a" { a } else { b };
            large.output("ip link set eth0 mtu 9000");
            let _serving = Serving::start(a, None);
            let report = examine(b, &address(group), &far(far_host));
            let mut found = report.findings.iter();
            let found = found
                .find(|found| found.code == Code::Fragmentation)
                .unwrap();
            assert_eq!(found.host.as_deref(), (larger == "b").then_some(far_host));
            for told in ["its MTU is 9000", "is 1500"] {
                assert!(found.title.contains(told), "{report:#?}");
            }
            assert!(
                found.remedy.as_ref().unwrap().contains("mtu 1500"),
                "{report:#?}"
            );
            large.output("ip link set eth0 mtu 1500");
            let report = examine(b, &address(group), &far(far_host));
            let sizes = |found: &Finding| found.code == Code::Fragmentation;
            assert!(!report.findings.iter().any(sizes), "{report:#?}");
        }
    }
}

/// The pieces come, and this host has no room for them.
pub(crate) fn large_datagrams_find_no_room() {
    for (group, far_host, memory) in [
        ("239.1.2.3", "10.0.0.1", "net.ipv4.ipfrag"),
        ("ff15::1234", "fd00::1", "net.ipv6.ip6frag"),
    ] {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.sysctl(&format!("{memory}_low_thresh"), "0");
        b.sysctl(&format!("{memory}_high_thresh"), "1");
        let _serving = Serving::start(&a, None);
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::Fragmentation, Confidence::Proved);
        assert!(report.findings[0].title.contains("no room"), "{report:#?}");
        crate::unseen::mend(&b, &report);
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::NothingSent, Confidence::Likely);
    }
}

pub(crate) fn the_own_host_is_found_guilty_by_a_known_count() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    b.drop_at(Hook::Input, "udp dport 5000");
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::FirewallDrops, Confidence::Proved);
    }
}

pub(crate) fn what_is_lost_on_the_way_is_not_the_own_host_s() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    for (group, far_host, lost) in [
        ("239.1.2.3", "10.0.0.1", "ip daddr 239.1.2.3"),
        ("ff15::1234", "fd00::1", "ip6 daddr ff15::1234"),
    ] {
        let _rule = a.lose_sent("eth0", lost);
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::NotArriving, Confidence::Proved);
        let unicast = &report.findings[0].evidence[0];
        assert!(unicast.contains("20 of 20 came by unicast"), "{unicast}");
    }
}

/// What the kernel of the far host refuses to send was not lost on the way, all of it or a part.
pub(crate) fn a_far_host_that_holds_back_what_it_sends() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, far_host, held_back) in [
        ("239.1.2.3", "10.0.0.1", "ip daddr 239.1.2.3"),
        ("ff15::1234", "fd00::1", "ip6 daddr ff15::1234"),
        (
            "239.1.2.4",
            "10.0.0.1",
            "ip daddr 239.1.2.4 numgen inc mod 2 == 0",
        ),
        (
            "ff15::1235",
            "fd00::1",
            "ip6 daddr ff15::1235 numgen inc mod 2 == 0",
        ),
    ] {
        a.nft(&format!(
            "table netdev t
            delete table netdev t
            table netdev t {{
                chain c {{
                    type filter hook egress device eth0 priority 0
                    {held_back} drop
                }}
            }}"
        ));
        for privileged in [false, true] {
            let _serving = if privileged {
                Serving::privileged(&a)
            } else {
                Serving::start(&a, None)
            };
            let report = if privileged {
                examine_privileged(&b, &address(group), &far(far_host))
            } else {
                examine(&b, &address(group), &far(far_host))
            };
            let held_back = |finding: &&Finding| {
                (finding.code, finding.confidence) == (Code::FirewallDrops, Confidence::Likely)
                    && finding.host.as_deref() == Some(far_host)
            };
            assert!(
                report.findings.iter().any(|found| held_back(&found)),
                "{report:#?}"
            );
            let mut others = report.findings.iter().filter(|found| !held_back(found));
            let lost = [Code::NotArriving, Code::Loss, Code::FirewallDrops];
            assert!(
                others.all(|found| !lost.contains(&found.code)),
                "{report:#?}"
            );
        }
    }
}

/// The far host, or a router on the way, writes another source (SNAT), and only one was asked for.
pub(crate) fn a_source_that_is_rewritten() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    a.output("ip address add 10.0.0.77/24 dev eth0");
    a.output("ip address add fd00::77/64 dev eth0 nodad");
    for (group, family, source, other) in [
        ("232.1.1.1", "ip", "10.0.0.1", "10.0.0.77"),
        ("ff35::1", "ip6", "fd00::1", "fd00::77"),
    ] {
        a.nft(&format!(
            "table {family} nat {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    {family} daddr {group} snat to {other}
                }}
            }}"
        ));
        let asked = format!("{source}@{}", address(group));
        let serving = Serving::start(&a, None);
        let report = examine(&b, &asked, &far(source));
        assert_fault(&report, Code::WrongSource, Confidence::Proved);
        let as_root = examine_privileged(&b, &asked, &far(source));
        assert_fault(&as_root, Code::WrongSource, Confidence::Proved);
        // Either way that is told: to ask for that source, or to translate groups no more.
        let remedy = report.findings[0].remedy.as_ref().unwrap();
        let mut clauses = remedy.split("; ");
        let mut next = |before: &str| clauses.next().unwrap().split_once(before).unwrap().1;
        let (better, insert) = (next(": "), next(": sudo "));
        let to = address(&format!("{group}%eth0"));
        let stream = || {
            let from = SenderConfig::default()
                .from(address(source).replace("5000", "0"))
                .unwrap();
            Stream::of(&a, &to, from, 64, Duration::from_millis(5))
        };
        let translated = stream();
        assert_delivered(&examine(&b, better, &far(source)));
        drop((translated, serving));
        a.output(insert);
        let _serving = Serving::start(&a, None);
        let _stream = stream();
        assert_delivered(&examine(&b, &asked, &far(source)));
    }
}

/// A stream that comes across a router is no matter of the hop limit that the trial has.
pub(crate) fn what_the_trial_meets_and_the_stream_does_not() {
    let lab = Lab::new();
    let [a, router, b] = across_a_router(&lab);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        router.forward_group(crate::ip(group), "eth0", "eth1");
        let to = address(&format!("{group}%eth0"));
        let pause = Duration::from_millis(5);
        let _stream = Stream::of(&a, &to, crate::sending(true, 8), 64, pause);
        for report in [
            examine(&b, &address(group), &far(far_host)),
            examine_privileged(&b, &address(group), &far(far_host)),
        ] {
            assert_delivered(&report);
            let mut told = report.findings.iter();
            let told = told.find(|found| found.code == Code::HopLimit).unwrap();
            assert_eq!(told.severity, Severity::Warning, "{report:#?}");
        }
    }
}

/// `a`, a router, and `b`.
pub(crate) fn across_a_router(lab: &Lab) -> [Host; 3] {
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let [a, router, b] = [lab.host("a"), lab.router("r"), lab.host("b")];
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    router.connect(&left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(&right, "eth1", &["10.0.1.254/24", "fd01::fe/64"]);
    b.connect(&right, "eth0", &["10.0.1.1/24", "fd01::1/64"]);
    a.add_route("default via 10.0.0.254");
    b.add_route("default via 10.0.1.254");
    a.add_route("default via fd00::fe");
    b.add_route("default via fd01::fe");
    [a, router, b]
}

/// As `arriving::the_switch_forgets`, with the far end for a stream.
pub(crate) fn a_soak_outlasts_the_memory_of_the_switch() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping {
        querier: false,
        ..Snooping::default()
    });
    let [a, b] = two_hosts(&lab, &switch);
    let heard = b.count_at(Hook::Prerouting, "igmp type membership-query");
    let mut query = privileged_program(&a, QUERY);
    query.close_stdin();
    wait_until("the query to be heard", || heard.count() > 0);
    let _serving = Serving::start(&a, None);
    let far = far("10.0.0.1").soak(Some(Duration::from_secs(20)));
    let report = examine(&b, "239.1.2.3:5000", &far);
    assert_fault(&report, Code::NoQuerier, Confidence::Likely);
    let mut here = report.steps.iter();
    let broken = here.find(|state| state.mark == Mark::Broken);
    assert_eq!(broken.map(|state| state.step), Some(Code::NoQuerier.step()));
}
