//! UDP and UDP multicast that works the first time, and says why when it does not.
//!
//! ```
//! let mut listener = manycast::listen("239.192.0.100%lo:5000")?;
//! let sent = manycast::send("239.192.0.100%lo:5000", "Hello, world!")?;
//! println!("{sent}");
//!
//! let received = listener.recv()?;
//! assert_eq!(received.payload, b"Hello, world!");
//! # Ok::<(), manycast::Error>(())
//! ```
//!
//! # What is where
//!
//! | to | use |
//! | --- | --- |
//! | receive from groups, or from anybody | [`listen`], [`Listener`] |
//! | send to a group or a host | [`send`], [`Sender`] |
//! | do both, with one peer or with many | [`Socket`] |
//! | ask a group or a host, and gather the answers | [`ask()`] |
//! | measure what a network does to a stream | [`proto::measure`], [`send_stream`], [`Driver`] |
//! | write a protocol, and run it | [`Protocol`], [`Driver`] |
//! | find out why nothing arrives | [`doctor`] |
//! | see the interfaces as multicast sees them | [`interfaces()`], [`joined_groups`] |
//! | do all this on a runtime | the module `tokio`, with the feature of this name |
//!
//! # How multicast behaves here
//!
//! 1. Listening joins on every interface that is up and can multicast, and on loopback, unless an
//!    interface is named.
//! 2. A listener receives what it asked for and nothing else: group, port, interface and source.
//! 3. Memberships heal: an interface that comes back, or is recreated under its name, is joined
//!    again.
//! 4. Sending never needs a route.
//! 5. The hop limit is 1 and loopback is on, unless they are set.
//! 6. A datagram comes with source, destination, interface, hop limit, the kernel's receive time,
//!    its congestion mark, whether it was truncated, and the count of those that were dropped.
//! 7. Listeners on a group share its port; unicast sockets do not, unless asked.
//! 8. The receive buffer is asked for generously, and its real size can be read.
//! 9. Sources can be chosen (SSM) or blocked, for IPv4 and IPv6.
//! 10. The system is never changed: no sysctl, route or firewall rule is written.

use std::net::SocketAddr;

mod ask;
#[cfg(target_os = "linux")]
pub mod doctor;
mod drive;
mod endpoint;
mod error;
mod into;
mod listener;
mod measure;
mod pace;
mod resolve;
mod sender;
mod socket;
#[cfg(feature = "tokio")]
pub mod tokio;
mod way;

pub use ask::{AskConfig, ask, asker};
pub use drive::Driver;
pub use endpoint::{Endpoint, Membership};
pub use error::Error;
pub use into::{IntoAddress, IntoGroup};
pub use listener::{Event, Listener};
pub use manycast_net::{
    BufferSize, ErrorKind, Interface, InterfaceAddress, JoinedGroup, JoinedSource, MacAddress,
    Route, SocketConfig, Stopper, Unreachable, find_interface, interfaces, joined_groups, route_to,
};
pub use manycast_proto as proto;
pub use manycast_proto::ask::Answer;
pub use manycast_proto::{Output, Protocol};
pub use manycast_types::{
    Address, AddressError, Datagram, Ecn, Group, Host, InterfaceId, InterfaceSelector, MAX_PAYLOAD,
    Malformed, Received, Run, SourceFilter, Transmit,
};
pub use measure::send_stream;
pub use pace::wait_until;
pub use sender::{Sender, SenderConfig, Sent};
pub use socket::Socket;

/// Sends one datagram to a group or a host, and says on which way it left.
///
/// `payload` is anything that is bytes: a `&str` goes as UTF-8. To send more than one, keep a
/// [`Sender`].
///
/// ```
/// let sent = manycast::send("239.192.0.100%lo:5000", "Hello, world!")?;
/// assert_eq!(sent.to_string(), format!("13 bytes to 239.192.0.100:5000 from {} by lo, hop limit 1", sent.from));
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Sender::open`] and [`Sender::send`].
pub fn send(address: impl IntoAddress, payload: impl AsRef<[u8]>) -> Result<Sent, Error> {
    Sender::new(address)?.send(payload)
}

/// Listens on a group, on every interface unless one is named; or on a local address.
///
/// ```
/// let listener = manycast::listen("239.192.0.100:5000")?;
/// for membership in listener.memberships() {
///     println!("joined {} on {}", membership.group, membership.interface);
/// }
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Listener::open`].
pub fn listen(address: impl IntoAddress) -> Result<Listener, Error> {
    Listener::open(&[address.into_address()?], SocketConfig::default())
}

/// The addresses of a host, in numbers: one for a number, all that are known for a name, those of
/// IPv4 first. It blocks while a name is looked up.
///
/// ```
/// let found = manycast::resolve("192.0.2.7:5005")?;
/// assert_eq!(found, ["192.0.2.7:5005".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The text is no address, the name is not known, or the interface is not there.
pub fn resolve(address: impl IntoAddress) -> Result<Vec<SocketAddr>, Error> {
    resolve::socket_addrs(&address.into_address()?)
}
