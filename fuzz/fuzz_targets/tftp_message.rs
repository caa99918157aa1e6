//! TFTP packets: whatever is understood is emitted, and understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::tftp::Message;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::parse(datagram) {
        let emitted = message.emit();
        assert!(Message::parse(&emitted).is_ok());
    }
});
