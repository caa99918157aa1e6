//! What a hostile member of the group can do has a bound.
//!
//! NORM has no authentication: who can send from the sender's address is the sender, and who
//! acknowledges in another receiver's name is believed. What remains is stated here.

mod norm_group;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_lab::sim::{Link, any_order, seeds};
use manycast_proto::norm::message::{
    Body, CcFlags, CcNode, Command, Extensions, FecId, Feedback, Flags, Form, Fti, Item, Message,
    Nodes, ObjectInfo, PayloadId, Position, Request, SenderInfo, Timestamp,
};
use manycast_proto::norm::{
    Abandonment, Content, FeedbackTo, Object, Receiver, ReceiverConfig, ReceiverEvent, Sender,
    SenderConfig, SenderEvent,
};
use manycast_proto::{Output, Protocol};
use norm_group::{GROUP, MILLISECOND, NODE, PORT, SECOND, Session, config};
use proptest::prelude::*;

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

/// The instance of the sender of a session, as everybody can see it.
fn instance(session: &Session) -> u16 {
    // Its debug form names it.
    let text = format!("{:?}", session.sim.protocol(session.sender));
    let (_, rest) = text.split_once("instance: ").expect("it has one");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
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
            let instance = instance(&session);
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
            let instance = instance(&session);
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
            instance: instance(&session),
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

/// What a receiver tells of messages of one sender, a millisecond apart.
fn told<'a>(bodies: impl IntoIterator<Item = (Option<Fti>, Body<'a>)>) -> Vec<ReceiverEvent> {
    let start = start();
    let mut receiver = Receiver::new(ReceiverConfig::new(group(), 8), [1; 32], start);
    let interface = manycast_types::InterfaceId::new(2, "eth0");
    receiver.start(start);
    let mut events = Vec::new();
    for (index, (fti, body)) in (0..).zip(bodies) {
        let now = start + MILLISECOND * index;
        let extensions = Extensions {
            fti,
            ..Extensions::default()
        };
        let datagram = Message {
            sequence: 0,
            source: 5,
            extensions,
            body,
        };
        let datagram = datagram.emit();
        let received = manycast_types::Received::new(&datagram, peers()[1], group(), &interface);
        receiver.handle_datagram(now, received);
        loop {
            match receiver.poll_output(now) {
                Output::Event(event) => events.push(event),
                Output::Transmit(_) => {}
                _ => break,
            }
        }
    }
    events
}

fn fti(length: u64, max_block: u16) -> Fti {
    Fti {
        length,
        segment: 100,
        max_block,
        parity: 2,
        instance: 0,
    }
}

fn data(object: u16, block: u32, symbol: u16, payload: &[u8]) -> Body<'_> {
    Body::Data {
        object: ObjectInfo {
            sender: SenderInfo::default(),
            flags: Flags::default(),
            fec: FecId::ReedSolomon8,
            object,
        },
        id: PayloadId {
            block,
            length: 0,
            symbol,
        },
        payload,
    }
}

/// A sender that flushes object after object cannot make the objects between the first and the last
/// more than identifiers tell apart: each of them takes time and memory once it is squelched.
#[test]
fn flushes_of_far_objects_do_not_leave_objects_without_number_between() {
    let symbol = [1; 100];
    let first = (Some(fti(400, 2)), data(0, 0, 0, &symbol));
    let flushes = (1..=100_u16).map(|step| {
        let at = Position {
            fec: FecId::ReedSolomon8,
            object: step.wrapping_mul(30_000),
            id: PayloadId::default(),
        };
        let nodes = Nodes::default();
        let command = Command::Flush { at, nodes };
        let sender = SenderInfo::default();
        (None, Body::Command { sender, command })
    });
    let events = told(std::iter::once(first).chain(flushes));
    let overtaken = |event: &ReceiverEvent| {
        let reason = Abandonment::Overtaken;
        matches!(event, ReceiverEvent::Abandoned { reason: it, .. } if *it == reason)
    };
    assert!(events.iter().any(overtaken), "{events:?}");
}

/// An object that is cut otherwise in the middle gives no bytes that neither cut means.
#[test]
fn symbols_of_an_object_that_is_cut_otherwise_are_not_taken() {
    let symbols = [[1; 100], [2; 100]];
    let bytes = |event: &ReceiverEvent| matches!(event, ReceiverEvent::Data { .. });
    for other in [fti(400, 4), fti(500, 2)] {
        let events = told([
            (Some(fti(400, 2)), data(0, 0, 0, &symbols[0])),
            (Some(other), data(0, 0, 1, &symbols[1])),
        ]);
        assert!(!events.iter().any(bytes), "{events:?}");
    }
    let events = told([
        (Some(fti(400, 2)), data(0, 0, 0, &symbols[0])),
        (Some(fti(400, 2)), data(0, 0, 1, &symbols[1])),
    ]);
    assert!(events.iter().any(bytes), "{events:?}");
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
        instance: instance(&session),
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

/// A sender does not give up a receiver that is silent for a moment, however short round trips are.
#[test]
fn a_receiver_has_two_seconds_to_acknowledge() {
    let start = start();
    let config = SenderConfig {
        receivers: vec![1],
        grtt: MILLISECOND,
        ..SenderConfig::new(group(), 7)
    };
    let mut sender = Sender::new(config, [1; 32], start);
    sender.start(start);
    let object = Object {
        content: Content::Memory(Bytes::from_static(&[7; 100])),
        file: false,
        info: None,
    };
    sender.enqueue(object).expect("there is room");
    let (mut now, mut flushes) = (start, 0);
    let waited = loop {
        match sender.poll_output(now) {
            Output::Event(SenderEvent::Unacknowledged { .. }) => {
                break now.saturating_duration_since(start);
            }
            Output::Transmit(_) => flushes += 1,
            Output::Wait { until, .. } => {
                now = until.expect("it goes on");
                sender.handle_timeout(now);
            }
            _ => {}
        }
        assert!(flushes < 1_000, "it floods");
    };
    assert!((SECOND * 2..SECOND * 3).contains(&waited), "{waited:?}");
    assert!((20..100).contains(&flushes), "{flushes}");
}

/// What is printed of a sender does not grow with what it sends.
#[test]
fn a_sender_prints_no_bytes_of_objects() {
    let mut sender = Sender::new(SenderConfig::new(group(), 7), [1; 32], start());
    let object = Object {
        content: Content::Memory(vec![7; 100_000].into()),
        file: false,
        info: None,
    };
    sender.enqueue(object).expect("there is room");
    let text = format!("{sender:?}");
    assert!(text.len() < 1_000, "{text}");
}

/// Addresses that a session deals with.
fn peers() -> [SocketAddr; 3] {
    [
        group(),
        ([192, 0, 2, 7], PORT).into(),
        ([192, 0, 2, 8], PORT).into(),
    ]
}

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

proptest! {
    #[test]
    fn a_sender_keeps_its_contract(
        (segment, block, parity, proactive) in (0..3_000_u16, any::<u8>(), any::<u8>(), any::<u8>()),
        rate in prop_oneof![any::<u64>(), 1_000_000..1_000_000_000_u64],
        (backoff, robust) in (any::<u8>(), 0..5_u32),
        lengths in prop::collection::vec((0..50_000_usize, any::<bool>()), 0..5),
        receivers in prop::collection::vec(0..5_u32, 0..4),
        (finishes, stream, congestion_control) in any::<(bool, bool, bool)>(),
        seed in any::<[u8; 32]>(),
        script in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let config = SenderConfig {
            segment, block, parity, proactive, rate, backoff, robust, receivers, congestion_control,
            objects: 3,
            ..SenderConfig::new(group(), 7)
        };
        let mut sender = Sender::new(config, seed, start());
        for (length, elsewhere) in lengths {
            let content = if elsewhere {
                Content::Elsewhere(length as u64)
            } else {
                Content::Memory(vec![1; length].into())
            };
            let _ = sender.enqueue(Object { content, file: true, info: None });
        }
        if stream && let Ok(stream) = sender.open_stream(10_000, None) {
            let _ = sender.write(stream, &[7; 20_000]);
            sender.push(stream);
        }
        if finishes {
            sender.finish(start());
        }
        any_order(&mut sender, &script, &peers());
    }

    #[test]
    fn a_receiver_keeps_its_contract(
        feedback in prop_oneof![
            Just(FeedbackTo::Group), Just(FeedbackTo::Sender), Just(FeedbackTo::Nobody)
        ],
        (senders, objects, earlier) in (0..4_usize, 0..4_usize, any::<u16>()),
        (memory, robust) in (0..100_000_usize, 0..5_u32),
        seed in any::<[u8; 32]>(),
        script in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let config = ReceiverConfig {
            feedback, senders, objects, earlier, memory, robust,
            ..ReceiverConfig::new(group(), 8)
        };
        let mut receiver = Receiver::new(config, seed, start());
        any_order(&mut receiver, &script, &peers());
    }

    /// Messages that are well-formed, but not what a sender would send.
    #[test]
    fn a_receiver_stands_what_is_well_formed(
        messages in prop::collection::vec(
            (
                (0..8_u8, 0..3_u16, 0..3_u16, any::<u16>(), any::<u32>(), any::<u8>()),
                (0..100_000_u64, 0..300_u16, 0..70_u16, 0..70_u16, 0..400_usize, any::<u8>()),
            ),
            1..200,
        ),
        seed in any::<[u8; 32]>(),
    ) {
        let start = start();
        let config = ReceiverConfig { memory: 100_000, earlier: 10, ..ReceiverConfig::new(group(), 8) };
        let mut receiver = Receiver::new(config, seed, start);
        let interface = manycast_types::InterfaceId::new(2, "eth0");
        receiver.start(start);
        for (index, (what, how)) in messages.into_iter().enumerate() {
            let now = start + Duration::from_millis(index as u64);
            let (kind, instance, object, _, block, symbol) = what;
            let (length, segment, max_block, parity, payload, flags) = how;
            let sender = SenderInfo { instance, grtt: 100, backoff: 4, group_size: 1 };
            let info = ObjectInfo {
                sender,
                flags: Flags(flags),
                fec: FecId::ReedSolomon8,
                object,
            };
            let fti = Fti { length, segment, max_block, parity, instance: 0 };
            let id = PayloadId { block: block % 20, length: 0, symbol: symbol.into() };
            let payload = vec![9; payload];
            let at = Position { fec: FecId::ReedSolomon8, object, id };
            let body = match kind {
                0 => Body::Info { object: info, payload: &payload },
                1 => Body::Command {
                    sender,
                    command: Command::Flush { at, nodes: Default::default() },
                },
                2 => Body::Command {
                    sender,
                    command: Command::Squelch { from: at, invalid: &[0, 1] },
                },
                3 => Body::Command {
                    sender,
                    command: Command::CongestionControl {
                        sequence: segment,
                        time: Timestamp { seconds: block, micros: block },
                        nodes: vec![CcNode { node: 8, flags: CcFlags(flags), rtt: symbol, rate: segment }],
                    },
                },
                4 => Body::Command {
                    sender,
                    command: Command::AckRequest { kind: flags, id: symbol, nodes: Nodes::new(&[0, 0, 0, 8]) },
                },
                _ => Body::Data { object: info, id, payload: &payload },
            };
            let extensions = Extensions { fti: Some(fti), rate: Some(segment), ..Extensions::default() };
            let datagram = Message { sequence: 0, source: 5, extensions, body }.emit();
            let received = manycast_types::Received::new(&datagram, peers()[1], group(), &interface);
            receiver.handle_datagram(now, received);
            receiver.handle_timeout(now);
            prop_assert!(receiver.stats().memory <= 100_000);
            let outputs = (0..300).take_while(|_| !matches!(receiver.poll_output(now), Output::Wait { .. }));
            prop_assert!(outputs.count() < 300);
        }
    }
}
