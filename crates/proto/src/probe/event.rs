//! What a server tells its driver, and what it asks of it.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use manycast_types::InterfaceId;

use super::message::{Body, Message};
use super::{Burst, Key};

/// What a [`Server`](super::Server) tells, or asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Join this group: a client that is where it says has agreed on it.
    Join {
        /// Who.
        client: SocketAddr,
        /// The group and the port.
        group: SocketAddr,
        /// The sources that all clients of this group name; empty: any source, since one of them
        /// names none.
        sources: Vec<IpAddr>,
    },
    /// Leave this group: no client needs it any more.
    Leave {
        /// The group and the port.
        group: SocketAddr,
    },
    /// Send these datagrams, then call [`Server::sent`](super::Server::sent).
    Send(Order),
    /// Count what comes to this host from now on, then call [`Server::watching`](super::Server::watching).
    Watch(Inquiry),
    /// Examine this host, as it stands and in what came since it was last watched for this client,
    /// then call [`Server::examined`](super::Server::examined).
    Examine {
        /// Who asks about which group.
        inquiry: Inquiry,
        /// How many datagrams the client says it has sent to the group meanwhile.
        sent: u16,
        /// What came of them.
        arrivals: Vec<Arrival>,
    },
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

/// Datagrams that a driver is asked to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who asked.
    pub client: SocketAddr,
    /// Where to: the client, or the agreed group.
    pub to: SocketAddr,
    /// How.
    pub burst: Burst,
    /// The index of the interface that the request came in on.
    pub interface: u32,
    pub(super) message: Message,
    pub(super) key: Option<Key>,
}

impl Order {
    /// The datagram of this number, from 0.
    pub fn datagram(&self, index: u8) -> Bytes {
        let message = Message {
            body: Body::Data {
                index,
                from_client: false,
            },
            ..self.message.clone()
        };
        message.emit(self.key.as_ref(), self.burst.size.into())
    }
}
