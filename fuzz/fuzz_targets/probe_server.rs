//! The far end of a doctor, called in any order, and asked by a client that takes cookies out of all
//! its answers.
#![no_main]

use std::net::SocketAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::probe::{Server, ServerConfig, fuzzing};

fuzz_target!(|input: (u32, u8, &[u8])| {
    let (rate, sessions, script) = input;
    let client: SocketAddr = ([192, 0, 2, 7], 40_000).into();
    let group: SocketAddr = ([239, 192, 0, 100], 8888).into();
    let config = ServerConfig {
        key: None,
        rate,
        sessions: sessions.into(),
    };
    any_order(&mut Server::new(config, [0; 32]), script, &[client, group]);
    fuzzing::server(script, Instant::now());
});
