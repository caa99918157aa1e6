//! Whatever is heard on the wire is a query, a datagram or of no interest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_doctor::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::packet(bytes));
