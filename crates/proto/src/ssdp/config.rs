//! What can be chosen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use manycast_types::InterfaceSelector;

use crate::random::Random;

use super::{ALL, LocalAddress, Location, MAX_SENT, MAX_TARGETS};

/// The groups: 239.255.255.250 (UDA 2.0 §1.1), ff02::c and ff05::c (Annex A).
pub const fn groups() -> [IpAddr; 3] {
    [
        IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)),
        IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc)),
        IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xc)),
    ]
}

/// Ports for the socket of a [`Device`](super::Device) where questions to port 1900 of this host come to another
/// program, at random (UDA 2.0 §1.2.2: from 49,152): the first that is free is its
/// [search port](DeviceConfig::search_port).
///
/// ```
/// use manycast_proto::ssdp::search_ports;
///
/// let ports: Vec<u16> = search_ports([7; 32]).take(3).collect();
/// assert!(ports.iter().all(|port| *port >= 49_152));
/// ```
pub fn search_ports(seed: [u8; 32]) -> impl Iterator<Item = u16> {
    let mut random = Random::new(seed);
    let port = move || random.within(49_152..=u16::MAX.into()).try_into().ok();
    std::iter::from_fn(port)
}

/// In the words of which version of the UPnP Device Architecture something is said. All are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// 1.0 (2000): without BOOTID, CONFIGID, SEARCHPORT and USER-AGENT, and without updates.
    V1_0,
    /// 1.1 (2008).
    V1_1,
    /// 2.0 (2015).
    #[default]
    V2_0,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "UPnP/1.0",
            Self::V1_1 => "UPnP/1.1",
            Self::V2_0 => "UPnP/2.0",
        })
    }
}

/// What a [`Client`](super::Client) asks for, and where.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::ssdp::ClientConfig;
///
/// let config = ClientConfig {
///     targets: vec!["urn:schemas-upnp-org:device:MediaServer:1".to_owned()],
///     duration: Some(Duration::from_secs(3)),
///     ..ClientConfig::default()
/// };
/// assert_eq!(config.attempts, 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// What to search for (ST): `ssdp:all`, `upnp:rootdevice`, `uuid:…` or a type; `ssdp:all` by default. Of what is
    /// said unasked, the same counts. Without any, it only listens, to everything.
    pub targets: Vec<String>,
    /// The groups to ask and to listen to; [`groups`] by default.
    pub groups: Vec<IpAddr>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// Hosts to ask each by itself, beside the groups (UDA 2.0 §1.3.2); none by default.
    pub hosts: Vec<SocketAddr>,
    /// Within how many seconds devices are to answer (MX), from 1 to 5; 1 by default.
    pub max_wait: u8,
    /// How often each question is asked in all; 4 times by default. Of two that are lost, one in ten of each, four
    /// leave one device in a thousand unfound.
    pub attempts: u32,
    /// How long after one another; 1 s by default, and up to a tenth more at random.
    pub interval: Duration,
    /// When to end; `None`, the default, listens until it is stopped.
    pub duration: Option<Duration>,
    /// How long an entry holds whose device does not say; 30 min by default, the least that UDA 2.0 §1.2.2 recommends.
    pub age: Duration,
    /// How long an entry holds at most, whatever its device says; a day by default.
    pub max_age: Duration,
    /// How many entries are kept; 8,192 by default. Later ones are counted and not told.
    pub entries: usize,
    /// How many of them one address on one interface has; 256 by default.
    pub per_source: usize,
    /// The system and the program that asks (USER-AGENT): `OS/version` and `product/version`.
    pub agent: Agent,
    /// The name of this client for people (CPFN.UPNP.ORG), which UDA 2.0 asks for.
    pub friendly_name: String,
    /// In which words to ask; 2.0 by default.
    pub version: Version,
    /// The hop limit of questions to groups; `None`, the default, leaves it to the socket, which has 1.
    pub hops: Option<u8>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            targets: vec![ALL.to_owned()],
            groups: groups().to_vec(),
            interfaces: Vec::new(),
            hosts: Vec::new(),
            max_wait: 1,
            attempts: 4,
            interval: Duration::from_secs(1),
            duration: None,
            age: Duration::from_secs(1_800),
            max_age: Duration::from_secs(86_400),
            entries: 8_192,
            per_source: 256,
            agent: Agent::default(),
            friendly_name: "manycast".to_owned(),
            version: Version::default(),
            hops: None,
        }
    }
}

/// The system and the program, as they stand in SERVER and USER-AGENT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The system: `OS/version`.
    pub system: String,
    /// The program: `product/version`.
    pub product: String,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            // The version of the system is nobody's business.
            system: format!("{}/1.0", std::env::consts::OS),
            product: concat!("manycast/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Agent {
    /// As in `linux/1.0 UPnP/2.0 manycast/0.1.0` (UDA 2.0 §1.2.2: SERVER).
    pub(super) fn text(&self, version: Version) -> String {
        format!("{} {version} {}", self.system, self.product)
    }
}

/// A device, be it the root or one that is built into it (UDA 2.0 §1.2.2, table 1-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its UUID, without `uuid:`.
    pub uuid: String,
    /// Its type, such as `urn:schemas-upnp-org:device:MediaServer:1`.
    pub device_type: Option<String>,
    /// The types of its services.
    pub services: Vec<String>,
}

/// What a [`Device`](super::Device) is, and how it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// The device itself.
    pub root: Unit,
    /// Devices that are built into it.
    pub embedded: Vec<Unit>,
    /// Where its description is.
    pub location: Location,
    /// The addresses of this host: whose networks are answered, and what stands in a [`Location::Here`].
    /// [`Device::set_addresses`](super::Device::set_addresses) tells of new ones.
    pub addresses: Vec<LocalAddress>,
    /// Whether hosts of other networks are answered too; not by default, since their address may be forged to make
    /// the device answer somebody who has not asked.
    pub strangers: bool,
    /// The groups to announce it to and to be asked in; [`groups`] by default.
    pub groups: Vec<IpAddr>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// How long what it says holds (CACHE-CONTROL: max-age); 30 min by default, the least that UDA 2.0 §1.2.2
    /// recommends.
    pub max_age: Duration,
    /// How often each set of announcements is sent at first; 3 times by default (UDA 2.0 §1.2.2: not more).
    pub repeats: u32,
    /// Rises with each start (BOOTID.UPNP.ORG): the seconds since 1970, for instance. Up to 2³¹ − 1.
    pub boot_id: u32,
    /// Changes with the description (CONFIGID.UPNP.ORG), up to 2²⁴ − 1.
    pub config_id: u32,
    /// The port of the driver's socket, where questions to this host alone come (SEARCHPORT.UPNP.ORG), from 49,152 by
    /// UDA 2.0 §1.2.2: [`search_ports`](super::search_ports) has some to try. `None` where that is 1900.
    pub search_port: Option<u16>,
    /// The time of day when the device is started, for DATE in its answers, which UDA 2.0 §1.3.3 recommends: mostly
    /// [`SystemTime::now`], since a protocol has no clock. `None`, the default, sends none.
    pub date: Option<SystemTime>,
    /// The system and the program (SERVER).
    pub agent: Agent,
    /// In which words it speaks; 2.0 by default.
    pub version: Version,
    /// How many answers wait to be sent at most; 1,024 by default.
    pub pending: usize,
    /// How many answers are sent a second at most, to all together; 500 by default.
    pub rate: u32,
    /// The hop limit of what is sent to groups; `None`, the default, leaves it to the socket, which has 1.
    pub hops: Option<u8>,
}

impl DeviceConfig {
    /// A device of a UUID and a type, with the defaults.
    pub fn new(uuid: impl Into<String>, device_type: impl Into<String>) -> Self {
        Self {
            root: Unit {
                uuid: uuid.into(),
                device_type: Some(device_type.into()),
                services: Vec::new(),
            },
            embedded: Vec::new(),
            location: Location::None,
            addresses: Vec::new(),
            strangers: false,
            groups: groups().to_vec(),
            interfaces: Vec::new(),
            max_age: Duration::from_secs(1_800),
            repeats: 3,
            boot_id: 1,
            config_id: 1,
            search_port: None,
            date: None,
            agent: Agent::default(),
            version: Version::default(),
            pending: 1_024,
            rate: 500,
            hops: None,
        }
    }

    /// What is announced and can be searched for: target and USN of each part (UDA 2.0 §1.2.2, tables 1-1 to 1-3).
    pub(super) fn parts(&self) -> Vec<(String, String)> {
        let mut parts = Vec::new();
        for (index, unit) in std::iter::once(&self.root)
            .chain(&self.embedded)
            .enumerate()
        {
            let id = format!("uuid:{}", unit.uuid);
            let typed = |target: &String| (target.clone(), format!("{id}::{target}"));
            if index == 0 {
                parts.push(typed(&super::ROOT_DEVICE.to_owned()));
            }
            parts.push((id.clone(), id.clone()));
            parts.extend(unit.device_type.iter().map(typed));
            for service in &unit.services {
                let part = typed(service);
                // Table 1-3: a type of service once for each device.
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        parts
    }

    pub(super) fn check(&self) -> Result<(), Unsuitable> {
        let units = || std::iter::once(&self.root).chain(&self.embedded);
        if units().any(|unit| unit.uuid.is_empty()) {
            return Err(Unsuitable("a device has no UUID"));
        }
        let parts = self.parts();
        if parts.len() > MAX_TARGETS {
            return Err(Unsuitable("the device has more than 32 parts"));
        }
        if self.boot_id >= 1 << 31 || self.config_id >= 1 << 24 {
            return Err(Unsuitable(
                "its BOOTID is over 2147483647, or its CONFIGID over 16777215",
            ));
        }
        let location = self.location.text();
        let agent = [self.agent.system.as_str(), &self.agent.product];
        let texts = || {
            parts
                .iter()
                .map(|(_, usn)| usn.as_str())
                .chain([location])
                .chain(agent)
        };
        if texts().any(|text| text.chars().any(char::is_control)) {
            return Err(Unsuitable(
                "a text holds a line break or another control character",
            ));
        }
        // What stands around them, with the longest address, host and numbers.
        const FRAME: usize = 460;
        let longest = parts
            .iter()
            .map(|(target, usn)| target.len() + usn.len())
            .max();
        let length =
            longest.unwrap_or(0) + location.len() + agent.map(str::len).iter().sum::<usize>();
        if length + FRAME > MAX_SENT {
            return Err(Unsuitable(
                "the texts are too long for one datagram of 1,232 bytes",
            ));
        }
        Ok(())
    }
}

/// Why a [`Device`](super::Device) cannot be as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuitable(pub(super) &'static str);

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot advertise the device: {}", self.0)
    }
}

impl std::error::Error for Unsuitable {}
