//! What property tests choose: the network, the sender and the receivers.

use manycast_lab::sim::Link;
use manycast_proto::norm::message::FecId;
use manycast_proto::norm::{FeedbackTo, ReceiverConfig, SenderConfig};
use proptest::prelude::*;

use super::{MILLISECOND, Session, config};

/// What was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    seed: u64,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    delay: u32,
    receivers: u32,
    segment: u16,
    block: u8,
    parity: u8,
    proactive: u8,
    fec: FecId,
    unicast: bool,
    /// Whether the sender waits for all receivers.
    named: bool,
}

/// Up to 30 % of loss, duplicates and reordering each, one to four receivers, blocks of any kind with
/// each of the FEC Encoding IDs, and NACKs to the group or to the sender.
pub(crate) fn choice() -> impl Strategy<Value = Choice> {
    let network = (0..1_000_000_u64, 0.0..0.3, 0.0..0.3, 0.0..0.3, 0..30_u32);
    // No more than a few hundred segments, or it takes long.
    let blocks = (100..2_000_u16, 1..100_u8, 0..100_u8, 0..10_u8);
    let fec = prop_oneof![
        Just(FecId::ReedSolomon8),
        Just(FecId::ReedSolomon),
        Just(FecId::SmallBlock)
    ];
    (network, blocks, 1..5_u32, fec, any::<bool>()).prop_map(
        |(network, blocks, receivers, fec, unicast)| {
            let (seed, loss, duplicate, reorder, delay) = network;
            let (segment, block, parity, proactive) = blocks;
            Choice {
                seed,
                loss,
                duplicate,
                reorder,
                delay,
                receivers,
                segment,
                block,
                parity,
                proactive,
                fec,
                unicast,
                named: true,
            }
        },
    )
}

impl Choice {
    /// The same, where the sender waits for nobody.
    pub(crate) fn unnamed(self) -> Self {
        Self {
            named: false,
            ..self
        }
    }

    pub(crate) fn config(&self) -> SenderConfig {
        let receivers = if self.named { self.receivers } else { 0 };
        SenderConfig {
            segment: self.segment,
            block: self.block,
            parity: self.parity,
            proactive: self.proactive,
            fec: self.fec,
            receivers: (1..=receivers).collect(),
            robust: 200,
            memory: 0,
            ..config()
        }
    }

    pub(crate) fn session(&self) -> Session {
        let link = Link {
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            delay: MILLISECOND * self.delay,
            ..Link::default()
        };
        let feedback = match self.unicast {
            true => FeedbackTo::Sender,
            false => FeedbackTo::Group,
        };
        let change = |config| ReceiverConfig { feedback, ..config };
        Session::with(self.seed, link, self.config(), self.receivers, change)
    }
}
