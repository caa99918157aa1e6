//! Objects that the sender takes back, since their bytes cannot be had any more.

mod norm_group;

use manycast_lab::sim::Link;
use manycast_proto::norm::{Content, Object, ObjectId, SenderConfig};

use norm_group::{MILLISECOND, SECOND, Session, config};

/// A sender that waits for two receivers.
fn session() -> Session {
    let config = SenderConfig {
        receivers: vec![1, 2],
        ..config()
    };
    Session::new(1, Link::default(), config, 2)
}

/// Enqueues an object that is withdrawn later.
fn enqueue(session: &mut Session, length: usize) -> ObjectId {
    session.objects.push(vec![7; length].into());
    let object = Object {
        content: Content::Elsewhere(length as u64),
        file: true,
        info: Some(format!("object {}", session.objects.len()).into()),
    };
    let result = session
        .sim
        .command(session.sender, |sender, _| sender.enqueue(object));
    result.expect("there is room for it")
}

fn withdraw(session: &mut Session, object: ObjectId) {
    session
        .sim
        .command(session.sender, |sender, _| sender.withdraw(object));
}

/// Receivers learn of it by those around it alone, and ask for it. They are told that it does not come,
/// and wait for nothing.
#[test]
fn what_is_withdrawn_before_it_begins_holds_nothing_up() {
    let mut session = session();
    session.enqueue(40_000);
    let withdrawn = enqueue(&mut session, 40_000);
    withdraw(&mut session, withdrawn);
    session.enqueue(40_000);
    session.finish();
    assert!(session.run(SECOND * 60));
    assert_eq!(session.acknowledged(), 2);
    for receiver in 0..2 {
        assert_eq!(session.received(receiver).completed, [0, 2]);
    }
    assert!(session.nacks() < 20, "{}", session.nacks());
}

/// Those who did not hear that it was withdrawn ask for it when something follows, and are told.
#[test]
fn who_missed_that_it_was_withdrawn_does_not_ask_for_ever() {
    let mut session = session();
    session.enqueue(40_000);
    let withdrawn = enqueue(&mut session, 400_000);
    // Something of it has come.
    session.run_with_disk(MILLISECOND * 60, MILLISECOND);
    let hosts = session.hosts.clone();
    session.sim.partition(hosts);
    withdraw(&mut session, withdrawn);
    session.sim.run_for(MILLISECOND * 20);
    session.sim.heal();
    session.enqueue(40_000);
    session.sim.run_for(SECOND * 20);
    let asked = session.nacks();
    session.sim.run_for(SECOND * 20);
    assert_eq!(session.nacks(), asked);
    for receiver in 0..2 {
        let delivery = session.received(receiver);
        assert_eq!(delivery.completed, [0, 2]);
        assert_eq!(delivery.abandoned.len(), 1);
    }
}

/// Of two at the end that are withdrawn nothing is known, but that of what was before all is there.
#[test]
fn what_is_before_the_withdrawn_is_acknowledged() {
    let mut session = session();
    session.enqueue(40_000);
    let withdrawn = [1, 2].map(|_| enqueue(&mut session, 100_000));
    // Something of both has come.
    session.run_with_disk(MILLISECOND * 80, MILLISECOND);
    for object in withdrawn {
        withdraw(&mut session, object);
    }
    session.finish();
    assert!(session.run(SECOND * 60));
    assert_eq!(session.acknowledged(), 2);
}

/// More are withdrawn than one message names: receivers are told of all, and what follows is acknowledged.
#[test]
fn any_number_may_be_withdrawn() {
    for withdrawn in [60, 3000] {
        let config = SenderConfig {
            segment: 100,
            receivers: vec![1, 2],
            objects: 4096,
            ..config()
        };
        let mut session = Session::new(1, Link::default(), config, 2);
        session.enqueue(1000);
        for _ in 0..withdrawn {
            let object = enqueue(&mut session, 1000);
            withdraw(&mut session, object);
        }
        session.enqueue(1000);
        session.finish();
        assert!(session.run(SECOND * 60), "{withdrawn}");
        assert_eq!(session.acknowledged(), 2);
        for receiver in 0..2 {
            assert_eq!(session.received(receiver).completed, [0, withdrawn + 1]);
        }
        let stats = session.sim.protocol(session.sender).stats();
        assert!(stats.commands < 500, "{stats:?}");
        // What is withdrawn at once is told at once, and takes nothing of the rate that is not sent.
        assert!(session.sim.elapsed() < SECOND * 10);
    }
}
