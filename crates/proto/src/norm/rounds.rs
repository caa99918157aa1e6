//! How long requests keep a sender from its end.

use super::object::Number;

/// How often in a row receivers asked for what they had asked for before.
///
/// Receivers that are served ask for less from round to round, or for what comes later, where they
/// have no room for all. Who asks for the same again and again is not served by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    /// The least that was asked for, in symbols.
    least: Option<u64>,
    /// The last of the places at which requests began.
    furthest: Option<(Number, u32)>,
    in_vain: u32,
}

impl Rounds {
    /// Takes in a round in which `symbols` are asked for, the first of them at `place`.
    pub(super) fn add(&mut self, symbols: u64, place: (Number, u32)) {
        // An eighth less, or one who asks for one symbol less each time would be served for long.
        let less = |least: u64| symbols.saturating_add(least / 8) < least;
        let less = self.least.is_none_or(less);
        let later = self.furthest.is_none_or(|furthest| place > furthest);
        if less {
            self.least = Some(symbols);
        }
        if later {
            self.furthest = Some(place);
        }
        self.in_vain = if less || later { 0 } else { self.in_vain + 1 };
    }

    /// Whether `most` rounds in a row brought nobody further.
    pub(super) const fn are_in_vain(&self, most: u32) -> bool {
        self.in_vain >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_less_is_served() {
        let mut rounds = Rounds::default();
        for symbols in (0..100).rev() {
            rounds.add(symbols, (1, 0));
            assert!(!rounds.are_in_vain(20), "{symbols}");
        }
    }

    #[test]
    fn who_asks_for_what_comes_later_is_served() {
        let mut rounds = Rounds::default();
        for block in 0..100_000 {
            rounds.add(500, (1, block / 10));
            assert!(!rounds.are_in_vain(20), "{block}");
        }
    }

    /// By turns for the same, for a symbol less each time, and for what lies before.
    #[test]
    fn who_asks_for_the_same_is_not_served() {
        for (less, back) in [(0, 0), (1, 0), (0, 1)] {
            let mut rounds = Rounds::default();
            let served = (0..1000_u32).take_while(|count| {
                let symbols = u64::from(5000 - less * count);
                rounds.add(symbols, (1, 5000 - back * count));
                !rounds.are_in_vain(20)
            });
            assert_eq!(served.count(), 20, "{less} {back}");
        }
    }
}
