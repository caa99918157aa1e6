//! A TFTP client, called in any order, with an application that does what it is asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::tftp::{Client, ClientConfig};

#[path = "../../crates/proto/tests/tftp/obliging.rs"]
mod obliging;

use obliging::Obliging;

fuzz_target!(|script: &[u8]| {
    let Some((choice, script)) = script.split_first() else {
        return;
    };
    let peers = [
        ([192, 0, 2, 7], 69).into(),
        ([192, 0, 2, 7], 50_000).into(),
        ([239, 255, 0, 1], 1758).into(),
    ];
    let config = ClientConfig {
        multicast: choice & 2 != 0,
        block_size: (choice & 4 != 0).then_some(64),
        window: (choice & 8 != 0).then_some(4),
        ..ClientConfig::new(peers[0], "file")
    };
    let client = if choice & 1 == 0 {
        Client::read(config)
    } else {
        Client::write(config)
    };
    any_order(&mut Obliging(client), script, &peers);
});
