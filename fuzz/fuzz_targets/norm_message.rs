//! Messages of NORM: what is read is written, and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::norm::message::Message;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::parse(datagram) {
        let written = message.emit();
        assert_eq!(Message::parse(&written), Ok(message));
    }
});
