//! When the kernel received each datagram: `SO_TIMESTAMPNS` (`socket(7)`), in nanoseconds of the
//! system's clock.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use super::super::calls;
use super::{ControlMessage, Metadata};

pub(super) fn enable(fd: BorrowedFd<'_>, _ipv4: bool) -> io::Result<()> {
    calls::set_int(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

pub(super) fn decode(message: &ControlMessage<'_>, metadata: &mut Metadata) -> bool {
    if !message.is(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return false;
    }
    // struct timespec: two machine words on every Linux whose time_t is a word.
    const WORD: usize = size_of::<libc::c_long>();
    let word = |offset| {
        message
            .array::<WORD>(offset)
            .map(libc::c_long::from_ne_bytes)
    };
    let seconds = word(0).and_then(|seconds| u64::try_from(seconds).ok());
    let nanoseconds = word(WORD).and_then(|nanoseconds| u32::try_from(nanoseconds).ok());
    if let (Some(seconds), Some(nanoseconds)) = (seconds, nanoseconds) {
        metadata.time = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
    }
    true
}
