//! The error of everything here.

use std::fmt;

use manycast_proto::{ssdp, ws_discovery};

/// What went wrong, why, and what to do next, in one sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something of the network.
    Network(manycast_io::Error),
    /// The library for DNS-SD could not do something: what was to be done, and why not.
    DnsSd {
        /// What was to be done, as in "announce Web._http._tcp".
        what: String,
        /// Why not, as that library says it.
        why: String,
    },
    /// What was asked for does not go together: what is wrong, and what would be right.
    Unsuitable(String),
}

impl Error {
    pub(crate) fn dns_sd(what: impl Into<String>) -> impl FnOnce(mdns_sd::Error) -> Self {
        let what = what.into();
        move |error| Self::DnsSd {
            what,
            why: error.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => error.fmt(f),
            Self::DnsSd { what, why } => write!(f, "cannot {what} by DNS-SD: {why}"),
            Self::Unsuitable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(error) => error.source(),
            Self::DnsSd { .. } | Self::Unsuitable(_) => None,
        }
    }
}

impl From<manycast_io::Error> for Error {
    fn from(error: manycast_io::Error) -> Self {
        Self::Network(error)
    }
}

impl From<ssdp::Unsuitable> for Error {
    fn from(error: ssdp::Unsuitable) -> Self {
        Self::Unsuitable(error.to_string())
    }
}

impl From<ws_discovery::Unsuitable> for Error {
    fn from(error: ws_discovery::Unsuitable) -> Self {
        Self::Unsuitable(error.to_string())
    }
}
