use super::super::netlink::Request;
use super::{Change, Changes};

const BRIDGE: u8 = 7;

fn changes(messages: &[Request]) -> Vec<Change> {
    let mut changes = Changes::default();
    for message in messages {
        changes.add(message.message());
    }
    changes.into_list()
}

/// A message about the interface of this index: of a link or of an address alike.
fn message(kind: u16, family: u8, index: u32) -> Request {
    let mut payload = [0; 16];
    payload[0] = family;
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    Request::new(kind, &payload)
}

#[test]
fn many_messages_about_one_interface_are_one_change() {
    let storm: Vec<_> = (0..100)
        .map(|i| {
            message(
                if i % 2 == 0 {
                    libc::RTM_NEWLINK
                } else {
                    libc::RTM_NEWADDR
                },
                0,
                3,
            )
        })
        .collect();
    assert_eq!(changes(&storm), [Change::Changed(3)]);
}

#[test]
fn a_device_that_is_recreated_under_its_index_was_removed() {
    let removed = || message(libc::RTM_DELLINK, 0, 3);
    let created = || message(libc::RTM_NEWLINK, 0, 3);
    assert_eq!(changes(&[created(), removed()]), [Change::Removed(3)]);
    assert_eq!(
        changes(&[removed(), created()]),
        [Change::Removed(3), Change::Changed(3)]
    );
    assert_eq!(
        changes(&[created(), removed(), created(), removed(), created()]),
        [Change::Removed(3), Change::Changed(3)]
    );
}

#[test]
fn leaving_a_bridge_is_not_being_removed() {
    assert_eq!(
        changes(&[message(libc::RTM_DELLINK, BRIDGE, 3)]),
        [Change::Changed(3)]
    );
}

#[test]
fn losses_come_first_then_removals() {
    let mut changes = Changes {
        lost: true,
        ..Changes::default()
    };
    for request in [
        message(libc::RTM_NEWADDR, 2, 1),
        message(libc::RTM_DELADDR, 10, 2),
        message(libc::RTM_DELLINK, 0, 9),
        message(libc::RTM_NEWROUTE, 2, 5),
        Request::new(libc::RTM_NEWLINK, &[0; 7]),
    ] {
        changes.add(request.message());
    }
    assert_eq!(
        changes.into_list(),
        [
            Change::Lost,
            Change::Removed(9),
            Change::Changed(1),
            Change::Changed(2)
        ]
    );
}
