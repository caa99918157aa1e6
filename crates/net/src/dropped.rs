//! How much the kernel dropped on a socket.

use std::fmt;

/// The most datagrams that the kernel merges into one buffer (`UDP_MAX_SEGMENTS` of Linux 6.9; it was
/// 64 before).
const MAX_SEGMENTS: u64 = 128;

/// How much the kernel dropped on a socket, because its receive buffer was full, since it was opened.
///
/// The kernel counts the buffers that it could not queue. Where it merges what is received
/// ([`SocketConfig::merge_received`](crate::SocketConfig::merge_received), `UDP_GRO`), a buffer is of
/// one datagram or of several, and how many is not told. The count of datagrams is then known by its
/// bounds alone, and prints so:
///
/// ```
/// use manycast_net::Dropped;
///
/// let buffers = Dropped::new(3, false);
/// assert_eq!(buffers.to_string(), "at least 3");
/// assert_eq!(buffers.datagrams(), 3..=384);
/// let datagrams = Dropped::new(3, true);
/// assert_eq!(datagrams.to_string(), "3");
/// assert_eq!(datagrams.datagrams(), 3..=3);
/// assert_eq!((buffers + datagrams).to_string(), "at least 6");
/// assert_eq!((Dropped::default() + datagrams).to_string(), "3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The number of buffers.
    pub count: u64,
    /// Whether each was of one datagram; otherwise `count` is the least number of datagrams.
    pub is_exact: bool,
}

impl Dropped {
    /// So many buffers, each of one datagram if `is_exact`.
    pub const fn new(count: u64, is_exact: bool) -> Self {
        Self { count, is_exact }
    }

    /// The least and the greatest number of datagrams that these can have been.
    pub const fn datagrams(self) -> std::ops::RangeInclusive<u64> {
        let most = if self.is_exact {
            self.count
        } else {
            self.count.saturating_mul(MAX_SEGMENTS)
        };
        self.count..=most
    }
}

impl Default for Dropped {
    /// Nothing, for certain.
    fn default() -> Self {
        Self::new(0, true)
    }
}

impl fmt::Display for Dropped {
    /// Writes the count, and "at least" before it where it is a bound. Of nothing it is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_exact && self.count > 0 {
            f.write_str("at least ")?;
        }
        self.count.fmt(f)
    }
}

impl std::ops::Add for Dropped {
    type Output = Self;

    /// What two sockets dropped together; exact if both are.
    fn add(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            is_exact: self.is_exact && other.is_exact,
        }
    }
}
