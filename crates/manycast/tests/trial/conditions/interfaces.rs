//! Interfaces that cannot receive groups, and routes that are not there.

use super::Part::{Asked, Interfaces, Routes, Zone};
use super::{BARE, Condition, HOST, HOST_OR_BARE};
use crate::scene::Scene;

pub(super) const ALL: &[Condition] = &[
    Condition::new(
        "interface-down",
        HOST_OR_BARE,
        &[Interfaces, Routes],
        interface_down,
    )
    .right(&["interface-down"])
    .also(&["not-arriving", "no-route"]),
    Condition::new(
        "other-interface-down",
        HOST,
        &[Interfaces, Asked],
        other_interface_down,
    )
    .right(&["interface-down"]),
    Condition::new("no-carrier", HOST, &[Interfaces], no_carrier)
        .right(&["interface-down"])
        .also(&["not-arriving"]),
    Condition::new(
        "no-multicast-flag",
        HOST,
        &[Interfaces, Asked],
        no_multicast_flag,
    )
    .right(&["interface-not-multicast"]),
    Condition::new("ipv6-off", HOST, &[Interfaces], ipv6_off)
        .v6()
        .right(&["ipv6-off"])
        .also(&["not-arriving"]),
    Condition::new(
        "twin-interfaces",
        HOST,
        &[Interfaces, Zone],
        twin_interfaces,
    )
    .right(&["duplicate-interface"]),
    Condition::new("no-group-route", BARE, &[Routes], no_group_route).right(&["no-route"]),
];

fn interface_down(scene: &mut Scene) {
    scene.b.link_down("eth0");
}

fn other_interface_down(scene: &mut Scene) {
    scene.second_interface("eth1", 1);
    scene.b.link_down("eth1");
    scene.asked.zone = Some("eth1".to_owned());
}

fn no_carrier(scene: &mut Scene) {
    scene.b.unplug("eth0");
}

fn no_multicast_flag(scene: &mut Scene) {
    scene.second_interface("eth1", 1);
    scene.b.output("ip link set eth1 multicast off");
    scene.asked.zone = Some("eth1".to_owned());
}

fn ipv6_off(scene: &mut Scene) {
    scene.b.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1");
    if scene.pick(&[true, false]) {
        scene.asked.zone = Some("eth0".to_owned());
    }
}

fn twin_interfaces(scene: &mut Scene) {
    scene
        .b
        .connect(&scene.switch, "eth1", &["10.0.0.22/24", "fd00::22/64"]);
}

fn no_group_route(scene: &mut Scene) {
    scene.b.output("ip route del 224.0.0.0/4 dev eth0");
}
