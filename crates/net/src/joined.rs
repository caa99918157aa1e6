//! The groups that this host has joined, on each interface, for all its programs.

use std::io;
use std::net::IpAddr;

use manycast_types::InterfaceId;

pub use crate::sys::joined::JoinedTables;
use crate::{Error, Operation};

/// What cannot be listed, in errors.
pub(crate) const TARGET: &str = "the joined groups";

/// A group that programs of this host, or its kernel, have joined on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinedGroup {
    /// Where it is joined.
    pub interface: InterfaceId,
    /// The group.
    pub group: IpAddr,
    /// How many sockets have joined it; the kernel itself counts as one.
    pub users: u32,
    /// The version of IGMP that the host speaks on this interface, from 1 to 3: the oldest that a
    /// querier has spoken there of late, or 3 where none was received. Below 3 the sources are not
    /// told to the network. `None` for IPv6, where the kernel does not say.
    pub igmp_version: Option<u8>,
    /// The sources that sockets have named. Where this is empty, all sockets take any source.
    pub sources: Vec<JoinedSource>,
}

/// A source of a joined group, and how many sockets have named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct JoinedSource {
    /// The source.
    pub address: IpAddr,
    /// How many sockets want this source (mode INCLUDE of RFC 9776 §3.1).
    pub included: u32,
    /// How many sockets want all but this source (mode EXCLUDE).
    pub excluded: u32,
}

/// Lists the groups that are joined on this host (in the network namespace of this thread), by
/// interface and group.
///
/// # Errors
///
/// When the tables of the kernel cannot be read, or are not as they are known to be.
///
/// ```
/// for joined in manycast_net::joined_groups()? {
///     println!("{} on {} by {}", joined.group, joined.interface, joined.users);
/// }
/// # Ok::<(), manycast_net::Error>(())
/// ```
pub fn joined_groups() -> Result<Vec<JoinedGroup>, Error> {
    JoinedTables::read()?.groups().map_err(|malformed| {
        let error = io::Error::new(io::ErrorKind::InvalidData, malformed);
        Error::new(Operation::List, TARGET, error)
    })
}
