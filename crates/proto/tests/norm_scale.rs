//! Many receivers: how much they ask, and how much is sent again.

mod norm_group;

use manycast_lab::sim::{Bursts, Link, seeds};
use manycast_proto::norm::{FeedbackTo, ReceiverConfig, SenderConfig};
use manycast_proto::random::Random;
use norm_group::{MILLISECOND, SECOND, Session};

/// How many blocks the object has.
const BLOCKS: usize = 40;

/// How many source symbols a block has.
const BLOCK: u8 = 32;

/// How each receiver loses by itself.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Each datagram with the same probability.
    Single(f64),
    /// In bursts of eight datagrams on average, the same share of all.
    Bursts(f64),
}

impl Loss {
    fn link(self) -> Link {
        let (loss, bursts) = match self {
            Self::Single(loss) => (loss, None),
            Self::Bursts(share) => (0.0, Some(Bursts::new(share, 8.0))),
        };
        Link {
            loss,
            bursts,
            delay: MILLISECOND * 10,
            ..Link::default()
        }
    }

    /// The mean of the most that one of `receivers` loses of a block, repairs included.
    fn expected_most(self, receivers: u32) -> f64 {
        match self {
            Self::Single(loss) => expected_most(receivers, BLOCK.into(), loss),
            Self::Bursts(share) => expected_most_of_bursts(receivers, Bursts::new(share, 8.0)),
        }
    }
}

/// What one session cost.
#[derive(Debug)]
#[allow(dead_code, reason = "some of it is for those who read it")]
struct Cost {
    receivers: u32,
    loss: Loss,
    /// NACKs per receiver and block.
    nacks: f64,
    /// Datagrams sent again per datagram sent.
    repairs: f64,
    /// What had to be sent again at least, per datagram sent: of each block as many as the receiver
    /// lost that lost the most.
    least: f64,
    suppressed: f64,
}

/// 40 blocks of 32 segments. Segments are short, so that ten thousand receivers fit into memory.
fn run(seed: u64, receivers: u32, loss: Loss, feedback: FeedbackTo) -> Cost {
    let segment = 32_u16;
    let config = SenderConfig {
        rate: 1_000_000,
        segment,
        block: BLOCK,
        parity: 64,
        grtt: MILLISECOND * 30,
        group_size: receivers.into(),
        robust: 100,
        ..SenderConfig::new(
            (norm_group::GROUP, norm_group::PORT).into(),
            norm_group::NODE,
        )
    };
    let change = |config| ReceiverConfig {
        feedback,
        memory: 400_000,
        ..config
    };
    let mut session = Session::with(seed, loss.link(), config, receivers, change);
    let segments = usize::from(BLOCK) * usize::from(segment);
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
    Cost {
        receivers,
        loss,
        nacks: session.nacks() as f64 / f64::from(receivers) / BLOCKS as f64,
        repairs: stats.repairs as f64 / stats.datagrams as f64,
        least: loss.expected_most(receivers) / f64::from(BLOCK),
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

/// The same by trial, where losses come in bursts: repairs come later, when a burst is over.
fn expected_most_of_bursts(receivers: u32, bursts: Bursts) -> f64 {
    const TRIALS: u32 = 200;
    let mut random = Random::new([1; 32]);
    let share = bursts.begin / (bursts.begin + bursts.end);
    let mut sum = 0;
    for _ in 0..TRIALS {
        let extra = (0..receivers).map(|_| {
            let (mut missing, mut sent) = (u32::from(BLOCK), 0);
            let mut bad = random.chance(share);
            while missing > 0 {
                if sent == u32::from(BLOCK) {
                    bad = random.chance(share);
                }
                missing -= u32::from(!bad);
                sent += 1;
                bad = random.chance(if bad { 1.0 - bursts.end } else { bursts.begin });
            }
            sent - u32::from(BLOCK)
        });
        sum += extra.max().unwrap_or(0);
    }
    f64::from(sum) / f64::from(TRIALS)
}

fn check(cost: &Cost) {
    println!("{cost:.3?}");
    assert!(cost.nacks < 1.0, "{cost:?}");
    // A few blocks more for small groups, where chance is great.
    assert!(cost.repairs <= 1.5 * cost.least + 0.02, "{cost:?}");
}

const GROUP: FeedbackTo = FeedbackTo::Group;

#[test]
fn requests_and_repairs_stay_bounded_up_to_a_hundred() {
    for receivers in [1, 10, 100] {
        for seed in seeds(2) {
            check(&run(seed, receivers, Loss::Single(0.01), GROUP));
        }
    }
}

#[test]
fn requests_and_repairs_stay_bounded_whatever_is_lost() {
    for loss in [0.001, 0.05, 0.1] {
        check(&run(1, 100, Loss::Single(loss), GROUP));
    }
    check(&run(1, 100, Loss::Bursts(0.01), GROUP));
}

#[test]
fn a_thousand_receivers() {
    check(&run(1, 1_000, Loss::Single(0.01), GROUP));
}

#[test]
fn a_thousand_receivers_that_answer_the_sender_alone() {
    check(&run(1, 1_000, Loss::Single(0.01), FeedbackTo::Sender));
}

/// It takes some minutes; `cargo test --release -- --ignored a_thousand` runs it.
#[test]
#[ignore = "it takes minutes"]
fn a_thousand_receivers_whatever_is_lost() {
    for loss in [0.001, 0.05, 0.1] {
        check(&run(1, 1_000, Loss::Single(loss), GROUP));
    }
    check(&run(1, 1_000, Loss::Bursts(0.01), GROUP));
}

/// It takes minutes and some gigabytes; `cargo test --release -- --ignored ten_thousand` runs it.
#[test]
#[ignore = "it takes minutes"]
fn ten_thousand_receivers() {
    check(&run(1, 10_000, Loss::Single(0.01), GROUP));
}
