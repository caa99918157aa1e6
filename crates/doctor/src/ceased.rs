//! Whether a stream that came has ceased to come.

use std::time::Duration;

use super::{Flow, Watched};

/// A stream has ceased if it was silent at the end for this long, and for much longer than ever
/// before.
const SILENCE: Duration = Duration::from_secs(1);

/// What comes for so long is a stream.
const REGULAR: Duration = Duration::from_secs(1);

/// Whether every stream fell silent before the end, and one of them had come regularly before: some
/// datagrams at once are none, as those are by which a service announces itself.
pub(super) fn has_ceased(watched: &Watched) -> bool {
    let is_silent = |flow: &Flow| {
        let silence = watched.lasted.saturating_sub(flow.last);
        silence > SILENCE.max(flow.longest_gap * 4)
    };
    // Of those that are not told apart, the last is not known.
    watched.beyond == 0
        && watched.exact.iter().all(is_silent)
        && watched.exact.iter().any(was_regular)
}

pub(super) fn was_regular(flow: &Flow) -> bool {
    flow.datagrams > 2 && flow.last.saturating_sub(flow.first) >= REGULAR
}
