use std::net::IpAddr;

use super::super::netlink::Request;
use super::{interface_address, link, nl80211_family, wireless_index};
use crate::interfaces::{InterfaceAddress, MacAddress};

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
        .with(libc::IFLA_MASTER, &7u32.to_ne_bytes())
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
    assert_eq!((link.kind.as_str(), link.master), ("ethernet", Some(7)));
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
        duplicate: false,
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
    let read = |flags: u32| {
        let message = address_message(64, 0, 4)
            .with(libc::IFA_ADDRESS, &[0xfe; 16])
            .with(libc::IFA_FLAGS, &flags.to_ne_bytes());
        let read = interface_address(message.message()).unwrap().1;
        (read.tentative, read.duplicate)
    };
    assert_eq!(read(0x80), (false, false), "permanent");
    assert_eq!(read(0x40 | 0x80), (true, false), "asking");
    assert_eq!(
        read(0x08 | 0x40 | 0x80),
        (false, true),
        "another host has it"
    );
    assert_eq!(
        read(0x04 | 0x40),
        (false, false),
        "optimistic: asking, but usable"
    );
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
