//! Messages that no sender and no receiver would send, and calls in any order: the state machines stand
//! all of them.

mod norm_group;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_lab::sim::any_order;
use manycast_proto::norm::message::{
    Body, CcFlags, CcNode, Command, Extensions, FecId, Flags, Fti, Message, Nodes, ObjectInfo,
    PayloadId, Position, SenderInfo, Timestamp,
};
use manycast_proto::norm::{
    Abandonment, Content, FeedbackTo, Object, Receiver, ReceiverConfig, ReceiverEvent, Sender,
    SenderConfig, SenderEvent,
};
use manycast_proto::{Output, Protocol};
use norm_group::{GROUP, MILLISECOND, PORT, SECOND};
use proptest::prelude::*;

fn group() -> SocketAddr {
    (GROUP, PORT).into()
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

/// What is printed of either end does not grow with what is sent.
#[test]
fn neither_end_prints_bytes_of_objects() {
    let mut sender = Sender::new(SenderConfig::new(group(), 7), [1; 32], start());
    let object = Object {
        content: Content::Memory(vec![7; 100_000].into()),
        file: false,
        info: None,
    };
    sender.enqueue(object).expect("there is room");
    let text = format!("{sender:?}");
    assert!(text.len() < 1_000, "{text}");
    let mut receiver = Receiver::new(ReceiverConfig::new(group(), 8), [1; 32], start());
    let interface = manycast_types::InterfaceId::new(2, "eth0");
    receiver.start(start());
    let symbol = [7; 100];
    for number in 0..60 {
        let datagram = Message {
            sequence: number,
            source: 5,
            extensions: Extensions {
                fti: Some(fti(1_000_000, 64)),
                ..Extensions::default()
            },
            body: data(0, 0, number, &symbol),
        };
        let datagram = datagram.emit();
        let received = manycast_types::Received::new(&datagram, peers()[1], group(), &interface);
        receiver.handle_datagram(start(), received);
    }
    assert!(receiver.stats().memory > 6_000);
    let text = format!("{receiver:?}");
    assert!(text.len() < 1_500, "{text}");
    assert!(text.contains("memory: "), "{text}");
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
