//! The vocabulary of `manycast`: data only, no I/O.
//!
//! * [`Address`]: one way to say where, as text and as a value.
//! * [`Group`], [`SourceFilter`]: what a listener is a member of.
//! * [`InterfaceSelector`], [`InterfaceId`]: which interface is meant, and which it was.
//! * [`Received`], [`Datagram`]: a datagram that came, borrowed and owned; [`Run`]: several that
//!   came as one.
//! * [`Transmit`]: a datagram that is to go.
//! * [`SocketId`], [`Membership`], [`NetworkError`]: what is known of sockets and groups.
//! * [`Malformed`]: the one error of everything that parses.

mod address;
mod datagram;
mod dscp;
mod group;
mod interface;
mod malformed;
mod network;
mod zone;

pub use address::{Address, AddressError, Host};
pub use datagram::{Datagram, Ecn, MAX_PAYLOAD, Received, Run, Transmit};
pub use dscp::Dscp;
pub use group::{Group, SourceFilter};
pub use interface::{InterfaceId, InterfaceSelector};
pub use malformed::Malformed;
pub use network::{ErrorKind, Membership, NetworkError, SocketId, Unreachable};
pub use zone::{needs_zone, with_zone};
