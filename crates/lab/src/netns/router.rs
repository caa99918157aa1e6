//! Multicast routing without a routing daemon.

use std::net::IpAddr;
use std::sync::PoisonError;

use super::{Host, Process};

/// The kernel routes multicast only as long as a program holds a certain raw socket open. Its
/// options are not to be had in safe Rust, and this program is shorter than a daemon's
/// configuration.
const PROGRAM: &str = include_str!("router.py");

impl Host {
    /// Forwards a group, from whichever source, from one interface to another, as a multicast
    /// router that has learned of a member there does.
    ///
    /// A datagram crosses with a hop limit of 2 or more. The router joins the group on the first
    /// interface, so that a snooping switch lets it through. It is for hosts that
    /// [`Lab::router`](super::Lab::router) has made, and it needs `python3`.
    ///
    /// ```no_run
    /// # let lab = manycast_lab::netns::Lab::new();
    /// let (left, right) = (lab.switch("left"), lab.switch("right"));
    /// let router = lab.router("r");
    /// router.connect(&left, "eth0", &["10.0.0.254/24"]);
    /// router.connect(&right, "eth1", &["10.0.1.254/24"]);
    /// router.forward_group("239.1.1.1".parse().unwrap(), "eth0", "eth1");
    /// ```
    #[track_caller]
    pub fn forward_group(&self, group: IpAddr, from: &str, to: &str) {
        self.forward_group_above(group, from, to, 1);
    }

    /// The same of datagrams that have more hops left than that, 254 at most; by IPv6 the kernel knows
    /// of 1 alone. What was said of the group before no longer holds.
    #[track_caller]
    pub fn forward_group_above(&self, group: IpAddr, from: &str, to: &str, threshold: u8) {
        let mut router = self
            .multicast_router
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let router = router.get_or_insert_with(|| {
            Process::start(self.command("python3").args(["-u", "-c", PROGRAM]))
        });
        router.write_line(&format!("{group} {from} {to} {threshold}"));
        router.wait_for_line("forwarding");
    }
}
