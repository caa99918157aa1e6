//! What a session with the far end has shown so far.

use std::net::IpAddr;

use manycast_types::{InterfaceId, NetworkError};

use super::super::paths::{Soak, Trial};
use super::super::{Code, Finding, Severity, StepState, Tally, Watched};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The far host, as it was named.
    pub(super) far: String,
    /// For a group that needs a source: the one that the far end sends from.
    pub(super) source: Option<IpAddr>,
    /// Whether that is none that was asked for.
    pub(super) is_stand_in: bool,
    /// The index of the interface that leads to the far host.
    pub(super) link: u32,
    /// Where the group is joined here.
    pub(super) joined: Vec<InterfaceId>,
    pub(super) trials: Vec<Trial>,
    /// Whether all trials were done.
    pub(super) tried: bool,
    /// What happened on this host while so many datagrams of the far end were sent, and none came; 0
    /// where its kernel refused to send them.
    pub(super) lost_rounds: Vec<(Watched, u8)>,
    /// From where it came instead, where any source was admitted.
    pub(super) rewritten: Option<Rewritten>,
    /// Why this host could not send.
    pub(super) refused: Option<NetworkError>,
    /// How many packets policies of IPsec held back until then.
    pub(super) held_by_ipsec: u64,
    /// Whether the far host could not send.
    pub(super) far_refused: bool,
    /// What the counters of this host tell of the time when datagrams of a size came in neither of two
    /// attempts.
    pub(super) pieces: Tally,
    /// What the far host has found on itself.
    pub(super) examined: Option<Examined>,
    pub(super) soak: Option<Soak>,
    pub(super) notes: Vec<String>,
}

/// Another source than the far end sent as, and how many of its datagrams came from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewritten {
    pub(super) source: IpAddr,
    pub(super) came: u64,
    pub(super) sent: u64,
}

/// What the far host has found on itself.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) steps: Vec<StepState>,
    pub(super) findings: Vec<Finding>,
}

impl Examined {
    /// Whether it tells why nothing comes there.
    pub(super) fn explains(&self) -> bool {
        self.findings.iter().any(explains)
    }
}

/// Whether a finding tells why nothing comes, and not only that it does not.
pub(super) fn explains(finding: &Finding) -> bool {
    finding.severity == Severity::Fault && finding.code != Code::NotArriving
}
