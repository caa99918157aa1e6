//! Rates at which a datagram takes longer than a round trip.

mod norm_group;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::SenderConfig;
use norm_group::{MILLISECOND, SECOND, Session, config};

/// Four blocks are lost, and what repairs them takes most of a minute: it goes once, and who waits for it
/// is heard until it has all.
#[test]
fn a_repair_that_takes_long_goes_once() {
    for seed in seeds(3) {
        let config = SenderConfig {
            rate: 40_000,
            grtt: MILLISECOND * 4,
            receivers: vec![1],
            ..config()
        };
        let link = Link {
            delay: MILLISECOND,
            loss: 0.1,
            ..Link::default()
        };
        let mut session = Session::new(seed, link, config, 1);
        // Six blocks of twenty.
        session.enqueue(120_000);
        session.finish();
        session.sim.run_for(SECOND * 8);
        let hosts = session.hosts.clone();
        session.sim.partition(hosts);
        session.sim.run_for(SECOND * 17);
        session.sim.heal();
        assert!(session.run(SECOND * 200));
        session.assert_all_delivered();
        assert_eq!(session.acknowledged(), 1);
        let stats = session.sim.protocol(session.sender).stats();
        // Some 85 of the partition, and a tenth of all that was sent.
        assert!(stats.repairs < 170, "{stats:?}");
    }
}
