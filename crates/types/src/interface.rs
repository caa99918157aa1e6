//! Which interface is meant, and which it was.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::Malformed;

/// How an interface is chosen: by name, by index, or by an address of its own.
///
/// ```
/// use manycast_types::InterfaceSelector;
///
/// assert_eq!("eth0".parse(), Ok(InterfaceSelector::Name("eth0".into())));
/// assert_eq!("3".parse(), Ok(InterfaceSelector::Index(3)));
/// assert_eq!("10.0.0.5".parse(), Ok(InterfaceSelector::Address([10, 0, 0, 5].into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InterfaceSelector {
    /// The name that the system shows, such as `eth0`.
    Name(String),
    /// The index that the kernel gave, from 1. It changes when a device is recreated.
    Index(u32),
    /// A local address of the interface.
    Address(IpAddr),
}

impl FromStr for InterfaceSelector {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Err(Malformed::new("the interface is empty", 0));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(0) => Err(Malformed::new("interface indexes begin at 1", 0)),
                Ok(index) => Ok(Self::Index(index)),
                Err(_) => Err(Malformed::new(
                    format!("{text} is too large for an index"),
                    0,
                )),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        // The first six stand for something else in an address; the kernel forbids the rest.
        let forbidden = |c: char| "%@,[]:/".contains(c) || c.is_whitespace() || c.is_control();
        match text.find(forbidden) {
            Some(offset) => {
                let found = text[offset..].chars().next().unwrap_or_default();
                let what = format!("{found:?} cannot stand in the name of an interface");
                Err(Malformed::new(what, offset))
            }
            None => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for InterfaceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// An interface as the kernel knew it at one moment: index and name.
///
/// Cloning it copies no text, so each datagram can carry one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId {
    /// The kernel's index, from 1; 0 where the kernel did not say.
    pub index: u32,
    /// The name, such as `eth0`; empty where it is not known.
    pub name: Arc<str>,
}

impl InterfaceId {
    /// An interface of this index and name.
    pub fn new(index: u32, name: impl Into<Arc<str>>) -> Self {
        Self {
            index,
            name: name.into(),
        }
    }
}

impl fmt::Display for InterfaceId {
    /// Writes the name, or the index where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            self.index.fmt(f)
        } else {
            f.write_str(&self.name)
        }
    }
}
