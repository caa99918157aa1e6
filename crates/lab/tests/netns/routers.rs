//! Routers: what crosses from one link to another.

use std::net::IpAddr;

use manycast_lab::netns::{Hook, Host, Lab, Snooping, Switch};

use crate::{GROUP_4, GROUP_6, PORT, listener, member, receive, receive_until, send, sender};

pub(crate) fn hop_limit_1_stays_and_2_crosses() {
    let lab = Lab::new();
    let (left, [a, router, b]) = two_links(&lab);
    let neighbour = lab.host("neighbour");
    neighbour.connect(&left, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    for group in [GROUP_4, GROUP_6] {
        router.forward_group(group, "eth0", "eth1");
        let (near, far) = (member(&neighbour, group, "eth0"), member(&b, group, "eth0"));
        for hops in [1, 2, 3] {
            let payload = hops.to_string();
            sender(&a, group, "eth0", hops)
                .send_to(payload.as_bytes(), (group, PORT))
                .unwrap();
        }
        assert_eq!(
            [receive(&near), receive(&near), receive(&near)],
            ["1", "2", "3"]
        );
        assert_eq!([receive(&far), receive(&far)], ["2", "3"]);
    }
}

pub(crate) fn a_group_crosses_switches_that_snoop() {
    let lab = Lab::new();
    let [left, right] =
        ["left", "right"].map(|name| lab.switch(name).snooping(Snooping::default()));
    let [a, router, b] = between(&lab, &left, &right);
    for group in [GROUP_4, GROUP_6] {
        router.forward_group(group, "eth0", "eth1");
        left.wait_for_member(group, &router, "eth0");
        let far = member(&b, group, "eth0");
        b.wait_for_group("eth0", group);
        right.wait_for_member(group, &b, "eth0");
        let sender = sender(&a, group, "eth0", 2);
        sender.send_to(b"across", (group, PORT)).unwrap();
        assert_eq!(receive(&far), "across");
    }
}

pub(crate) fn only_named_groups_cross() {
    let lab = Lab::new();
    let (_left, [a, router, b]) = two_links(&lab);
    for (group, other) in [
        (GROUP_4, "239.9.9.9".parse::<IpAddr>().unwrap()),
        (GROUP_6, "ff15::9999".parse().unwrap()),
    ] {
        router.forward_group(group, "eth0", "eth1");
        let far = member(&b, group, "eth0");
        let stranger = b.count_at(
            Hook::Prerouting,
            &format!(
                "{} daddr {other}",
                if group.is_ipv4() { "ip" } else { "ip6" }
            ),
        );
        let sender = sender(&a, group, "eth0", 9);
        sender.send_to(b"other", (other, PORT)).unwrap();
        sender.send_to(b"end", (group, PORT)).unwrap();
        assert!(receive_until(&far, "end").is_empty());
        assert_eq!(stranger.count(), 0);
    }
}

pub(crate) fn unicast_crosses() {
    let lab = Lab::new();
    let (_left, [a, _router, b]) = two_links(&lab);
    a.add_route("default via 10.0.0.254");
    a.add_route("default via fd00::fe");
    for (any, address) in [("0.0.0.0", "10.0.1.1:5000"), ("::", "[fd01::1]:5000")] {
        let socket = listener(&b, any);
        send(&a, "across", address).unwrap();
        assert_eq!(receive(&socket), "across");
    }
}

/// `a` on one link, `b` on another, and a router between them.
fn two_links(lab: &Lab) -> (Switch, [Host; 3]) {
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let hosts = between(lab, &left, &right);
    (left, hosts)
}

fn between(lab: &Lab, left: &Switch, right: &Switch) -> [Host; 3] {
    let [a, router, b] = [lab.host("a"), lab.router("r"), lab.host("b")];
    a.connect(left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    router.connect(left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(right, "eth1", &["10.0.1.254/24", "fd01::fe/64"]);
    b.connect(right, "eth0", &["10.0.1.1/24", "fd01::1/64"]);
    [a, router, b]
}
