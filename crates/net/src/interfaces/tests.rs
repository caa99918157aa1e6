use std::net::IpAddr;

use manycast_types::InterfaceSelector;

use super::{Interface, InterfaceAddress, MacAddress, select};
use crate::ErrorKind;

pub(crate) fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    let address = |text: &&str| InterfaceAddress {
        address: text.parse().unwrap(),
        prefix: 24,
        broadcast: None,
        tentative: false,
    };
    Interface {
        index,
        name: name.into(),
        alternative_names: Vec::new(),
        kind: "ethernet".into(),
        up: true,
        running: true,
        multicast: true,
        loopback: false,
        point_to_point: false,
        broadcast: true,
        all_multicast: false,
        promiscuous: false,
        mtu: 1500,
        mac: None,
        addresses: addresses.iter().map(address).collect(),
    }
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

#[cfg(target_os = "linux")]
mod linux {
    use super::super::system::{interface_address, link, nl80211_family, wireless_index};
    use super::{InterfaceAddress, IpAddr, MacAddress};
    use crate::netlink::Request;

    /// A link of this type, index and flags.
    fn link_message(hardware: u16, index: u32, flags: u32) -> Request {
        let mut header = [0; 16];
        header[2..4].copy_from_slice(&hardware.to_ne_bytes());
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header[8..12].copy_from_slice(&flags.to_ne_bytes());
        Request::new(libc::RTM_NEWLINK, &header)
    }

    /// One attribute by itself, to be nested in another.
    fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
        Request::new(0, &[])
            .with(kind, value)
            .message()
            .payload
            .to_vec()
    }

    #[test]
    fn a_link_is_read() {
        // UP, BROADCAST, RUNNING and MULTICAST.
        let message = link_message(libc::ARPHRD_ETHER, 9, 0x1 | 0x2 | 0x40 | 0x1000)
            .with(libc::IFLA_IFNAME, b"wg-of-old\0")
            .with(libc::IFLA_MTU, &1420u32.to_ne_bytes())
            .with(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1])
            .with(libc::IFLA_PROMISCUITY, &1u32.to_ne_bytes())
            .with(libc::IFLA_ALLMULTI, &0u32.to_ne_bytes())
            .with(
                libc::IFLA_PROP_LIST | 0x8000,
                &nested(libc::IFLA_ALT_IFNAME, b"other\0"),
            )
            .with(0x3fff, b"of a kernel to come");
        let link = link(message.message()).unwrap();
        assert_eq!((link.index, &*link.name, link.mtu), (9, "wg-of-old", 1420));
        assert_eq!(link.kind, "ethernet");
        assert_eq!(link.mac, Some(MacAddress([2, 0, 0, 0, 0, 1])));
        assert_eq!(link.alternative_names, ["other".into()]);
        assert!(link.up && link.running && link.broadcast && link.multicast && link.promiscuous);
        assert!(!link.loopback && !link.point_to_point && !link.all_multicast);
    }

    #[test]
    fn the_kind_is_that_of_the_driver_or_else_of_the_hardware() {
        let kind = |hardware, driver: Option<&[u8]>| {
            let mut message = link_message(hardware, 1, 0).with(libc::IFLA_IFNAME, b"x0");
            if let Some(driver) = driver {
                let info = nested(libc::IFLA_INFO_KIND, driver);
                message = message.with(libc::IFLA_LINKINFO, &info);
            }
            link(message.message()).unwrap().kind
        };
        assert_eq!(kind(libc::ARPHRD_NONE, Some(b"wireguard\0")), "wireguard");
        assert_eq!(kind(libc::ARPHRD_NONE, Some(b"tun\0")), "tun");
        assert_eq!(kind(libc::ARPHRD_ETHER, Some(b"tun\0")), "tap");
        assert_eq!(kind(libc::ARPHRD_ETHER, Some(b"bridge")), "bridge");
        assert_eq!(kind(libc::ARPHRD_ETHER, None), "ethernet");
        assert_eq!(kind(libc::ARPHRD_LOOPBACK, None), "loopback");
        assert_eq!(kind(0xfff0, None), "other");
    }

    fn address_message(prefix: u8, flags: u8, index: u32) -> Request {
        let mut header = [0, prefix, flags, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&index.to_ne_bytes());
        Request::new(libc::RTM_NEWADDR, &header)
    }

    #[test]
    fn the_address_on_a_point_to_point_link_is_the_own_one() {
        let (peer, own) = ([10, 0, 0, 2], [10, 0, 0, 1]);
        let wanted = InterfaceAddress {
            address: IpAddr::from(own),
            prefix: 32,
            broadcast: None,
            tentative: false,
        };
        let one = address_message(32, 0x80, 4)
            .with(libc::IFA_ADDRESS, &peer)
            .with(libc::IFA_LOCAL, &own);
        let other = address_message(32, 0x80, 4)
            .with(libc::IFA_LOCAL, &own)
            .with(libc::IFA_ADDRESS, &peer);
        assert_eq!(interface_address(one.message()), Some((4, wanted)));
        assert_eq!(interface_address(other.message()), Some((4, wanted)));
    }

    #[test]
    fn an_address_is_tentative_until_it_may_be_used() {
        let tentative = |flags: u32| {
            let message = address_message(64, 0, 4)
                .with(libc::IFA_ADDRESS, &[0xfe; 16])
                .with(libc::IFA_FLAGS, &flags.to_ne_bytes());
            interface_address(message.message()).unwrap().1.tentative
        };
        assert!(!tentative(0x80), "permanent");
        assert!(tentative(0x40 | 0x80), "asking");
        assert!(tentative(0x08 | 0x80), "another host has it");
        assert!(!tentative(0x04 | 0x40), "optimistic: asking, but usable");
    }

    #[test]
    fn wireless_interfaces_are_those_that_nl80211_lists() {
        let family = |name: &[u8]| {
            let message = Request::new(0x10, &[1, 2, 0, 0])
                .with(2, name)
                .with(1, &0x1cu16.to_ne_bytes())
                .with(3, &1u32.to_ne_bytes());
            nl80211_family(message.message())
        };
        assert_eq!(family(b"nl80211\0"), Some(0x1c));
        assert_eq!(family(b"ethtool\0"), None);
        let message = Request::new(0x1c, &[7, 1, 0, 0])
            .with(1, &0u32.to_ne_bytes())
            .with(3, &5u32.to_ne_bytes())
            .with(4, b"wlan0\0");
        assert_eq!(wireless_index(message.message()), Some(5));
    }

    #[test]
    fn messages_that_are_cut_short_are_passed_over() {
        for end in 0..16 {
            assert_eq!(
                link(Request::new(libc::RTM_NEWLINK, &[0; 16][..end]).message()),
                None
            );
        }
        for end in 0..8 {
            let message = Request::new(libc::RTM_NEWADDR, &[0; 8][..end]);
            assert_eq!(interface_address(message.message()), None);
        }
    }
}
