//! The error of everything that users call.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use manycast_net::{ErrorKind, Operation, Unreachable, with_interface_name};
use manycast_types::{AddressError, NetworkError};

/// What went wrong, why, and what to do next, in one sentence, which `{}` prints; `{:?}` shows what
/// it consists of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A text is no address.
    Address(AddressError),
    /// The kernel refused something.
    Net(manycast_net::Error),
    /// What a protocol was told that its driver could not do.
    Network(NetworkError),
    /// An address that is well formed, but not for this.
    Unsuitable {
        /// The address, as text.
        address: String,
        /// Why not, and what would be right.
        why: &'static str,
    },
    /// A group was joined on several interfaces that were named, and is to be sent to by one.
    Ambiguous {
        /// The group.
        group: IpAddr,
        /// The interfaces.
        interfaces: String,
    },
    /// The peer of a connected socket has nobody listening on its port. The socket goes on working.
    ConnectionRefused {
        /// The peer that a datagram had been sent to.
        peer: SocketAddr,
    },
    /// A wait was ended by a [`Stopper`](crate::Stopper).
    Stopped,
}

impl Error {
    /// The kind of failure, for programs that decide by it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Net(error) => error.kind(),
            Self::Network(error) => error.kind,
            Self::Address(_) | Self::Unsuitable { .. } | Self::Ambiguous { .. } => {
                ErrorKind::InvalidInput
            }
            Self::ConnectionRefused { .. } => ErrorKind::ConnectionRefused,
            Self::Stopped => ErrorKind::Other,
        }
    }

    /// Whether the same may succeed later with no other call: an interface is down or gone, has no
    /// address, or has no room in its queue.
    ///
    /// A sender of a stream counts such datagrams as not sent, and goes on.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Net(_) | Self::Network(_))
            && matches!(
                self.kind(),
                ErrorKind::LimitReached
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NoInterface
                    | ErrorKind::AddressNotAvailable
            )
    }

    /// An address that is well formed, but not for this, and why not.
    pub fn unsuitable(address: impl ToString, why: &'static str) -> Self {
        Self::Unsuitable {
            address: address.to_string(),
            why,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Net(error) => error.fmt(f),
            Self::Network(error) => error.fmt(f),
            Self::Unsuitable { address, why } => write!(f, "{address} cannot be used here: {why}"),
            Self::Ambiguous { group, interfaces } => write!(
                f,
                "cannot send to {group}: it was joined on {interfaces}; name the interface to send by"
            ),
            Self::ConnectionRefused { peer } => write!(
                f,
                "nobody listens on {}; start the receiver, or check host and port",
                with_interface_name(*peer)
            ),
            Self::Stopped => f.write_str("stopped while waiting"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its sentence is told already; what caused it follows.
            Self::Net(error) => error.source(),
            _ => None,
        }
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<manycast_net::Error> for Error {
    fn from(error: manycast_net::Error) -> Self {
        Self::Net(error)
    }
}

impl From<NetworkError> for Error {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

impl From<Unreachable> for Error {
    /// Why a datagram that came back was not delivered.
    fn from(unreachable: Unreachable) -> Self {
        let Unreachable { peer, errno, .. } = unreachable;
        if unreachable.is_refused() {
            Self::ConnectionRefused { peer }
        } else {
            manycast_net::Error::from_errno(Operation::Send, peer, errno).into()
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Net(error) => error.into(),
            Error::Address(_) | Error::Unsuitable { .. } | Error::Ambiguous { .. } => {
                Self::new(io::ErrorKind::InvalidInput, error)
            }
            Error::ConnectionRefused { .. } => Self::new(io::ErrorKind::ConnectionRefused, error),
            Error::Network(NetworkError { kind, .. }) => Self::new(io_kind(kind), error),
            Error::Stopped => Self::other(error),
        }
    }
}

/// The kind of the standard library that says the same.
const fn io_kind(kind: ErrorKind) -> io::ErrorKind {
    match kind {
        ErrorKind::NoInterface | ErrorKind::NameNotResolved => io::ErrorKind::NotFound,
        ErrorKind::NetworkUnreachable => io::ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable => io::ErrorKind::HostUnreachable,
        ErrorKind::LimitReached => io::ErrorKind::QuotaExceeded,
        ErrorKind::AddressInUse => io::ErrorKind::AddrInUse,
        ErrorKind::AddressNotAvailable => io::ErrorKind::AddrNotAvailable,
        ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
        ErrorKind::MessageTooLong | ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        ErrorKind::ConnectionRefused => io::ErrorKind::ConnectionRefused,
        ErrorKind::Unsupported => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_a_protocol_was_told_keeps_its_kind() {
        for (kind, expected) in [
            (
                ErrorKind::NetworkUnreachable,
                io::ErrorKind::NetworkUnreachable,
            ),
            (ErrorKind::PermissionDenied, io::ErrorKind::PermissionDenied),
            (
                ErrorKind::ConnectionRefused,
                io::ErrorKind::ConnectionRefused,
            ),
            (ErrorKind::AddressInUse, io::ErrorKind::AddrInUse),
            (ErrorKind::Other, io::ErrorKind::Other),
        ] {
            let error = Error::Network(NetworkError::new(kind, "it failed".to_owned()));
            assert_eq!(error.kind(), kind);
            assert_eq!(io::Error::from(error).kind(), expected);
        }
    }
}
