//! Whatever is told of the sockets of other programs is read, or passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_doctor::fuzzing;

fuzz_target!(|datagram: &[u8]| fuzzing::sock_diag(datagram));
