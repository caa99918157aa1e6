//! What is to be announced, in the words of each protocol.

use std::time::SystemTime;

use manycast_io::interfaces;
use manycast_proto::ssdp::{DeviceConfig, LocalAddress, Location};
use manycast_proto::ws_discovery::{TargetServiceConfig, device_type};
use manycast_types::{InterfaceSelector, Malformed};

use crate::dns_sd;
use crate::what::service_type;
use crate::{Attribute, DiscoveryProtocol, Error, uuid, ws_discovery};

/// The type of a device that is nothing else (UPnP Basic Device 1.0).
const BASIC: &str = "urn:schemas-upnp-org:device:Basic:1";

/// A service that is to be announced.
///
/// ```
/// use manycast::discovery::{Announcement, Attribute};
///
/// let mut announcement = Announcement::new("My web", "_http._tcp", 8080);
/// announcement.attributes = vec![Attribute::new("path", "/index.html")];
/// # drop(announcement);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announcement {
    /// Its name for people: by DNS-SD that of the instance, 63 bytes at most (RFC 6763 §4.1.1).
    pub name: String,
    /// What it is, in the words of each protocol: `_http._tcp` is for DNS-SD, `urn:…:device:…` or `urn:…:service:…` for
    /// SSDP, `wsdp:Device` or `{NAMESPACE}NAME` for WS-Discovery.
    pub kinds: Vec<String>,
    /// Its port.
    pub port: u16,
    /// What else is to be known: by DNS-SD the TXT record.
    pub attributes: Vec<Attribute>,
    /// By which protocols; those that have a kind, where none is named. SSDP without a kind announces
    /// `urn:schemas-upnp-org:device:Basic:1`, and WS-Discovery `wsdp:Device`.
    pub protocols: Vec<DiscoveryProtocol>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// The UUID of the device, by SSDP and WS-Discovery; a random one where it is `None`. Those who look know a device by it.
    pub uuid: Option<String>,
    /// Where the description of the device is, by SSDP and WS-Discovery: `http://ADDRESS:PORT` and this path, which begins
    /// with `/` and has no spaces; `/` by default.
    pub path: String,
}

impl Announcement {
    /// A service of a name and a kind at a port.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            kinds: vec![kind.into()],
            port,
            attributes: Vec::new(),
            protocols: Vec::new(),
            interfaces: Vec::new(),
            uuid: None,
            path: "/".to_owned(),
        }
    }

    /// Which kinds are for which protocol.
    fn kinds_of(&self, protocol: DiscoveryProtocol) -> impl Iterator<Item = &String> {
        let kinds = self.kinds.iter();
        kinds.filter(move |kind| protocol_of(kind) == Some(protocol))
    }

    /// The types of devices that it is by SSDP; all other kinds there are services of the device.
    fn device_types(&self) -> impl Iterator<Item = &String> {
        let kinds = self.kinds_of(DiscoveryProtocol::Ssdp);
        kinds.filter(|kind| !is_service(kind))
    }

    /// Whether it is announced by a protocol.
    pub fn uses(&self, protocol: DiscoveryProtocol) -> bool {
        match self.protocols.is_empty() {
            true => self.kinds_of(protocol).next().is_some(),
            false => self.protocols.contains(&protocol),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::Unsuitable(why));
        if let Some(kind) = self.kinds.iter().find(|kind| protocol_of(kind).is_none()) {
            return wrong(format!(
                "{kind:?} is no kind of service; write a type such as _http._tcp, or urn:schemas-upnp-org:device:Basic:1"
            ));
        }
        if self.kinds.is_empty() && self.protocols.is_empty() {
            return wrong("no kind of service is named; name one such as _http._tcp".to_owned());
        }
        if self.port == 0 {
            return wrong("nobody can reach port 0; name the port of the service".to_owned());
        }
        if let Some(uuid) = &self.uuid
            && !uuid::is_one(&uuid::plain(uuid))
        {
            return wrong(format!(
                "{uuid:?} is no UUID; write one such as 4d696e69-5061-4a56-b7a1-3d8b9d7a1c45, or none for a random \
                 one"
            ));
        }
        if let [first, second, ..] = self.device_types().collect::<Vec<_>>()[..]
            && self.uses(DiscoveryProtocol::Ssdp)
        {
            return wrong(format!(
                "{first} and {second} are two devices, and SSDP announces one; announce the second by a process of its own"
            ));
        }
        let has_path = [DiscoveryProtocol::Ssdp, DiscoveryProtocol::WsDiscovery];
        let is_bad = |letter: char| letter.is_whitespace() || letter.is_control();
        if has_path.into_iter().any(|it| self.uses(it))
            && (!self.path.starts_with('/') || self.path.contains(is_bad))
        {
            let path = self.path.trim_start_matches('/').replace(' ', "%20");
            return wrong(format!(
                "{:?} is no path of a URL; write /{}",
                self.path,
                path.replace(is_bad, "")
            ));
        }
        if self.uses(DiscoveryProtocol::DnsSd) {
            let kinds: Vec<_> = self.kinds_of(DiscoveryProtocol::DnsSd).collect();
            if kinds.is_empty() {
                return wrong("DNS-SD needs a type; name one such as _http._tcp".to_owned());
            }
            for kind in kinds {
                if let Err(Malformed { what, .. }) = service_type(kind) {
                    return wrong(format!("{kind:?} is no type of DNS-SD: {what}"));
                }
            }
            self.attributes.iter().try_for_each(Attribute::check)?;
            // RFC 6763 §4.1.1: 63 bytes of Net-Unicode, without control characters.
            if self.name.is_empty() || self.name.len() > 63 {
                return wrong(
                    "the name of an instance has 1 to 63 bytes; choose another".to_owned(),
                );
            }
            if self.name.chars().any(char::is_control) {
                return wrong("the name holds a control character; choose another".to_owned());
            }
        }
        Ok(())
    }

    /// The device of SSDP that it is, which can be asked by itself at this port.
    pub(crate) fn device(&self, uuid: &str, port: u16) -> Result<DeviceConfig, Error> {
        let device = self.device_types().next().map_or(BASIC, String::as_str);
        let mut config = DeviceConfig::new(uuid, device);
        let kinds = self.kinds_of(DiscoveryProtocol::Ssdp);
        config.root.services = kinds.filter(|kind| is_service(kind)).cloned().collect();
        config.location = Location::Here {
            port: self.port,
            path: self.path.clone(),
        };
        config.addresses = addresses()?;
        config.interfaces = self.interfaces.clone();
        config.boot_id = start();
        config.search_port = Some(port);
        Ok(config)
    }

    /// The service of WS-Discovery that it is.
    pub(crate) fn target_service(&self, uuid: &str) -> Result<TargetServiceConfig, Error> {
        let kinds = self.kinds_of(DiscoveryProtocol::WsDiscovery);
        let mut types: Vec<_> = kinds.filter_map(|kind| ws_discovery::name(kind)).collect();
        if types.is_empty() {
            types.push(device_type());
        }
        let mut config = TargetServiceConfig::new(format!("urn:uuid:{uuid}"), device_type());
        config.types = types;
        config.location = Location::Here {
            port: self.port,
            path: self.path.clone(),
        };
        config.addresses = addresses()?;
        config.interfaces = self.interfaces.clone();
        config.instance_id = start();
        Ok(config)
    }

    pub(crate) fn uuid(&self) -> String {
        match &self.uuid {
            Some(uuid) => uuid::plain(uuid),
            None => uuid::random(),
        }
    }
}

/// The type as the library wants it.
pub(crate) fn types(announcement: &Announcement) -> Result<Vec<String>, Error> {
    let kinds = announcement.kinds_of(DiscoveryProtocol::DnsSd);
    let types = kinds.map(|kind| match service_type(kind) {
        Ok(bare) => Ok(format!("{bare}{}", dns_sd::DOMAIN)),
        Err(Malformed { what, .. }) => Err(Error::Unsuitable(what.into_owned())),
    });
    types.collect()
}

/// What rises with each start: the seconds since 1970, which fit until 2038, and are cut then.
fn start() -> u32 {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = seconds.map_or(1, |since| since.as_secs() & 0x7fff_ffff);
    u32::try_from(seconds).unwrap_or(1)
}

/// Which protocol a kind is for, by its form.
fn protocol_of(kind: &str) -> Option<DiscoveryProtocol> {
    let is_urn = kind
        .get(..4)
        .is_some_and(|it| it.eq_ignore_ascii_case("urn:"));
    match kind.starts_with('_') {
        true => Some(DiscoveryProtocol::DnsSd),
        false if is_urn => Some(DiscoveryProtocol::Ssdp),
        false => ws_discovery::name(kind).map(|_| DiscoveryProtocol::WsDiscovery),
    }
}

/// Whether a kind of SSDP is a service, and not a device.
fn is_service(kind: &str) -> bool {
    kind.to_ascii_lowercase().contains(":service:")
}

/// The addresses of this host, in a fixed order. Nothing can be sent from one whose detection of duplicates still goes
/// on, as after an interface came up; its end is a change, so that all is announced then.
pub(crate) fn addresses() -> Result<Vec<LocalAddress>, Error> {
    let mut addresses = Vec::new();
    for interface in interfaces()? {
        let usable = interface.addresses.iter().filter(|own| own.is_usable());
        addresses.extend(usable.map(|own| LocalAddress {
            interface: interface.index,
            address: own.address,
            prefix: own.prefix,
        }));
    }
    Ok(addresses)
}
