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

/// How many answers in a row two responders give each other that are this far apart.
fn in_a_loop(mut responders: [Responder; 2], round_trip: Duration, datagrams: usize) -> usize {
    let at = ["10.0.0.1:8888", "10.0.0.2:8888"];
    let mut now = start();
    let mut datagrams: Vec<Bytes> = (0..datagrams)
        .map(|n| Bytes::from(format!("datagram {n}")))
        .collect();
    for round in 0..10_000_000 {
        if datagrams.is_empty() {
            return round;
        }
        let (from, to) = (at[round % 2], at[(round + 1) % 2]);
        let receiver = &mut responders[(round + 1) % 2];
        datagrams.retain_mut(|datagram| match ask(receiver, now, from, to, datagram) {
            Ok(answer) => {
                *datagram = answer.payload;
                true
            }
            Err(_) => false,
        });
        now += round_trip / 2;
    }
    panic!("the loop goes on");
}

#[test]
fn two_responders_do_not_answer_each_other_for_ever() {
    for round_trip in [50, 5_000, 500_000].map(Duration::from_micros) {
        let rounds = in_a_loop([with_prefix("OK..."), with_prefix("OK...")], round_trip, 1);
        assert!(rounds < 30, "{rounds}");
        let rounds = in_a_loop([with_prefix("OK..."), with_prefix("Aye: ")], round_trip, 1);
        assert!(rounds < 30, "{rounds}");
        let rounds = in_a_loop([with_prefix("OK..."), echo()], round_trip, 1);
        assert!(rounds < 30, "{rounds}");
        let rounds = in_a_loop([echo(), echo()], round_trip, 1);
        assert!(rounds < 20_100, "{rounds}");
    }
}

#[test]
fn nor_with_several_datagrams() {
    let round_trip = Duration::from_millis(1);
    let rounds = in_a_loop([with_prefix("OK..."), with_prefix("OK...")], round_trip, 7);
    assert!(rounds < 200, "{rounds}");
    let rounds = in_a_loop([echo(), echo()], round_trip, 3);
    assert!(rounds < 300_000, "{rounds}");
}

#[test]
fn after_a_loop_the_source_is_answered_again() {
    let (mut responder, now) = (with_prefix("OK..."), start());
    let silent = (0..20).map(|_| ask(&mut responder, now, PEER, OWN, b"OK...again"));
    assert_eq!(silent.filter(Result::is_err).count(), 1);
    assert!(ask(&mut responder, now, PEER, OWN, b"hello").is_ok());
    assert_eq!(responder.stats().loops, 1);
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
