//! One who sends a stream to be measured, called in any order.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::measure::{Sender, SenderConfig};

fuzz_target!(
    |input: (bool, u16, Option<u64>, u16, Option<u16>, Option<u16>, &[u8])| {
        let (to_group, size, rate, burst, duration, count, script) = input;
        let host: SocketAddr = ([192, 0, 2, 7], 5001).into();
        let group: SocketAddr = ([239, 192, 0, 100], 5001).into();
        let config = SenderConfig {
            size: size.into(),
            rate,
            burst: Duration::from_millis(burst.into()),
            duration: duration.map(|duration| Duration::from_millis(duration.into())),
            count: count.map(u64::from),
            ..SenderConfig::new(if to_group { group } else { host })
        };
        let mut sender = Sender::new(config, Instant::now(), SystemTime::UNIX_EPOCH);
        any_order(&mut sender, script, &[host, group]);
    }
);
