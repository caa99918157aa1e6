//! One who answers, called in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::ask::{Responder, ResponderConfig};

fuzz_target!(|input: (bool, u8, u8, u8, u8, &[u8])| {
    let (with_prefix, rate, burst, patience, sources, script) = input;
    let config = ResponderConfig {
        prefix: if with_prefix {
            "OK...".into()
        } else {
            "".into()
        },
        rate: rate.into(),
        burst: burst.into(),
        patience: patience.into(),
        sources: sources.into(),
        ..ResponderConfig::default()
    };
    let peers = [
        ([192, 0, 2, 7], 40_000).into(),
        ([192, 0, 2, 1], 8888).into(),
    ];
    any_order(&mut Responder::new(config), script, &peers);
});
