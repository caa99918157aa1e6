//! What is found.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, Malformed, needs_zone};

use crate::Error;

/// A protocol by which services are found and announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiscoveryProtocol {
    /// DNS-Based Service Discovery (RFC 6763) by Multicast DNS (RFC 6762): 224.0.0.251 and ff02::fb, port 5353.
    DnsSd,
    /// The Simple Service Discovery Protocol of UPnP: 239.255.255.250, ff02::c and ff05::c, port 1900.
    Ssdp,
    /// Web Services Dynamic Discovery, of Windows, printers and cameras: 239.255.255.250 and ff02::c, port 3702.
    WsDiscovery,
}

impl DiscoveryProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DnsSd, Self::Ssdp, Self::WsDiscovery];

    /// Its name, which [`FromStr`] reads: `dns-sd`, `ssdp`, `ws-discovery`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DnsSd => "dns-sd",
            Self::Ssdp => "ssdp",
            Self::WsDiscovery => "ws-discovery",
        }
    }
}

impl fmt::Display for DiscoveryProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DiscoveryProtocol {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Malformed::new(format!("{text:?} is no protocol; write one of {names}"), 0)
        })
    }
}

/// Something that a device offers, as one protocol tells of it.
///
/// Several addresses may tell of it, and not the same. All of their addresses and attributes are there; its name, its kind,
/// its host and its port are what that one says which is known for longest. So whoever comes later can add to it, and
/// not change it.
///
/// Texts are what the device has sent: they may be long, wrong, or hold characters that a terminal obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// The protocol that tells of it.
    pub protocol: DiscoveryProtocol,
    /// What it is known by within the protocol: the full name of an instance (`Web._http._tcp.local.`), a USN
    /// (`uuid:…::urn:…`), or an endpoint (`urn:uuid:…`).
    pub id: String,
    /// Its name for people: that of an instance; of SSDP, what the device says its system and program are; of WS-Discovery
    /// the name of a camera; empty where nothing is said.
    pub name: String,
    /// What it is: `_http._tcp`, `urn:schemas-upnp-org:device:MediaServer:1`, or types such as
    /// `{http://www.onvif.org/ver10/network/wsdl}NetworkVideoTransmitter` with a space between them.
    pub kind: String,
    /// The UUID of its device, in lower case, without what stands around it.
    pub uuid: Option<String>,
    /// The name of its host (`nas.local.`), which DNS-SD tells.
    pub host: Option<String>,
    /// Where it can be reached, and by which interfaces of this host; those that were found last come first.
    pub addresses: Vec<ServiceAddress>,
    /// Its port, where it is known.
    pub port: Option<u16>,
    /// What else is said of it: the TXT record of DNS-SD; of SSDP the headers LOCATION, SECURELOCATION and SERVER; of
    /// WS-Discovery each of XADDRS, and each SCOPE.
    pub attributes: Vec<Attribute>,
    /// When it was heard last.
    pub heard: Instant,
    /// For how long from then on that holds, where the protocol tells.
    pub lifetime: Option<Duration>,
}

impl Service {
    /// A service of which no more is known than this; the other fields can be set after that.
    pub fn new(
        protocol: DiscoveryProtocol,
        id: impl Into<String>,
        kind: impl Into<String>,
        heard: Instant,
    ) -> Self {
        Self {
            protocol,
            id: id.into(),
            name: String::new(),
            kind: kind.into(),
            uuid: None,
            host: None,
            addresses: Vec::new(),
            port: None,
            attributes: Vec::new(),
            heard,
            lifetime: None,
        }
    }

    /// An attribute by its name, without case (RFC 6763 §6.4).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let mut all = self.attributes.iter();
        all.find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// Whether both are the same service, however it may have changed.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.protocol, &self.id) == (other.protocol, &other.id)
    }
}

/// An address of a service, and the interface of this host that leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAddress {
    /// The address.
    pub ip: IpAddr,
    /// The interface by which it was heard.
    pub interface: InterfaceId,
}

impl fmt::Display for ServiceAddress {
    /// As it stands in an [`Address`](manycast_types::Address): with the zone where the address needs one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match needs_zone(self.ip) {
            true => write!(f, "{}%{}", self.ip, self.interface),
            false => self.ip.fmt(f),
        }
    }
}

/// A part of what a service says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value: bytes, mostly UTF-8; `None` where it is there without one (RFC 6763 §6.4).
    pub value: Option<Vec<u8>>,
}

impl Attribute {
    /// One with a text for a value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Some(value.into().into_bytes()),
        }
    }

    /// Whether DNS-SD can carry it.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`]: the name is not one character of printable ASCII or more without `=`, or
    /// name and value have more than 255 bytes together, a `=` between them included (RFC 6763 §6.1, §6.4).
    pub fn check(&self) -> Result<(), Error> {
        let name = &self.name;
        let is_key = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'=';
        if name.is_empty() || !name.bytes().all(is_key) {
            return Err(Error::Unsuitable(format!(
                "{name:?} is no key of printable ASCII without =; write path=/"
            )));
        }
        let length = name.len() + self.value.as_ref().map_or(0, |value| 1 + value.len());
        if length > 255 {
            return Err(Error::Unsuitable(format!(
                "a key and its value have 255 bytes at most, and those of {name} have {length}"
            )));
        }
        Ok(())
    }

    /// The value where it is there and is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.value.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_sd_carries_keys_of_printable_ascii_and_255_bytes_in_all() {
        let value = |length| "v".repeat(length);
        for (name, value, is_carried) in [
            ("path", "/".to_owned(), true),
            ("", "/".to_owned(), false),
            ("a=b", "/".to_owned(), false),
            ("größe", "/".to_owned(), false),
            ("key", value(251), true),
            ("key", value(252), false),
        ] {
            let attribute = Attribute::new(name, value);
            assert_eq!(attribute.check().is_ok(), is_carried, "{attribute:?}");
        }
        let name = "k".repeat(255);
        let bare = Attribute { name, value: None };
        assert!(bare.check().is_ok());
    }
}
