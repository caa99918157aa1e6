//! What a client tells, and a target service.

use std::net::SocketAddr;
use std::time::Instant;

use manycast_types::{Group, InterfaceId, Malformed, NetworkError};

use super::{Deviations, Service, Version};

/// What one address has said of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What it said last.
    pub service: Service,
    /// In which version.
    pub version: Version,
    /// Who said it: its host is the service's, unless it is a discovery proxy.
    pub source: SocketAddr,
    /// The interface that it came by.
    pub interface: InterfaceId,
    /// When it was said last.
    pub heard: Instant,
    /// The start of the service that it is of (`InstanceId`), where it says so.
    pub instance: Option<u32>,
}

/// What has changed of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The service has started anew, without a goodbye: its `InstanceId` is another.
    Rebooted,
    /// It is elsewhere, or has told where it is for the first time.
    Addresses,
    /// It says something else of itself: its metadata version has risen, or its types or scopes are others.
    Metadata,
}

/// Why an entry is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Goodbye {
    /// The service said so.
    Said,
    /// It was asked for, and did not answer.
    NoAnswer,
    /// The interface is gone by which it was heard.
    Interface,
}

/// What a [`Client`](super::Client) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A question was asked.
    Asked {
        /// The types that are searched for, or the endpoint.
        target: String,
        /// The group or the host.
        destination: SocketAddr,
        /// By which interface; `None` where the route decides.
        interface: Option<InterfaceId>,
        /// In which version.
        version: Version,
    },
    /// There is a service that was not known.
    Found(Entry),
    /// What was known of a service has changed.
    Changed {
        /// As it is now.
        entry: Entry,
        /// What has.
        change: Change,
    },
    /// A service was heard of again, and nothing of it has changed but the time.
    Refreshed(Entry),
    /// A service is gone.
    Gone {
        /// As it was last known.
        entry: Entry,
        /// Why.
        why: Goodbye,
    },
    /// A discovery proxy says that it is to be asked on an interface; the client does, beside the group.
    Proxy {
        /// Who.
        source: SocketAddr,
        /// On which interface.
        interface: InterfaceId,
    },
    /// A discovery proxy did not answer, or has said goodbye, and is asked no more.
    ProxyLost {
        /// Who.
        source: SocketAddr,
        /// On which interface.
        interface: InterfaceId,
    },
    /// Something came that differs from the standard, and was understood. It is told of each source once, as
    /// long as it differs in the same ways.
    Deviates {
        /// Who sent it.
        source: SocketAddr,
        /// By which interface it came.
        interface: InterfaceId,
        /// In which ways.
        deviations: Deviations,
    },
    /// Something came that was not understood.
    Malformed {
        /// Who sent it.
        source: SocketAddr,
        /// By which interface it came.
        interface: InterfaceId,
        /// What is wrong with it.
        error: Malformed,
    },
    /// A group could not be joined, or there are too many on all interfaces together; it is not asked.
    NotJoined {
        /// The group.
        group: Group,
        /// Why.
        error: NetworkError,
    },
    /// A question could not be sent. It is told once for each destination and kind of error, since the same
    /// question is asked several times.
    NotSent {
        /// The group or host.
        destination: SocketAddr,
        /// Why.
        error: NetworkError,
    },
    /// Its time is over, or it was stopped; the last event.
    Finished,
}

/// What a [`TargetService`](super::TargetService) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetServiceEvent {
    /// Somebody searches for it, and is answered.
    Asked {
        /// Who.
        source: SocketAddr,
        /// In which version.
        version: Version,
    },
    /// It is announced.
    Announced {
        /// To which group.
        group: SocketAddr,
        /// On which interface.
        interface: InterfaceId,
    },
    /// Nothing is announced in one place, since the service knows no address of this host there, which its
    /// [`Location::Here`](super::Location::Here) needs: an interface is new, or was recreated under another index.
    /// [`TargetService::set_addresses`](super::TargetService::set_addresses) has it announced at once.
    NoAddress {
        /// To which group.
        group: SocketAddr,
        /// On which interface.
        interface: InterfaceId,
    },
    /// Something came that was not understood.
    Malformed {
        /// Who sent it.
        source: SocketAddr,
        /// What is wrong with it.
        error: Malformed,
    },
    /// A group could not be joined, or there are too many on all interfaces together; nobody can search for it there.
    NotJoined {
        /// The group.
        group: Group,
        /// Why.
        error: NetworkError,
    },
    /// Something could not be sent to a group or a host; told once for each and kind of error.
    NotSent {
        /// The group or host.
        destination: SocketAddr,
        /// Why.
        error: NetworkError,
    },
}
