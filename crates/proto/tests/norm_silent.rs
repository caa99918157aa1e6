//! Receivers that are waited for and do not answer: they hold up nobody else, and nothing false is said of
//! them.

mod norm_group;

use std::net::SocketAddr;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::message::{Form, Request};
use manycast_proto::norm::{SenderConfig, SenderEvent};
use norm_group::nack::{asks, asks_for_blocks};
use norm_group::stream::{Writer, delivered, taken};
use norm_group::{GROUP, MILLISECOND, PORT, SECOND, Session, config};

fn group() -> SocketAddr {
    (GROUP, PORT).into()
}

/// Who was told to have acknowledged, and who not to have.
fn answers(session: &Session) -> (Vec<u32>, Vec<u32>) {
    let (mut acknowledged, mut silent) = (Vec::new(), Vec::new());
    for (_, event) in session.sim.events(session.sender) {
        match event {
            SenderEvent::Acknowledged { node, .. } => acknowledged.push(*node),
            SenderEvent::Unacknowledged { node, .. } => silent.push(*node),
            _ => {}
        }
    }
    acknowledged.sort_unstable();
    silent.sort_unstable();
    (acknowledged, silent)
}

fn is_delivered(session: &Session) -> bool {
    let mut events = session.sim.events(session.sender).iter();
    events.any(|(_, event)| matches!(event, SenderEvent::Delivered(_)))
}

/// A flush names 16 receivers of segments of 64 bytes; each has its turn, however many are silent.
#[test]
fn who_is_there_is_asked_however_many_are_not() {
    for (seed, named) in seeds(2).zip([20, 200]) {
        let config = SenderConfig {
            segment: 64,
            receivers: (1..=named).collect(),
            grtt: MILLISECOND * 10,
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 0);
        for node in named - 3..=named {
            session.add_receiver(node, |config| config);
        }
        session.enqueue(10_000);
        session.finish();
        assert!(session.run(SECOND * 60));
        let (acknowledged, silent) = answers(&session);
        assert!(acknowledged.into_iter().eq(named - 3..=named));
        assert!(silent.into_iter().eq(1..=named - 4), "all are told");
    }
}

/// Who asks for the same now and then does not keep a silent receiver from being given up, and so the
/// stream from going on.
#[test]
fn who_asks_now_and_then_does_not_keep_a_stream_waiting() {
    for gap in [MILLISECOND * 10, MILLISECOND * 300, SECOND] {
        let config = SenderConfig {
            receivers: vec![1, 9],
            ..config()
        };
        let mut session = Session::new(1, Link::default(), config, 1);
        let liar = session.sim.add_host(["10.9.9.9"]);
        let mut writer = Writer::new(&mut session, 100_000, 300_000);
        let asks = asks_for_blocks(&session, 77, 0, 0);
        let end = writer.bytes.len();
        while writer.written < end {
            assert!(session.sim.elapsed() < SECOND * 60, "{gap:?}");
            let from = ([10, 9, 9, 9], PORT).into();
            session.sim.forge(liar, from, group(), asks.clone());
            session.sim.run_for(gap);
            writer.write(&mut session, end);
        }
        writer.close(&mut session);
        session.finish();
        session.sim.run_for(SECOND * 10);
        assert_eq!(taken(&session, 0, &writer.bytes).completed, 1);
        assert_eq!(answers(&session).0, [1]);
        assert!(!delivered(&session, writer.stream));
    }
}

/// An answer that comes after its sender has given up to wait says nothing of the others.
#[test]
fn an_answer_that_comes_late_says_nothing_of_the_dead() {
    let config = SenderConfig {
        receivers: vec![1, 2],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 2);
    let [dead, far] = [0, 1].map(|receiver| session.hosts[receiver]);
    session.sim.partition([dead]);
    let back = Link {
        delay: SECOND * 4,
        ..Link::default()
    };
    session.sim.set_access(far, "eth0", back, Link::default());
    session.enqueue(100_000);
    session.sim.run_for(SECOND * 20);
    assert_eq!(answers(&session), (vec![2], vec![1, 2]));
    assert!(!is_delivered(&session));
    session.sim.heal();
    session.enqueue(100_000);
    session.finish();
    assert!(session.run(SECOND * 200));
    assert!(is_delivered(&session), "now both have all");
}

/// Who was cut off while the stream went on, and hears its end, has not all of it.
#[test]
fn who_missed_a_part_of_a_stream_does_not_count_as_having_it() {
    let config = SenderConfig {
        receivers: vec![1, 2],
        robust: 5,
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 2);
    let mut writer = Writer::new(&mut session, 100_000, 600_000);
    session.sim.run_for(MILLISECOND * 20);
    let cut_off = session.hosts[1];
    session.sim.partition([cut_off]);
    while writer.written < 500_000 {
        assert!(session.sim.step() && session.sim.elapsed() < SECOND * 60);
        if writer.has_room(&session) || writer.written == 0 {
            writer.write(&mut session, 500_000);
        }
    }
    session.sim.heal();
    assert!(writer.write_all(&mut session, SECOND * 60));
    session.finish();
    assert!(session.run(SECOND * 60));
    let (first, second) = (
        taken(&session, 0, &writer.bytes),
        taken(&session, 1, &writer.bytes),
    );
    assert_eq!((first.gaps.len(), first.completed), (0, 1), "{first:?}");
    assert_eq!((second.gaps.len(), second.completed), (1, 1), "{second:?}");
    let (acknowledged, silent) = answers(&session);
    assert_eq!(acknowledged, [1]);
    assert!(silent.contains(&2));
    assert!(!delivered(&session, writer.stream));
}

/// A word that asks for nothing is no sign that a receiver receives, in whose name it may be said.
#[test]
fn who_asks_for_nothing_is_given_up() {
    let config = SenderConfig {
        receivers: vec![1, 9],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 1);
    let liar = session.sim.add_host(["10.9.9.9"]);
    session.enqueue(100_000);
    session.finish();
    let nothing = Request {
        form: Form::Items,
        flags: Request::BLOCK,
        items: Vec::new(),
    };
    let nothing = asks(&session, 9, nothing);
    while session.sim.is_running(session.sender) {
        assert!(session.sim.elapsed() < SECOND * 30);
        let from = ([10, 9, 9, 9], PORT).into();
        session.sim.forge(liar, from, group(), nothing.clone());
        session.sim.run_for(MILLISECOND * 500);
    }
    assert_eq!(answers(&session), (vec![1], vec![9]));
}

/// What many miss takes long to repair. Until it is there nobody can acknowledge it, and then all have time.
#[test]
fn nobody_is_given_up_while_what_it_misses_is_repaired() {
    for seed in seeds(1) {
        let config = SenderConfig {
            receivers: (1..=20).collect(),
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 20);
        session.enqueue(9_000_000);
        session.finish();
        session.sim.run_for(MILLISECOND * 500);
        session.sim.partition([session.sender_host]);
        session.sim.run_for(SECOND * 3);
        session.sim.heal();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        let (acknowledged, silent) = answers(&session);
        assert!(acknowledged.into_iter().eq(1..=20));
        assert_eq!(silent, []);
    }
}
