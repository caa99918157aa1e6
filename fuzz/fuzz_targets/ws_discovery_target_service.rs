//! A service that is searched for, called in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::ws_discovery::{TargetService, TargetServiceConfig, device_type};

fuzz_target!(|script: &[u8]| {
    let peers = [
        ([239, 255, 255, 250], 3702).into(),
        ([192, 0, 2, 1], 50_000).into(),
        ([192, 0, 2, 7], 40_000).into(),
    ];
    let config = TargetServiceConfig {
        strangers: true,
        pending: 8,
        ..TargetServiceConfig::new("urn:uuid:1", device_type())
    };
    if let Ok(mut service) = TargetService::new(config, [7; 32]) {
        any_order(&mut service, script, &peers);
    }
});
