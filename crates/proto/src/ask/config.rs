//! What can be chosen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

/// What a [`Client`](super::Client) asks whom, and how patiently.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::ask::{ClientConfig, Responders};
///
/// let host = ClientConfig::new(([192, 0, 2, 7], 8888).into(), "hello");
/// assert_eq!((host.responders, host.answers), (Responders::Asked, Some(1)));
///
/// let group = ClientConfig::new(([239, 192, 0, 100], 8888).into(), "hello");
/// assert_eq!((group.responders, group.answers), (Responders::Anyone, None));
///
/// let patient = ClientConfig { retries: 2, timeout: Duration::from_millis(500), ..host };
/// assert_eq!(patient.destination.port(), 8888);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The host or the group to ask, and its port.
    pub destination: SocketAddr,
    /// The question, up to [`MAX_PAYLOAD`](manycast_types::MAX_PAYLOAD) bytes; it may be empty.
    pub question: Bytes,
    /// Whose answers count. [`ClientConfig::new`] chooses by the destination.
    pub responders: Responders,
    /// How many answers are enough; `None` gathers all until time is up, or until there are
    /// [`MAX_ANSWERS`](Self::MAX_ANSWERS) or [`MAX_BYTES`](Self::MAX_BYTES) of them.
    /// [`ClientConfig::new`] takes one of a host and all of a group.
    pub answers: Option<usize>,
    /// How long answers to the first attempt are waited for, at least a millisecond; a second by
    /// default (RFC 8085 §3.1.1).
    ///
    /// Without retries it is how long everything takes. Each retry has a wait of its own, see
    /// [`backoff`](Self::backoff).
    pub timeout: Duration,
    /// How often to ask again while answers are wanting, each time after a wait; 0 by default.
    pub retries: u32,
    /// How many times as long as the one before each further wait is; 2 by default, 1 makes all
    /// waits alike. With a time-out of 1 s and two retries the waits are 1 s, 2 s and 4 s.
    ///
    /// A wait that a retry follows is longer by up to a quarter, at random.
    pub backoff: u32,
}

impl ClientConfig {
    /// How many answers are gathered at most, so that a flood of them does not eat up the memory.
    pub const MAX_ANSWERS: usize = 65_536;

    /// After how many bytes of payloads no more answers are gathered, for the same reason: 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;

    /// Asks `destination` once, for a second. Of a group, or of all hosts on the link, it gathers
    /// all answers; of a host, its first.
    pub fn new(destination: SocketAddr, question: impl Into<Bytes>) -> Self {
        let many = is_one_to_many(destination.ip());
        Self {
            destination,
            question: question.into(),
            responders: if many {
                Responders::Anyone
            } else {
                Responders::Asked
            },
            answers: if many { None } else { Some(1) },
            timeout: Duration::from_secs(1),
            retries: 0,
            backoff: 2,
        }
    }
}

/// Whose answers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Responders {
    /// The asked host's, from the asked port. Whatever others send is ignored.
    Asked,
    /// Anyone's, from any port: for groups, and for a broadcast address of one network, which
    /// nobody can tell from a host's without knowing the network.
    Anyone,
}

/// How a [`Responder`](super::Responder) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponderConfig {
    /// What stands before the question in the answer; empty by default (RFC 862).
    pub prefix: Bytes,
    /// How many answers a second one source gets over time, 10,000 by default; 0 is no limit. Of a
    /// source that has had a hundred times `burst`, it is a tenth of this.
    pub rate: u32,
    /// How many answers one source gets at once before `rate` holds, 10,000 by default.
    pub burst: u32,
    /// Of how many questions in a row one goes without an answer, 100,000 by default; 0 answers
    /// all, for ever.
    ///
    /// This ends the loop of two responders that answer each other's answers: where one of them leaves
    /// out an answer, nothing is left to be answered. Questions are in a row when each comes within a second
    /// of the answer before. Those that look like answers count for many: a question that is the
    /// last answer again for a ten-thousandth of this, and one that bears the mark of a second
    /// responder (it has grown around the last answer, or begins with the own prefix) for a
    /// tenth. From ports below 32,768, where servers are, no more than 100 that look like answers are
    /// answered at once, and 100 a second, from others 10,000 and 1,000 a second, so that loops that
    /// are begun again and again stay as slow. A client takes the gap for a datagram that the network lost.
    pub patience: u32,
    /// For how many sources this is remembered, 4,096 by default; those that were silent longest
    /// are forgotten first.
    pub sources: usize,
    /// The addresses of this host. A question from one of them and from the own port is the
    /// responder's own answer. The address that was asked need not be listed.
    pub own: Vec<IpAddr>,
    /// The broadcast addresses of this host's networks, which never are honest sources.
    pub broadcasts: Vec<Ipv4Addr>,
}

impl Default for ResponderConfig {
    fn default() -> Self {
        Self {
            prefix: Bytes::new(),
            rate: 10_000,
            burst: 10_000,
            patience: 100_000,
            sources: 4_096,
            own: Vec::new(),
            broadcasts: Vec::new(),
        }
    }
}

/// Whether what is sent there goes to many hosts by the look of it.
pub(super) const fn is_one_to_many(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
