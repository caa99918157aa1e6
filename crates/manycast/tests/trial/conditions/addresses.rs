//! Addresses that do not work everywhere as they are, or ask for something else than is sent.

use super::Part::{Asked, Interfaces, Stream, Zone};
use super::{Condition, HOST};
use crate::scene::Scene;

pub(super) const ALL: &[Condition] = &[
    // What is wrong with an address is no fault where the stream comes nevertheless.
    Condition::new(
        "reserved-group",
        HOST,
        &[Asked, Zone, Stream],
        reserved_group,
    )
    .also(&["reserved-group"]),
    Condition::new("no-zone", HOST, &[Asked, Stream], no_zone)
        .v6()
        .also(&["scope-missing"]),
    Condition::new("no-source", HOST, &[Asked, Stream], no_source).also(&["source-missing"]),
    // Sources are not told to the network, and the stream comes nevertheless.
    Condition::new("old-version", HOST, &[Asked, Stream], old_version).also(&["old-querier"]),
    Condition::new(
        "reserved-group-unsent",
        HOST,
        &[Asked, Zone, Stream],
        reserved_group_unsent,
    )
    .right(&["reserved-group", "not-arriving"]),
    Condition::new("no-source-unsent", HOST, &[Asked, Stream], no_source_unsent)
        .right(&["source-missing", "not-arriving"]),
    Condition::new("another-source", HOST, &[Asked, Stream], another_source)
        .right(&["wrong-source"]),
    Condition::new(
        "another-interface",
        HOST,
        &[Asked, Zone, Interfaces],
        another_interface,
    )
    .right(&["joined-on-other-interface"]),
];

fn set_group(scene: &mut Scene, group: &str) {
    group.clone_into(&mut scene.asked.group);
    group.clone_into(&mut scene.stream().group);
}

fn reserved_group(scene: &mut Scene) {
    let group = if scene.v6 {
        scene.asked.zone = Some("eth0".to_owned());
        "ff02::1"
    } else {
        scene.pick(&["224.0.0.5", "224.0.0.1"])
    };
    set_group(scene, group);
}

fn no_zone(scene: &mut Scene) {
    set_group(scene, "ff12::77");
}

fn source_specific(scene: &mut Scene) {
    let group = scene.by_version("232.1.1.1", "ff35::1");
    set_group(scene, group);
}

fn no_source(scene: &mut Scene) {
    source_specific(scene);
}

fn reserved_group_unsent(scene: &mut Scene) {
    reserved_group(scene);
    scene.sent = None;
}

fn no_source_unsent(scene: &mut Scene) {
    no_source(scene);
    scene.sent = None;
}

fn another_source(scene: &mut Scene) {
    if scene.pick(&[true, false]) {
        source_specific(scene);
    }
    let source = scene.by_version("10.0.0.9", "fd00::9");
    scene.asked.source = Some(source.to_owned());
}

fn another_interface(scene: &mut Scene) {
    scene.second_interface("eth1", 1);
    scene.asked.zone = Some("eth1".to_owned());
}

fn old_version(scene: &mut Scene) {
    source_specific(scene);
    scene.asked.source = Some(scene.far_address().to_owned());
    let (setting, version) = scene.by_version(
        ("net.ipv4.conf.all.force_igmp_version", "2"),
        ("net.ipv6.conf.all.force_mld_version", "1"),
    );
    scene.b.sysctl(setting, version);
}
