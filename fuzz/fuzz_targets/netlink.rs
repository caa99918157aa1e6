//! Whatever comes over netlink is read, or passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_net::fuzzing;

fuzz_target!(|datagram: &[u8]| fuzzing::netlink(datagram));
