//! What is wrong with the program that is asked about.

use super::Part::{Beside, Choice, Interfaces, Program, Stream};
use super::{Condition, PROGRAM};
use crate::scene::{Scene, Sent};

pub(super) const ALL: &[Condition] = &[
    Condition::new("never-joined", PROGRAM, &[Program], never_joined).right(&["not-joined"]),
    Condition::new(
        "joined-elsewhere",
        PROGRAM,
        &[Program, Interfaces],
        joined_elsewhere,
    )
    .right(&["joined-on-other-interface"]),
    Condition::new(
        "joined-on-loopback",
        PROGRAM,
        &[Program],
        joined_on_loopback,
    )
    .right(&["joined-on-other-interface"]),
    Condition::new("bound-to-unicast", PROGRAM, &[Program], bound_to_unicast)
        .right(&["bound-to-unicast"]),
    Condition::new("connected-first", PROGRAM, &[Program], connected_first)
        .right(&["bound-to-unicast", "bound-to-peer"]),
    Condition::new(
        "bound-to-another-group",
        PROGRAM,
        &[Program],
        bound_to_another_group,
    )
    .right(&["bound-to-other-group"]),
    Condition::new(
        "bound-to-device",
        PROGRAM,
        &[Program, Interfaces],
        bound_to_device,
    )
    .right(&["bound-to-device"]),
    Condition::new(
        "connected-to-a-peer",
        PROGRAM,
        &[Program],
        connected_to_a_peer,
    )
    .right(&["bound-to-peer"]),
    Condition::new("of-another-source", PROGRAM, &[Program], of_another_source)
        .right(&["wrong-source"]),
    Condition::new(
        "own-membership-alone",
        PROGRAM,
        &[Program, Beside],
        own_membership_alone,
    )
    .right(&["not-joined"]),
    Condition::new(
        "one-group-too-many",
        PROGRAM,
        &[Program],
        one_group_too_many,
    )
    .v4()
    .right(&["too-many-groups"])
    .also(&["not-joined"]),
    Condition::new(
        "device-made-anew",
        PROGRAM,
        &[Program, Interfaces],
        device_made_anew,
    )
    .right(&["membership-lost"])
    .also(&["not-joined"]),
    Condition::new("too-slow", PROGRAM, &[Program, Stream], too_slow)
        .right(&["receive-buffer-overflow"])
        .also(&["receive-buffer-capped"]),
    Condition::new(
        "cross-talk",
        PROGRAM,
        &[Program, Beside, Interfaces],
        cross_talk,
    )
    .right(&["cross-talk"])
    // Of the other program, where the port is asked for.
    .also(&["bound-to-other-group", "not-joined"]),
    // Nothing but the kernel's counter of the socket tells of it.
    Condition::new("socket-filter", PROGRAM, &[Program], socket_filter).right(&["socket-filter"]),
    Condition::new("ipv6-only", PROGRAM, &[Program], ipv6_only)
        .v4()
        .right(&["other-ip-version"]),
    Condition::new(
        "sender-without-loopback",
        PROGRAM,
        &[Program, Stream, Choice],
        no_loopback,
    )
    .right(&["loopback-off"]),
    Condition::new(
        "sender-with-no-hops",
        PROGRAM,
        &[Program, Stream, Choice],
        no_hops,
    )
    .right(&["hop-limit"]),
    Condition::new(
        "sender-by-loopback",
        PROGRAM,
        &[Program, Stream, Choice],
        by_loopback,
    )
    .right(&["egress-other-interface"]),
    Condition::new(
        "sender-to-another-group",
        PROGRAM,
        &[Program, Stream, Choice],
        to_another_group,
    )
    .right(&["wrong-group"]),
];

fn join(scene: &Scene, device: &str) -> String {
    format!("join(s, '{}', '{device}')", scene.asked.group)
}

fn never_joined(scene: &mut Scene) {
    scene.program.then.clear();
}

fn joined_elsewhere(scene: &mut Scene) {
    scene.second_interface("eth1", 1);
    scene.program.then = vec![join(scene, "eth1")];
}

fn joined_on_loopback(scene: &mut Scene) {
    scene.program.then = vec![join(scene, "lo")];
}

fn bound_to_unicast(scene: &mut Scene) {
    scene.program.bind = scene.by_version("10.0.0.2", "fd00::2").to_owned();
}

fn connected_first(scene: &mut Scene) {
    let peer = scene.far_address();
    scene
        .program
        .then
        .push(format!("s.connect(('{peer}', 4000))"));
}

fn bound_to_another_group(scene: &mut Scene) {
    let other = scene.by_version("239.1.2.4", "ff15::99");
    scene.program.bind = other.to_owned();
    scene
        .program
        .then
        .push(format!("join(s, '{other}', 'eth0')"));
}

fn bound_to_device(scene: &mut Scene) {
    scene.second_interface("eth1", 1);
    let bind = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth1')";
    scene.program.then.push(bind.to_owned());
}

fn connected_to_a_peer(scene: &mut Scene) {
    scene.program.bind = scene.asked.group.clone();
    let peer = scene.by_version("10.0.0.9", "fd00::9");
    scene
        .program
        .then
        .push(format!("s.connect(('{peer}', 4000))"));
}

fn of_another_source(scene: &mut Scene) {
    let group = scene.by_version("232.1.1.1", "ff35::1").to_owned();
    let source = scene.by_version("10.0.0.9", "fd00::9");
    scene.asked.source = Some(source.to_owned());
    if let Some(sent) = &mut scene.sent {
        group.clone_into(&mut sent.group);
    }
    scene.program.then = vec![format!("join(s, '{group}', 'eth0', '{source}')")];
    scene.asked.group = group;
}

/// Another socket of the host is a member, and this one takes what it has joined itself.
fn own_membership_alone(scene: &mut Scene) {
    let (level, option) = scene.by_version((0, 49), (41, 29));
    let group = scene.asked.group.clone();
    scene.program.then = vec![
        format!("s.setsockopt({level}, {option}, 0)"),
        format!("t = socket.socket(s.family, socket.SOCK_DGRAM); join(t, '{group}', 'eth0')"),
    ];
}

fn one_group_too_many(scene: &mut Scene) {
    scene.program.then = vec![
        "for n in range(1, 22):
    try: join(s, f'239.1.1.{n}', 'eth0')
    except OSError as e: assert (n, e.errno) == (21, 105), (n, e)"
            .to_owned(),
    ];
    "239.1.1.21".clone_into(&mut scene.asked.group);
    if let Some(sent) = &mut scene.sent {
        "239.1.1.21".clone_into(&mut sent.group);
    }
}

fn device_made_anew(scene: &mut Scene) {
    scene.later(|scene| {
        let group = scene.asked.group.parse().expect("a group of the case");
        scene.b.wait_for_group("eth0", group);
        scene.b.delete_device("eth0");
        scene.b.recreate_device("eth0");
    });
}

fn too_slow(scene: &mut Scene) {
    scene.stream().size = 1000;
    scene.program.reads = false;
    let small = "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)";
    scene.program.then.push(small.to_owned());
}

/// What another program has joined reaches this one too, and somebody sends it.
fn cross_talk(scene: &mut Scene) {
    let other = scene.by_version("239.9.9.9", "ff15::9999");
    let v6 = scene.by_version("False", "True");
    scene.beside(&format!(
        "s = udp('{other}', {v6}); join(s, '{other}', 'eth0')"
    ));
    let sent = Sent {
        group: other.to_owned(),
        port: 5000,
        size: 10,
        pause: std::time::Duration::from_millis(20),
        from: None,
        hops: 1,
        by_b: false,
    };
    let stream = scene.start(&sent);
    scene.hold(stream);
}

/// A classic BPF program that takes nothing.
fn socket_filter(scene: &mut Scene) {
    let attach = "import ctypes
code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))
s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HxxxxxxP', 1, ctypes.addressof(code)))";
    scene.program.then.push(attach.to_owned());
}

/// A socket of IPv6 that takes no IPv4, though it may join its groups.
fn ipv6_only(scene: &mut Scene) {
    let group = scene.asked.group.clone();
    scene.program.instead = Some(format!(
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(41, socket.IPV6_V6ONLY, 1)
s.bind(('::', 5000))
join(s, '{group}', 'eth0')"
    ));
}

/// A program that sends to `to` with these options, in place of one that receives.
fn sender(scene: &mut Scene, to: &str, options: &str) {
    let (family, device) = (scene.by_version("AF_INET", "AF_INET6"), "eth0");
    let interface = scene.by_version(
        "s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + index)",
        "s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)",
    );
    scene.program.instead = Some(format!(
        "s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
index = struct.pack('@I', socket.if_nametoindex('{device}'))
{interface}
{options}
s.connect(('{to}', 5000))
import threading
def send():
    while not threading.Event().wait(.01): s.send(b'x')
threading.Thread(target=send, daemon=True).start()"
    ));
    scene.sent = None;
}

fn no_loopback(scene: &mut Scene) {
    let group = scene.asked.group.clone();
    let option = scene.by_version(
        "s.setsockopt(0, socket.IP_MULTICAST_LOOP, 0)",
        "s.setsockopt(41, socket.IPV6_MULTICAST_LOOP, 0)",
    );
    sender(scene, &group, option);
}

/// What it sends does not leave the host.
fn no_hops(scene: &mut Scene) {
    let group = scene.asked.group.clone();
    let option = scene.by_version(
        "s.setsockopt(0, socket.IP_MULTICAST_TTL, 0)",
        "s.setsockopt(41, socket.IPV6_MULTICAST_HOPS, 0)",
    );
    sender(scene, &group, option);
}

fn by_loopback(scene: &mut Scene) {
    if scene.v6 {
        scene
            .b
            .output("ip -6 route add multicast ff00::/8 dev lo table local");
    }
    let group = scene.asked.group.clone();
    let option = scene.by_version(
        "s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + struct.pack('@I', 1))",
        "s.setsockopt(41, socket.IPV6_MULTICAST_IF, struct.pack('@I', 1))",
    );
    sender(scene, &group, option);
}

fn to_another_group(scene: &mut Scene) {
    let other = scene.by_version("239.1.2.4", "ff15::99");
    sender(scene, other, "");
}
