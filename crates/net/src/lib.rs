//! Sockets that know no protocol: UDP and UDP multicast, correct on hosts with several interfaces.

mod error;

pub use error::{Error, ErrorKind, Operation};
