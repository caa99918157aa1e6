//! What can be chosen.

use std::net::SocketAddr;
use std::time::Duration;

use super::fec::Variant;
use super::message::FecId;

/// How a [`Sender`](super::Sender) sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// The group or host, and its port.
    pub destination: SocketAddr,
    /// The number of this node, from 1, another one for each node of the session.
    pub node: u32,
    /// Bytes a second times eight, headers of NORM included; 10 Mbit/s by default. With congestion
    /// control, the most.
    pub rate: u64,
    /// Whether the rate follows what the network carries, beside other flows; false by default. The
    /// receiver with the worst path decides. Receivers must be able to answer: without an answer the
    /// rate falls to a segment a second.
    // RFC 5740 §5.5.2.
    pub congestion_control: bool,
    /// The length of a segment in bytes, from 1 to 65,000; 1,400 by default, which goes through
    /// Ethernet whole (NormSegmentSize).
    pub segment: u16,
    /// The most source symbols of a block, from 1 to 254; 64 by default.
    pub block: u8,
    /// How many parity symbols a block has at most for repairs, 255 with the source symbols; 32 by
    /// default.
    pub parity: u8,
    /// How many of them are sent without being asked for; none by default.
    pub proactive: u8,
    /// By which scheme symbols are named.
    pub fec: FecId,
    /// Which points the code takes; both ends must agree.
    pub variant: Variant,
    /// The round-trip time that is reckoned with before one was measured; 500 ms by default.
    // RFC 5740 §5.1: the initial GRTT.
    pub grtt: Duration,
    /// The back-off factor K, from 0 to 15; 4 by default.
    // RFC 5740 §7.1.1: K, and RFC 5401 §3.2.3.
    pub backoff: u8,
    /// About how many receivers there are; 1,000 by default.
    // RFC 5740 §7.1.1: GSIZE.
    pub group_size: u64,
    /// How often the end is announced while nobody answers, and how often each receiver that shall
    /// acknowledge is asked; 20 by default. Those are waited for at least 2 s all the same.
    // RFC 5740 §7.1.1: NORM_ROBUST_FACTOR.
    pub robust: u32,
    /// The receivers that shall acknowledge each object; none by default.
    pub receivers: Vec<u32>,
    /// The identifier of the first object; 0 by default (object_transport_id).
    pub first_object: u16,
    /// How many objects are kept for repair, from 1; 256 by default.
    pub objects: usize,
    /// How many bytes of objects that are not in memory are kept, at least 4 blocks; 16 MiB by
    /// default.
    pub memory: usize,
}

impl SenderConfig {
    /// Sends to `destination` as `node`, with the defaults for all else.
    pub const fn new(destination: SocketAddr, node: u32) -> Self {
        Self {
            destination,
            node,
            rate: 10_000_000,
            congestion_control: false,
            segment: 1400,
            block: 64,
            parity: 32,
            proactive: 0,
            fec: FecId::ReedSolomon8,
            variant: Variant::Nrl,
            grtt: Duration::from_millis(500),
            backoff: 4,
            group_size: 1000,
            robust: 20,
            receivers: Vec::new(),
            first_object: 0,
            objects: 256,
            memory: 16 << 20,
        }
    }
}

/// How a [`Receiver`](super::Receiver) receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The group, and its port: where others hear what this receiver asks for.
    pub group: SocketAddr,
    /// The number of this node, from 1, another one for each node of the session.
    pub node: u32,
    /// How it answers.
    pub feedback: FeedbackTo,
    /// Which points the code takes; both ends must agree.
    pub variant: Variant,
    /// How many senders are listened to at a time; 8 by default.
    pub senders: usize,
    /// How many objects of a sender are received at a time, from 1; 64 by default.
    pub objects: usize,
    /// How many objects before the first that is seen are asked for too, as far as the sender
    /// has them; none by default. Of one whose identifiers begin at 0, that is all there were.
    pub earlier: u16,
    /// Whether nothing but its information is asked for of an object until it is
    /// [wanted](super::Receiver::want), so that what is there already is not asked for before the
    /// application has looked; no by default. It is for senders whose objects all have information.
    pub waits: bool,
    /// How many bytes are kept of what is not complete; 64 MiB by default. No sender gets more than
    /// half of it, and each may have its part of the other half, of which there are as many as
    /// [`senders`](Self::senders). What there is no room for is asked for again later. As much as a quarter of it may
    /// be kept beside, of blocks that are through, to be used again.
    pub memory: usize,
    /// After how many round trips without a word a sender is taken for gone, at least 2 s; 20 by
    /// default.
    // RFC 5740 §5.3: NORM_ROBUST_FACTOR.
    pub robust: u32,
}

/// How a receiver answers senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedbackTo {
    /// To the group, so that others who miss the same need not ask.
    #[default]
    Group,
    /// To the sender alone, as with source-specific multicast, where nobody else can send.
    Sender,
    /// Not at all: there is no way back. Only proactive parity helps then.
    Nobody,
}

impl ReceiverConfig {
    /// Receives from `group` as `node`, with the defaults for all else.
    pub const fn new(group: SocketAddr, node: u32) -> Self {
        Self {
            group,
            node,
            feedback: FeedbackTo::Group,
            variant: Variant::Nrl,
            senders: 8,
            objects: 64,
            earlier: 0,
            waits: false,
            memory: 64 << 20,
            robust: 20,
        }
    }
}
