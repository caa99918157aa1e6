//! Any text is an address, which prints back to itself, or is rejected at a place within it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_types::Address;

fuzz_target!(|text: &str| {
    match text.parse::<Address>() {
        Ok(address) => assert_eq!(address.to_string().parse(), Ok(address)),
        Err(error) => assert!(error.malformed.offset <= text.len(), "{error}"),
    }
});
