use super::*;

fn config() -> SenderConfig {
    SenderConfig {
        rate: Some(8_000_000),
        size: 100,
        ..SenderConfig::new(address(GROUP))
    }
}

/// Runs a sender to its end, and says what it sent when.
fn run(config: SenderConfig) -> (Vec<(Duration, Header)>, SenderStats) {
    let begin = start();
    let mut sender = Sender::new(config, begin, noon());
    sender.start(begin);
    let (mut now, mut all) = (begin, Vec::new());
    loop {
        let (sent, told, wait) = drain(&mut sender, now);
        for datagram in sent.iter().flat_map(Transmit::segments) {
            let header = Header::parse(datagram).unwrap();
            assert_eq!(UNIX_EPOCH + header.time, noon() + floor(now - begin));
            all.push((now - begin, header));
        }
        let Some(wait) = wait else {
            assert_eq!(told, [SenderEvent::Finished(None)]);
            return (all, sender.stats());
        };
        now += wait;
        sender.handle_timeout(now);
    }
}

fn floor(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap())
}

#[test]
fn numbers_count_from_one_and_end_below_zero() {
    let (sent, stats) = run(SenderConfig {
        count: Some(1000),
        ..config()
    });
    for (number, (_, header)) in (1..1000).zip(&sent) {
        assert_eq!((header.number, header.last), (number, false));
    }
    let closings: Vec<_> = sent[999..]
        .iter()
        .map(|(_, it)| (it.number, it.last))
        .collect();
    assert_eq!(closings, [(1000, true); 3]);
    assert_eq!((stats.datagrams, stats.bytes), (1000, 100_000));
}

#[test]
fn the_rate_is_held() {
    let (sent, stats) = run(SenderConfig {
        duration: Some(SECOND * 3),
        ..config()
    });
    assert_eq!(stats.duration, SECOND * 3);
    for second in 0..3 {
        let within = sent.iter().filter(|(at, _)| at.as_secs() == second).count();
        assert!((9_900..=10_100).contains(&within), "{within}");
    }
}

#[test]
fn those_that_may_go_at_one_time_go_as_one() {
    let now = start();
    let config = SenderConfig {
        rate: None,
        count: Some(100),
        ..config()
    };
    let mut sender = Sender::new(config, now, noon());
    sender.start(now);
    let (sent, ..) = drain(&mut sender, now);
    let shapes: Vec<_> = sent.iter().map(Transmit::count).collect();
    assert_eq!(shapes, [64, 35, 1]);
    let numbers = sent.iter().flat_map(Transmit::segments).map(|datagram| {
        assert_eq!(datagram.len(), 100);
        Header::parse(datagram).unwrap().number
    });
    assert!(numbers.eq(1..=100));
}

#[test]
fn what_this_host_did_not_take_is_counted_apart() {
    let now = start();
    let config = SenderConfig {
        rate: None,
        count: Some(100),
        ..config()
    };
    let mut sender = Sender::new(config, now, noon());
    sender.start(now);
    drain(&mut sender, now);
    not_sent(&mut sender, now, 64);
    assert_eq!(sent(&sender), (36, 3600, 64));
}

/// This host does not take so many datagrams at once.
fn not_sent(sender: &mut Sender, now: Instant, count: usize) {
    let error = NetworkError::new(ErrorKind::LimitReached, "the queue is full");
    let destination = sender.config().destination;
    let not_sent = NetworkEvent::NotSent {
        destination,
        count,
        error,
    };
    sender.handle_network(now, not_sent);
}

/// Datagrams and bytes that were sent, and datagrams that were not.
fn sent(sender: &Sender) -> (u64, u64, u64) {
    let stats = sender.stats();
    (stats.datagrams, stats.bytes, stats.unsent)
}

#[test]
fn the_end_is_one_datagram_however_often_it_is_refused() {
    let mut now = start();
    let config = SenderConfig {
        destination: address(HOST),
        rate: None,
        count: Some(3),
        ..config()
    };
    let mut sender = Sender::new(config, now, noon());
    sender.start(now);
    let announce = |sender: &mut Sender, now: &mut Instant| {
        let (transmits, _, wait) = drain(sender, *now);
        *now += wait.unwrap();
        assert_eq!(transmits.last().unwrap().count(), 1);
        assert_eq!(sent(sender), (3, 300, 0));
    };
    for _ in 0..3 {
        announce(&mut sender, &mut now);
        not_sent(&mut sender, now, 1);
        assert_eq!(sent(&sender), (2, 200, 1));
    }
    // One is taken, and those after it change nothing.
    announce(&mut sender, &mut now);
    announce(&mut sender, &mut now);
    not_sent(&mut sender, now, 1);
    assert_eq!(sent(&sender), (3, 300, 0));
}

#[test]
fn a_host_is_asked_until_it_reports() {
    let now = start();
    let config = SenderConfig {
        destination: address(HOST),
        count: Some(1),
        ..config()
    };
    let mut sender = Sender::new(config, now, noon());
    sender.start(now);
    let (sent, _, wait) = drain(&mut sender, now);
    assert_eq!((sent.len(), wait), (1, Some(MILLISECOND * 100)));
    sender.handle_timeout(now + SECOND);
    assert_eq!(drain(&mut sender, now + SECOND).0.len(), 1);

    let report = ServerReport {
        lost: 3,
        ..ServerReport::default()
    };
    let payload = report.emit(1316).unwrap();
    let stranger = Given {
        from: PEER,
        to: PEER,
        ..GIVEN
    };
    give(&mut sender, now, &payload, stranger);
    assert!(drain(&mut sender, now + SECOND).1.is_empty());
    give(
        &mut sender,
        now,
        b"hello",
        Given {
            from: HOST,
            ..stranger
        },
    );
    give(
        &mut sender,
        now,
        &payload,
        Given {
            from: HOST,
            ..stranger
        },
    );
    let (_, told, wait) = drain(&mut sender, now);
    assert_eq!(
        (told, wait),
        (vec![SenderEvent::Finished(Some(report))], None)
    );
    assert_eq!(sender.stats().malformed, 1);
}

#[test]
fn a_host_that_is_silent_does_not_hold_it_for_ever() {
    let (sent, _) = run(SenderConfig {
        destination: address(HOST),
        count: Some(1),
        ..config()
    });
    assert_eq!(sent.len(), 10);
    assert_eq!(sent[9].0, MILLISECOND * 900);
}

#[test]
fn when_stopped_it_announces_the_end_once() {
    let now = start();
    let mut sender = Sender::new(config(), now, noon());
    sender.start(now);
    let (before, _, _) = drain(&mut sender, now);
    sender.stop(now);
    let (sent, told, wait) = drain(&mut sender, now);
    let header = Header::parse(&sent[0].payload).unwrap();
    let before: usize = before.iter().map(Transmit::count).sum();
    assert_eq!((header.number, header.last), (before as u64 + 1, true));
    assert_eq!((sent.len(), told.len(), wait), (1, 1, None));
}
