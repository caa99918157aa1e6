//! A switch: a Linux bridge in a namespace of its own.

use std::net::IpAddr;
use std::sync::Arc;

use super::namespace::Namespace;
use super::wait::wait_until;
use super::{Host, Rule};

/// A switch of a [`Lab`](super::Lab), to which hosts are [connected](Host::connect).
///
/// It floods multicast to all ports, and it carries frames of any size that its hosts send.
#[derive(Debug)]
pub struct Switch {
    pub(super) namespace: Arc<Namespace>,
}

/// The `nft` chain of what the switch floods.
const STUB: &str = "type filter hook ingress device stub priority 0";

/// How a [`Switch`] snoops IGMP and MLD, that is, forwards a group to the ports only where it has
/// been joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snooping {
    /// Whether the switch asks for memberships itself. Without any querier, a Linux bridge floods,
    /// as if it did not snoop.
    pub querier: bool,
    /// The IGMP version of its queries: 2, which ends source-specific joins on its hosts, or 3.
    pub igmp_version: u8,
    /// The MLD version of its queries: 1, which ends source-specific joins on its hosts, or 2.
    pub mld_version: u8,
}

impl Default for Snooping {
    /// With a querier, IGMPv3 and MLDv2.
    fn default() -> Self {
        Self {
            querier: true,
            igmp_version: 3,
            mld_version: 2,
        }
    }
}

impl Switch {
    #[track_caller]
    pub(super) fn new(namespace: Namespace) -> Self {
        // A fixed hardware address keeps the bridge from taking another with each port, and a port
        // of its own, with a stub for a cable, gives it a carrier and so an IPv6 address before the
        // first host comes: it needs that to send MLD queries.
        namespace.ip("link add br0 address 02:00:00:00:00:00 type bridge \
                 mcast_snooping 0 forward_delay 0 stp_state 0
             link add port0 mtu 65535 type veth peer name stub
             link set stub up
             link set port0 master br0 up
             link set br0 up");
        Self {
            namespace: Arc::new(namespace),
        }
    }

    /// Makes the switch snoop; to be called before the first host is connected.
    ///
    /// The querier asks once a second and expects answers within 0.1 s, and a membership of which
    /// nothing more is received ends after three seconds.
    ///
    /// ```no_run
    /// use manycast_lab::netns::{Lab, Snooping};
    ///
    /// let lab = Lab::new();
    /// let switch = lab.switch("sw").snooping(Snooping { igmp_version: 2, ..Default::default() });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn snooping(self, snooping: Snooping) -> Self {
        let Snooping {
            querier,
            igmp_version,
            mld_version,
        } = snooping;
        self.namespace.ip(&format!(
            "link set br0 type bridge mcast_snooping 1 \
                 mcast_igmp_version {igmp_version} mcast_mld_version {mld_version} \
                 mcast_query_interval 100 mcast_startup_query_interval 100 \
                 mcast_startup_query_count 2 mcast_membership_interval 300 \
                 mcast_last_member_interval 10 mcast_query_response_interval 0"
        ));
        if querier {
            self.start_querier();
        }
        self.namespace
            .ip("link set br0 type bridge mcast_query_response_interval 10");
        self
    }

    /// Makes the switch a querier, and returns when it no longer floods.
    ///
    /// It floods for one response interval, which must be zero for that reason, and until it has
    /// sent a query of the family. It tells of neither.
    #[track_caller]
    fn start_querier(&self) {
        let queries = [
            "igmp type membership-query",
            "icmpv6 type mld-listener-query",
        ]
        .map(|query| Rule::add(&self.namespace, "netdev", STUB, &format!("{query} counter")));
        self.namespace
            .ip("link set br0 type bridge mcast_querier 1");
        for query in queries {
            wait_until("the first queries of the switch", || query.count() > 0);
            query.remove();
        }
    }

    /// Waits until the switch forwards `group` to the port where `device` of `host` is.
    #[track_caller]
    pub fn wait_for_member(&self, group: IpAddr, host: &Host, device: &str) {
        let port = host.port(device);
        let (port, group) = (format!(" port {port} "), format!(" grp {group} "));
        wait_until(
            &format!("a membership:{group}on the{port}of the switch"),
            || {
                let table = self
                    .namespace
                    .command("bridge")
                    .args(["mdb", "show"])
                    .output();
                let table =
                    table.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                table.is_ok_and(|table| {
                    table
                        .lines()
                        .any(|line| line.contains(&port) && line.contains(&group))
                })
            },
        );
    }
}
