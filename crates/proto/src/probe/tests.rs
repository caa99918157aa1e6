mod hostile;
mod report;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, Received, SocketId, Transmit};
use proptest::prelude::*;

use super::message::{Body, CHUNK, Message};
use super::{
    Burst, Client, ClientConfig, ClientEvent, Counts, Key, Order, Refusal, Report, Server,
    ServerConfig, ServerEvent,
};
use crate::{NetworkEvent, Output, Protocol};
use report::{inquiry, report};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 49_366);
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 2], 40_000);
const GROUP: ([u8; 4], u16) = ([239, 1, 2, 3], 5000);

const BURST: Burst = Burst {
    to_group: true,
    by_route: true,
    count: 20,
    size: 200,
    hops: 1,
    source: None,
};

fn client(key: Option<&str>) -> Client {
    client_of(GROUP, key)
}

fn client_of(group: ([u8; 4], u16), key: Option<&str>) -> Client {
    let config = ClientConfig {
        server: SERVER.into(),
        group: group.into(),
        source: None,
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
    let interface = InterfaceId::new(2, "eth0");
    let mut received = Received::new(&transmit.payload, from, transmit.destination, &interface);
    received.hops = Some(1);
    to.handle_datagram(now, received);
}

/// All that a protocol has to send and to tell, up to its next wait.
fn drain<P: Protocol>(protocol: &mut P) -> (Vec<Transmit>, Vec<P::Event>) {
    let (mut transmits, mut events) = (Vec::new(), Vec::new());
    loop {
        match protocol.poll_output(start()) {
            Output::Transmit(transmit) => transmits.push(transmit),
            Output::Event(event) => events.push(event),
            Output::Request(request) => panic!("it needs no {request:?}"),
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
    assert!(matches!(asked[..], [ServerEvent::Join { .. }]), "{asked:?}");
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
        server.sent(order, Ok(()));
        converse(&mut client, &mut server, now);
        let counts = Counts { group: 5, host: 0 };
        assert_eq!(wait(&mut client, now), [ClientEvent::Came(counts)]);
    }
}

/// Lets time pass until a client has something to tell.
fn wait(client: &mut Client, mut now: Instant) -> Vec<ClientEvent> {
    loop {
        match client.poll_output(now) {
            Output::Event(event) => return vec![event],
            Output::Wait {
                until: Some(until), ..
            } => {
                now = now.max(until);
                client.handle_timeout(now);
            }
            Output::Transmit(_) | Output::Request(_) => {}
            Output::Wait { until: None, .. } | Output::Finished => return Vec::new(),
        }
    }
}

/// A datagram of the server to the group.
fn data(client: &mut Client, now: Instant, order: &Order, index: u8) {
    let transmit = Transmit::new(GROUP.into(), order.datagram(index));
    deliver(client, now, SERVER.into(), &transmit);
}

#[test]
fn the_wait_ends_at_once_where_all_has_come_and_goes_on_while_more_comes() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.request(now, BURST);
    let (_, asked) = converse(&mut client, &mut server, now);
    let all = order(&asked).clone();
    (0..20).for_each(|index| data(&mut client, now, &all, index));
    server.sent(&all, Ok(()));
    let (told, _) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Came(Counts { group: 20, host: 0 })]);

    // A host that is short of time reads the word that they were sent before most of them.
    client.request(now, BURST);
    let (_, asked) = converse(&mut client, &mut server, now);
    let late = order(&asked).clone();
    server.sent(&late, Ok(()));
    converse(&mut client, &mut server, now);
    let mut at = now;
    for index in 0..20 {
        at += Duration::from_millis(200);
        client.handle_timeout(at);
        assert_eq!(drain(&mut client).1, [], "before datagram {index}");
        data(&mut client, at, &late, index);
    }
    client.handle_timeout(at + Duration::from_millis(200));
    let counts = Counts { group: 20, host: 0 };
    assert_eq!(drain(&mut client).1, [ClientEvent::Came(counts)]);
}

#[test]
fn the_server_is_asked_again_while_own_datagrams_may_be_on_their_way() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    let round = client.begin_round();
    client.count(now, round, 3);
    for index in 0..3 {
        let (told, _) = converse(&mut client, &mut server, now);
        assert!(told.is_empty(), "{told:?}");
        let transmit = Transmit::new(GROUP.into(), client.datagram(round, index, 200));
        deliver(&mut server, now, CLIENT.into(), &transmit);
        now += Duration::from_millis(200);
        client.handle_timeout(now);
    }
    let (told, _) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Counted(Counts { group: 3, host: 0 })]);

    // What is lost is not asked for for ever.
    let round = client.begin_round();
    client.count(now, round, 3);
    let mut asked = 0;
    let told = loop {
        let (told, _) = converse(&mut client, &mut server, now);
        if !told.is_empty() {
            break told;
        }
        asked += 1;
        now += Duration::from_millis(200);
        client.handle_timeout(now);
    };
    assert_eq!(told, [ClientEvent::Counted(Counts::default())]);
    assert_eq!(asked, 2);
}

#[test]
fn a_straggler_of_an_earlier_round_takes_nothing_from_the_later_one() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    let early = client.begin_round();
    let straggler = Transmit::new(GROUP.into(), client.datagram(early, 7, 200));
    let round = client.begin_round();
    for index in 0..2 {
        let transmit = Transmit::new(GROUP.into(), client.datagram(round, index, 200));
        deliver(&mut server, now, CLIENT.into(), &transmit);
        deliver(&mut server, now, CLIENT.into(), &straggler);
    }
    client.count(now, round, 2);
    let (told, _) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Counted(Counts { group: 2, host: 0 })]);
}

#[test]
fn another_version_is_told_and_never_mistaken() {
    let now = start();
    let mut server = server(None);
    let mut client = client(None);
    client.start(now);
    let (requests, _) = drain(&mut client);
    let mut hello = requests[0].payload.to_vec();
    hello[4] = 1;
    let transmit = Transmit::new(SERVER.into(), bytes::Bytes::from(hello.clone()));
    deliver(&mut server, now, CLIENT.into(), &transmit);
    let (answers, events) = drain(&mut server);
    assert!(events.is_empty());
    assert!(answers[0].payload.len() <= hello.len());
    // As that client would see it: its own number and another version.
    let mut answer = answers[0].payload.to_vec();
    assert_eq!(answer[4], 3);
    assert_eq!(answer[6..22], hello[6..22]);
    answer[4] = 9;
    let transmit = Transmit::new(CLIENT.into(), answer.into());
    deliver(&mut client, now, SERVER.into(), &transmit);
    assert_eq!(drain(&mut client).1, [], "somebody else may have said so");
    assert_eq!(wait(&mut client, now), [ClientEvent::Foreign(9)]);
    // One that is too short gets no answer, which would be longer.
    hello.truncate(60);
    let transmit = Transmit::new(SERVER.into(), hello.into());
    deliver(&mut server, now, CLIENT.into(), &transmit);
    assert!(drain(&mut server).0.is_empty());
}

#[test]
fn those_who_ask_about_a_group_name_their_sources_together() {
    let now = start();
    let mut server = server(None);
    let mut joined = |number: u8, source: Option<[u8; 4]>| {
        let config = ClientConfig {
            server: SERVER.into(),
            group: ([232, 1, 1, 1], 5000).into(),
            source: source.map(Into::into),
            key: None,
        };
        let mut client = Client::new(config, [number; 32]);
        client.start(now);
        let (_, asked) = converse(&mut client, &mut server, now);
        match &asked[0] {
            ServerEvent::Join { sources, .. } => sources.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        joined(1, Some([10, 0, 0, 2])),
        [std::net::IpAddr::from([10, 0, 0, 2])]
    );
    assert_eq!(joined(2, Some([10, 0, 0, 3])).len(), 2);
    assert_eq!(joined(3, None), [] as [std::net::IpAddr; 0]);
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
    client.count(now, round, 3);
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
    let mut asked = Vec::new();
    let mut lengths = 0;
    for turn in 0..7 {
        let (requests, _) = drain(&mut client);
        deliver(&mut server, now, CLIENT.into(), &requests[0]);
        asked.extend(drain_into(
            &mut server,
            &mut client,
            now,
            &requests[0],
            &mut lengths,
        ));
        match turn {
            0 => {}
            1 => {
                asked.clear();
                client.watch(now);
            }
            2 => {
                server.watching(inquiry(&asked));
                asked.clear();
                drain_into(&mut server, &mut client, now, &requests[0], &mut lengths);
                client.examine(now, 0, 0);
            }
            3 => {
                server.examined(inquiry(&asked), &report(1));
                drain_into(&mut server, &mut client, now, &requests[0], &mut lengths);
            }
            _ => {}
        }
    }
    assert!(lengths >= 6, "{lengths} answers");

    // A request that is cut short, whoever has signed it, gets none.
    let short = Message {
        nonce: [7; 16],
        cookie: [0; 16],
        number: 9,
        body: Body::Read { chunk: 0 },
    };
    let long = short.emit(None, 0);
    assert!(long.len() > CHUNK);
    assert!(Message::parse(&long, None).is_ok());
    let cut = [&long[..200], &[0; 32]].concat();
    Message::parse(&cut, None).unwrap_err();
}

/// Carries the server's answers to a client, each no longer than the request, and gives its events.
fn drain_into(
    server: &mut Server,
    client: &mut Client,
    now: Instant,
    request: &Transmit,
    answered: &mut usize,
) -> Vec<ServerEvent> {
    let (answers, events) = drain(server);
    for answer in &answers {
        assert!(answer.payload.len() <= request.payload.len());
        deliver(client, now, SERVER.into(), answer);
        *answered += 1;
    }
    events
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
        server.sent(order(&asked), Ok(()));
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
    server.sent(order(&asked), Ok(()));
    let (lost, _) = drain(&mut server);
    assert_eq!(lost.len(), 1);
    client.handle_timeout(now + Duration::from_secs(1));
    let (_, asked) = converse(&mut client, &mut server, now);
    assert!(asked.is_empty(), "the same request again: {asked:?}");
    assert!(matches!(wait(&mut client, now)[..], [ClientEvent::Came(_)]));
}

#[test]
fn a_silent_session_is_forgotten_and_its_group_left() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.count(now, 0, 1);
    converse(&mut client, &mut server, now);
    server.handle_timeout(now + Duration::from_secs(61));
    let leave = ServerEvent::Leave {
        group: GROUP.into(),
    };
    assert_eq!(drain(&mut server).1, [leave]);
}

#[test]
fn a_request_that_is_late_is_not_done_again() {
    let now = start();
    let (mut client, mut server) = (client(None), server(None));
    client.start(now);
    let mut hello = Vec::new();
    for _ in ["without a cookie", "with it"] {
        (hello, _) = drain(&mut client);
        deliver(&mut server, now, CLIENT.into(), &hello[0]);
        let (welcome, _) = drain(&mut server);
        deliver(&mut client, now, SERVER.into(), &welcome[0]);
    }
    client.request(now, BURST);
    let (early, _) = drain(&mut client);
    deliver(&mut server, now, CLIENT.into(), &early[0]);
    let (_, asked) = drain(&mut server);
    order(&asked);
    client.request(now, BURST);
    let (later, _) = drain(&mut client);
    deliver(&mut server, now, CLIENT.into(), &later[0]);
    order(&drain(&mut server).1);
    for late in [&early[0], &hello[0]] {
        deliver(&mut server, now, CLIENT.into(), late);
        let (answers, events) = drain(&mut server);
        assert!(
            answers.is_empty() && events.is_empty(),
            "{answers:?} {events:?}"
        );
    }
    // Nor is an answer that comes twice heard twice.
    server.sent(order(&asked), Ok(()));
    assert!(
        drain(&mut server).0.is_empty(),
        "nobody waits for it any more"
    );
}

#[test]
fn a_host_where_nobody_listens_is_told_from_one_that_is_silent() {
    let now = start();
    let mut client = client(None);
    client.start(now);
    client.handle_network(
        now,
        NetworkEvent::refused(SocketId::default(), CLIENT.into()),
    );
    client.handle_network(
        now,
        NetworkEvent::refused(SocketId::default(), SERVER.into()),
    );
    assert_eq!(drain(&mut client).1, [], "it may start a moment later");
    assert_eq!(wait(&mut client, now), [ClientEvent::Absent]);
}

#[test]
fn a_client_that_goes_says_so() {
    let now = start();
    let (mut client, mut server) = agreed(Some("secret"), now);
    client.watch(now);
    converse(&mut client, &mut server, now);
    client.stop(now);
    let (farewell, _) = drain(&mut client);
    // Nobody else can say it.
    let other = (CLIENT.0, 40_001).into();
    deliver(&mut server, now, other, &farewell[0]);
    assert_eq!(drain(&mut server).1, []);
    deliver(&mut server, now, CLIENT.into(), &farewell[0]);
    let leave = ServerEvent::Leave {
        group: GROUP.into(),
    };
    assert_eq!(drain(&mut server).1, [leave]);
    client.stop(now);
    assert!(drain(&mut client).0.is_empty());
}

proptest! {
    #[test]
    fn no_datagram_panics(bytes in any::<Vec<u8>>(), cut in 0..200_usize) {
        let _ = Message::parse(&bytes, None);
        let hello = Message {
            nonce: [1; 16],
            cookie: [2; 16],
            number: 3,
            body: Body::Hello { group: GROUP.into(), source: None },
        };
        let _ = Report::parse(&bytes);
        let datagram = hello.emit(None, 0);
        prop_assert_eq!(Message::parse(&datagram, None), Ok(hello));
        let _ = Message::parse(&datagram[..cut.min(datagram.len())], None);
    }
}
