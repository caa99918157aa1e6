//! One who receives a stream by NORM, of a sender that says anything well-formed.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use manycast_proto::norm::message::{
    Body, CcNode, Command, Extensions, FecId, Flags, Fti, Message, Nodes, ObjectInfo, PayloadId,
    Position, SenderInfo,
};
use manycast_proto::norm::{FeedbackTo, Receiver, ReceiverConfig, ReceiverEvent};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received};

/// A message: its kind, the block, the symbol, flags, how much later it comes in milliseconds, and what
/// is in it.
type Piece<'a> = (u8, u32, u8, u8, u8, &'a [u8]);

const MEMORY: usize = 50_000;

fuzz_target!(|input: (bool, bool, u8, u8, Vec<Piece<'_>>)| {
    let (silent, earlier, segment, length, pieces) = input;
    let group: SocketAddr = ([239, 1, 1, 1], 6003).into();
    let mut now = Instant::now();
    let config = ReceiverConfig {
        feedback: if silent {
            FeedbackTo::Nobody
        } else {
            FeedbackTo::Group
        },
        earlier: earlier.into(),
        memory: MEMORY,
        ..ReceiverConfig::new(group, 8)
    };
    let mut receiver = Receiver::new(config, [7; 32], now);
    receiver.start(now);
    let interface = InterfaceId::new(2, "eth0");
    let mut next = None;
    for (sequence, (kind, block, symbol, flags, later, payload)) in pieces.into_iter().enumerate() {
        now += Duration::from_millis(later.into());
        let sender = SenderInfo {
            instance: 1,
            grtt: 80,
            backoff: 4,
            group_size: 1,
        };
        let fec = FecId::ReedSolomon8;
        let id = PayloadId {
            block,
            length: 0,
            symbol: symbol.into(),
        };
        let at = Position { fec, object: 0, id };
        let object = ObjectInfo {
            sender,
            flags: Flags::STREAM.with(Flags(flags & 0x07)),
            fec,
            object: 0,
        };
        let command = |command| Body::Command { sender, command };
        let body = match kind % 8 {
            0 => Body::Info { object, payload },
            1 => command(Command::Flush {
                at,
                nodes: Nodes::new(&[0, 0, 0, 8]),
            }),
            2 => command(Command::Squelch {
                from: at,
                invalid: &[],
            }),
            3 => command(Command::CongestionControl {
                sequence: u16::from(symbol),
                time: Default::default(),
                nodes: vec![CcNode {
                    node: u32::from(flags % 16),
                    ..CcNode::default()
                }],
            }),
            4 => command(Command::EndOfTransmission),
            _ => Body::Data {
                object,
                id,
                payload,
            },
        };
        let extensions = Extensions {
            fti: Some(Fti {
                length: 1000,
                segment: segment.into(),
                max_block: length.into(),
                parity: 10,
                instance: 0,
            }),
            rate: Some(0x1004),
            ..Extensions::default()
        };
        let message = Message {
            sequence: sequence as u16,
            source: 5,
            extensions,
            body,
        };
        let datagram = message.emit();
        let from = ([192, 0, 2, 7], 6003).into();
        receiver.handle_datagram(now, Received::new(&datagram, from, group, &interface));
        receiver.handle_timeout(now);
        assert!(receiver.stats().memory <= MEMORY);
        loop {
            match receiver.poll_output(now) {
                Output::Wait { .. } | Output::Finished => break,
                Output::Event(ReceiverEvent::StreamStarted { .. }) => next = Some(0),
                // Bytes come in order, each once, and gaps go forward.
                Output::Event(ReceiverEvent::Data { offset, bytes, .. }) => {
                    assert_eq!(Some(offset), next);
                    next = Some(offset + bytes.len() as u64);
                }
                Output::Event(ReceiverEvent::Gap { from, to, .. }) => {
                    assert_eq!(Some(from), next);
                    assert!(to > from);
                    next = Some(to);
                }
                _ => {}
            }
        }
    }
});
