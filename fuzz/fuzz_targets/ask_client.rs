//! One who asks, called in any order.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::ask::{Client, ClientConfig};

fuzz_target!(|input: (bool, u16, u8, Option<u8>, &[u8])| {
    let (of_group, timeout, retries, answers, script) = input;
    let host: SocketAddr = ([192, 0, 2, 7], 8888).into();
    let group: SocketAddr = ([239, 192, 0, 100], 8888).into();
    let config = ClientConfig::new(if of_group { group } else { host }, "question");
    let config = ClientConfig {
        timeout: Duration::from_millis(timeout.into()),
        retries: retries.into(),
        answers: answers.map(usize::from),
        ..config
    };
    any_order(&mut Client::new(config, [0; 32]), script, &[host, group]);
});
