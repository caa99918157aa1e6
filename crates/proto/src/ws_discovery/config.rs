//! What can be chosen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use manycast_types::InterfaceSelector;

use super::message::{Body, Message};
use super::{LocalAddress, Location, MAX_SENT, Name, Probe, Sequence, Service, device_type};
use crate::soap_udp::Addressing;

/// The groups: 239.255.255.250 and ff02::c (WS-Discovery 1.1 §3.1).
pub const fn groups() -> [IpAddr; 2] {
    [
        IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)),
        IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc)),
    ]
}

/// The version of WS-Discovery that something is said in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// 2005/04, what most speak.
    #[default]
    V2005_04,
    /// 1.1 of OASIS (2009).
    V1_1,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V2005_04, Self::V1_1];

    /// The URI of its namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::V2005_04 => "http://schemas.xmlsoap.org/ws/2005/04/discovery",
            Self::V1_1 => "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01",
        }
    }

    /// The version of WS-Addressing that goes with it.
    pub const fn addressing(self) -> Addressing {
        match self {
            Self::V2005_04 => Addressing::V2004_08,
            Self::V1_1 => Addressing::V2005_08,
        }
    }

    /// Whom a message to the group is for (`wsa:To`).
    pub(super) const fn everybody(self) -> &'static str {
        match self {
            Self::V2005_04 => "urn:schemas-xmlsoap-org:ws:2005:04:discovery",
            Self::V1_1 => "urn:docs-oasis-open-org:ws-dd:ns:discovery:2009:01",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2005_04 => "WS-Discovery 2005/04",
            Self::V1_1 => "WS-Discovery 1.1",
        })
    }
}

/// What a [`Client`](super::Client) asks for, and where.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::ws_discovery::{ClientConfig, Name, Probe};
///
/// let camera = Name::new("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter");
/// let config = ClientConfig {
///     probes: vec![Probe::of(camera)],
///     duration: Some(Duration::from_secs(3)),
///     ..ClientConfig::default()
/// };
/// assert_eq!(config.attempts, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// What to search for: each by a Probe of its own; by default everything, and [`device_type`] by itself, since
    /// some answer to that alone. Of what is said unasked, the same counts. Without any, it only listens, to everything.
    pub probes: Vec<Probe>,
    /// In which versions to ask; both by default. Both are understood.
    pub versions: Vec<Version>,
    /// The groups to ask and to listen to; [`groups`] by default.
    pub groups: Vec<IpAddr>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// Hosts to ask each by itself, beside the groups, such as a discovery proxy; none by default.
    pub hosts: Vec<SocketAddr>,
    /// How often each question is asked at first; 3 times by default, each under a name of its own. 0 never asks.
    pub attempts: u32,
    /// How long after one another; 1 s by default, and up to a tenth more at random.
    pub interval: Duration,
    /// How long after these each question is asked again, since who was out of reach says nothing unasked when it is back;
    /// 1 min by default, from 1 s. Then after twice as long each time, up to an hour; and from the beginning, an interval
    /// later, where a service does not answer any more. `None` asks no more.
    pub again: Option<Duration>,
    /// How often each datagram to a group is sent again; 2 times by default (SOAP-over-UDP 1.1 App. A:
    /// `MULTICAST_UDP_REPEAT`).
    pub multicast_repeat: u32,
    /// How often each datagram to a host is sent again; once by default (`UNICAST_UDP_REPEAT`).
    pub unicast_repeat: u32,
    /// Whether a service is asked for its addresses that has not told them (Resolve); by default it is.
    pub resolve: bool,
    /// How long a service is believed to be there without a word; 60 s by default. Then it is asked for 3 times, each
    /// 2 s long, and is gone if it does not answer. `None` believes it until it says goodbye.
    pub age: Option<Duration>,
    /// Whether a discovery proxy that says so is asked too; by default it is. The group is asked all the same: anybody can
    /// say that it is a proxy, and would hide all others if it were asked in place of them.
    pub proxies: bool,
    /// When to end; `None`, the default, listens until it is stopped.
    pub duration: Option<Duration>,
    /// How many entries are kept; 8,192 by default. Later ones are counted and not told.
    pub entries: usize,
    /// How many of them one address on one interface has; 256 by default.
    pub per_source: usize,
    /// The hop limit of questions to groups; `None`, the default, leaves it to the socket, which has 1.
    pub hops: Option<u8>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            probes: vec![Probe::default(), Probe::of(device_type())],
            versions: Version::ALL.to_vec(),
            groups: groups().to_vec(),
            interfaces: Vec::new(),
            hosts: Vec::new(),
            attempts: 3,
            interval: Duration::from_secs(1),
            again: Some(Duration::from_secs(60)),
            multicast_repeat: 2,
            unicast_repeat: 1,
            resolve: true,
            age: Some(Duration::from_secs(60)),
            proxies: true,
            duration: None,
            entries: 8_192,
            per_source: 256,
            hops: None,
        }
    }
}

/// What a [`TargetService`](super::TargetService) is, and how it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetServiceConfig {
    /// What it is known by for ever: `urn:uuid:` and a UUID, mostly.
    pub endpoint: String,
    /// What it is.
    pub types: Vec<Name>,
    /// What it is part of: URIs.
    pub scopes: Vec<String>,
    /// Where it is (`d:XAddrs`).
    pub location: Location,
    /// The addresses of this host: whose networks are answered, and what stands in a [`Location::Here`].
    /// [`TargetService::set_addresses`](super::TargetService::set_addresses) tells of new ones.
    pub addresses: Vec<LocalAddress>,
    /// Whether hosts of other networks are answered too; not by default, since their address may be forged to make
    /// the service answer somebody who has not asked.
    pub strangers: bool,
    /// In which versions it announces itself; both by default. It answers in the one that it was asked in.
    pub versions: Vec<Version>,
    /// The groups to announce it to and to be asked in; [`groups`] by default.
    pub groups: Vec<IpAddr>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// Rises when anything but the addresses changes: 1 by default.
    pub metadata_version: u32,
    /// Rises with each start (`InstanceId`): the seconds since 1970, for instance.
    pub instance_id: u32,
    /// How often each datagram to a group is sent again; 2 times by default (SOAP-over-UDP 1.1 App. A:
    /// `MULTICAST_UDP_REPEAT`).
    pub multicast_repeat: u32,
    /// How often each answer is sent again; once by default (`UNICAST_UDP_REPEAT`).
    pub unicast_repeat: u32,
    /// The longest wait before an answer, at random; 500 ms by default (`APP_MAX_DELAY`).
    pub max_delay: Duration,
    /// How many messages wait to be sent at most; 1,024 by default.
    pub pending: usize,
    /// How many datagrams are sent a second as answers at most, to all together; 500 by default.
    pub rate: u32,
    /// The hop limit of what is sent to groups; `None`, the default, leaves it to the socket, which has 1.
    pub hops: Option<u8>,
}

impl TargetServiceConfig {
    /// A service of an endpoint and a type, with the defaults.
    pub fn new(endpoint: impl Into<String>, name: Name) -> Self {
        Self {
            endpoint: endpoint.into(),
            types: vec![name],
            scopes: Vec::new(),
            location: Location::None,
            addresses: Vec::new(),
            strangers: false,
            versions: Version::ALL.to_vec(),
            groups: groups().to_vec(),
            interfaces: Vec::new(),
            metadata_version: 1,
            instance_id: 1,
            multicast_repeat: 2,
            unicast_repeat: 1,
            max_delay: Duration::from_millis(500),
            pending: 1_024,
            rate: 500,
            hops: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Unsuitable> {
        if self.endpoint.is_empty() {
            return Err(Unsuitable("it has no endpoint"));
        }
        let names = self.types.iter().flat_map(|it| [&it.namespace, &it.local]);
        let texts = names
            .chain(&self.scopes)
            .map(String::as_str)
            .chain([self.endpoint.as_str(), self.location.text()]);
        // They stand in lists that white space divides.
        if texts
            .clone()
            .any(|text| text.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            return Err(Unsuitable("a text holds a space or a control character"));
        }
        // XML 1.0 §2.3, of what is ASCII.
        let is_local = |it: &Name| {
            let other = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "-._".contains(c);
            let begins = |c: char| other(c) && !c.is_ascii_digit() && !"-.".contains(c);
            it.local.starts_with(begins) && it.local.chars().all(other)
        };
        if !self.types.iter().all(is_local) {
            return Err(Unsuitable("the name of a type is no name of XML"));
        }
        let service = Service {
            endpoint: self.endpoint.clone(),
            types: self.types.clone(),
            scopes: self.scopes.clone(),
            addresses: match &self.location {
                // The longest address of this host.
                Location::Here { path, .. } => {
                    vec![format!("http://[{}]:65535{path}", "ffff:".repeat(8))]
                }
                Location::Url(url) => vec![url.clone()],
                Location::None => Vec::new(),
            },
            metadata_version: Some(u32::MAX),
        };
        let id = "x".repeat(45);
        for version in Version::ALL {
            let mut message = Message::new(version, &id, Body::ProbeMatches(vec![service.clone()]));
            message.relates_to = Some("x".repeat(super::target_service::MAX_ID));
            message.sequence = Some(Sequence {
                instance: u32::MAX,
                id: None,
                number: u32::MAX,
            });
            if message.emit().len() > MAX_SENT {
                return Err(Unsuitable(
                    "the texts are too long for one datagram of 1,452 bytes",
                ));
            }
        }
        Ok(())
    }
}

/// Why a [`TargetService`](super::TargetService) cannot be as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuitable(pub(super) &'static str);

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot announce the service: {}", self.0)
    }
}

impl std::error::Error for Unsuitable {}
