//! One way to say where.

mod mistakes;
pub(crate) mod parse;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::{Group, InterfaceSelector, Malformed, SourceFilter};

/// Where to listen or to send: sources, host or group, interface and port.
///
/// It has one text form, the same in Rust, on the command line, in Python, in configuration, in
/// logs and in JSON:
///
/// ```text
/// [SOURCE[,SOURCE…]@]HOST[%INTERFACE]:PORT
///
/// 239.192.0.100:5000                 a group, any source
/// 239.192.0.100%eth0:5000            … on one interface (name, index or local address)
/// 10.0.0.5@232.1.1.1%eth0:5000       … from one source only (SSM)
/// [ff15::1%eth0]:5000                IPv6; the zone stands inside the brackets (RFC 4007 §11)
/// fe80::5@[ff35::1%eth0]:5000        IPv6 SSM
/// 192.0.2.7:5005   localhost:8888    unicast; names are resolved
/// :8888                              any local address (listening only)
/// udp://@239.1.1.1:5000              what VLC, FFmpeg and multicat users paste; read, never written
/// ```
///
/// An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2), `[::ffff:192.0.2.7]:5005`, is read as the IPv4
/// address that it holds, and printed as that.
///
/// ```
/// use manycast_types::Address;
///
/// let address: Address = "10.0.0.5@232.1.1.1%eth0:5000".parse()?;
/// assert_eq!(address.port(), 5000);
/// assert_eq!(address.to_string(), "10.0.0.5@232.1.1.1%eth0:5000");
///
/// let error = "239.1.1.1:99999".parse::<Address>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "\"239.1.1.1:99999\": port 99999 is not between 0 and 65535 (column 11)"
/// );
/// # Ok::<(), manycast_types::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    sources: Vec<IpAddr>,
    host: Host,
    interface: Option<InterfaceSelector>,
    port: u16,
}

/// The host of an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Any local address; for listening only.
    Any,
    /// A group or one host, by number.
    Ip(IpAddr),
    /// A host by name, still to be resolved.
    Name(String),
}

impl Address {
    /// The sources that are wanted; empty means any.
    pub fn sources(&self) -> &[IpAddr] {
        &self.sources
    }

    /// The group or host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The interface, where one is named.
    pub const fn interface(&self) -> Option<&InterfaceSelector> {
        self.interface.as_ref()
    }

    /// The port, from 0 (any free one, when listening) to 65,535.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The group to join, if the address is one.
    pub fn group(&self) -> Option<Group> {
        let Host::Ip(address) = self.host else {
            return None;
        };
        address.is_multicast().then(|| Group {
            address,
            interface: self.interface.clone(),
            sources: match self.sources.as_slice() {
                [] => SourceFilter::any(),
                sources => SourceFilter::Include(sources.to_vec()),
            },
        })
    }

    /// The same address on `interface`.
    #[must_use]
    pub fn on(self, interface: InterfaceSelector) -> Self {
        Self {
            interface: Some(interface),
            ..self
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, source) in self.sources.iter().enumerate() {
            write!(f, "{}{source}", if i == 0 { "" } else { "," })?;
        }
        if !self.sources.is_empty() {
            f.write_str("@")?;
        }
        let bracketed = matches!(self.host, Host::Ip(IpAddr::V6(_)));
        if bracketed {
            f.write_str("[")?;
        }
        match &self.host {
            Host::Any => {}
            Host::Ip(address) => address.fmt(f)?,
            Host::Name(name) => f.write_str(name)?,
        }
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        if bracketed {
            f.write_str("]")?;
        }
        write!(f, ":{}", self.port)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse::address(text).map_err(|malformed| AddressError {
            text: text.to_owned(),
            malformed,
        })
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&&str> for Address {
    type Error = AddressError;

    /// An element of a borrowed list of texts.
    fn try_from(text: &&str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for Address {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<(&str, u16)> for Address {
    type Error = AddressError;

    /// Takes everything before the port as text, and the port as a number.
    fn try_from((host, port): (&str, u16)) -> Result<Self, AddressError> {
        parse::with_port(host, port).parse()
    }
}

impl From<SocketAddr> for Address {
    /// The zone of an IPv6 address, where there is one, becomes the interface's index. An IPv4-mapped
    /// address becomes the IPv4 address that it holds.
    fn from(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V6(address) => address.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        Self {
            sources: Vec::new(),
            host: Host::Ip(address.ip().to_canonical()),
            interface: (scope != 0).then_some(InterfaceSelector::Index(scope)),
            port: address.port(),
        }
    }
}

impl From<&Self> for Address {
    fn from(address: &Self) -> Self {
        address.clone()
    }
}

/// A text that is no [`Address`]: what is wrong with it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// The rejected text.
    pub text: String,
    /// What is wrong, and at which byte.
    pub malformed: Malformed,
}

impl AddressError {
    /// The column of the fault, in characters, from 1.
    pub fn column(&self) -> usize {
        let before = self.text.get(..self.malformed.offset).unwrap_or(&self.text);
        before.chars().count() + 1
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, malformed } = self;
        write!(f, "{text:?}: {} (column {})", malformed.what, self.column())
    }
}

impl std::error::Error for AddressError {}

impl From<Infallible> for AddressError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
