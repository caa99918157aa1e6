//! What a receiver knows of one sender's delivery: what is wanted, what comes, what is there.

mod entries;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::norm::{ObjectKey, Receiver};

use super::entry::{Entry, MOST_NAMES, Names};
use super::inbox::Count;
use super::message::{LONGEST_HASHES, LONGEST_MANIFEST, Report, Said, Status};
use super::partial::Partial;
use super::store::{Found, Outcome, Store, Token, weight};

/// How many bytes are kept of objects of which it is not known yet what they are.
const HELD: usize = 32 << 20;
/// How many files are kept open that have come but for their hash.
const MOST_UNHASHED: usize = 64;
/// How many entries are kept while the manifest has not come.
const EARLY: usize = 1024;

/// A delivery, as a receiver knows it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) node: u32,
    pub(super) instance: u16,
    /// Its number among those of this receiver, for tokens.
    key: u32,
    /// The number that the sender gave it, once it has said so.
    number: Option<u64>,
    manifest: Option<Vec<Entry>>,
    /// Entries that came before the manifest.
    early: BTreeMap<u32, Entry>,
    early_names: Names,
    statuses: Vec<Status>,
    reasons: BTreeMap<u32, String>,
    objects: HashMap<u64, Incoming>,
    /// How much is kept of objects of which it was not said yet what they are.
    held: usize,
    /// The bytes that it may send, and those that it was let.
    limit: u64,
    allowed: u64,
    /// The bytes of files that are there, and how much has come of those that are not yet.
    complete: u64,
    coming: BTreeMap<u32, u64>,
    /// Files that do not come any more, of which a part stays on the disk for another attempt. They
    /// count among those that were let.
    kept: BTreeSet<u32>,
    /// When a question is to be answered, and from which entry on.
    pub(super) answer: Option<(Instant, u32)>,
    /// Tells its reports from those of another start of this receiver.
    start: u32,
    reports: u32,
    /// Whether the sender has said that this was all.
    pub(super) has_ended: bool,
    /// Whether the sender is silent, or said that it ends.
    pub(super) is_gone: bool,
    /// Whether it is over; then nobody wants to know what is compared for it.
    is_over: Arc<AtomicBool>,
}

/// An object on its way.
#[derive(Debug)]
enum Incoming {
    /// What it is was not said yet: its length, and what has come.
    Held(u64, Vec<(u64, Bytes)>),
    Manifest(Vec<u8>),
    /// Hashes of files.
    Hashes(Vec<u8>),
    /// The file with this number.
    File(u32),
}

/// What is told of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its manifest has come: so many entries and bytes.
    Manifest(usize, u64),
    /// An entry is there, or will not come.
    Ended(u32),
    /// Something of the sender is not taken.
    Refused(String),
}

/// What is told of an object that is not taken; nothing where it needs no word.
type Refused = Option<Told>;

impl Session {
    pub(super) fn new(node: u32, instance: u16, key: u32, limit: u64, start: u32) -> Self {
        Self {
            node,
            instance,
            key,
            number: None,
            manifest: None,
            early: BTreeMap::new(),
            early_names: Names::default(),
            statuses: Vec::new(),
            reasons: BTreeMap::new(),
            objects: HashMap::new(),
            held: 0,
            limit,
            allowed: 0,
            complete: 0,
            coming: BTreeMap::new(),
            kept: BTreeSet::new(),
            answer: None,
            start,
            reports: 0,
            has_ended: false,
            is_gone: false,
            is_over: Arc::default(),
        }
    }

    /// Whether its manifest has come.
    pub(super) const fn is_known(&self) -> bool {
        self.manifest.is_some()
    }

    /// Whether all of it is there.
    pub(super) fn is_complete(&self) -> bool {
        self.is_known() && self.statuses.iter().all(|it| *it == Status::Verified)
    }

    /// Whether what came is still compared or verified.
    pub(super) fn is_busy(&self) -> bool {
        self.statuses.contains(&Status::Checking)
    }

    pub(super) fn status(&self, index: u32) -> Status {
        let status = self.statuses.get(index as usize);
        status.copied().unwrap_or_default()
    }

    pub(super) fn reason(&self, index: u32) -> Option<&str> {
        self.reasons.get(&index).map(String::as_str)
    }

    /// The bytes that are there of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.complete + self.coming.values().sum::<u64>()
    }

    fn token(&self, index: u32) -> Token {
        u64::from(self.key) << 32 | u64::from(index)
    }

    fn set(&mut self, index: u32, status: Status) {
        let at = index as usize;
        if self.statuses.len() <= at {
            self.statuses.resize(at + 1, Status::Unknown);
        }
        self.statuses[at] = status;
    }

    fn fail(&mut self, index: u32, why: String) -> Told {
        self.set(index, Status::Failed);
        self.reasons.insert(index, why);
        Told::Ended(index)
    }

    /// An object begins.
    pub(super) fn started(
        &mut self,
        key: ObjectKey,
        length: u64,
        info: bool,
        receiver: &mut Receiver,
    ) {
        if info {
            let held = Incoming::Held(length, Vec::new());
            self.objects.insert(key.object, held);
        } else {
            // It is of another kind of sender.
            receiver.refuse(key);
        }
    }

    /// It is said what an object is.
    pub(super) fn info(
        &mut self,
        key: ObjectKey,
        info: &[u8],
        receiver: &mut Receiver,
        store: &Store,
    ) -> Option<Told> {
        let Some(Incoming::Held(length, held)) = self.objects.get_mut(&key.object) else {
            // It was said already.
            return None;
        };
        let (length, held) = (*length, std::mem::take(held));
        self.objects.remove(&key.object);
        let kept: usize = held.iter().map(|(_, bytes)| weight(bytes)).sum();
        self.held = self.held.saturating_sub(kept);
        match self.begin(length, info, store) {
            Ok(incoming) => {
                let waits = match incoming {
                    Incoming::File(_) => Partial::is_kept(length),
                    _ => false,
                };
                if !waits {
                    receiver.want(key);
                }
                self.objects.insert(key.object, incoming);
                for (offset, bytes) in held {
                    self.data(key, offset, bytes, receiver, store);
                }
                None
            }
            Err(why) => {
                receiver.refuse(key);
                why
            }
        }
    }

    fn begin(&mut self, length: u64, info: &[u8], store: &Store) -> Result<Incoming, Refused> {
        let (number, said) =
            Said::parse(info).map_err(|wrong| Some(Told::Refused(wrong.to_string())))?;
        if *self.number.get_or_insert(number) != number {
            return Err(None);
        }
        let (index, entry) = match said {
            Said::Manifest { .. } => {
                let is_coming = |it: &Incoming| matches!(it, Incoming::Manifest(_));
                if self.is_known() || self.objects.values().any(is_coming) {
                    return Err(None);
                }
                if length > LONGEST_MANIFEST as u64 {
                    return Err(Some(Told::Refused("its manifest is too long".to_owned())));
                }
                return Ok(Incoming::Manifest(Vec::new()));
            }
            Said::Hashes if length <= LONGEST_HASHES as u64 => {
                return Ok(Incoming::Hashes(Vec::new()));
            }
            Said::Hashes => return Err(Some(Told::Refused("its hashes are too long".to_owned()))),
            Said::File { index, entry } => (index, entry),
            Said::Question { .. } | Said::End => return Err(None),
        };
        let is_early = self.manifest.is_none() && !self.early.contains_key(&index);
        if is_early && self.early.len() >= EARLY {
            // It comes again once the manifest is there.
            return Err(None);
        }
        let contradicts = || Some(Told::Refused("it contradicts its manifest".to_owned()));
        if entry.is_folder || entry.size != length {
            return Err(contradicts());
        }
        let is_right = match &self.manifest {
            Some(manifest) => {
                let its = manifest.get(index as usize);
                its.is_some_and(|it| it.agrees(&entry))
            }
            // A manifest has so many entries at most; and no two that are on their way clash, since
            // each has a temporary name of its own and the manifest is to come.
            None => {
                (index as usize) < MOST_NAMES
                    && match self.early.get(&index) {
                        Some(early) => early.agrees(&entry),
                        None => self.early_names.add(&entry.path, false).is_ok(),
                    }
            }
        };
        if !is_right {
            return Err(contradicts());
        }
        if self.manifest.is_none() {
            self.early.entry(index).or_insert_with(|| entry.clone());
        }
        if let Some(hash) = entry.hash {
            self.learn(index, hash, store);
        }
        let compared = match self.status(index) {
            Status::Unknown => false,
            Status::Missing => true,
            _ => return Err(None),
        };
        let counts = match self.kept.contains(&index) {
            true => 0,
            false => length,
        };
        if self.allowed.saturating_add(counts) > self.limit {
            let why = format!(
                "cannot write {}: with it the sender would have sent more than {} bytes; allow more \
                 with --limit",
                entry.path, self.limit
            );
            return Err(Some(self.fail(index, why)));
        }
        self.allowed += counts;
        self.kept.remove(&index);
        self.set(index, Status::Coming);
        self.coming.insert(index, 0);
        // Its hash may be known from elsewhere.
        let entry = self.entry(index).cloned().unwrap_or(entry);
        store.begin(self.token(index), entry, compared);
        Ok(Incoming::File(index))
    }

    /// A part of an object has come.
    pub(super) fn data(
        &mut self,
        key: ObjectKey,
        offset: u64,
        bytes: Bytes,
        receiver: &mut Receiver,
        store: &Store,
    ) {
        match self.objects.get_mut(&key.object) {
            Some(Incoming::Held(_, parts)) => {
                if self.held + weight(&bytes) > HELD {
                    // It comes again in another round.
                    let kept: usize = parts.iter().map(|(_, bytes)| weight(bytes)).sum();
                    self.held = self.held.saturating_sub(kept);
                    self.objects.remove(&key.object);
                    receiver.refuse(key);
                } else {
                    self.held += weight(&bytes);
                    parts.push((offset, bytes));
                }
            }
            Some(Incoming::Manifest(manifest)) => put(manifest, offset, &bytes, LONGEST_MANIFEST),
            Some(Incoming::Hashes(hashes)) => put(hashes, offset, &bytes, LONGEST_HASHES),
            Some(Incoming::File(index)) => {
                let index = *index;
                if let Some(coming) = self.coming.get_mut(&index) {
                    *coming += bytes.len() as u64;
                }
                store.write(self.token(index), offset, bytes);
            }
            None => {}
        }
    }

    /// All of an object has come.
    pub(super) fn completed(&mut self, key: ObjectKey, store: &Store) -> Option<Told> {
        match self.objects.remove(&key.object)? {
            Incoming::Manifest(manifest) => self.take_manifest(&manifest, store),
            Incoming::Hashes(hashes) => self.take_hashes(&hashes, store),
            Incoming::File(index) => {
                if self.status(index) == Status::Coming {
                    self.set(index, Status::Unhashed);
                    self.go_on(index, store);
                    let coming = self.coming.keys();
                    let unhashed = coming.filter(|it| self.status(**it) == Status::Unhashed);
                    if unhashed.count() > MOST_UNHASHED {
                        self.leave(index, store);
                    }
                }
                None
            }
            Incoming::Held(..) => None,
        }
    }

    /// An object will not be complete: what has come of it is of no use but for another attempt.
    pub(super) fn abandoned(&mut self, key: ObjectKey, store: &Store) {
        match self.objects.remove(&key.object) {
            Some(Incoming::File(index)) if self.status(index) == Status::Coming => {
                self.leave(index, store);
            }
            Some(Incoming::Held(_, parts)) => {
                let kept: usize = parts.iter().map(|(_, bytes)| weight(bytes)).sum();
                self.held = self.held.saturating_sub(kept);
            }
            _ => {}
        }
    }

    /// A file does not get its name from what has come: it may in another attempt.
    fn leave(&mut self, index: u32, store: &Store) {
        store.forget(self.token(index));
        let size = self.entry(index).map_or(0, |entry| entry.size);
        if Partial::is_kept(size) {
            self.coming.remove(&index);
            self.kept.insert(index);
        } else {
            self.give_back(index);
        }
        self.set(index, Status::Missing);
    }

    /// What was allowed for a file, and came of it, does not count.
    fn give_back(&mut self, index: u32) {
        if self.coming.remove(&index).is_some() || self.kept.remove(&index) {
            let size = self.entry(index).map_or(0, |entry| entry.size);
            self.allowed = self.allowed.saturating_sub(size);
        }
    }

    /// The object that a file comes as.
    fn object_of(&self, index: u32) -> Option<ObjectKey> {
        let mut objects = self.objects.iter();
        let found = objects.find(|(_, it)| matches!(it, Incoming::File(its) if *its == index));
        found.map(|(&object, _)| ObjectKey {
            node: self.node,
            instance: self.instance,
            object,
        })
    }

    /// No more is to come of a file.
    fn refuse(&mut self, index: u32, receiver: &mut Receiver) {
        if let Some(key) = self.object_of(index) {
            self.objects.remove(&key.object);
            receiver.refuse(key);
        }
    }

    /// What the store tells.
    pub(super) fn stored(
        &mut self,
        outcome: Outcome,
        receiver: &mut Receiver,
        store: &Store,
    ) -> Option<Told> {
        let index_of = |token: Token| u32::try_from(token & u64::from(u32::MAX)).unwrap_or(0);
        match outcome {
            Outcome::Stored(token) => {
                let index = index_of(token);
                self.refuse(index, receiver);
                self.coming.remove(&index);
                self.complete += self.entry(index).map_or(0, |entry| entry.size);
                self.set(index, Status::Verified);
                Some(Told::Ended(index))
            }
            Outcome::Failed { token, again, why } => {
                let index = index_of(token);
                self.refuse(index, receiver);
                self.give_back(index);
                if again {
                    self.set(index, Status::Missing);
                    return Some(Told::Refused(why));
                }
                Some(self.fail(index, why))
            }
            Outcome::Postponed(token) => {
                self.leave(index_of(token), store);
                None
            }
            Outcome::Unhashed(token) => {
                let index = index_of(token);
                self.refuse(index, receiver);
                self.give_back(index);
                self.set(index, Status::Unhashed);
                self.go_on(index, store);
                None
            }
            Outcome::Begun(token, runs) => {
                let index = index_of(token);
                let key = self.object_of(index)?;
                let had: u64 = runs.into_iter().map(|run| receiver.have(key, run)).sum();
                receiver.want(key);
                *self.coming.get_mut(&index)? += had;
                None
            }
            Outcome::Compared { index, found, .. } => match found {
                Ok(Found::Same) => {
                    self.complete += self.entry(index).map_or(0, |entry| entry.size);
                    self.set(index, Status::Verified);
                    Some(Told::Ended(index))
                }
                Ok(Found::Missing) => {
                    self.set(index, Status::Missing);
                    None
                }
                Ok(Found::Unhashed) => {
                    self.set(index, Status::Unhashed);
                    self.go_on(index, store);
                    None
                }
                Err(why) => Some(self.fail(index, why)),
            },
        }
    }

    /// The number of the session that an outcome is of.
    pub(super) const fn key_of(outcome: &Outcome) -> u64 {
        match outcome {
            Outcome::Stored(token)
            | Outcome::Failed { token, .. }
            | Outcome::Postponed(token)
            | Outcome::Unhashed(token)
            | Outcome::Begun(token, _) => *token >> 32,
            Outcome::Compared { session, .. } => *session,
        }
    }

    pub(super) const fn key(&self) -> u32 {
        self.key
    }

    /// Nothing more comes: of what is not complete, long files stay for another attempt.
    pub(super) fn close(&mut self, store: &Store) {
        self.is_over.store(true, Ordering::Relaxed);
        for index in std::mem::take(&mut self.coming).into_keys() {
            if matches!(self.status(index), Status::Coming | Status::Unhashed) {
                store.forget(self.token(index));
            }
        }
    }

    /// What the sender says to all.
    pub(super) fn announced(
        &mut self,
        payload: &[u8],
        now: Instant,
        wait: impl FnOnce(Duration) -> Duration,
    ) {
        let Ok((number, said)) = Said::parse(payload) else {
            return;
        };
        if *self.number.get_or_insert(number) != number {
            return;
        }
        match said {
            Said::Question { from, within } if self.answer.is_none() => {
                let wait = wait(Duration::from_millis(within.into()));
                self.answer = Some((now + wait, from));
            }
            Said::End => self.has_ended = true,
            _ => {}
        }
    }

    /// Answers the question.
    pub(super) fn report(
        &mut self,
        name: &str,
        from: u32,
        count: Count,
        read: u64,
    ) -> Option<Bytes> {
        self.reports += 1;
        let mut report = Report {
            name: name.to_owned(),
            start: self.start,
            number: self.reports,
            has_manifest: self.is_known(),
            bytes: self.bytes(),
            read,
            expected: count.expected,
            came: count.came,
            ..Report::default()
        };
        report.set_statuses(from, &self.statuses);
        let told = from..report.end();
        let reasons = self
            .reasons
            .iter()
            .filter(|(index, _)| told.contains(index));
        report.reasons = reasons
            .map(|(index, why)| (*index, why.clone()))
            .take(64)
            .collect();
        Some(report.emit(self.number?))
    }
}

/// Puts a part of an object where it belongs in memory, which has so many bytes at most.
fn put(object: &mut Vec<u8>, offset: u64, bytes: &[u8], most: usize) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if end <= most {
        object.resize(object.len().max(end), 0);
        object[start..end].copy_from_slice(bytes);
    }
}
