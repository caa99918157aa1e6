//! How routers are asked to treat what is sent.

use std::fmt;

/// A differentiated services code point, from 0 to 63 (RFC 2474 §3): which queue of a router a packet
/// goes into. 0 is the usual one.
///
/// ```
/// use manycast_types::{Dscp, Transmit};
///
/// let mut urgent = Transmit::new(([239, 192, 0, 100], 5000).into(), "hello");
/// urgent.dscp = Some(Dscp::EF);
/// assert_eq!(Dscp::new(46), Some(Dscp::EF));
/// assert_eq!(Dscp::new(64), None, "it has six bits");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dscp(u8);

impl Dscp {
    /// Expedited forwarding, 46 (RFC 3246): for little that must not wait, such as speech.
    pub const EF: Self = Self(46);

    /// The code point of this number; `None` beyond 63.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 64 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, from 0 to 63.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The TOS or traffic class octet with this code point and no congestion mark.
    pub const fn octet(self) -> u8 {
        self.0 << 2
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Dscp;
    use crate::{Ecn, Transmit};

    #[test]
    fn none_is_beyond_its_six_bits() {
        let mut transmit = Transmit::new(([127, 0, 0, 1], 1).into(), ());
        for number in 0..=u8::MAX {
            let dscp = Dscp::new(number);
            assert_eq!(dscp.map(Dscp::get), (number < 64).then_some(number));
            (transmit.dscp, transmit.ecn) = (dscp, Some(Ecn::Ce));
            let octet = transmit.traffic_class().unwrap();
            assert_eq!(octet, dscp.map_or(0, |_| number << 2) | 0b11);
        }
    }
}
