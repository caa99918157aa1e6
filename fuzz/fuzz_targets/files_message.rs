//! What senders and receivers of files say to each other beside the files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_transfer::files::fuzzing;

fuzz_target!(|payload: &[u8]| fuzzing::message(payload));
