//! A process that may open no more descriptors. It is alone in its process, since the limit is one of the
//! process.
#![cfg(all(target_os = "linux", feature = "tokio"))]

use std::fs::File;
use std::time::{Duration, Instant};

use manycast::tokio::{Driver, Socket};
use manycast::{Output, Protocol, Received};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Waits a few times for a fraction of a millisecond.
struct Ticks {
    left: u32,
    due: Instant,
}

const TICK: Duration = Duration::from_micros(200);

impl Protocol for Ticks {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, now: Instant) {
        if self.due <= now {
            self.left -= 1;
            self.due = now + TICK;
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if self.left == 0 {
            return Output::Finished;
        }
        Output::Wait {
            until: Some(self.due),
            reason: "the next tick",
        }
    }
}

#[tokio::test]
async fn a_driver_that_runs_goes_on_where_no_descriptor_is_left() {
    let socket = Socket::bind("127.0.0.1:0").await.unwrap();
    let ticks = Ticks {
        left: 10,
        due: Instant::now() + TICK,
    };
    let mut driver = Driver::new(socket, ticks).unwrap();

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(64);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    assert!(!all.is_empty());

    assert!(driver.next_event().await.unwrap().is_none());
    assert_eq!(driver.protocol().left, 0);
}
