//! Whether the kernel moves many datagrams as one buffer, and why not where it does not.

use std::env;
use std::sync::OnceLock;

/// What the kernel does for a socket that moves many datagrams.
///
/// It costs nothing to try: where it is refused, datagrams go and come one by one, with the same
/// results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offload {
    /// Merging what is sent: generic segmentation offload, `UDP_SEGMENT`.
    pub gso: OffloadState,
    /// Gathering what is received: generic receive offload, `UDP_GRO`.
    pub gro: OffloadState,
}

/// Whether the kernel does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OffloadState {
    /// It does, as far as is known.
    On,
    /// It does for datagrams of up to so many bytes; longer ones were refused to some destination.
    UpTo(usize),
    /// It does not, or to some destination not, for this reason.
    Off(String),
}

/// Set to `off`, this variable of the environment forces offload off, for tests and for doubts.
pub(crate) const VARIABLE: &str = "MANYCAST_OFFLOAD";

pub(crate) fn is_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| env::var_os(VARIABLE).is_none_or(|value| value != "off"))
}
