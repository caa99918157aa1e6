//! Streams: bytes without a length, in blocks that come and go.

mod incoming;
mod outgoing;

use super::message::FecId;

pub(super) use incoming::{Inflow, Told};
pub(super) use outgoing::Window;

/// The block of a stream nearest to `near` that is called `block` on the wire, where numbers go
/// round. `None` before the first and after the last.
// RFC 5510 §5.1: source block numbers have 24 bits; RFC 5445 §4.1: 32.
fn block_near(block: u32, near: u32, fec: FecId) -> Option<u32> {
    match fec {
        FecId::ReedSolomon8 | FecId::ReedSolomon => {
            let ahead = block.wrapping_sub(near) << 8;
            near.checked_add_signed(ahead.cast_signed() >> 8)
        }
        FecId::SmallBlock => Some(block),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_on_where_their_names_go_round() {
        let near = |block, near| block_near(block, near, FecId::ReedSolomon8);
        assert_eq!(near(5, 3), Some(5));
        assert_eq!(near(2, 0x00ff_fffe), Some(0x0100_0002));
        assert_eq!(near(0x00ff_fffe, 0x0100_0002), Some(0x00ff_fffe));
        assert_eq!(near(0x00ff_fffe, 2), None, "nothing is before the first");
        let small = block_near(7, 0xffff_0000, FecId::SmallBlock);
        assert_eq!(small, Some(7), "these have all their bits on the wire");
    }
}
