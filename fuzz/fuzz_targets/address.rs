//! Any text is an address, a group or an interface, which prints back to itself, or is rejected at a
//! place within it.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use manycast_types::{Address, Group, InterfaceSelector};

fn prints_back<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(value: &T) {
    let again: T = value.to_string().parse().expect("its own text");
    assert_eq!(again, *value);
}

fuzz_target!(|text: &str| {
    match text.parse::<Address>() {
        Ok(address) => prints_back(&address),
        Err(error) => assert!(error.malformed.offset <= text.len(), "{error}"),
    }
    match text.parse::<Group>() {
        Ok(group) => prints_back(&group),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<InterfaceSelector>() {
        Ok(interface) => prints_back(&interface),
        Err(error) => assert!(error.offset <= text.len(), "{error}"),
    }
});
