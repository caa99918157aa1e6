//! Interfaces and their addresses by netlink (`rtnetlink(7)`): `RTM_GETLINK`, `RTM_GETADDR`.
//!
//! Netlink and not `/sys/class/net`, since the latter shows the network namespace that it was
//! mounted in, and not that of the thread.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::netlink::{Connection, Message, Request, address, attributes, text, u16_at, u32_at};
use super::sysctl::sysctl;
use crate::interfaces::{Interface, InterfaceAddress, MacAddress};

/// `struct ifinfomsg`: family, padding, type (2), index (4), flags (4), change (4).
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4).
const ADDRESS_HEADER: usize = 8;
/// `struct genlmsghdr`: command, version, reserved (2).
const GENERIC_HEADER: usize = 4;

const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_ATTR_IFINDEX: u16 = 3;

pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut route = Connection::open(libc::NETLINK_ROUTE)?;
    let skip_statistics = libc::RTEXT_FILTER_SKIP_STATS.cast_unsigned().to_ne_bytes();
    let links = Request::new(libc::RTM_GETLINK, &[0; LINK_HEADER])
        .with(libc::IFLA_EXT_MASK, &skip_statistics);
    let mut interfaces: BTreeMap<u32, Interface> = route
        .list(&links, link)?
        .into_iter()
        .map(|found| (found.index, found))
        .collect();

    let addresses = Request::new(libc::RTM_GETADDR, &[0; ADDRESS_HEADER]);
    for (index, address) in route.list(&addresses, interface_address)? {
        if let Some(interface) = interfaces.get_mut(&index) {
            interface.addresses.push(address);
        }
    }
    let mut interfaces: Vec<_> = interfaces.into_values().collect();
    for interface in &mut interfaces {
        interface.addresses.sort_by_key(|own| own.address.is_ipv6());
    }
    Ok(interfaces)
}

/// Whether IPv6 is switched off on an interface of this name, or on `all`
/// (`/proc/sys/net/ipv6/conf/NAME/disable_ipv6`).
pub(crate) fn is_ipv6_off(name: &str) -> bool {
    sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6")).is_some_and(|value| value == "1")
}

/// Reads one link.
pub(crate) fn link(message: Message<'_>) -> Option<Interface> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let hardware = u16_at(message.payload, 2)?;
    let index = u32_at(message.payload, 4)?;
    let flags = u32_at(message.payload, 8)?;
    let flag = |bit: libc::c_int| flags & bit.cast_unsigned() != 0;
    let mut link = Interface {
        index,
        name: Arc::from(""),
        alternative_names: Vec::new(),
        kind: hardware_kind(hardware).to_owned(),
        up: flag(libc::IFF_UP),
        running: flag(libc::IFF_RUNNING),
        multicast: flag(libc::IFF_MULTICAST),
        loopback: flag(libc::IFF_LOOPBACK),
        point_to_point: flag(libc::IFF_POINTOPOINT),
        broadcast: flag(libc::IFF_BROADCAST),
        all_multicast: flag(libc::IFF_ALLMULTI),
        promiscuous: flag(libc::IFF_PROMISC),
        mtu: 0,
        mac: None,
        master: None,
        addresses: Vec::new(),
    };
    for (kind, value) in attributes(message.payload, LINK_HEADER) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value).into(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_MASTER => link.master = u32_at(value, 0),
            libc::IFLA_ADDRESS => {
                link.mac = value
                    .try_into()
                    .ok()
                    .filter(|mac| *mac != [0; 6])
                    .map(MacAddress);
            }
            // The flags tell only what the administrator switched on; a program that captures is
            // seen in these counts alone.
            libc::IFLA_PROMISCUITY => link.promiscuous |= u32_at(value, 0)? > 0,
            libc::IFLA_ALLMULTI => link.all_multicast |= u32_at(value, 0)? > 0,
            libc::IFLA_LINKINFO => {
                let kind = attributes(value, 0).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                if let Some((_, kind)) = kind {
                    link.kind = text(kind);
                }
            }
            libc::IFLA_PROP_LIST => {
                let names = attributes(value, 0).filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME);
                link.alternative_names
                    .extend(names.map(|(_, name)| Arc::from(text(name))));
            }
            _ => {}
        }
    }
    // One driver makes both, and calls both by one name.
    if link.kind == "tun" && hardware == libc::ARPHRD_ETHER {
        link.kind = "tap".to_owned();
    }
    (!link.name.is_empty()).then_some(link)
}

/// Reads one address, and the index of its interface.
pub(crate) fn interface_address(message: Message<'_>) -> Option<(u32, InterfaceAddress)> {
    if message.kind != libc::RTM_NEWADDR {
        return None;
    }
    let prefix = *message.payload.get(1)?;
    let mut flags = u32::from(*message.payload.get(2)?);
    let index = u32_at(message.payload, 4)?;
    let mut local = None;
    let mut broadcast = None;
    for (kind, value) in attributes(message.payload, ADDRESS_HEADER) {
        match kind {
            // On a point-to-point link this one is the peer's, and the next one is one's own.
            libc::IFA_ADDRESS => local = local.or_else(|| address(value)),
            libc::IFA_LOCAL => local = address(value),
            libc::IFA_BROADCAST => {
                broadcast = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
            }
            libc::IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    let flag = |bit: u32| flags & bit != 0;
    // The kernel leaves such an address tentative too, for good.
    let duplicate = flag(libc::IFA_F_DADFAILED);
    let tentative = flag(libc::IFA_F_TENTATIVE) && !flag(libc::IFA_F_OPTIMISTIC) && !duplicate;
    Some((
        index,
        InterfaceAddress {
            address: local?,
            prefix,
            broadcast,
            tentative,
            duplicate,
        },
    ))
}

/// The word for an interface that no driver of virtual ones made (`<linux/if_arp.h>`).
fn hardware_kind(hardware: u16) -> &'static str {
    match hardware {
        libc::ARPHRD_ETHER => "ethernet",
        libc::ARPHRD_LOOPBACK => "loopback",
        libc::ARPHRD_PPP => "ppp",
        libc::ARPHRD_INFINIBAND => "infiniband",
        libc::ARPHRD_IEEE80211 | libc::ARPHRD_IEEE80211_PRISM | libc::ARPHRD_IEEE80211_RADIOTAP => {
            "wifi"
        }
        libc::ARPHRD_IEEE1394 => "firewire",
        _ => "other",
    }
}

/// Calls those `wifi` that the wireless part of the kernel knows. Where it cannot be asked, they stay
/// Ethernet.
pub(crate) fn name_wireless(interfaces: &mut [Interface]) {
    if !interfaces
        .iter()
        .any(|interface| interface.kind == "ethernet")
    {
        return;
    }
    let wireless = wireless().unwrap_or_default();
    for interface in interfaces
        .iter_mut()
        .filter(|interface| interface.kind == "ethernet")
    {
        if wireless.contains(&interface.index) {
            interface.kind = "wifi".to_owned();
        }
    }
}

/// The indexes of the wireless interfaces, by nl80211 (`<linux/nl80211.h>`).
fn wireless() -> io::Result<BTreeSet<u32>> {
    let mut generic = Connection::open(libc::NETLINK_GENERIC)?;
    // All families are listed, since asking for one by name makes the kernel load its module.
    let families = generic_request(
        u16::try_from(libc::GENL_ID_CTRL).expect("types of messages have two bytes"),
        u8::try_from(libc::CTRL_CMD_GETFAMILY).expect("commands have one byte"),
    );
    let Some(family) = generic.list(&families, nl80211_family)?.pop() else {
        return Ok(BTreeSet::new());
    };
    let interfaces = generic_request(family, NL80211_CMD_GET_INTERFACE);
    Ok(generic
        .list(&interfaces, wireless_index)?
        .into_iter()
        .collect())
}

fn generic_request(family: u16, command: u8) -> Request {
    let mut header = [0; GENERIC_HEADER];
    header[0] = command;
    header[1] = 1;
    Request::new(family, &header)
}

/// The number of the family, if this is the one called nl80211.
pub(crate) fn nl80211_family(message: Message<'_>) -> Option<u16> {
    let attribute = |wanted: libc::c_int| {
        attributes(message.payload, GENERIC_HEADER)
            .find(|(kind, _)| libc::c_int::from(*kind) == wanted)
            .map(|(_, value)| value)
    };
    (text(attribute(libc::CTRL_ATTR_FAMILY_NAME)?) == "nl80211").then_some(())?;
    u16_at(attribute(libc::CTRL_ATTR_FAMILY_ID)?, 0)
}

/// The index of a wireless interface.
pub(crate) fn wireless_index(message: Message<'_>) -> Option<u32> {
    attributes(message.payload, GENERIC_HEADER)
        .find(|(kind, _)| *kind == NL80211_ATTR_IFINDEX)
        .and_then(|(_, value)| u32_at(value, 0))
}
