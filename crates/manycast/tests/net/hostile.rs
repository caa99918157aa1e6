//! A peer can never make a call fail, hang or grow.

use std::net::SocketAddr;
use std::time::Duration;

use manycast::{Event, Socket};
use manycast_lab::netns::{Host, Lab};

use crate::{PATIENCE, PORT, at, bind, hosts, listen, on, receive, send, sender};

/// The memory of this process that is in use, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn without_limit(host: &Host) {
    host.sysctl("net.ipv4.icmp_ratelimit", "0");
    host.sysctl("net.ipv6.icmp.ratelimit", "0");
}

/// Thousands of refusals, more than the error queue holds and more than are told at once.
pub(crate) fn a_flood_of_refusals_fails_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    without_limit(&b);
    for own in ["10.0.0.2", "fd00::2"] {
        let to: SocketAddr = at(own, PORT).parse().unwrap();
        let closed: SocketAddr = at(own, PORT + 1).parse().unwrap();
        let mut socket = bind(&a, ":0");
        let mut server = bind(&b, &at(own, PORT));
        let before = resident();
        for round in 0..20 {
            for _ in 0..500 {
                socket.send_to(closed, "nobody there").unwrap();
            }
            // What is said in between is heard.
            socket.send_to(to, "hello").unwrap();
            let question = receive(&b, &mut server);
            server.answer(question.reply(), "hello yourself").unwrap();
            assert_eq!(
                receive(&a, &mut socket).payload,
                "hello yourself",
                "round {round}"
            );
        }
        assert!(a.run(|| {
            socket
                .recv_timeout(Duration::from_millis(20))
                .unwrap()
                .is_none()
        }));
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 10, "grown by {grown} KiB");

        // As events they are told, and they come to an end.
        for _ in 0..500 {
            socket.send_to(closed, "nobody there").unwrap();
        }
        let mut refused = 0;
        while let Some(event) = a.run(|| {
            socket
                .next_event(Some(Duration::from_millis(200)))
                .unwrap()
                .map(|event| matches!(event, Event::Unreachable(told) if told.is_refused()))
        }) {
            assert!(event);
            refused += 1;
        }
        assert!((1..=500).contains(&refused), "{refused}");
    }
}

/// A connected socket whose peer is away hears of it as often as it likes to.
pub(crate) fn row_65_a_connected_socket_outlives_many_refusals() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    without_limit(&b);
    for own in ["10.0.0.2", "fd00::2"] {
        let mut socket = a.run(|| Socket::connect(&*at(own, PORT)).unwrap());
        // No more than the kernel tells of at once: a message costs up to three of its 50 tokens
        // (net.ipv4.icmp_msgs_burst).
        for _ in 0..8 {
            socket.send("nobody there").unwrap();
            assert!(a.run(|| socket.recv().map(drop)).is_err());
        }
        let mut server = bind(&b, &at(own, PORT));
        socket.send("and now?").unwrap();
        let question = receive(&b, &mut server);
        server.answer(question.reply(), "here").unwrap();
        assert_eq!(receive(&a, &mut socket).payload, "here");
    }
}

/// Whatever a stranger sends, a server goes on.
pub(crate) fn row_09_an_empty_datagram_stops_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for (own, group) in [("10.0.0.2", "239.1.2.3"), ("fd00::2", "ff15::1234")] {
        let mut server = bind(&b, &at(own, PORT + 1));
        let mut listener = listen(&b, &on(group, "eth0"));
        let (to_server, to_listener) = (
            sender(&a, &at(own, PORT + 1)),
            sender(&a, &on(group, "eth0")),
        );
        for payload in [&b""[..], b"", b"\0", b"\xff\xfe", b"after"] {
            to_server.send(payload).unwrap();
            to_listener.send(payload).unwrap();
            assert_eq!(receive(&b, &mut server).payload, payload);
            assert_eq!(receive(&b, &mut listener).payload, payload);
        }
        assert!(listener.by_ref().take(0).next().is_none());
    }
}

/// Forged messages that something was undeliverable, of any kind, to a socket that never sent.
pub(crate) fn forged_icmp_messages_fail_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, "0.0.0.0:5000");
    let mut client = b.run(|| Socket::connect("10.0.0.1:6000").unwrap());
    let port = client.local_addr().unwrap().port();
    // Each type and code, about a datagram from 10.0.0.2 to 10.0.0.1, by whom no socket is asked.
    let script = format!(
        "
import socket, struct
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for own in (5000, {port}):
    for kind in (3, 4, 5, 11, 12):
        for code in range(16):
            for length in (0, 4, 8):
                ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 28, 0, 0, 64, 17, 0, socket.inet_aton('10.0.0.2'), socket.inet_aton('10.0.0.1'))
                udp = struct.pack('!HHHH', own, 6000, 8, 0)[:length]
                body = struct.pack('!BBHI', kind, code, 0, 0) + ip + udp
                body = body[:2] + struct.pack('!H', checksum(body)) + body[4:]
                s.sendto(body, ('10.0.0.2', 0))
"
    );
    let output = a.command("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    send(&a, "10.0.0.2:5000", "still there?");
    assert_eq!(receive(&b, &mut server).payload, "still there?");
    // The connected one is told of what concerns it, and goes on.
    while let Some(event) = client.next_event(Some(Duration::from_millis(20))).unwrap() {
        assert!(matches!(event, Event::Unreachable(_)));
    }
    let mut peer = bind(&a, "10.0.0.1:6000");
    client.send("hello").unwrap();
    assert_eq!(receive(&a, &mut peer).payload, "hello");
}

/// Each reason that a firewall can give for rejecting what was sent there.
pub(crate) fn whatever_reason_a_firewall_gives_fails_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    without_limit(&b);
    let kinds = [
        "net-unreachable",
        "host-unreachable",
        "prot-unreachable",
        "port-unreachable",
        "net-prohibited",
        "host-prohibited",
        "admin-prohibited",
    ];
    let kinds6 = [
        "no-route",
        "admin-prohibited",
        "addr-unreachable",
        "port-unreachable",
        "policy-fail",
        "reject-route",
    ];
    let kinds = kinds.map(|kind| ("10.0.0.2", "icmp", kind));
    let kinds6 = kinds6.map(|kind| ("fd00::2", "icmpv6", kind));
    for (own, protocol, kind) in kinds.into_iter().chain(kinds6) {
        b.nft(&format!(
            "table inet filter {{
                 chain input {{
                     type filter hook input priority 0
                     udp dport {PORT} reject with {protocol} type {kind}
                 }}
             }}"
        ));
        let to = at(own, PORT).parse().unwrap();
        let mut socket = bind(&a, ":0");
        socket.send_to(to, "rejected").unwrap();
        let told = a.run(|| {
            let event = socket.next_event(Some(PATIENCE)).unwrap();
            event.map(|event| matches!(event, Event::Unreachable(told) if told.peer == to))
        });
        assert_eq!(told, Some(true), "{protocol} {kind}");
        // Also by a wait that does not ask for it, and by a send.
        socket.send_to(to, "rejected").unwrap();
        assert!(a.run(|| {
            let wait = Duration::from_millis(20);
            socket.recv_timeout(wait).unwrap().is_none()
        }));
        for _ in 0..3 {
            socket.send_to(to, "rejected").unwrap();
        }
        b.nft("delete table inet filter");
    }
}
