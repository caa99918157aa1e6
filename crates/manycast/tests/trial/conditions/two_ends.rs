//! What is wrong on the far host, or on the way between two.

use manycast_lab::netns::{Hook, Pick};

use super::Part::{Asked, Far, Interfaces, Routes, Rules, Stream, Switch};
use super::{Condition, TWO_ENDS};
use crate::scene::Scene;

pub(super) const ALL: &[Condition] = &[
    Condition::new("far-input-drop", TWO_ENDS, &[Far], far_input_drop)
        .right(&["firewall-drops"])
        .far(),
    Condition::new("far-prerouting-drop", TWO_ENDS, &[Far], far_prerouting_drop)
        .right(&["firewall-drops"])
        .far(),
    Condition::new("far-output-drop", TWO_ENDS, &[Far], far_output_drop)
        .right(&["firewall-drops"])
        .also(&["not-arriving"])
        .far(),
    Condition::new("output-drop", TWO_ENDS, &[Rules], output_drop)
        .right(&["firewall-drops"])
        .also(&["not-arriving"]),
    Condition::new(
        "far-egress-elsewhere",
        TWO_ENDS,
        &[Far],
        far_egress_elsewhere,
    )
    .right(&["egress-other-interface"])
    .far(),
    Condition::new("far-port-in-use", TWO_ENDS, &[Far], far_port_in_use)
        .v4()
        .right(&["port-in-use"])
        .far(),
    Condition::new(
        "far-no-multicast-flag",
        TWO_ENDS,
        &[Far],
        far_no_multicast_flag,
    )
    .v4()
    .right(&["interface-not-multicast"])
    .far(),
    Condition::new(
        "no-fragments-between",
        TWO_ENDS,
        &[Switch],
        no_fragments_between,
    )
    .right(&["fragmentation"])
    .between(),
    // What is small comes nevertheless, as long as it is sent.
    Condition::new(
        "no-fragments-of-others",
        TWO_ENDS,
        &[Switch, Stream],
        no_fragments_of_others,
    )
    .also(&["fragmentation"]),
    Condition::new(
        "routed-with-hops",
        TWO_ENDS,
        &[Switch, Far, Interfaces, Routes, Stream],
        routed_with_hops,
    )
    .also(&["hop-limit", "not-arriving"])
    .routed(),
    Condition::new(
        "asked-source-rewritten",
        TWO_ENDS,
        &[Far, Rules, Asked, Stream],
        asked_source_rewritten,
    )
    .right(&["wrong-source"])
    .between(),
    Condition::new(
        "hop-limit",
        TWO_ENDS,
        &[Switch, Far, Interfaces, Routes],
        hop_limit,
    )
    .right(&["hop-limit"])
    .also(&["not-arriving"])
    .between()
    .routed(),
    Condition::new("far-egress-drop", TWO_ENDS, &[Far], far_egress_drop)
        .right(&["firewall-drops", "loss"])
        .also(&["not-arriving"])
        .far(),
    Condition::new("egress-drop", TWO_ENDS, &[Rules], egress_drop)
        .right(&["firewall-drops", "loss"])
        .also(&["not-arriving"]),
    // Whoever asked for no source is not hurt by it.
    Condition::new(
        "far-source-rewritten",
        TWO_ENDS,
        &[Far, Rules],
        far_source_rewritten,
    )
    .allowed(&["wrong-source", "nat-redirect", "not-arriving", "loss"]),
    Condition::new("lost-on-the-way-in-part", TWO_ENDS, &[Switch], lost_in_part)
        .right(&["loss", "not-arriving"])
        .between(),
];

fn far_drop(scene: &mut Scene, hook: Hook) {
    let rule = scene.a.drop_at(hook, "udp dport 5000");
    scene.hold(rule);
}

fn far_input_drop(scene: &mut Scene) {
    far_drop(scene, Hook::Input);
}

fn far_prerouting_drop(scene: &mut Scene) {
    far_drop(scene, Hook::Prerouting);
}

fn far_output_drop(scene: &mut Scene) {
    far_drop(scene, Hook::Output);
}

fn output_drop(scene: &mut Scene) {
    let rule = scene.b.drop_at(Hook::Output, "udp dport 5000");
    scene.hold(rule);
}

fn far_egress_elsewhere(scene: &mut Scene) {
    let other = scene.lab.switch("other");
    scene
        .a
        .connect(&other, "eth1", &["10.2.0.1/24", "fd02::1/64"]);
    scene.hold(other);
    scene.a.add_route("224.0.0.0/4 dev eth1");
    scene
        .a
        .output("ip -6 route add multicast ff15::/16 dev eth1 table local metric 1");
    // What is sent by name of the interface would arrive.
    scene.sent = None;
}

fn far_port_in_use(scene: &mut Scene) {
    scene.far_program("s = udp('', share=False)");
}

fn far_no_multicast_flag(scene: &mut Scene) {
    scene.a.output("ip link set eth0 multicast off");
    scene.sent = None;
}

fn no_fragments_between(scene: &mut Scene) {
    scene.lose_fragments();
    scene.sent = None;
}

fn no_fragments_of_others(scene: &mut Scene) {
    scene.lose_fragments();
}

/// The stream crosses the router, and what two ends try first does not.
fn routed_with_hops(scene: &mut Scene) {
    let group = scene.asked.group.parse().expect("a group of the case");
    scene.router().forward_group(group, "eth0", "eth1");
    scene.stream().hops = 8;
}

/// The group is asked for from the far host, and comes from another address.
fn asked_source_rewritten(scene: &mut Scene) {
    let group = scene.by_version("232.1.1.1", "ff35::1").to_owned();
    scene.asked.source = Some(scene.far_address().to_owned());
    scene.stream().group.clone_from(&group);
    scene.asked.group = group;
    far_source_rewritten(scene);
}

/// A router forwards the group from `a` to `b`, and what is sent has a hop limit of 1.
fn hop_limit(scene: &mut Scene) {
    let group = scene.asked.group.parse().expect("a group of the case");
    scene.router().forward_group(group, "eth0", "eth1");
    scene.sent = None;
}

/// As a switch does with its storm control.
fn lost_in_part(scene: &mut Scene) {
    let percent = scene.pick(&[50, 80]);
    scene.lose_sent(&Pick::Percent(percent).to_string());
}

/// Those who send there are told of each that is lost, as if a queue were full (`ENOBUFS`).
fn far_egress_drop(scene: &mut Scene) {
    let rules = egress_rules(scene);
    scene.a.nft(&rules);
}

/// The same of what this host sends.
fn egress_drop(scene: &mut Scene) {
    let rules = egress_rules(scene);
    scene.b.nft(&rules);
}

fn egress_rules(scene: &mut Scene) -> String {
    let (family, group) = (scene.family(), scene.asked.group.clone());
    let pick = scene.pick(&[Pick::All, Pick::Percent(50)]);
    format!(
        "table netdev way {{ chain c {{
            type filter hook egress device eth0 priority 0
            {family} daddr {group} {pick} drop
        }}
        }}"
    )
}

/// The group comes from another address than the far host has told.
fn far_source_rewritten(scene: &mut Scene) {
    let (own, other) = scene.by_version(
        ("10.0.0.77/24", "10.0.0.77"),
        ("fd00::77/64 nodad", "fd00::77"),
    );
    scene.a.output(&format!("ip address add dev eth0 {own}"));
    let (family, group) = (scene.family(), scene.asked.group.clone());
    scene.a.nft(&format!(
        "table {family} nat {{ chain postrouting {{
            type nat hook postrouting priority srcnat
            {family} daddr {group} snat to {other}
        }}
        }}"
    ));
}
