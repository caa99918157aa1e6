//! Network address translation (NAT): a router that hides a host behind its own address.

use std::net::Ipv4Addr;

use super::{Host, Rule};

/// The table of the rules; there is one kind of NAT on a router at a time.
const TABLE: &str = "ip nat_of_lab";

/// How a router translates UDP, in the words of RFC 3489 §5; RFC 4787 §4 and §5 split each of them
/// into how it maps and how it filters.
///
/// All four stand on these facts of the Linux kernel, of which a test shows each:
///
/// * `masquerade` keeps the source port where it can. A flow is a source and a destination, so
///   the same port serves for any number of destinations: the mapping is independent of the
///   endpoint, as long as no two hosts inside use the same port.
/// * `masquerade fully-random` draws a port for each flow: the mapping depends on the endpoint.
/// * Connection tracking translates back exactly what comes from where the flow went to, address
///   and port: without more rules, the filter depends on address and port.
/// * A `dnat` rule lets others in. It must know what was sent before, which sets of nftables
///   remember.
/// * What comes unasked and is for nobody inside would be tracked as a flow to the router itself,
///   and would take the port from the host inside ever after. So it is dropped before it is
///   translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Who has sent one datagram out is reached through the mapping by anybody (RFC 4787:
    /// endpoint-independent mapping and filtering).
    FullCone,
    /// … by any port of an address that it has sent to (address-dependent filtering).
    RestrictedCone,
    /// … by the addresses and ports that it has sent to (address and port-dependent filtering).
    PortRestrictedCone,
    /// Each address and port that it sends to sees another mapping, and only it can answer (address
    /// and port-dependent mapping and filtering).
    Symmetric,
}

impl Host {
    /// Translates the addresses of what goes out by the interface `outside` to the router's own
    /// address there, IPv4 only, and gives a rule that counts what was not let in.
    ///
    /// `inside` is the host that the translation is for; others behind the router can send too, but
    /// only answers reach them, and a port is of use to one host at a time. What was sent is
    /// remembered for two minutes (RFC 4787 §4.3). It is for hosts that
    /// [`Lab::router`](super::Lab::router) has made.
    ///
    /// ```no_run
    /// use manycast_lab::netns::{Lab, Nat};
    ///
    /// let lab = Lab::new();
    /// let (home, internet) = (lab.switch("home"), lab.switch("internet"));
    /// let (router, host) = (lab.router("r"), lab.host("h"));
    /// router.connect(&home, "lan", &["192.168.1.1/24"]);
    /// router.connect(&internet, "wan", &["198.51.100.1/24"]);
    /// host.connect(&home, "eth0", &["192.168.1.2/24"]);
    /// host.add_route("default via 192.168.1.1");
    /// router.nat(Nat::Symmetric, "wan", [192, 168, 1, 2].into());
    /// ```
    #[track_caller]
    pub fn nat(&self, kind: Nat, outside: &str, inside: Ipv4Addr) -> Rule {
        let masquerade = match kind {
            Nat::Symmetric => "masquerade fully-random",
            _ => "masquerade",
        };
        // What is for the host inside of what is new from outside.
        let admit = match kind {
            Nat::FullCone => "udp dport @mapped accept",
            Nat::RestrictedCone => "udp dport . ip saddr @contacted accept",
            Nat::PortRestrictedCone | Nat::Symmetric => "",
        };
        self.nft(&format!(
            "table {TABLE} {{
                set mapped {{
                    type inet_service; size 65535; flags dynamic,timeout; timeout 2m
                }}
                set contacted {{
                    type inet_service . ipv4_addr; size 65535; flags dynamic,timeout; timeout 2m
                }}
                chain remember {{
                    type filter hook forward priority filter
                    oifname {outside} ip saddr {inside} meta l4proto udp \\
                        update @mapped {{ udp sport }} \\
                        update @contacted {{ udp sport . ip daddr }}
                }}
                chain unasked {{
                    type filter hook prerouting priority -150
                    iifname != {outside} accept
                    meta l4proto != udp accept
                    ct state != new accept
                    {admit}
                    counter drop
                }}
                chain incoming {{
                    type nat hook prerouting priority dstnat
                    iifname {outside} meta l4proto udp dnat to {inside}
                }}
                chain outgoing {{
                    type nat hook postrouting priority srcnat
                    oifname {outside} {masquerade}
                }}
            }}"
        ));
        Rule::of_table(&self.namespace, TABLE)
    }
}
