//! The error of everything here.

use std::fmt;
use std::io;

use manycast_proto::tftp::Failure;

use crate::remedy::remedy;

/// What went wrong, why, and what to do next, in one sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something of the network.
    Network(manycast_io::Error),
    /// Something with a file: what was to be done to which, and why not.
    File {
        /// What was to be done, as in "write".
        verb: &'static str,
        /// To what.
        target: String,
        /// Why not.
        source: io::Error,
    },
    /// The transfer failed.
    Transfer {
        /// What was to be done, as in "get boot.bin from 10.0.0.1:69".
        what: String,
        /// Why not.
        failure: Failure,
    },
    /// A text is no place of a file.
    Location {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was asked for does not go together.
    Unsuitable(&'static str),
    /// It was stopped.
    Stopped,
}

impl Error {
    pub(super) fn file(verb: &'static str, target: impl fmt::Display, source: io::Error) -> Self {
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
                write!(f, "cannot {verb} {target}: {source}")?;
                f.write_str(match source.kind() {
                    io::ErrorKind::NotFound if *verb == "read" => "; check its name",
                    io::ErrorKind::NotFound => "; see whether the folder is there",
                    _ => remedy(source),
                })
            }
            Self::Transfer { what, failure } => {
                write!(f, "cannot {what}: {failure}")?;
                match failure {
                    Failure::Unreachable(_) => {
                        f.write_str("; start a server there, or name its port: HOST:PORT/FILE")
                    }
                    Failure::HostUnreachable { .. } => {
                        f.write_str("; see whether the host is up, and its address is right")
                    }
                    Failure::Silent(_) => f.write_str(
                        "; see whether a server is there and no firewall drops its answers, which \
                         come from another port",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Location { text, why } => {
                write!(
                    f,
                    "{text:?} is no file on a server: {why}; write HOST/FILE or HOST:PORT/FILE"
                )
            }
            Self::Unsuitable(why) => f.write_str(why),
            Self::Stopped => f.write_str("it was stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(error) => Some(error),
            Self::File { source, .. } => Some(source),
            Self::Transfer { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

impl From<manycast_io::Error> for Error {
    fn from(error: manycast_io::Error) -> Self {
        Self::Network(error)
    }
}
