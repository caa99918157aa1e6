use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::FirewallRule;
use super::linux::{chain, rule};
use manycast_net::netlink::Request;

/// The header of a message about the family `inet`.
const INET: [u8; 4] = [1, 0, 0, 0];

/// Attributes, one in another: kinds and values.
fn nested(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        let length = u16::try_from(value.len() + 4).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn be(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn expression(name: &str, data: &[(u16, &[u8])]) -> Vec<u8> {
    let name = [name.as_bytes(), b"\0"].concat();
    nested(&[(1, &name), (2, &nested(data))])
}

/// A comparison of register 1 with a value: 0 for equal, 1 for any other.
fn compare(operation: u32, value: &[u8]) -> Vec<u8> {
    let value = nested(&[(1, value)]);
    expression("cmp", &[(1, &be(1)), (2, &be(operation)), (3, &value)])
}

fn counter(packets: u64) -> Vec<u8> {
    expression("counter", &[(1, &[0; 8]), (2, &packets.to_be_bytes())])
}

fn verdict(code: u32) -> Vec<u8> {
    let verdict = nested(&[(2, &nested(&[(1, &be(code))]))]);
    expression("immediate", &[(1, &be(0)), (2, &verdict)])
}

/// `udp dport`, loaded.
fn port() -> Vec<u8> {
    expression(
        "payload",
        &[(1, &be(1)), (2, &be(2)), (3, &be(2)), (4, &be(2))],
    )
}

fn read(expressions: &[Vec<u8>]) -> Option<FirewallRule> {
    let elements: Vec<_> = expressions.iter().map(|one| (1, &one[..])).collect();
    let request = Request::new(0x0a06, &INET)
        .with(1, b"filter\0")
        .with(2, b"input\0")
        .with(3, &7u64.to_be_bytes())
        .with(4, &nested(&elements));
    let hook = nested(&[(1, &be(1)), (2, &be(0))]);
    let base = Request::new(0x0a03, &INET)
        .with(1, b"filter\0")
        .with(3, b"input\0")
        .with(4, &hook);
    let (key, base, policy) = chain(base.message()).unwrap();
    assert_eq!(policy, None);
    rule(request.message(), &BTreeMap::from([(key, base)]))
}

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_rule_that_drops_is_read_with_place_counter_and_condition() {
    let found = read(&[port(), compare(0, &[0x13, 0x88]), counter(42), verdict(0)]).unwrap();
    assert_eq!(found.to_string(), "rule 7 of inet filter input (drop)");
    assert_eq!((found.hook, found.packets), (Some("input"), Some(42)));
    assert!(found.is_inward() && !found.rejects);
    assert!(found.may_match(None, to("239.1.1.1:5000"), "eth0"));
    assert!(!found.may_match(None, to("239.1.1.1:5001"), "eth0"));
    assert!(found.matches(None, to("239.1.1.1:5000"), "eth0") && !found.matches_all());
    assert!(read(&[verdict(0)]).unwrap().matches_all());
}

#[test]
fn what_is_counted_before_a_condition_is_not_what_was_struck() {
    let found = read(&[counter(42), port(), compare(0, &[0, 9]), verdict(0)]).unwrap();
    assert_eq!(found.packets, None);
}

#[test]
fn what_a_map_or_a_program_says_may_be_a_drop() {
    let map = |register| expression("lookup", &[(1, b"m\0"), (2, &be(1)), (3, &be(register))]);
    for found in [
        read(&[port(), counter(42), map(0)]).unwrap(),
        read(&[expression("queue", &[])]).unwrap(),
        // What a program was given was counted, whatever it has made of it.
        read(&[port(), counter(42), expression("queue", &[])]).unwrap(),
    ] {
        assert!(found.may_drop && found.packets.is_none());
        assert!(found.may_match(None, to("239.1.1.1:5000"), "eth0"));
    }
    assert!(
        !read(&[port(), map(0)])
            .unwrap()
            .matches(None, to("239.1.1.1:5000"), "eth0")
    );
    // A map of data, and a set.
    assert_eq!(read(&[port(), map(8)]), None);
}

#[test]
fn a_rule_that_lets_pass_is_none_that_drops() {
    assert_eq!(read(&[counter(42), verdict(1)]), None);
    assert_eq!(read(&[counter(42)]), None);
    assert!(
        read(&[counter(42), expression("reject", &[])])
            .unwrap()
            .rejects
    );
    let reject = expression("target", &[(1, b"REJECT\0")]);
    assert!(read(&[reject]).unwrap().rejects);
}

#[test]
fn addresses_and_interfaces_are_compared() {
    let address = |offset, length| {
        expression(
            "payload",
            &[(1, &be(1)), (2, &be(1)), (3, &be(offset)), (4, &be(length))],
        )
    };
    let other = read(&[address(16, 4), compare(1, &[239, 1, 1, 1]), verdict(0)]).unwrap();
    assert!(!other.may_match(None, to("239.1.1.1:5000"), "eth0"));
    assert!(other.may_match(None, to("239.1.1.2:5000"), "eth0"));
    // A prefix of whole octets.
    let network = read(&[address(16, 1), compare(0, &[239]), verdict(0)]).unwrap();
    assert!(network.may_match(None, to("239.1.1.1:5000"), "eth0"));
    assert!(!network.may_match(None, to("224.1.1.1:5000"), "eth0"));
    let source = read(&[address(12, 4), compare(0, &[10, 0, 0, 1]), verdict(0)]).unwrap();
    for (from, may, does) in [
        (None, true, false),
        (Some([10, 0, 0, 1].into()), true, true),
        (Some([10, 0, 0, 2].into()), false, false),
    ] {
        let to = to("239.1.1.1:5000");
        assert_eq!(source.may_match(from, to, "eth0"), may, "{from:?}");
        assert_eq!(source.matches(from, to, "eth0"), does, "{from:?}");
    }

    let name = expression("meta", &[(1, &be(1)), (2, &be(6))]);
    let mut value = b"eth1".to_vec();
    for (length, eth10) in [(16, false), (4, true)] {
        value.resize(length, 0);
        let found = read(&[name.clone(), compare(0, &value), verdict(0)]).unwrap();
        assert!(found.may_match(None, to("239.1.1.1:5000"), "eth1"));
        assert!(!found.may_match(None, to("239.1.1.1:5000"), "eth0"));
        assert_eq!(found.may_match(None, to("239.1.1.1:5000"), "eth10"), eth10);
    }
}

#[test]
fn a_mask_that_is_not_understood_excludes_nothing() {
    let mask = expression("bitwise", &[(1, &be(1)), (2, &be(1))]);
    let found = read(&[port(), mask, compare(0, &[0, 9]), verdict(0)]).unwrap();
    assert!(found.may_match(None, to("239.1.1.1:5000"), "eth0"));
    assert!(!found.matches(None, to("239.1.1.1:5000"), "eth0"));
    let state = read(&[expression("ct", &[]), verdict(0)]).unwrap();
    assert!(!state.matches_all() && state.may_match(None, to("239.1.1.1:5000"), "eth0"));
}

#[test]
fn a_policy_that_drops_is_a_rule_without_a_number() {
    let hook = nested(&[(1, &be(0)), (2, &be(0))]);
    let drops = Request::new(0x0a03, &INET)
        .with(1, b"filter\0")
        .with(3, b"early\0")
        .with(4, &hook)
        .with(5, &be(0));
    let (_, _, policy) = chain(drops.message()).unwrap();
    let policy = policy.unwrap();
    assert_eq!(policy.to_string(), "the policy of inet filter early (drop)");
    assert_eq!((policy.hook, policy.packets), (Some("prerouting"), None));
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_read_without_a_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
        let request = Request::new(0x0a06, &INET).with(4, &bytes);
        if let Some(found) = rule(request.message(), &BTreeMap::new()) {
            found.may_match(None, to("[ff15::1]:5000"), "eth0");
        }
        chain(Request::new(0x0a03, &bytes).message());
    }
}
