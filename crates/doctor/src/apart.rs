//! Telling flows apart within bounds: whoever floods a group gets no more of the memory than this.

use std::net::SocketAddr;

/// A sender, as it is told: the ports of a host that share a place have none.
pub(super) fn sender(source: SocketAddr) -> String {
    match source.port() {
        0 => format!("many ports of {}", source.ip()),
        _ => source.to_string(),
    }
}

/// Where something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With what is the same.
    Same(usize),
    /// With what comes from another port of the same host, since there is no place of its own left.
    OfHost(usize),
    /// In a place of its own.
    New,
    /// There is none.
    None,
}

/// Finds the place of what is the `same` as one of these, or `of_host`, the same but for its port. What is
/// looked for and what is not have as many places each, `most`, so that the latter hides nothing.
pub(super) fn place<T>(
    all: &[T],
    same: impl Fn(&T) -> bool,
    of_host: impl Fn(&T) -> bool,
    of_kind: impl Fn(&T) -> bool,
    most: usize,
) -> Place {
    if let Some(index) = all.iter().position(same) {
        return Place::Same(index);
    }
    if all.iter().filter(|one| of_kind(one)).count() < most {
        return Place::New;
    }
    let other = all.iter().position(of_host);
    other.map_or(Place::None, Place::OfHost)
}
