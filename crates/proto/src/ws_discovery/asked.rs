//! What was asked, so that nobody answers what was not.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long an answer is taken after its question (DPWS 1.1 App. B: `MATCH_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many questions are remembered at most. A client asks each service that it knows once a minute or less.
const MOST: usize = 16_384;

/// The questions that may still be answered, by their `wsa:MessageID`.
#[derive(Debug, Default)]
pub(super) struct Asked {
    ids: BTreeMap<String, String>,
    order: VecDeque<(Instant, String)>,
}

/// An identifier without what differs in how people write it.
fn bare(id: &str) -> String {
    let lower = id.to_ascii_lowercase();
    lower
        .strip_prefix("urn:")
        .map(str::to_owned)
        .unwrap_or(lower)
}

impl Asked {
    pub(super) fn add(&mut self, now: Instant, id: String) {
        self.forget(now);
        if self.order.len() >= MOST
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.order.push_back((now, bare(&id)));
        self.ids.insert(bare(&id), id);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front()
            && now.saturating_duration_since(*at) > TIMEOUT
        {
            self.ids.remove(id);
            self.order.pop_front();
        }
    }

    /// Whether a question of this name may still be answered; `Some(false)` where the name is spelled otherwise.
    pub(super) fn find(&mut self, now: Instant, id: &str) -> Option<bool> {
        self.forget(now);
        self.ids.get(&bare(id)).map(|asked| asked == id)
    }
}
