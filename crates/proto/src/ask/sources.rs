//! What a responder remembers of those who ask it: how often they do, and whether they are
//! responders themselves.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ResponderConfig;

/// Questions are in a row when each comes within this time of the answer before. What loops comes back
/// within a round trip, and hardly any path takes longer.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// The first port that hosts take for clients: Linux from 32,768, others from 49,152 (RFC 6335 §6).
/// Servers have lower ones. A peer that forges the source of a datagram can choose whom to bring into
/// a loop, but not the port at which the second responder listens.
const FIRST_CLIENT_PORT: u16 = 32_768;

/// So many questions that look like answers are answered at once, and then a second, however many
/// loops the source is brought into. A server below [`FIRST_CLIENT_PORT`] has few of them; from the
/// other ports there are clients too, who ask the same again and again, and seldom without end.
const RETURNS_OF_SERVERS: Limit = Limit {
    at_once: 100,
    per_second: 100,
};
const RETURNS: Limit = Limit {
    at_once: 10_000,
    per_second: 1_000,
};

/// How many questions are answered, in tokens of a bucket.
#[derive(Clone, Copy, Debug)]
struct Limit {
    at_once: u32,
    /// 0 is no limit.
    per_second: u32,
}

/// The sources of the latest questions.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    prefix: Bytes,
    /// What a source gets in a short time, and in a long one.
    limits: [Limit; 2],
    patience: u32,
    latest: Latest,
}

/// What to do with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer,
    TooOften,
    Loop,
}

#[derive(Clone, Debug, Default)]
struct Source {
    /// When it is to have the next answer at the sustained rate. As the bucket of a token bucket
    /// is emptier, this lies further ahead.
    due: [Option<Instant>; 2],
    /// The same for questions that look like answers.
    return_due: Option<Instant>,
    answered: Option<Answered>,
    /// How much of the patience with it is used up.
    row: u32,
}

/// The last answer that a source got: enough to recognise it when it comes back.
#[derive(Clone, Copy, Debug)]
struct Answered {
    at: Instant,
    length: usize,
    digest: u64,
}

impl Sources {
    pub(super) fn new(config: &ResponderConfig) -> Self {
        Self {
            prefix: config.prefix.clone(),
            limits: [
                Limit {
                    at_once: config.burst,
                    per_second: config.rate,
                },
                // Where several datagrams loop, what comes back is not the last answer, and is told
                // from questions by nothing. This ends such loops too, and what they can be made to
                // carry.
                Limit {
                    at_once: config.burst.saturating_mul(100),
                    per_second: config.rate.div_ceil(10),
                },
            ],
            patience: config.patience,
            latest: Latest::new(config.sources),
        }
    }

    /// Whether `source` gets `answer` to `question`. If so, that is remembered.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        source: SocketAddr,
        question: &[u8],
        answer: &[u8],
    ) -> Verdict {
        let may_be_server = source.port() < FIRST_CLIENT_PORT;
        let source = self.latest.entry(source);
        let mut buckets = source.due.iter_mut().zip(self.limits);
        if !buckets.all(|(due, limit)| take_token(due, now, limit)) {
            return Verdict::TooOften;
        }

        let weight = match source.answered {
            Some(last) if now.saturating_duration_since(last.at) <= ROUND_TRIP => {
                weight(self.patience, &self.prefix, &last, question)
            }
            _ => {
                source.row = 0;
                0
            }
        };
        let limit = if may_be_server {
            RETURNS_OF_SERVERS
        } else {
            RETURNS
        };
        let returns = weight > 1 && self.patience > 0;
        if returns && !take_token(&mut source.return_due, now, limit) {
            return Verdict::Loop;
        }
        source.row = source.row.saturating_add(weight);
        if self.patience > 0 && source.row >= self.patience {
            source.row = 0;
            source.answered = None;
            return Verdict::Loop;
        }
        source.answered = Some(Answered {
            at: now,
            length: answer.len(),
            digest: digest(answer),
        });
        Verdict::Answer
    }
}

/// How much of the patience a question uses up.
///
/// A second responder returns our last answer: with something added, or, if it has no prefix as we
/// have none, as it was. A client may do the latter too, by asking the same again and again. Where
/// several datagrams loop, it is not the last answer that comes back; then our own prefix tells,
/// and where there is none, the mere number.
fn weight(patience: u32, prefix: &[u8], last: &Answered, question: &[u8]) -> u32 {
    let surely = (patience / 10).max(1);
    let perhaps = (patience / 10_000).max(1);
    if !prefix.is_empty() && question.starts_with(prefix) {
        surely
    } else if !last.is_end_of(question) {
        1
    } else if prefix.is_empty() && question.len() == last.length {
        perhaps
    } else {
        surely
    }
}

/// Takes from a token bucket, which is a generic cell rate algorithm (ITU-T I.371): one time in place
/// of a level and the time at which it held.
fn take_token(bucket: &mut Option<Instant>, now: Instant, limit: Limit) -> bool {
    let Some(interval) = Duration::from_secs(1).checked_div(limit.per_second) else {
        return true;
    };
    let due = bucket.map_or(now, |due| due.max(now));
    let ahead = due.saturating_duration_since(now);
    if ahead > interval.saturating_mul(limit.at_once.saturating_sub(1)) {
        return false;
    }
    *bucket = due.checked_add(interval);
    true
}

impl Answered {
    /// Whether `question` ends with the answer, or is it. Every question ends with nothing, so an
    /// empty answer must come back as it was.
    fn is_end_of(&self, question: &[u8]) -> bool {
        let Some(before) = question.len().checked_sub(self.length) else {
            return false;
        };
        (self.length > 0 || before == 0) && digest(&question[before..]) == self.digest
    }
}

fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(payload);
    hasher.finish()
}

/// A table that forgets: half of it is at hand, and when that half is full, it becomes the other
/// half, in place of what was there and was not asked for again.
#[derive(Clone, Debug)]
struct Latest {
    half: usize,
    young: BTreeMap<SocketAddr, Source>,
    old: BTreeMap<SocketAddr, Source>,
}

impl Latest {
    fn new(capacity: usize) -> Self {
        Self {
            half: (capacity / 2).max(1),
            young: BTreeMap::new(),
            old: BTreeMap::new(),
        }
    }

    fn entry(&mut self, source: SocketAddr) -> &mut Source {
        if !self.young.contains_key(&source) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young
            .entry(source)
            .or_insert_with(|| old.remove(&source).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    /// How many questions are answered of those that come every 100 µs for so many seconds. Each is the
    /// answer of some rounds before; where a loop has ended, it is begun again.
    #[allow(clippy::disallowed_methods)]
    fn answers_to(port: u16, seconds: u64, count: u64) -> u64 {
        let begin = Instant::now();
        let mut sources = Sources::new(&ResponderConfig::default());
        let rounds = (0..10_000 * seconds).filter(|round| {
            let now = begin + Duration::from_micros(100 * round);
            let datagram = (round % count).to_be_bytes();
            sources.judge(now, peer(port), &datagram, &datagram) == Verdict::Answer
        });
        rounds.count() as u64
    }

    #[test]
    fn loops_that_are_begun_again_and_again_are_bounded_by_time() {
        let bound = 1 + 100 + 10 * 100;
        for port in [7, 8888, 32_767] {
            let answers = answers_to(port, 10, 1);
            assert!((1_000..=bound).contains(&answers), "{port}: {answers}");
        }
        // A second server may have a port for clients too.
        let bound = 1 + 10_000 + 30 * 1_000;
        let answers = answers_to(40_000, 30, 1);
        assert!((30_000..=bound).contains(&answers), "{answers}");
    }

    /// They cannot be told from questions, so they are bounded by the mere number.
    #[test]
    fn loops_of_many_datagrams_are_bounded_by_time() {
        for port in [8888, 40_000] {
            let bound = 1_000_000 + 200 * 1_000;
            let answers = answers_to(port, 200, 50);
            assert!((1_000_000..=bound).contains(&answers), "{port}: {answers}");
        }
    }

    #[test]
    fn a_client_that_asks_the_same_for_a_while_is_answered_at_full_speed() {
        assert_eq!(answers_to(40_000, 1, 1), 10_000);
    }

    #[test]
    fn the_table_never_outgrows_its_capacity_and_keeps_who_comes_back() {
        let mut latest = Latest::new(100);
        for port in 1..10_000 {
            latest.entry(peer(port)).row += 1;
            latest.entry(peer(10_000)).row += 1;
            assert!(latest.young.len() + latest.old.len() <= 100);
        }
        assert_eq!(latest.entry(peer(10_000)).row, 9_999);
        assert_eq!(latest.entry(peer(1)).row, 0, "forgotten");
    }
}
