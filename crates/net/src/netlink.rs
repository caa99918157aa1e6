//! Questions to the kernel over netlink (`netlink(7)`), for what no function of this crate asks.
//!
//! A listing of the links, by `rtnetlink(7)`:
//!
//! ```
//! use manycast_net::netlink::{Connection, Request, attributes, text};
//!
//! const NETLINK_ROUTE: i32 = 0;
//! const RTM_GETLINK: u16 = 18;
//! const IFLA_IFNAME: u16 = 3;
//! /// The length of `struct ifinfomsg`, which stands before the attributes.
//! const HEADER: usize = 16;
//!
//! let mut connection = Connection::open(NETLINK_ROUTE)?;
//! let names = connection.list(&Request::new(RTM_GETLINK, &[0; HEADER]), |message| {
//!     let mut attributes = attributes(message.payload, HEADER);
//!     let (_, name) = attributes.find(|(kind, _)| *kind == IFLA_IFNAME)?;
//!     Some(text(name))
//! })?;
//! assert!(names.iter().any(|name| name == "lo"));
//! # Ok::<(), std::io::Error>(())
//! ```

pub use crate::sys::netlink::{
    Connection, Message, Request, address, attributes, messages, text, u16_at, u32_at,
};
