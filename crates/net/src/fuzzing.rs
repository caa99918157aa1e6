//! The parsers that no public function hands bytes to, for the fuzzers (`--cfg fuzzing`). Each
//! function is one of them, and panics where it breaks a promise.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::firewall::linux as firewall;
use crate::open_sockets;
use crate::sys::features;
use crate::sys::interfaces;
use crate::sys::netlink;
use crate::sys::routes;
use crate::sys::watch::Changes;
use crate::wiretap;

/// Reads what came over netlink as each answer and each notification that this crate knows.
pub fn netlink(datagram: &[u8]) {
    let mut changes = Changes::default();
    for message in netlink::messages(datagram) {
        assert!(message.payload.len() <= datagram.len());
        if let Some(link) = interfaces::link(message) {
            assert!(!link.name.is_empty());
        }
        let _ = interfaces::interface_address(message);
        let _ = interfaces::nl80211_family(message);
        let _ = interfaces::wireless_index(message);
        let _ = routes::route(message);
        changes.add(message);
    }
    let _ = changes.into_list();
}

/// Reads the control messages of a datagram, and of an entry of the error queue.
pub fn control(bytes: &[u8]) {
    let _ = features::decode(bytes);
    let mut data = 0;
    for message in features::control_messages(bytes) {
        data += message.data.len();
        let _ = features::unreachable::decode(&message);
    }
    assert!(data <= bytes.len());
}

/// Reads the chains and the rules of nftables, and asks each whether it strikes a datagram.
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
            // Whatever strikes surely may strike.
            assert!(rule.may_strike(to, "eth0") || !rule.strikes(to, "eth0"));
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

/// Reads a packet that was heard on the wire, by either version of IP.
pub fn packet(bytes: &[u8]) {
    for ipv4 in [true, false] {
        let _ = wiretap::overheard(bytes, ipv4);
    }
}
