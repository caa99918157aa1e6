//! What is to be sent: files and folders of this host, as entries of the manifest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::entry::{Entry, Names, check};
use super::message::LONGEST_MANIFEST;

/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// A file or folder that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) entry: Entry,
    /// Where it is here.
    pub(super) path: PathBuf,
}

impl Origin {
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
            why: "it was changed since it was first read".to_owned(),
        }
    }
}

/// All that these paths are, folders with what is in them; in the order of their names. `progress`
/// is told of the bytes that were read, and says whether to go on.
pub(super) fn scan(
    paths: &[PathBuf],
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Vec<Origin>, Error> {
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
        if metadata.is_symlink() {
            return Err(unsendable("it is a link".to_owned()));
        }
        if !is_folder && !metadata.is_file() {
            return Err(unsendable("it is neither a file nor a folder".to_owned()));
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
        let text = check(&name).map_err(|error| unsendable(error.to_string()))?;
        names
            .add(text, is_folder)
            .map_err(|error| unsendable(error.to_string()))?;
        manifest += Entry::LEAST + text.len();
        if manifest > LONGEST_MANIFEST - 16 {
            return Err(Error::Unsuitable(format!(
                "cannot send so many files at once: their names are more than {} MiB; send a part, \
                 or an archive",
                LONGEST_MANIFEST >> 20
            )));
        }
        let mut entry = Entry {
            path: text.to_owned(),
            is_folder,
            mode: u16::try_from(metadata.mode() & 0o777).unwrap_or_default(),
            modified: modified(&metadata),
            size: 0,
            hash: [0; 32],
        };
        if !is_folder {
            let file = open(&path).map_err(wrong)?;
            let before = file.metadata().map_err(wrong)?;
            (entry.size, entry.modified) = (before.len(), modified(&before));
            let hash = hash(&file, entry.size, &mut progress).map_err(wrong)?;
            entry.hash = hash.ok_or(Error::Stopped)?;
        }
        found.push(Origin { entry, path });
    }
    Ok(found)
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

/// The hash of the first `length` bytes of a file. Where it is shorter, it is that of another one.
/// `None` where `progress` says not to go on.
pub(super) fn hash(
    file: &File,
    length: u64,
    mut progress: impl FnMut(u64) -> bool,
) -> io::Result<Option<[u8; 32]>> {
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
    let mut reader = file.take(length);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(Some(*hasher.finalize().as_bytes())),
            Ok(count) => {
                hasher.update(&piece[..count]);
                if !progress(count as u64) {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
