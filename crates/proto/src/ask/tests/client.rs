use manycast_types::{ErrorKind, NetworkError, Unreachable};

use super::*;

const HOST: &str = "192.0.2.7:8888";
const GROUP: &str = "239.192.0.100:8888";
const OWN: &str = "192.0.2.1:40000";

fn asking(config: ClientConfig) -> (Client, Instant) {
    let now = start();
    let mut client = Client::new(config, [7; 32]);
    client.start(now);
    let (sent, told, _) = drain(&mut client, now);
    assert_eq!((sent.len(), told.len()), (1, 0));
    (client, now)
}

fn responders(told: &[ClientEvent]) -> Vec<SocketAddr> {
    let responder = |event: &ClientEvent| match event {
        ClientEvent::Answer(answer) => Some(answer.datagram.source),
        _ => None,
    };
    told.iter().filter_map(responder).collect()
}

fn ending(told: &[ClientEvent]) -> Option<(usize, Ending)> {
    match told.last() {
        Some(ClientEvent::Finished { answers, ending }) => Some((*answers, *ending)),
        _ => None,
    }
}

#[test]
fn sends_nothing_before_its_start() {
    let mut client = Client::new(ClientConfig::new(address(HOST), "hello"), [0; 32]);
    assert_eq!(
        drain(&mut client, start()),
        (vec![], vec![], Next::Wait(None, "its start"))
    );
    give(&mut client, start(), HOST, OWN, b"too early");
    assert_eq!(client.stats().untimely, 1);
}

#[test]
fn the_first_answer_of_the_asked_host_is_enough() {
    let (mut client, now) = asking(ClientConfig::new(address(HOST), "hello"));
    let later = now + Duration::from_millis(3);
    give(&mut client, later, HOST, OWN, b"OK...hello");
    let (sent, told, next) = drain(&mut client, later);
    assert!(sent.is_empty());
    let [ClientEvent::Answer(answer), ClientEvent::Finished { .. }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(answer.datagram.payload, "OK...hello");
    assert_eq!(answer.datagram.interface.name.as_ref(), "eth0");
    assert_eq!(
        (answer.round_trip, answer.attempt),
        (Duration::from_millis(3), 1)
    );
    assert_eq!(ending(&told), Some((1, Ending::Enough)));
    assert_eq!(next, Next::Finished);
}

#[test]
fn answers_of_others_are_ignored_and_counted() {
    let (mut client, now) = asking(ClientConfig::new(address(HOST), "hello"));
    for stranger in ["192.0.2.8:8888", "192.0.2.7:8889", "[::1]:8888"] {
        give(&mut client, now, stranger, OWN, b"OK...hello");
    }
    let (_, told, next) = drain(&mut client, now);
    assert_eq!(
        (told, next),
        (
            vec![],
            Next::Wait(Some(SECOND), "answers to the last attempt")
        )
    );
    assert_eq!(client.stats().strangers, 3);
    give(&mut client, now, HOST, OWN, b"OK...hello");
    assert_eq!(
        ending(&drain(&mut client, now).1),
        Some((1, Ending::Enough))
    );
}

#[test]
fn the_same_host_may_be_written_otherwise() {
    for (asked, answers) in [
        ("[::ffff:192.0.2.7]:8888", "192.0.2.7:8888"),
        ("192.0.2.7:8888", "[::ffff:192.0.2.7]:8888"),
        ("[fe80::7]:8888", "[fe80::7%2]:8888"),
        ("[fe80::7%2]:8888", "[fe80::7]:8888"),
        ("0.0.0.0:8888", "127.0.0.1:8888"),
        ("[::]:8888", "[::1]:8888"),
    ] {
        let (mut client, now) = asking(ClientConfig::new(address(asked), "hello"));
        give(&mut client, now, answers, OWN, b"OK...hello");
        assert_eq!(client.stats().answers, 1, "{asked} {answers}");
    }
    let (mut client, now) = asking(ClientConfig::new(address("[fe80::7%2]:8888"), "hello"));
    give(&mut client, now, "[fe80::7%3]:8888", OWN, b"OK...hello");
    assert_eq!(client.stats().strangers, 1, "another link");
}

#[test]
fn a_question_that_came_back_is_told_once_and_may_still_be_answered() {
    let came_back = |peer| {
        let unreachable = Unreachable::new(address(peer), ErrorKind::HostUnreachable, 113);
        let socket = SocketId::default();
        (
            unreachable,
            NetworkEvent::Unreachable {
                socket,
                unreachable,
            },
        )
    };
    let (unreachable, event) = came_back(HOST);
    let (mut client, now) = asking(ClientConfig::new(address(HOST), "hello"));
    client.handle_network(now, came_back("192.0.2.8:8888").1);
    assert_eq!(drain(&mut client, now).1, []);
    client.handle_network(now, event.clone());
    client.handle_network(now, event.clone());
    let told = drain(&mut client, now).1;
    assert_eq!(told, [ClientEvent::Unreachable(unreachable)]);
    give(&mut client, now, HOST, OWN, b"OK...hello");
    let told = drain(&mut client, now).1;
    assert_eq!(responders(&told), [address(HOST)]);

    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    client.handle_network(now, event);
    assert_eq!(
        drain(&mut client, now).1,
        [],
        "others of the group may answer"
    );
}

#[test]
fn a_question_that_was_not_sent_once_ends_it() {
    let config = ClientConfig {
        retries: 1,
        ..ClientConfig::new(address(HOST), "hello")
    };
    let failure = NetworkError::new(ErrorKind::PermissionDenied, "a firewall forbids it");
    let not_sent = || NetworkEvent::NotSent {
        destination: address(HOST),
        count: 1,
        error: failure.clone(),
    };
    // It asks again before it gives up.
    let (mut client, now) = asking(config.clone());
    client.handle_network(now, not_sent());
    let (_, told, next) = drain(&mut client, now);
    let Next::Wait(Some(wait), _) = next else {
        panic!("{next:?}")
    };
    assert_eq!(told, []);
    let until = now + wait;
    client.handle_timeout(until);
    drain(&mut client, until);
    client.handle_network(until, not_sent());
    let (_, told, next) = drain(&mut client, until);
    assert_eq!(told[0], ClientEvent::NotSent(failure.clone()));
    assert_eq!(ending(&told), Some((0, Ending::NotSent)));
    assert_eq!(next, Next::Finished);

    // One that was sent may be answered.
    let (mut client, now) = asking(config);
    client.handle_timeout(now + Duration::from_secs(3600));
    drain(&mut client, now);
    client.handle_network(now, not_sent());
    assert_eq!(drain(&mut client, now).1, []);
}

#[test]
fn a_refusal_of_the_asked_host_ends_it_and_no_other() {
    let (mut client, now) = asking(ClientConfig::new(address(HOST), "hello"));
    client.handle_network(
        now,
        NetworkEvent::refused(SocketId::default(), address("192.0.2.8:8888")),
    );
    assert_eq!(drain(&mut client, now).1, []);
    client.handle_network(
        now,
        NetworkEvent::refused(SocketId::default(), address(HOST)),
    );
    let (_, told, next) = drain(&mut client, now);
    assert_eq!(
        told[0],
        ClientEvent::Refused {
            peer: address(HOST)
        }
    );
    assert_eq!(ending(&told), Some((0, Ending::Refused)));
    assert_eq!(next, Next::Finished);
    assert_eq!(client.stats().refusals, 2);

    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    client.handle_network(
        now,
        NetworkEvent::refused(SocketId::default(), address(HOST)),
    );
    assert_eq!(
        drain(&mut client, now).1,
        [],
        "others of the group may still answer"
    );
}

#[test]
fn a_group_is_heard_until_the_time_is_up() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    let answering = ["192.0.2.3:8888", "192.0.2.4:50000", "[2001:db8::5]:8888"];
    for responder in answering {
        give(&mut client, now, responder, OWN, b"here");
    }
    let (_, told, _) = drain(&mut client, now);
    assert_eq!(responders(&told), answering.map(address));

    client.handle_timeout(now + SECOND - Duration::from_nanos(1));
    assert_eq!(drain(&mut client, now).1, []);
    client.handle_timeout(now + SECOND);
    let (_, told, next) = drain(&mut client, now);
    assert_eq!(ending(&told), Some((3, Ending::TimeOut)));
    assert_eq!(next, Next::Finished);

    give(&mut client, now + SECOND, "192.0.2.6:8888", OWN, b"late");
    assert_eq!(drain(&mut client, now), (vec![], vec![], Next::Finished));
    assert_eq!(client.stats().untimely, 1);
}

#[test]
fn a_group_is_heard_until_there_are_answers_enough() {
    let config = ClientConfig {
        answers: Some(2),
        ..ClientConfig::new(address(GROUP), "x")
    };
    let (mut client, now) = asking(config);
    for responder in ["192.0.2.3:8888", "192.0.2.3:8888", "192.0.2.4:8888"] {
        give(&mut client, now, responder, OWN, b"here");
    }
    let (_, told, _) = drain(&mut client, now);
    assert_eq!(
        responders(&told),
        [address("192.0.2.3:8888"), address("192.0.2.4:8888")]
    );
    assert_eq!(ending(&told), Some((2, Ending::Enough)));
    assert_eq!(client.stats().duplicates, 1);
}

#[test]
fn another_answer_of_the_same_responder_is_an_answer() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "list your services"));
    for service in [b"printer", b"scanner", b"printer"] {
        give(&mut client, now, "192.0.2.3:8888", OWN, service);
    }
    assert_eq!((client.stats().answers, client.stats().duplicates), (2, 1));
}

#[test]
fn the_question_itself_is_no_answer() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    give(&mut client, now, "192.0.2.1:8888", GROUP, b"hello");
    assert_eq!(drain(&mut client, now).1, []);
    assert_eq!(client.stats().echoes, 1);
    // An echo without a prefix says the same, but to the asker.
    give(
        &mut client,
        now,
        "192.0.2.3:8888",
        "192.0.2.1:8888",
        b"hello",
    );
    assert_eq!(client.stats().answers, 1);
    // Another answers into the group.
    give(&mut client, now, "192.0.2.4:8888", GROUP, b"OK...hello");
    assert_eq!(client.stats().answers, 2);
}

#[test]
fn retries_wait_twice_as_long_each_and_a_little_more() {
    let config = ClientConfig {
        retries: 3,
        ..ClientConfig::new(address(HOST), "hello")
    };
    let (mut client, mut now) = asking(config);
    let mut waits = Vec::new();
    for attempt in 2..=4 {
        let (_, _, next) = drain(&mut client, now);
        let Next::Wait(Some(wait), "answers, before asking again") = next else {
            panic!("{next:?}")
        };
        waits.push(wait);
        now += wait;
        client.handle_timeout(now);
        let (sent, told, _) = drain(&mut client, now);
        assert_eq!(sent, [Transmit::new(address(HOST), Bytes::from("hello"))]);
        assert_eq!(told, [ClientEvent::Retried { attempt }]);
    }
    for (wait, least) in waits.iter().zip([1, 2, 4]) {
        let least = SECOND * least;
        assert!((least..=least + least / 4).contains(wait), "{waits:?}");
        assert_ne!(*wait, least, "{waits:?}");
    }
    let (_, _, next) = drain(&mut client, now);
    assert_eq!(
        next,
        Next::Wait(Some(SECOND * 8), "answers to the last attempt")
    );
    now += SECOND * 8;
    client.handle_timeout(now);
    assert_eq!(
        ending(&drain(&mut client, now).1),
        Some((0, Ending::TimeOut))
    );
    assert_eq!(client.stats().questions, 4);
}

#[test]
fn an_answer_after_a_retry_says_so() {
    let config = ClientConfig {
        retries: 1,
        ..ClientConfig::new(address(HOST), "hello")
    };
    let (mut client, now) = asking(config);
    let again = now + SECOND * 2;
    client.handle_timeout(again);
    give(&mut client, again + SECOND, HOST, OWN, b"here");
    let (_, told, _) = drain(&mut client, again);
    let Some(ClientEvent::Answer(answer)) = told.get(1) else {
        panic!("{told:?}")
    };
    assert_eq!((answer.round_trip, answer.attempt), (SECOND, 2));
}

#[test]
fn a_late_driver_makes_it_ask_once_not_often() {
    let config = ClientConfig {
        retries: 5,
        timeout: Duration::ZERO,
        backoff: 1,
        ..ClientConfig::new(address(HOST), "hello")
    };
    let (mut client, now) = asking(config);
    client.handle_timeout(now + SECOND * 60);
    assert_eq!(drain(&mut client, now).0.len(), 1);
}

#[test]
fn waits_that_are_longer_than_time_never_end() {
    let config = ClientConfig {
        timeout: Duration::MAX,
        retries: 1,
        ..ClientConfig::new(address(HOST), "hello")
    };
    let (mut client, now) = asking(config);
    let (_, _, next) = drain(&mut client, now);
    assert!(matches!(next, Next::Wait(None, _)), "{next:?}");
}

#[test]
fn whoever_wants_no_answer_does_not_wait() {
    let config = ClientConfig {
        answers: Some(0),
        ..ClientConfig::new(address(HOST), "x")
    };
    let mut client = Client::new(config, [0; 32]);
    client.start(start());
    let (sent, told, next) = drain(&mut client, start());
    assert_eq!((sent.len(), next), (1, Next::Finished));
    assert_eq!(ending(&told), Some((0, Ending::Enough)));
}

#[test]
fn a_flood_of_answers_ends_it() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    for number in 0..100_000_u32 {
        give(
            &mut client,
            now,
            "192.0.2.3:8888",
            OWN,
            &number.to_be_bytes(),
        );
    }
    let (_, told, _) = drain(&mut client, now);
    assert_eq!(
        ending(&told),
        Some((ClientConfig::MAX_ANSWERS, Ending::Enough))
    );
    assert_eq!(client.stats().untimely, 100_000 - 65_536);
}

#[test]
fn long_answers_end_it_before_they_fill_the_memory() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    let mut answer = vec![0; 65_507];
    for number in 0..2_000_u32 {
        answer[..4].copy_from_slice(&number.to_be_bytes());
        give(&mut client, now, "192.0.2.3:8888", OWN, &answer);
    }
    let (_, told, _) = drain(&mut client, now);
    let most = ClientConfig::MAX_BYTES.div_ceil(answer.len());
    assert_eq!(ending(&told), Some((most, Ending::Enough)));
}

#[test]
fn when_stopped_it_says_what_it_has() {
    let (mut client, now) = asking(ClientConfig::new(address(GROUP), "hello"));
    give(&mut client, now, "192.0.2.3:8888", OWN, b"here");
    client.stop(now);
    client.stop(now);
    let (_, told, next) = drain(&mut client, now);
    assert_eq!(told.len(), 2);
    assert_eq!(ending(&told), Some((1, Ending::Stopped)));
    assert_eq!(next, Next::Finished);
}
