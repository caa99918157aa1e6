//! Interfaces that come, go and change, as the kernel tells it.

#[cfg(target_os = "linux")]
#[path = "watch/linux.rs"]
pub(crate) mod system;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};

use crate::{Error, Operation};

/// A watch over the interfaces of this host (of the network namespace of the thread that opened
/// it), their state and their addresses.
///
/// Open it first and list the [`interfaces`](crate::interfaces) then, so that nothing can happen
/// unseen in between. Its descriptor is readable when there is something to
/// [`drain`](Self::drain).
///
/// ```
/// use manycast_net::{Change, Watch, interfaces};
///
/// let mut watch = Watch::open()?;
/// let known = interfaces()?;
/// for change in watch.drain()? {
///     match change {
///         Change::Removed(index) => println!("{index} is gone, and its memberships with it"),
///         Change::Changed(index) => println!("{index} is new, or not what it was"),
///         Change::Lost => println!("anything may be new, gone or changed"),
///     }
/// }
/// # let _ = known;
/// # Ok::<(), manycast_net::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    system: system::Watch,
}

/// What happened to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// More happened than the kernel could keep: any interface may be gone or recreated, also
    /// under its old index. List them again, and take no membership for granted.
    Lost,
    /// The device that had this index is gone, and all memberships on it. Another may have the
    /// index by now; then [`Changed`](Self::Changed) follows.
    Removed(u32),
    /// The interface of this index is new, or its state, name, flags or addresses changed. It may
    /// be gone again by now.
    Changed(u32),
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked, for want of open files or memory.
    pub fn open() -> Result<Self, Error> {
        match system::Watch::open() {
            Ok(system) => Ok(Self { system }),
            Err(error) => Err(Error::new(Operation::Watch, "the interfaces", error)),
        }
    }

    /// Takes what happened since the last time, in the order of [`Change`]: whether something was
    /// lost, then what is removed, then what changed, each index at most once in each.
    ///
    /// It never waits. It takes a limited number of messages, so after a storm of them there may
    /// be more to drain; the descriptor says so.
    ///
    /// # Errors
    ///
    /// When the kernel fails; there is no known case.
    pub fn drain(&mut self) -> Result<Vec<Change>, Error> {
        self.system
            .drain()
            .map_err(|error| Error::new(Operation::Watch, "the interfaces", error))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.system.as_fd()
    }
}
