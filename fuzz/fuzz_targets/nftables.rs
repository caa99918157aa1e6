//! Whatever nftables answers is a chain or a rule, or is passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_doctor::fuzzing;

fuzz_target!(|datagram: &[u8]| fuzzing::nftables(datagram));
