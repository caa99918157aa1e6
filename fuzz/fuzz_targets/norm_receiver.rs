//! One who receives objects by NORM, called in any order.
#![no_main]

use std::net::SocketAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::norm::{FeedbackTo, Receiver, ReceiverConfig};

fuzz_target!(|input: (u8, u8, u8, u16, u32, &[u8])| {
    let (feedback, senders, objects, earlier, memory, script) = input;
    let group: SocketAddr = ([239, 1, 1, 1], 6003).into();
    let peers: [SocketAddr; 2] = [group, ([192, 0, 2, 7], 6003).into()];
    let config = ReceiverConfig {
        feedback: match feedback % 3 {
            0 => FeedbackTo::Group,
            1 => FeedbackTo::Sender,
            _ => FeedbackTo::Nobody,
        },
        senders: senders.into(),
        objects: objects.into(),
        earlier,
        memory: usize::try_from(memory % 1_000_000).unwrap_or_default(),
        ..ReceiverConfig::new(group, 8)
    };
    let mut receiver = Receiver::new(config, [7; 32], Instant::now());
    any_order(&mut receiver, script, &peers);
});
