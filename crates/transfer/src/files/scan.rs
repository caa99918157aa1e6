//! What is to be sent: files and folders of this host, as entries of the manifest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Error;
use super::entry::{Entry, Names, check};
use super::hashing::{Hashing, hash};
use super::message::LONGEST_MANIFEST;

/// How many files are read at once for their hashes at most.
const READERS: usize = 4;
/// How long files are hashed before anything is sent: the others are hashed beside sending.
const AHEAD: Duration = Duration::from_millis(250);
/// Files of this length and more are hashed as they are sent; shorter ones are hashed before, so that
/// their hash goes with them.
pub(super) const LARGE: u64 = 8 << 20;

/// A file or folder that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) entry: Entry,
    /// Where it is here.
    pub(super) path: PathBuf,
}

impl Origin {
    /// Its entry: with the hash, where that is to be had so soon. What cannot be read is an error at
    /// once.
    fn read(&self, until: Instant) -> Result<Entry, Error> {
        let mut entry = self.entry.clone();
        if !entry.is_folder {
            let wrong = |error| Error::file("read", self.path.display(), error);
            let file = open(&self.path).map_err(wrong)?;
            let before = file.metadata().map_err(wrong)?;
            (entry.size, entry.modified) = (before.len(), modified(&before));
            let is_early = |_| Instant::now() < until;
            if entry.size < LARGE && is_early(0) {
                entry.hash = hash(&file, entry.size, is_early).map_err(wrong)?;
            }
        }
        Ok(entry)
    }

    /// The hash of a file that is still what was scanned. `None` where `progress` says not to go on.
    pub(super) fn hash(
        &self,
        begun: Hashing,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<Option<[u8; 32]>, Error> {
        let file = self.open()?;
        let wrong = |error| Error::file("read", self.path.display(), error);
        let hash = begun.finish(&file, self.entry.size, progress);
        let hash = hash.map_err(wrong)?;
        match self.is_as_it_was(&file).map_err(wrong)? {
            true => Ok(hash),
            false => Err(self.changed()),
        }
    }

    /// Opens a file again, where it is still what was scanned.
    pub(super) fn open(&self) -> Result<File, Error> {
        let wrong = |error| Error::file("read", self.path.display(), error);
        let file = open(&self.path).map_err(wrong)?;
        match self.is_as_it_was(&file).map_err(wrong)? {
            true => Ok(file),
            false => Err(self.changed()),
        }
    }

    /// Whether a file has the length and the time that it had.
    pub(super) fn is_as_it_was(&self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        Ok(metadata.len() == self.entry.size && modified(&metadata) == self.entry.modified)
    }

    pub(super) fn changed(&self) -> Error {
        Error::Unsendable {
            path: self.path.display().to_string(),
            why: "it was changed since it was first read; send it again".to_owned(),
        }
    }
}

/// What is to be sent, and what is left out.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) origins: Vec<Origin>,
    /// Links, and others that are neither a file nor a folder.
    pub(super) left_out: Vec<PathBuf>,
}

/// All that these paths are, folders with what is in them; in the order of their names.
pub(super) fn scan(
    paths: &[PathBuf],
    skip_links: bool,
    is_stopped: impl Fn() -> bool,
) -> Result<Scanned, Error> {
    let mut left_out = Vec::new();
    let (mut found, mut names, mut manifest) = (Vec::new(), Names::default(), 0);
    // The next is the last.
    let mut waiting: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for path in paths.iter().rev() {
        // Of `.` and `..` the name is not known; what is in them is sent.
        let name = path.file_name().unwrap_or_default();
        waiting.push((path.clone(), name.as_bytes().to_vec()));
    }
    while let Some((path, name)) = waiting.pop() {
        let wrong = |error| Error::file("read", path.display(), error);
        let unsendable = |why: String| Error::Unsendable {
            path: path.display().to_string(),
            why,
        };
        let metadata = fs::symlink_metadata(&path).map_err(wrong)?;
        let is_folder = metadata.is_dir();
        if !is_folder && !metadata.is_file() {
            if skip_links {
                left_out.push(path);
                continue;
            }
            let why = match metadata.is_symlink() {
                true => "it is a link; leave out links (--skip-links), or send what it leads to",
                false => "it is neither a file nor a folder; leave out such ones (--skip-links)",
            };
            return Err(unsendable(why.to_owned()));
        }
        if is_folder {
            let entries = fs::read_dir(&path).map_err(wrong)?;
            let entries: io::Result<Vec<_>> = entries.map(|it| Ok(it?.file_name())).collect();
            let mut entries = entries.map_err(wrong)?;
            entries.sort();
            for entry in entries.into_iter().rev() {
                waiting.push((path.join(&entry), joined(&name, &entry)));
            }
            if name.is_empty() {
                continue;
            }
        }
        let named = |why| unsendable(format!("{why}; leave it out, or rename it"));
        let text = check(&name).map_err(named)?;
        names.add(text, is_folder).map_err(named)?;
        manifest += Entry::LEAST + text.len();
        if manifest > LONGEST_MANIFEST - 16 {
            return Err(Error::Unsuitable(format!(
                "cannot send so many files at once: their names are more than {} MiB; send a part, \
                 or an archive",
                LONGEST_MANIFEST >> 20
            )));
        }
        let entry = Entry {
            path: text.to_owned(),
            is_folder,
            mode: u16::try_from(metadata.mode() & 0o777).unwrap_or_default(),
            modified: modified(&metadata),
            size: 0,
            hash: None,
        };
        found.push(Origin { entry, path });
    }
    if found.is_empty() && !left_out.is_empty() {
        return Err(Error::Unsuitable(
            "there is nothing to send but what is left out".to_owned(),
        ));
    }
    read_all(&mut found, is_stopped)?;
    Ok(Scanned {
        origins: found,
        left_out,
    })
}

/// How many threads read files for their hashes.
pub(super) fn readers() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors.min(READERS)
}

/// Reads all files, several at once.
fn read_all(found: &mut [Origin], is_stopped: impl Fn() -> bool) -> Result<(), Error> {
    let (next, is_ending) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let (origins, until) = (&*found, Instant::now() + AHEAD);
    let read = |tell: mpsc::Sender<_>| {
        while !is_ending.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(origin) = origins.get(index) else {
                return;
            };
            let _ = tell.send((index, origin.read(until)));
        }
    };
    let entries = thread::scope(|scope| {
        for _ in 0..readers().min(origins.len()) {
            let (tell, read) = (tell.clone(), &read);
            scope.spawn(move || read(tell));
        }
        drop(tell);
        let entries = told.iter().map(|(index, entry)| match is_stopped() {
            true => Err(Error::Stopped),
            false => Ok((index, entry?)),
        });
        let entries: Result<Vec<_>, Error> = entries.collect();
        is_ending.store(true, Ordering::Relaxed);
        entries
    })?;
    for (index, entry) in entries {
        found[index].entry = entry;
    }
    Ok(())
}

fn joined(folder: &[u8], name: &OsStr) -> Vec<u8> {
    let mut joined = folder.to_vec();
    if !folder.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name.as_bytes());
    joined
}

fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    // It may be a link or a pipe by now, which would block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn modified(metadata: &fs::Metadata) -> (i64, u32) {
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    (metadata.mtime(), nanoseconds)
}
