//! What is sent when: in rounds, until every receiver that answers has all, or makes no progress.

mod hashes;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::norm::{Content, Object, ObjectId, Sender};
use manycast_proto::refusal::Refusal;

use super::entry::Entry;
use super::message::{Report, Said, Status, emit_manifest};
use super::peers::{Changes, Peer, Peers};
use super::scan::LARGE;
use hashes::Hashes;

/// How many files are on their way at once, with those that are waited for. Receivers keep twice as
/// many.
pub(super) const WINDOW: usize = 64;
/// How long a receiver may be silent before it is not waited for.
const SILENCE: Duration = Duration::from_secs(5);
/// How long is waited for receivers where none is expected.
const GATHER: Duration = Duration::from_millis(400);
/// How many rounds in a row may bring nothing.
const ROUNDS: u32 = 3;
/// How long after a question the next asks for what did not fit into the answers.
const PAGE: Duration = Duration::from_millis(10);
/// How often the end is told.
const ENDS: u32 = 3;

/// Who is expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) names: Vec<String>,
    /// How many, those with names among them.
    pub(super) count: usize,
    /// Whether it is sent to a host, and not to a group.
    pub(super) at_host: bool,
}

/// A delivery: which files go to whom, and who has them.
#[derive(Debug)]
pub(super) struct Delivery {
    session: u64,
    bytes: u64,
    entries: Vec<Entry>,
    hashes: Hashes,
    /// The manifest as it was last sent, as long as nothing more is known.
    manifest: Option<Bytes>,
    /// Why an entry cannot be sent.
    pub(super) unreadable: Vec<Option<String>>,
    pub(super) peers: Peers,
    expected: Expected,
    wait: Duration,
    begun: Instant,
    phase: Phase,
    queue: VecDeque<u32>,
    flights: VecDeque<Flight>,
    /// The entries of all objects that the sender still keeps for repairs.
    objects: BTreeMap<ObjectId, u32>,
    /// When the manifest was last sent, and as which object.
    manifest_sent: Option<(ObjectId, Instant)>,
    /// When receivers are asked next, and from which entry on.
    question: Instant,
    from: u32,
    /// When they were last asked, and from which entry on.
    asked: (Instant, u32),
    /// Since when nothing has come on.
    progress: Instant,
    has_progress: bool,
    /// How many rounds in a row brought nothing.
    vain: u32,
    ends: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Receivers come, and say what they have.
    Gathering,
    Sending,
    /// All was sent; who lacks what?
    Judging(Instant),
    Ending,
    Over,
}

/// A file on its way.
#[derive(Debug)]
struct Flight {
    index: u32,
    object: ObjectId,
    sent: Option<Instant>,
}

impl Delivery {
    pub(super) fn new(
        session: u64,
        entries: Vec<Entry>,
        expected: Expected,
        wait: Duration,
        now: Instant,
    ) -> Self {
        let mut delivery = Self {
            bytes: entries.iter().map(|entry| entry.size).sum(),
            unreadable: vec![None; entries.len()],
            peers: Peers::new(&expected.names, entries.len()),
            session,
            entries,
            hashes: Hashes::default(),
            manifest: None,
            expected,
            wait,
            begun: now,
            phase: Phase::Gathering,
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            objects: BTreeMap::new(),
            manifest_sent: None,
            question: now,
            from: 0,
            asked: (now, 0),
            progress: now,
            has_progress: false,
            vain: 0,
            ends: 0,
        };
        delivery.want_short();
        delivery
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether receivers are waited for before anything is sent.
    pub(super) const fn is_gathering(&self) -> bool {
        matches!(self.phase, Phase::Gathering)
    }

    /// The entry that an object is.
    pub(super) fn entry_of(&self, object: ObjectId) -> Option<u32> {
        self.objects.get(&object).copied()
    }

    /// An object is not kept any more.
    pub(super) fn released(&mut self, object: ObjectId) {
        self.objects.remove(&object);
        self.hashes.unsent.remove(&object);
    }

    /// All of an object was sent once.
    pub(super) fn sent(&mut self, object: ObjectId, now: Instant) {
        self.hashes.unsent.remove(&object);
        if let Some(flight) = self.flights.iter_mut().find(|it| it.object == object) {
            flight.sent = Some(now);
            self.progress = now;
            if self.flights.iter().all(|flight| flight.sent.is_some()) {
                self.question = now;
            }
        }
    }

    /// The file that is being sent.
    pub(super) fn on_its_way(&self) -> Option<u32> {
        let flight = self.flights.iter().find(|flight| flight.sent.is_none());
        flight.map(|flight| flight.index)
    }

    /// A file cannot be read: it is not sent.
    pub(super) fn fail(&mut self, index: u32, why: String, sender: &mut Sender) {
        if let Some(reason) = self.unreadable.get_mut(index as usize) {
            reason.get_or_insert(why);
        }
        self.flights.retain(|flight| flight.index != index);
        self.withdraw(index, sender);
        self.forget_hash(index);
    }

    /// Nothing is repaired any more of the objects that an entry was.
    fn withdraw(&mut self, index: u32, sender: &mut Sender) {
        for (object, its) in &self.objects {
            if *its == index {
                sender.withdraw(*object);
            }
        }
        self.objects.retain(|_, its| *its != index);
    }

    /// Takes in what a receiver says.
    pub(super) fn take(&mut self, node: u32, payload: &[u8], now: Instant) -> Option<Changes> {
        let (session, report) = Report::parse(payload).ok()?;
        if session != self.session {
            return None;
        }
        let since = now.saturating_duration_since(self.begun);
        let changes = self.peers.take(node, &report, now, since)?;
        // Whose reports do not fit is asked for the rest: of several the one that told least, and
        // seldom enough that nobody makes all receivers answer all the time.
        let (asked, from) = self.asked;
        let end = report.end();
        if report.from == from && end > from && (end as usize) < self.entries.len() {
            self.from = match self.from {
                0 => end,
                other => other.min(end),
            };
            self.question = self.question.min(now.max(asked + PAGE));
        }
        for &index in &changes.unhashed {
            self.needs_hash(index);
        }
        if changes.has_progress || changes.is_new {
            (self.progress, self.has_progress) = (now, true);
        }
        Some(changes)
    }

    /// How long a receiver may be silent.
    fn silence(&self) -> Duration {
        self.wait.max(SILENCE)
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Peer> {
        self.peers.live(now, self.silence())
    }

    /// Whether all that are expected are there.
    fn all_came(&self, now: Instant) -> bool {
        let named = |peer: &Peer| peer.is_named && peer.heard.is_none();
        !self.peers.known.values().any(named) && self.live(now).count() >= self.expected.count
    }

    /// Whether an entry is still to be sent: somebody lacks it.
    fn is_wanted(&self, index: u32, now: Instant) -> bool {
        let at = index as usize;
        let entry = self.entries.get(at);
        if entry.is_none_or(|it| it.is_folder) || self.unreadable[at].is_some() {
            return false;
        }
        self.live(now).any(|peer| peer.statuses[at].is_wanted())
    }

    /// Goes on, as far as it can now, and says when to go on at the latest.
    pub(super) fn step(&mut self, sender: &mut Sender, now: Instant) -> Instant {
        self.keep_manifest(sender, now);
        self.tell_hashes(sender, now);
        match self.phase {
            Phase::Gathering => self.gather(now),
            Phase::Sending => self.send(sender, now),
            Phase::Judging(since) => self.judge(since, now),
            Phase::Ending | Phase::Over => {}
        }
        if now >= self.question {
            self.ask(sender, now);
        }
        // Rounds and windows are looked after at least so often.
        self.question.min(now + Duration::from_millis(100))
    }

    /// Stops: the end is told once.
    pub(super) fn stop(&mut self, sender: &mut Sender) {
        if self.phase != Phase::Over {
            sender.announce(&Said::End.emit(self.session));
            self.phase = Phase::Over;
        }
    }

    /// Sends the manifest, at first and where a receiver does not have it though it was sent.
    fn keep_manifest(&mut self, sender: &mut Sender, now: Instant) {
        let again = self.manifest_sent.is_some_and(|(_, at)| {
            now.saturating_duration_since(at) > again(sender)
                && self.live(now).any(|peer| !peer.has_manifest)
        });
        if self.manifest_sent.is_some() && !again {
            return;
        }
        let info = Said::Manifest {
            entries: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            bytes: self.bytes,
        };
        let (session, entries) = (self.session, &self.entries);
        let manifest = self
            .manifest
            .get_or_insert_with(|| emit_manifest(session, entries));
        let object = Object {
            content: Content::Memory(manifest.clone()),
            file: false,
            info: Some(info.emit(self.session)),
        };
        if let Ok(object) = sender.enqueue(object) {
            self.manifest_sent = Some((object, now));
        }
    }

    fn gather(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.begun);
        let ready = match self.expected.count {
            0 if self.expected.at_host && self.live(now).next().is_none() => {
                waited >= Refusal::KNOWN.min(self.wait)
            }
            0 => waited >= GATHER.min(self.wait),
            _ => {
                let have_looked = self.live(now).all(Peer::has_looked);
                self.all_came(now) && have_looked || waited >= self.wait
            }
        };
        if ready {
            // Where all are known who are expected, what they have need not be sent. Otherwise there
            // may be some that have no way to say what they lack.
            let all_known = self.expected.count > 0 && self.all_came(now);
            let wanted = (0..self.entries.len()).filter_map(|index| u32::try_from(index).ok());
            let wanted = wanted.filter(|index| {
                let is_file = !self.entries[*index as usize].is_folder;
                is_file && (!all_known || self.is_wanted(*index, now))
            });
            self.queue = wanted.collect();
            self.phase = Phase::Sending;
            self.progress = now;
        }
    }

    fn send(&mut self, sender: &mut Sender, now: Instant) {
        while let Some(flight) = self.flights.front()
            && self.is_settled(flight, sender, now)
        {
            self.flights.pop_front();
        }
        while self.flights.len() < WINDOW
            && !self.waits_for_hash()
            && let Some(&index) = self.queue.front()
        {
            let at = index as usize;
            let skip =
                self.unreadable[at].is_some() || self.vain > 0 && !self.is_wanted(index, now);
            if !skip {
                let entry = self.entries[at].clone();
                if entry.hash.is_none() && entry.size < LARGE {
                    // It is being made.
                    return;
                }
                // Of what was sent in the round before, receivers let go now.
                self.withdraw(index, sender);
                let object = Object {
                    content: Content::Elsewhere(entry.size),
                    file: true,
                    info: Some(Said::File { index, entry }.emit(self.session)),
                };
                match sender.enqueue(object) {
                    Ok(object) => {
                        self.objects.insert(object, index);
                        self.flights.push_back(Flight {
                            index,
                            object,
                            sent: None,
                        });
                    }
                    Err(manycast_proto::norm::EnqueueError::TooLong) => {
                        let why = "it is too large for one object; split it".to_owned();
                        self.unreadable[at] = Some(why);
                    }
                    Err(_) => return,
                }
            }
            self.queue.pop_front();
        }
        if self.queue.is_empty() && self.flights.is_empty() {
            self.phase = Phase::Judging(now);
            self.question = now;
        }
    }

    /// Whether a file need not be kept for repairs: all have it or do not take it, or nobody says so
    /// and nobody asks.
    fn is_settled(&self, flight: &Flight, sender: &Sender, now: Instant) -> bool {
        let Some(sent) = flight.sent else {
            return false;
        };
        let at = flight.index as usize;
        // RFC 5740 §5.3: so long it takes until a receiver has asked for what it misses.
        let factor = 2 * u32::from(sender.config().backoff) + 3;
        let has_asked = now.saturating_duration_since(sent) >= sender.stats().grtt * factor;
        let mut live = self.live(now).peekable();
        if live.peek().is_none() {
            return has_asked;
        }
        let stalled = now.saturating_duration_since(self.progress.max(sent)) >= self.silence();
        // Whoever has not begun it by then came too late for it: it comes again in the next round.
        let needs_it = |status| match status {
            Status::Coming | Status::Unhashed => true,
            Status::Missing | Status::Unknown => !has_asked,
            Status::Checking | Status::Verified | Status::Failed => false,
        };
        stalled || !live.any(|peer| needs_it(peer.statuses[at]))
    }

    /// Whether it is known of each entry what a receiver wants, but of those that are not to be had.
    fn is_decided(&self, peer: &Peer) -> bool {
        let mut open = peer.statuses.iter().zip(&self.unreadable);
        peer.has_looked() && !open.any(|(it, why)| *it == Status::Unhashed && why.is_none())
    }

    fn judge(&mut self, since: Instant, now: Instant) {
        let waited = now.saturating_duration_since(since);
        let patient = waited < self.wait;
        let live = self.live(now).count();
        let undecided = self.live(now).any(|peer| !self.is_decided(peer));
        if live == 0 {
            if self.hashes.are_due() {
                return;
            }
            let waited = self.hashes.waited(waited, now);
            // Perhaps some listen that say nothing: they may have asked for repairs.
            if waited >= self.wait || self.expected.count == 0 && waited >= GATHER {
                self.phase = Phase::Ending;
            }
            return;
        }
        let stalled = now.saturating_duration_since(self.progress) >= self.silence();
        // Who compares what is there may take long, and tells so.
        if undecided && (patient || !stalled) {
            return;
        }
        // What is still being repaired need not be sent again.
        if !stalled
            && self
                .live(now)
                .any(|it| it.statuses.contains(&Status::Coming))
        {
            return;
        }
        let wanted = (0..self.entries.len()).filter_map(|index| u32::try_from(index).ok());
        let wanted: VecDeque<_> = wanted.filter(|index| self.is_wanted(*index, now)).collect();
        if wanted.is_empty() {
            if self.all_came(now) || !patient {
                self.phase = Phase::Ending;
            }
            return;
        }
        self.vain = match std::mem::take(&mut self.has_progress) {
            true => 1,
            false => self.vain + 1,
        };
        if self.vain > ROUNDS {
            self.phase = Phase::Ending;
        } else {
            (self.queue, self.phase, self.progress) = (wanted, Phase::Sending, now);
        }
    }

    /// Asks all receivers how it stands, or tells them the end.
    fn ask(&mut self, sender: &mut Sender, now: Instant) {
        let grtt = sender.stats().grtt;
        if self.phase == Phase::Ending {
            sender.announce(&Said::End.emit(self.session));
            self.ends += 1;
            if self.ends >= ENDS {
                self.phase = Phase::Over;
            }
            self.question = now + grtt.min(Duration::from_millis(200));
            return;
        }
        let count = self.peers.known.len().max(self.expected.count);
        // A receiver for each millisecond, so that answers to many questions do not come as one.
        let within = u16::try_from(count.saturating_sub(1)).unwrap_or(u16::MAX);
        self.asked = (now, std::mem::take(&mut self.from));
        let question = Said::Question {
            from: self.asked.1,
            within,
        };
        sender.announce(&question.emit(self.session));
        let spread = Duration::from_millis(within.into());
        let waits = match self.phase {
            Phase::Sending => self.flights.iter().all(|flight| flight.sent.is_some()),
            _ => true,
        };
        // While something is waited for, an answer may come within a round trip. At first that is a guess,
        // and nobody who is expected and near is kept waiting by it.
        let since = now.saturating_duration_since(self.begun);
        let trip = match self.expected.count {
            0 => grtt,
            _ => grtt.min(since),
        };
        let pause = match waits {
            true => trip.clamp(Duration::from_millis(10), Duration::from_millis(100)),
            false => Duration::from_millis(200),
        };
        self.question = now + pause.max(spread * 2);
    }

    /// The bytes of all files.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) const fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// How it stands with an entry at a receiver, in the end.
    pub(super) fn status(&self, peer: &Peer, index: usize) -> (Status, Option<String>) {
        let status = peer.statuses[index];
        let unreadable = self.unreadable[index].clone();
        match status {
            Status::Verified => (status, None),
            Status::Failed => {
                let reason = u32::try_from(index).ok();
                let reason = reason.and_then(|index| peer.reasons.get(&index).cloned());
                (status, reason)
            }
            _ if unreadable.is_some() => (Status::Failed, unreadable),
            _ => (status, None),
        }
    }
}

/// How soon something is said again to those who do not have it.
fn again(sender: &Sender) -> Duration {
    (sender.stats().grtt * 16).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use manycast_proto::norm::SenderConfig;

    use super::*;

    /// Whoever is near is not kept waiting by the first guess of the round-trip time, and whoever is far
    /// is asked less and less often until the answer comes.
    #[test]
    fn the_first_questions_follow_closely() {
        assert_eq!(pauses(1, 200), [10, 10, 20, 40, 80, 100, 100]);
        // Where nobody is expected, all are waited for anyway, however many they are.
        assert_eq!(pauses(0, 200)[..4], [100, 100, 100, 100]);
        // No answer takes longer than the round trip that is guessed; it goes by steps on the wire.
        let near = pauses(1, 30);
        assert_eq!(near[..3], [10, 10, 20]);
        assert!(
            near[3..].iter().all(|it| (28..=33).contains(it)),
            "{near:?}"
        );
    }

    /// The milliseconds from each question to the next, where the round trip is guessed so.
    fn pauses(count: usize, grtt: u64) -> Vec<u128> {
        let start = Instant::now();
        let config = SenderConfig {
            grtt: Duration::from_millis(grtt),
            ..SenderConfig::new(([239, 1, 1, 1], 5013).into(), 9)
        };
        let mut sender = Sender::new(config, [1; 32], start);
        let expected = Expected {
            count,
            ..Expected::default()
        };
        let wait = Duration::from_secs(5);
        let mut delivery = Delivery::new(7, Vec::new(), expected, wait, start);
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..7 {
            delivery.step(&mut sender, now);
            pauses.push((delivery.question - now).as_millis());
            now = delivery.question;
        }
        pauses
    }
}
