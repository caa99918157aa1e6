//! One who asks the far end of a doctor, called in any order.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::probe::{Client, ClientConfig};

fuzz_target!(|script: &[u8]| {
    let server: SocketAddr = ([192, 0, 2, 7], 49_366).into();
    let group: SocketAddr = ([239, 192, 0, 100], 8888).into();
    let config = ClientConfig {
        server,
        group,
        source: None,
        key: None,
    };
    any_order(&mut Client::new(config, [0; 32]), script, &[server, group]);
});
