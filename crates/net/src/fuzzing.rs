//! The parsers that no public function hands bytes to, for the fuzzers (`--cfg fuzzing`). Each
//! function is one of them, and panics where it breaks a promise.

use crate::sys::features;
use crate::sys::interfaces;
use crate::sys::netlink;
use crate::sys::routes;
use crate::sys::watch::Changes;

/// Reads what came over netlink as each answer and each notification that this crate knows.
pub fn netlink(datagram: &[u8]) {
    let mut changes = Changes::default();
    for message in netlink::messages(datagram) {
        assert!(message.payload.len() <= datagram.len());
        if let Some(link) = interfaces::link(message) {
            assert!(!link.name.is_empty());
        }
        let _ = interfaces::interface_address(message);
        let _ = interfaces::nl80211_family(message);
        let _ = interfaces::wireless_index(message);
        let _ = routes::route(message);
        changes.add(message);
    }
    let _ = changes.into_list();
}

/// Reads the control messages of a datagram, and of an entry of the error queue.
pub fn control(bytes: &[u8]) {
    let _ = features::decode(bytes);
    let mut data = 0;
    for message in features::control_messages(bytes) {
        data += message.data.len();
        let _ = features::unreachable::decode(&message);
    }
    assert!(data <= bytes.len());
}
