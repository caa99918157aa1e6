//! What is on the link, in one list: services and devices that are found by DNS-SD, SSDP and
//! WS-Discovery.
//!
//! [`discover`] looks for some seconds and gives the devices that are there; [`browse`] tells of each service as it
//! comes, changes and goes; [`announce`] says that a service of this host is there.
//!
//! ```
//! use std::time::Duration;
//!
//! use manycast::discovery::{BrowseConfig, discover};
//!
//! let mut config = BrowseConfig::default();
//! config.what = "printer".parse()?;
//! config.duration = Some(Duration::from_millis(500));
//! # config.interfaces = vec!["lo".parse()?];
//! for device in discover(config)? {
//!     println!("{}: {} services", device.name, device.services.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All of it works as an ordinary user, for IPv4 and IPv6, on every interface that is up and can multicast or on those
//! that are named. With the feature `tokio` the module `tokio` has the same on a runtime.
//!
//! Whoever is on the link can say anything: that it is another device, that another one is elsewhere. Nothing of what
//! is found is proved; what one address says neither ends nor hides what another does.
//!
//! DNS-SD is the work of the crate `mdns-sd`, which has a thread and sockets of its own; what it cannot do stands in
//! `docs/discover.md`. SSDP is [`manycast_proto::ssdp`], WS-Discovery is
//! [`manycast_proto::ws_discovery`].

mod announce;
mod announcement;
mod browse;
mod devices;
mod dns_sd;
mod error;
mod event;
mod optional;
mod order;
mod register;
mod service;
mod services;
mod ssdp;
#[cfg(feature = "tokio")]
pub mod tokio;
mod uuid;
mod what;
mod ws_discovery;

pub use announce::{AnnounceEvent, Announcer, announce};
pub use announcement::Announcement;
pub use browse::{BrowseConfig, BrowseStats, Browser, browse, discover};
pub use devices::{Device, devices};
pub use error::Error;
pub use event::{Change, Event, Reason};
pub use order::natural_order;
pub use service::{Attribute, DiscoveryProtocol, Service, ServiceAddress};
pub use what::What;

/// The code in the guides is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/write-your-own-discovery.md")]
mod guide {}
