//! Which datagrams of a round have come, and whether more are to be waited for.

use super::Counts;

/// Which datagrams of a round have come, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    group: u64,
    host: u64,
}

/// How many datagrams are awaited, how many had come when that was last looked at, and how often it
/// was looked at since more had come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Awaited {
    number: u32,
    came: u32,
    looks: u32,
}

/// How often nothing more must have come for the rest to be lost. Once is not enough: a host that is
/// short of time takes a datagram from one socket long after it has taken a later one from another.
const LOOKS: u32 = 3;

impl Seen {
    /// Notes a datagram. Those with a number that no round has are ignored.
    pub(super) fn add(&mut self, index: u8, by_group: bool) {
        let bit = 1_u64.checked_shl(index.into()).unwrap_or(0);
        if by_group {
            self.group |= bit;
        } else {
            self.host |= bit;
        }
    }

    pub(super) fn counts(self) -> Counts {
        let ones = |bits: u64| u8::try_from(bits.count_ones()).unwrap_or(u8::MAX);
        Counts {
            group: ones(self.group),
            host: ones(self.host),
        }
    }
}

impl Awaited {
    pub(super) fn of(number: u8) -> Self {
        Self {
            number: number.into(),
            ..Self::default()
        }
    }

    /// Takes in how many of a round have come so far. Whether that is all there is to wait for.
    pub(super) fn has_all(&mut self, counts: Counts) -> bool {
        let came = u32::from(counts.group) + u32::from(counts.host);
        if came > self.came {
            (self.came, self.looks) = (came, 0);
        } else {
            self.looks += 1;
        }
        came >= self.number || self.looks >= LOOKS
    }
}
