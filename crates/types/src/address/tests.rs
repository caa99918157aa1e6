use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{Address, Host};
use crate::{Group, InterfaceSelector, SourceFilter};

fn parsed(text: &str) -> Address {
    text.parse().unwrap()
}

/// The error's text without the quoted input.
fn fault(text: &str) -> String {
    let error = text.parse::<Address>().unwrap_err();
    error.to_string().split_off(format!("{text:?}: ").len())
}

#[test]
fn every_form_of_the_plan_is_read_and_printed_back() {
    for text in [
        "239.192.0.100:1000",
        "239.192.0.100%eth0:1000",
        "239.192.0.100%3:1000",
        "239.192.0.100%10.0.0.5:1000",
        "10.0.0.5@232.1.1.1%eth0:5000",
        "10.0.0.5,10.0.0.6@232.1.1.1:5000",
        "[ff15::1%eth0]:5000",
        "fe80::5@[ff35::1%eth0]:5000",
        "[ff15::1%fe80::1]:5000",
        "192.0.2.7:5005",
        "localhost:8888",
        ":8888",
        ":0",
        "%eth0:8888",
        "[::1]:80",
        "10.9.0.7@232.1.1.1%lan-kü:5000",
        "[ff15::1%lan-kü]:5000",
    ] {
        assert_eq!(parsed(text).to_string(), text);
    }
}

#[test]
fn an_ipv4_mapped_address_is_ipv4() {
    for (text, printed) in [
        ("[::ffff:10.9.0.2]:5000", "10.9.0.2:5000"),
        ("[::ffff:a09:2%eth0]:5000", "10.9.0.2%eth0:5000"),
        ("::ffff:10.0.0.5@232.1.1.1:5000", "10.0.0.5@232.1.1.1:5000"),
    ] {
        assert_eq!(parsed(text).to_string(), printed);
        assert_eq!(parsed(text), parsed(printed));
    }
    assert_eq!(
        fault("[::ffff:10.9.0.2%fe80::1]:5000"),
        "an IPv4 address needs an interface by name, index or IPv4 address (column 18)"
    );
}

#[test]
fn pasted_urls_are_read_and_never_written() {
    assert_eq!(
        parsed("udp://@239.1.1.1:5000").to_string(),
        "239.1.1.1:5000"
    );
    assert_eq!(parsed("udp://239.1.1.1:5000").to_string(), "239.1.1.1:5000");
    assert_eq!(
        parsed("udp://10.0.0.5@232.1.1.1:5000"),
        parsed("10.0.0.5@232.1.1.1:5000")
    );
    assert_eq!(parsed("udp://@[ff15::1]:5000"), parsed("[ff15::1]:5000"));
    assert_eq!(parsed("udp://@:5000"), parsed(":5000"));
    assert_eq!(
        fault("udp://@239.1.1.1:5000?pkt_size=1316"),
        "\"?pkt_size=1316\" is not part of an address; write udp://@239.1.1.1:5000 (column 22)"
    );
    assert_eq!(
        fault("http://239.1.1.1:80"),
        "http:// is not supported; write HOST:PORT or udp://@HOST:PORT (column 1)"
    );
}

#[test]
fn every_rejected_text_is_told_what_is_wrong_and_where() {
    for (text, expected) in [
        ("", "the address is empty; write HOST:PORT (column 1)"),
        (
            "239.1.1.1:99999",
            "port 99999 is not between 0 and 65535 (column 11)",
        ),
        ("239.1.1.1:-1", "port \"-1\" is not a number (column 11)"),
        (
            "239.1.1.1:http",
            "port \"http\" is not a number (column 11)",
        ),
        (
            "239.1.1.1:1%lo",
            "the interface stands before the port; write 239.1.1.1%lo:1 (column 12)",
        ),
        (
            "239.1.1.1:",
            "the port is missing; write 239.1.1.1:PORT, such as 239.1.1.1:5000 (column 11)",
        ),
        (
            "239.1.1.1",
            "the port is missing; write 239.1.1.1:PORT, such as 239.1.1.1:5000 (column 10)",
        ),
        (
            "[ff15::1]",
            "the port is missing; write [ff15::1]:PORT, such as [ff15::1]:5000 (column 10)",
        ),
        (
            "[ff15::1:5000",
            "the closing ] is missing; write [ff15::1]:5000 (column 9)",
        ),
        ("[ff15::1", "the closing ] is missing (column 9)"),
        (
            "ff15::1:5000",
            "an IPv6 address stands in brackets; write [ff15::1]:5000 (column 1)",
        ),
        (
            "[ff15::g]:5000",
            "\"ff15::g\" is not an IPv6 address (column 2)",
        ),
        (
            "[239.1.1.1]:5000",
            "brackets are for IPv6 alone; write 239.1.1.1:5000 (column 1)",
        ),
        ("239.1.1.256:1", "256 is not between 0 and 255 (column 9)"),
        (
            "239.1.1:1",
            "an IPv4 address has four parts, not 3 (column 1)",
        ),
        (
            "239.1.1.1.1:1",
            "an IPv4 address has four parts, not more (column 11)",
        ),
        (
            "239..1.1:1",
            "a part of the IPv4 address is missing (column 5)",
        ),
        (
            "239.1.01.1:1",
            "01 has a leading zero, which some read as octal (column 7)",
        ),
        (
            "239.1.1.1-239.1.1.5:1",
            "a range cannot be given; list the groups one by one (column 10)",
        ),
        ("239.1.1.1%:1", "the interface is empty (column 11)"),
        ("239.1.1.1%0:1", "interface indexes begin at 1 (column 11)"),
        (
            "239.1.1.1%a%b:1",
            "'%' cannot stand in the name of an interface (column 12)",
        ),
        ("ho$t:1", "\"$\" cannot stand in a host name (column 3)"),
        ("grüße:1", "\"ü\" cannot stand in a host name (column 3)"),
        ("a..b:1", "a part of the host name is missing (column 1)"),
        ("a\tb:1:2", "'\\t' cannot stand in an address (column 2)"),
        (
            "1.2.3.4@5.6.7.8:1",
            "sources stand before a multicast group only (column 1)",
        ),
        (
            "x@232.1.1.1:1",
            "source \"x\" is not an IP address (column 1)",
        ),
        (
            "1.2.3.4,@232.1.1.1:1",
            "source \"\" is not an IP address (column 9)",
        ),
        (
            "::1@232.1.1.1:1",
            "source ::1 and group 232.1.1.1 are not of one IP version (column 1)",
        ),
        (
            "1.2.3.4,1.2.3.4@232.1.1.1:1",
            "source 1.2.3.4 is given twice (column 9)",
        ),
    ] {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

/// What newcomers write who come from other programs.
#[test]
fn a_mistake_is_answered_with_the_right_form() {
    for (text, what, column, right) in [
        (
            " 239.1.1.1:1",
            "a space stands before the address",
            1,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1:1 ",
            "a space stands behind the address",
            12,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1 :1",
            "no space stands in an address",
            10,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1 1",
            "a colon stands between host and port, not a space",
            10,
            "239.1.1.1:1",
        ),
        (
            "ff15::1 1",
            "a colon stands between host and port, not a space",
            8,
            "[ff15::1]:1",
        ),
        (
            "udp:239.1.1.1:1",
            "udp: is not part of an address",
            1,
            "239.1.1.1:1",
        ),
        (
            "rtp://@239.1.1.1:1",
            "rtp:// is not supported, but udp:// is",
            1,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1:1/udp",
            "\"/udp\" is not part of an address",
            12,
            "239.1.1.1:1",
        ),
        (
            "udp://@239.1.1.1:1?ttl=4",
            "\"?ttl=4\" is not part of an address",
            19,
            "udp://@239.1.1.1:1",
        ),
        (
            "239.1.1.0/24:1",
            "\"/24\" is not part of an address",
            10,
            "239.1.1.0:1",
        ),
        (
            "[ff15::1]%eth0:1",
            "the interface stands inside the brackets",
            10,
            "[ff15::1%eth0]:1",
        ),
        (
            "[ff15::1]:1%eth0",
            "the interface stands before the port",
            12,
            "[ff15::1%eth0]:1",
        ),
        (
            "239.1.1.1@eth0:1",
            "the interface stands after a %",
            10,
            "239.1.1.1%eth0:1",
        ),
        (
            "232.1.1.1@10.0.0.5:1",
            "the source stands before the @, and the group behind it",
            1,
            "10.0.0.5@232.1.1.1:1",
        ),
        (
            "ff35::1@[fd00::5]:1",
            "the source stands before the @, and the group behind it",
            1,
            "fd00::5@[ff35::1]:1",
        ),
        (
            "@239.1.1.1:1",
            "no source stands before the @",
            1,
            "239.1.1.1:1",
        ),
        (
            "*:1",
            "any local address is written without a host",
            1,
            ":1",
        ),
        (
            "0:1",
            "any local address is written without a host",
            1,
            ":1",
        ),
        (
            "[239.1.1.1%lo]:1",
            "brackets are for IPv6 alone",
            1,
            "239.1.1.1%lo:1",
        ),
        ("ff15::1]:1", "the opening [ is missing", 1, "[ff15::1]:1"),
        (
            "[::1]1",
            "a colon stands between the ] and the port",
            6,
            "[::1]:1",
        ),
        (
            "fe80::5@ff35::1%eth0:1",
            "an IPv6 address stands in brackets",
            9,
            "fe80::5@[ff35::1%eth0]:1",
        ),
        (
            "239.1.1.1:1:2",
            "an address has one port",
            12,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1,1",
            "a colon stands before the port, not ','",
            10,
            "239.1.1.1:1",
        ),
        (
            "239.1.1.1.1",
            "a colon stands before the port, not '.'",
            10,
            "239.1.1.1:1",
        ),
        ("5000", "a port alone is no address", 1, "HOST:5000"),
    ] {
        let told = format!("{what}; write {right} (column {column})");
        assert_eq!(fault(text), told, "{text:?}");
        // It is an address, and the text of one.
        assert!(right.parse::<Address>().is_ok(), "{right}");
    }
    for (text, right) in [
        ("localhost", "localhost:PORT, such as localhost:5000"),
        (
            "fe80::1%eth0",
            "[fe80::1%eth0]:PORT, such as [fe80::1%eth0]:5000",
        ),
        ("::1", "[::1]:PORT, such as [::1]:5000"),
    ] {
        let told = fault(text);
        assert!(told.contains(&format!("; write {right} (")), "{told}");
    }
    // What cannot be guessed is told as before.
    for text in [
        "", " ", "@", "[", "]", "%", "/", "[]", "[]:1", "a b c", "é:1", "1@",
    ] {
        assert!(
            !fault(text).contains("such as"),
            "{text:?}: {}",
            fault(text)
        );
    }
    assert_eq!(
        fault("239.1.1.1:5000-5010"),
        "a range of ports cannot be given; list the addresses one by one (column 15)"
    );
    assert_eq!(parsed("UDP://@239.1.1.1:5000"), parsed("239.1.1.1:5000"));
}

#[test]
fn a_group_carries_its_interface_and_its_sources() {
    let group = parsed("10.0.0.5@232.1.1.1%eth0:5000").group().unwrap();
    assert_eq!(group.address, IpAddr::from([232, 1, 1, 1]));
    assert_eq!(
        group.interface,
        Some(InterfaceSelector::Name("eth0".into()))
    );
    assert_eq!(
        group.sources,
        SourceFilter::Include(vec![[10, 0, 0, 5].into()])
    );
    assert_eq!(parsed("192.0.2.7:5005").group(), None);
    assert_eq!(parsed(":5005").host(), &Host::Any);
}

#[test]
fn a_host_and_a_port_are_an_address_too() {
    assert_eq!(
        Address::try_from(("239.1.1.1", 5000)).unwrap(),
        parsed("239.1.1.1:5000")
    );
    assert_eq!(
        Address::try_from(("fe80::5@ff35::1%eth0", 5000)).unwrap(),
        parsed("fe80::5@[ff35::1%eth0]:5000")
    );
    assert_eq!(
        Address::try_from(("ff15::1", 5000)).unwrap(),
        parsed("[ff15::1]:5000")
    );
    assert_eq!(
        Address::from("[fe80::1%3]:9".parse::<std::net::SocketAddr>().unwrap()),
        parsed("[fe80::1%3]:9")
    );
}

#[test]
fn a_group_is_read_without_a_port() {
    let group = |text: &str| text.parse::<Group>().unwrap().to_string();
    for text in [
        "239.1.1.1",
        "239.1.1.1%eth0",
        "10.0.0.5@232.1.1.1%eth0",
        "fe80::5@ff35::1%eth0",
    ] {
        assert_eq!(group(text), text);
    }
    assert_eq!(group("[ff15::1%eth0]"), "ff15::1%eth0");
    let error = "10.0.0.5".parse::<Group>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"10.0.0.5\": it is no multicast group (column 1)"
    );
    let error = "239.1.1.1%eth0:5000".parse::<Group>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"239.1.1.1%eth0:5000\": a group stands without a port here; write 239.1.1.1%eth0 (column 15)"
    );
    let error = "239.1.1.300".parse::<Group>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"239.1.1.300\": 300 is not between 0 and 255 (column 9)"
    );
}

fn interface() -> impl Strategy<Value = InterfaceSelector> {
    prop_oneof![
        "[a-z][a-z0-9._-]{0,14}".prop_map(InterfaceSelector::Name),
        (1..=u32::MAX).prop_map(InterfaceSelector::Index),
        any::<Ipv4Addr>().prop_map(|address| InterfaceSelector::Address(address.into())),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        Just(Host::Any),
        any::<IpAddr>().prop_map(|ip| Host::Ip(ip.to_canonical())),
        "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9]{0,9}){0,3}".prop_map(Host::Name),
    ];
    let unicast = (host, proptest::option::of(interface()), any::<u16>()).prop_map(
        |(host, interface, port)| Address {
            sources: Vec::new(),
            host,
            interface,
            port,
        },
    );
    let v4 = (
        proptest::collection::btree_set(1..0xe000_0000_u32, 0..4),
        0xe000_0000..=0xefff_ffff_u32,
        proptest::option::of(interface()),
        any::<u16>(),
    )
        .prop_map(|(sources, group, interface, port)| Address {
            sources: sources
                .into_iter()
                .map(|source| Ipv4Addr::from(source).into())
                .collect(),
            host: Host::Ip(Ipv4Addr::from(group).into()),
            interface,
            port,
        });
    let v6 = (
        proptest::collection::btree_set(1..u128::MAX >> 8, 0..4),
        (0xff_u128 << 120)..=u128::MAX,
        proptest::option::of(interface()),
        any::<u16>(),
    )
        .prop_map(|(sources, group, interface, port)| Address {
            sources: sources
                .into_iter()
                .map(|source| Ipv6Addr::from(source).into())
                .collect(),
            host: Host::Ip(Ipv6Addr::from(group).into()),
            interface,
            port,
        });
    prop_oneof![unicast, v4, v6]
}

proptest! {
    #[test]
    fn printing_and_parsing_is_the_identity(address in address()) {
        prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }

    #[test]
    fn what_parses_prints_to_something_that_parses_to_the_same(text in "[0-9a-f.:%@,\\[\\]]{0,40}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn no_text_of_a_group_panics(text in "[0-9a-f.:%@,\\[\\]é]{0,40}") {
        if let Ok(group) = text.parse::<Group>() {
            prop_assert_eq!(group.to_string().parse::<Group>().unwrap(), group);
        }
    }

    #[test]
    fn no_text_panics_and_every_error_points_into_it(text in "\\PC{0,60}") {
        if let Err(error) = text.parse::<Address>() {
            prop_assert!(error.malformed.offset <= text.len());
            prop_assert!(error.column() <= text.chars().count() + 1);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
