use super::*;

/// Which of so many datagrams a link loses.
fn losses(link: &Link, count: usize, seed: u8) -> Vec<bool> {
    let now = Instant::now();
    let mut random = Random::new([seed; 32]);
    let mut state = LinkState::new(now);
    let mut lost = || state.carry(link, now, 1000, &mut random) == Fate::Lost;
    (0..count).map(|_| lost()).collect()
}

/// How great a part is lost, and how many in a row on average.
fn share_and_length(losses: &[bool]) -> (f64, f64) {
    let lost = losses.iter().filter(|lost| **lost).count();
    let runs = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    (lost as f64 / losses.len() as f64, lost as f64 / runs as f64)
}

#[test]
fn losses_come_in_bursts_of_the_length_that_was_asked_for() {
    for seed in 0..2 {
        let bursts = Link {
            bursts: Some(Bursts::new(0.1, 5.0)),
            ..Link::default()
        };
        let (share, length) = share_and_length(&losses(&bursts, 100_000, seed));
        // 2,000 bursts, whose length has a standard deviation of 4.5.
        assert!((0.085..0.115).contains(&share), "{share}");
        assert!((4.6..5.4).contains(&length), "{length}");

        let alone = Link {
            loss: 0.1,
            ..Link::default()
        };
        let (share, length) = share_and_length(&losses(&alone, 100_000, seed));
        assert!((0.095..0.105).contains(&share), "{share}");
        assert!((1.09..1.13).contains(&length), "{length}: 1 / 0.9 expected");
    }
}

#[test]
fn a_good_link_loses_too_and_a_bad_one_not_all() {
    for seed in 0..2 {
        let link = Link {
            loss: 0.01,
            bursts: Some(Bursts {
                begin: 0.05,
                end: 0.2,
                loss: 0.5,
            }),
            ..Link::default()
        };
        let (share, _) = share_and_length(&losses(&link, 100_000, seed));
        // It is bad a fifth of the time: 0.05 / (0.05 + 0.2).
        let expected = 0.2 * 0.5 + 0.8 * 0.01;
        assert!((share - expected).abs() < 0.01, "{share}");
    }
}

#[test]
fn an_idle_link_takes_a_packet_of_any_size_and_a_busy_one_what_fits() {
    let now = Instant::now();
    let link = Link {
        rate: Some(8_000),
        queue: 100,
        delay: Duration::ZERO,
        ..Link::default()
    };
    let mut random = Random::new([0; 32]);
    let mut state = LinkState::new(now);
    let mut carry = |millis, size| {
        let at = now + Duration::from_millis(millis);
        match state.carry(&link, at, size, &mut random) {
            Fate::Arrives { at, .. } => Some(at.duration_since(now).as_millis()),
            Fate::Overflowed => None,
            Fate::Lost => panic!("there is no loss"),
        }
    };
    // A byte takes a millisecond.
    assert_eq!(carry(0, 500), Some(500));
    assert_eq!(carry(0, 1), None);
    // 60 wait.
    assert_eq!(carry(440, 41), None);
    assert_eq!(carry(440, 40), Some(540));
    assert_eq!(carry(1_000, 500), Some(1_500));
}
