//! What is known of sockets and groups beside their datagrams.

use std::fmt;
use std::net::SocketAddr;

use crate::{InterfaceId, SourceFilter};

/// Which of several sockets a datagram came by, or is to go out by.
///
/// It is given by whoever opens the socket, and is never given again while that one runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// An identifier from a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A group that is joined on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// The group's address and the port that is listened on.
    pub group: SocketAddr,
    /// The interface.
    pub interface: InterfaceId,
    /// Whose datagrams are wanted.
    pub sources: SourceFilter,
}

impl Membership {
    /// A membership of `group` on `interface`.
    pub const fn new(group: SocketAddr, interface: InterfaceId, sources: SourceFilter) -> Self {
        Self {
            group,
            interface,
            sources,
        }
    }
}

impl fmt::Display for Membership {
    /// As in "239.1.1.1:5000 on eth0" or "232.1.1.1:5000 on eth0 from 10.0.0.5".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.group, self.interface)?;
        let (word, sources) = match &self.sources {
            SourceFilter::Include(sources) => ("from", sources),
            SourceFilter::Exclude(sources) => ("without", sources),
        };
        for (index, source) in sources.iter().enumerate() {
            match index {
                0 => write!(f, " {word} {source}")?,
                _ => write!(f, ", {source}")?,
            }
        }
        Ok(())
    }
}

/// The kind of a failure, for programs that decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such interface, or none that can do it (ENODEV, ENXIO).
    NoInterface,
    /// No route leads there (ENETUNREACH), or the network is down (ENETDOWN).
    NetworkUnreachable,
    /// The host does not answer, or sending to it is not permitted (EHOSTUNREACH, EHOSTDOWN).
    HostUnreachable,
    /// A limit of the kernel is reached: memberships, sources or memory (ENOBUFS, ENOMEM).
    LimitReached,
    /// The port is in use (EADDRINUSE).
    AddressInUse,
    /// The address is not one of this host (EADDRNOTAVAIL).
    AddressNotAvailable,
    /// A privilege is missing, or a firewall forbids it (EACCES, EPERM).
    PermissionDenied,
    /// The datagram is too long (EMSGSIZE).
    MessageTooLong,
    /// An argument makes no sense to the kernel (EINVAL).
    InvalidInput,
    /// Nobody listens on the port of the peer (ECONNREFUSED). The socket goes on working.
    ConnectionRefused,
    /// This system or kernel does not offer it (ENOPROTOOPT, EOPNOTSUPP, EAFNOSUPPORT).
    Unsupported,
    /// No name server knows the name, or none answers.
    NameNotResolved,
    /// Anything else.
    Other,
}

/// A datagram that came back: a host or router said by ICMP that it could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreachable {
    /// What it had been sent to.
    pub peer: SocketAddr,
    /// The reason: [`ErrorKind::ConnectionRefused`] where nobody listens on the port.
    pub kind: ErrorKind,
    /// The reason as an errno: `ECONNREFUSED`, `EHOSTUNREACH`, `ENETUNREACH`, `EMSGSIZE` and the
    /// like (`icmp(7)`); 0 where there was no kernel to tell.
    pub errno: i32,
}

impl Unreachable {
    /// That a datagram to `peer` came back.
    pub const fn new(peer: SocketAddr, kind: ErrorKind, errno: i32) -> Self {
        Self { peer, kind, errno }
    }

    /// Whether the host is there, but nobody listens on the port.
    pub fn is_refused(&self) -> bool {
        self.kind == ErrorKind::ConnectionRefused
    }
}

/// A failure of the network, for those who do no I/O themselves: its kind for programs, and the
/// whole sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkError {
    /// The kind, to decide by.
    pub kind: ErrorKind,
    /// What happened, on what, why, and what to do next.
    pub message: String,
}

impl NetworkError {
    /// A failure of a kind, and its sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NetworkError {}
