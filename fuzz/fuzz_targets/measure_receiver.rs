//! One who measures what comes, called in any order.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::measure::{Receiver, ReceiverConfig};

fuzz_target!(|input: (u16, Option<u16>, Option<u8>, u8, &[u8])| {
    let (interval, duration, expect, streams, script) = input;
    let peers: [SocketAddr; 2] = [
        ([192, 0, 2, 7], 40_000).into(),
        ([192, 0, 2, 7], 40_001).into(),
    ];
    let config = ReceiverConfig {
        interval: Duration::from_millis(interval.into()),
        duration: duration.map(|duration| Duration::from_millis(duration.into())),
        expect: expect.map(usize::from),
        max_streams: streams.into(),
    };
    let mut receiver = Receiver::new(config, Instant::now(), SystemTime::UNIX_EPOCH, [0; 32]);
    any_order(&mut receiver, script, &peers);
});
