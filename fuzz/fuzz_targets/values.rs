//! Whatever stands on a command line is a value, or is rejected with a word on what to write.
#![no_main]

#[allow(dead_code, reason = "the command uses all of it")]
#[path = "../../crates/cli/src/values.rs"]
mod values;

use libfuzzer_sys::fuzz_target;
use manycast::MAX_PAYLOAD;
use values::Interfaces;

fuzz_target!(|text: &str| {
    let rejected = [
        values::duration(text).err(),
        values::piece(text)
            .map(|size| assert!((1..=MAX_PAYLOAD).contains(&size)))
            .err(),
        values::rate(text)
            .map(|rate| assert!(rate.bits() > 0))
            .err(),
        values::count(text).map(|count| assert!(count > 0)).err(),
        values::retries(text).err(),
        values::hops(text).err(),
        values::local(text).err(),
        text.parse::<Interfaces>().err(),
    ];
    for what in rejected.into_iter().flatten() {
        assert!(what.contains("; write "), "{what}");
    }
});
