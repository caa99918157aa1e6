//! What the real kernel tells of a host.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::net::UdpSocket;

use manycast_doctor::firewall_rules;
use manycast_lab::netns::{self, Host, Lab};
use manycast_net::ErrorKind;

/// A host with `eth0` on a switch.
fn host_on_a_switch(lab: &Lab) -> Host {
    let switch = lab.switch("sw");
    let host = lab.host("a");
    host.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    host
}

fn the_rules_of_the_firewall_are_read_by_whoever_may() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    host.nft(
        "table ip filter {
             chain INPUT {
                 type filter hook input priority 0; policy drop
                 udp dport 5000 counter drop
                 udp dport 5001 jump far
                 accept
             }
             chain far {
                 counter reject
             }
         }
         table netdev early {
             chain eth0 {
                 type filter hook ingress device eth0 priority 0
                 ip saddr 10.9.9.0/24 udp dport { 1, 2 } log drop
             }
         }",
    );
    host.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for port in [5000, 5000, 5001, 5002] {
            socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
        }
    });
    let mut rules: Vec<_> = host
        .run(firewall_rules)
        .unwrap()
        .into_iter()
        .map(|rule| (rule.place(), rule.hook, rule.rejects, rule.packets))
        .collect();
    rules.sort();
    let place = str::to_owned;
    assert_eq!(
        rules,
        [
            (place("ip filter INPUT"), Some("input"), false, None),
            (place("ip filter INPUT"), Some("input"), false, Some(2)),
            (place("ip filter far"), None, true, Some(1)),
            (place("netdev early eth0"), Some("ingress"), false, None),
        ]
    );
    let error = host.run_unprivileged(firewall_rules).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

netns::tests!(the_rules_of_the_firewall_are_read_by_whoever_may);
