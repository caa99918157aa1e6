//! SSDP messages: what is understood holds nothing that a terminal obeys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::ssdp::{Message, parse};

fuzz_target!(|datagram: &[u8]| {
    let texts = match parse(datagram) {
        Ok((Message::Search(it), _)) => vec![Some(it.target), it.user_agent, it.friendly_name],
        Ok((Message::Advertisement(it), _)) => {
            vec![Some(it.target), it.usn, it.location, it.secure_location, it.server]
        }
        Err(_) => Vec::new(),
    };
    let drives = |c: char| c.is_control() && c != '\t';
    assert!(!texts.iter().flatten().any(|text| text.contains(drives)));
});
