//! Blocks have 16 bits on the wire, and files have more blocks than that.

/// What follows on block 65,535. RFC 1350 does not say; both are met in the field, and a file of
/// more than 65,535 blocks needs the same on both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RollOver {
    /// Block 0, as most do.
    #[default]
    Zero,
    /// Block 1.
    One,
}

impl RollOver {
    /// The number on the wire of a block, which are counted from 1.
    pub(super) fn wire_number(self, block: u64) -> u16 {
        let number = match self {
            Self::Zero => block % 65_536,
            Self::One if block == 0 => 0,
            Self::One => (block - 1) % 65_535 + 1,
        };
        u16::try_from(number).unwrap_or_default()
    }

    /// The block nearest to `near` that has this number on the wire, if there is one.
    pub(super) fn nearest(self, wire: u16, near: u64) -> Option<u64> {
        let (wire, period) = match (self, u64::from(wire)) {
            (Self::Zero, wire) => (wire, 65_536),
            // Only the very first acknowledgment has the number 0.
            (Self::One, 0) => return (near < 32_768).then_some(0),
            (Self::One, wire) => (wire, 65_535),
        };
        let round = (near + period / 2).saturating_sub(wire) / period;
        Some(round * period + wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_the_wire() {
        for roll_over in [RollOver::Zero, RollOver::One] {
            for block in (0..400_000_u64).step_by(7) {
                let wire = roll_over.wire_number(block);
                for off in [0, 1, 1_000, 32_000] {
                    for near in [block + off, block.saturating_sub(off)] {
                        if wire == 0 && roll_over == RollOver::One {
                            continue;
                        }
                        let found = roll_over.nearest(wire, near);
                        assert_eq!(found, Some(block), "{roll_over:?} {near}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_follows_on_the_last_number_is_chosen() {
        let around =
            |roll_over: RollOver| [65_535, 65_536, 65_537].map(|it| roll_over.wire_number(it));
        assert_eq!(around(RollOver::Zero), [65_535, 0, 1]);
        assert_eq!(around(RollOver::One), [65_535, 1, 2]);
    }
}
