//! The parsers that no public function hands bytes to, for the fuzzers (`--cfg fuzzing`). Each
//! function is one of them, and panics where it breaks a promise.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use manycast_net::netlink;

use crate::host::firewall::linux as firewall;
use crate::host::{conntrack, ipsec, links, multicast_routes, open_sockets, packets, udp_table};

/// Reads the chains and the rules of nftables, and asks each whether it matches a datagram.
pub fn nftables(datagram: &[u8]) {
    let chains: BTreeMap<_, _> = netlink::messages(datagram)
        .filter_map(firewall::chain)
        .map(|(key, base, _)| (key, base))
        .collect();
    let policies = netlink::messages(datagram).filter_map(|message| firewall::chain(message)?.2);
    let rules = netlink::messages(datagram).filter_map(|message| firewall::rule(message, &chains));
    let to: [SocketAddr; 2] = [
        ([239, 1, 1, 1], 5000).into(),
        ([0xff15, 0, 0, 0, 0, 0, 0, 7], 5000).into(),
    ];
    for rule in policies.chain(rules) {
        for to in to {
            // Whatever matches surely may match.
            for from in [None, Some([10, 0, 0, 1].into())] {
                assert!(rule.may_match(from, to, "eth0") || !rule.matches(from, to, "eth0"));
            }
        }
        let _ = rule.to_string();
    }
}

/// Reads the sockets of other programs.
pub fn sock_diag(datagram: &[u8]) {
    for message in netlink::messages(datagram) {
        if let Some(socket) = open_sockets::socket(message) {
            assert_ne!(socket.device, Some(0));
        }
    }
}

/// Reads links with their filters, connections that are translated, and the policies of IPsec.
pub fn on_the_way(datagram: &[u8]) {
    for message in netlink::messages(datagram) {
        if let Some(link) = links::link(message.payload) {
            assert!(!link.name.is_empty());
        }
        let _ = links::ingress_drops(message.payload);
        if let Some(found) = conntrack::translation(message.payload) {
            assert_ne!(found.from, found.to);
        }
        if let Some(policy) = ipsec::policy(message) {
            let _ = policy.may_match(([239, 1, 1, 1], 5000).into());
            let _ = policy.to_string();
        }
    }
}

/// Reads the routes of a router from both of their tables, which a form feed parts, and what the tracking of
/// connections dropped.
pub fn routed_and_tracked(tables: &str) {
    let (interfaces, cache) = tables.split_once('\x0c').unwrap_or((tables, tables));
    for ipv4 in [true, false] {
        for route in multicast_routes::routes(interfaces, cache, ipv4) {
            assert_eq!(route.group.is_ipv4(), ipv4);
        }
    }
    let _ = conntrack::drops_in(tables);
}

/// Reads the sockets from the table that is text.
pub fn udp_table(table: &str) {
    for socket in udp_table::sockets(table) {
        assert_ne!(socket.peer.map(|peer| peer.port()), Some(0));
    }
}

/// Reads a packet that was captured on the wire, by either version of IP.
pub fn packet(bytes: &[u8]) {
    for ipv4 in [true, false] {
        let _ = packets::parse(bytes, ipv4);
    }
}
