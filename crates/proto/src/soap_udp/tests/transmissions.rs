use std::net::IpAddr;
use std::time::{Duration, Instant};

use manycast_types::Transmit;

use super::super::*;
use crate::random::Random;

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// When each transmission of a message goes.
fn times(seed: u8, repeats: u32) -> Vec<Duration> {
    let (begin, mut random) = (start(), Random::new([seed; 32]));
    let mut transmissions = Transmissions::new();
    let transmit = Transmit::new(([239, 255, 255, 250], 3702).into(), "x".into());
    transmissions.push(begin, Duration::from_millis(10), transmit, repeats);
    let mut times = Vec::new();
    let mut now = begin;
    while let Some(until) = transmissions.earliest() {
        assert!(until > now);
        now = until;
        transmissions.handle_timeout(now);
        while transmissions.poll(now, &mut random).is_some() {
            times.push(now - begin);
        }
    }
    assert!(transmissions.is_empty());
    times
}

#[test]
fn waits_are_random_at_first_and_double_up_to_half_a_second() {
    let mut first = Vec::new();
    for seed in 0..100 {
        let times = times(seed, 5);
        assert_eq!((times.len(), times[0]), (6, Duration::from_millis(10)));
        let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((50..=250).contains(&waits[0].as_millis()), "{waits:?}");
        for pair in waits.windows(2) {
            assert_eq!(pair[1], (pair[0] * 2).min(Duration::from_millis(500)));
        }
        first.push(waits[0]);
    }
    let mean = first.iter().sum::<Duration>() / 100;
    // 150 ms are expected; the standard deviation is 6 ms.
    assert!((130..170).contains(&mean.as_millis()), "{mean:?}");
}

#[test]
fn those_that_are_not_wanted_any_more_do_not_go() {
    let (now, mut random) = (start(), Random::new([1; 32]));
    let mut transmissions = Transmissions::new();
    let [one, other] = [1, 2].map(|host| ([192, 0, 2, host], 3702).into());
    for to in [one, other] {
        transmissions.push(now, Duration::ZERO, Transmit::new(to, "x".into()), 3);
    }
    assert!(transmissions.poll(now, &mut random).is_some());
    transmissions.retain(|transmit| transmit.destination == other);
    let mut sent = Vec::new();
    let mut later = now;
    loop {
        while let Some(transmit) = transmissions.poll(later, &mut random) {
            sent.push(transmit.destination);
        }
        let Some(until) = transmissions.earliest() else {
            break;
        };
        later = until;
        transmissions.handle_timeout(later);
    }
    assert_eq!(sent, [other; 4]);
}

#[test]
fn a_million_messages_are_not_remembered_and_nobody_displaces_others() {
    let mut seen = Seen::new(800);
    let [honest, flood]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
    assert!(seen.is_new(honest, 2, "urn:uuid:1"));
    for number in 0..1_000_000 {
        assert!(seen.is_new(flood, 2, &number.to_string()));
        assert!(seen.len() <= 101, "an eighth for each");
    }
    assert!(!seen.is_new(honest, 2, "urn:uuid:1"), "it is still known");
    assert!(!seen.is_new(flood, 2, "999999"));
    assert!(
        seen.is_new(honest, 3, "urn:uuid:1"),
        "on another link it is another host"
    );
    // Also from many addresses.
    for number in 0..100_000_u32 {
        seen.is_new(IpAddr::V4(number.into()), 2, "urn:uuid:1");
        assert!(seen.len() <= 800);
    }
    assert!(
        !seen.is_new(honest, 2, &"x".repeat(257)),
        "that is no identifier"
    );
}
