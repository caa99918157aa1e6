//! Sockets that have a peer: who is heard, and where they send from, also with another peer.

use std::net::SocketAddr;

use manycast::Socket;
use manycast_lab::netns::{Host, Lab};

use crate::follow::again_until;
use crate::{
    GROUPS, PORT, at, bind, hosts, listen, on, receive, receive_until, text, wait_until_left,
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
