//! What the rules of the examined host drop or rewrite.

use manycast_lab::netns::Hook;

use super::Part::{Asked, Interfaces, Noise, Rules, Stream};
use super::{BARE, Condition, HOST, RECEIVING, RECEIVING_OR_TWO};
use crate::draw::View;
use crate::scene::{Scene, address};
use crate::stream;

pub(super) const ALL: &[Condition] = &[
    Condition::new("input-drop", RECEIVING_OR_TWO, &[Rules], input_drop).right(&["firewall-drops"]),
    Condition::new(
        "prerouting-drop",
        RECEIVING_OR_TWO,
        &[Rules],
        prerouting_drop,
    )
    .right(&["firewall-drops"]),
    Condition::new("ingress-drop", RECEIVING, &[Rules], ingress_drop).right(&["firewall-drops"]),
    Condition::new("uncounted-drop", RECEIVING, &[Rules], uncounted_drop)
        .right(&["firewall-drops"]),
    Condition::new(
        "drop-of-the-source",
        RECEIVING,
        // Of a group of the link, the source is another one.
        &[Rules, Asked],
        drop_of_the_source,
    )
    .right(&["firewall-drops"]),
    Condition::new("drop-of-a-part", RECEIVING, &[Rules], drop_of_a_part)
        .right(&["firewall-drops"])
        .unseen_by_user(),
    Condition::new(
        "drop-of-one-of-two",
        HOST,
        &[Rules, Noise],
        drop_of_one_of_two,
    )
    .right(&["firewall-drops"])
    .unseen_by_user(),
    Condition::new("policy-drop", RECEIVING, &[Rules], policy_drop).right(&["firewall-drops"]),
    Condition::new("refused-by-firewalld", RECEIVING, &[Rules], refused).right(&["firewall-drops"]),
    Condition::new("redirected-port", RECEIVING, &[Rules], redirected_port)
        .right(&["nat-redirect"]),
    Condition::new(
        "no-reverse-route",
        RECEIVING,
        &[Rules, Stream],
        no_reverse_route,
    )
    .v6()
    .right(&["firewall-drops", "reverse-path-filter"]),
    Condition::new("bridge-drop", RECEIVING, &[Rules, Interfaces], bridge_drop)
        .right(&["firewall-drops"]),
    Condition::new("all-groups-dropped", BARE, &[Rules], all_groups_dropped)
        .right(&["firewall-drops"]),
];

fn drop_at(scene: &mut Scene, hook: Hook, matching: &str) {
    let rule = scene.b.drop_at(hook, matching);
    scene.hold(rule);
}

fn input_drop(scene: &mut Scene) {
    let group = format!("{} daddr {}", scene.family(), scene.asked.group);
    // Two ends ask each other by unicast, which has to pass.
    let all = if scene.view == View::TwoEnds {
        "udp dport 5000"
    } else {
        "meta l4proto udp"
    };
    let what = scene.pick(&["udp dport 5000", all, &group]);
    drop_at(scene, Hook::Input, what);
}

fn prerouting_drop(scene: &mut Scene) {
    drop_at(scene, Hook::Prerouting, "udp dport 5000");
}

fn ingress_drop(scene: &mut Scene) {
    let counter = scene.pick(&["", "counter"]);
    let what = scene.pick(&[
        "udp dport 5000",
        "ether saddr 02:00:00:00:01:01 udp dport 5000",
    ]);
    scene.b.nft(&format!(
        "table netdev t {{ chain c {{
            type filter hook ingress device eth0 priority 0
            {what} {counter} drop
        }}
        }}"
    ));
}

fn uncounted_drop(scene: &mut Scene) {
    scene.b.nft(
        "table inet filter { chain input {
            type filter hook input priority 0
            udp dport 5000 drop
            udp dport 5002 drop
            tcp dport 5000 drop
        }
        }",
    );
}

fn drop_of_the_source(scene: &mut Scene) {
    let source = format!("{} saddr {}", scene.family(), scene.far_address());
    let hook = scene.pick(&[Hook::Input, Hook::Prerouting]);
    drop_at(scene, hook, &format!("{source} udp dport 5000"));
}

fn drop_of_a_part(scene: &mut Scene) {
    let of = scene.pick(&[2, 3, 10]);
    drop_at(
        scene,
        Hook::Input,
        &format!("udp dport 5000 numgen inc mod {of} != 0"),
    );
}

/// What another host sends to the group too.
fn drop_of_one_of_two(scene: &mut Scene) {
    let other = scene.lab.host("c");
    other.connect(&scene.switch, "eth0", &["10.0.0.3/24", "fd00::3/64"]);
    let source = scene.by_version("ip saddr 10.0.0.3", "ip6 saddr fd00::3");
    drop_at(scene, Hook::Prerouting, &format!("{source} udp dport 5000"));
    let to = address(&format!("{}%eth0", scene.asked.group), 5000);
    let stream = stream::Stream::start(&other, &to);
    scene.hold((stream, other));
}

fn policy_drop(scene: &mut Scene) {
    scene.b.nft(
        "table inet filter { chain input {
            type filter hook input priority 0; policy drop
            meta l4proto { igmp, icmpv6 } accept
        }
        }",
    );
}

fn refused(scene: &mut Scene) {
    scene.b.nft(
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
    );
}

/// The datagrams come to another port than they were sent to, or to another host.
fn redirected_port(scene: &mut Scene) {
    let to = scene.by_version("dnat to 10.0.0.2:6000", "dnat to [fd00::2]:6000");
    let to = scene.pick(&["redirect to :6000", to]);
    let family = scene.family();
    scene.b.nft(&format!(
        "table {family} nat {{ chain prerouting {{
            type nat hook prerouting priority dstnat
            udp dport 5000 {to}
        }}
        }}"
    ));
}

/// As firewalld does it for IPv6, since the kernel has no reverse-path filter there.
fn no_reverse_route(scene: &mut Scene) {
    scene.a.output("ip address add fd09::77/128 dev eth0 nodad");
    if scene.sent.is_some() {
        scene.stream().from = Some("fd09::77".to_owned());
    }
    scene.b.nft(
        "table inet firewalld { chain raw_PREROUTING {
            type filter hook prerouting priority -290; policy accept
            icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
            meta nfproto ipv6 fib saddr . mark . iif oif missing drop
        }
        }",
    );
}

/// The interface is a port of a bridge of the host, whose rules drop.
fn bridge_drop(scene: &mut Scene) {
    scene.bridge(0);
    scene.b.nft(
        "table bridge t { chain c {
            type filter hook input priority 0
            udp dport 5000 counter drop
        }
        }",
    );
}

fn all_groups_dropped(scene: &mut Scene) {
    drop_at(scene, Hook::Input, "meta pkttype multicast");
}
