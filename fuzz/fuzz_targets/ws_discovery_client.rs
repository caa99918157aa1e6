//! Who searches for services, called in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::ws_discovery::{Client, ClientConfig};

fuzz_target!(|script: &[u8]| {
    let peers = [
        ([239, 255, 255, 250], 3702).into(),
        ([192, 0, 2, 1], 40_000).into(),
        ([192, 0, 2, 7], 3702).into(),
    ];
    let config = ClientConfig {
        hosts: vec![peers[2]],
        entries: 8,
        per_source: 4,
        ..ClientConfig::default()
    };
    any_order(&mut Client::new(config, [7; 32]), script, &peers);
});
