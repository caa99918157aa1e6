//! What to do about what a file system says.

use std::io;

/// It, as the end of a sentence; empty where nothing is known to help.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, or choose another place"
        }
        io::ErrorKind::PermissionDenied => "; change its permissions, or choose another place",
        io::ErrorKind::ReadOnlyFilesystem => "; choose another place",
        io::ErrorKind::NotADirectory => {
            "; choose another place: it, or what it lies in, is no folder"
        }
        io::ErrorKind::NotFound => "; see whether it is there",
        io::ErrorKind::CrossesDevices => "; a link leads out of the folder: remove it",
        io::ErrorKind::WouldBlock => "; choose another folder",
        _ => "",
    }
}
