//! How long requests keep a sender from its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::object::Number;

/// A place among all that is sent: an object and a block.
type Place = (Number, u32);

/// The least time from one round that counts as in vain to the next: where round trips are short, many of
/// them fit into a moment in which the network is gone. Where a block takes longer to repair, it is that.
const APART: Duration = Duration::from_millis(100);

/// How many receivers that are not named have rounds of their own.
const STRANGERS: usize = 16;

/// The rounds of those who ask: who asks in vain keeps nobody else from being heard. Numbers can be
/// forged, so beyond some all that are not named have their rounds together.
#[derive(Clone, Debug, Default)]
pub(super) struct Askers {
    nodes: BTreeMap<u32, Asker>,
    strangers: usize,
    others: Asker,
}

#[derive(Clone, Debug, Default)]
struct Asker {
    rounds: Rounds,
    /// Where that begins which was asked for in this round, and how many symbols it is.
    asked: Option<(Place, u64)>,
}

impl Askers {
    /// A receiver asks for so many symbols, the first of them at `place`.
    pub(super) fn ask(&mut self, node: u32, is_named: bool, (place, symbols): (Place, u64)) {
        let has_own = self.nodes.contains_key(&node) || is_named || self.strangers < STRANGERS;
        let asker = match has_own {
            true => self.nodes.entry(node).or_insert_with(|| {
                self.strangers += usize::from(!is_named);
                Asker::default()
            }),
            false => &mut self.others,
        };
        let (first, most) = asker.asked.unwrap_or((place, symbols));
        asker.asked = Some((first.min(place), most.max(symbols)));
    }

    /// What was asked for until now is repaired from now on, and a block of it takes so long.
    pub(super) fn end_round(&mut self, now: Instant, block: Duration) {
        for asker in self.nodes.values_mut().chain([&mut self.others]) {
            if let Some((place, symbols)) = asker.asked.take() {
                asker.rounds.add(symbols, place, now, APART.max(block));
            }
        }
    }

    /// Whether `most` rounds in a row brought a receiver no further.
    pub(super) fn are_in_vain(&self, node: u32, most: u32) -> bool {
        let asker = self.nodes.get(&node).unwrap_or(&self.others);
        asker.rounds.are_in_vain(most)
    }
}

/// How often in a row a receiver asked for what it had asked for before.
///
/// Receivers that are served ask for less from round to round, or for what comes later, where they
/// have no room for all. Who asks for the same again and again is not served by it.
#[derive(Clone, Copy, Debug, Default)]
struct Rounds {
    /// The least that was asked for, in symbols.
    least: Option<u64>,
    /// The last of the places at which requests began.
    furthest: Option<Place>,
    in_vain: u32,
    /// When the last one in vain was counted.
    counted: Option<Instant>,
}

impl Rounds {
    /// Takes in a round in which `symbols` are asked for, the first of them at `place`. Of those in vain that
    /// follow each other in less than `apart`, one counts.
    fn add(&mut self, symbols: u64, place: Place, now: Instant, apart: Duration) {
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
        let is_soon = |at: Instant| now.saturating_duration_since(at) < apart;
        if less || later {
            self.in_vain = 0;
        } else if !self.counted.is_some_and(is_soon) {
            self.in_vain += 1;
            self.counted = Some(now);
        }
    }

    /// Whether `most` rounds in a row brought nobody further.
    const fn are_in_vain(&self, most: u32) -> bool {
        self.in_vain >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments at which rounds end that all count.
    #[expect(
        clippy::disallowed_methods,
        reason = "they begin at no time in particular"
    )]
    fn moments() -> impl Iterator<Item = Instant> {
        let start = Instant::now();
        (0..).map(move |count| start + APART * count)
    }

    #[test]
    fn who_asks_for_less_is_served() {
        let mut rounds = Rounds::default();
        for (symbols, now) in (0..100).rev().zip(moments()) {
            rounds.add(symbols, (1, 0), now, APART);
            assert!(!rounds.are_in_vain(20), "{symbols}");
        }
    }

    #[test]
    fn who_asks_for_what_comes_later_is_served() {
        let mut rounds = Rounds::default();
        for (block, now) in (0..100_000).zip(moments()) {
            rounds.add(500, (1, block / 10), now, APART);
            assert!(!rounds.are_in_vain(20), "{block}");
        }
    }

    /// A named one has rounds of its own, and so has who comes when somebody else has had enough.
    #[test]
    fn who_asks_in_vain_is_no_other_ones_fault() {
        let mut askers = Askers::default();
        for now in moments().take(6) {
            for forged in 0..1000 {
                askers.ask(forged, false, ((1, 0), 100));
            }
            askers.end_round(now, APART);
        }
        assert_eq!(askers.nodes.len(), STRANGERS);
        assert!(askers.are_in_vain(5, 5) && askers.are_in_vain(999, 5));
        askers.ask(5000, true, ((1, 0), 100));
        assert!(!askers.are_in_vain(5000, 5));
    }

    /// By turns for the same, for a symbol less each time, and for what lies before.
    #[test]
    fn who_asks_for_the_same_is_not_served() {
        for (less, back) in [(0, 0), (1, 0), (0, 1)] {
            let mut rounds = Rounds::default();
            let served = (0..1000_u32).zip(moments()).take_while(|(count, now)| {
                let symbols = u64::from(5000 - less * count);
                rounds.add(symbols, (1, 5000 - back * count), *now, APART);
                !rounds.are_in_vain(20)
            });
            assert_eq!(served.count(), 20, "{less} {back}");
        }
    }

    /// However short round trips are, a network that is gone for a moment is no reason to be unheard.
    #[test]
    fn rounds_that_follow_closely_count_as_one() {
        let mut rounds = Rounds::default();
        for now in moments().take(5) {
            for count in 0..100 {
                rounds.add(100, (1, 0), now + Duration::from_millis(count), APART);
            }
            // The first one brought the first request.
            assert!(!rounds.are_in_vain(6));
        }
        assert!(rounds.are_in_vain(5));
    }
}
