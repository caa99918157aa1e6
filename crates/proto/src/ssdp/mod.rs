//! SSDP: devices say what they are, and are asked for; the discovery of UPnP.
//!
//! ```text
//!   Device                                                  Client (control point)
//!     │ ── NOTIFY ssdp:alive, for each of its parts ─▶ group     │
//!     │                                                          │
//!     │                     group ◀── M-SEARCH, with MX and ST ──│
//!     │   (each waits for a random part of MX)                   │
//!     │ ── 200 OK, for each part that matches ──────────────────▶│
//!     │                                                          │
//!     │ ── NOTIFY ssdp:update, before its BOOTID rises ─▶ group  │
//!     │ ── NOTIFY ssdp:byebye ─▶ group                           │
//! ```
//!
//! The group is 239.255.255.250, or ff02::c and ff05::c, each on port 1900. A [`Client`] asks on every
//! interface that its driver has joined the group on, also on one that comes later, and listens to what
//! is said unasked. A [`Device`] announces itself in the same places.
//!
//! # What is done
//!
//! The sections are those of the UPnP Device Architecture (UDA) 2.0; 1.0 and 1.1 have the same ones.
//!
//! | section | | |
//! | --- | --- | --- |
//! | 1.1.2 | message format | done; what real devices send instead is read too, and counted: [`Deviation`] |
//! | 1.1.4 | search targets and USN | done; a newer version of a type answers for an older one |
//! | 1.2.2 | `ssdp:alive` | done; the set is sent three times, then at random between a quarter and a half of its age |
//! | 1.2.3 | `ssdp:byebye` | done, twice for each part |
//! | 1.2.4 | `ssdp:update` | done, from UDA 1.1 on: [`Device::set_addresses`] |
//! | 1.3.2 | `M-SEARCH`, multicast and unicast | done; TCPPORT.UPNP.ORG, by which a client asks for answers over TCP, is not |
//! | 1.3.3 | response | done; DATE where [`DeviceConfig::date`] tells the time. An MX over 5 counts as 5. Answers from the port that was asked |
//! | 1.3.3 | `SEARCHPORT.UPNP.ORG` | done; [`search_ports`] has some to try |
//! | 1.1.4 | `BOOTID`, `NEXTBOOTID`, `CONFIGID` | done from UDA 1.1 on |
//! | Annex A | IPv6: link-local and site-local groups | done; 01-NLS is read, and sent in the words of UDA 1.0: since then BOOTID stands for it |
//! | 1.2.2 | hop limit 2 (UDA 1.0: 4) | deviates: the socket's, which is 1, unless it is set |
//!
//! # Amplification
//!
//! A question names no address but its source, which may be forged. A [`Device`] answers
//! a host of its own networks alone, with one datagram of at most [`MAX_SENT`] bytes for each part that was asked for, of
//! which there are [`MAX_TARGETS`] at most, and not again while those wait to be sent; all together no more than
//! [`DeviceConfig::rate`] a second. A question of 90 bytes for everything brings about
//! 350 bytes for each part: 12 times as much from a device with one service, 128 times as much from one with the most
//! parts. A [`Client`] answers nothing at all.

mod client;
mod config;
mod date;
mod deviation;
mod device;
mod event;
mod headers;
mod message;
mod target;
#[cfg(test)]
mod tests;

pub use crate::local::{LocalAddress, Location};
pub use client::{Client, ClientStats};
pub use config::{
    Agent, ClientConfig, DeviceConfig, Unit, Unsuitable, Version, groups, search_ports,
};
pub use deviation::{Deviation, Deviations};
pub use device::{Device, DeviceStats};
pub use event::{Change, ClientEvent, DeviceEvent, Entry, Goodbye};
pub use message::{Advertisement, Kind, Message, Search, parse};
pub use target::{ALL, ROOT_DEVICE, matches, unversioned, uuid_of};

/// The port of the groups (UDA 2.0 §1.1).
pub const PORT: u16 = 1900;

/// How many bytes of a datagram are read; those of real devices have some 500. Longer ones are malformed.
pub const MAX_READ: usize = 8_192;

/// How long a datagram is that a device sends, at most: what goes through every IPv6 link in one piece (RFC 8200 §5),
/// less the headers of IP and UDP.
pub const MAX_SENT: usize = 1_232;

/// Of how many parts a device consists at most that can be searched for.
pub const MAX_TARGETS: usize = 32;
