//! The seeds that a test runs with.

use std::env;

/// The variable that names the one seed to run with.
pub(super) const VARIABLE: &str = "MANYCAST_SEED";

/// The seeds of a test: `count` of them, always the same, or the one that `MANYCAST_SEED` names.
///
/// # Panics
///
/// When `MANYCAST_SEED` is no number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    match env::var(VARIABLE) {
        Ok(text) => match text.parse() {
            Ok(seed) => seed..=seed,
            Err(_) => panic!("{VARIABLE} is {text:?}, which is no number"),
        },
        Err(_) => 1..=count,
    }
}
