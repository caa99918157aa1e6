//! Four receivers, each behind a link that the sender fills: what share of the link the bytes of an object
//! get, until the sender knows that all have it.
//!
//! It is virtual time, so the processor plays no part.

mod norm_group;

use std::time::Duration;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::{FeedbackTo, ReceiverConfig, SenderConfig, SenderEvent};
use norm_group::{GROUP, MILLISECOND, NODE, PORT, SECOND, Session};

/// What a link carries, in bits a second, with all headers.
const LINK: u64 = 100_000_000;
/// The length of a datagram but for its symbol: Ethernet, IPv4, UDP, and NORM_DATA with FEC Encoding ID 5
/// and without extensions.
const HEADERS: u16 = UNPACED + 20;
/// The headers that the sender does not count for its rate.
const UNPACED: u16 = 14 + 20 + 8;
const SEGMENT: u16 = 1388;
const RECEIVERS: u32 = 4;
/// Two seconds of the link.
const LENGTH: usize = 24_000_000;

/// As `manycast send-files` does it with four receivers that are expected.
fn config() -> SenderConfig {
    let whole = SEGMENT + HEADERS;
    SenderConfig {
        rate: LINK * u64::from(whole - UNPACED) / u64::from(whole),
        segment: SEGMENT,
        block: 160,
        parity: 95,
        backoff: 1,
        grtt: MILLISECOND * 100,
        group_size: 10,
        receivers: (1..=RECEIVERS).collect(),
        ..SenderConfig::new((GROUP, PORT).into(), NODE)
    }
}

fn link(loss: f64) -> Link {
    Link {
        loss,
        delay: MILLISECOND / 2,
        ..Link::default()
    }
}

fn receiver(config: ReceiverConfig) -> ReceiverConfig {
    ReceiverConfig {
        feedback: FeedbackTo::Sender,
        memory: 128 << 20,
        ..config
    }
}

/// Delivers an object of `length` bytes to all.
fn deliver(seed: u64, loss: f64, length: usize, config: SenderConfig) -> Session {
    let mut session = Session::with(seed, link(loss), config, RECEIVERS, receiver);
    session.enqueue(length);
    session.finish();
    assert!(session.run(SECOND * 20), "{loss}");
    session
}

/// When the sender knew that all had all.
fn time(session: &Session) -> Duration {
    session.assert_all_delivered();
    let events = session.sim.events(session.sender).iter();
    let delivered = events.filter(|(_, event)| matches!(event, SenderEvent::Delivered(_)));
    let (at, _) = delivered.last().expect("all have acknowledged it");
    *at
}

/// At least `least` of the link.
fn check_share(session: &Session, seed: u64, loss: f64, least: f64) {
    let time = time(session);
    let stats = session.sim.protocol(session.sender).stats();
    let repairs = stats.repairs as f64 / stats.datagrams as f64;
    let share = LENGTH as f64 * 8.0 / time.as_secs_f64() / LINK as f64;
    println!(
        "{loss} lost, seed {seed}: {time:.3?}, {share:.4} of the link, {repairs:.4} sent again"
    );
    assert!(share >= least, "{loss} lost, seed {seed}: {share:.4}");
}

fn check(loss: f64, least: f64) {
    for seed in seeds(1) {
        let session = deliver(seed, loss, LENGTH, config());
        check_share(&session, seed, loss, least);
    }
}

#[test]
fn without_loss_little_is_sent_beside_the_object() {
    check(0.0, 0.95);
}

#[test]
fn with_a_hundredth_lost_92_percent_of_the_rest() {
    check(0.01, 0.92 * 0.99);
}

#[test]
fn with_a_twentieth_lost_92_percent_of_the_rest() {
    check(0.05, 0.92 * 0.95);
}

#[test]
fn with_a_tenth_lost_92_percent_of_the_rest() {
    check(0.1, 0.92 * 0.9);
}

/// Each block that is repaired must be read again, which takes as long as three blocks on the way. Read one
/// by one, repairs would fall behind, until receivers have no room for what comes.
#[test]
fn blocks_that_are_read_slowly_are_repaired_as_fast() {
    for seed in seeds(5) {
        let mut session = Session::with(seed, link(0.05), config(), RECEIVERS, receiver);
        session.enqueue_elsewhere(LENGTH);
        session.finish();
        let read = session.run_with_disk(SECOND * 20, MILLISECOND * 50);
        assert!(read.is_some(), "it does not end");
        // Each round of repairs lasts as long as a read more.
        check_share(&session, seed, 0.05, 0.7);
    }
}

/// Of many short objects, the next are read while one is sent: nothing waits at the beginning of each.
#[test]
fn short_objects_that_are_read_slowly_follow_each_other() {
    const COUNT: usize = 120;
    for seed in seeds(1) {
        let mut session = Session::with(seed, link(0.0), config(), RECEIVERS, receiver);
        (0..COUNT).for_each(|_| session.enqueue_elsewhere(LENGTH / COUNT));
        session.finish();
        let read = session.run_with_disk(SECOND * 20, MILLISECOND * 50);
        assert!(read.is_some(), "it does not end");
        // The first is waited for.
        check_share(&session, seed, 0.0, 0.9);
    }
}

/// The first requests and repairs wait by the guess; once times are measured, nothing waits by it any more.
#[test]
fn a_guess_of_the_round_trip_time_that_gives_way_costs_little_time() {
    let config = SenderConfig {
        grtt: SECOND,
        ..config()
    };
    for seed in seeds(5) {
        let time = time(&deliver(seed, 0.1, 1_000_000, config.clone()));
        // 0.1 s are those of the bytes.
        assert!(time < MILLISECOND * 300, "seed {seed}: {time:?}");
    }
}
