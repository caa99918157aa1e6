//! Sockets that have a peer: who is heard, and where they send from, also with another peer.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use manycast::{ErrorKind, Event, InterfaceSelector, Socket, SocketConfig};
use manycast_lab::netns::{Host, Lab};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::follow::again_until;
use crate::{
    GROUPS, PORT, at, bind, hosts, listen, on, receive, receive_until, send, text, wait_for,
    wait_until_joined, wait_until_left,
};

fn connect(host: &Host, to: &str) -> Socket {
    host.run(|| Socket::connect(to).unwrap())
}

fn reconnect(host: &Host, socket: &mut Socket, to: &str) {
    host.run(|| socket.reconnect(to).unwrap());
}

/// A socket for both versions of IP has one peer, and nobody else is heard by the other version.
pub(crate) fn with_a_peer_nobody_is_heard_by_the_other_version() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut socket = bind(&a, ":5000");
    let peer = bind(&b, ":5001");
    let owns = ["10.0.0.1:5000", "[fd00::1]:5000"];
    let peers = ["10.0.0.2:5001", "[fd00::2]:5001"];
    for (index, to) in [0, 1, 0].map(|index| (index, peers[index])) {
        reconnect(&a, &mut socket, to);
        assert_eq!(socket.peer_addr(), Some(to.parse().unwrap()));
        b.run(|| peer.send_to(owns[1 - index], "stranger").unwrap());
        b.run(|| peer.send_to(owns[index], "peer").unwrap());
        assert_eq!(receive(&a, &mut socket).payload, "peer");
        a.run(|| assert!(socket.try_recv().unwrap().is_none()));
    }
    a.run(|| socket.disconnect().unwrap());
    for own in owns {
        b.run(|| peer.send_to(own, own).unwrap());
        assert_eq!(text(&receive(&a, &mut socket)), own);
    }
}

/// What strangers and the peer before had sent is not taken for the peer's.
pub(crate) fn what_came_before_another_peer_is_not_received() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (own, one, two) in [
        ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        ("fd00::1", "fd00::2", "fd00::3"),
    ] {
        let (first, second) = (bind(&b, &at(one, PORT)), bind(&c, &at(two, PORT)));
        let speak = |from: &Socket, host: &Host, to: SocketAddr| {
            for payload in ["one", "two", "three"] {
                host.run(|| from.send_to(to, payload).unwrap());
            }
        };
        for mut socket in [bind(&a, &at(own, 0)), connect(&a, &at(one, PORT))] {
            let own = socket.local_addr().unwrap();
            speak(&first, &b, own);
            assert_eq!(receive(&a, &mut socket).payload, "one");
            reconnect(&a, &mut socket, &at(two, PORT));
            c.run(|| second.send_to(own, "end").unwrap());
            assert_eq!(receive_until(&a, &mut socket, "end"), [""; 0]);
            // What the peer had sent stays after it is the peer no more.
            speak(&second, &c, own);
            assert_eq!(receive(&a, &mut socket).payload, "one");
            a.run(|| socket.disconnect().unwrap());
            assert_eq!(receive(&a, &mut socket).payload, "two");
        }
    }
}

/// Another peer is sent to from the address that fits it, by the half that sends too.
pub(crate) fn another_peer_is_sent_to_from_another_address() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":5000");
    for (itself, hosts) in [
        ("127.0.0.1:5000", ["10.0.0", "10.0.1"]),
        ("[::1]:5000", ["fd00:", "fd01:"]),
    ] {
        let dot = if itself.starts_with('[') { ":" } else { "." };
        let mut socket = bind(&a, ":0");
        let port = socket.local_addr().unwrap().port();
        reconnect(&a, &mut socket, itself);
        let (half, mut socket) = socket.split();
        for host in hosts {
            reconnect(&a, &mut socket, &at(&format!("{host}{dot}2"), PORT));
            let own: SocketAddr = at(&format!("{host}{dot}1"), port).parse().unwrap();
            assert_eq!(socket.local_addr().unwrap().port(), port);
            a.run(|| socket.send("hello").unwrap());
            assert_eq!(receive(&b, &mut server).source, own);
            a.run(|| half.send("hello").unwrap());
            let question = receive(&b, &mut server);
            assert_eq!(question.source, own);
            b.run(|| server.answer(question.reply(), "welcome").unwrap());
            assert_eq!(receive(&a, &mut socket).payload, "welcome");
        }
    }
}

/// The peer on a link is on the link that has the name now.
pub(crate) fn a_link_local_peer_is_sent_to_by_a_device_that_was_recreated() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let peer = |device: &str| format!("{}%{device}", b.link_local(device));
    let mut server = bind(&b, ":5000");
    let mut socket = connect(&a, &at(&peer("eth0"), PORT));
    for device in ["eth0", "eth1"] {
        reconnect(&a, &mut socket, &at(&peer(device), PORT));
        let (half, mut whole) = socket.split();
        a.delete_device(device);
        a.recreate_device(device);
        again_until("the new device", || {
            // It follows while it waits.
            a.run(|| whole.try_recv().map(drop)).ok()?;
            a.run(|| whole.send("whole")).ok()
        });
        a.run(|| half.send("half").unwrap());
        assert_eq!(
            receive_until(&b, &mut server, "half").pop().unwrap(),
            "whole"
        );
        let Some(SocketAddr::V6(told)) = whole.peer_addr() else {
            panic!("it has no peer");
        };
        assert_eq!(told.scope_id(), a.interface_index(device));
        socket = whole;
    }
}

/// What watches the interfaces for a group takes no address from a peer that answers to it.
pub(crate) fn a_connected_socket_keeps_its_address_beside_a_group() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], [own, peer, new, bits]) in GROUPS.into_iter().zip([
        ["10.0.0.1", "10.0.0.2", "10.0.0.77", "32"],
        ["fd00::1", "fd00::2", "fd00::77", "128"],
    ]) {
        let mut server = bind(&b, &at(peer, PORT));
        let mut socket = connect(&a, &at(peer, PORT));
        a.run(|| socket.join(&*format!("{group}%eth1")).unwrap());
        let mut other = listen(&a, &on(group, "eth1"));
        let nodad = if new.contains(':') { " nodad" } else { "" };
        a.output(&format!("ip address add {new}/{bits} dev eth0{nodad}"));
        a.add_route(&format!("{peer}/{bits} dev eth0 src {new}"));
        a.link_down("eth1");
        // By then it has seen the address too.
        wait_until_left(&a, &mut socket, "eth1");
        wait_until_left(&a, &mut other, "eth1");
        a.run(|| socket.send("hello").unwrap());
        let question = receive(&b, &mut server);
        assert_eq!(question.source.ip().to_string(), own);
        b.run(|| server.answer(question.reply(), "welcome").unwrap());
        assert_eq!(receive(&a, &mut socket).payload, "welcome");
        a.link_up("eth1");
    }
}

/// What fails changes nothing: neither who is heard, nor who else may have the port.
pub(crate) fn another_peer_that_cannot_be_had_changes_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let peer = bind(&b, ":5001");
    let mut socket = bind(&a, ":5000");
    reconnect(&a, &mut socket, "10.0.0.2:5001");
    let is_alone = || {
        for own in ["0.0.0.0:5000", "[::]:5000"] {
            let config = SocketConfig::default().share_port(true);
            let error = a.run(|| Socket::bind_with(own, config)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddressInUse, "{own}");
        }
    };
    is_alone();
    // No way leads there.
    a.run(|| socket.reconnect("192.0.2.1:5001").unwrap_err());
    is_alone();
    // Of the two sockets that it takes, only one can be opened.
    a.run(|| {
        with_free_descriptors(1, || socket.reconnect("[fd00::2]:5001").unwrap_err());
    });
    is_alone();
    assert_eq!(socket.peer_addr(), Some("10.0.0.2:5001".parse().unwrap()));
    b.run(|| peer.send_to("[fd00::1]:5000", "stranger").unwrap());
    a.run(|| socket.send_to("[fd00::2]:5001", "to anybody").unwrap());
    b.run(|| peer.send_to("10.0.0.1:5000", "peer").unwrap());
    assert_eq!(receive(&a, &mut socket).payload, "peer");
    // Nor is it the end.
    reconnect(&a, &mut socket, "[fd00::2]:5001");
    b.run(|| peer.send_to("[fd00::1]:5000", "peer").unwrap());
    assert_eq!(receive(&a, &mut socket).payload, "peer");
    is_alone();
}

/// Leaves this process so many more descriptors, and does something.
fn with_free_descriptors<T>(count: usize, action: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let current = Some(300);
    setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
    let mut filling: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null"))
        .map_while(Result::ok)
        .collect();
    filling.truncate(filling.len() - count);
    let result = action();
    drop(filling);
    setrlimit(Resource::Nofile, before).unwrap();
    result
}

/// That an interface of a group went away is no reason to have no other peer.
pub(crate) fn another_peer_is_had_also_where_a_group_cannot_be_joined_again() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let peer = bind(&b, "10.0.0.2:5001");
    for [group, _] in GROUPS {
        let mut socket = bind(&a, ":5000");
        a.run(|| socket.join(group).unwrap());
        a.delete_device("eth2");
        reconnect(&a, &mut socket, "10.0.0.2:5001");
        b.run(|| peer.send_to("10.0.0.1:5000", "peer").unwrap());
        assert_eq!(receive(&a, &mut socket).payload, "peer");
        a.recreate_device("eth2");
        wait_until_joined(&a, &mut socket, "eth2");
    }
}

/// Whoever changes between peers, and does not read all that they say, keeps no socket for each time.
pub(crate) fn many_other_peers_leave_no_sockets_behind() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let peers = ["10.0.0.2:5000", "10.0.0.2:5001"];
    let servers = peers.map(|peer| bind(&b, peer));
    let mut socket = bind(&a, "10.0.0.1:6000");
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for _ in 0..10 {
        for (peer, server) in peers.iter().zip(&servers) {
            reconnect(&a, &mut socket, peer);
            b.run(|| server.send_to("10.0.0.1:6000", "unread").unwrap());
        }
    }
    let more = descriptors() - before;
    assert!(more < 12, "{more}");
    assert_eq!(receive(&a, &mut socket).payload, "unread");
}

/// The same peer once more is no other.
pub(crate) fn what_a_peer_had_sent_outlasts_reconnecting() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let server = bind(&b, "10.0.0.2:5000");
    let mut socket = bind(&a, "10.0.0.1:6000");
    reconnect(&a, &mut socket, "10.0.0.2:5000");
    b.run(|| server.send_to("10.0.0.1:6000", "early").unwrap());
    for _ in 0..3 {
        reconnect(&a, &mut socket, "10.0.0.2:5000");
    }
    assert_eq!(receive(&a, &mut socket).payload, "early");
}

/// A socket that keeps to an interface, in whichever way it was told to, does so with another peer.
pub(crate) fn another_peer_is_had_by_the_interface_that_the_socket_keeps_to() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":5000");
    a.add_route("239.0.0.0/8 dev eth0");
    let config = SocketConfig::default().device(Some(a.interface_index("eth1")));
    let anywhere = |to: &str| {
        if to.contains('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        }
    };
    let on_device = |to: &str| a.run(|| Socket::bind_with(anywhere(to), config.clone()).unwrap());
    let came_by = |receiver: &mut Socket| receive(&b, receiver).interface.name.to_string();
    for [group, _] in GROUPS {
        let to = at(group, PORT);
        b.run(|| server.join(group).unwrap());
        for mut socket in [on_device(&to), bind(&a, "%eth1:0")] {
            reconnect(&a, &mut socket, &to);
            a.run(|| socket.send("hello").unwrap());
            assert_eq!(came_by(&mut server), "eth1", "{to}");
            // Another destination is none of another interface.
            let host = if group.contains(':') {
                "fd00::2"
            } else {
                "10.0.0.2"
            };
            if a.run(|| socket.send_to(at(host, PORT), "hello")).is_ok() && host == "10.0.0.2" {
                assert_eq!(came_by(&mut server), "eth1", "{to}");
            }
        }
    }
    let to = at(&b.link_local("eth1").to_string(), PORT);
    let mut socket = on_device(&to);
    reconnect(&a, &mut socket, &to);
    a.run(|| socket.send("hello").unwrap());
    assert_eq!(came_by(&mut server), "eth1", "{to}");
}

/// By which interface a group is sent to is the route's choice where nobody chose.
pub(crate) fn a_peer_that_is_a_group_is_sent_to_by_another_interface_unless_one_was_chosen() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let [[group, _], _] = GROUPS;
    let mut elsewhere = listen(&b, &on(group, "eth1"));
    let socket = connect(&a, &at(group, PORT));
    let named = connect(&a, &on(group, "eth0"));
    let mut chosen = connect(&a, &at(group, PORT));
    let by = InterfaceSelector::Name("eth0".into());
    a.run(|| chosen.set_multicast_interface(Some(&by)).unwrap());
    a.run(|| socket.send("by eth0").unwrap());
    a.link_down("eth0");
    a.run(|| {
        named.send("leaked").unwrap_err();
        chosen.send("leaked").unwrap_err();
        socket.send("by eth1").unwrap();
    });
    assert_eq!(receive(&b, &mut elsewhere).payload, "by eth1");
}

/// A group is heard beside a peer in whichever order they were asked for, and once.
pub(crate) fn a_group_is_heard_beside_another_peer() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for ([group, _], to) in GROUPS.into_iter().zip(["10.0.0.2:5001", "[fd00::2]:5001"]) {
        let peer = bind(&b, to);
        let mut socket = bind(&a, ":5000");
        a.run(|| socket.join(&*format!("{group}%eth0")).unwrap());
        for payload in ["first", "unread"] {
            send(&c, &on(group, "eth0"), payload);
        }
        assert_eq!(receive(&a, &mut socket).payload, "first");
        reconnect(&a, &mut socket, to);
        assert_eq!(socket.memberships().count(), 1);
        send(&c, &on(group, "eth0"), "new");
        let mut heard = [(); 2].map(|()| text(&receive(&a, &mut socket)));
        heard.sort();
        assert_eq!(heard, ["new", "unread"]);
        a.run(|| assert!(socket.next_event(Some(Duration::ZERO)).unwrap().is_none()));
        send(&c, &on(group, "eth0"), "later");
        assert_eq!(receive(&a, &mut socket).payload, "later");
        a.run(|| socket.disconnect().unwrap());
        send(&c, &on(group, "eth0"), "without a peer");
        assert_eq!(receive(&a, &mut socket).payload, "without a peer");
        drop(peer);
    }
}

/// That somebody else refuses is no error of the peer's.
pub(crate) fn a_refusal_by_another_is_not_told_as_the_peers() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let peer = bind(&b, "10.0.0.2:5001");
    let mut socket = bind(&a, ":5000");
    reconnect(&a, &mut socket, "10.0.0.2:5001");
    for closed in ["[fd00::2]:9", "[fd00::2]:5001"] {
        a.run(|| socket.send_to(closed, "anybody?").unwrap());
        b.run(|| peer.send_to("10.0.0.1:5000", "peer").unwrap());
        assert_eq!(receive(&a, &mut socket).payload, "peer");
        a.run(|| assert!(socket.try_recv().unwrap().is_none()));
    }
    // Refusals do come.
    a.run(|| socket.send_to("[fd00::2]:9", "anybody?").unwrap());
    wait_for(&a, &mut socket, |event| {
        matches!(event, Event::Unreachable { .. }).then_some(())
    });
}
