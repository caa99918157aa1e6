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
pub(crate) struct Folder {
    handle: Arc<OwnedFd>,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// Whether a file can be made in it: its permissions allow that, and its disk has room.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&*self.handle, ".", access, AtFlags::EACCESS)?;
        let disk = rustix::fs::fstatvfs(&*self.handle)?;
        // Some file systems do not say how much they have.
        match disk.f_blocks > 0 && disk.f_bavail == 0 {
            true => Err(rustix::io::Errno::NOSPC.into()),
            false => Ok(()),
        }
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
    pub(crate) fn read(&self, name: &[u8]) -> io::Result<File> {
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
    pub(crate) fn write(&self, name: &[u8], overwrite: bool) -> io::Result<Upload> {
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
            keep: false,
            mode: None,
        })
    }
}

impl Folder {
    /// Opens a folder in it, and makes it and those above it where they are not there.
    pub(crate) fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.beneath(path, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (above, last) = parts(path)?;
        let above = self.make(above)?;
        match rustix::fs::mkdirat(&above, last, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // By the whole path again: what is there may be a link that leads out.
        self.beneath(path, flags)
    }

    /// Begins a file under a temporary name beside its own, and makes the folders above it. What was
    /// left there under that name is taken where `accept` says so, and removed otherwise; what
    /// another process still writes is neither.
    pub(crate) fn begin(
        &self,
        path: &Path,
        temporary: &str,
        mode: u16,
        accept: impl FnOnce(&File) -> bool,
    ) -> io::Result<Upload> {
        let (above, last) = parts(path)?;
        let parent = self.make(above)?;
        let file = match left_over(&parent, temporary, accept)? {
            Some(file) => file,
            None => create(&parent, temporary, mode)?,
        };
        Ok(Upload {
            file,
            parent,
            temporary: Some(temporary.into()),
            last: last.into(),
            overwrite: true,
            keep: false,
            mode: Some(mode),
        })
    }
}

const PART: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What is there under a temporary name, where `accept` takes it; otherwise it is removed.
fn left_over(
    parent: &OwnedFd,
    temporary: &str,
    accept: impl FnOnce(&File) -> bool,
) -> io::Result<Option<File>> {
    let left = match rustix::fs::openat(parent, temporary, PART, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        left => File::from(left?),
    };
    take(parent, temporary, &left)?;
    if accept(&left) {
        return Ok(Some(left));
    }
    rustix::fs::unlinkat(parent, temporary, AtFlags::empty())?;
    Ok(None)
}

fn create(parent: &OwnedFd, temporary: &str, mode: u16) -> io::Result<File> {
    let flags = PART | OFlags::CREATE | OFlags::EXCL;
    // The umask of the process holds, as for every file that it makes. Until the file has its name,
    // its owner can go on with it.
    let mode = Mode::from_raw_mode(u32::from(mode) & 0o777 | 0o600);
    let file = match rustix::fs::openat(parent, temporary, flags, mode) {
        Err(rustix::io::Errno::EXIST) => return Err(busy()),
        file => File::from(file?),
    };
    // Another process may be faster, and has it then.
    take(parent, temporary, &file)?;
    Ok(file)
}

/// Makes a file under a temporary name this process's own.
fn take(parent: &OwnedFd, temporary: &str, file: &File) -> io::Result<()> {
    lock(file)?;
    // Whoever had it until then may have given it its name, or removed it.
    let its = rustix::fs::fstat(file)?;
    let there = rustix::fs::statat(parent, temporary, AtFlags::SYMLINK_NOFOLLOW);
    match there.is_ok_and(|it| (it.st_dev, it.st_ino) == (its.st_dev, its.st_ino)) {
        true => Ok(()),
        false => Err(busy()),
    }
}

/// A path without its last part, and that.
fn parts(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let last = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    Ok((above, last))
}

/// So that no other process takes it for left over (`flock(2)`).
fn lock(file: impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::fs::FlockOperation;
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(busy()),
        result => Ok(result?),
    }
}

fn busy() -> io::Error {
    let text = "another process is receiving it into the same folder";
    io::Error::new(io::ErrorKind::WouldBlock, text)
}

/// A file that is being written. Dropped before its end, it is gone, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) file: File,
    pub(crate) parent: OwnedFd,
    temporary: Option<PathBuf>,
    last: PathBuf,
    pub(crate) overwrite: bool,
    /// Whether it stays under its temporary name where it does not come to its end.
    pub(crate) keep: bool,
    /// The permissions that it may have in the end, where it has more until then.
    mode: Option<u16>,
}

impl Upload {
    /// Gives the file its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        if let Some(mode) = self.mode {
            let own = rustix::fs::fstat(&self.file)?.st_mode;
            let mode = Mode::from_raw_mode(own & 0o777 & u32::from(mode));
            rustix::fs::fchmod(&self.file, mode)?;
        }
        let flags = match self.overwrite {
            true => RenameFlags::empty(),
            false => RenameFlags::NOREPLACE,
        };
        let parent = &self.parent;
        match rustix::fs::renameat_with(parent, temporary, parent, &self.last, flags) {
            // Some network file systems know no such flag.
            Err(rustix::io::Errno::INVAL) if !self.overwrite => {
                let none = AtFlags::empty();
                rustix::fs::linkat(parent, temporary, parent, &self.last, none)?;
                rustix::fs::unlinkat(parent, temporary, none)?;
            }
            result => result?,
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && !self.keep
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process took it for left over before it was locked, and has its own under that name.
    #[test]
    fn a_file_that_was_replaced_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let parent = OwnedFd::from(File::open(place.path()).unwrap());
        let file = File::create(place.path().join("part")).unwrap();
        take(&parent, "part", &file).unwrap();
        std::fs::remove_file(place.path().join("part")).unwrap();
        let other = File::create(place.path().join("part")).unwrap();
        let error = take(&parent, "part", &file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        take(&parent, "part", &other).unwrap();
    }
}
