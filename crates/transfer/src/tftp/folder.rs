//! A folder that nothing leaves: the kernel resolves each name beneath it, links included
//! (`openat2(2)` with `RESOLVE_BENEATH`, Linux 5.6).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    handle: Arc<OwnedFd>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    fn beneath(&self, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(
            &*self.handle,
            name,
            flags,
            Mode::empty(),
            resolve,
        )?)
    }

    /// Opens a file to be read.
    pub(super) fn read(&self, name: &[u8]) -> io::Result<File> {
        let name = relative(name)?;
        // A pipe that nobody writes to would block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.beneath(&name, flags)?);
        match file.metadata()? {
            it if it.is_file() => Ok(file),
            it if it.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Begins a file that is to be written, under a temporary name.
    pub(super) fn write(&self, name: &[u8], overwrite: bool) -> io::Result<Upload> {
        let name = relative(name)?;
        let last = name.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let parent = match name.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = self.beneath(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        match rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) if !overwrite => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(stat) if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            _ => {}
        }
        let random = u64::from_be_bytes(manycast_io::seed()[..8].try_into().unwrap_or_default());
        let temporary = PathBuf::from(format!(".tftp-{random:016x}.part"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o666);
        let file = rustix::fs::openat(&parent, &temporary, flags | OFlags::CLOEXEC, mode)?;
        Ok(Upload {
            file: file.into(),
            parent,
            temporary: Some(temporary),
            last: last.into(),
            overwrite,
        })
    }
}

/// A file that is being written. Dropped before its end, it is gone.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) file: File,
    parent: OwnedFd,
    temporary: Option<PathBuf>,
    last: PathBuf,
    overwrite: bool,
}

impl Upload {
    /// Gives the file its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let flags = match self.overwrite {
            true => RenameFlags::empty(),
            false => RenameFlags::NOREPLACE,
        };
        let parent = &self.parent;
        rustix::fs::renameat_with(parent, temporary, parent, &self.last, flags)?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::fs::unlinkat(&self.parent, temporary, AtFlags::empty());
        }
    }
}

/// A name as a path in the folder. Many clients put a `/` before it, which means the folder itself.
fn relative(name: &[u8]) -> io::Result<PathBuf> {
    let start = name.iter().position(|byte| *byte != b'/');
    let name = &name[start.unwrap_or(name.len())..];
    if name.is_empty() || name.contains(&0) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}
