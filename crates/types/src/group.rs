//! What a listener is a member of.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::parse;
use crate::{AddressError, InterfaceSelector};

/// A multicast group, on one interface or on all, from any source or from chosen ones.
///
/// ```
/// use manycast_types::{Group, SourceFilter};
///
/// let group = Group::new([232, 1, 1, 1].into()).with_sources([[10, 0, 0, 5].into()]);
/// assert_eq!(group.to_string(), "10.0.0.5@232.1.1.1");
/// assert!(group.sources.admits([10, 0, 0, 5].into()));
/// assert!(!group.sources.admits([10, 0, 0, 6].into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The group's address, within 224.0.0.0/4 or ff00::/8.
    pub address: IpAddr,
    /// Where to join; `None` means every interface that is up and can multicast.
    pub interface: Option<InterfaceSelector>,
    /// Whose datagrams are wanted.
    pub sources: SourceFilter,
}

impl Group {
    /// The group on every interface and from any source.
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
            interface: None,
            sources: SourceFilter::any(),
        }
    }

    /// The same group on one interface.
    #[must_use]
    pub fn on(self, interface: InterfaceSelector) -> Self {
        Self {
            interface: Some(interface),
            ..self
        }
    }

    /// The same group from these sources only (source-specific multicast, RFC 4607).
    #[must_use]
    pub fn with_sources(self, sources: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            sources: SourceFilter::Include(sources.into_iter().collect()),
            ..self
        }
    }

    /// The same group from all but these sources (RFC 3376, EXCLUDE mode).
    #[must_use]
    pub fn without_sources(self, sources: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            sources: SourceFilter::Exclude(sources.into_iter().collect()),
            ..self
        }
    }
}

impl fmt::Display for Group {
    /// Writes `SOURCE,…@GROUP%INTERFACE`, with `!` before sources that are excluded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, sources) = match &self.sources {
            SourceFilter::Include(sources) => ("", sources),
            SourceFilter::Exclude(sources) => ("!", sources),
        };
        for (i, source) in sources.iter().enumerate() {
            write!(f, "{}{source}", if i == 0 { mark } else { "," })?;
        }
        if !sources.is_empty() {
            f.write_str("@")?;
        }
        self.address.fmt(f)?;
        match &self.interface {
            Some(interface) => write!(f, "%{interface}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Group {
    type Err = AddressError;

    /// Reads `[SOURCE[,SOURCE…]@]GROUP[%INTERFACE]`: an [`Address`](crate::Address) without port.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse::group(text).map_err(|malformed| AddressError {
            text: text.to_owned(),
            malformed,
        })
    }
}

impl TryFrom<&str> for Group {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<IpAddr> for Group {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

/// Whose datagrams a member of a group wants (RFC 3376 §3: filter mode and source list).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceFilter {
    /// Those of the listed sources only. An empty list admits nothing.
    Include(Vec<IpAddr>),
    /// Those of all sources but the listed. An empty list admits everything.
    Exclude(Vec<IpAddr>),
}

impl SourceFilter {
    /// Any source: excludes none.
    pub const fn any() -> Self {
        Self::Exclude(Vec::new())
    }

    /// Whether datagrams of `source` are wanted.
    pub fn admits(&self, source: IpAddr) -> bool {
        match self {
            Self::Include(sources) => sources.contains(&source),
            Self::Exclude(sources) => !sources.contains(&source),
        }
    }
}
