//! What is lost before a membership could matter.

use std::time::Duration;

use manycast_lab::netns::python::{FORGED, QUERY, QUERY_6, privileged_program};
use manycast_lab::netns::{Hook, Pick, Snooping, wait_until};

use super::Part::{Asked, Beside, Interfaces, Routes, Rules, Stream, Switch};
use super::{Condition, HOST, RECEIVING, RECEIVING_OR_TWO, TWO_ENDS};
use crate::scene::{QUERIER, Scene};

pub(super) const ALL: &[Condition] = &[
    Condition::new("nothing-sent", RECEIVING, &[Stream], nothing_sent)
        .right(&["not-arriving", "nothing-sent"]),
    Condition::new("nobody-sends", TWO_ENDS, &[Stream], nothing_sent)
        .right(&["nothing-sent"])
        .between(),
    Condition::new(
        "lost-on-the-way",
        RECEIVING_OR_TWO,
        &[Switch],
        lost_on_the_way,
    )
    .right(&["not-arriving"])
    .between(),
    Condition::new(
        "lost-in-part-of-a-rate",
        RECEIVING,
        &[Switch, Stream],
        lost_in_part_of_a_rate,
    )
    .right(&["loss"]),
    // Nobody who hears a part of a stream knows how much was sent, unless it is told.
    Condition::new("lost-in-part", RECEIVING, &[Switch], lost_in_part)
        .right(&["loss", "not-arriving"])
        // Of large datagrams, pieces are lost.
        .allowed(&["fragmentation"])
        .unseen(),
    Condition::new(
        "strict-filter",
        RECEIVING,
        &[Stream, Routes, Interfaces],
        strict_filter,
    )
    .v4()
    .right(&["reverse-path-filter"]),
    Condition::new(
        "loose-filter",
        RECEIVING,
        &[Stream, Routes, Interfaces],
        loose_filter,
    )
    .v4()
    .right(&["reverse-path-filter"]),
    Condition::new("impossible-source", HOST, &[Stream], impossible_source)
        .v4()
        .right(&["martian-source"]),
    Condition::new("wrong-checksum", HOST, &[Stream], wrong_checksum).right(&["bad-checksum"]),
    Condition::new("tagged-frames", HOST, &[Stream], tagged_frames).right(&["foreign-frame"]),
    Condition::new("frames-to-another", HOST, &[Stream], frames_to_another)
        .right(&["foreign-frame"]),
    Condition::new("another-port", RECEIVING, &[Stream], another_port).right(&["wrong-port"]),
    Condition::new(
        "another-port-in-use",
        HOST,
        &[Stream, Beside],
        another_port_in_use,
    )
    .right(&["wrong-port"]),
    Condition::new("no-fragments", HOST, &[Stream], no_fragments).right(&["fragmentation"]),
    Condition::new(
        "frames-above-the-mtu",
        HOST,
        &[Stream],
        frames_above_the_mtu,
    )
    .right(&["interface-drops", "fragmentation"]),
    Condition::new(
        "pieces-dropped-here",
        HOST,
        &[Stream, Rules],
        pieces_dropped_here,
    )
    .right(&["fragmentation", "firewall-drops"]),
    Condition::new(
        "no-reassembly-memory",
        HOST,
        &[Stream],
        no_reassembly_memory,
    )
    .right(&["fragmentation"]),
    // Some groups are flooded, so these are for the usual one.
    Condition::new(
        "reports-blocked",
        RECEIVING,
        &[Rules, Switch, Asked],
        reports_blocked,
    )
    .right(&["firewall-drops-igmp"])
    .also(&["not-arriving"])
    .snooping(QUERIER),
    Condition::new(
        "queries-blocked",
        HOST,
        &[Rules, Switch, Asked],
        queries_blocked,
    )
    .right(&["firewall-drops-igmp"])
    .allowed(&["no-querier"])
    .snooping(QUERIER),
    Condition::new("querier-gone", HOST, &[Switch, Asked], querier_gone)
        .right(&["no-querier"])
        .snooping(Snooping {
            querier: false,
            ..QUERIER
        }),
    Condition::new("blocked-by-ipsec", RECEIVING, &[Rules], blocked_by_ipsec)
        .right(&["ipsec-drops"]),
    Condition::new("redirected-by-tc", HOST, &[Interfaces], redirected_by_tc)
        .right(&["xdp-or-tc"])
        .also(&["interface-down"]),
];

fn nothing_sent(scene: &mut Scene) {
    scene.sent = None;
}

fn lost_on_the_way(scene: &mut Scene) {
    scene.lose_sent("");
}

fn lost_in_part_of_a_rate(scene: &mut Scene) {
    lost_in_part(scene);
    scene.expected_rate = Some(200.0);
}

fn lost_in_part(scene: &mut Scene) {
    let percent = scene.pick(&[60, 80, 90]);
    scene.lose_sent(&Pick::Percent(percent).to_string());
}

/// The way back to the source leads by another interface.
fn strict_filter(scene: &mut Scene) {
    scene.second_interface("eth1", 9);
    scene.a.output("ip address add 10.9.0.77/32 dev eth0");
    let scope = scene.pick(&["all", "eth0"]);
    scene
        .b
        .sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "1");
    scene.stream().from = Some("10.9.0.77".to_owned());
}

/// No way leads back to the source.
fn loose_filter(scene: &mut Scene) {
    scene.a.output("ip address add 10.9.0.77/32 dev eth0");
    let (scope, mode) = scene.pick(&[("all", "2"), ("eth0", "2"), ("eth0", "1")]);
    scene
        .b
        .sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), mode);
    scene.stream().from = Some("10.9.0.77".to_owned());
}

/// Sends frames that no socket would, in place of the stream.
fn forge(scene: &mut Scene, source: &str, rest: &str) {
    let group = scene.asked.group.clone();
    scene.far_program(&format!("{FORGED}\nforge('{source}', '{group}', {rest})"));
    scene.sent = None;
}

fn impossible_source(scene: &mut Scene) {
    let source = scene.pick(&["0.0.0.0", "10.0.0.2", "127.0.0.5"]);
    forge(scene, source, "None");
}

fn wrong_checksum(scene: &mut Scene) {
    forge(scene, scene.far_address(), "0xdead");
}

fn tagged_frames(scene: &mut Scene) {
    let vlan = scene.pick(&[5, 100]);
    forge(scene, scene.far_address(), &format!("None, vlan={vlan}"));
}

fn frames_to_another(scene: &mut Scene) {
    let to = "bytes([2, 0, 0, 0, 9, 9])";
    forge(scene, scene.far_address(), &format!("None, to={to}"));
}

fn another_port(scene: &mut Scene) {
    scene.stream().port = 5001;
}

fn another_port_in_use(scene: &mut Scene) {
    scene.stream().port = 5001;
    let family = scene.by_version("AF_INET", "AF_INET6");
    let group = scene.asked.group.clone();
    scene.beside(&format!(
        "s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('{group}', 5001))
join(s, '{group}', 'eth0')
import threading
threading.Thread(target=lambda: [s.recv(2048) for _ in iter(int, 1)], daemon=True).start()"
    ));
}

fn no_fragments(scene: &mut Scene) {
    scene.stream().size = 4000;
    scene.lose_fragments();
}

fn frames_above_the_mtu(scene: &mut Scene) {
    scene.a.set_mtu("eth0", 9000);
    scene.stream().size = 4000;
}

/// The host's own rules take all pieces but the first, before IP has them.
fn pieces_dropped_here(scene: &mut Scene) {
    scene.stream().size = scene.pick(&[1600, 4000]);
    let later = scene.by_version("ip frag-off & 0x1fff != 0", "frag frag-off != 0");
    let counter = scene.pick(&["", "counter"]);
    scene.b.nft(&format!(
        "table netdev pieces {{ chain c {{
            type filter hook ingress device eth0 priority 0
            {later} {counter} drop
        }}
        }}"
    ));
}

fn no_reassembly_memory(scene: &mut Scene) {
    scene.stream().size = 4000;
    let name = scene.by_version("net.ipv4.ipfrag", "net.ipv6.ip6frag");
    scene.b.sysctl(&format!("{name}_low_thresh"), "0");
    scene.b.sysctl(&format!("{name}_high_thresh"), "1");
}

fn reports_blocked(scene: &mut Scene) {
    let reports = "icmpv6 type { mld-listener-report, mld2-listener-report }";
    for matching in ["meta l4proto igmp", reports] {
        let rule = scene.b.drop_at(Hook::Output, matching);
        scene.hold(rule);
    }
}

fn queries_blocked(scene: &mut Scene) {
    for matching in [
        "igmp type membership-query",
        "icmpv6 type mld-listener-query",
    ] {
        let rule = scene.b.drop_at(Hook::Input, matching);
        scene.hold(rule);
    }
    scene.duration = Duration::from_secs(8);
}

/// The switch has heard a querier once, and forgets memberships after three seconds.
fn querier_gone(scene: &mut Scene) {
    let (query, seen) = scene.by_version(
        (QUERY, "igmp type membership-query"),
        (QUERY_6, "icmpv6 type mld-listener-query"),
    );
    let heard = scene.b.count_at(Hook::Prerouting, seen);
    privileged_program(&scene.a, query).close_stdin();
    wait_until("the query to be heard", || heard.count() > 0);
    heard.remove();
    scene.duration = Duration::from_secs(8);
}

/// A policy of IPsec lets in nothing, or what is encrypted alone; its counters are in `/proc/net/xfrm_stat`.
fn blocked_by_ipsec(scene: &mut Scene) {
    let any = scene.by_version("0.0.0.0/0", "::/0");
    let group = scene.asked.group.clone();
    let bits = scene.by_version(32, 128);
    let action = scene.pick(&["action block", "tmpl proto esp mode transport"]);
    scene.b.output(&format!(
        "ip xfrm policy add src {any} dst {group}/{bits} proto udp dir in {action}"
    ));
}

/// A filter of `tc` takes the datagrams away where they come in, before the firewall and IP: they go
/// to an interface whose other end is down.
fn redirected_by_tc(scene: &mut Scene) {
    scene.b.output("ip link add stub type veth peer name stub1");
    scene.b.output("ip link set stub up");
    scene.b.output("tc qdisc add dev eth0 clsact");
    let matching = scene.by_version(
        "protocol ip u32 match ip dport 5000 0xffff",
        "protocol ipv6 u32 match ip6 dport 5000 0xffff",
    );
    scene.b.output(&format!(
        "tc filter add dev eth0 ingress {matching} action mirred egress redirect dev stub"
    ));
}
