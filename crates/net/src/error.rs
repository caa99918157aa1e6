//! The one error of this crate: what was done, to what, why it failed, and what to do next.

mod explain;
#[cfg(test)]
mod tests;
mod unavailable;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddrV6;

pub(crate) use explain::Explanation;
use manycast_types::ErrorKind;

use crate::with_interface_name;

/// The errnos that a caller may find out before the kernel does.
pub mod errno {
    pub use libc::{EINVAL, EMSGSIZE, ENETDOWN, ENETUNREACH, ENOBUFS, ENODEV};
}

/// What failed on which target, with cause and remedy.
///
/// ```
/// use manycast_net::{Error, ErrorKind, Operation};
///
/// let error = Error::from_errno(Operation::Send, "239.1.1.1:5000", 101);
/// assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
/// assert_eq!(
///     error.to_string(),
///     "cannot send to 239.1.1.1:5000: no route leads there (os error 101); name the interface to \
///      send by, or add a route"
/// );
/// ```
#[derive(Debug)]
pub struct Error {
    operation: Operation,
    target: String,
    source: io::Error,
    explanation: Option<Explanation>,
}

/// What a call was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a socket.
    Open,
    /// Setting a socket option, by its name in `ip(7)`, `ipv6(7)` or `socket(7)`.
    Set(&'static str),
    /// Reading a socket option.
    Get(&'static str),
    /// Binding to a local address.
    Bind,
    /// Setting the peer of a socket.
    Connect,
    /// Joining a group.
    Join,
    /// Leaving a group.
    Leave,
    /// Sending a datagram.
    Send,
    /// Receiving datagrams.
    Receive,
    /// Waiting for a socket.
    Wait,
    /// Finding an interface.
    Find,
    /// Listing interfaces, routes or memberships.
    List,
    /// Watching interfaces come and go.
    Watch,
    /// Resolving the name of a host.
    Resolve,
}

/// The kind that an errno is of.
pub(crate) fn kind_of(errno: i32) -> ErrorKind {
    explain::kind(errno)
}

impl Error {
    /// An error of `operation` on `target`, whose cause and remedy follow from `source`.
    pub fn new(operation: Operation, target: impl fmt::Display, source: io::Error) -> Self {
        Self {
            operation,
            target: with_zone_by_name(target.to_string()),
            source,
            explanation: None,
        }
    }

    /// An error of `operation` on `target` with this errno.
    pub fn from_errno(operation: Operation, target: impl fmt::Display, errno: i32) -> Self {
        Self::new(operation, target, io::Error::from_raw_os_error(errno))
    }

    /// Replaces cause and remedy where the caller knows more than the errno tells.
    #[must_use]
    pub fn explained(
        self,
        cause: impl Into<Cow<'static, str>>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        let explanation = Explanation {
            cause: cause.into(),
            remedy: remedy.into(),
            is_tentative: false,
        };
        Self {
            explanation: Some(explanation),
            ..self
        }
    }

    /// Whether it failed because an address of this host is tentative: whether another host of the
    /// link has it is still being asked, which takes about a second (RFC 4862 §5.4).
    pub fn is_tentative(&self) -> bool {
        let explanation = self.explanation.as_ref();
        explanation.is_some_and(|explanation| explanation.is_tentative)
    }

    /// What was being done.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// What it was being done to, as text.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The errno, where the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The kind, for programs that decide by it.
    pub fn kind(&self) -> ErrorKind {
        match self.errno() {
            Some(errno) => explain::kind(errno),
            None if self.operation == Operation::Resolve => ErrorKind::NameNotResolved,
            None => match self.source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NoInterface,
                io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
                io::ErrorKind::Unsupported => ErrorKind::Unsupported,
                _ => ErrorKind::Other,
            },
        }
    }
}

/// A target that is an address with a number for its zone, with the name of the interface instead.
fn with_zone_by_name(target: String) -> String {
    match target.parse::<SocketAddrV6>() {
        Ok(address) if address.scope_id() != 0 => with_interface_name(address.into()).to_string(),
        _ => target,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.operation, self.target)?;
        let from_errno = || {
            self.errno()
                .and_then(|errno| explain::explain(self.operation, errno))
        };
        match (self.explanation.clone().or_else(from_errno), self.errno()) {
            (Some(Explanation { cause, remedy, .. }), Some(errno)) => {
                write!(f, "{cause} (os error {errno}); {remedy}")
            }
            (Some(Explanation { cause, remedy, .. }), None) => write!(f, "{cause}; {remedy}"),
            (None, _) => self.source.fmt(f),
        }
    }
}

impl fmt::Display for Operation {
    /// Writes the verb with its preposition, so that the target can follow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self {
            Self::Open => "open",
            Self::Set(option) => return write!(f, "set {option} on"),
            Self::Get(option) => return write!(f, "read {option} of"),
            Self::Bind => "bind to",
            Self::Connect => "connect to",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Send => "send to",
            Self::Receive => "receive on",
            Self::Wait => "wait for",
            Self::Find => "find",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Resolve => "resolve",
        };
        f.write_str(verb)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.source.kind(), error)
    }
}
