//! What the two ends tell whoever runs them, and what a server asks of them.

use std::net::{IpAddr, SocketAddr};

use manycast_types::{InterfaceId, NetworkError};

use super::{Counts, Refusal, Report};

/// What a [`Client`](super::Client) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server is there and has agreed to the group.
    Welcome,
    /// The datagrams that were asked for were sent, and so many of them have come.
    Came(Counts),
    /// The server's host could not send all datagrams that were asked for, and so many of them have
    /// come: one at least.
    CameInPart(Counts),
    /// The own datagrams were sent, and so many of them have come to the server.
    Counted {
        /// How many.
        counts: Counts,
        /// Why the first of those that this host did not send was not.
        not_sent: Option<NetworkError>,
    },
    /// The group was joined.
    Joined,
    /// The group could not be joined.
    NotJoined(NetworkError),
    /// The server's host counts from now on.
    Watching,
    /// What the server's host has found on itself.
    Examined(Report),
    /// The server does not do it.
    Refused(Refusal),
    /// What the server's host has found cannot be understood.
    Unreadable,
    /// The server does not answer, or has another key.
    Silent,
    /// The host says that nobody listens on the server's port.
    Absent,
    /// Somebody answers there, but in this version of the protocol, and not in ours.
    Foreign(u8),
}

/// What a [`Server`](super::Server) tells of itself, and asks about its host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client that is where it says has agreed on a group. It is joined once this was taken, so
    /// that the host can be looked at as it was before; where it is left for an examination, after
    /// that.
    Agreed {
        /// Who.
        client: SocketAddr,
        /// The group and the port.
        group: SocketAddr,
        /// The sources that all clients of this group name; empty: any source, since one of them
        /// names none.
        sources: Vec<IpAddr>,
    },
    /// The group was joined, or could not be.
    Joined {
        /// Who has agreed on it.
        client: SocketAddr,
        /// The group and the port.
        group: SocketAddr,
        /// Why it could not be joined, if so.
        error: Option<NetworkError>,
    },
    /// The group was left: no client needs it any more.
    Left {
        /// The group and the port.
        group: SocketAddr,
    },
    /// Datagrams were sent, or some of them could not be.
    Sent {
        /// Who asked.
        client: SocketAddr,
        /// Where to: the client, or the agreed group.
        to: SocketAddr,
        /// How many were asked for.
        count: u8,
        /// Why the first of those that were not sent was not.
        error: Option<NetworkError>,
    },
    /// Count what comes to this host from now on, then call [`Server::watching`](super::Server::watching).
    Watch(Inquiry),
    /// Examine this host, as it stands and in what came since it was last watched for this client,
    /// then call [`Server::examined`](super::Server::examined). That may take its time: others are
    /// served meanwhile.
    Examine {
        /// Who asks about which group.
        inquiry: Inquiry,
        /// How many datagrams the client says it has sent to the group meanwhile.
        sent: u16,
        /// What came of them.
        arrivals: Vec<Arrival>,
    },
    /// The group was left for a while, as [`Server::suspend`](super::Server::suspend) asked.
    Suspended(Inquiry),
    /// What the host has found was taken in by [`Server::examined`](super::Server::examined).
    Examined(Inquiry),
}

/// A client's question about this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Who asks.
    pub client: SocketAddr,
    /// The agreed group and the port.
    pub group: SocketAddr,
    /// The index of the interface that the question came in on.
    pub interface: u32,
    /// Its session and its number in that.
    pub(super) cookie: [u8; 16],
    pub(super) number: u32,
}

/// Datagrams of a client that came from one address of it, on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The client's address towards the group.
    pub source: SocketAddr,
    /// Where they came in.
    pub interface: InterfaceId,
    /// How many.
    pub datagrams: u32,
}
