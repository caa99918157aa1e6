//! The one error of everything that parses.

use std::borrow::Cow;
use std::fmt;

/// What was wrong in a text or a datagram, and where.
///
/// ```
/// use manycast_types::Malformed;
///
/// let error = Malformed::new("the checksum is missing", 4);
/// assert_eq!(error.to_string(), "the checksum is missing (offset 4)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, as a clause that can follow a colon.
    pub what: Cow<'static, str>,
    /// Where the fault begins, in bytes from the start of the input.
    pub offset: usize,
}

impl Malformed {
    /// States what is wrong at `offset` bytes from the start of the input.
    pub fn new(what: impl Into<Cow<'static, str>>, offset: usize) -> Self {
        Self {
            what: what.into(),
            offset,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (offset {})", self.what, self.offset)
    }
}

impl std::error::Error for Malformed {}
