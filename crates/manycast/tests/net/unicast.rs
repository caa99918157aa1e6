//! Unicast: answers, connected sockets, refusals, broadcasts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast::{AskConfig, Error, ErrorKind, Event, Sender, Socket, Unreachable};
use manycast_lab::netns::{Host, Lab};

use crate::asynchronous::block_on;
use crate::{
    GROUPS, PORT, at, bind, hosts, on, receive, receive_until, send, sender, sender_from, text,
    wait_for,
};

/// Addresses of host number `host` on `eth0`.
fn addresses(host: u8) -> [String; 2] {
    [format!("10.0.0.{host}"), format!("fd00::{host}")]
}

fn socket_addr(host: &str, port: u16) -> SocketAddr {
    at(host, port).parse().unwrap()
}

fn connect(host: &Host, peer: SocketAddr) -> Socket {
    host.run(|| Socket::connect(peer).unwrap())
}

/// The first datagram that could not be delivered.
fn unreachable(host: &Host, socket: &mut Socket) -> Unreachable {
    wait_for(host, socket, |event| match event {
        Event::Unreachable(unreachable) => Some(unreachable),
        _ => None,
    })
}

pub(crate) fn row_01_a_datagram_is_sent_with_its_way_told() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":5000");
    for (own, peer) in addresses(1).iter().zip(addresses(2)) {
        let sent = send(&a, &at(&peer, PORT), "Hello, World!");
        assert_eq!((sent.bytes, sent.to), (13, socket_addr(&peer, PORT)));
        assert_eq!(sent.from.ip().to_string(), *own);
        assert_eq!((&*sent.interface.name, sent.hops), ("eth0", 64));
        let datagram = receive(&b, &mut server);
        assert_eq!(
            (text(&datagram).as_str(), datagram.source),
            ("Hello, World!", sent.from)
        );
        assert_eq!(datagram.destination, sent.to);
        assert_eq!(&*datagram.interface.name, "eth0");
        assert_eq!(datagram.hops, Some(64));

        // Nobody listens on this one, and the host says so.
        let sender = sender(&a, &at(&peer, PORT + 1));
        let sent = sender.send("anybody?").unwrap();
        let unreachable = sender
            .unreachable(Duration::from_secs(10))
            .unwrap()
            .unwrap();
        assert!(unreachable.is_refused());
        assert_eq!(unreachable.peer, sent.to);
    }
}

pub(crate) fn row_09_a_server_answers_from_the_address_that_was_asked() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    b.output("ip address add 10.0.0.99/24 dev eth0");
    b.output("ip address add fd00::99/64 dev eth0 nodad");
    let mut server = bind(&b, ":8888");
    for asked in [
        "10.0.0.2",
        "10.0.0.99",
        "10.0.1.2",
        "fd00::2",
        "fd00::99",
        "fd01::2",
    ] {
        // Ten clients at once; each hears its own answer and nobody else's. Nothing else would be
        // received by a connected socket but what comes from the address that it asked.
        let mut clients: Vec<_> = (0..10)
            .map(|_| connect(&a, socket_addr(asked, 8888)))
            .collect();
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("hello {number}")).unwrap();
        }
        for _ in &clients {
            let question = receive(&b, &mut server);
            assert_eq!(question.destination, socket_addr(asked, 8888));
            assert_eq!(question.local, Some(asked.parse().unwrap()));
            let answer = format!("OK...{}", text(&question));
            server.answer(question.reply(), answer).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(receive(&a, client).payload, format!("OK...hello {number}"));
        }
    }
}

pub(crate) fn row_10_answers_of_others_than_the_asked_are_ignored() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (asked, stranger) in addresses(2).iter().zip(addresses(3)) {
        let mut server = bind(&b, &at(asked, PORT));
        let impostor = bind(&c, &at(&stranger, PORT));
        let task = b.spawn(move || {
            let question = server.recv().unwrap().to_datagram();
            // The stranger's answer goes first.
            impostor.send_to(question.source, "stolen").unwrap();
            server.answer(question.reply(), "right").unwrap();
        });
        let config = AskConfig::default().timeout(Duration::from_secs(10));
        let answers = a.run(|| manycast::ask(&*at(asked, PORT), "question", &config).unwrap());
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].datagram.payload, "right");
        task.join();
    }
}

pub(crate) fn row_10_a_lost_answer_is_no_hang_and_retries_ask_again() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for asked in addresses(2) {
        let mut server = bind(&b, &at(&asked, PORT));
        let silent = AskConfig::default().timeout(Duration::from_millis(50));
        let answers = a.run(|| manycast::ask(&*at(&asked, PORT), "question", &silent).unwrap());
        assert!(answers.is_empty());
        assert_eq!(receive(&b, &mut server).payload, "question");

        // The second question is answered.
        let patient = AskConfig::default()
            .timeout(Duration::from_millis(100))
            .retries(5);
        let task = b.spawn(move || {
            server.recv().unwrap();
            let again = server.recv().unwrap().to_datagram();
            server.answer(again.reply(), "at last").unwrap();
        });
        let answers = a.run(|| manycast::ask(&*at(&asked, PORT), "question", &patient).unwrap());
        assert_eq!(answers[0].datagram.payload, "at last");
        task.join();
    }
}

/// A question that did not leave the host is no silence of who was asked.
pub(crate) fn a_question_that_is_not_sent_is_an_error() {
    let lab = Lab::new();
    let [a, _b] = hosts(&lab, ["a", "b"]);
    a.nft(&format!(
        "table inet filter {{\nchain output {{\ntype filter hook output priority 0\nudp dport {PORT} drop\n}}\n}}\n"
    ));
    // Who is told does not wait for an answer.
    let config = AskConfig::default().timeout(Duration::from_secs(3600));
    let asked = addresses(2).into_iter().map(|host| at(&host, PORT));
    for asked in asked.chain(GROUPS.map(|[group, _]| on(group, "eth0"))) {
        let blocking = a.run(|| manycast::ask(&*asked, "question", &config).unwrap_err());
        assert_eq!(blocking.kind(), ErrorKind::PermissionDenied, "{blocking}");
        let asynchronous = block_on(&a, manycast::tokio::ask(&*asked, "question", &config));
        assert_eq!(asynchronous.unwrap_err().to_string(), blocking.to_string());
    }
}

pub(crate) fn row_64_third_parties_are_not_received_on_a_connected_socket() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (own, [peer, third]) in addresses(1)
        .iter()
        .zip([["10.0.0.2", "10.0.0.3"], ["fd00::2", "fd00::3"]])
    {
        let mut server = bind(&b, &at(peer, PORT));
        let mut client = connect(&a, socket_addr(peer, PORT));
        assert_eq!(client.peer_addr(), Some(socket_addr(peer, PORT)));
        client.send("where am I?").unwrap();
        let client_addr = receive(&b, &mut server).source;
        assert_eq!(client_addr.ip().to_string(), *own);

        // Another host, and the same host from another port.
        send(&c, &client_addr.to_string(), "from a third party");
        send(&b, &client_addr.to_string(), "from another port");
        sender_from(&c, &client_addr.to_string(), third)
            .send("once more")
            .unwrap();
        server.send_to(client_addr, "end").unwrap();
        assert_eq!(receive_until(&a, &mut client, "end"), [""; 0]);
    }
}

/// As documented: answers to a group come from its members, which a connected socket does not take.
pub(crate) fn row_64_a_socket_connected_to_a_group_does_not_hear_its_members() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.add_route("224.0.0.0/4 dev eth0");
    let mut member = crate::listen(&b, &on("239.1.2.3", "eth0"));
    let mut client = connect(&a, socket_addr("239.1.2.3", PORT));
    client.send("ping").unwrap();
    let question = receive(&b, &mut member);
    send(&b, &question.source.to_string(), "pong");
    // It came to the host, where no socket takes it: the sender hears of a refusal.
    let refused = sender(&b, &question.source.to_string());
    refused.send("pong").unwrap();
    assert!(
        refused
            .unreachable(Duration::from_secs(10))
            .unwrap()
            .unwrap()
            .is_refused()
    );
    assert!(client.try_recv().unwrap().is_none());
}

pub(crate) fn row_65_a_refusal_is_an_event_within_a_second_and_the_next_write_works() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for peer in addresses(2) {
        let to = socket_addr(&peer, PORT);
        // As an event, on a connected socket and on one that is not.
        for mut socket in [connect(&a, to), bind(&a, ":0")] {
            let sent = Instant::now();
            socket.send_to(to, "nobody there").unwrap();
            let refused = unreachable(&a, &mut socket);
            assert!(refused.is_refused());
            assert_eq!(refused.peer, to);
            assert!(sent.elapsed() < Duration::from_secs(1));

            let mut server = bind(&b, &at(&peer, PORT));
            socket.send_to(to, "now").unwrap();
            let question = receive(&b, &mut server);
            assert_eq!(question.payload, "now");
            server.answer(question.reply(), "yes").unwrap();
            assert_eq!(receive(&a, &mut socket).payload, "yes");
        }
    }
}

pub(crate) fn row_65_a_refusal_is_one_error_of_recv_and_none_of_send() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for peer in addresses(2) {
        let to = socket_addr(&peer, PORT);
        let mut socket = connect(&a, to);
        socket.send("nobody there").unwrap();
        let error = a.run(|| socket.recv().map(drop)).unwrap_err();
        assert!(
            matches!(error, Error::ConnectionRefused { peer } if peer == to),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            error.to_string(),
            format!("nobody listens on {to}; start the receiver, or check host and port")
        );
        assert!(
            a.run(|| socket.try_recv().unwrap().is_none()),
            "it is told once"
        );

        // However many were refused, what is sent next is sent.
        for _ in 0..20 {
            socket.send("still nobody").unwrap();
        }
        let mut server = bind(&b, &at(&peer, PORT));
        socket.send("now").unwrap();
        assert_eq!(receive(&b, &mut server).payload, "now");
    }
}

/// Whoever asks and goes away must not end the server's wait, nor make it fail.
pub(crate) fn row_09_a_client_that_went_away_is_no_error_of_the_server() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for own in addresses(2) {
        let mut server = bind(&b, &at(&own, PORT));
        let gone = send(&a, &at(&own, PORT), "and gone").from;
        let question = receive(&b, &mut server);
        assert_eq!(question.source, gone);
        server.answer(question.reply(), "too late").unwrap();
        // The refusal is there before the next question is.
        let probe = sender(&b, &gone.to_string());
        probe.send("still there?").unwrap();
        assert!(
            probe
                .unreachable(Duration::from_secs(10))
                .unwrap()
                .is_some()
        );
        assert!(b.run(|| {
            server
                .recv_timeout(Duration::from_millis(20))
                .unwrap()
                .is_none()
        }));
        send(&a, &at(&own, PORT), "next");
        assert_eq!(receive(&b, &mut server).payload, "next");
    }
}

pub(crate) fn row_66_reconnect_and_disconnect_keep_the_port() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (one, two) in addresses(2).iter().zip(addresses(3)) {
        let (mut first, mut second) = (bind(&b, &at(one, PORT)), bind(&c, &at(&two, PORT)));
        let mut socket = connect(&a, socket_addr(one, PORT));
        let port = socket.local_addr().unwrap().port();
        socket.send("to the first").unwrap();
        let own = receive(&b, &mut first).source;
        assert_eq!(own.port(), port);

        a.run(|| socket.reconnect(socket_addr(&two, PORT)).unwrap());
        assert_eq!(socket.peer_addr(), Some(socket_addr(&two, PORT)));
        socket.send("to the second").unwrap();
        assert_eq!(receive(&c, &mut second).source.port(), port);
        first.send_to(own, "not any more").unwrap();
        second.send_to(own, "end").unwrap();
        assert_eq!(receive_until(&a, &mut socket, "end"), [""; 0]);

        a.run(|| socket.disconnect().unwrap());
        assert_eq!(socket.peer_addr(), None);
        assert_eq!(socket.local_addr().unwrap().port(), port);
        let error = socket.send("to whom?").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the socket cannot be used here: it has no peer; connect it first, or name the destination"
        );
        for server in [&first, &second] {
            server.send_to(own, "anybody").unwrap();
            assert_eq!(receive(&a, &mut socket).payload, "anybody");
        }
        socket.send_to(socket_addr(one, PORT), "by name").unwrap();
        assert_eq!(receive(&b, &mut first).source.port(), port);
    }
}

pub(crate) fn row_67_port_0_is_any_free_port_and_told() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":0");
    let port = server.local_addr().unwrap().port();
    assert_ne!(port, 0);
    // It is the same for IPv4 and IPv6.
    for own in addresses(2) {
        send(&a, &at(&own, port), &own);
        let datagram = receive(&b, &mut server);
        assert_eq!((text(&datagram), datagram.destination.port()), (own, port));
    }
}

pub(crate) fn row_68_a_question_to_a_group_is_answered_by_unicast() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS.into_iter().zip(addresses(2)) {
        let mut server = bind(&b, ":8005");
        assert!(b.run(|| server.join(group).unwrap()));
        let mut client = bind(&a, ":0");
        a.run(|| {
            client
                .set_multicast_interface(Some(&"eth0".parse().unwrap()))
                .unwrap();
        });

        // Asked by the group, then by the host; both come to the same socket.
        for asked in [group, &own] {
            client
                .send_to(socket_addr(asked, 8005), "Client: Ping")
                .unwrap();
            let question = receive(&b, &mut server);
            assert_eq!(question.destination.ip().to_string(), asked);
            server.answer(question.reply(), "Server: Pong").unwrap();
            let answer = receive(&a, &mut client);
            assert_eq!(answer.payload, "Server: Pong");
            assert_eq!(answer.source, socket_addr(&own, 8005));
        }
    }
}

pub(crate) fn row_43_ask_gathers_the_answers_of_all_members() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for ([group, _], number) in GROUPS.into_iter().zip(0..) {
        let tasks = [&b, &c].map(|host| {
            let mut member = bind(host, ":6000");
            host.run(|| member.join(group).unwrap());
            host.spawn(move || {
                let question = member.recv().unwrap().to_datagram();
                let answer = format!("ack from {:?}", question.destination.ip());
                member.answer(question.reply(), answer).unwrap();
            })
        });
        let asked = Instant::now();
        let config = AskConfig::default().timeout(Duration::from_millis(500));
        let question = at(&format!("{group}%eth0"), 6000);
        let answers = a.run(|| manycast::ask(&*question, "who is there?", &config).unwrap());
        assert!(
            asked.elapsed() >= Duration::from_millis(500),
            "it waits for all of them"
        );
        let mut who: Vec<_> = answers
            .iter()
            .map(|answer| answer.datagram.source.ip().to_string())
            .collect();
        who.sort();
        assert_eq!(
            who,
            [addresses(2)[number].clone(), addresses(3)[number].clone()]
        );
        assert!(
            answers
                .iter()
                .all(|answer| answer.round_trip < Duration::from_millis(500))
        );
        tasks.into_iter().for_each(|task| task.join());
    }
}

pub(crate) fn row_35_broadcasts_reach_the_link() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":5000");
    for to in ["10.0.1.255", "255.255.255.255", "255.255.255.255%eth1"] {
        let sent = send(&a, &at(to, PORT), to);
        let datagram = receive(&b, &mut server);
        assert_eq!(text(&datagram), to);
        assert_eq!(datagram.source, sent.from);
        // A broadcast is answered from the interface's own address.
        let expected = if to == "255.255.255.255" {
            "10.0.0.2"
        } else {
            "10.0.1.2"
        };
        assert_eq!(datagram.local, Some(expected.parse().unwrap()));
    }
    // A socket wants to be told, for it may be an accident.
    let mut socket = bind(&a, ":0");
    assert!(!socket.broadcast());
    let to = socket_addr("10.0.1.255", PORT);
    assert_eq!(
        socket.send_to(to, "x").unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    socket.set_broadcast(true).unwrap();
    assert!(socket.broadcast());
    socket.send_to(to, "on purpose").unwrap();
    assert_eq!(receive(&b, &mut server).payload, "on purpose");
}

pub(crate) fn a_router_that_knows_no_way_is_an_event() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let (a, router) = (lab.host("a"), lab.router("r"));
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    router.connect(&left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(&right, "eth1", &["10.0.1.254/24", "fd01::fe/64"]);
    a.add_route("default via 10.0.0.254");
    a.add_route("default via fd00::fe");
    router.sysctl("net.ipv4.icmp_ratelimit", "0");
    router.sysctl("net.ipv6.icmp.ratelimit", "0");
    router.add_route("unreachable 198.51.100.0/24");
    router.add_route("unreachable 2001:db8:1::/64");
    for to in ["198.51.100.1", "2001:db8:1::1"] {
        let to = socket_addr(to, PORT);
        for mut socket in [connect(&a, to), bind(&a, ":0")] {
            socket.send_to(to, "lost").unwrap();
            let told = unreachable(&a, &mut socket);
            assert_eq!((told.peer, told.is_refused()), (to, false));
            // It is no failure of the socket: nothing came, and nothing else is to be told.
            assert!(socket.try_recv().unwrap().is_none());
            socket.send_to(to, "again").unwrap();
        }
    }
}

/// A link-local address answers by its own link alone, also to who asks from another address.
pub(crate) fn a_link_local_address_answers_who_asks_from_a_global_one() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, ":5000");
    let mut client = bind(&a, "[fd00::1]:0");
    let to = at(&format!("{}%eth0", b.link_local("eth0")), PORT);
    a.run(|| client.send_to(&*to, "hello").unwrap());
    let question = receive(&b, &mut server);
    assert_eq!(question.source.ip().to_string(), "fd00::1");
    b.run(|| server.answer(question.reply(), "welcome").unwrap());
    let answer = receive(&a, &mut client);
    assert_eq!(answer.source.ip(), b.link_local("eth0"));
}

pub(crate) fn a_sender_keeps_its_source_address() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.output("ip address add 10.0.0.77/24 dev eth0");
    let mut server = bind(&b, ":5000");
    let config = manycast::SenderConfig::default()
        .from("10.0.0.77:7777")
        .unwrap();
    let sender = a.run(|| Sender::open("10.0.0.2:5000", config).unwrap());
    assert_eq!(sender.send("x").unwrap().from.to_string(), "10.0.0.77:7777");
    assert_eq!(
        receive(&b, &mut server).source.to_string(),
        "10.0.0.77:7777"
    );
}

/// An address that the link is still being asked about cannot be used for a second or two
/// (RFC 4862 §5.4).
pub(crate) fn an_address_that_is_tentative_is_waited_for() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.sysctl("net.ipv6.conf.eth0.accept_dad", "1");
    let add = |address: &str| a.output(&format!("ip address add {address}/64 dev eth0"));
    add("fd00::9");
    let server = a.run(|| Socket::bind("[fd00::9]:5000").unwrap());
    assert_eq!(server.local_addr().unwrap().to_string(), "[fd00::9]:5000");

    add("fd00::10");
    let config = manycast::SenderConfig::default()
        .from("[fd00::10]:0")
        .unwrap();
    let sender = a.run(|| Sender::open("[fd00::2]:5000", config).unwrap());
    let mut receiver = bind(&b, "[fd00::2]:5000");
    a.run(|| sender.send("x").unwrap());
    assert_eq!(
        receive(&b, &mut receiver).source.ip().to_string(),
        "fd00::10"
    );

    add("fd00::11");
    block_on(&a, async {
        let socket = manycast::tokio::Socket::bind("[fd00::11]:5000").await;
        assert!(socket.is_ok(), "{socket:?}");
    });

    // Now nothing else is left to ask from.
    a.output("ip -6 address flush dev eth0");
    add("fd00::12");
    let config = AskConfig::default();
    let asker = a.run(|| manycast::asker("[fd00::2]:5000", "?", &config));
    assert!(asker.is_ok(), "{:?}", asker.err());
}

/// Another host of the link has the address: time alone does not mend that.
pub(crate) fn an_address_that_another_host_has_is_not_waited_for() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.sysctl("net.ipv6.conf.eth0.accept_dad", "1");
    b.output("ip address add fd00::9/64 dev eth0 nodad");
    a.output("ip address add fd00::9/64 dev eth0");
    // The first wait lasts until the other host has answered.
    let bind = || a.run(|| Socket::bind("[fd00::9]:5000").unwrap_err().to_string());
    let first = bind();
    assert!(
        first.contains("another host of the link has it too"),
        "{first}"
    );
    let begin = Instant::now();
    assert_eq!(bind(), first);
    assert!(begin.elapsed() < Duration::from_secs(1));
}
