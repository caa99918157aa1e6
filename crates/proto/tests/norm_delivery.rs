//! Whatever the network does, who completes an object has exactly its bytes.

mod norm_group;

use std::time::Duration;

use manycast_lab::sim::{Bursts, Link, seeds};
use manycast_proto::norm::{FeedbackTo, SenderConfig, SenderEvent};
use norm_group::{MILLISECOND, SECOND, Session, config};
use proptest::prelude::*;

/// Several objects, an empty one and one of a byte among them.
fn enqueue_some(session: &mut Session) {
    for length in [100_000, 0, 1, 999, 1_000, 1_001, 57_123, 20_000] {
        session.enqueue(length);
    }
}

#[test]
fn without_loss_nothing_is_asked_for() {
    for seed in seeds(3) {
        let mut session = Session::new(seed, Link::default(), config(), 3);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        let stats = session.sim.protocol(session.sender).stats();
        assert_eq!((stats.repairs, session.nacks()), (0, 0), "{stats:?}");
    }
}

#[test]
fn what_is_lost_is_repaired_up_to_half_of_all() {
    for loss in [0.01, 0.1, 0.3, 0.5] {
        for seed in seeds(3) {
            let link = Link {
                loss,
                delay: MILLISECOND * 5,
                ..Link::default()
            };
            // With half of all lost, five requests in a row are lost once in a while.
            let config = SenderConfig {
                receivers: vec![1, 2, 3, 4],
                robust: 100,
                ..config()
            };
            let mut session = Session::new(seed, link, config, 4);
            enqueue_some(&mut session);
            session.finish();
            assert!(session.run(SECOND * 120), "{loss}");
            session.assert_all_delivered();
        }
    }
}

#[test]
fn bursts_duplicates_and_reordering_change_nothing() {
    for seed in seeds(5) {
        let link = Link {
            bursts: Some(Bursts::new(0.05, 30.0)),
            duplicate: 0.1,
            reorder: 0.1,
            hold: MILLISECOND * 15,
            jitter: MILLISECOND * 2,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: vec![1, 2, 3],
            ..config()
        };
        let mut session = Session::new(seed, link, config, 3);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 120));
        session.assert_all_delivered();
    }
}
