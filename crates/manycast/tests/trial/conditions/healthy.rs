//! Hosts that are odd, and healthy.

use std::time::Duration;

use manycast_lab::netns::Snooping;
use manycast_lab::netns::python::{BROADCASTS, FORGED};

use super::Part::{
    Asked, Beside, Choice, Interfaces, Noise, Owner, Program, Routes, Rules, Stream, Switch,
};
use super::{BARE, Condition, HOST, PROGRAM, RECEIVING, RECEIVING_OR_TWO};
use crate::draw::View::{self, Bare, Host, TwoEnds};
use crate::scene::{QUERIER, Scene, Sent};
use crate::stream::Flood;

const ANY: &[View] = &[Host, View::Program, TwoEnds, Bare];

pub(super) const ALL: &[Condition] = &[
    Condition::new(
        "default-drop-admits",
        RECEIVING_OR_TWO,
        &[Rules],
        default_drop_admits,
    ),
    Condition::new("default-drop", BARE, &[Rules], default_drop).allowed(&["firewall-drops"]),
    Condition::new("firewalld-admits", RECEIVING, &[Rules], firewalld_admits),
    Condition::new(
        "other-port-dropped",
        RECEIVING,
        &[Rules, Noise],
        other_port_dropped,
    )
    .also(&["wrong-port"]),
    Condition::new(
        "ipv6-alone",
        &[Host, View::Program, Bare],
        &[Routes, Interfaces],
        ipv6_alone,
    )
    .v6(),
    Condition::new(
        "more-interfaces",
        ANY,
        &[Interfaces, Routes],
        more_interfaces,
    ),
    Condition::new(
        "spare-interface-down",
        RECEIVING,
        &[Interfaces],
        spare_interface_down,
    )
    .also(&["interface-down"]),
    Condition::new("bridged", RECEIVING, &[Interfaces], bridged),
    Condition::new("forwards", RECEIVING, &[Interfaces, Routes], forwards),
    Condition::new(
        "fed-by-another",
        PROGRAM,
        &[Program, Beside, Interfaces],
        fed_by_another,
    )
    .also(&["not-joined"]),
    Condition::new("second-address", ANY, &[Interfaces], second_address),
    Condition::new("container", ANY, &[Beside], container).also(&["container-network"]),
    Condition::new(
        "strict-filter-on-link",
        RECEIVING,
        &[Routes],
        strict_filter_on_link,
    )
    .v4(),
    Condition::new("noise", RECEIVING, &[Noise, Beside], noise),
    // Where nothing else of the group comes, these may be what is meant.
    Condition::new("tagged-noise", RECEIVING, &[Noise, Switch], tagged_noise)
        .allowed(&["foreign-frame"]),
    Condition::new("foreign-noise", RECEIVING, &[Noise, Routes], foreign_noise).v4(),
    Condition::new("broken-noise", RECEIVING, &[Noise], broken_noise),
    Condition::new("broadcasts", RECEIVING, &[Noise], broadcasts).v4(),
    Condition::new("slow-stream", RECEIVING, &[Stream], slow_stream),
    // A host that hears nothing while it watches cannot know better, but it has no proof.
    Condition::new("sparse-stream", &[Host, TwoEnds], &[Stream], sparse_stream).allowed(&[
        "not-arriving",
        "nothing-sent",
        "foreign-frame",
        // Beside a stream to another port.
        "wrong-port",
    ]),
    Condition::new("large-datagrams", RECEIVING, &[Stream], large_datagrams),
    Condition::new("own-stream", HOST, &[Stream, Interfaces], own_stream),
    Condition::new("source-specific", HOST, &[Stream, Asked], source_specific).snooping(QUERIER),
    Condition::new("snooping-switch", ANY, &[Switch], |_| {}).snooping(QUERIER),
    Condition::new("old-querier", RECEIVING, &[Switch], |_| {})
        .snooping(Snooping {
            igmp_version: 2,
            mld_version: 1,
            ..QUERIER
        })
        .also(&["old-querier"]),
    Condition::new("another-member", HOST, &[Beside], another_member),
    Condition::new(
        "another-on-the-port",
        RECEIVING,
        &[Beside, Interfaces],
        another_on_the_port,
    )
    // Of the other program, where the port is asked for.
    .also(&["bound-to-unicast", "bound-to-other-group", "not-joined"]),
    Condition::new("many-groups", HOST, &[Beside], many_groups).also(&["too-many-groups"]),
    Condition::new("program-of-another", PROGRAM, &[Owner], program_of_another),
    Condition::new("asked-by-port", PROGRAM, &[Owner, Choice], asked_by_port),
    Condition::new(
        "bound-to-the-group",
        PROGRAM,
        &[Program],
        bound_to_the_group,
    ),
    Condition::new("both-versions", PROGRAM, &[Program], both_versions).v4(),
    Condition::new(
        "port-not-shared",
        PROGRAM,
        &[Program, Beside],
        port_not_shared,
    )
    .also(&["port-in-use"]),
    Condition::new(
        "wants-a-large-buffer",
        PROGRAM,
        &[Program],
        wants_a_large_buffer,
    )
    .also(&["receive-buffer-capped"])
    .allowed(&["receive-buffer-capped"]),
];

/// It drops what it does not know, and the group is known to it.
fn default_drop_admits(scene: &mut Scene) {
    let (family, group) = (scene.family(), scene.asked.group.clone());
    let far = scene.far_address();
    let group = format!("{family} daddr {group} udp dport 5000 accept");
    let source = format!("{family} saddr {far} accept");
    let admits = scene.pick(&[&*group, &*source, "udp dport 5000 accept"]);
    // Two ends ask each other by unicast.
    scene.b.nft(&format!(
        "table inet filter {{ chain input {{
            type filter hook input priority 0; policy drop
            ct state {{ established, related }} accept
            meta l4proto {{ igmp, icmp, icmpv6 }} accept
            udp dport 49366 accept
            {admits}
        }}
        }}"
    ));
}

/// What a host by itself is not told: which groups it lets in.
fn default_drop(scene: &mut Scene) {
    scene.b.nft(
        "table inet filter { chain input {
            type filter hook input priority 0; policy drop
            ct state { established, related } accept
            meta l4proto { igmp, icmp, icmpv6 } accept
            ip daddr 239.1.2.3 udp dport 5000 accept
            ip6 daddr ff15::1234 udp dport 5000 accept
        }
        }",
    );
}

fn firewalld_admits(scene: &mut Scene) {
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
                udp dport 5000 counter accept
            }
        }",
    );
}

/// A stream beside the one that is asked about.
fn other_stream(scene: &Scene, group: &str, port: u16) -> Sent {
    Sent {
        group: group.to_owned(),
        port,
        size: 64,
        pause: Duration::from_millis(5),
        from: None,
        hops: 1,
        by_b: scene.sent.as_ref().is_some_and(|sent| sent.by_b),
    }
}

/// As much is dropped of another stream as comes of this one.
fn other_port_dropped(scene: &mut Scene) {
    scene.b.nft(
        "table inet filter { chain input {
            type filter hook input priority 0
            udp dport 5009 counter drop
        }
        }",
    );
    let group = scene.asked.group.clone();
    let stream = scene.start(&other_stream(scene, &group, 5009));
    scene.hold(stream);
}

fn ipv6_alone(scene: &mut Scene) {
    scene.b.output("ip -4 address flush dev eth0");
}

fn more_interfaces(scene: &mut Scene) {
    scene.second_interface("eth1", 3);
    if scene.pick(&[true, false]) {
        scene.second_interface("eth2", 4);
    }
    // Between two ends it would be the wrong way to the far host's group.
    if scene.view != TwoEnds && scene.pick(&[true, false]) {
        scene.b.add_route("default via 10.3.0.254");
    }
}

fn spare_interface_down(scene: &mut Scene) {
    scene.second_interface("eth1", 3);
    scene.b.link_down("eth1");
}

fn bridged(scene: &mut Scene) {
    let snooping = scene.pick(&[0, 1]);
    scene.bridge(snooping);
}

/// It forwards the group by another interface, where it is joined too.
fn forwards(scene: &mut Scene) {
    scene.second_interface("eth1", 3);
    scene.b.sysctl("net.ipv4.ip_forward", "1");
    scene.b.sysctl("net.ipv6.conf.all.forwarding", "1");
    let group = scene.asked.group.parse().expect("a group of the case");
    scene.b.forward_group(group, "eth0", "eth1");
    if let Some(sent) = &mut scene.sent {
        sent.hops = 8;
    }
}

fn second_address(scene: &mut Scene) {
    let address = scene.pick(&["10.0.0.22/24", "10.7.7.7/24", "169.254.7.7/16"]);
    scene
        .b
        .output(&format!("ip address add {address} dev eth0"));
    scene.b.output("ip address add fd00::22/64 dev eth0 nodad");
}

/// `/run` is the lab's own.
fn container(_scene: &mut Scene) {
    std::fs::write("/run/.containerenv", "").expect("the lab's own /run can be written to");
}

fn strict_filter_on_link(scene: &mut Scene) {
    let mode = scene.pick(&["1", "2"]);
    scene.b.sysctl("net.ipv4.conf.all.rp_filter", mode);
}

/// The host is a member of one of its groups, and the others flood. A program that is bound to the
/// port on all addresses would hear that group too, which is a fault of its own.
fn noise(scene: &mut Scene) {
    if scene.view == Host {
        scene.beside(
            "s = udp('239.9.9.9'); join(s, '239.9.9.9', 'eth0')
import threading
threading.Thread(target=lambda: [s.recv(2048) for _ in iter(int, 1)], daemon=True).start()",
        );
    }
    let flood = Flood::start(&scene.a, 10_000);
    scene.hold(flood);
}

fn tagged_noise(scene: &mut Scene) {
    // Where nothing else is sent to the address, this would be the stream.
    let asked = |sent: &Sent| sent.port == scene.asked.port && sent.group == scene.asked.group;
    let group = if scene.sent.as_ref().is_some_and(asked) {
        scene.asked.group.clone()
    } else {
        scene.by_version("239.77.7.7", "ff15::7777").to_owned()
    };
    let source = scene.far_address();
    scene.far_program(&format!(
        "{FORGED}\nforge('{source}', '{group}', None, vlan=7)"
    ));
}

/// Another group's, from a source that no route leads back to.
fn foreign_noise(scene: &mut Scene) {
    let mode = scene.pick(&["1", "2"]);
    scene.b.sysctl("net.ipv4.conf.all.rp_filter", mode);
    let source = scene.pick(&["169.254.3.4", "172.20.1.1"]);
    scene.far_program(&format!("{FORGED}\nforge('{source}', '239.77.7.7', None)"));
}

/// Another port's and another group's, with checksums that are wrong.
fn broken_noise(scene: &mut Scene) {
    let other = scene.by_version("239.77.7.7", "ff15::7777");
    let source = scene.far_address();
    scene.far_program(&format!("{FORGED}\nforge('{source}', '{other}', 0xdead)"));
}

/// To a port that no program has, as there are on most links.
fn broadcasts(scene: &mut Scene) {
    scene.far_program(BROADCASTS);
}

fn slow_stream(scene: &mut Scene) {
    scene.stream().pause = Duration::from_millis(700);
    scene.duration = Duration::from_secs(4);
}

fn sparse_stream(scene: &mut Scene) {
    scene.stream().pause = Duration::from_millis(12_500);
}

fn large_datagrams(scene: &mut Scene) {
    scene.stream().size = scene.pick(&[1473, 4000, 20_000]);
    scene.stream().pause = Duration::from_millis(20);
}

fn own_stream(scene: &mut Scene) {
    scene.stream().by_b = true;
}

fn source_specific(scene: &mut Scene) {
    let group = scene.by_version("232.1.1.1", "ff35::1");
    group.clone_into(&mut scene.asked.group);
    group.clone_into(&mut scene.stream().group);
    scene.asked.source = Some(scene.far_address().to_owned());
}

fn another_member(scene: &mut Scene) {
    let group = scene.asked.group.clone();
    let v6 = scene.by_version("False", "True");
    let device = if scene.b.output("ip -oneline link").contains(" br0:") {
        "br0"
    } else {
        "eth0"
    };
    let of_link = ["ff02:", "ff12:"]
        .iter()
        .any(|scope| group.starts_with(scope));
    let zone = if of_link {
        format!("%{device}")
    } else {
        String::new()
    };
    scene.beside(&format!(
        "s = udp('{group}{zone}', {v6}); join(s, '{group}', '{device}')
import threading
threading.Thread(target=lambda: [s.recv(65536) for _ in iter(int, 1)], daemon=True).start()"
    ));
}

/// Bound to an address of the host, or to another group.
fn another_on_the_port(scene: &mut Scene) {
    let own = scene.by_version("10.0.0.2", "fd00::2");
    let other = scene.by_version("239.55.5.5", "ff15::5555");
    // Where it does not share, no program could have the port on all addresses.
    let alone = if scene.view == Host { "False" } else { "True" };
    let (bind, share) = scene.pick(&[(own, "True"), (own, alone), (other, "True")]);
    let v6 = scene.by_version("False", "True");
    scene.beside(&format!("s = udp('{bind}', {v6}, {share})"));
}

fn many_groups(scene: &mut Scene) {
    scene.beside(
        "s = udp('')
for n in range(1, 19): join(s, f'239.1.1.{n}', 'eth0')",
    );
}

fn program_of_another(scene: &mut Scene) {
    scene.program.privileged = true;
}

fn asked_by_port(scene: &mut Scene) {
    scene.program.by_pid = false;
}

fn bound_to_the_group(scene: &mut Scene) {
    scene.program.bind = scene.asked.group.clone();
}

/// A socket of IPv6 that takes IPv4 too, and has joined its group.
fn both_versions(scene: &mut Scene) {
    let group = scene.asked.group.clone();
    scene.program.instead = Some(format!(
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(41, socket.IPV6_V6ONLY, 0)
s.bind(('::', 5000))
join(s, '{group}', 'eth0')
import threading
threading.Thread(target=lambda: [s.recv(65536) for _ in iter(int, 1)], daemon=True).start()"
    ));
}

fn port_not_shared(scene: &mut Scene) {
    scene.program.share = false;
}

fn wants_a_large_buffer(scene: &mut Scene) {
    let large = "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)";
    scene.program.then.push(large.to_owned());
}

/// It has joined nothing, and hears what another program has joined.
fn fed_by_another(scene: &mut Scene) {
    scene.program.then.clear();
    another_member(scene);
}
