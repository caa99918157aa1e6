//! The seeds that a test runs with.

use std::env;

/// The variable that names the one seed to run with.
pub(super) const VARIABLE: &str = "MANYCAST_SEED";

/// The variable that names how many seeds to run with.
const COUNT: &str = "MANYCAST_SEEDS";

/// The seeds of a test: `count` of them, always the same, or as many as `MANYCAST_SEEDS` says, or the one that
/// `MANYCAST_SEED` names.
///
/// # Panics
///
/// When one of the two is no number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    match (number(VARIABLE), number(COUNT)) {
        (Some(seed), _) => seed..=seed,
        (None, more) => 1..=more.unwrap_or(count),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable} is {text:?}, which is no number"),
    }
}
