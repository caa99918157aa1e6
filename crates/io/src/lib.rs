//! Listeners, senders, sockets and drivers: where sockets and protocols meet.
//!
//! Users have all of this by the crate `manycast`, whose names the examples use.

use std::net::SocketAddr;

mod ask;
mod driver;
mod egress;
mod endpoint;
mod error;
mod into;
mod listener;
mod pace;
mod resolve;
mod sender;
mod socket;
mod tentative;
#[cfg(feature = "tokio")]
pub mod tokio;

#[doc(hidden)]
pub use ask::asker_at_once;
pub use ask::{AskConfig, ask, asker};
pub use driver::{Commands, Driver, Next};
pub use egress::egress as egress_to;
pub use endpoint::Endpoint;
pub use error::Error;
pub use into::{IntoAddress, IntoGroup};
pub use listener::{Event, Listener};
pub use manycast_net::{
    BufferSize, Dropped, ErrorKind, Interface, InterfaceAddress, JoinedGroup, JoinedSource,
    MacAddress, Route, SocketConfig, Stopper, Unreachable, joined_groups, route_to,
    with_interface_name,
};
pub use manycast_proto as proto;
pub use manycast_proto::ask::Answer;
pub use manycast_proto::{NetworkEvent, Output, Protocol, Request};
pub use manycast_types::{
    Address, AddressError, Datagram, Dscp, Ecn, Group, Host, InterfaceId, InterfaceSelector,
    MAX_PAYLOAD, Malformed, Membership, NetworkError, Received, Run, SocketId, SourceFilter,
    Transmit,
};
pub use pace::wait_until;
pub use resolve::seed;
pub use sender::{Sender, SenderConfig, Sent};
pub use socket::{SendHalf, Socket};

/// What [`Error::Net`] holds.
pub mod net {
    pub use manycast_net::{Error, Operation, sysctl};
}

#[doc(hidden)]
pub use socket::transmit_to;
#[doc(hidden)]
pub use tentative::{patiently, wait_for_addresses};

/// Sends one datagram to a group or a host, and says how it left.
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
    Sender::once(address)?.send(payload)
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
    Listener::open([address], SocketConfig::default())
}

/// Lists the interfaces of this host, by index.
///
/// ```
/// for interface in manycast::interfaces()? {
///     println!("{} {} {:?}", interface.name, interface.kind, interface.addresses);
/// }
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// When the kernel cannot be asked, for want of open files or memory.
pub fn interfaces() -> Result<Vec<Interface>, Error> {
    let mut interfaces = manycast_net::interfaces()?;
    manycast_net::name_wireless(&mut interfaces);
    Ok(interfaces)
}

/// Finds the interface that is meant, by name, index or one of its addresses.
///
/// ```
/// let error = manycast::find_interface(&"eth77".parse()?).unwrap_err();
/// assert!(error.to_string().starts_with("cannot find interface eth77: there is no such interface"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// When there is none, or when several have the address: the error lists what there is.
pub fn find_interface(selector: &InterfaceSelector) -> Result<Interface, Error> {
    let mut found = manycast_net::find_interface(selector)?;
    manycast_net::name_wireless(std::slice::from_mut(&mut found));
    Ok(found)
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
