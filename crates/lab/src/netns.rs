//! Networks of the real kernel, made of namespaces, for tests that need no root.
//!
//! A [`Lab`] holds hosts, switches and routers. Each of them is a network namespace; a switch is a
//! bridge in a namespace of its own, and what joins them are veth pairs. Nothing of it touches the
//! machine's own network, and all of it vanishes when it is dropped.
//!
//! ```text
//!   host a            switch                host b
//! ┌────────┐      ┌────────────┐         ┌────────┐
//! │   eth0 ├──────┤ a.eth0     │         │        │
//! └────────┘      │    br0     │         │        │
//!                 │     b.eth0 ├─────────┤ eth0   │
//!                 └────────────┘         └────────┘
//! ```
//!
//! A test binary that uses it sets `harness = false` in `Cargo.toml`, and lists its tests:
//!
//! ```no_run
//! use std::net::UdpSocket;
//!
//! use manycast_lab::netns::{self, Lab};
//!
//! fn a_datagram_crosses_the_switch() {
//!     let lab = Lab::new();
//!     let switch = lab.switch("sw");
//!     let (a, b) = (lab.host("a"), lab.host("b"));
//!     a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
//!     b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
//!
//!     let receiver = b.run(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
//!     a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"hi", "10.0.0.2:5000").unwrap());
//!     let mut buffer = [0; 16];
//!     assert_eq!(receiver.recv(&mut buffer).unwrap(), 2);
//! }
//!
//! netns::tests!(a_datagram_crosses_the_switch);
//! ```
//!
//! What a network does to datagrams is made on it: [losses and duplicates](Host::lose) by the
//! firewall, [rates](Host::limit_rate) by a token bucket, [NATs](Host::nat) of four kinds on a
//! router, delay, jitter and reordering by a [wire](Host::connect_over) in user space, where the
//! test may open `/dev/net/tun`.
//!
//! A socket stays in the namespace where it was made, so it may be used outside of
//! [`Host::run`]. What is looked up anew, such as an interface's name, is not: do that inside.
//!
//! A host has **no default route and no IPv4 multicast route** unless [`Host::add_route`] gives it
//! one. For IPv6 the kernel itself adds `ff00::/8` for each interface. Reverse-path filters and
//! duplicate address detection are off, whatever the machine's own setting is.
//!
//! Whatever fails here panics, with the command line and what it printed: a test has no better use
//! for an error.

mod command;
mod device;
mod enter;
mod fault;
mod host;
mod namespace;
mod nat;
mod process;
pub mod python;
mod router;
mod switch;
mod wait;
mod wire;

use std::sync::atomic::{AtomicU32, Ordering};

pub use self::enter::{cases, main, require, skip, unshare};
pub use self::fault::{Hook, Pick, RateLimit, Rule};
pub use self::host::{Host, Task};
pub use self::nat::Nat;
pub use self::process::{Finished, Process};
pub use self::switch::{Snooping, Switch};
pub use self::wait::{patience, wait_until};
pub use self::wire::{Wire, WireCounters};
pub use crate::netns_tests as tests;

use self::namespace::Namespace;

/// A network under test: makes hosts, switches and routers whose names are its own.
///
/// Tests that run side by side have a lab each, so equal names in two of them do not clash.
#[derive(Debug)]
pub struct Lab {
    number: u32,
    hosts: AtomicU32,
}

impl Lab {
    /// An empty network.
    #[expect(
        clippy::new_without_default,
        reason = "a lab has effects, and a default should not"
    )]
    pub fn new() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(1);
        Self {
            number: LABS.fetch_add(1, Ordering::Relaxed),
            hosts: AtomicU32::new(1),
        }
    }

    /// A host with a loopback interface and nothing else; see [`Host::connect`].
    #[track_caller]
    pub fn host(&self, name: &str) -> Host {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed);
        Host::new(name, number, self.namespace(name))
    }

    /// A host that forwards unicast between its interfaces, and multicast as
    /// [`Host::forward_group`] says.
    #[track_caller]
    pub fn router(&self, name: &str) -> Host {
        let router = self.host(name);
        router.sysctl("net.ipv4.ip_forward", "1");
        router.sysctl("net.ipv6.conf.all.forwarding", "1");
        router
    }

    /// A switch that floods multicast to all of its ports, until [`Switch::snooping`] changes it.
    #[track_caller]
    pub fn switch(&self, name: &str) -> Switch {
        Switch::new(self.namespace(name))
    }

    #[track_caller]
    fn namespace(&self, name: &str) -> Namespace {
        Namespace::new(format!("{name}-{}", self.number))
    }
}
