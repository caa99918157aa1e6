use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Ecn, InterfaceId, MAX_PAYLOAD, Received, Transmit};

use super::*;
use crate::{Output, Protocol};

const SECOND: Duration = Duration::from_secs(1);

/// Somewhere in time: a test needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Lets `protocol` have a datagram.
fn give<P: Protocol>(protocol: &mut P, now: Instant, from: &str, to: &str, payload: &[u8]) {
    let destination = address(to);
    let group = destination.ip().is_multicast();
    let received = Received {
        payload,
        source: address(from),
        destination,
        local: (!group).then_some(destination.ip()),
        interface: &InterfaceId::new(2, "eth0"),
        hops: Some(64),
        time: None,
        ecn: Ecn::NotEct,
        truncated: false,
        dropped: 0,
    };
    protocol.handle_datagram(now, received);
}

/// What `protocol` sends and tells before it waits, and how long it then waits.
fn drain<P: Protocol>(protocol: &mut P, now: Instant) -> (Vec<Transmit>, Vec<P::Event>, Next) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    loop {
        match protocol.poll_output() {
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(event) => told.push(event),
            Output::Wait { until, reason } => {
                let until = until.map(|until| until.duration_since(now));
                return (sent, told, Next::Wait(until, reason));
            }
            Output::Finished => return (sent, told, Next::Finished),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Next {
    Wait(Option<Duration>, &'static str),
    Finished,
}

mod client {
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
    fn a_refusal_of_the_asked_host_ends_it_and_no_other() {
        let (mut client, now) = asking(ClientConfig::new(address(HOST), "hello"));
        client.handle_refused(now, address("192.0.2.8:8888"));
        assert_eq!(drain(&mut client, now).1, []);
        client.handle_refused(now, address(HOST));
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
        client.handle_refused(now, address(HOST));
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
}

mod responder {
    use super::*;

    const OWN: &str = "10.0.0.1:8888";
    const PEER: &str = "10.0.0.5:46622";

    fn echo() -> Responder {
        Responder::new(ResponderConfig::default())
    }

    fn with_prefix(prefix: &'static str) -> Responder {
        Responder::new(ResponderConfig {
            prefix: prefix.into(),
            ..ResponderConfig::default()
        })
    }

    /// The one answer to a question, or why there is none.
    fn ask(
        responder: &mut Responder,
        now: Instant,
        from: &str,
        to: &str,
        question: &[u8],
    ) -> Result<Transmit, Silence> {
        give(responder, now, from, to, question);
        let (sent, told, next) = drain(responder, now);
        assert_eq!(next, Next::Wait(None, "questions"));
        match (sent.as_slice(), told.as_slice()) {
            ([answer], [ResponderEvent::Answered(datagram)]) => {
                assert_eq!(
                    (&datagram.payload[..], datagram.source),
                    (question, address(from))
                );
                Ok(answer.clone())
            }
            ([], [ResponderEvent::Silent { source, why }]) => {
                assert_eq!(*source, address(from));
                Err(*why)
            }
            _ => panic!("{sent:?} {told:?}"),
        }
    }

    #[test]
    fn answers_from_the_address_that_was_asked() {
        let answer = ask(&mut with_prefix("OK..."), start(), PEER, OWN, b"hello").unwrap();
        assert_eq!(answer.destination, address(PEER));
        assert_eq!(answer.source, Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(answer.payload, "OK...hello");
    }

    #[test]
    fn answers_a_question_to_a_group_by_unicast() {
        let answer = ask(&mut echo(), start(), PEER, "239.192.0.100:8888", b"hello").unwrap();
        assert_eq!((answer.destination, answer.source), (address(PEER), None));
    }

    #[test]
    fn answers_whatever_the_bytes_are() {
        let mut responder = with_prefix("OK...");
        let binary: Vec<u8> = (0..=255).collect();
        for question in [
            b"".as_slice(),
            b"\0",
            b"\n",
            &binary,
            &[0xff; MAX_PAYLOAD - 5],
        ] {
            let answer = ask(&mut responder, start(), PEER, OWN, question).unwrap();
            assert_eq!(answer.payload, [b"OK...", question].concat());
        }
        assert_eq!(
            ask(&mut echo(), start(), PEER, OWN, b"").unwrap().payload,
            ""
        );
        assert_eq!(responder.stats().answers, 5);
    }

    #[test]
    fn what_grows_too_long_is_not_answered() {
        let mut responder = with_prefix("OK...");
        let result = ask(&mut responder, start(), PEER, OWN, &[0; MAX_PAYLOAD - 4]);
        assert_eq!(result, Err(Silence::TooLong));
        assert_eq!(responder.stats().too_long, 1);
    }

    #[test]
    fn never_answers_where_nobody_can_be() {
        let mut responder = Responder::new(ResponderConfig {
            broadcasts: vec![[10, 0, 0, 255].into()],
            ..ResponderConfig::default()
        });
        let sources = [
            "239.1.1.1:5000",
            "[ff02::1]:5000",
            "255.255.255.255:5000",
            "10.0.0.255:5000",
            "0.0.0.0:5000",
            "[::]:5000",
            "10.0.0.5:0",
            "[::ffff:239.1.1.1]:5000",
        ];
        for source in sources {
            let result = ask(&mut responder, start(), source, OWN, b"hello");
            assert_eq!(result, Err(Silence::Unanswerable), "{source}");
        }
        assert_eq!(responder.stats().unanswerable, sources.len() as u64);
    }

    #[test]
    fn never_answers_itself() {
        let own = vec![[10, 0, 1, 1].into()];
        let mut responder = Responder::new(ResponderConfig {
            own,
            ..ResponderConfig::default()
        });
        for source in [OWN, "10.0.1.1:8888", "[::ffff:10.0.1.1]:8888"] {
            let result = ask(&mut responder, start(), source, OWN, b"hello");
            assert_eq!(result, Err(Silence::Itself), "{source}");
        }
        assert!(
            ask(
                &mut responder,
                start(),
                "10.0.1.1:8889",
                OWN,
                b"another program"
            )
            .is_ok()
        );
        assert!(
            ask(
                &mut responder,
                start(),
                "10.0.0.2:8888",
                OWN,
                b"another host"
            )
            .is_ok()
        );
    }

    #[test]
    fn one_source_gets_a_burst_and_then_a_rate() {
        let config = ResponderConfig {
            rate: 10,
            burst: 3,
            ..ResponderConfig::default()
        };
        let (mut responder, now) = (Responder::new(config), start());
        let mut asked = |now, from| ask(&mut responder, now, from, OWN, b"hello").is_ok();
        assert_eq!(
            [(); 5].map(|()| asked(now, PEER)),
            [true, true, true, false, false]
        );
        assert!(asked(now, "10.0.0.6:46622"), "each source by itself");
        let tenth = SECOND / 10;
        assert_eq!([(); 2].map(|()| asked(now + tenth, PEER)), [true, false]);
        assert_eq!(
            [(); 4].map(|()| asked(now + SECOND * 9, PEER)),
            [true, true, true, false]
        );
        assert_eq!(responder.stats().too_often, 4);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let config = ResponderConfig {
            rate: 0,
            ..ResponderConfig::default()
        };
        let (mut responder, now) = (Responder::new(config), start());
        for number in 0..50_000_u32 {
            ask(&mut responder, now, PEER, OWN, &number.to_be_bytes()).unwrap();
        }
    }

    #[test]
    fn honest_load_is_answered_in_full() {
        // Numbered questions at 8,000 a second for ten seconds.
        let (mut responder, mut now) = (echo(), start());
        for number in 0..80_000_u32 {
            ask(&mut responder, now, PEER, OWN, &number.to_be_bytes()).unwrap();
            now += SECOND / 8_000;
        }
        // The same question again and again, 5,000 times without a pause.
        let mut responder = with_prefix("OK...");
        for _ in 0..5_000 {
            ask(&mut responder, now, PEER, OWN, b"hello").unwrap();
        }
        // And once a second, for a day.
        let mut responder = echo();
        for _ in 0..86_400 {
            ask(&mut responder, now, PEER, OWN, b"hello").unwrap();
            now += SECOND + Duration::from_millis(1);
        }
    }

    /// How many volleys two responders play that are this far apart.
    fn game(mut players: [Responder; 2], round_trip: Duration, balls: usize) -> usize {
        let at = ["10.0.0.1:8888", "10.0.0.2:8888"];
        let mut now = start();
        let mut balls: Vec<Bytes> = (0..balls)
            .map(|n| Bytes::from(format!("ball {n}")))
            .collect();
        for volley in 0..10_000_000 {
            if balls.is_empty() {
                return volley;
            }
            let (from, to) = (at[volley % 2], at[(volley + 1) % 2]);
            let receiver = &mut players[(volley + 1) % 2];
            balls.retain_mut(|ball| match ask(receiver, now, from, to, ball) {
                Ok(answer) => {
                    *ball = answer.payload;
                    true
                }
                Err(_) => false,
            });
            now += round_trip / 2;
        }
        panic!("the game goes on");
    }

    #[test]
    fn two_responders_do_not_play_for_ever() {
        for round_trip in [50, 5_000, 500_000].map(Duration::from_micros) {
            let volleys = game([with_prefix("OK..."), with_prefix("OK...")], round_trip, 1);
            assert!(volleys < 30, "{volleys}");
            let volleys = game([with_prefix("OK..."), with_prefix("Aye: ")], round_trip, 1);
            assert!(volleys < 30, "{volleys}");
            let volleys = game([with_prefix("OK..."), echo()], round_trip, 1);
            assert!(volleys < 30, "{volleys}");
            let volleys = game([echo(), echo()], round_trip, 1);
            assert!(volleys < 20_100, "{volleys}");
        }
    }

    #[test]
    fn nor_with_several_balls() {
        let round_trip = Duration::from_millis(1);
        let volleys = game([with_prefix("OK..."), with_prefix("OK...")], round_trip, 7);
        assert!(volleys < 200, "{volleys}");
        let volleys = game([echo(), echo()], round_trip, 3);
        assert!(volleys < 300_000, "{volleys}");
    }

    #[test]
    fn after_a_game_the_source_is_answered_again() {
        let (mut responder, now) = (with_prefix("OK..."), start());
        let silent = (0..20).map(|_| ask(&mut responder, now, PEER, OWN, b"OK...again"));
        assert_eq!(silent.filter(Result::is_err).count(), 1);
        assert!(ask(&mut responder, now, PEER, OWN, b"hello").is_ok());
        assert_eq!(responder.stats().games, 1);
    }

    #[test]
    fn when_stopped_it_falls_silent() {
        let mut responder = echo();
        give(&mut responder, start(), PEER, OWN, b"hello");
        responder.stop(start());
        give(&mut responder, start(), PEER, OWN, b"hello");
        let (sent, _, next) = drain(&mut responder, start());
        assert_eq!((sent.len(), next), (1, Next::Finished));
    }
}
