//! Many receivers: how much they ask, and how much is sent again.

mod norm_group;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::{FeedbackTo, ReceiverConfig, SenderConfig};
use norm_group::{MILLISECOND, SECOND, Session};

/// How many blocks the object has.
const BLOCKS: usize = 40;

/// What one session cost.
#[derive(Debug)]
#[allow(dead_code, reason = "some of it is for those who read it")]
struct Cost {
    receivers: u32,
    blocks: usize,
    /// NACKs per receiver and block.
    nacks: f64,
    /// Datagrams sent again per datagram sent.
    repairs: f64,
    /// What had to be sent again at least, per datagram sent: of each block as many as the receiver
    /// lost that lost the most.
    least: f64,
    suppressed: f64,
}

/// 40 blocks of 32 segments, and 1 % of loss at each receiver by itself. Segments are short, so that
/// ten thousand receivers fit into memory.
fn run(seed: u64, receivers: u32, loss: f64, feedback: FeedbackTo) -> Cost {
    let block = 32_u8;
    let segment = 32_u16;
    let config = SenderConfig {
        rate: 1_000_000,
        segment,
        block,
        parity: 32,
        grtt: MILLISECOND * 30,
        group_size: receivers.into(),
        robust: 100,
        ..SenderConfig::new(
            (norm_group::GROUP, norm_group::PORT).into(),
            norm_group::NODE,
        )
    };
    let link = Link {
        loss,
        delay: MILLISECOND * 10,
        ..Link::default()
    };
    let change = |config| ReceiverConfig {
        feedback,
        memory: 400_000,
        ..config
    };
    let mut session = Session::with(seed, link, config, receivers, change);
    let segments = usize::from(block) * usize::from(segment);
    let length = BLOCKS * segments;
    session.enqueue(length);
    session.finish();
    assert!(session.run(SECOND * 300));
    let mut suppressed = 0;
    for index in 0..session.receivers.len() {
        let stats = session.sim.protocol(session.receivers[index]).stats();
        assert_eq!(stats.completed, 1, "receiver {index}: {stats:?}");
        suppressed += stats.suppressed;
    }
    let stats = session.sim.protocol(session.sender).stats();
    let most = expected_most(receivers, block.into(), loss);
    Cost {
        receivers,
        blocks: BLOCKS,
        nacks: session.nacks() as f64 / f64::from(receivers) / BLOCKS as f64,
        repairs: stats.repairs as f64 / stats.datagrams as f64,
        least: most / f64::from(block),
        suppressed: suppressed as f64 / f64::from(receivers) / BLOCKS as f64,
    }
}

/// The mean of the most that one of `receivers` loses of a block, where the repairs are lost with
/// the same probability: as many symbols must be sent until every receiver has a block's number.
fn expected_most(receivers: u32, block: u32, loss: f64) -> f64 {
    // The probability that one receiver needs more than `extra` symbols beyond the block.
    let needs_more = |extra: u32| {
        let sent = block + extra;
        // Fewer than `block` of `sent` come.
        let mut probability = 0.0;
        let mut term = loss.powi(sent as i32);
        for came in 0..block {
            probability += term;
            let odds = f64::from(sent - came) / f64::from(came + 1);
            term *= odds * (1.0 - loss) / loss;
        }
        probability.min(1.0)
    };
    (0..200)
        .map(|extra| 1.0 - (1.0 - needs_more(extra)).powi(receivers as i32))
        .sum()
}

fn check(cost: &Cost) {
    println!("{cost:.3?}");
    assert!(cost.nacks < 1.0, "{cost:?}");
    // A few blocks more for small groups, where chance is great.
    assert!(cost.repairs <= 1.5 * cost.least + 0.02, "{cost:?}");
}

#[test]
fn requests_and_repairs_stay_bounded_up_to_a_hundred() {
    for receivers in [1, 10, 100] {
        for seed in seeds(2) {
            check(&run(seed, receivers, 0.01, FeedbackTo::Group));
        }
    }
}

#[test]
fn a_thousand_receivers() {
    check(&run(1, 1_000, 0.01, FeedbackTo::Group));
}

#[test]
fn a_thousand_receivers_that_answer_the_sender_alone() {
    check(&run(1, 1_000, 0.01, FeedbackTo::Sender));
}

/// It takes minutes and some gigabytes; `cargo test -- --ignored ten_thousand` runs it.
#[test]
#[ignore = "it takes minutes"]
fn ten_thousand_receivers() {
    check(&run(1, 10_000, 0.01, FeedbackTo::Group));
}
