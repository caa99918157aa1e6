//! What a client tells, and a device.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{Group, InterfaceId, Malformed, NetworkError};

use super::{Advertisement, Deviations};

/// What one address has said of one part of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What it said last.
    pub advertisement: Advertisement,
    /// Who said it: its host is the device's.
    pub source: SocketAddr,
    /// The interface that it came by.
    pub interface: InterfaceId,
    /// When it was said last.
    pub heard: Instant,
    /// How long it holds from then on.
    pub age: Duration,
}

/// What has changed of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The device has started anew, without a goodbye: its BOOTID is another, or its 01-NLS where it has none.
    Rebooted,
    /// The device says that its addresses are about to change, and its BOOTID with them.
    Updated,
    /// Its description is elsewhere: another address or port, mostly.
    Location,
    /// Its description is another one: its CONFIGID is.
    Configuration,
    /// Something else: its version, or where it can be asked.
    Other,
}

/// Why an entry is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Goodbye {
    /// The device said so.
    Said,
    /// It was not heard for as long as it had said that it would be there.
    Expired,
    /// The interface is gone by which it was heard.
    Interface,
}

/// What a [`Client`](super::Client) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A question was asked.
    Asked {
        /// What is searched for.
        target: String,
        /// The group or the host.
        destination: SocketAddr,
        /// By which interface; `None` where the route decides.
        interface: Option<InterfaceId>,
    },
    /// There is a part of a device that was not known.
    Found(Entry),
    /// What was known of a part has changed.
    Changed {
        /// As it is now.
        entry: Entry,
        /// What has.
        change: Change,
    },
    /// A part was heard of again, and nothing of it has changed but the time.
    Refreshed(Entry),
    /// A part is gone.
    Gone {
        /// As it was last known.
        entry: Entry,
        /// Why.
        why: Goodbye,
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

/// What a [`Device`](super::Device) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// Somebody searches for it, and is answered.
    Asked {
        /// Who.
        source: SocketAddr,
        /// For what.
        target: String,
        /// With how many answers.
        answers: usize,
    },
    /// A set of announcements begins.
    Announced {
        /// To which group.
        group: SocketAddr,
        /// On which interface.
        interface: InterfaceId,
    },
    /// Nothing is announced in one place, since the device knows no address of this host there, which its
    /// [`Location::Here`](super::Location::Here) needs: an interface is new, or was recreated under another index.
    /// [`Device::set_addresses`](super::Device::set_addresses) has it announced at once.
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
