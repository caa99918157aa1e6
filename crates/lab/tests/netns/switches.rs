//! Switches: who gets a group's datagrams.

use std::net::IpAddr;

use manycast_lab::netns::{Hook, Host, Lab, Snooping, Switch, wait_until};

use crate::{
    GROUP_4, GROUP_6, PORT, hosts_on, listener, member, receive, receive_until, send, sender,
};

pub(crate) fn a_switch_without_snooping_floods() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    for group in [GROUP_4, GROUP_6] {
        assert_eq!(seen_by_a_stranger(&lab, &switch, group, |_| ()), 20);
    }
}

pub(crate) fn snooping_without_a_querier_floods() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping {
        querier: false,
        ..Default::default()
    });
    for group in [GROUP_4, GROUP_6] {
        let seen = seen_by_a_stranger(&lab, &switch, group, |b| {
            switch.wait_for_member(group, b, "eth0");
        });
        assert_eq!(seen, 20);
    }
}

pub(crate) fn snooping_with_a_querier_prunes() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    for group in [GROUP_4, GROUP_6] {
        let seen = seen_by_a_stranger(&lab, &switch, group, |b| {
            switch.wait_for_member(group, b, "eth0");
        });
        assert_eq!(seen, 0);
    }
}

pub(crate) fn snooping_ends_when_the_group_is_left() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let member = member(&b, GROUP_4, "eth0");
    switch.wait_for_member(GROUP_4, &b, "eth0");
    let rule = b.count_at(Hook::Prerouting, "ip daddr 239.1.2.3");
    let sender = sender(&a, GROUP_4, "eth0", 1);
    drop(member);
    wait_until("the switch to stop forwarding", || {
        let before = rule.count();
        sender.send_to(b"x", (GROUP_4, PORT)).unwrap();
        let marker = listener(&b, "0.0.0.0");
        send(&a, "marker", "10.0.0.2:5000").unwrap();
        receive(&marker);
        rule.count() == before
    });
}

pub(crate) fn the_version_of_the_querier_is_that_of_its_hosts() {
    for (igmp_version, mld_version, reports) in [
        (
            2,
            1,
            [
                "igmp type membership-report-v2",
                "icmpv6 type mld-listener-report",
            ],
        ),
        (
            3,
            2,
            [
                "igmp type membership-report-v3",
                "icmpv6 type mld2-listener-report",
            ],
        ),
    ] {
        let lab = Lab::new();
        let switch = lab.switch("sw").snooping(Snooping {
            igmp_version,
            mld_version,
            querier: true,
        });
        let a = lab.host("a");
        let queries = [
            "igmp type membership-query",
            "icmpv6 type mld-listener-query",
        ]
        .map(|query| a.count_at(Hook::Prerouting, query));
        a.connect(&switch, "eth0", &["10.0.0.1/24"]);
        for query in queries {
            wait_until("a query", || query.count() > 0);
        }
        for (report, group) in reports.into_iter().zip([GROUP_4, GROUP_6]) {
            let reports = a.count_at(Hook::Output, report);
            let _member = member(&a, group, "eth0");
            wait_until(report, || reports.count() > 0);
            switch.wait_for_member(group, &a, "eth0");
        }
    }
}

pub(crate) fn large_frames_cross() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    for host in [&a, &b] {
        host.set_mtu("eth0", 9000);
    }
    let rule = b.count_at(Hook::Prerouting, "ip frag-off & 0x3fff != 0");
    let socket = listener(&b, "0.0.0.0");
    let payload = "x".repeat(8900);
    send(&a, &payload, "10.0.0.2:5000").unwrap();
    assert_eq!(receive(&socket), payload);
    assert_eq!(rule.count(), 0, "fragments");
}

/// Sends 20 datagrams from `a` to a group that `b` has joined and `c` has not, and tells how many
/// of them came to `c` nevertheless.
fn seen_by_a_stranger(lab: &Lab, switch: &Switch, group: IpAddr, wait: impl FnOnce(&Host)) -> u64 {
    let [a, b, c] = hosts_on(lab, switch, ["a", "b", "c"]);
    let member = member(&b, group, "eth0");
    let family = if group.is_ipv4() { "ip" } else { "ip6" };
    let rule = c.count_at(Hook::Prerouting, &format!("{family} daddr {group}"));
    let marker = listener(&c, "0.0.0.0");
    wait(&b);

    let sender = sender(&a, group, "eth0", 1);
    for number in 0..20 {
        sender
            .send_to(number.to_string().as_bytes(), (group, PORT))
            .unwrap();
    }
    sender.send_to(b"end", (group, PORT)).unwrap();
    assert_eq!(receive_until(&member, "end").len(), 20);
    // What comes after the group's datagrams, on the same way, tells that they are through.
    send(&a, "marker", "10.0.0.3:5000").unwrap();
    receive(&marker);
    rule.count().saturating_sub(1)
}
