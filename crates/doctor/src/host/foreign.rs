//! Sockets of other programs, asked for what they are members of.
//!
//! The kernel's tables tell which groups a host has joined, not which socket did. A second
//! descriptor of that socket can be asked (`pidfd_getfd(2)`), by the same user where the system
//! allows it (`ptrace(2)`, `PTRACE_MODE_ATTACH_REALCREDS`), or by root. Nothing is received from
//! it and nothing is set on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use manycast_types::SourceFilter;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// A program that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOwner {
    /// Its process number.
    pub pid: u32,
    /// Its name, as the kernel shortens it (`proc_pid_comm(5)`).
    pub name: String,
    /// The number of the socket's descriptor there.
    pub descriptor: i32,
}

impl fmt::Display for SocketOwner {
    /// Writes name and process number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

/// A second descriptor of another program's socket.
#[derive(Debug)]
pub(crate) struct ForeignSocket {
    fd: OwnedFd,
}

/// Tells by inode whose sockets there are, as far as `/proc` shows them to this user. A socket
/// that several processes share is there once for each.
pub fn socket_owners() -> BTreeMap<u32, Vec<SocketOwner>> {
    let mut owners: BTreeMap<u32, Vec<SocketOwner>> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        for (descriptor, inode) in sockets_of(&pid.to_string()) {
            owners.entry(inode).or_default().push(SocketOwner {
                pid,
                name: name().trim().to_owned(),
                descriptor,
            });
        }
    }
    owners
}

/// The inodes of the sockets of this process.
pub(crate) fn own_sockets() -> BTreeSet<u32> {
    sockets_of("self").map(|(_, inode)| inode).collect()
}

/// The sockets of a process, as descriptor and inode.
fn sockets_of(process: &str) -> impl Iterator<Item = (i32, u32)> + use<> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"));
    descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|descriptor| {
            let number = descriptor.file_name().to_str()?.parse().ok()?;
            let link = fs::read_link(descriptor.path()).ok()?;
            let inode = link
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()?;
            Some((number, inode))
        })
}

impl ForeignSocket {
    /// Gets hold of a program's socket.
    ///
    /// # Errors
    ///
    /// `EPERM` where this user may not, `ESRCH` or `EBADF` where program or socket are gone.
    pub(crate) fn open(owner: &SocketOwner) -> io::Result<Self> {
        let pid = i32::try_from(owner.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fd = pidfd_getfd(&process, owner.descriptor, PidfdGetfdFlags::empty())?;
        Ok(Self { fd })
    }

    /// The sources that the socket takes of a group on the interface of this index; `None` where
    /// it is no member there.
    ///
    /// Of an interface that is gone, a membership that was made there still shows: the socket
    /// does not know that it is worth nothing any more.
    pub(crate) fn membership(&self, group: IpAddr, interface: u32) -> Option<SourceFilter> {
        manycast_net::source_filter(&self.fd, group, interface).ok()
    }

    /// Whether it may be a member of a group: of streams none is.
    pub(crate) fn takes_datagrams(&self) -> bool {
        let kind = socket2::SockRef::from(&self.fd).r#type();
        kind.is_ok_and(|kind| kind != socket2::Type::STREAM)
    }

    /// Whether it receives whatever group any program of this host has joined
    /// (`IP_MULTICAST_ALL`, `IPV6_MULTICAST_ALL`), where it can be read.
    pub(crate) fn multicast_all(&self) -> Option<bool> {
        let socket = socket2::SockRef::from(&self.fd);
        let all = if self.is_ipv6()? {
            socket.multicast_all_v6()
        } else {
            socket.multicast_all_v4()
        };
        all.ok()
    }

    /// Whether members on this host receive what it sends to groups (`IP_MULTICAST_LOOP`,
    /// `IPV6_MULTICAST_LOOP`), where it can be read.
    pub(crate) fn loopback(&self) -> Option<bool> {
        let socket = socket2::SockRef::from(&self.fd);
        let loopback = if self.is_ipv6()? {
            socket.multicast_loop_v6()
        } else {
            socket.multicast_loop_v4()
        };
        loopback.ok()
    }

    /// The index of the interface that a socket of IPv6 names for what it sends to groups
    /// (`IPV6_MULTICAST_IF`); of IPv4, Linux tells it of nobody.
    pub(crate) fn multicast_interface(&self) -> Option<u32> {
        let socket = socket2::SockRef::from(&self.fd);
        let index = self.is_ipv6()?.then(|| socket.multicast_if_v6().ok())?;
        index.filter(|index| *index != 0)
    }

    fn is_ipv6(&self) -> Option<bool> {
        let domain = socket2::SockRef::from(&self.fd).domain().ok()?;
        Some(domain == socket2::Domain::IPV6)
    }
}
