//! What two ends find out together.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use manycast::doctor::{self, Code, Confidence, Examination, FarEnd, Key, Notes, Report};
use manycast_lab::netns::{Hook, Host, Lab, Snooping, wait_until};

use crate::drop_fragments;
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
    Examination {
        duration: Duration::from_secs(2),
        ..Examination::default()
    }
}

pub(crate) fn the_way_is_open_and_nobody_sends() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::NothingSent, Confidence::Proved);
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
    let far = FarEnd {
        key: Some(Key::new("secret")),
        ..far("10.0.0.1")
    };
    assert_delivered(&examine(&b, "239.1.2.3:5000", &far));
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
        let how = Examination {
            notes: Notes::to(move |note| notes.lock().unwrap().push(note.to_owned())),
            ..brief()
        };
        let report = b
            .run_unprivileged(|| doctor::examine_with(address, &how, &far(host)))
            .unwrap();
        let sure = if has {
            Confidence::Proved
        } else {
            Confidence::Likely
        };
        assert_fault(&report, Code::NothingSent, sure);
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
    assert_fault(&report, Code::WrongSource, Confidence::Proved);
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
    drop_fragments(&b);
    let _serving = Serving::start(&a, None);
    for (group, far_host) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let report = examine(&b, &address(group), &far(far_host));
        assert_fault(&report, Code::Fragmentation, Confidence::Proved);
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
    a.nft(
        "table netdev t {
            chain c {
                type filter hook egress device eth0 priority 0
                ip daddr 239.1.2.3 drop
            }
        }",
    );
    let report = examine(&b, "239.1.2.3:5000", &far("10.0.0.1"));
    assert_fault(&report, Code::NotArriving, Confidence::Proved);
    let unicast = &report.findings[0].evidence[0];
    assert!(unicast.contains("20 of 20 came by unicast"), "{unicast}");
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
    let far = FarEnd {
        soak: Some(Duration::from_secs(20)),
        ..far("10.0.0.1")
    };
    let report = examine(&b, "239.1.2.3:5000", &far);
    assert_fault(&report, Code::NoQuerier, Confidence::Likely);
}
