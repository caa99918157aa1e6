//! Datagrams in either direction: sent, counted, waited for.

use manycast_types::{ErrorKind, NetworkError};

use super::*;

#[test]
fn what_was_asked_for_comes_and_is_counted() {
    for key in [None, Some("secret")] {
        let mut now = start();
        let (mut client, mut server) = agreed(key, now);
        client.request(now, BURST);
        let (data, answers) = request_done(&mut client, &mut server, &mut now);
        assert_eq!(data.len(), 20);
        // The fourth is lost, and the fifth comes twice.
        for index in [0, 1, 2, 4, 4, 5] {
            assert_eq!(data[index].destination, GROUP.into());
            deliver(&mut client, now, SERVER.into(), &data[index]);
        }
        deliver(&mut client, now, SERVER.into(), &answers[0]);
        let counts = Counts { group: 5, host: 0 };
        assert_eq!(wait(&mut client, now), [ClientEvent::Came(counts)]);
    }
}

#[test]
fn datagrams_to_the_group_have_a_socket_of_their_own_and_answers_the_one_that_was_asked() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    let burst = Burst {
        by_route: false,
        hops: 9,
        count: 2,
        source: Some([10, 0, 0, 1].into()),
        ..BURST
    };
    client.request(now, burst);
    let (requests, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    let (first, _, requests) = drain_all(&mut server, now);
    let [Request::Open { tag, local }] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!(local.to_string(), "10.0.0.1:0");
    let own = SocketId::new(100 + tag);
    assert_eq!((first[0].socket, first[0].hops), (Some(own), Some(9)));
    assert_eq!(first[0].interface, Some(2), "that of the request");
    assert_eq!(first[0].source, burst.source);
    let (second, _, requests) = drain_all(&mut server, now + PACE);
    assert_eq!((second.len(), requests.len()), (1, 0));
    let (answers, events, requests) = drain_all(&mut server, now + PACE * 2);
    assert_eq!(requests, [Request::Close { socket: own }]);
    assert!(matches!(
        events[..],
        [ServerEvent::Sent {
            count: 2,
            error: None,
            ..
        }]
    ));
    assert_eq!(answers[0].socket, Some(ASKED));

    // To the client by the port that it has asked.
    now += PACE * 2;
    let burst = Burst {
        to_group: false,
        ..burst
    };
    client.request(now, burst);
    let (data, _) = request_done(&mut client, &mut server, &mut now);
    assert_eq!(
        (data[0].destination, data[0].socket),
        (CLIENT.into(), Some(ASKED))
    );
}

#[test]
fn the_wait_ends_at_once_where_all_has_come_and_goes_on_while_more_comes() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    client.request(now, BURST);
    let (told, _) = converse_on(&mut client, &mut server, &mut now);
    assert_eq!(told, [ClientEvent::Came(Counts { group: 20, host: 0 })]);

    // A host that is short of time reads that they were sent before most of them.
    client.request(now, BURST);
    let (late, answers) = request_done(&mut client, &mut server, &mut now);
    deliver(&mut client, now, SERVER.into(), &answers[0]);
    for (index, datagram) in late.iter().enumerate() {
        now += Duration::from_millis(200);
        client.handle_timeout(now);
        assert_eq!(drain(&mut client, now).1, [], "before datagram {index}");
        deliver(&mut client, now, SERVER.into(), datagram);
    }
    now += Duration::from_millis(200);
    client.handle_timeout(now);
    let counts = Counts { group: 20, host: 0 };
    assert_eq!(drain(&mut client, now).1, [ClientEvent::Came(counts)]);
}

#[test]
fn what_the_client_sends_is_counted_by_the_server() {
    let mut now = start();
    let (mut client, mut server) = agreed(Some("secret"), now);
    for (to_group, counts) in [(true, (3, 0)), (false, (0, 3))] {
        client.send(now, Round { to_group, ..ROUND });
        let (told, _) = converse_on(&mut client, &mut server, &mut now);
        let (group, host) = counts;
        let counts = Counts { group, host };
        let not_sent = None;
        assert_eq!(told, [ClientEvent::Counted { counts, not_sent }]);
    }
}

/// What a client sends of a round, without asking the server about it.
fn round(client: &mut Client, now: &mut Instant) -> Vec<Transmit> {
    client.send(*now, ROUND);
    let mut data = Vec::new();
    for _ in 0..ROUND.count {
        data.extend(drain(client, *now).0);
        *now += PACE;
    }
    assert!(data.iter().all(|it| it.destination == GROUP.into()));
    data
}

#[test]
fn the_server_is_asked_again_while_own_datagrams_may_come_late() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    let late = round(&mut client, &mut now);
    for datagram in &late {
        let (told, _) = converse(&mut client, &mut server, now);
        assert!(told.is_empty(), "{told:?}");
        deliver(&mut server, now, CLIENT.into(), datagram);
        now += Duration::from_millis(200);
        client.handle_timeout(now);
    }
    let (told, _) = converse(&mut client, &mut server, now);
    let counts = Counts { group: 3, host: 0 };
    let not_sent = None;
    assert_eq!(told, [ClientEvent::Counted { counts, not_sent }]);

    // What is lost is not asked for for ever.
    round(&mut client, &mut now);
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
    let (counts, not_sent) = (Counts::default(), None);
    assert_eq!(told, [ClientEvent::Counted { counts, not_sent }]);
    assert_eq!(asked, 2);
}

#[test]
fn a_late_datagram_of_an_earlier_round_takes_nothing_from_the_later_one() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    let early = round(&mut client, &mut now);
    let later = round(&mut client, &mut now);
    for datagram in &later {
        deliver(&mut server, now, CLIENT.into(), datagram);
        deliver(&mut server, now, CLIENT.into(), &early[0]);
    }
    let (told, _) = converse(&mut client, &mut server, now);
    let counts = Counts { group: 3, host: 0 };
    let not_sent = None;
    assert_eq!(told, [ClientEvent::Counted { counts, not_sent }]);
}

fn not_sent(kind: ErrorKind) -> NetworkEvent {
    NetworkEvent::NotSent {
        destination: GROUP.into(),
        count: 1,
        error: NetworkError::new(kind, "it says why"),
    }
}

#[test]
fn what_a_host_cannot_send_is_told_with_its_reason() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    for (kind, refusal) in [
        (ErrorKind::PermissionDenied, Refusal::CannotSend),
        (ErrorKind::AddressNotAvailable, Refusal::Source),
    ] {
        client.request(now, BURST);
        let (requests, _) = drain(&mut client, now);
        deliver(&mut server, now, CLIENT.into(), &requests[0]);
        let _ = drain(&mut server, now);
        server.handle_network(now, not_sent(kind));
        let (_, answers, events) = order_done(&mut server, &mut now);
        let [ServerEvent::Sent { error, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(error.as_ref().map(|error| error.kind), Some(kind));
        deliver(&mut client, now, SERVER.into(), &answers[0]);
        let (told, _) = converse_on(&mut client, &mut server, &mut now);
        assert_eq!(told, [ClientEvent::Refused(refusal)]);
    }

    // What was sent before comes, and is counted.
    client.request(now, BURST);
    let (requests, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    let (first, _) = drain(&mut server, now);
    server.handle_network(now, not_sent(ErrorKind::PermissionDenied));
    let (rest, answers, _) = order_done(&mut server, &mut now);
    assert!(first.len() + rest.len() > 1);
    deliver(&mut client, now, SERVER.into(), &answers[0]);
    for data in first.iter().chain(&rest).take(1) {
        deliver(&mut client, now, SERVER.into(), data);
    }
    let (told, _) = converse_on(&mut client, &mut server, &mut now);
    let [ClientEvent::CameInPart(counts)] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(counts.group, 1);

    client.send(now, ROUND);
    let _ = drain(&mut client, now);
    client.handle_network(now, not_sent(ErrorKind::PermissionDenied));
    let (told, _) = converse_on(&mut client, &mut server, &mut now);
    let [ClientEvent::Counted { counts, not_sent }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(counts.group, 2, "the first did not go through this test");
    let kind = not_sent.as_ref().map(|error| error.kind);
    assert_eq!(kind, Some(ErrorKind::PermissionDenied));
}

#[test]
fn orders_of_several_clients_are_done_one_after_another() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    let mut other = other_client();
    other.start(now);
    let _ = converse(&mut other, &mut server, now);
    for client in [&mut client, &mut other] {
        client.request(now, BURST);
        let (requests, _) = drain(client, now);
        deliver(&mut server, now, CLIENT.into(), &requests[0]);
    }
    let began = now;
    for _ in 0..2 {
        let (data, _, _) = order_done(&mut server, &mut now);
        assert!((19..=21).contains(&data.len()), "{}", data.len());
    }
    assert!(now - began >= PACE * 40);
}

#[test]
fn who_goes_or_wants_something_else_leaves_nothing_open() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.request(now, BURST);
    let (requests, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    assert_eq!(drain(&mut server, now).0.len(), 1);
    client.watch(now);
    let (requests, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    let (data, _, requests) = drain_all(&mut server, now + Duration::from_secs(1));
    assert!(data.is_empty(), "they are wanted no more");
    assert!(matches!(requests[..], [Request::Close { .. }]));

    // The client itself too; and a socket that comes too late is closed.
    client.send(now, ROUND);
    assert_eq!(drain(&mut client, now).0.len(), 1);
    client.watch(now);
    let (_, _, requests) = drain_all(&mut client, now);
    assert!(matches!(requests[..], [Request::Close { .. }]));
    let late = NetworkEvent::Opened {
        tag: 1,
        socket: SocketId::new(9),
        local: CLIENT.into(),
    };
    client.handle_network(now, late.clone());
    server.handle_network(now, late);
    for requests in [drain_all(&mut client, now).2, drain_all(&mut server, now).2] {
        let socket = SocketId::new(9);
        assert_eq!(requests, [Request::Close { socket }]);
    }
}

#[test]
fn a_lost_answer_is_repeated_and_nothing_is_sent_twice() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    client.request(now, BURST);
    let (_, lost) = request_done(&mut client, &mut server, &mut now);
    assert_eq!(lost.len(), 1);
    now += Duration::from_secs(1);
    client.handle_timeout(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    assert!(asked.is_empty(), "the same request again: {asked:?}");
    assert!(matches!(wait(&mut client, now)[..], [ClientEvent::Came(_)]));
}

#[test]
fn what_makes_no_sense_or_is_too_much_is_refused() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    for burst in [
        Burst { count: 65, ..BURST },
        Burst { count: 0, ..BURST },
        Burst { size: 1, ..BURST },
        Burst { hops: 0, ..BURST },
        Burst {
            source: Some([239, 1, 1, 1].into()),
            ..BURST
        },
    ] {
        client.request(now, burst);
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Refused(Refusal::Request)]);
    }
    let began = now;
    let mut granted = 0;
    let refused = loop {
        client.request(began, Burst { count: 64, ..BURST });
        let (requests, _) = drain(&mut client, began);
        deliver(&mut server, began, CLIENT.into(), &requests[0]);
        let (answers, events) = drain(&mut server, began);
        if let [refusal] = &answers[..]
            && refusal.destination == CLIENT.into()
        {
            deliver(&mut client, began, SERVER.into(), refusal);
            break drain(&mut client, began).1;
        }
        assert!(events.is_empty(), "{events:?}");
        granted += 64;
    };
    assert_eq!(refused, [ClientEvent::Refused(Refusal::TooMuch)]);
    // The new group counts as much as a second of datagrams.
    assert_eq!(granted, (2000 - 200) / 64 * 64);
    // A second later there is more.
    now += Duration::from_secs(1);
    client.request(now, BURST);
    let (told, _) = converse_on(&mut client, &mut server, &mut now);
    assert!(matches!(told[..], [ClientEvent::Came(_)]), "{told:?}");
}
