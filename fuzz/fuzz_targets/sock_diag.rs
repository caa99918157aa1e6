//! Whatever is told of the sockets of other programs, of links, connections and policies is read, or
//! passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_doctor::fuzzing;

fuzz_target!(|datagram: &[u8]| {
    fuzzing::sock_diag(datagram);
    fuzzing::on_the_way(datagram);
});
