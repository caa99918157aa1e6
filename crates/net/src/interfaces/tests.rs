use manycast_types::InterfaceSelector;

use super::{Interface, InterfaceAddress, MacAddress, select};
use crate::ErrorKind;

pub(crate) fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    let address = |text: &&str| InterfaceAddress::new(text.parse().unwrap(), 24);
    let mut interface = Interface::new(index, name);
    interface.addresses = addresses.iter().map(address).collect();
    interface
}

fn host() -> Vec<Interface> {
    let mut eth0 = interface(2, "eth0", &["10.0.0.1", "fe80::1"]);
    eth0.alternative_names.push("enp3s0".into());
    vec![
        interface(1, "lo", &["127.0.0.1", "::1"]),
        eth0,
        interface(7, "eth1", &["fe80::1"]),
    ]
}

fn index(selector: &str) -> u32 {
    select(&host(), &selector.parse().unwrap()).unwrap().index
}

fn error(selector: &str) -> String {
    select(&host(), &selector.parse().unwrap())
        .unwrap_err()
        .to_string()
}

#[test]
fn an_interface_is_found_by_name_index_and_address() {
    assert_eq!(index("eth1"), 7);
    assert_eq!(index("enp3s0"), 2);
    assert_eq!(index("7"), 7);
    assert_eq!(index("10.0.0.1"), 2);
    assert_eq!(index("::ffff:10.0.0.1"), 2);
    assert_eq!(index("::1"), 1);
}

#[test]
fn what_is_not_there_is_answered_with_what_there_is() {
    assert_eq!(
        error("eth7"),
        "cannot find interface eth7: there is no such interface; there are lo, eth0, eth1"
    );
    assert_eq!(
        error("3"),
        "cannot find interface 3: no interface has this index; there are 1 (lo), 2 (eth0), 7 (eth1)"
    );
    assert_eq!(
        error("10.0.0.2"),
        "cannot find interface 10.0.0.2: no interface has this address; there are 127.0.0.1 (lo), \
         10.0.0.1 (eth0)"
    );
    let only = select(&host()[..1], &InterfaceSelector::Name("eth0".into())).unwrap_err();
    assert_eq!(only.kind(), ErrorKind::NoInterface);
    assert!(only.to_string().ends_with("; there is only lo"), "{only}");
    let none = select(
        &host()[2..],
        &InterfaceSelector::Address([1, 2, 3, 4].into()),
    )
    .unwrap_err();
    assert!(
        none.to_string()
            .ends_with("; there is none with an IPv4 address"),
        "{none}"
    );
}

#[test]
fn an_address_on_two_interfaces_is_no_choice() {
    let error = select(&host(), &"fe80::1".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "cannot find interface fe80::1: eth0, eth1 have this address; choose one by name or index"
    );
}

#[test]
fn an_error_stays_short_on_a_host_with_many_interfaces() {
    let many: Vec<_> = (1..=1000)
        .map(|i| interface(i, &format!("veth{i}"), &[]))
        .collect();
    let error = select(&many, &"eth0".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("veth12 and 988 more; see 'manycast interfaces'"),
        "{error}"
    );
}

#[test]
fn loopback_can_multicast_although_it_does_not_say_so() {
    let lo = Interface {
        loopback: true,
        multicast: false,
        ..interface(1, "lo", &[])
    };
    assert!(lo.can_multicast());
    assert!(
        !Interface {
            up: false,
            ..lo.clone()
        }
        .can_multicast()
    );
    assert!(
        !Interface {
            loopback: false,
            ..lo
        }
        .can_multicast()
    );
}

#[test]
fn a_hardware_address_prints_as_usual() {
    assert_eq!(
        MacAddress([2, 0xfc, 0, 0, 0, 1]).to_string(),
        "02:fc:00:00:00:01"
    );
}
