//! Files are hashed beside sending: as they are sent, or by themselves where their hash is needed
//! before.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use manycast_io::Commands;

use super::{Done, Protocol};
use crate::files::Error;
use crate::files::hashing::Hashing;
use crate::files::scan::{Origin, readers};

/// How many bytes wait to be hashed at most. What comes meanwhile, and all that follows it in its file,
/// is read again at the end.
const WAITING: usize = 32 << 20;
/// After how many bytes it is told how far it is.
const PIECE: u64 = 16 << 20;

/// The threads that hash, until this is dropped.
pub(super) struct Hashers {
    whole: mpsc::Sender<u32>,
    sent: mpsc::Sender<Sent>,
    waiting: Arc<AtomicUsize>,
}

enum Sent {
    Part(u32, u64, Bytes),
    /// No more of a file follows.
    End(u32),
    /// A file is not sent any more.
    Forget(u32),
}

impl Hashers {
    pub(super) fn start(
        origins: &Arc<Vec<Origin>>,
        commands: &Commands<Protocol>,
    ) -> Result<Self, Error> {
        let (whole, to_hash) = mpsc::channel();
        let (sent, parts) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let to_hash = Arc::new(Mutex::new(to_hash));
        for _ in 0..readers() {
            let (its, tell) = (Arc::clone(origins), commands.clone());
            let to_hash = Arc::clone(&to_hash);
            start(move || hash_whole(&its, &to_hash, &tell))?;
        }
        let (its, tell, left) = (Arc::clone(origins), commands.clone(), Arc::clone(&waiting));
        start(move || hash_sent(&its, &parts, &left, &tell))?;
        Ok(Self {
            whole,
            sent,
            waiting,
        })
    }

    /// Hashes a file that is not sent yet.
    pub(super) fn hash(&self, index: u32) {
        // The threads live as long as this does.
        let _ = self.whole.send(index);
    }

    /// A part of a file is sent.
    pub(super) fn part(&self, index: u32, offset: u64, bytes: &Bytes) {
        if self.waiting.load(Ordering::Relaxed) < WAITING {
            self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            let _ = self.sent.send(Sent::Part(index, offset, bytes.clone()));
        }
    }

    /// No more parts of a file follow: its hash is told as soon as it is known.
    pub(super) fn finish(&self, index: u32) {
        let _ = self.sent.send(Sent::End(index));
    }

    /// No hash of a file is wanted any more.
    pub(super) fn forget(&self, index: u32) {
        let _ = self.sent.send(Sent::Forget(index));
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = thread::Builder::new().name("hash".to_owned());
    let thread = builder.spawn(work);
    thread.map_err(|error| Error::file("start", "a thread", error))?;
    Ok(())
}

/// A file of which a part is hashed.
#[derive(Default)]
struct Begun {
    hashing: Hashing,
    /// Parts that came before others: those that lie in memory are there sooner than those that do not.
    ahead: BTreeMap<u64, Bytes>,
}

impl Begun {
    /// Takes in a part, and says how many bytes need not be kept any more.
    fn take(&mut self, offset: u64, bytes: Bytes) -> usize {
        if !self.hashing.follow(&bytes, offset) {
            let before = self.ahead.insert(offset, bytes);
            return before.map_or(0, |it| it.len());
        }
        let mut done = bytes.len();
        while let Some(first) = self.ahead.first_entry()
            && self.hashing.follow(first.get(), *first.key())
        {
            done += first.remove().len();
        }
        done
    }
}

/// Hashes files, of which each thread takes the next.
fn hash_whole(origins: &[Origin], to_hash: &Mutex<mpsc::Receiver<u32>>, tell: &Commands<Protocol>) {
    let next = || {
        let to_hash = to_hash.lock().unwrap_or_else(PoisonError::into_inner);
        to_hash.recv().ok()
    };
    while let Some(index) = next() {
        if !hash(origins, index, Hashing::default(), tell) {
            return;
        }
    }
}

/// Hashes what follows each other of each file, and the rest at its end.
fn hash_sent(
    origins: &[Origin],
    sent: &mpsc::Receiver<Sent>,
    waiting: &AtomicUsize,
    tell: &Commands<Protocol>,
) {
    let mut begun: HashMap<u32, Begun> = HashMap::new();
    for sent in sent {
        let is_wanted = matches!(sent, Sent::End(_));
        match sent {
            Sent::Part(index, offset, bytes) => {
                let done = begun.entry(index).or_default().take(offset, bytes);
                waiting.fetch_sub(done, Ordering::Relaxed);
            }
            Sent::End(index) | Sent::Forget(index) => {
                let Begun { hashing, ahead } = begun.remove(&index).unwrap_or_default();
                let left = ahead.values().map(Bytes::len).sum();
                waiting.fetch_sub(left, Ordering::Relaxed);
                if is_wanted && !hash(origins, index, hashing, tell) {
                    return;
                }
            }
        }
    }
}

/// Hashes what is left of a file, and tells its hash; false where nobody wants to know any more.
fn hash(origins: &[Origin], index: u32, begun: Hashing, tell: &Commands<Protocol>) -> bool {
    let give = |done: Done| tell.give(move |inbox, _| inbox.put(done));
    let (mut read, mut told) = (0, 0);
    let hash = origins[index as usize].hash(begun, |bytes| {
        read += bytes;
        let is_piece = read - told >= PIECE;
        if is_piece {
            told = read;
        }
        !is_piece || give(Done::Hashing(PIECE))
    });
    match hash {
        Ok(Some(hash)) => give(Done::Hashed(index, Ok(hash))),
        Ok(None) => false,
        Err(error) => give(Done::Hashed(index, Err(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever order parts are read in, and some of them twice: it is hashed once, and nothing is kept.
    #[test]
    fn parts_are_hashed_in_their_order() {
        let content: Vec<u8> = (0..=255).collect();
        let mut begun = Begun::default();
        let mut kept = 0;
        for at in [32, 0, 64, 0, 128, 128, 64, 96, 192, 224, 160] {
            let part = Bytes::copy_from_slice(&content[at..at + 32]);
            kept += part.len();
            kept -= begun.take(at as u64, part);
        }
        assert!(begun.ahead.is_empty() && kept == 0, "{kept}");
        let empty = std::fs::File::open("/dev/null").unwrap();
        let hash = begun.hashing.finish(&empty, 256, |_| false).unwrap();
        assert_eq!(hash, Some(*blake3::hash(&content).as_bytes()));
    }
}
