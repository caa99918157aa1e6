//! Files are hashed beside sending: as they are sent, or by themselves where their hash is needed
//! before.

use std::collections::HashMap;
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

/// How many bytes wait to be hashed at most. What comes meanwhile is read again at the end.
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
}

fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = thread::Builder::new().name("hash".to_owned());
    let thread = builder.spawn(work);
    thread.map_err(|error| Error::file("start", "a thread", error))?;
    Ok(())
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
    let mut begun: HashMap<u32, Hashing> = HashMap::new();
    for sent in sent {
        match sent {
            Sent::Part(index, offset, bytes) => {
                begun.entry(index).or_default().follow(&bytes, offset);
                waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            Sent::End(index) => {
                let hashing = begun.remove(&index).unwrap_or_default();
                if !hash(origins, index, hashing, tell) {
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
