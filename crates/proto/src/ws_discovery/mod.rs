//! WS-Discovery: printers, cameras, scanners and Windows hosts say what they are, and are asked for.
//!
//! ```text
//!   TargetService                                           Client
//!     │ ── Hello ─▶ group                                        │
//!     │                                                          │
//!     │              group ◀── Probe, for types and scopes ───── │
//!     │   (each waits for a random part of half a second)        │
//!     │ ── ProbeMatches ────────────────────────────────────────▶│
//!     │                                                          │
//!     │              group ◀── Resolve, for one endpoint ─────── │
//!     │ ── ResolveMatches, with its addresses ──────────────────▶│
//!     │                                                          │
//!     │ ── Bye ─▶ group                                          │
//! ```
//!
//! The group is 239.255.255.250, or ff02::c, each on port 3702. Each message is SOAP in a datagram of its own
//! ([`soap_udp`](crate::soap_udp)), and is sent several times. A [`Client`] asks on every interface that its driver has
//! joined the group on, also on one that comes later, and listens to what is said unasked. A [`TargetService`]
//! announces itself in the same places.
//!
//! There are two versions, of which hosts mostly know one: that of [2005/04](Version::V2005_04), which Windows, printers
//! and ONVIF cameras speak, and [1.1](Version::V1_1) of OASIS. A client asks in both, and a service answers in the one
//! that it was asked in.
//!
//! # What is done
//!
//! The sections are those of WS-Discovery 1.1 (OASIS, 2009); 2005/04 has the same messages.
//!
//! | section | | |
//! | --- | --- | --- |
//! | 2.2 | ad hoc mode | done |
//! | 2.2 | a proxy that suppresses multicast | it is asked too ([`ClientEvent::Proxy`]), and the group all the same; see below |
//! | 2.2 | managed mode, where the proxy is configured | done by [`ClientConfig::hosts`] |
//! | 3.1 | assigned addresses and ports; `APP_MAX_DELAY` | done; 500 ms |
//! | 3.1 | hop limit 1 | the socket's, which is 1 |
//! | 4.1, 4.2 | Hello, Bye | done; a Bye is sent without waits, since nothing follows on it |
//! | 5.1 | matching of types and scopes | done: [`Rule`]; one that is unknown matches nothing |
//! | 5.2, 5.3 | Probe, Probe Matches | done |
//! | 5.2 | the fault for a rule that is unknown | not sent |
//! | 6.2, 6.3 | Resolve, Resolve Matches | done |
//! | 7 | application sequencing | done: what is older than what was heard of a service is left out |
//! | 8.1 | compact signatures | not done, and not read |
//! | 5.2 | ReplyTo | the source of the datagram alone is answered, whatever it says |
//!
//! # Amplification
//!
//! A question names no address but its source, which may be forged. A [`TargetService`] answers a host of its own networks
//! alone, with one message of at most [`MAX_SENT`] bytes, sent twice unless
//! [`TargetServiceConfig::unicast_repeat`] says otherwise; and all together no more than
//! [`TargetServiceConfig::rate`] a second. The shortest Probe that is understood has 264 bytes, and brings about 2
//! times 1,000 bytes usually, which is 7 times as much, and 2,904 at most: 11 times. A question that came before is
//! not answered again.
//!
//! A [`Client`] answers nothing at all. Of what others say, a proxy's Hello makes it ask the source of that what it asks
//! the group, once at once and then in each round that is left; and one that tells no address makes it ask the group for
//! that up to three times, for all together 200 times a second at most. Where a service does not answer any more, the group
//! is asked all questions again, once in a [`ClientConfig::interval`] at most.
//!
//! # Discovery proxies
//!
//! The standard has a client ask a proxy that says Hello *in place of* the group. Nothing proves that somebody is a proxy:
//! one datagram would then hide all services that say nothing unasked. So a [`Client`] asks a proxy *beside* the group, and
//! the group as often as without one. Whoever lies adds entries of its own, within [`ClientConfig::per_source`], and hides
//! nobody. There is one proxy for each group on each interface; one that does not answer within 5 s or says goodbye is
//! asked no more, and after three of those nobody is believed there any more. Where a proxy is to be asked alone, which
//! is the managed mode, name it in [`ClientConfig::hosts`], and leave [`ClientConfig::groups`] empty.

mod account;
mod asked;
mod client;
mod config;
mod deviation;
mod event;
mod matching;
mod message;
mod target_service;
#[cfg(test)]
mod tests;

pub use crate::local::{LocalAddress, Location};
pub use crate::soap_udp::Name;
pub use client::{Client, ClientStats};
pub use config::{ClientConfig, TargetServiceConfig, Unsuitable, Version, groups};
pub use deviation::{Deviation, Deviations};
pub use event::{Change, ClientEvent, Entry, Goodbye, TargetServiceEvent};
pub use matching::Rule;
pub use message::{Body, Message, Probe, Sequence, Service, TYPE_PREFIXES, parse};
pub use target_service::{TargetService, TargetServiceStats};

/// The port of the groups (WS-Discovery 1.1 §3.1).
pub const PORT: u16 = 3702;

/// How long a datagram is that is sent, at most: what goes through Ethernet in one piece, less the headers of IPv6 and UDP.
pub const MAX_SENT: usize = 1_452;

/// The namespace of the profile for devices, DPWS 1.0.
const DEVICES: &str = "http://schemas.xmlsoap.org/ws/2006/02/devprof";

/// The type of what follows the profile for devices (DPWS 1.0), which Windows, printers and scanners are.
///
/// Some, such as `wsdd`, answer to those alone who ask for it.
pub fn device_type() -> Name {
    Name::new(DEVICES, "Device")
}

/// The type of a discovery proxy of a version.
fn proxy_type(version: Version) -> Name {
    Name::new(version.namespace(), "DiscoveryProxy")
}
