//! A datagram that was handed to the kernel, and how it left.

use std::fmt;

use manycast::Sent;
use serde::Serialize;

use super::{Escaped, named};

/// A datagram that was handed to the kernel. The names and the order of the fields are part of what
/// scripts rely on.
#[derive(Serialize)]
pub(crate) struct Report {
    event: &'static str,
    bytes: usize,
    to: String,
    from: String,
    interface: String,
    hops: u8,
}

impl From<&Sent> for Report {
    fn from(sent: &Sent) -> Self {
        Self {
            event: "sent",
            bytes: sent.bytes,
            to: named(sent.to, &sent.interface),
            from: named(sent.from, &sent.interface),
            interface: sent.interface.to_string(),
            hops: sent.hops,
        }
    }
}

impl Report {
    /// How it leaves: `239.1.1.1:5000 from 10.0.0.1:40000 by eth0, hop limit 1`.
    pub(crate) fn egress(&self) -> String {
        // The name of an interface, which is part of all three, may hold anything.
        let [to, from, interface] =
            [&self.to, &self.from, &self.interface].map(|name| Escaped(name));
        format!("{to} from {from} by {interface}, hop limit {}", self.hops)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.bytes == 1 { "" } else { "s" };
        write!(f, "{} byte{plural} to {}", self.bytes, self.egress())
    }
}
