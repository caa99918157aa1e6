//! The disk of a server: threads that open, read and write, so that no disk holds up a transfer.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use manycast_io::Commands;
use manycast_proto::tftp::netascii::{Decoder, Encoder};
use manycast_proto::tftp::{ErrorCode, Failure, FileRequest, Mode, Refusal, Server, TransferId};

use super::Error;
use super::client::refusal_of;
use crate::folder::{Folder, Upload};

/// How many threads there are.
const THREADS: usize = 4;

/// How much is read at once; what the protocol asks for never goes beyond a multiple of it.
const PIECE: usize = 64 << 10;

/// How much the kernel is asked to read ahead where it has to be waited for.
const AHEAD: u64 = 4 << 20;

/// How many bytes of files are kept in memory for those who want the same.
const CACHE: usize = 32 << 20;

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) write: bool,
    pub(super) overwrite: bool,
    pub(super) max_size: Option<u64>,
    /// How many files may wait to be opened.
    pub(super) most_waiting: usize,
}

#[derive(Debug)]
enum Job {
    Open(TransferId, FileRequest),
    Read(TransferId, u64, usize),
    Write(TransferId, u64, Bytes),
    Complete(TransferId),
    Close(TransferId),
}

/// The threads, and what they share.
#[derive(Debug)]
pub(super) struct Disk {
    jobs: Vec<mpsc::Sender<Job>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    rules: Rules,
    commands: Commands<Server>,
    waiting: AtomicUsize,
    /// Files that are read, for those parts that need not be waited for.
    open: Mutex<HashMap<TransferId, Arc<Document>>>,
    cache: Mutex<Cache>,
    /// Why transfers failed here, in a whole sentence.
    errors: Mutex<HashMap<TransferId, String>>,
}

/// A file that is read.
#[derive(Debug)]
struct Document {
    file: File,
    size: u64,
    key: Key,
}

impl Document {
    /// Tells it from other files and other states of this one.
    fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        hasher.finish()
    }
}

/// Which file it is, and which state of it.
type Key = (u64, u64, i64, i64, u64);

/// Parts of files that were read lately.
#[derive(Debug, Default)]
struct Cache {
    pieces: HashMap<(Key, u64), Bytes>,
    order: VecDeque<(Key, u64)>,
    bytes: usize,
}

/// A file that a thread deals with.
enum Open {
    Document(Arc<Document>),
    Text(Text),
    Upload {
        upload: Upload,
        decoder: Option<Decoder>,
        /// How much of a text was written.
        written: u64,
    },
}

/// A file that is read as netascii, from its beginning on.
struct Text {
    document: Arc<Document>,
    encoder: Encoder,
    at: u64,
    left: Vec<u8>,
}

impl Disk {
    pub(super) fn new(
        folder: Folder,
        rules: Rules,
        commands: Commands<Server>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            folder,
            rules,
            commands,
            waiting: AtomicUsize::new(0),
            open: Mutex::default(),
            cache: Mutex::default(),
            errors: Mutex::default(),
        });
        let mut jobs = Vec::new();
        for _ in 0..THREADS {
            let (sender, receiver) = mpsc::channel();
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("tftp-disk".to_owned())
                .spawn(move || work(&shared, &receiver))
                .map_err(|error| Error::file("start", "a thread", error))?;
            jobs.push(sender);
        }
        Ok(Self { jobs, shared })
    }

    fn give(&self, id: TransferId, job: Job) {
        let index = usize::try_from(id.number() % THREADS as u64).unwrap_or(0);
        // The threads end when this is dropped, and not before.
        let _ = self.jobs[index].send(job);
    }

    /// Opens a file; the server hears of it. False if too many wait for that already.
    pub(super) fn open(&self, id: TransferId, request: FileRequest) -> bool {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= self.shared.rules.most_waiting {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.give(id, Job::Open(id, request));
        true
    }

    /// Reads a part of a file: the bytes, if they lie in memory; otherwise the server hears of it.
    pub(super) fn read(&self, id: TransferId, offset: u64, length: usize) -> Option<Bytes> {
        let document = lock(&self.shared.open).get(&id).cloned();
        if let Some(document) = document
            && let Some(bytes) = self.shared.read_now(&document, offset, length)
        {
            return Some(bytes);
        }
        self.give(id, Job::Read(id, offset, length));
        None
    }

    pub(super) fn write(&self, id: TransferId, offset: u64, bytes: Bytes) {
        self.give(id, Job::Write(id, offset, bytes));
    }

    pub(super) fn complete(&self, id: TransferId) {
        self.give(id, Job::Complete(id));
    }

    /// Lets go of a file, and says what went wrong with it here.
    pub(super) fn close(&self, id: TransferId) -> Option<String> {
        lock(&self.shared.open).remove(&id);
        self.give(id, Job::Close(id));
        lock(&self.shared.errors).remove(&id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does jobs until nobody can give any more.
fn work(shared: &Shared, jobs: &mpsc::Receiver<Job>) {
    let mut thread = Thread {
        shared,
        files: HashMap::new(),
    };
    for job in jobs {
        match job {
            Job::Open(id, request) => thread.open(id, &request),
            Job::Read(id, offset, length) => thread.read(id, offset, length),
            Job::Write(id, offset, bytes) => thread.write(id, offset, &bytes),
            Job::Complete(id) => thread.complete(id),
            Job::Close(id) => {
                thread.files.remove(&id);
                // What the jobs before this one left since it was given.
                lock(&shared.open).remove(&id);
                lock(&shared.errors).remove(&id);
            }
        }
    }
}

/// What a thread has open.
struct Thread<'a> {
    shared: &'a Shared,
    files: HashMap<TransferId, Open>,
}

impl Thread<'_> {
    fn open(&mut self, id: TransferId, request: &FileRequest) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        match self.shared.open(id, request) {
            Ok((open, size)) => {
                let version = match &open {
                    Open::Document(document) => document.version(),
                    _ => 0,
                };
                self.files.insert(id, open);
                self.shared
                    .tell(move |server, now| server.accept(now, id, size, version));
            }
            Err(error) => {
                let refusal = match error {
                    Error::Unsuitable(why) => Refusal::new(ErrorCode::AccessViolation, why),
                    error => refusal_of(&error),
                };
                self.shared
                    .tell(move |server, now| server.refuse(now, id, refusal));
            }
        }
    }

    fn read(&mut self, id: TransferId, offset: u64, length: usize) {
        let read = match self.files.get_mut(&id) {
            Some(Open::Document(document)) => self.shared.read(document, offset, length),
            Some(Open::Text(text)) => text.read(length),
            _ => return,
        };
        match read {
            Ok(bytes) => self
                .shared
                .tell(move |server, now| server.provide(now, id, offset, bytes)),
            Err(error) => self.shared.fail(id, "read", error),
        }
    }

    fn write(&mut self, id: TransferId, offset: u64, bytes: &[u8]) {
        let Some(Open::Upload {
            upload,
            decoder,
            written,
        }) = self.files.get_mut(&id)
        else {
            return;
        };
        let count = bytes.len();
        let end = offset + count as u64;
        let result = if self.shared.rules.max_size.is_some_and(|most| end > most) {
            Err(io::ErrorKind::FileTooLarge.into())
        } else if let Some(decoder) = decoder {
            let mut text = Vec::new();
            decoder.decode(bytes, &mut text);
            let result = upload.file.write_all_at(&text, *written);
            *written += text.len() as u64;
            result
        } else {
            upload.file.write_all_at(bytes, offset)
        };
        match result {
            Ok(()) => self.shared.tell(move |server, _| server.written(id, count)),
            Err(error) => {
                self.files.remove(&id);
                self.shared.fail(id, "write", error);
            }
        }
    }

    fn complete(&mut self, id: TransferId) {
        let Some(Open::Upload {
            upload,
            decoder,
            written,
        }) = self.files.remove(&id)
        else {
            return;
        };
        let mut text = Vec::new();
        if let Some(mut decoder) = decoder {
            decoder.finish(&mut text);
        }
        let last = upload.file.write_all_at(&text, written);
        match last.and_then(|()| upload.finish()) {
            Ok(()) => self.shared.tell(move |server, now| server.stored(now, id)),
            Err(error) => self.shared.fail(id, "write", error),
        }
    }
}

impl Shared {
    /// Has something done to the server by the thread that runs it.
    fn tell(&self, command: impl FnOnce(&mut Server, Instant) + Send + 'static) {
        self.commands.give(command);
    }

    fn fail(&self, id: TransferId, verb: &'static str, error: io::Error) {
        let error = Error::file(verb, "a file", error);
        let refusal = refusal_of(&error);
        if let Error::File { source, .. } = &error {
            lock(&self.errors).insert(id, source.to_string());
        }
        self.tell(move |server, now| server.abort(now, id, refusal));
    }

    fn open(&self, id: TransferId, request: &FileRequest) -> Result<(Open, Option<u64>), Error> {
        let name = request.name_text();
        let wrong = |error| Error::file("open", &name, error);
        let is_text = match request.mode {
            Mode::Octet => false,
            Mode::Netascii => true,
            Mode::Other => return Err(Error::Unsuitable("only octet and netascii are known")),
        };
        if request.write {
            if !self.rules.write {
                return Err(Error::Unsuitable("this server is for reading"));
            }
            let size = request.options.transfer_size;
            if size > self.rules.max_size && self.rules.max_size.is_some() {
                return Err(wrong(io::ErrorKind::FileTooLarge.into()));
            }
            let upload = self.folder.write(&request.name, self.rules.overwrite);
            let upload = upload.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => no_folder(&name),
                _ => wrong(error),
            })?;
            let open = Open::Upload {
                upload,
                decoder: is_text.then(Decoder::new),
                written: 0,
            };
            return Ok((open, size));
        }
        let file = self.folder.read(&request.name).map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        let size = metadata.len();
        let key = (
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            size,
        );
        let document = Arc::new(Document { file, size, key });
        if is_text {
            let text = Text {
                document,
                encoder: Encoder::new(),
                at: 0,
                left: Vec::new(),
            };
            return Ok((Open::Text(text), None));
        }
        lock(&self.open).insert(id, Arc::clone(&document));
        Ok((Open::Document(document), Some(size)))
    }

    /// A part of a file that lies in memory.
    fn read_now(&self, document: &Document, offset: u64, length: usize) -> Option<Bytes> {
        let start = start_of_piece(offset);
        if let Some(bytes) = self.cached(document, offset, length) {
            return Some(bytes);
        }
        let mut piece = vec![0; PIECE];
        let slice = &mut [io::IoSliceMut::new(&mut piece)];
        // `preadv2(2)`: what would have to wait for the disk fails.
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let count = rustix::io::preadv2(&document.file, slice, start, flags).ok()?;
        let is_all = count == PIECE || start + count as u64 >= document.size;
        is_all.then(|| {
            piece.truncate(count);
            self.keep(document, piece.into(), offset, length)
        })
    }

    fn read(&self, document: &Document, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = start_of_piece(offset);
        if let Some(bytes) = self.cached(document, offset, length) {
            return Ok(bytes);
        }
        // The kernel reads on while this part is sent: what is read without waiting asks it for nothing.
        let ahead = std::num::NonZero::new(AHEAD);
        let _ = rustix::fs::fadvise(&document.file, start, ahead, rustix::fs::Advice::WillNeed);
        let piece = read_piece(&document.file, start)?;
        Ok(self.keep(document, piece.into(), offset, length))
    }

    fn cached(&self, document: &Document, offset: u64, length: usize) -> Option<Bytes> {
        let start = start_of_piece(offset);
        let cache = lock(&self.cache);
        let piece = cache.pieces.get(&(document.key, start))?;
        Some(part(piece, offset - start, length))
    }

    /// Keeps the piece that a part lies in, and gives the part.
    fn keep(&self, document: &Document, piece: Bytes, offset: u64, length: usize) -> Bytes {
        let start = start_of_piece(offset);
        let bytes = part(&piece, offset - start, length);
        lock(&self.cache).insert((document.key, start), piece);
        bytes
    }
}

/// Where the piece begins that an offset lies in.
const fn start_of_piece(offset: u64) -> u64 {
    offset / PIECE as u64 * PIECE as u64
}

fn read_piece(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let mut count = 0;
    while count < PIECE {
        match file.read_at(&mut piece[count..], start + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(count);
    Ok(piece)
}

/// A part of a piece, as far as there is one.
fn part(piece: &Bytes, offset: u64, length: usize) -> Bytes {
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(piece.len());
    let to = from.saturating_add(length).min(piece.len());
    piece.slice(from..to)
}

impl Cache {
    fn insert(&mut self, key: (Key, u64), piece: Bytes) {
        self.bytes += piece.len();
        if let Some(before) = self.pieces.insert(key, piece) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > CACHE
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.pieces.remove(&oldest);
            self.bytes -= gone.map_or(0, |gone| gone.len());
        }
    }
}

impl Text {
    fn read(&mut self, length: usize) -> io::Result<Bytes> {
        while self.left.len() < length {
            let piece = read_piece(&self.document.file, self.at)?;
            if piece.is_empty() {
                break;
            }
            self.at += piece.len() as u64;
            self.encoder.encode(&piece, &mut self.left);
        }
        let rest = self.left.split_off(self.left.len().min(length));
        Ok(std::mem::replace(&mut self.left, rest).into())
    }
}

/// That the folder is not there in which a file was to be written.
fn no_folder(name: &str) -> Error {
    let folder = name.trim_start_matches('/').rsplit_once('/');
    let folder = folder.map_or(".", |(folder, _)| folder);
    // The name comes from outside, and the text goes to terminals.
    let folder = folder.replace(char::is_control, "?");
    let text = format!("the folder {folder} is not there");
    Error::Transfer {
        what: format!("write {name}"),
        failure: Failure::Refused(Refusal::new(ErrorCode::FileNotFound, text)),
    }
}
