//! The folder of a receiver: threads that write, compare and verify, so that no disk holds up what
//! comes; and a bound for what waits for them.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps};

use super::Error;
use super::entry::Entry;
use super::hashing::hash;
use super::partial::Partial;
use crate::folder::Folder;

/// How many bytes wait to be written at most. Who gives more waits, and what comes meanwhile is lost
/// and asked for again: that is how a slow disk slows down what it is sent.
const WAITING: usize = 32 << 20;

/// How many bytes of a file that has come are read back before the next is written. Where it is more,
/// another thread does it.
const READ_AT_ONCE: u64 = 8 << 20;

/// How many files wait for that thread at most.
const VERIFYING: usize = 64;

/// What a part of a file takes in memory, about: short ones take more than they are long.
pub(super) fn weight(bytes: &Bytes) -> usize {
    bytes.len() + 64
}

/// A file that is on its way, as the store's owner names it.
pub(super) type Token = u64;

/// What came of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A file has its name.
    Stored(Token),
    /// A file will not come of this one; whether it may be tried again, and why not.
    Failed {
        token: Token,
        again: bool,
        why: String,
    },
    /// All of a file has come and stays, but is verified at another attempt: many wait for that already.
    Postponed(Token),
    /// A file was not begun: its hash must be known first, since one of its length is there.
    Unhashed(Token),
    /// A long file is begun, of which so much is there of an earlier attempt.
    Begun(Token, Vec<Range<u64>>),
    /// An entry of a session was compared with what is there, or why it cannot be taken.
    Compared {
        session: u64,
        index: u32,
        found: Result<Found, String>,
    },
}

/// What is there of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of it.
    Same,
    /// Nothing, or what may be replaced.
    Missing,
    /// A file of its length, while its hash is not known.
    Unhashed,
}

enum Job {
    Begin(Token, Entry, bool),
    Write(Token, u64, Bytes),
    Finish(Token, [u8; 32]),
    Drop(Token),
}

struct Comparison {
    session: u64,
    index: u32,
    entry: Entry,
    /// Whether nobody wants to know any more.
    is_over: Arc<AtomicBool>,
}

/// The threads, and what they share. Dropped, it ends them; unfinished files stay if they are long
/// enough to go on with.
pub(super) struct Store {
    jobs: Option<mpsc::Sender<Job>>,
    comparisons: Option<mpsc::Sender<Comparison>>,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

struct Shared {
    folder: Folder,
    shown: String,
    overwrite: bool,
    is_silent: bool,
    /// The bytes that were read to compare or to verify files.
    read: AtomicU64,
    tell: Box<dyn Fn(Outcome) + Send + Sync>,
    waiting: Mutex<usize>,
    room: Condvar,
    ending: AtomicBool,
}

impl Store {
    pub(super) fn open(
        path: &Path,
        overwrite: bool,
        is_silent: bool,
        tell: impl Fn(Outcome) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let folder =
            Folder::open(path).map_err(|error| Error::file("receive into", &shown, error))?;
        folder
            .check_writable()
            .map_err(|error| Error::file("receive into", &shown, error))?;
        let shared = Arc::new(Shared {
            folder,
            shown,
            overwrite,
            is_silent,
            read: AtomicU64::new(0),
            tell: Box::new(tell),
            waiting: Mutex::new(0),
            room: Condvar::new(),
            ending: AtomicBool::new(false),
        });
        let (jobs, to_do) = mpsc::channel();
        let (comparisons, to_compare) = mpsc::channel();
        // Each is open, and a large one takes long.
        let (finished, to_verify) = mpsc::sync_channel(VERIFYING);
        let mut store = Self {
            jobs: Some(jobs),
            comparisons: Some(comparisons),
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        let its = Arc::clone(&shared);
        store.start("write", move || write(&its, &to_do, &finished))?;
        let its = Arc::clone(&shared);
        store.start("verify", move || {
            for (token, partial) in to_verify {
                verify(&its, token, partial);
            }
        })?;
        store.start("compare", move || compare(&shared, &to_compare))?;
        Ok(store)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let builder = thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn(work);
        let thread = thread.map_err(|error| Error::file("start", "a thread", error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// The bytes that were read to compare or to verify files, until now.
    pub(super) fn read(&self) -> u64 {
        self.shared.read.load(Ordering::Relaxed)
    }

    fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The threads end when this is dropped, and not before.
            let _ = jobs.send(job);
        }
    }

    /// Begins a file, that was compared with what is there already or not. What comes of it is told.
    pub(super) fn begin(&self, token: Token, entry: Entry, compared: bool) {
        self.give(Job::Begin(token, entry, compared));
    }

    /// Writes to a file, and waits where too much waits already.
    pub(super) fn write(&self, token: Token, offset: u64, bytes: Bytes) {
        let mut waiting = lock(&self.shared.waiting);
        while *waiting > 0 && *waiting + weight(&bytes) > WAITING {
            let room = self.shared.room.wait(waiting);
            waiting = room.unwrap_or_else(PoisonError::into_inner);
        }
        *waiting += weight(&bytes);
        drop(waiting);
        self.give(Job::Write(token, offset, bytes));
    }

    /// All of a file was written, which has this hash: it is verified, and gets its name.
    pub(super) fn finish(&self, token: Token, hash: [u8; 32]) {
        self.give(Job::Finish(token, hash));
    }

    /// Nothing will come of a file.
    pub(super) fn forget(&self, token: Token) {
        self.give(Job::Drop(token));
    }

    /// Compares an entry with what is there, unless that is over before; makes it, if it is a folder.
    pub(super) fn compare(
        &self,
        session: u64,
        index: u32,
        entry: Entry,
        is_over: &Arc<AtomicBool>,
    ) {
        if let Some(comparisons) = &self.comparisons {
            let comparison = Comparison {
                session,
                index,
                entry,
                is_over: Arc::clone(is_over),
            };
            let _ = comparisons.send(comparison);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        (self.jobs, self.comparisons) = (None, None);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Counts what was read, and says whether to go on.
    fn reads_on(&self, bytes: u64) -> bool {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        !self.is_ending()
    }

    fn fail(&self, token: Token, entry: &Entry, error: io::Error) {
        // What another process writes, or what was not what it should be, may come by the next try.
        let again = matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::WouldBlock
        );
        let why = self.sentence("write", entry, error);
        (self.tell)(Outcome::Failed { token, again, why });
    }

    fn sentence(&self, verb: &'static str, entry: &Entry, error: io::Error) -> String {
        Error::file(verb, format_args!("{}/{}", self.shown, entry.path), error).to_string()
    }

    /// Begins a file, where there is room for it and nothing in its way, and tells so.
    fn begin(&self, token: Token, entry: &Entry, is_missing: bool) -> io::Result<Option<Partial>> {
        // What was missing may have come by another sender, or another process.
        let is_to_replace = is_missing && self.overwrite;
        let found = match is_to_replace {
            true => Found::Missing,
            false => find(self, entry, |bytes| self.reads_on(bytes))?,
        };
        let instead = match found {
            Found::Missing => None,
            Found::Same => Some(Outcome::Stored(token)),
            Found::Unhashed => Some(Outcome::Unhashed(token)),
        };
        if let Some(outcome) = instead {
            (self.tell)(outcome);
            return Ok(None);
        }
        let (mut partial, runs) = Partial::begin(&self.folder, entry.clone())?;
        partial.upload.overwrite = self.overwrite;
        let disk = rustix::fs::fstatvfs(&partial.upload.parent)?;
        let taken = partial.upload.file.metadata()?.blocks() * 512;
        // Some file systems do not say how large they are.
        if disk.f_blocks > 0
            && disk.f_bavail.saturating_mul(disk.f_frsize) < entry.size.saturating_sub(taken)
        {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        if partial.is_recorded() {
            (self.tell)(Outcome::Begun(token, runs));
        }
        Ok(Some(partial))
    }
}

fn two_senders() -> io::Error {
    io::Error::other(
        "another sender is sending it with other content; send it again when that has ended",
    )
}

fn in_the_way() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "it is there already with other content; let it be replaced with --overwrite",
    )
}

/// Does jobs until nobody can give any more. What is complete is handed on.
fn write(
    shared: &Shared,
    jobs: &mpsc::Receiver<Job>,
    finished: &mpsc::SyncSender<(Token, Partial)>,
) {
    let mut files: HashMap<Token, Partial> = HashMap::new();
    for job in jobs {
        match job {
            Job::Begin(token, entry, compared) => {
                let mut others = files.iter();
                let other = others.find(|(_, other)| other.entry.path == entry.path);
                if let Some((&other, its)) = other {
                    if !its.gives_way_to(&entry) {
                        shared.fail(token, &entry, two_senders());
                        continue;
                    }
                    files.remove(&other);
                    // One that is begun anew must not hear that it failed.
                    if other != token {
                        (shared.tell)(Outcome::Failed {
                            token: other,
                            again: true,
                            why: format!("{} is begun by another sender too", entry.path),
                        });
                    }
                }
                match shared.begin(token, &entry, compared) {
                    Ok(Some(partial)) => drop(files.insert(token, partial)),
                    Ok(None) => {}
                    Err(error) => shared.fail(token, &entry, error),
                }
            }
            Job::Write(token, offset, bytes) => {
                let result = match files.get_mut(&token) {
                    Some(partial) if !shared.is_ending() => partial.write(&bytes, offset),
                    _ => Ok(()),
                };
                *lock(&shared.waiting) -= weight(&bytes);
                shared.room.notify_one();
                if let Err(error) = result
                    && let Some(mut partial) = files.remove(&token)
                {
                    partial.discard();
                    shared.fail(token, &partial.entry, error);
                }
            }
            Job::Finish(token, hash) => {
                let Some(mut partial) = files.remove(&token) else {
                    continue;
                };
                partial.entry.hash = Some(hash);
                if partial.unhashed() <= READ_AT_ONCE {
                    verify(shared, token, partial);
                } else if shared.is_silent {
                    // Nobody would send it again.
                    let _ = finished.send((token, partial));
                } else if finished.try_send((token, partial)).is_err() {
                    // What comes does not wait until long files are read.
                    (shared.tell)(Outcome::Postponed(token));
                }
            }
            Job::Drop(token) => drop(files.remove(&token)),
        }
    }
}

/// Hashes what is left to hash of what was written, and gives it its name where that is right.
fn verify(shared: &Shared, token: Token, partial: Partial) {
    let entry = partial.entry.clone();
    match name(shared, partial) {
        Ok(true) => (shared.tell)(Outcome::Stored(token)),
        // It is to end.
        Ok(false) => {}
        Err(error) => shared.fail(token, &entry, error),
    }
}

/// Gives a file its name; false where it is to end.
fn name(shared: &Shared, mut partial: Partial) -> io::Result<bool> {
    let Some(hash) = partial.hash(|bytes| shared.reads_on(bytes))? else {
        return Ok(false);
    };
    let is_right = Some(hash) == partial.entry.hash;
    partial.complete()?;
    let Partial {
        upload,
        entry,
        is_resumed,
        ..
    } = partial;
    if !is_right || upload.file.metadata()?.len() != entry.size {
        let text = match is_resumed {
            true => "what was kept of an earlier attempt does not fit it; all of it is asked for",
            false => "what came has another hash than the sender said",
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    set_time(&upload.file, &entry)?;
    match upload.finish() {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match find(shared, &entry, |bytes| shared.reads_on(bytes))? {
                Found::Same => Ok(true),
                _ => Err(error),
            }
        }
        result => result.map(|()| true),
    }
}

fn set_time(file: &File, entry: &Entry) -> io::Result<()> {
    let modified = Timespec {
        tv_sec: entry.modified.0,
        tv_nsec: entry.modified.1.into(),
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: modified,
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Compares entries with what is there: first those for which no file has to be read, since others may
/// take long.
fn compare(shared: &Shared, comparisons: &mpsc::Receiver<Comparison>) {
    let mut to_read: VecDeque<Comparison> = VecDeque::new();
    loop {
        let next = match to_read.is_empty() {
            true => comparisons.recv().map_err(|_| TryRecvError::Disconnected),
            false => comparisons.try_recv(),
        };
        // Where nothing else is given for now, one is read.
        let may_read = next.is_err();
        let Some(comparison) = next.ok().or_else(|| to_read.pop_front()) else {
            return;
        };
        let is_over = || comparison.is_over.load(Ordering::Relaxed);
        if is_over() {
            continue;
        }
        let entry = &comparison.entry;
        let (verb, found) = if entry.is_folder {
            let made = shared.folder.make(Path::new(&entry.path));
            ("make", made.map(|_| Found::Same))
        } else if may_read {
            let reads_on = |bytes| shared.reads_on(bytes) && !is_over();
            ("write", find(shared, entry, reads_on))
        } else {
            match look(shared, entry) {
                Ok(Looked::Unread(..)) => {
                    to_read.push_back(comparison);
                    continue;
                }
                Ok(Looked::Found(found)) => ("write", Ok(found)),
                Err(error) => ("write", Err(error)),
            }
        };
        let found = found.map_err(|error| shared.sentence(verb, entry, error));
        if shared.is_ending() {
            return;
        }
        (shared.tell)(Outcome::Compared {
            session: comparison.session,
            index: comparison.index,
            found,
        });
    }
}

/// What can be said of an entry without reading a file.
enum Looked {
    Found(Found),
    /// A file of its length is there; whether it is the same only its hash can say, which is to be this.
    Unread(File, [u8; 32]),
}

/// Whether a file is there with the right content, as far as that is seen without reading it.
fn look(shared: &Shared, entry: &Entry) -> io::Result<Looked> {
    let file = match shared.folder.read(entry.path.as_bytes()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Looked::Found(Found::Missing));
        }
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != entry.size {
        return replaceable(shared).map(Looked::Found);
    }
    Ok(match entry.hash {
        Some(right) => Looked::Unread(file, right),
        // Who cannot ask for another round takes it as it comes.
        None if shared.is_silent && shared.overwrite => Looked::Found(Found::Missing),
        None => Looked::Found(Found::Unhashed),
    })
}

/// Whether a file is there with the right content. One with another is in the way, unless it may be
/// replaced.
fn find(shared: &Shared, entry: &Entry, reads_on: impl FnMut(u64) -> bool) -> io::Result<Found> {
    match look(shared, entry)? {
        Looked::Found(found) => Ok(found),
        Looked::Unread(file, right) => match hash(&file, entry.size, reads_on)? == Some(right) {
            true => Ok(Found::Same),
            false => replaceable(shared),
        },
    }
}

/// What a file with other content is: nothing, where it may be replaced, and else in the way.
fn replaceable(shared: &Shared) -> io::Result<Found> {
    match shared.overwrite {
        true => Ok(Found::Missing),
        false => Err(in_the_way()),
    }
}
