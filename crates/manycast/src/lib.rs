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
//! | measure what a network does to a stream | `proto::measure`, with the feature `measure`; [`Driver`] |
//! | find the devices on a link, and announce one (SSDP) | `proto::ssdp`, with the feature `ssdp`; [`Driver`] |
//! | the same for printers, cameras and Windows hosts (WS-Discovery) | `proto::ws_discovery`, with the feature `ws-discovery`; [`Driver`] |
//! | list what is on the link by all protocols, and announce services | the module `discovery`, with the feature of this name |
//! | get and put files, and serve them | the module `transfer`, with the feature of this name |
//! | write a protocol, and run it | [`Protocol`], [`Driver`] |
//! | find out why nothing arrives | the module `doctor`, with the feature of this name |
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

pub use manycast_io::*;
pub use manycast_proto as proto;

#[cfg(feature = "discovery")]
#[doc(inline)]
pub use manycast_discovery as discovery;

#[cfg(feature = "doctor")]
#[doc(inline)]
pub use manycast_doctor as doctor;

#[cfg(feature = "transfer")]
#[doc(inline)]
pub use manycast_transfer as transfer;
