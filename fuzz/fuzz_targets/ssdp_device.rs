//! A device that is searched for, called in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::ssdp::{Device, DeviceConfig};

fuzz_target!(|script: &[u8]| {
    let peers = [
        ([239, 255, 255, 250], 1900).into(),
        ([192, 0, 2, 1], 50_000).into(),
        ([192, 0, 2, 7], 40_000).into(),
    ];
    let config = DeviceConfig {
        strangers: true,
        pending: 8,
        ..DeviceConfig::new("1", "urn:schemas-upnp-org:device:Basic:1")
    };
    if let Ok(mut device) = Device::new(config, [7; 32]) {
        any_order(&mut device, script, &peers);
    }
});
