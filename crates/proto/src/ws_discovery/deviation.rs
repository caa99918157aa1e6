//! What real devices send otherwise than the standard says, and what is understood all the same.

use std::fmt;

/// One way in which a message differs from the standard and is understood all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Deviation {
    /// A zero follows the message.
    Zero,
    /// The envelope is one of SOAP 1.1, not 1.2.
    Soap,
    /// The version of WS-Addressing is not that of the version of WS-Discovery.
    Addressing,
    /// `wsa:Action` is missing, or is not that of the message.
    Action,
    /// `wsa:MessageID` is missing.
    NoMessageId,
    /// `d:AppSequence` is missing.
    NoSequence,
    /// `d:MetadataVersion` is missing.
    NoMetadataVersion,
    /// A number is none, or is out of its range; it is left out.
    Number,
    /// The prefix of a type was not declared; the type has no namespace then.
    Prefix,
    /// `wsa:RelatesTo` has what was asked in another spelling.
    RelatesTo,
}

impl Deviation {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Zero,
        Self::Soap,
        Self::Addressing,
        Self::Action,
        Self::NoMessageId,
        Self::NoSequence,
        Self::NoMetadataVersion,
        Self::Number,
        Self::Prefix,
        Self::RelatesTo,
    ];
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "a zero at the end",
            Self::Soap => "SOAP 1.1",
            Self::Addressing => "another version of WS-Addressing",
            Self::Action => "no Action, or another one",
            Self::NoMessageId => "no MessageID",
            Self::NoSequence => "no AppSequence",
            Self::NoMetadataVersion => "no MetadataVersion",
            Self::Number => "a number is none, or out of range",
            Self::Prefix => "the prefix of a type is not declared",
            Self::RelatesTo => "RelatesTo in another spelling",
        })
    }
}

/// A set of deviations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deviations(u16);

impl Deviations {
    pub(super) const fn note(&mut self, deviation: Deviation) {
        self.0 |= 1 << deviation as u16;
    }

    /// These and others.
    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
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
