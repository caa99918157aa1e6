//! What is told while it is looked for.

use std::net::SocketAddr;

use manycast_types::{InterfaceId, Malformed};

use crate::{DiscoveryProtocol, Service, ServiceAddress};

/// What a [`Browser`](crate::Browser) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A question was asked.
    Asked {
        /// By which protocol.
        protocol: DiscoveryProtocol,
        /// What is looked for.
        what: String,
        /// The group or host; `None` where the protocol does not tell: DNS-SD asks on all interfaces at once.
        destination: Option<SocketAddr>,
        /// By which interface; `None` where the protocol does not tell.
        interface: Option<InterfaceId>,
    },
    /// There is a service that was not known.
    Found(Service),
    /// A service has changed.
    Changed {
        /// As it is now.
        service: Service,
        /// What has changed.
        change: Change,
    },
    /// A service is gone.
    Gone {
        /// As it was last known.
        service: Service,
        /// Why.
        reason: Reason,
    },
    /// Something came that differs from the standard, and was understood. It is told of each source once.
    Deviates {
        /// The protocol.
        protocol: DiscoveryProtocol,
        /// Who sent it.
        source: SocketAddr,
        /// By which interface it came.
        interface: InterfaceId,
        /// In which ways it differs.
        how: String,
    },
    /// Something came that was not understood.
    Malformed {
        /// The protocol.
        protocol: DiscoveryProtocol,
        /// Who sent it.
        source: SocketAddr,
        /// By which interface it came.
        interface: InterfaceId,
        /// What is wrong with it.
        error: Malformed,
    },
    /// A part could not be done: a group was not joined, a question was not sent. The rest goes on.
    Failed {
        /// The protocol.
        protocol: DiscoveryProtocol,
        /// What could not be done, why, and what to do next, in one sentence.
        what: String,
    },
}

/// What has changed of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Its addresses: it was heard at more, or is not at some any more.
    Addresses {
        /// Those that are new.
        added: Vec<ServiceAddress>,
        /// Those that are gone.
        removed: Vec<ServiceAddress>,
    },
    /// The device has started anew without a goodbye.
    Restarted,
    /// Its port, its name or its attributes.
    Attributes,
}

/// Why a service is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The device said so.
    Goodbye,
    /// It was not heard for as long as it had said that it would be there: it crashed, or was cut off.
    Expired,
    /// The interface is gone by which it was heard.
    Interface,
    /// One of the first two: the library for DNS-SD does not tell which.
    GoodbyeOrExpired,
}
