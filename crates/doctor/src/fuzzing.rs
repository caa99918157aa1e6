//! The parsers that no public function hands bytes to, for the fuzzers (`--cfg fuzzing`). Each
//! function is one of them, and panics where it breaks a promise.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use manycast_net::netlink;

use crate::host::firewall::linux as firewall;
use crate::host::{open_sockets, packets, udp_table};

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
            assert!(rule.may_match(to, "eth0") || !rule.matches(to, "eth0"));
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

/// Reads the same from the table that is text.
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
