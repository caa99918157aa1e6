//! Sockets that know no protocol: UDP and UDP multicast, correct on hosts with several interfaces.

mod batch;
mod config;
mod counters;
mod dropped;
mod error;
mod firewall;
mod foreign;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod interfaces;
mod joined;
mod membership;
mod offload;
mod open_sockets;
mod poller;
mod routes;
mod socket;
mod sys;
mod sysctl;
mod watch;
mod wiretap;

pub use batch::{Position, RecvBatch};
pub use config::{BufferSize, SocketConfig};
pub use counters::{CounterTables, Counters, InterfaceCounters};
pub use dropped::Dropped;
pub use error::{Error, Operation, errno};
pub use firewall::{FirewallRule, firewall_rules, legacy_firewall_tables};
pub use foreign::{ForeignSocket, SocketOwner, socket_owners};
pub use interfaces::{Interface, InterfaceAddress, MacAddress, find as find_interface, interfaces};
pub use joined::{JoinedGroup, JoinedSource, JoinedTables, joined_groups};
pub use manycast_types::{ErrorKind, Unreachable};
pub use offload::{Offload, OffloadState};
pub use open_sockets::{OpenSocket, open_sockets};
pub use poller::{Poller, Stopper, Token, Waker};
pub use routes::{Route, route_from, route_to};
pub use socket::Socket;
pub use sysctl::sysctl;
pub use watch::{Change, Watch};
pub use wiretap::{Overheard, Wiretap};
