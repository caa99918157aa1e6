//! How fast a file goes over a path that loses.

use std::time::Duration;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::tftp::ClientConfig;

use super::{Net, SECOND};

/// A few lost blocks say nothing of the room on the way: over a path of 20 ms that loses one in a
/// hundred each way, a window of 64 blocks is worth at least 30 blocks a round trip, where reacting to
/// each loss as to a full queue would leave some ten.
#[test]
fn a_loss_now_and_then_does_not_slow_it_down() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.01,
            delay: Duration::from_millis(10),
            ..Link::default()
        };
        let mut net = Net::new(seed, link);
        let config = ClientConfig {
            window: Some(64),
            ..net.config(5_000_000)
        };
        let get = net.get(config, 5_000_000);
        let got = net.done(get);
        assert!(
            got.summary.elapsed < SECOND * 5_000_000 / (30 * 50 * 1_428),
            "{got:?}"
        );
    }
}
