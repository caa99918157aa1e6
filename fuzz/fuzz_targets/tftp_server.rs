//! A TFTP server, called in any order, with an application that does what it is asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::tftp::{Server, ServerConfig};

#[path = "../../crates/proto/tests/tftp/obliging.rs"]
mod obliging;

use obliging::Obliging;

fuzz_target!(|script: &[u8]| {
    let Some((choice, script)) = script.split_first() else {
        return;
    };
    let peers = [
        ([192, 0, 2, 7], 40_000).into(),
        ([192, 0, 2, 8], 40_001).into(),
        ([239, 255, 0, 1], 1758).into(),
    ];
    let config = ServerConfig {
        single_port: choice & 1 != 0,
        unconfirmed: usize::from(choice >> 4),
        groups: vec![[239, 255, 0, 1].into()],
        ..ServerConfig::default()
    };
    any_order(&mut Obliging(Server::new(config)), script, &peers);
});
