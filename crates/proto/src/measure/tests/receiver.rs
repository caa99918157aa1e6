use super::*;

fn receiver(config: ReceiverConfig) -> (Receiver, Instant) {
    let now = start();
    let mut receiver = Receiver::new(config, now, noon(), [7; 32]);
    receiver.start(now);
    (receiver, now)
}

fn payload(number: i64, sent: SystemTime) -> [u8; 100] {
    let mut payload = [0; 100];
    let header = Header {
        number: number.unsigned_abs(),
        last: number < 0,
        wide: true,
        time: sent.duration_since(UNIX_EPOCH).unwrap(),
    };
    header.emit(&mut payload);
    payload
}

/// Gives datagrams of these numbers, which come a millisecond apart. One is sent a millisecond
/// after that with the number before.
fn feed(receiver: &mut Receiver, now: Instant, numbers: impl IntoIterator<Item = i64>) {
    feed_run(receiver, now, noon(), numbers);
}

/// The same of a sender that began at this time.
fn feed_run(
    receiver: &mut Receiver,
    now: Instant,
    began: SystemTime,
    numbers: impl IntoIterator<Item = i64>,
) {
    for (came, number) in (1..).zip(numbers) {
        let sent = u32::try_from(number.unsigned_abs()).unwrap();
        let sent = began + MILLISECOND * sent;
        let time = Some(began + MILLISECOND * came);
        give(
            receiver,
            now,
            &payload(number, sent),
            Given { time, ..GIVEN },
        );
    }
}

fn only(receiver: &Receiver) -> StreamReport {
    let mut streams = receiver.streams();
    let stream = streams.next().unwrap();
    assert!(streams.next().is_none());
    stream
}

#[test]
fn counts_what_came_and_what_did_not() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    feed(&mut receiver, now, [1, 2, 4, 4, 7, 6, 8, 9, -11, -11, -11]);
    let stream = only(&receiver);
    let expected = Counters {
        datagrams: 9,
        bytes: 900,
        // 3, 5 and 10.
        lost: 3,
        duplicated: 1,
        reordered: 1,
        ..Counters::default()
    };
    assert_eq!(stream.counters, expected);
    assert_eq!(stream.counters.expected(), 11);
    assert!(stream.ended);
    assert_eq!(stream.hops, Some((1, 1)));
    assert_eq!(stream.duration, MILLISECOND * 8);
}

#[test]
fn what_the_kernel_dropped_is_told_apart() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    // The network loses 3 and 4; the kernel drops 6, and 9 to 88 in two pieces.
    let arrivals = [
        (1, 7),
        (2, 7),
        (5, 7),
        (7, 8),
        (8, 8),
        (89, 10),
        (90, 10),
        (91, 12),
    ];
    for (number, dropped) in arrivals {
        let given = Given { dropped, ..GIVEN };
        give(&mut receiver, now, &payload(number, noon()), given);
    }
    let counters = only(&receiver).counters;
    assert_eq!((counters.lost, counters.kernel_dropped), (83, 81));
}

#[test]
fn jitter_and_delays_are_those_of_the_text() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    // Delays of 10 ms and 14 ms in turn: each difference is 4 ms, to which jitter tends.
    for number in 1..=1000_i64 {
        let sent = noon() + MILLISECOND * u32::try_from(number).unwrap();
        let time = Some(sent + MILLISECOND * if number % 2 == 0 { 10 } else { 14 });
        give(
            &mut receiver,
            now,
            &payload(number, sent),
            Given { time, ..GIVEN },
        );
    }
    let stream = only(&receiver);
    let near = |found: Duration, wanted: Duration| {
        found.abs_diff(wanted) < wanted / 50 + Duration::from_micros(1)
    };
    assert!(near(stream.jitter, MILLISECOND * 4), "{:?}", stream.jitter);
    assert!(near(stream.delay(0.4).unwrap(), MILLISECOND * 10));
    assert!(near(stream.delay(0.99).unwrap(), MILLISECOND * 14));
    assert!(near(stream.delay_variation(0.4).unwrap(), Duration::ZERO));
    assert!(near(stream.delay_variation(0.99).unwrap(), MILLISECOND * 4));
}

#[test]
fn clocks_that_disagree_spoil_the_delay_alone() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for number in 1..=1000_i64 {
        let sent = noon() + SECOND * 60;
        let time = Some(noon() + Duration::from_micros(number.unsigned_abs()));
        give(
            &mut receiver,
            now,
            &payload(number, sent),
            Given { time, ..GIVEN },
        );
    }
    let stream = only(&receiver);
    assert_eq!(stream.delay(0.5), None);
    let variation = stream.delay_variation(0.5).unwrap();
    assert!(
        (490..=510).contains(&variation.as_micros()),
        "{variation:?}"
    );
}

#[test]
fn intervals_add_up() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    feed(&mut receiver, now, [1, 2, 4]);
    let (_, told, wait) = drain(&mut receiver, now);
    assert!(
        matches!(told.as_slice(), [ReceiverEvent::Began { .. }]),
        "{told:?}"
    );
    assert_eq!(wait, Some(SECOND));
    let mut told = Vec::new();
    for (second, numbers) in [(1, vec![5, 3, 8]), (2, vec![]), (3, vec![-9]), (4, vec![])] {
        let now = now + SECOND * second;
        receiver.handle_timeout(now);
        for event in drain(&mut receiver, now).1 {
            let ReceiverEvent::Interval(streams) = event else {
                panic!("{event:?}")
            };
            let [stream] = streams.as_slice() else {
                panic!("{streams:?}")
            };
            let wanted = if stream.ended { Duration::ZERO } else { SECOND };
            assert_eq!(stream.duration, wanted);
            told.push((
                stream.counters.datagrams,
                stream.counters.lost,
                stream.counters.reordered,
            ));
        }
        feed(&mut receiver, now, numbers);
    }
    // The loss of 3 was told before 3 came; those of 6 and 7 are told, less that one.
    assert_eq!(told, [(3, 1, 0), (3, 1, 1), (0, 0, 0), (1, 0, 0)]);
    assert_eq!(only(&receiver).counters.lost, 2);
}

#[test]
fn streams_are_told_apart() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for number in 1..=10 {
        for (from, to) in [
            (PEER, GROUP),
            (PEER, "239.1.1.2:5001"),
            ("192.0.2.2:1", GROUP),
        ] {
            give(
                &mut receiver,
                now,
                &payload(number, noon()),
                Given { from, to, ..GIVEN },
            );
        }
    }
    let counted: Vec<_> = receiver.streams().map(|it| it.counters.datagrams).collect();
    assert_eq!(counted, [10, 10, 10]);
}

/// What came, what was lost, and whether it ended, of each stream.
fn runs(receiver: &Receiver) -> Vec<(u64, u64, u64, bool)> {
    let run = |it: StreamReport| (it.run, it.counters.datagrams, it.counters.lost, it.ended);
    receiver.streams().map(run).collect()
}

#[test]
fn a_sender_that_begins_anew_is_a_new_stream() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    feed(&mut receiver, now, [1, 2, 3, -4, -4]);
    let later = noon() + SECOND;
    feed_run(&mut receiver, now, later, [1, 3, -4, -4]);
    assert_eq!(runs(&receiver), [(1, 4, 0, true), (2, 3, 1, true)]);
    assert_eq!(drain(&mut receiver, now).1.len(), 2);
}

/// Killed, started again with the same port, and part of it lost on the way.
#[test]
fn a_new_run_needs_neither_an_end_before_it_nor_its_first_datagram() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    feed(&mut receiver, now, 1..=100);
    let again = |seconds| noon() + SECOND * seconds;
    feed_run(&mut receiver, now, again(1), (2..=200).step_by(2));
    // Of a short one that ended, the end alone came; then one came whose first numbers were lost,
    // up to the end of that before.
    feed_run(&mut receiver, now, again(2), [-7, -7]);
    feed_run(&mut receiver, now, again(3), [9, 10]);
    let expected = [
        (1, 100, 0, false),
        (2, 100, 99, false),
        (3, 1, 0, true),
        (4, 2, 0, false),
    ];
    assert_eq!(runs(&receiver), expected);
    let losses: Vec<_> = receiver.streams().map(|it| it.counters.loss()).collect();
    assert!((0.49..0.51).contains(&losses[1]), "{losses:?}");
}

#[test]
fn intervals_tell_where_in_their_stream_they_begin() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    let mut told = Vec::new();
    let mut until = |receiver: &mut Receiver, at: Duration| {
        receiver.handle_timeout(now + at);
        for event in drain(receiver, now + at).1 {
            if let ReceiverEvent::Interval(streams) = event {
                let label =
                    |it: StreamReport| (it.run, it.start.as_millis(), it.duration.as_millis());
                told.extend(streams.into_iter().map(label));
            }
        }
    };
    // The first stream begins half a second after the receiver, and is started anew 1.2 s later.
    let begin = now + MILLISECOND * 500;
    feed(&mut receiver, begin, 1..=10);
    until(&mut receiver, MILLISECOND * 1500);
    let feed_at = |receiver: &mut Receiver, at, numbers: &[i64]| {
        let at = MILLISECOND * at;
        feed_run(receiver, begin + at, noon() + at, numbers.iter().copied());
    };
    feed_at(&mut receiver, 1100, &[11, 12]);
    feed_at(&mut receiver, 1200, &[1, 2]);
    until(&mut receiver, MILLISECOND * 2500);
    feed_at(&mut receiver, 2300, &[3, -4]);
    until(&mut receiver, MILLISECOND * 3500);
    // Each lasts to its last datagram, which came 1101 ms after the first.
    let expected = [(1, 0, 1000), (1, 1000, 101), (2, 0, 800), (2, 800, 301)];
    assert_eq!(told, expected);
}

#[test]
fn a_host_reports_and_a_group_does_not() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    feed(&mut receiver, now, [1, 2, -4]);
    assert_eq!(drain(&mut receiver, now).0, []);

    let given = Given { to: HOST, ..GIVEN };
    for number in [1, 2, -4, -5] {
        give(&mut receiver, now, &payload(number, noon()), given);
    }
    let (sent, _, _) = drain(&mut receiver, now);
    let [first, again] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(first, again);
    assert_eq!(first.destination, address(PEER));
    assert_eq!(first.source, Some(address(HOST).ip()));
    let report = ServerReport::parse(&first.payload).unwrap();
    assert_eq!((report.datagrams, report.lost, report.bytes), (4, 1, 300));
}

#[test]
fn it_ends_when_the_expected_streams_have() {
    let (mut receiver, now) = receiver(ReceiverConfig {
        expect: Some(2),
        ..ReceiverConfig::default()
    });
    feed(&mut receiver, now, [1, -2]);
    let other = Given {
        from: HOST,
        ..GIVEN
    };
    give(&mut receiver, now, &payload(-1, noon()), other);
    assert_eq!(
        drain(&mut receiver, now).2,
        Some(SECOND),
        "one may be forged"
    );
    give(&mut receiver, now, &payload(-1, noon()), other);
    let (_, _, wait) = drain(&mut receiver, now);
    assert!(wait < Some(SECOND), "{wait:?}");
    let now = now + wait.unwrap();
    receiver.handle_timeout(now);
    let (_, told, wait) = drain(&mut receiver, now);
    assert!(
        matches!(told.last(), Some(ReceiverEvent::Finished)),
        "{told:?}"
    );
    assert_eq!(wait, None);
}

#[test]
fn more_senders_can_be_expected_than_are_measured_at_once() {
    let (mut receiver, now) = receiver(ReceiverConfig {
        expect: Some(4),
        max_streams: 2,
        ..ReceiverConfig::default()
    });
    for port in 1..=4 {
        let (_, _, wait) = drain(&mut receiver, now);
        assert_eq!(wait, Some(SECOND), "before {port}");
        let from = &format!("192.0.2.1:{port}");
        for number in [1, -2] {
            give(
                &mut receiver,
                now,
                &payload(number, noon()),
                Given { from, ..GIVEN },
            );
        }
    }
    let (_, _, wait) = drain(&mut receiver, now);
    assert!(wait < Some(SECOND), "{wait:?}");
}

#[test]
fn it_ends_when_its_time_is_over() {
    let (mut receiver, now) = receiver(ReceiverConfig {
        duration: Some(MILLISECOND * 1500),
        ..ReceiverConfig::default()
    });
    feed(&mut receiver, now, [1, 2]);
    receiver.handle_timeout(now + SECOND);
    receiver.handle_timeout(now + SECOND * 2);
    let (_, told, wait) = drain(&mut receiver, now);
    assert!(matches!(
        told.as_slice(),
        [
            ReceiverEvent::Began { .. },
            ReceiverEvent::Interval(_),
            ReceiverEvent::Interval(_),
            ReceiverEvent::Finished
        ]
    ));
    assert_eq!(wait, None);
    feed(&mut receiver, now, [3]);
    assert_eq!(receiver.stats().untimely, 1);
}

#[test]
fn a_flood_of_streams_is_bounded() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for port in 1..=2000 {
        let from = format!("192.0.2.1:{port}");
        give(
            &mut receiver,
            now,
            &payload(1, noon()),
            Given {
                from: &from,
                ..GIVEN
            },
        );
    }
    assert_eq!(receiver.streams().count(), 256);
    let stats = receiver.stats();
    assert_eq!((stats.unconfirmed, stats.untracked), (2000 - 256, 0));
}

/// Gives a datagram of one of 65,535 sources that are nobody's.
fn forge(receiver: &mut Receiver, now: Instant, source: usize, number: i64) {
    let from = format!("198.51.100.1:{}", source % 65_535 + 1);
    let from = &from[..];
    give(
        receiver,
        now,
        &payload(number, noon()),
        Given { from, ..GIVEN },
    );
}

#[test]
fn what_is_forged_is_told_once() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for source in 0..100 {
        forge(&mut receiver, now, source, 1);
    }
    let mut told = Vec::new();
    for second in 1..=3 {
        receiver.handle_timeout(now + SECOND * second);
        for event in drain(&mut receiver, now + SECOND * second).1 {
            if let ReceiverEvent::Interval(streams) = event {
                told.push(streams.len());
            }
        }
    }
    assert_eq!(told, [100]);
}

#[test]
fn a_sender_is_measured_whatever_was_forged_before_it() {
    for numbers in [&[1][..], &[-1], &[1, -2]] {
        let (mut receiver, now) = receiver(ReceiverConfig::default());
        for source in 0..1_000 {
            for number in numbers {
                forge(&mut receiver, now, source, *number);
            }
        }
        feed(&mut receiver, now, 1..=100);
        let stream = receiver.streams().last().unwrap();
        assert_eq!(
            (stream.source, stream.counters.datagrams),
            (address(PEER), 100)
        );
        assert_eq!(receiver.stats().untracked, 0);
    }
}

#[test]
fn those_that_send_keep_their_place_until_they_are_silent() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for number in [1, 2] {
        for source in 0..256 {
            forge(&mut receiver, now, source, number);
        }
    }
    feed(&mut receiver, now + SECOND * 9, 1..=10);
    assert_eq!(receiver.stats().untracked, 10);
    drain(&mut receiver, now);
    feed(&mut receiver, now + SECOND * 10, 11..=20);
    assert_eq!(receiver.streams().last().unwrap().source, address(PEER));
    let (_, told, _) = drain(&mut receiver, now);
    let freed = told.iter().filter_map(|event| match event {
        ReceiverEvent::Freed(stream) => Some(stream.counters.datagrams),
        _ => None,
    });
    assert_eq!(freed.collect::<Vec<_>>(), [2]);
}

/// Between two datagrams of the sender there are twice as many forged sources as there are places.
#[test]
fn a_flood_of_sources_does_not_keep_a_sender_out_for_long() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for number in 0..100 {
        for source in 0..512 {
            forge(&mut receiver, now, 512 * number + source, 1);
        }
        feed(&mut receiver, now, [i64::try_from(number).unwrap() + 1]);
        drain(&mut receiver, now);
    }
    let streams: Vec<_> = receiver.streams().collect();
    let stream = streams
        .iter()
        .find(|it| it.source == address(PEER))
        .unwrap();
    assert!(
        stream.counters.datagrams > 50,
        "{}",
        stream.counters.datagrams
    );
}

#[test]
fn other_payloads_are_counted() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    give(&mut receiver, now, b"Hello, world! This is text.", GIVEN);
    give(&mut receiver, now, b"", GIVEN);
    assert_eq!(receiver.stats().malformed, 2);
    assert_eq!(receiver.streams().count(), 0);
}

#[test]
fn without_the_kernels_time_the_own_will_do() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    give(
        &mut receiver,
        now + SECOND,
        &payload(1, noon() + MILLISECOND * 990),
        GIVEN,
    );
    assert_eq!(only(&receiver).delay(0.5), Some(MILLISECOND * 10));
}

/// Of a slow stream, intervals in which nothing came are told from the second datagram on; where the
/// later ones begin does not depend on it.
#[test]
fn intervals_of_a_slow_stream_begin_when_they_do() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    let mut starts = Vec::new();
    for second in 0..10 {
        let at = now + SECOND * second;
        receiver.handle_timeout(at);
        for event in drain(&mut receiver, at).1 {
            if let ReceiverEvent::Interval(streams) = event {
                starts.push((second, streams[0].start.as_secs()));
            }
        }
        if second % 3 == 0 {
            feed(&mut receiver, at, [i64::from(second / 3 + 1)]);
        }
    }
    let expected = [(1, 0), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7), (9, 8)];
    assert_eq!(starts, expected);
}

/// The latest run was silent and made room; the one before it is still measured.
#[test]
fn no_two_runs_of_a_sender_have_the_same_number() {
    let config = ReceiverConfig {
        max_streams: 2,
        ..ReceiverConfig::default()
    };
    let (mut receiver, now) = receiver(config);
    feed_run(&mut receiver, now, noon(), [1, 2, 3]);
    // Of the second run, one datagram alone comes: it makes room for a stranger.
    feed_run(&mut receiver, now, noon() + SECOND, [1]);
    forge(&mut receiver, now, 1, 1);
    let before: Vec<_> = receiver.streams().map(|it| (it.source, it.run)).collect();
    assert_eq!(before[0], (address(PEER), 1));
    assert_eq!(before.len(), 2);
    assert_ne!(before[1].0, address(PEER));
    // The stranger makes room in turn.
    feed_run(&mut receiver, now, noon() + SECOND * 2, [1, 2]);
    let runs: Vec<_> = receiver.streams().map(|it| (it.source, it.run)).collect();
    assert_eq!(runs, [(address(PEER), 1), (address(PEER), 2)]);
}

/// Which stream makes room is not for peers to know.
#[test]
fn the_seed_decides_who_makes_room() {
    let left = |seed| {
        let now = start();
        let mut receiver = Receiver::new(ReceiverConfig::default(), now, noon(), seed);
        receiver.start(now);
        for source in 0..300 {
            forge(&mut receiver, now, source, 1);
        }
        receiver.streams().map(|it| it.source).collect::<Vec<_>>()
    };
    assert_eq!(left([1; 32]), left([1; 32]));
    assert_ne!(left([1; 32]), left([2; 32]));
}

#[test]
fn what_the_kernel_dropped_is_counted_as_the_streams_saw_it() {
    let (mut receiver, now) = receiver(ReceiverConfig::default());
    for (number, dropped) in [(1, 0), (2, 3), (3, 7), (4, 5)] {
        let given = Given { dropped, ..GIVEN };
        give(&mut receiver, now, &payload(number, noon()), given);
    }
    assert_eq!(receiver.dropped(), 7);
    // It is of something else.
    let given = Given {
        dropped: 9,
        ..GIVEN
    };
    give(&mut receiver, now, b"hello", given);
    assert_eq!(receiver.dropped(), 7);
}
