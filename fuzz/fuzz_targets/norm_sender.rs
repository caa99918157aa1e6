//! One who sends objects by NORM, called in any order.
#![no_main]

use std::net::SocketAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::norm::{Content, Object, Sender, SenderConfig};

fuzz_target!(|input: (u16, u8, u8, u8, u64, u16, (bool, bool, bool), &[u8])| {
    let (segment, block, parity, proactive, rate, length, choices, script) = input;
    let (elsewhere, stream, congestion_control) = choices;
    let group: SocketAddr = ([239, 1, 1, 1], 6003).into();
    let peers: [SocketAddr; 2] = [group, ([192, 0, 2, 7], 6003).into()];
    let config = SenderConfig {
        segment,
        block,
        parity,
        proactive,
        rate,
        congestion_control,
        receivers: vec![8],
        ..SenderConfig::new(group, 7)
    };
    let mut sender = Sender::new(config, [7; 32], Instant::now());
    let content = if elsewhere {
        Content::Elsewhere(length.into())
    } else {
        Content::Memory(vec![1; length.into()].into())
    };
    let _ = sender.enqueue(Object {
        content,
        file: true,
        info: None,
    });
    if stream && let Ok(stream) = sender.open_stream(length.into(), None) {
        sender.begin_message(stream);
        let _ = sender.write(stream, &vec![2; length.into()]);
        sender.push(stream);
    }
    any_order(&mut sender, script, &peers);
});
