//! The error of everything here.

use std::fmt;
use std::io;

use crate::remedy::remedy;

/// What went wrong, why, and what to do next, in one sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something of the network.
    Network(manycast_io::Error),
    /// Something with a file: what was to be done to which, and why not.
    File {
        /// What was to be done, as in "read".
        verb: &'static str,
        /// To what.
        target: String,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be sent: which, and why not.
    Unsendable {
        /// The file.
        path: String,
        /// Why not, and what to do.
        why: String,
    },
    /// What was asked for does not go together.
    Unsuitable(String),
    /// Receivers that are expected did not answer: which, and what to do.
    Absent(String),
    /// It was stopped before anything came of it.
    Stopped,
}

impl Error {
    pub(crate) fn file(verb: &'static str, target: impl fmt::Display, source: io::Error) -> Self {
        Self::File {
            verb,
            target: target.to_string(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => error.fmt(f),
            Self::File {
                verb,
                target,
                source,
            } => {
                write!(f, "cannot {verb} {target}: {source}{}", remedy(source))
            }
            Self::Unsendable { path, why } => write!(f, "cannot send {path}: {why}"),
            Self::Unsuitable(why) | Self::Absent(why) => f.write_str(why),
            Self::Stopped => f.write_str("it was stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(error) => Some(error),
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<manycast_io::Error> for Error {
    fn from(error: manycast_io::Error) -> Self {
        Self::Network(error)
    }
}
