//! A receiver that is much farther away than the others.

mod norm_group;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::SenderConfig;
use norm_group::{MILLISECOND, SECOND, Session, config};

/// All ends reckon with its round trip as long as it is there, though the others are many and come before
/// it; and what it misses is repaired about once.
#[test]
fn the_farthest_receiver_is_reckoned_with() {
    for seed in seeds(2) {
        let far = 33;
        let config = SenderConfig {
            receivers: (1..=far).collect(),
            ..config()
        };
        let near = Link {
            delay: MILLISECOND,
            ..Link::default()
        };
        let mut session = Session::new(seed, near, config, far);
        let host = session.hosts[32];
        let way = |loss| Link {
            delay: MILLISECOND * 200,
            loss,
            ..Link::default()
        };
        session.sim.set_access(host, "eth0", way(0.0), way(0.05));
        session.enqueue(10_000_000);
        session.finish();
        session.sim.run_for(SECOND * 2);
        while session.sim.elapsed() < SECOND * 4 {
            session.sim.run_for(MILLISECOND * 100);
            let grtt = session.sim.protocol(session.sender).stats().grtt;
            assert!(grtt > MILLISECOND * 300, "{grtt:?}");
        }
        assert!(session.run(SECOND * 60));
        session.assert_all_delivered();
        let stats = session.sim.protocol(session.sender).stats();
        // A twentieth of what is sent is lost there.
        let share = stats.repairs as f64 / stats.datagrams as f64;
        assert!(share < 0.12, "{share} {stats:?}");
    }
}
