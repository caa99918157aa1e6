//! Whatever stands where the kernel writes control messages is read, or ends them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_net::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::control(bytes));
