//! What a protocol asks of the network beside sending, and what it is told of it.

use std::net::SocketAddr;

use manycast_types::{Address, ErrorKind, Group, Membership, NetworkError, SocketId, Unreachable};

/// What a protocol asks of its driver: sockets and groups. The driver does it at once, and answers
/// by [`Protocol::handle_network`](crate::Protocol::handle_network) before it polls again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Opens a socket beside those that there are. The answer is [`NetworkEvent::Opened`] or
    /// [`NetworkEvent::NotOpened`].
    Open {
        /// What the protocol tells its requests apart by; the answer bears it too.
        tag: u64,
        /// The local address, with port 0 for any free one. It may name an interface.
        local: Address,
    },
    /// Closes a socket that was opened by a request. There is no answer.
    Close {
        /// The socket.
        socket: SocketId,
    },
    /// Joins a group on every interface that can multicast, or on the one that the group names. The
    /// answer is a [`NetworkEvent::Joined`] for each interface, also where it was joined before,
    /// or one [`NetworkEvent::NotJoined`].
    Join {
        /// The group, its interface and its sources.
        group: Group,
        /// The port to listen on.
        port: u16,
    },
    /// Leaves a group, on all interfaces unless it names one. The answer is a
    /// [`NetworkEvent::Left`] for each interface.
    Leave {
        /// The group.
        group: Group,
        /// The port.
        port: u16,
    },
}

/// What happened in the network: answers to a [`Request`], and what comes unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// A socket was opened.
    Opened {
        /// The tag of the request.
        tag: u64,
        /// The socket.
        socket: SocketId,
        /// Its local address, with the port that it has.
        local: SocketAddr,
    },
    /// A socket could not be opened.
    NotOpened {
        /// The tag of the request.
        tag: u64,
        /// Why not.
        error: NetworkError,
    },
    /// A group was joined on an interface: as requested, or because the interface came or came
    /// back.
    Joined(Membership),
    /// A group could not be joined.
    NotJoined {
        /// The group that was to be joined.
        group: Group,
        /// The port to listen on.
        port: u16,
        /// Why not.
        error: NetworkError,
    },
    /// A group was left on an interface: as requested, or because the interface went away.
    Left(Membership),
    /// A datagram that was sent came back: a host or a router said by ICMP that it could not be
    /// delivered. Only connected sockets are told of it reliably.
    Unreachable {
        /// The socket that it was sent by.
        socket: SocketId,
        /// What it had been sent to, and why it came back.
        unreachable: Unreachable,
    },
    /// Datagrams were not sent at all.
    NotSent {
        /// The first of their destinations.
        destination: SocketAddr,
        /// How many.
        count: usize,
        /// Why the first was not.
        error: NetworkError,
    },
}

impl NetworkEvent {
    /// The peer that says that nobody listens on its port, if that is what happened.
    pub fn refused_by(&self) -> Option<SocketAddr> {
        match self {
            Self::Unreachable { unreachable, .. } if unreachable.is_refused() => {
                Some(unreachable.peer)
            }
            _ => None,
        }
    }

    /// That nobody listens on the port of `peer`, to which `socket` had sent.
    pub const fn refused(socket: SocketId, peer: SocketAddr) -> Self {
        Self::Unreachable {
            socket,
            unreachable: Unreachable::new(peer, ErrorKind::ConnectionRefused, 0),
        }
    }
}
