use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{Ecn, InterfaceId, Received, Transmit};
use proptest::prelude::*;

use super::message::{Body, Message};
use super::{
    Burst, Client, ClientConfig, ClientEvent, Counts, Key, Order, Refusal, Server, ServerConfig,
    ServerEvent,
};
use crate::{Output, Protocol};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 49_366);
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 2], 40_000);
const GROUP: ([u8; 4], u16) = ([239, 1, 2, 3], 5000);

const BURST: Burst = Burst {
    to_group: true,
    by_route: true,
    count: 20,
    size: 200,
    hops: 1,
};

fn client(key: Option<&str>) -> Client {
    client_of(GROUP, key)
}

fn client_of(group: ([u8; 4], u16), key: Option<&str>) -> Client {
    let config = ClientConfig {
        server: SERVER.into(),
        group: group.into(),
        key: key.map(|key| Key::new(key.to_owned())),
    };
    Client::new(config, [7; 32])
}

fn server(key: Option<&str>) -> Server {
    let config = ServerConfig {
        key: key.map(|key| Key::new(key.to_owned())),
        ..ServerConfig::default()
    };
    Server::new(config, [8; 32])
}

/// Somewhere in time: a protocol needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn deliver<P: Protocol>(to: &mut P, now: Instant, from: SocketAddr, transmit: &Transmit) {
    to.handle_datagram(
        now,
        Received {
            payload: &transmit.payload,
            source: from,
            destination: transmit.destination,
            local: None,
            interface: &InterfaceId::new(2, "eth0"),
            hops: Some(1),
            time: None,
            ecn: Ecn::NotEct,
            truncated: false,
            dropped: 0,
        },
    );
}

/// All that a protocol has to send and to tell, up to its next wait.
fn drain<P: Protocol>(protocol: &mut P) -> (Vec<Transmit>, Vec<P::Event>) {
    let (mut transmits, mut events) = (Vec::new(), Vec::new());
    loop {
        match protocol.poll_output() {
            Output::Transmit(transmit) => transmits.push(transmit),
            Output::Event(event) => events.push(event),
            Output::Wait { .. } | Output::Finished => return (transmits, events),
        }
    }
}

/// Carries control messages to and fro, and gives what both told.
fn converse(
    client: &mut Client,
    server: &mut Server,
    now: Instant,
) -> (Vec<ClientEvent>, Vec<ServerEvent>) {
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    loop {
        let (requests, events) = drain(client);
        told.extend(events);
        for request in &requests {
            deliver(server, now, CLIENT.into(), request);
        }
        let (answers, events) = drain(server);
        asked.extend(events);
        for answer in &answers {
            assert_eq!(answer.destination, CLIENT.into(), "nobody else");
            deliver(client, now, SERVER.into(), answer);
        }
        if requests.is_empty() && answers.is_empty() {
            return (told, asked);
        }
    }
}

fn agreed(key: Option<&str>, now: Instant) -> (Client, Server) {
    let (mut client, mut server) = (client(key), server(key));
    client.start(now);
    let (told, asked) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Welcome]);
    assert!(
        asked.is_empty(),
        "nothing is joined for whom nobody has seen"
    );
    (client, server)
}

fn order(events: &[ServerEvent]) -> &Order {
    let found = events.iter().find_map(|event| match event {
        ServerEvent::Send(order) => Some(order),
        _ => None,
    });
    found.expect("datagrams are asked for")
}

#[test]
fn what_was_asked_for_comes_and_is_counted() {
    for key in [None, Some("secret")] {
        let now = start();
        let (mut client, mut server) = agreed(key, now);
        client.request(now, BURST);
        let (told, asked) = converse(&mut client, &mut server, now);
        assert!(told.is_empty());
        let join = ServerEvent::Join {
            client: CLIENT.into(),
            group: GROUP.into(),
        };
        assert_eq!(asked[0], join);
        let order = order(&asked);
        assert_eq!((order.to, order.burst), (GROUP.into(), BURST));
        // The fourth is lost, and the fifth comes twice.
        for index in [0, 1, 2, 4, 4, 5] {
            let datagram = order.datagram(index);
            assert_eq!(datagram.len(), 200);
            deliver(
                &mut client,
                now,
                SERVER.into(),
                &Transmit::new(GROUP.into(), datagram),
            );
        }
        server.sent(order, true);
        converse(&mut client, &mut server, now);
        client.handle_timeout(now + Duration::from_secs(1));
        let counts = Counts { group: 5, host: 0 };
        assert_eq!(drain(&mut client).1, [ClientEvent::Came(counts)]);
    }
}

#[test]
fn what_the_client_sends_is_counted_by_the_server() {
    let now = start();
    let (mut client, mut server) = agreed(Some("secret"), now);
    let round = client.begin_round();
    for (index, to) in [(0, SERVER.into()), (1, SERVER.into()), (2, GROUP.into())] {
        let datagram = client.datagram(round, index, 1000);
        assert_eq!(datagram.len(), 1000);
        deliver(
            &mut server,
            now,
            CLIENT.into(),
            &Transmit::new(to, datagram),
        );
    }
    client.count(now, round);
    let (told, _) = converse(&mut client, &mut server, now);
    let counts = Counts { group: 1, host: 2 };
    assert_eq!(told, [ClientEvent::Counted(counts)]);
}

#[test]
fn another_key_gets_no_answer() {
    for (ours, theirs) in [
        (None, Some("secret")),
        (Some("a"), Some("b")),
        (Some("a"), None),
    ] {
        let mut now = start();
        let (mut client, mut server) = (client(ours), server(theirs));
        client.start(now);
        for _ in 0..5 {
            let (told, asked) = converse(&mut client, &mut server, now);
            assert!(told.is_empty() && asked.is_empty());
            now += Duration::from_secs(1);
            client.handle_timeout(now);
        }
        assert_eq!(drain(&mut client).1, [ClientEvent::Silent]);
        assert_eq!(server.stats().malformed, 5);
    }
}

#[test]
fn nothing_is_sent_for_whom_the_cookie_did_not_reach() {
    let now = start();
    let (_, mut server) = agreed(None, now);
    let forged = Message {
        nonce: [7; 16],
        cookie: [0; 16],
        number: 9,
        body: Body::Send(BURST),
    };
    let transmit = Transmit::new(SERVER.into(), forged.emit(None, 0));
    deliver(&mut server, now, CLIENT.into(), &transmit);
    let (transmits, events) = drain(&mut server);
    assert!(transmits.is_empty() && events.is_empty());
    assert_eq!(server.stats().strangers, 1);
}

#[test]
fn no_answer_is_longer_than_its_request() {
    let now = start();
    let (mut client, mut server) = (client(None), server(None));
    client.start(now);
    let (requests, _) = drain(&mut client);
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    let (answers, _) = drain(&mut server);
    assert!(answers[0].payload.len() <= requests[0].payload.len());
}

#[test]
fn groups_of_the_link_and_hosts_are_refused() {
    for group in [
        ([224, 0, 0, 251], 5353),
        ([10, 0, 0, 9], 5000),
        ([239, 1, 1, 1], 0),
    ] {
        let now = start();
        let (mut client, mut server) = (client_of(group, None), server(None));
        client.start(now);
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Refused(Refusal::Group)]);
    }
}

#[test]
fn what_makes_no_sense_or_is_too_much_is_refused() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    for burst in [
        Burst { count: 65, ..BURST },
        Burst { count: 0, ..BURST },
        Burst { size: 1, ..BURST },
        Burst { hops: 0, ..BURST },
    ] {
        client.request(now, burst);
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Refused(Refusal::Request)]);
    }
    let mut granted = 0;
    let refused = loop {
        client.request(now, Burst { count: 64, ..BURST });
        let (told, asked) = converse(&mut client, &mut server, now);
        if !told.is_empty() {
            break told;
        }
        server.sent(order(&asked), true);
        converse(&mut client, &mut server, now);
        granted += 64;
    };
    assert_eq!(refused, [ClientEvent::Refused(Refusal::TooMuch)]);
    assert_eq!(granted, 2000 / 64 * 64);
    // A second later there is more.
    client.request(now + Duration::from_secs(1), BURST);
    let (_, asked) = converse(&mut client, &mut server, now + Duration::from_secs(1));
    order(&asked);
}

#[test]
fn a_lost_answer_is_repeated_and_nothing_is_sent_twice() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.request(now, BURST);
    let (_, asked) = converse(&mut client, &mut server, now);
    server.sent(order(&asked), true);
    let (lost, _) = drain(&mut server);
    assert_eq!(lost.len(), 1);
    client.handle_timeout(now + Duration::from_secs(1));
    let (_, asked) = converse(&mut client, &mut server, now);
    assert!(asked.is_empty(), "the same request again: {asked:?}");
    client.handle_timeout(now + Duration::from_secs(3));
    assert!(matches!(drain(&mut client).1[..], [ClientEvent::Came(_)]));
}

#[test]
fn a_silent_session_is_forgotten_and_its_group_left() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.count(now, 0);
    converse(&mut client, &mut server, now);
    server.handle_timeout(now + Duration::from_secs(61));
    let leave = ServerEvent::Leave {
        group: GROUP.into(),
    };
    assert_eq!(drain(&mut server).1, [leave]);
}

proptest! {
    #[test]
    fn no_datagram_panics(bytes in any::<Vec<u8>>(), cut in 0..200_usize) {
        let _ = Message::parse(&bytes, None);
        let hello = Message {
            nonce: [1; 16],
            cookie: [2; 16],
            number: 3,
            body: Body::Hello { group: GROUP.into() },
        };
        let datagram = hello.emit(None, 0);
        prop_assert_eq!(Message::parse(&datagram, None), Ok(hello));
        let _ = Message::parse(&datagram[..cut.min(datagram.len())], None);
    }
}
