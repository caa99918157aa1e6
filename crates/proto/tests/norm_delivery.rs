//! Whatever the network does, who completes an object has exactly its bytes.

mod norm_group;

use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::fec::Variant;
use manycast_proto::norm::message::FecId;
use manycast_proto::norm::{
    Content, EnqueueError, FeedbackTo, Object, ReceiverConfig, ReceiverEvent, SenderConfig,
};
use norm_group::choice::choice;
use norm_group::{MILLISECOND, SECOND, Session, config, rough};
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
        let config = SenderConfig {
            receivers: vec![1, 2, 3],
            ..config()
        };
        let mut session = Session::new(seed, rough(), config, 3);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 120));
        session.assert_all_delivered();
    }
}

#[test]
fn all_schemes_and_both_codes_deliver() {
    for fec in [FecId::ReedSolomon8, FecId::ReedSolomon, FecId::SmallBlock] {
        for variant in [Variant::Nrl, Variant::Rfc5510] {
            let link = Link {
                loss: 0.1,
                ..Link::default()
            };
            let config = SenderConfig {
                fec,
                variant,
                receivers: vec![1, 2],
                ..config()
            };
            let change = |config| ReceiverConfig { variant, ..config };
            let mut session = Session::with(1, link, config, 2, change);
            enqueue_some(&mut session);
            session.finish();
            assert!(session.run(SECOND * 60), "{fec:?} {variant:?}");
            session.assert_all_delivered();
        }
    }
}

#[test]
fn without_parity_what_is_lost_is_sent_again() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let config = SenderConfig {
            parity: 0,
            receivers: vec![1, 2, 3],
            ..config()
        };
        let mut session = Session::new(seed, link, config, 3);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        for receiver in &session.receivers {
            assert_eq!(session.sim.protocol(*receiver).stats().decoded, 0);
        }
    }
}

/// Parity that goes along serves those who cannot ask.
#[test]
fn the_silent_receive_what_proactive_parity_makes_up_for() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let config = SenderConfig {
            proactive: 14,
            ..config()
        };
        let change = |config| ReceiverConfig {
            feedback: FeedbackTo::Nobody,
            ..config
        };
        let mut session = Session::with(seed, link, config, 5, change);
        session.enqueue(400_000);
        session.finish();
        assert!(session.run(SECOND * 60));
        assert_eq!(session.nacks(), 0);
        for receiver in 0..5 {
            let stats = session.sim.protocol(session.receivers[receiver]).stats();
            assert_eq!(stats.symbols, 400, "{stats:?}");
            assert_eq!(session.received(receiver).completed.len(), 1);
        }
    }
}

/// Information has no parity: it goes again as often as parity does, up to eight times.
#[test]
fn the_silent_receive_short_objects_and_their_information() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let config = SenderConfig {
            parity: 48,
            proactive: 48,
            ..config()
        };
        let change = |config| ReceiverConfig {
            feedback: FeedbackTo::Nobody,
            ..config
        };
        let mut session = Session::with(seed, link, config, 5, change);
        for _ in 0..20 {
            session.enqueue(1);
            session.enqueue(0);
        }
        session.finish();
        assert!(session.run(SECOND * 60));
        for receiver in 0..5 {
            assert_eq!(session.received(receiver).completed.len(), 40);
        }
    }
}

#[test]
fn information_is_a_small_part_of_what_is_sent() {
    for (length, proactive, symbols, infos) in [
        (1, 0, 1, 1),
        (1, 2, 3, 3),
        (1, 48, 49, 9),
        (100_000, 0, 100, 2),
        (100_000, 1, 105, 2),
        (4_000_000, 14, 6_800, 9),
    ] {
        let config = SenderConfig {
            parity: 48,
            proactive,
            ..config()
        };
        let mut session = Session::new(1, Link::default(), config, 1);
        session.enqueue(length);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        let sent = session.sim.protocol(session.sender).stats().datagrams;
        assert_eq!(sent, symbols + infos, "{length} {proactive}");
    }
}

/// Receivers that answer the sender alone hear by its advertisements what others asked for.
#[test]
fn unicast_answers_repair_as_well() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.05,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: (1..=8).collect(),
            ..config()
        };
        let change = |config| ReceiverConfig {
            feedback: FeedbackTo::Sender,
            ..config
        };
        let mut session = Session::with(seed, link, config, 8, change);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        assert_eq!(session.acknowledged(), 8);
    }
}

#[test]
fn one_host_is_served_like_a_group() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.05,
            ..Link::default()
        };
        let config = SenderConfig {
            destination: ([10, 1, 0, 1], norm_group::PORT).into(),
            receivers: vec![1],
            ..config()
        };
        let change = |config| ReceiverConfig {
            feedback: FeedbackTo::Sender,
            ..config
        };
        let mut session = Session::with(seed, link, config, 1, change);
        enqueue_some(&mut session);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
    }
}

/// A file needs no more memory than its window, and repairs are read again.
#[test]
fn objects_on_disk_are_read_as_they_are_needed() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.02,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: vec![1, 2],
            memory: 100_000,
            ..config()
        };
        let mut session = Session::new(seed, link, config, 2);
        session.enqueue_elsewhere(2_000_000);
        session.enqueue_elsewhere(0);
        session.enqueue_elsewhere(33_333);
        session.finish();
        let read = session
            .run_with_disk(SECOND * 60, Duration::ZERO)
            .expect("it ends");
        session.assert_all_delivered();
        assert!(read > 2_033_333 && read < 6_000_000, "{read}");
    }
}

#[test]
fn a_partition_heals() {
    for seed in seeds(3) {
        let config = SenderConfig {
            receivers: vec![1, 2, 3],
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 3);
        session.enqueue(3_000_000);
        session.finish();
        session.sim.run_for(MILLISECOND * 300);
        let cut_off = session.hosts[1];
        session.sim.partition([cut_off]);
        session.sim.run_for(MILLISECOND * 500);
        session.sim.heal();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        // What the one missed was sent again, and not much more.
        let stats = session.sim.protocol(session.sender).stats();
        assert!((1_000..1_600).contains(&stats.repairs), "{stats:?}");
    }
}

/// A receiver behind a link of a third of the rate has what it can, and the others have all in time.
#[test]
fn a_slow_receiver_has_it_later() {
    for seed in seeds(3) {
        let config = SenderConfig {
            receivers: vec![1, 2, 3],
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 3);
        let slow = Link {
            rate: Some(7_000_000),
            queue: 64_000,
            ..Link::default()
        };
        let host = session.hosts[2];
        session.sim.set_access(host, "eth0", Link::default(), slow);
        session.enqueue(1_000_000);
        session.finish();
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
    }
}

#[test]
fn who_comes_late_has_the_object_that_is_being_sent() {
    for seed in seeds(3) {
        let mut session = Session::new(seed, Link::default(), config(), 1);
        session.enqueue(300_000);
        session.enqueue(1_000_000);
        session.finish();
        session.sim.run_for(MILLISECOND * 300);
        session.add_receiver(2, |config| ReceiverConfig {
            earlier: 0,
            ..config
        });
        session.add_receiver(3, |config| config);
        assert!(session.run(SECOND * 60));
        assert_eq!(session.received(0).completed, [0, 1]);
        assert_eq!(session.received(1).completed, [1]);
        assert_eq!(
            session.received(2).completed,
            [0, 1],
            "it asked for earlier ones too"
        );
    }
}

/// A sender that dies leaves receivers that ask for a while, and then are quiet.
#[test]
fn a_sender_that_dies_is_given_up() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let mut session = Session::new(seed, link, config(), 3);
        session.enqueue(1_000_000);
        session.sim.run_for(MILLISECOND * 200);
        let host = session.sender_host;
        session.sim.partition([host]);
        session.sim.run_for(SECOND * 30);
        let asked = session.nacks();
        assert!(asked > 0 && asked < 300, "{asked}");
        session.sim.run_for(SECOND * 60);
        assert_eq!(session.nacks(), asked, "nobody asks the dead for ever");
        for receiver in 0..3 {
            let delivery = session.received(receiver);
            assert_eq!((delivery.completed.len(), delivery.gone), (0, 1));
        }
        // It was the network after all.
        session.sim.heal();
        session.finish();
        assert!(session.run(SECOND * 90));
        session.assert_all_delivered();
    }
}

/// Who is started again is another sender, though it has the same address and number.
#[test]
fn a_sender_that_is_started_again_begins_anew() {
    for seed in seeds(3) {
        let mut session = Session::new(seed, Link::default(), config(), 2);
        session.enqueue(1_000_000);
        session.sim.run_for(MILLISECOND * 200);
        session.restart_sender(config());
        session.enqueue(1_000_000);
        session.finish();
        assert!(session.run(SECOND * 60));
        for receiver in 0..2 {
            let delivery = session.received(receiver);
            assert_eq!((delivery.completed.len(), delivery.abandoned.len()), (1, 1));
        }
    }
}

/// A receiver with room for a few blocks has all in the end, and never uses more.
#[test]
fn memory_has_a_bound() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: vec![1],
            robust: 100,
            ..config()
        };
        let memory = 200_000;
        let change = |config| ReceiverConfig { memory, ..config };
        let mut session = Session::with(seed, link, config, 1, change);
        session.enqueue(2_000_000);
        session.finish();
        let receiver = session.receivers[0];
        let mut most = 0;
        let sender = session.sender;
        let ended = session.sim.run_until(SECOND * 120, |sim| {
            most = most.max(sim.protocol(receiver).stats().memory);
            !sim.is_running(sender)
        });
        assert!(ended);
        session.assert_all_delivered();
        assert!(most <= memory / 2, "{most}");
        assert!(session.sim.protocol(receiver).stats().no_room > 0);
    }
}

/// Identifiers of objects go round from 65,535 to 0.
#[test]
fn identifiers_go_round() {
    let config = SenderConfig {
        rate: 1_000_000_000,
        receivers: vec![1],
        objects: 64,
        first_object: 0xfff0,
        ..config()
    };
    let change = |config| ReceiverConfig {
        earlier: 0,
        ..config
    };
    let mut session = Session::with(1, Link::default(), config, 1, change);
    let mut completed = 0;
    let object = |number: u32| Object {
        content: Content::Memory(Bytes::copy_from_slice(&number.to_be_bytes())),
        file: false,
        info: None,
    };
    let mut next = 0;
    while next < 100 {
        let result = session
            .sim
            .command(session.sender, |sender, _| sender.enqueue(object(next)));
        match result {
            Ok(_) => next += 1,
            Err(EnqueueError::Full) => assert!(session.sim.step(), "it stands still at {next}"),
            Err(error) => panic!("{error}"),
        }
    }
    session.finish();
    assert!(session.run(SECOND * 60));
    for (_, event) in session.sim.events(session.receivers[0]) {
        if let ReceiverEvent::Data { bytes, .. } = event {
            assert_eq!(bytes[..], u32::to_be_bytes(completed));
            completed += 1;
        }
    }
    assert_eq!(completed, 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the network does and whatever was chosen, what is completed is what was sent, and all
    /// is completed where everybody is waited for.
    #[test]
    fn what_is_completed_is_what_was_sent(
        choice in choice(),
        lengths in prop::collection::vec(0..40_000_usize, 1..5),
        (disk, file, merging) in any::<(bool, bool, bool)>(),
    ) {
        let mut session = choice.session();
        session.sim.set_merging(merging.then_some(Duration::from_micros(50)));
        for length in lengths {
            session.enqueue_as(length, file, disk);
        }
        session.finish();
        prop_assert!(session.run_with_disk(SECOND * 600, Duration::ZERO).is_some());
        session.assert_all_delivered();
    }

    /// A sender that dies at any time and is started again, and a receiver that does: what is
    /// completed of either time is what was sent.
    #[test]
    fn what_is_completed_after_a_restart_is_what_was_sent(
        choice in choice(),
        (length, again) in (1..200_000_usize, 1..100_000_usize),
        killed in prop::array::uniform2(0..400_u64),
        file: bool,
    ) {
        let mut session = choice.session();
        session.enqueue_as(length, file, false);
        session.sim.run_for(Duration::from_millis(killed[0]));
        session.restart_receiver(0);
        session.sim.run_for(Duration::from_millis(killed[1]));
        // What the first sender sent is checked against its own objects.
        (0..session.receivers.len()).for_each(|receiver| {
            session.received(receiver);
        });
        session.restart_sender(choice.config());
        session.enqueue_as(again, file, false);
        session.finish();
        prop_assert!(session.run(SECOND * 600));
        session.assert_all_delivered();
    }
}
