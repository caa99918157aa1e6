//! What a hostile member of the group can do has a bound.
//!
//! NORM has no authentication: who can send from the sender's address is the sender, and who
//! acknowledges in another receiver's name is believed. What remains is stated here. What messages do
//! that no sender would send stands in `norm_nonsense.rs`.

mod norm_group;

use std::net::SocketAddr;

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::message::{
    Body, Command, Extensions, FecId, Feedback, Flags, Form, Fti, Item, Message, ObjectInfo,
    PayloadId, Position, Request, SenderInfo, Timestamp,
};
use manycast_proto::norm::{ReceiverConfig, Sender, SenderConfig};
use norm_group::nack::{asks, asks_for_blocks};
use norm_group::{GROUP, MILLISECOND, NODE, PORT, SECOND, Session, config};

fn group() -> SocketAddr {
    (GROUP, PORT).into()
}

fn message(source: u32, body: Body<'_>) -> Bytes {
    let extensions = Extensions::default();
    let sequence = 0;
    Message {
        sequence,
        source,
        extensions,
        body,
    }
    .emit()
}

/// One who asks for everything, for ever, gets a share, and the others have theirs all the same.
#[test]
fn who_asks_for_everything_delays_the_others_by_a_bounded_factor() {
    for seed in seeds(3) {
        let run = |hostile: bool| {
            let config = SenderConfig {
                receivers: vec![1, 2],
                ..config()
            };
            let mut session = Session::new(seed, Link::default(), config, 2);
            let liar = session.sim.add_host(["10.9.9.9"]);
            session.enqueue(10_000_000);
            session.finish();
            let instance = session.instance();
            let item = |block, symbol| Item {
                fec: FecId::ReedSolomon8,
                object: 0,
                id: PayloadId {
                    block,
                    length: 0,
                    symbol,
                },
            };
            let requests = vec![
                Request {
                    form: Form::Ranges,
                    flags: Request::BLOCK | Request::INFO,
                    items: vec![item(0, 0), item(0x00ff_ffff, 0)],
                },
                Request {
                    form: Form::Erasures,
                    flags: Request::SEGMENT,
                    items: (0..100).map(|block| item(block, 255)).collect(),
                },
            ];
            let feedback = Feedback {
                sender: NODE,
                instance,
                grtt_response: Timestamp {
                    seconds: 1,
                    micros: 0,
                },
            };
            let nack = message(77, Body::Nack { feedback, requests });
            let mut sent = 0;
            while session.sim.is_running(session.sender) && session.sim.elapsed() < SECOND * 100 {
                if hostile {
                    let from = ([10, 9, 9, 9], PORT).into();
                    session.sim.forge(liar, from, group(), nack.clone());
                }
                session.sim.run_for(MILLISECOND * 10);
                sent += 1;
                if session.acknowledged() >= 2 {
                    break;
                }
            }
            assert!(sent > 0);
            session.assert_all_delivered();
            session.sim.elapsed()
        };
        let (alone, attacked) = (run(false), run(true));
        assert!(attacked < alone * 6, "{attacked:?} instead of {alone:?}");
    }
}

/// One who asks for all of a stream, for ever, slows it down by a bounded factor where nobody is named:
/// a block is kept for three back-offs at most.
#[test]
fn who_asks_for_all_of_a_stream_delays_it_by_a_bounded_factor() {
    for seed in seeds(2) {
        let run = |hostile: bool| {
            let mut session = Session::new(seed, Link::default(), config(), 1);
            let liar = session.sim.add_host(["10.9.9.9"]);
            let instance = session.instance();
            let open = |sender: &mut Sender, _| sender.open_stream(400_000, None);
            let stream = session.sim.command(session.sender, open).expect("it opens");
            let bytes = norm_group::made_up(4_000_000, 1);
            let item = |block| Item {
                id: PayloadId {
                    block,
                    ..PayloadId::default()
                },
                fec: FecId::ReedSolomon8,
                object: 0,
            };
            let requests = vec![Request {
                form: Form::Ranges,
                flags: Request::BLOCK | Request::INFO,
                items: vec![item(0), item(0x007f_ffff)],
            }];
            let feedback = Feedback {
                sender: NODE,
                instance,
                ..Feedback::default()
            };
            let nack = message(77, Body::Nack { feedback, requests });
            let mut written = 0;
            while written < bytes.len() {
                assert!(
                    session.sim.elapsed() < SECOND * 200,
                    "it stands still at {written}"
                );
                if hostile {
                    let from = ([10, 9, 9, 9], PORT).into();
                    session.sim.forge(liar, from, group(), nack.clone());
                }
                let rest = bytes.slice(written..);
                let write = |sender: &mut Sender, _| sender.write(stream, &rest);
                written += session
                    .sim
                    .command(session.sender, write)
                    .expect("it is open");
                session.sim.run_for(MILLISECOND * 10);
            }
            session.sim.elapsed()
        };
        let (alone, attacked) = (run(false), run(true));
        assert!(attacked < alone * 8, "{attacked:?} instead of {alone:?}");
    }
}

/// Commands of the sender that come from another address change nothing.
#[test]
fn commands_from_elsewhere_change_nothing() {
    for seed in seeds(3) {
        let config = SenderConfig {
            receivers: vec![1, 2],
            ..config()
        };
        let link = Link {
            loss: 0.05,
            ..Link::default()
        };
        let mut session = Session::new(seed, link, config, 2);
        let liar = session.sim.add_host(["10.9.9.9"]);
        session.enqueue(1_000_000);
        session.finish();
        let sender = SenderInfo {
            instance: session.instance(),
            ..SenderInfo::default()
        };
        let from = Position {
            object: 1000,
            ..Position::default()
        };
        let forged = [
            Command::EndOfTransmission,
            Command::Squelch {
                from,
                invalid: &[0, 0],
            },
        ];
        for _ in 0..50 {
            for command in &forged {
                let command = command.clone();
                let datagram = message(NODE, Body::Command { sender, command });
                let source = ([10, 9, 9, 9], PORT).into();
                session.sim.forge(liar, source, group(), datagram);
            }
            session.sim.run_for(MILLISECOND * 5);
        }
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
    }
}

/// Whoever says objects from elsewhere by the node and instance of a sender does not mix into its own.
#[test]
fn objects_from_elsewhere_do_not_mix_with_those_of_a_sender() {
    for seed in seeds(2) {
        let config = SenderConfig {
            receivers: vec![1],
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 1);
        let liar = session.sim.add_host(["10.9.9.9"]);
        session.enqueue(100_000);
        session.enqueue(100_000);
        // The receiver has heard the sender first.
        session.sim.run_for(MILLISECOND * 10);
        session.finish();
        let (instance, payload) = (session.instance(), vec![7; 1000]);
        for object in [0, 1, 2] {
            let object = ObjectInfo {
                sender: SenderInfo {
                    instance,
                    backoff: 4,
                    ..SenderInfo::default()
                },
                flags: Flags::INFO,
                fec: FecId::ReedSolomon8,
                object,
            };
            let extensions = Extensions {
                fti: Some(Fti {
                    length: 1 << 30,
                    segment: 1000,
                    max_block: 20,
                    parity: 20,
                    instance: 0,
                }),
                ..Extensions::default()
            };
            for symbol in 0..20 {
                let forged = Message {
                    sequence: 0,
                    source: NODE,
                    extensions,
                    body: Body::Data {
                        object,
                        id: PayloadId {
                            block: 7,
                            length: 0,
                            symbol,
                        },
                        payload: &payload,
                    },
                };
                let source = ([10, 9, 9, 9], PORT).into();
                session.sim.forge(liar, source, group(), forged.emit());
            }
            session.sim.run_for(MILLISECOND);
        }
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
    }
}

/// Senders without number and objects without end take a bounded place, and leave room for others.
#[test]
fn made_up_senders_and_objects_take_a_bounded_place() {
    for seed in seeds(2) {
        let memory = 4_000_000;
        let config = SenderConfig {
            receivers: vec![1],
            ..config()
        };
        let change = |config| ReceiverConfig { memory, ..config };
        let mut session = Session::with(seed, Link::default(), config, 1, change);
        let liar = session.sim.add_host(["10.9.9.9"]);
        session.enqueue(500_000);
        session.sim.run_for(MILLISECOND * 50);
        session.finish();
        let receiver = session.receivers[0];
        for number in 0..2_000_u32 {
            let object = ObjectInfo {
                sender: SenderInfo {
                    instance: 1,
                    backoff: 4,
                    ..SenderInfo::default()
                },
                flags: Flags::INFO,
                fec: FecId::ReedSolomon8,
                object: (number % 700) as u16,
            };
            let extensions = Extensions {
                fti: Some(Fti {
                    length: (1 << 37) - 1,
                    segment: 60_000,
                    max_block: 200,
                    parity: 50,
                    instance: 0,
                }),
                ..Extensions::default()
            };
            let payload = vec![7; 60_000];
            let forged = Message {
                sequence: 0,
                source: 5_000 + number % 50,
                extensions,
                body: Body::Data {
                    object,
                    id: PayloadId {
                        block: number % 10,
                        length: 0,
                        symbol: 3,
                    },
                    payload: &payload,
                },
            };
            session
                .sim
                .forge(liar, ([10, 9, 9, 9], PORT).into(), group(), forged.emit());
            session.sim.run_for(MILLISECOND / 4);
            let stats = session.sim.protocol(receiver).stats();
            assert!(stats.memory <= memory, "{stats:?}");
        }
        assert!(session.run(SECOND * 60));
        assert_eq!(session.sim.protocol(receiver).stats().completed, 1);
        assert!(session.sim.protocol(receiver).stats().refused_senders > 0);
    }
}

/// A few datagrams of made-up senders reserve room for whole blocks, and leave some for others.
#[test]
fn made_up_senders_do_not_take_the_memory_of_others() {
    let config = SenderConfig {
        receivers: vec![1],
        ..config()
    };
    let memory = 4_000_000;
    let change = |config| ReceiverConfig { memory, ..config };
    let mut session = Session::with(1, Link::default(), config, 1, change);
    let liar = session.sim.add_host(["10.9.9.9"]);
    // Long blocks first, and then short ones for what is left.
    for (source, segment, blocks) in [
        (1, 60_000, 20),
        (2, 60_000, 20),
        (3, 10_000, 50),
        (4, 500, 500),
    ] {
        let payload = vec![7; segment.into()];
        for block in 0..blocks {
            let object = ObjectInfo {
                sender: SenderInfo {
                    instance: 1,
                    ..SenderInfo::default()
                },
                flags: Flags::default(),
                fec: FecId::ReedSolomon8,
                object: 0,
            };
            let extensions = Extensions {
                fti: Some(Fti {
                    length: 1 << 30,
                    segment,
                    max_block: 5,
                    parity: 0,
                    instance: 0,
                }),
                ..Extensions::default()
            };
            let forged = Message {
                sequence: 0,
                source: 5_000 + source,
                extensions,
                body: Body::Data {
                    object,
                    id: PayloadId {
                        block,
                        length: 0,
                        symbol: 0,
                    },
                    payload: &payload,
                },
            };
            let from = ([10, 9, 9, 9], PORT).into();
            session.sim.forge(liar, from, group(), forged.emit());
        }
    }
    session.sim.run_for(MILLISECOND * 10);
    let receiver = session.receivers[0];
    let taken = session.sim.protocol(receiver).stats().memory;
    assert!(taken > memory / 4 && taken <= memory, "{taken}");
    session.enqueue(500_000);
    session.finish();
    // While the others still have their places.
    assert!(session.run(SECOND));
    session.assert_all_delivered();
}

/// Who is not named does not make the sender wait by claiming a long round trip.
#[test]
fn who_is_not_named_does_not_lengthen_the_round_trip() {
    let config = SenderConfig {
        receivers: vec![1],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 1);
    let liar = session.sim.add_host(["10.9.9.9"]);
    session.enqueue(1_000_000);
    session.sim.run_for(SECOND * 3);
    let feedback = Feedback {
        sender: NODE,
        instance: session.instance(),
        // Of the first moment, three seconds ago.
        grtt_response: Timestamp {
            seconds: 1,
            micros: 0,
        },
    };
    let nack = Body::Nack {
        feedback,
        requests: Vec::new(),
    };
    let from = ([10, 9, 9, 9], PORT).into();
    let before = session.sim.protocol(session.sender).stats();
    for _ in 0..10 {
        let forged = message(77, nack.clone());
        session.sim.forge(liar, from, group(), forged);
        session.sim.run_for(MILLISECOND * 10);
    }
    let after = session.sim.protocol(session.sender).stats();
    assert!(after.round_trips > before.round_trips, "it was heard");
    assert!(after.grtt < SECOND, "{after:?}");
}

/// Requests that only receivers hear keep them from asking three times in a row, and no longer: the
/// transmission takes longer, and all have it in the end.
#[test]
fn requests_that_the_sender_does_not_hear_delay_by_a_bounded_time() {
    for seed in seeds(3) {
        let run = |hostile: bool| {
            let config = SenderConfig {
                receivers: vec![1, 2, 3],
                robust: 50,
                ..config()
            };
            let link = Link {
                loss: 0.05,
                ..Link::default()
            };
            let mut session = Session::new(seed, link, config, 3);
            let liar = session.sim.add_host(["10.9.9.9"]);
            session.enqueue(1_000_000);
            session.finish();
            let forged = asks_for_blocks(&session, 77, 0, 0x00ff_ffff);
            while session.sim.is_running(session.sender) {
                assert!(session.sim.elapsed() < SECOND * 60, "{seed}");
                for receiver in 1..=3_u8 {
                    let to = ([10, 1, 0, receiver], PORT).into();
                    let from = ([10, 9, 9, 9], PORT).into();
                    if hostile {
                        session.sim.forge(liar, from, to, forged.clone());
                    }
                }
                session.sim.run_for(MILLISECOND * 2);
            }
            session.assert_all_delivered();
            let receivers = session.receivers.iter();
            let stats = receivers.map(|receiver| session.sim.protocol(*receiver).stats());
            let suppressed: u64 = stats.map(|stats| stats.suppressed).sum();
            (session.sim.elapsed(), suppressed)
        };
        let ((alone, _), (attacked, suppressed)) = (run(false), run(true));
        assert!(suppressed > 0, "the requests were heard");
        assert!(attacked < alone * 10, "{attacked:?} instead of {alone:?}");
    }
}

/// Who asks for the same without end keeps a sender from its end for a bounded time, where nobody is
/// named and where a receiver is that does not answer.
#[test]
fn who_asks_without_end_does_not_keep_a_sender_from_its_end() {
    for receivers in [Vec::new(), vec![9]] {
        for last in [0, 0x00ff_ffff] {
            let config = SenderConfig {
                receivers: receivers.clone(),
                ..config()
            };
            let mut session = Session::new(1, Link::default(), config, 1);
            let liar = session.sim.add_host(["10.9.9.9"]);
            session.enqueue(200_000);
            session.finish();
            let forged = asks_for_blocks(&session, 77, 0, last);
            while session.sim.is_running(session.sender) {
                assert!(session.sim.elapsed() < SECOND * 60, "{receivers:?}");
                let from = ([10, 9, 9, 9], PORT).into();
                session.sim.forge(liar, from, group(), forged.clone());
                session.sim.run_for(MILLISECOND * 10);
            }
            assert_eq!(session.received(0).completed, [0]);
        }
    }
}

/// Who asks without end is not heard any more; a receiver that is waited for is, however late it comes.
#[test]
fn who_asks_without_end_does_not_keep_a_late_receiver_from_being_heard() {
    for seed in seeds(3) {
        let config = SenderConfig {
            receivers: vec![1, 2],
            robust: 5,
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 1);
        let liar = session.sim.add_host(["10.9.9.9"]);
        session.enqueue(200_000);
        session.finish();
        let forged = asks_for_blocks(&session, 77, 0, 0x00ff_ffff);
        let mut repairs = (0, session.sim.elapsed());
        while session.sim.elapsed() < repairs.1 + MILLISECOND * 600 {
            let from = ([10, 9, 9, 9], PORT).into();
            session.sim.forge(liar, from, group(), forged.clone());
            session.sim.run_for(MILLISECOND * 10);
            let now = session.sim.protocol(session.sender).stats().repairs;
            if now > repairs.0 {
                repairs = (now, session.sim.elapsed());
            }
        }
        assert!(repairs.0 > 0 && session.sim.is_running(session.sender));
        session.add_receiver(2, |config| config);
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        assert_eq!(session.acknowledged(), 2);
    }
}

/// Requests to the sender alone are repeated to the group, so that others need not ask. Who makes it repeat
/// much does not keep it from sending, and owes nothing when that is over.
#[test]
fn repeated_requests_take_a_bounded_part_of_the_rate() {
    let config = SenderConfig {
        rate: 2_000_000,
        grtt: MILLISECOND,
        ..config()
    };
    let link = Link {
        delay: MILLISECOND * 3 / 10,
        ..Link::default()
    };
    let mut session = Session::new(1, link, config, 1);
    let liar = session.sim.add_host(["10.9.9.9"]);
    session.enqueue(20_000_000);
    session.sim.run_for(SECOND * 2);
    let sent = |session: &Session| session.sim.protocol(session.sender).stats().datagrams;
    let alone = sent(&session);
    // Every other symbol of twenty blocks, one by one, so that it is long.
    let item = |block, symbol| Item {
        fec: FecId::ReedSolomon8,
        object: 0,
        id: PayloadId {
            block,
            length: 0,
            symbol,
        },
    };
    let items = (0..20).flat_map(|block| (0..10).map(move |half| item(block, 2 * half)));
    let request = Request {
        form: Form::Items,
        flags: Request::SEGMENT,
        items: items.collect(),
    };
    let forged = asks(&session, 77, request);
    let (from, to) = (([10, 9, 9, 9], PORT).into(), ([10, 0, 0, 1], PORT).into());
    let attack = |session: &mut Session, milliseconds| {
        let before = sent(session);
        for _ in 0..milliseconds {
            session.sim.forge(liar, from, to, forged.clone());
            session.sim.run_for(MILLISECOND);
        }
        sent(session) - before
    };
    // A thousand repairs go first.
    attack(&mut session, 6000);
    let attacked = attack(&mut session, 10_000);
    assert!(attacked > alone, "a fifth of 10 s: {attacked}, {alone}");
    let before = sent(&session);
    session.sim.run_for(SECOND * 2);
    let after = sent(&session) - before;
    assert!(after > alone / 2, "{after} of {alone}");
}
