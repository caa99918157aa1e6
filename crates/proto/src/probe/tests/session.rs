//! How a session begins, what it stands on, and how it ends.

use std::net::IpAddr;

use manycast_types::{ErrorKind, Group, NetworkError};

use super::*;

#[test]
fn a_group_is_joined_once_the_host_was_looked_at_and_before_the_welcome() {
    let now = start();
    let (mut client, mut server) = (client(None), server(None));
    client.start(now);
    for _ in ["without a cookie", "with it"] {
        let (hello, _) = drain(&mut client, now);
        deliver(&mut server, now, CLIENT.into(), &hello[0]);
        if let Output::Transmit(welcome) = server.poll_output(now) {
            deliver(&mut client, now, SERVER.into(), &welcome);
        } else {
            // The event was taken, and no more.
        }
    }
    let Output::Request(Request::Join { group, port }) = server.poll_output(now) else {
        panic!("it joins");
    };
    assert_eq!((group.clone(), port), (Group::new(GROUP.0.into()), GROUP.1));
    let error = NetworkError::new(ErrorKind::LimitReached, "too many groups");
    server.handle_network(
        now,
        NetworkEvent::NotJoined {
            group,
            port,
            error: error.clone(),
        },
    );
    let joined = ServerEvent::Joined {
        client: CLIENT.into(),
        group: GROUP.into(),
        error: Some(error),
    };
    let (welcome, events) = drain(&mut server, now);
    assert_eq!(events, [joined]);
    assert_eq!(welcome.len(), 1, "it is examined all the same");

    // What happens to the group later is no answer.
    let interface = InterfaceId::new(3, "eth1");
    let later = Membership::new(GROUP.into(), interface, SourceFilter::any());
    server.handle_network(now, NetworkEvent::Joined(later));
    assert_eq!(drain(&mut server, now).1, []);
}

#[test]
fn a_client_joins_and_leaves_its_group_by_requests() {
    let now = start();
    let (mut client, _) = agreed(None, now);
    let group = Group::new(GROUP.0.into());
    client.leave(group.clone());
    client.join(group.clone());
    let (_, told, requests) = drain_all(&mut client, now);
    assert_eq!(told, [ClientEvent::Joined]);
    let port = GROUP.1;
    let leave = Request::Leave {
        group: group.clone(),
        port,
    };
    let join = Request::Join {
        group: group.clone(),
        port,
    };
    assert_eq!(requests, [leave, join]);

    client.join(group.clone());
    assert!(matches!(client.poll_output(now), Output::Request(_)));
    let error = NetworkError::new(ErrorKind::NoInterface, "there is none");
    client.handle_network(
        now,
        NetworkEvent::NotJoined {
            group,
            port,
            error: error.clone(),
        },
    );
    assert_eq!(drain(&mut client, now).1, [ClientEvent::NotJoined(error)]);
}

#[test]
fn another_version_is_told_and_never_mistaken() {
    let now = start();
    let mut server = server(None);
    let mut client = client(None);
    client.start(now);
    let (requests, _) = drain(&mut client, now);
    let mut hello = requests[0].payload.to_vec();
    hello[4] = 1;
    let transmit = Transmit::new(SERVER.into(), bytes::Bytes::from(hello.clone()));
    deliver(&mut server, now, CLIENT.into(), &transmit);
    let (answers, events) = drain(&mut server, now);
    assert!(events.is_empty());
    assert!(answers[0].payload.len() <= hello.len());
    // As that client would see it: its own number and another version.
    let mut answer = answers[0].payload.to_vec();
    assert_eq!(answer[4], 3);
    assert_eq!(answer[6..22], hello[6..22]);
    answer[4] = 9;
    let transmit = Transmit::new(CLIENT.into(), answer.into());
    deliver(&mut client, now, SERVER.into(), &transmit);
    assert_eq!(
        drain(&mut client, now).1,
        [],
        "somebody else may have said so"
    );
    assert_eq!(wait(&mut client, now), [ClientEvent::Foreign(9)]);
    // One that is too short gets no answer, which would be longer.
    hello.truncate(60);
    let transmit = Transmit::new(SERVER.into(), hello.into());
    deliver(&mut server, now, CLIENT.into(), &transmit);
    assert!(drain(&mut server, now).0.is_empty());
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
            ServerEvent::Agreed { sources, .. } => sources.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        joined(1, Some([10, 0, 0, 2])),
        [IpAddr::from([10, 0, 0, 2])]
    );
    assert_eq!(joined(2, Some([10, 0, 0, 3])).len(), 2);
    assert_eq!(joined(3, None), [] as [IpAddr; 0]);
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
        assert_eq!(drain(&mut client, now).1, [ClientEvent::Silent]);
        assert_eq!(server.stats().malformed, 5);
    }
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

const LEFT: ServerEvent = ServerEvent::Left {
    group: SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::new(239, 1, 2, 3),
        5000,
    )),
};

#[test]
fn a_silent_session_is_forgotten_and_its_group_left() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.watch(now);
    let (request, _) = drain(&mut client, now);
    let later = now + Duration::from_secs(50);
    deliver(&mut server, later, CLIENT.into(), &request[0]);
    let _ = drain(&mut server, later);
    server.handle_timeout(later + Duration::from_secs(59));
    assert_eq!(drain(&mut server, later).1, []);
    server.handle_timeout(later + Duration::from_secs(60));
    let (_, events, requests) = drain_all(&mut server, later);
    assert_eq!(events, [LEFT]);
    assert!(matches!(requests[..], [Request::Leave { .. }]));
}

/// Whoever has seen a request can send it again, in the client's name.
#[test]
fn a_request_that_is_replayed_keeps_no_session_alive() {
    let now = start();
    let (mut client, mut server) = agreed(Some("secret"), now);
    client.watch(now);
    let (request, _) = drain(&mut client, now);
    for seconds in 0..60 {
        let later = now + Duration::from_secs(seconds);
        deliver(&mut server, later, CLIENT.into(), &request[0]);
        let _ = drain(&mut server, later);
    }
    let end = now + Duration::from_secs(60);
    server.handle_timeout(end);
    assert_eq!(drain(&mut server, end).1, [LEFT]);
}

#[test]
fn a_request_that_is_late_is_not_done_again() {
    let mut now = start();
    let (mut client, mut server) = (client(None), server(None));
    client.start(now);
    let mut hello = Vec::new();
    for _ in ["without a cookie", "with it"] {
        (hello, _) = drain(&mut client, now);
        deliver(&mut server, now, CLIENT.into(), &hello[0]);
        let (welcome, _) = drain(&mut server, now);
        deliver(&mut client, now, SERVER.into(), &welcome[0]);
    }
    let _ = drain(&mut client, now);
    client.request(now, BURST);
    let (early, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &early[0]);
    client.request(now, BURST);
    let (later, _) = drain(&mut client, now);
    deliver(&mut server, now, CLIENT.into(), &later[0]);
    let (data, _, _) = order_done(&mut server, &mut now);
    assert_eq!(
        data.len(),
        20,
        "the later one takes the place of the earlier"
    );
    for late in [&early[0], &hello[0]] {
        deliver(&mut server, now, CLIENT.into(), late);
        let (answers, events) = drain(&mut server, now);
        assert!(
            answers.is_empty() && events.is_empty(),
            "{answers:?} {events:?}"
        );
    }
}

#[test]
fn a_host_where_nobody_listens_is_told_from_one_that_is_silent() {
    let now = start();
    let mut client = client(None);
    client.start(now);
    for peer in [CLIENT, SERVER] {
        client.handle_network(now, NetworkEvent::refused(ASKED, peer.into()));
    }
    assert_eq!(drain(&mut client, now).1, [], "it may start a moment later");
    // Whoever says so is believed sooner than silence is.
    let (told, at) = waited(&mut client, now);
    assert_eq!(told, [ClientEvent::Absent]);
    assert!(at - now < Duration::from_secs(1), "{:?}", at - now);
    let mut client = super::client(None);
    client.start(now);
    let (told, at) = waited(&mut client, now);
    assert_eq!(told, [ClientEvent::Silent]);
    assert!(at - now > Duration::from_secs(3), "{:?}", at - now);
}

#[test]
fn a_client_that_goes_says_so() {
    let now = start();
    let (mut client, mut server) = agreed(Some("secret"), now);
    client.watch(now);
    converse(&mut client, &mut server, now);
    client.stop(now);
    let (bye, _) = drain(&mut client, now);
    // Nobody else can say it.
    let other = (CLIENT.0, 40_001).into();
    deliver(&mut server, now, other, &bye[0]);
    assert_eq!(drain(&mut server, now).1, []);
    deliver(&mut server, now, CLIENT.into(), &bye[0]);
    assert_eq!(drain(&mut server, now).1, [LEFT]);
    client.stop(now);
    assert!(drain(&mut client, now).0.is_empty());
}
