//! What applications say to one another beside the objects, and what receivers have already.

mod norm_group;

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::{FeedbackTo, ReceiverConfig, ReceiverEvent, SenderConfig, SenderEvent};
use norm_group::{MILLISECOND, SECOND, Session, config};

/// Runs until the sender has ended; receivers answer every question by their number.
fn run_answering(session: &mut Session, asks: &[u32]) -> Vec<(u32, u8, Bytes)> {
    let mut seen = vec![0; session.receivers.len()];
    for round in 0..50 {
        session.sim.command(session.sender, |sender, now| {
            assert_eq!(sender.request(now, 16, 9, asks), asks.len());
        });
        let until = session.sim.elapsed() + MILLISECOND * 100;
        while session.sim.elapsed() < until && session.sim.step() {
            for (index, receiver) in session.receivers.clone().into_iter().enumerate() {
                let events = session.sim.events(receiver);
                let new: Vec<_> = events[seen[index]..].to_vec();
                seen[index] = events.len();
                for (_, event) in new {
                    if let ReceiverEvent::Asked {
                        node,
                        instance,
                        kind,
                        id,
                    } = event
                    {
                        let answer = format!("receiver {}", index + 1).into();
                        session.sim.command(receiver, |receiver, _| {
                            receiver.answer((node, instance), (kind, id), answer)
                        });
                    }
                }
            }
        }
        let answers = answers(session);
        let answered = |node: &u32| answers.iter().any(|(other, ..)| other == node);
        if asks.iter().all(answered) {
            assert!(round < 20, "it takes long");
            break;
        }
    }
    answers(session)
}

fn answers(session: &Session) -> Vec<(u32, u8, Bytes)> {
    let events = session.sim.events(session.sender).iter();
    let answers = events.filter_map(|(_, event)| match event {
        SenderEvent::Answered {
            node,
            kind: 16,
            id,
            payload,
        } => Some((*node, *id, payload.clone())),
        _ => None,
    });
    answers.collect()
}

#[test]
fn those_who_are_asked_answer() {
    for feedback in [FeedbackTo::Group, FeedbackTo::Sender] {
        for seed in seeds(2) {
            let link = Link {
                loss: 0.2,
                ..Link::default()
            };
            let change = |config| ReceiverConfig { feedback, ..config };
            let mut session = Session::with(seed, link, config(), 4, change);
            session.enqueue(100_000);
            session.sim.run_for(MILLISECOND * 200);
            let answers = run_answering(&mut session, &[1, 3]);
            for (node, id, payload) in answers {
                assert!(node == 1 || node == 3, "only they were asked");
                assert_eq!(
                    (id, &payload[..]),
                    (9, format!("receiver {node}").as_bytes())
                );
            }
            let peers: Vec<_> = session.sim.protocol(session.sender).peers().collect();
            let one = peers
                .iter()
                .find(|peer| peer.node == 1)
                .expect("it was heard");
            assert!(one.address.is_some() && one.heard.is_some());
        }
    }
}

/// Kinds below 16 are the protocol's own.
#[test]
fn the_protocols_own_kinds_are_not_the_applications() {
    let mut session = Session::new(1, Link::default(), config(), 1);
    session.enqueue(10_000);
    session.sim.run_for(MILLISECOND * 200);
    let asked = session.sim.command(session.sender, |sender, now| {
        sender.request(now, 2, 0, &[1])
    });
    assert_eq!(asked, 0);
}

#[test]
fn what_is_known_of_receivers_is_told() {
    let config = SenderConfig {
        receivers: vec![1, 2, 9],
        ..config()
    };
    let link = Link {
        loss: 0.05,
        delay: MILLISECOND * 10,
        ..Link::default()
    };
    let mut session = Session::new(1, link, config, 2);
    session.enqueue(500_000);
    session.finish();
    assert!(session.run(SECOND * 60));
    let peers: Vec<_> = session
        .sim
        .protocol(session.sender)
        .peers()
        .copied()
        .collect();
    assert_eq!(peers.len(), 3);
    for peer in &peers[..2] {
        assert!(peer.nacks > 0 && peer.acknowledged.is_some(), "{peer:?}");
        let round_trip = peer.round_trip.expect("it was measured");
        assert!(
            (MILLISECOND * 20..MILLISECOND * 40).contains(&round_trip),
            "{peer:?}"
        );
    }
    assert_eq!(
        (peers[2].node, peers[2].heard, peers[2].acknowledged),
        (9, None, None)
    );
}

/// A receiver that was started again asks for what it has not.
#[test]
fn what_is_there_is_not_asked_for_again() {
    for seed in seeds(3) {
        let config = SenderConfig {
            receivers: vec![1],
            ..config()
        };
        // The receiver comes when all was sent, and has the first two thirds from before.
        let mut session = Session::new(seed, Link::default(), config, 0);
        session.enqueue(600_000);
        session.sim.run_for(MILLISECOND * 400);
        let receiver = session.add_receiver(1, |config| config);
        let mut had = false;
        let ended = session.sim.run_until(SECOND * 2, |sim| {
            let started = sim
                .events(receiver)
                .iter()
                .any(|(_, event)| matches!(event, ReceiverEvent::Started { .. }));
            started && !std::mem::replace(&mut had, true)
        });
        assert!(ended, "it asks for the object");
        let started = session
            .sim
            .events(receiver)
            .iter()
            .find_map(|(_, event)| match event {
                ReceiverEvent::Started { object, .. } => Some(*object),
                _ => None,
            });
        let object = started.expect("it has started");
        session
            .sim
            .command(receiver, |receiver, _| receiver.have(object, 0..400_000));
        session.finish();
        assert!(session.run(SECOND * 60));
        let mut bytes = 0;
        for (_, event) in session.sim.events(receiver) {
            if let ReceiverEvent::Data {
                offset, bytes: new, ..
            } = event
            {
                let (start, sent) = (
                    usize::try_from(*offset).expect("small"),
                    &session.objects[0],
                );
                assert!(*offset >= 400_000, "that was there");
                assert!(sent[start..start + new.len()] == new[..]);
                bytes += new.len();
            }
        }
        assert_eq!(bytes, 200_000);
        let stats = session.sim.protocol(receiver).stats();
        assert_eq!(stats.completed, 1);
    }
}

/// Nothing but its information is asked for of an object that the application has yet to look at.
#[test]
fn what_may_be_there_is_not_asked_for_before_it_is_wanted() {
    let config = SenderConfig {
        receivers: vec![1],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 0);
    session.enqueue(600_000);
    session.sim.run_for(MILLISECOND * 400);
    let receiver = session.add_receiver(1, |config| ReceiverConfig {
        waits: true,
        ..config
    });
    let mut known = None;
    session.sim.run_until(SECOND * 2, |sim| {
        let mut events = sim.events(receiver).iter();
        known = events.find_map(|(_, event)| match event {
            ReceiverEvent::Info { object, .. } => Some(*object),
            _ => None,
        });
        known.is_some()
    });
    let object = known.expect("it asks for what the object is");
    session.sim.run_for(MILLISECOND * 50);
    assert_eq!(session.sim.protocol(session.sender).stats().repairs, 1);
    let had = session.sim.command(receiver, |receiver, _| {
        let had = receiver.have(object, 0..400_000);
        receiver.want(object);
        had
    });
    assert_eq!(had, 400_000);
    session.finish();
    assert!(session.run(SECOND * 60));
    assert_eq!(session.sim.protocol(receiver).stats().completed, 1);
    let repairs = session.sim.protocol(session.sender).stats().repairs;
    assert!((200..250).contains(&repairs), "{repairs}");
}

/// With all of it there, nothing more is needed.
#[test]
fn with_all_there_it_is_complete() {
    let mut session = Session::new(1, Link::default(), config(), 1);
    session.enqueue(600_000);
    session.sim.run_for(MILLISECOND * 50);
    let receiver = session.receivers[0];
    let events = session.sim.events(receiver).iter();
    let mut objects = events.filter_map(|(_, event)| match event {
        ReceiverEvent::Started { object, .. } => Some(*object),
        _ => None,
    });
    let object = objects.next().expect("it has started");
    session
        .sim
        .command(receiver, |receiver, _| receiver.have(object, 0..u64::MAX));
    session.sim.run_for(MILLISECOND);
    let stats = session.sim.protocol(receiver).stats();
    assert_eq!((stats.completed, stats.memory), (1, 0));
}
