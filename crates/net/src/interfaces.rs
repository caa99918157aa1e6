//! The interfaces of this host, as multicast sees them.

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use manycast_types::{Address, InterfaceId, InterfaceSelector};

use crate::{Error, Operation, sys};

/// An error names at most this many interfaces.
const NAMED_IN_ERRORS: usize = 12;

/// An interface of this host, as it was when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// The kernel's index, from 1. A device that is recreated under its name has another.
    pub index: u32,
    /// The name, such as `eth0`.
    pub name: Arc<str>,
    /// Further names by which it can be chosen (`ip-link(8)`: altname).
    pub alternative_names: Vec<Arc<str>>,
    /// What it is: `ethernet`, `wifi` (see [`name_wireless`]), `loopback`, or the kernel's word for the driver of a
    /// virtual one: `bridge`, `veth`, `vlan`, `macvlan`, `vxlan`, `bond`, `wireguard`, `tun`,
    /// `tap`, `dummy` …; `other` where there is no word.
    pub kind: String,
    /// Whether it is switched on (`IFF_UP`).
    pub up: bool,
    /// Whether it can carry datagrams: it is up, and its cable, radio or peer is there
    /// (`IFF_RUNNING`).
    pub running: bool,
    /// Whether it says that it can multicast (`IFF_MULTICAST`). See
    /// [`can_multicast`](Self::can_multicast).
    pub multicast: bool,
    /// Whether it leads back to this host (`IFF_LOOPBACK`).
    pub loopback: bool,
    /// Whether there is one peer at its other end, and no link of many (`IFF_POINTOPOINT`).
    pub point_to_point: bool,
    /// Whether it has a broadcast address (`IFF_BROADCAST`).
    pub broadcast: bool,
    /// Whether it takes in all groups, joined or not (`IFF_ALLMULTI`, or somebody asked for it).
    pub all_multicast: bool,
    /// Whether it takes in everything (`IFF_PROMISC`, or somebody captures on it).
    pub promiscuous: bool,
    /// The largest IP packet that it carries in one piece, in bytes.
    pub mtu: u32,
    /// The hardware address, where it has one of six bytes that are not all zero.
    pub mac: Option<MacAddress>,
    /// The index of the interface that it is a part of: its bridge, its bond or its VRF
    /// (`ip-link(8)`: master).
    pub master: Option<u32>,
    /// The local addresses, in the kernel's order: IPv4, then IPv6.
    pub addresses: Vec<InterfaceAddress>,
}

/// A local address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// How many bits of it are the network's: from 0 to 32, or to 128.
    pub prefix: u8,
    /// The address that reaches all hosts of the network; IPv4 only, and not always there.
    pub broadcast: Option<Ipv4Addr>,
    /// Whether it cannot be used yet: the kernel still asks the link whether another host has it (RFC
    /// 4862 §5.4). IPv6 only.
    pub tentative: bool,
    /// Whether it can never be used: another host of the link has it (RFC 4862 §5.4.5), for which
    /// `ip-address(8)` says `dadfailed`. IPv6 only.
    pub duplicate: bool,
}

/// A hardware address of six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// Lists the interfaces of this host (of the network namespace of this thread), by index. Wireless
/// ones are of the kind `ethernet`, as long as [`name_wireless`] is not called.
///
/// # Errors
///
/// When the kernel cannot be asked, for want of open files or memory.
///
/// ```
/// for interface in manycast_net::interfaces()? {
///     println!("{} {} {:?}", interface.index, interface.name, interface.addresses);
/// }
/// # Ok::<(), manycast_net::Error>(())
/// ```
pub fn interfaces() -> Result<Vec<Interface>, Error> {
    sys::interfaces::interfaces()
        .map_err(|error| Error::new(Operation::List, "the interfaces", error))
}

/// Gives wireless interfaces the kind `wifi`. To most of the kernel they are Ethernet; this asks the
/// part that knows (`nl80211`), which takes as long as the listing itself.
///
/// ```
/// let mut interfaces = manycast_net::interfaces()?;
/// manycast_net::name_wireless(&mut interfaces);
/// # Ok::<(), manycast_net::Error>(())
/// ```
pub fn name_wireless(interfaces: &mut [Interface]) {
    sys::interfaces::name_wireless(interfaces);
}

/// Finds the interface that is meant.
///
/// # Errors
///
/// When there is none, or when several have the address: the error lists what there is.
///
/// ```
/// use manycast_net::find_interface;
///
/// let error = find_interface(&"eth77".parse()?).unwrap_err();
/// assert!(error.to_string().starts_with("cannot find interface eth77: there is no such interface"));
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
pub fn find(selector: &InterfaceSelector) -> Result<Interface, Error> {
    select(&interfaces()?, selector).cloned()
}

impl InterfaceAddress {
    /// An address that can be used, with so many bits of the network's, and no broadcast address.
    pub const fn new(address: IpAddr, prefix: u8) -> Self {
        Self {
            address,
            prefix,
            broadcast: None,
            tentative: false,
            duplicate: false,
        }
    }

    /// Whether it can be bound to and sent from: it is neither tentative nor a duplicate.
    pub const fn is_usable(&self) -> bool {
        !self.tentative && !self.duplicate
    }
}

impl Interface {
    /// An interface of Ethernet that is up, can multicast and has no address: for tests of what
    /// decides by interfaces.
    pub fn new(index: u32, name: &str) -> Self {
        Self {
            index,
            name: name.into(),
            alternative_names: Vec::new(),
            kind: "ethernet".to_owned(),
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
            master: None,
            addresses: Vec::new(),
        }
    }

    /// Index and name.
    pub fn id(&self) -> InterfaceId {
        InterfaceId {
            index: self.index,
            name: Arc::clone(&self.name),
        }
    }

    /// Whether groups can be joined on it and sent to by it: it is up and either says that it can
    /// multicast, or is the loopback interface, which can although it does not say so.
    pub const fn can_multicast(&self) -> bool {
        self.up && (self.multicast || self.loopback)
    }

    /// Whether `address` is one of its own.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|own| own.address == address.to_canonical())
    }

    /// Whether it has this name, or this is one of its further names.
    pub fn is_named(&self, name: &str) -> bool {
        *self.name == *name || self.alternative_names.iter().any(|other| **other == *name)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Chooses from `interfaces` the one that is meant.
fn select<'a>(
    interfaces: &'a [Interface],
    selector: &InterfaceSelector,
) -> Result<&'a Interface, Error> {
    let meant = |interface: &&Interface| match selector {
        InterfaceSelector::Name(name) => interface.is_named(name),
        InterfaceSelector::Index(index) => interface.index == *index,
        InterfaceSelector::Address(address) => interface.has(*address),
    };
    let found: Vec<_> = interfaces.iter().filter(meant).collect();
    match found.as_slice() {
        [] => Err(no_interface(interfaces, selector)),
        [interface] => Ok(interface),
        several => {
            let names = several
                .iter()
                .map(|interface| interface.name.to_string())
                .collect();
            let cause = format!("{} have this address", listed(names));
            let source = io::Error::new(io::ErrorKind::InvalidInput, cause.clone());
            Err(
                Error::new(Operation::Find, format!("interface {selector}"), source)
                    .explained(cause, "choose one by name or index"),
            )
        }
    }
}

fn no_interface(interfaces: &[Interface], selector: &InterfaceSelector) -> Error {
    let (cause, there): (_, Vec<_>) = match selector {
        InterfaceSelector::Name(_) => (
            "there is no such interface",
            interfaces
                .iter()
                .map(|interface| interface.name.to_string())
                .collect(),
        ),
        InterfaceSelector::Index(_) => (
            "no interface has this index",
            interfaces
                .iter()
                .map(|i| format!("{} ({})", i.index, i.name))
                .collect(),
        ),
        InterfaceSelector::Address(wanted) => (
            "no interface has this address",
            interfaces
                .iter()
                .flat_map(|i| i.addresses.iter().map(move |own| (i, own.address)))
                .filter(|(_, own)| own.is_ipv4() == wanted.to_canonical().is_ipv4())
                .map(|(i, own)| format!("{own} ({})", i.name))
                .collect(),
        ),
    };
    let there = match (there.as_slice(), selector) {
        ([], InterfaceSelector::Address(address)) => {
            let version = if address.to_canonical().is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            };
            format!("there is none with an {version} address")
        }
        ([], _) => "there are none at all".to_owned(),
        ([one], _) => format!("there is only {one}"),
        _ => format!("there are {}", listed(there)),
    };
    let source = io::Error::new(io::ErrorKind::NotFound, cause);
    Error::new(Operation::Find, format!("interface {selector}"), source).explained(cause, there)
}

/// The address with the name of its interface for a zone (RFC 4007 §11.2), as people write it and all
/// that manycast prints has it. An index that no interface has stays a number.
///
/// ```
/// let address = "[fe80::1%1]:5000".parse()?;
/// assert_eq!(manycast_net::with_interface_name(address).to_string(), "[fe80::1%lo]:5000");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn with_interface_name(address: SocketAddr) -> Address {
    let address = Address::from(address);
    let name = match address.interface() {
        Some(InterfaceSelector::Index(index)) => sys::options::interface_name(*index).ok(),
        _ => None,
    };
    match name {
        Some(name) => address.on(InterfaceSelector::Name(name)),
        None => address,
    }
}

/// Puts commas between the first few, and counts the rest.
fn listed(names: Vec<String>) -> String {
    let rest = names.len().saturating_sub(NAMED_IN_ERRORS);
    let mut text = names
        .into_iter()
        .take(NAMED_IN_ERRORS)
        .collect::<Vec<_>>()
        .join(", ");
    if rest > 0 {
        text += &format!(" and {rest} more; see 'manycast interfaces'");
    }
    text
}
