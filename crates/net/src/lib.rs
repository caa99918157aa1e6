//! Sockets that know no protocol: UDP and UDP multicast, correct on hosts with several interfaces.

mod batch;
mod config;
mod dropped;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod interfaces;
mod joined;
mod membership;
pub mod netlink;
mod offload;
mod packet;
mod poller;
mod routes;
mod socket;
mod sys;
mod sysctl;
mod watch;

pub use batch::{Position, RecvBatch};
pub use config::{BufferSize, SocketConfig};
pub use dropped::Dropped;
pub use error::{Error, Operation, errno};
pub use interfaces::{
    Interface, InterfaceAddress, MacAddress, find as find_interface, interfaces, name_wireless,
    with_interface_name,
};
pub use joined::{JoinedGroup, JoinedSource, JoinedTables, joined_groups};
pub use manycast_types::{ErrorKind, Unreachable};
pub use membership::source_filter;
pub use offload::{Offload, OffloadState};
pub use packet::{Packet, PacketSocket, PacketType};
pub use poller::{Alarm, Poller, Stopper, Token, Waker, coarse_time};
pub use routes::{Route, route_from, route_to};
pub use socket::Socket;
pub use sysctl::sysctl;
pub use watch::{Change, Watch};
