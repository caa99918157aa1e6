use super::*;
use crate::norm::message::quantize_loss;

const TRIP: Duration = Duration::from_millis(100);
const SIZE: f64 = 1000.0;

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn address(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 6003).into()
}

/// What a receiver says that loses so much.
fn lossy(sequence: u16, loss: f64) -> CcFeedback {
    CcFeedback {
        sequence,
        loss: quantize_loss(loss),
        ..CcFeedback::default()
    }
}

/// What a receiver says that loses nothing, and allows so many bytes a second.
fn lossless(sequence: u16, rate: f64) -> CcFeedback {
    CcFeedback {
        sequence,
        flags: CcFlags::START,
        rate: quantize_rate(rate),
        ..CcFeedback::default()
    }
}

fn say(rate: &mut Rate, node: u8, cc: &CcFeedback, now: Instant) {
    let said = Said {
        node: node.into(),
        address: address(node),
        round_trip: Some(TRIP),
        cc,
    };
    rate.said(&said, TRIP, true, now);
}

#[test]
fn the_equation_gives_what_the_rfc_says() {
    // RFC 5348 §3.1, worked by hand: s = 1000, R = 0.1 s, p = 0.01.
    let rate = tcp_rate(SIZE, TRIP, 0.01);
    assert!((rate - 112_300.0).abs() < 500.0, "{rate}");
    for loss in [1e-6, 1e-4, 0.01, 0.3] {
        let found = loss_for(SIZE, TRIP, tcp_rate(SIZE, TRIP, loss));
        assert!((found / loss - 1.0).abs() < 1e-3, "{found} for {loss}");
    }
}

#[test]
fn it_doubles_while_nothing_is_lost() {
    let (mut rate, now) = (Rate::new(1e9, SIZE, TRIP), start());
    let before = rate.get();
    say(&mut rate, 1, &lossless(1, 1e8), now);
    assert!((rate.get() / before - 2.0).abs() < 0.01);
    say(&mut rate, 1, &lossless(2, before), now);
    assert!(
        (rate.get() / before - 1.0).abs() < 0.01,
        "not beyond what is received"
    );
}

#[test]
fn the_slowest_decides() {
    let (mut rate, now) = (Rate::new(1e9, SIZE, TRIP), start());
    for sequence in 1..30 {
        say(&mut rate, 1, &lossy(sequence, 0.0001), now);
        say(&mut rate, 2, &lossy(sequence, 0.05), now);
        say(&mut rate, 3, &lossless(sequence, 1e9), now);
    }
    let fair = tcp_rate(SIZE, TRIP, 0.05);
    assert!((rate.get() / fair - 1.0).abs() < 0.02, "{}", rate.get());
    let nodes = rate.nodes();
    assert_eq!((nodes[0].node, nodes.len()), (2, 3));
    assert!(nodes[0].flags.has(CcFlags::CLR) && nodes[1].flags.has(CcFlags::PLR));
    // It leaves, and the next one decides.
    let leave = CcFeedback {
        flags: CcFlags::LEAVE,
        ..lossy(30, 0.05)
    };
    say(&mut rate, 2, &leave, now);
    for sequence in 31..60 {
        say(&mut rate, 1, &lossy(sequence, 0.0001), now);
    }
    assert!(rate.get() > fair * 10.0);
}

#[test]
fn without_answers_it_falls() {
    let (mut rate, now) = (Rate::new(1e9, SIZE, TRIP), start());
    for sequence in 1..10 {
        say(&mut rate, 1, &lossless(sequence, 1e8), now);
    }
    let before = rate.get();
    rate.probe(TRIP, true, now + TRIP * 19);
    assert!((rate.get() - before).abs() < 1.0, "not yet");
    for _ in 0..100 {
        rate.probe(TRIP, true, now + TRIP * 21);
    }
    assert!(
        (rate.get() - SIZE).abs() < 1.0,
        "a datagram a second: {}",
        rate.get()
    );
}

#[test]
fn nonsense_has_a_bound() {
    let (mut rate, now) = (Rate::new(1e6, SIZE, TRIP), start());
    for (sequence, cc) in [
        CcFeedback {
            rate: u16::MAX,
            flags: CcFlags::START,
            ..CcFeedback::default()
        },
        CcFeedback {
            rate: 0,
            flags: CcFlags::START,
            ..CcFeedback::default()
        },
        CcFeedback {
            loss: u16::MAX,
            ..CcFeedback::default()
        },
        CcFeedback {
            rtt: 255,
            ..CcFeedback::default()
        },
        CcFeedback {
            flags: CcFlags(0xff),
            ..CcFeedback::default()
        },
    ]
    .into_iter()
    .enumerate()
    {
        let sequence = u16::try_from(sequence + 1).unwrap();
        for node in 0..100 {
            say(&mut rate, node, &CcFeedback { sequence, ..cc }, now);
            assert!((SIZE..=1e6).contains(&rate.get()), "{cc:?}: {}", rate.get());
            assert!(rate.nodes().len() <= WATCHED);
        }
    }
}

/// Who speaks in the name of a receiver that is watched, from another address, is not heard.
#[test]
fn a_forged_word_changes_nothing() {
    let (mut rate, now) = (Rate::new(1e9, SIZE, TRIP), start());
    for sequence in 1..10 {
        say(&mut rate, 1, &lossless(sequence, 1e8), now);
    }
    let before = rate.get();
    let forged = Said {
        node: 1,
        address: address(9),
        round_trip: None,
        cc: &lossy(100, 0.9),
    };
    rate.said(&forged, TRIP, true, now);
    assert!((rate.get() - before).abs() < 1.0);
}

/// With a short round trip there is one in many between two probes.
#[test]
fn who_answers_each_probe_is_watched_at_a_low_rate_too() {
    let (mut rate, mut now) = (Rate::new(1e9, SIZE, TRIP), start());
    (0..100).for_each(|_| rate.probe(TRIP, true, now));
    let trip = Duration::from_millis(1);
    for sequence in 1..10 {
        let said = Said {
            node: 1,
            address: address(1),
            round_trip: Some(trip),
            cc: &lossless(sequence, 1e8),
        };
        rate.said(&said, trip, true, now);
        now += Duration::from_secs_f64(SIZE / rate.get());
        rate.probe(trip, true, now);
    }
    assert!(rate.get() > 100_000.0, "{}", rate.get());
}
