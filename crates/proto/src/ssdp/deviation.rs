//! What real devices send otherwise than the standard says, and what is understood all the same.

use std::fmt;

/// One way in which a message differs from the standard and is understood all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Deviation {
    /// Lines end with a line feed alone (RFC 9112 §2.2).
    LineFeed,
    /// The empty line at the end is missing.
    NoEnd,
    /// Something follows the headers.
    Body,
    /// A method, or a word such as `ssdp:alive`, is in another case.
    Case,
    /// The version is not HTTP/1.1, or what is asked for is not `*`.
    StartLine,
    /// White space stands before a name or a colon, or a line goes on in the next (RFC 9112 §5.1, §5.2).
    Space,
    /// A line among the headers is none.
    Line,
    /// A header stands twice; the first counts.
    Twice,
    /// A text is not UTF-8.
    Encoding,
    /// A number is none, or is out of its range; it is left out.
    Number,
    /// HOST is missing.
    NoHost,
    /// MAN is missing.
    NoMan,
    /// The value of MAN has no quotes.
    Unquoted,
    /// USN is missing.
    NoUsn,
    /// LOCATION is missing.
    NoLocation,
    /// CACHE-CONTROL with `max-age` is missing.
    NoMaxAge,
}

impl Deviation {
    /// All of them, in order.
    pub const ALL: [Self; 16] = [
        Self::LineFeed,
        Self::NoEnd,
        Self::Body,
        Self::Case,
        Self::StartLine,
        Self::Space,
        Self::Line,
        Self::Twice,
        Self::Encoding,
        Self::Number,
        Self::NoHost,
        Self::NoMan,
        Self::Unquoted,
        Self::NoUsn,
        Self::NoLocation,
        Self::NoMaxAge,
    ];
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineFeed => "lines end with LF alone",
            Self::NoEnd => "no empty line at the end",
            Self::Body => "something follows the headers",
            Self::Case => "a method or keyword in another case",
            Self::StartLine => "the first line is not that of HTTP/1.1 and *",
            Self::Space => "white space where none may be",
            Self::Line => "a line that is no header",
            Self::Twice => "a header stands twice",
            Self::Encoding => "a text is not UTF-8",
            Self::Number => "a number is none, or out of range",
            Self::NoHost => "no HOST",
            Self::NoMan => "no MAN",
            Self::Unquoted => "MAN without quotes",
            Self::NoUsn => "no USN",
            Self::NoLocation => "no LOCATION",
            Self::NoMaxAge => "no max-age",
        })
    }
}

/// A set of deviations.
///
/// ```
/// use manycast_proto::ssdp::{Deviation, parse};
///
/// let payload = b"notify * HTTP/1.1\nHost: 239.255.255.250:1900\nNT: upnp:rootdevice\n\
///     NTS: ssdp:byebye\nUSN: uuid:1::upnp:rootdevice\n\n";
/// let (_, deviations) = parse(payload)?;
/// assert_eq!(deviations.iter().collect::<Vec<_>>(), [Deviation::LineFeed, Deviation::Case]);
/// assert_eq!(deviations.to_string(), "lines end with LF alone, a method or keyword in another case");
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deviations(u16);

impl Deviations {
    pub(super) const fn note(&mut self, deviation: Deviation) {
        self.0 |= 1 << deviation as u16;
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.0 & (1 << deviation as u16) != 0
    }

    /// Which they are, in order.
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL
            .into_iter()
            .filter(move |deviation| self.contains(*deviation))
    }
}

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, deviation) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            deviation.fmt(f)?;
        }
        Ok(())
    }
}
