//! Both roles keep the contract of a protocol, whatever they are called with and in whatever order.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::any_order;
use manycast_proto::tftp::{Client, ClientConfig, Message, RollOver, Server, ServerConfig};
use proptest::prelude::*;

use super::obliging::Obliging;

fn peers() -> [SocketAddr; 4] {
    [
        ([192, 0, 2, 7], 69).into(),
        ([192, 0, 2, 7], 50_000).into(),
        ([239, 255, 0, 1], 1758).into(),
        "[fe80::7%2]:69".parse().expect("an address"),
    ]
}

/// A script with packets of the protocol in it, which chance alone would not make.
fn script() -> impl Strategy<Value = Vec<u8>> {
    let packet = prop_oneof![
        Just(b"\0\x01file\0octet\0blksize\x0064\0windowsize\x004\0".to_vec()),
        Just(b"\0\x01file\0octet\0multicast\0\0".to_vec()),
        Just(b"\0\x02file\0octet\0tsize\x0010\0".to_vec()),
        Just(b"\0\x01cat\0octet\0".to_vec()),
        Just(b"\0\x06blksize\x0064\0windowsize\x004\0".to_vec()),
        Just(b"\0\x06multicast\x00239.255.0.1,1758,1\0".to_vec()),
        Just(b"\0\x06multicast\0,,0\0".to_vec()),
        Just(b"\0\x05\0\x08no\0".to_vec()),
        (0..6_u16).prop_map(|block| Message::Acknowledgment { block }.emit().to_vec()),
        (0..6_u16, 0..70_usize).prop_map(|(block, length)| {
            let payload = vec![7; length];
            Message::Data {
                block,
                payload: &payload,
            }
            .emit()
            .to_vec()
        }),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    // A call by which a datagram comes: from whom, to whom, how long, and what.
    let datagram = (0..8_u8, any::<u8>(), packet).prop_map(|(from, to, packet)| {
        let length = u8::try_from(packet.len()).expect("short");
        [vec![2, from, to, length], packet].concat()
    });
    let call = prop_oneof![3 => datagram, 2 => prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(call, 0..100).prop_map(|calls| calls.concat())
}

fn roll_over() -> impl Strategy<Value = RollOver> {
    prop_oneof![Just(RollOver::Zero), Just(RollOver::One)]
}

proptest! {
    #[test]
    fn client(
        write in any::<bool>(),
        block_size in prop::option::of(any::<u16>()),
        window in prop::option::of(any::<u16>()),
        multicast in any::<bool>(),
        roll_over in roll_over(),
        script in script(),
    ) {
        let config = ClientConfig {
            block_size,
            window,
            multicast,
            roll_over,
            ..ClientConfig::new(peers()[0], "file")
        };
        let client = if write { Client::write(config) } else { Client::read(config) };
        any_order(&mut Obliging(client), &script, &peers());
    }

    #[test]
    fn server(
        single_port in any::<bool>(),
        transfers in 0..10_usize,
        unconfirmed in 0..10_usize,
        per_address in 0..10_usize,
        window_bytes in any::<usize>(),
        duration in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), Just(Duration::from_secs(1))],
        roll_over in roll_over(),
        script in script(),
    ) {
        let config = ServerConfig {
            single_port,
            transfers,
            unconfirmed,
            per_address,
            window_bytes,
            duration,
            roll_over,
            groups: vec![[239, 255, 0, 1].into()],
            ..ServerConfig::default()
        };
        any_order(&mut Obliging(Server::new(config)), &script, &peers());
    }

    #[test]
    fn what_is_parsed_is_emitted_the_same(packet in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(message) = Message::parse(&packet) {
            let emitted = message.emit();
            let again = Message::parse(&emitted);
            // What is not known is not sent on.
            if !matches!(&message, Message::Request(it) if it.options.foreign || it.mode == manycast_proto::tftp::Mode::Other)
                && !matches!(&message, Message::Options(it) if it.foreign)
            {
                prop_assert_eq!(again, Ok(message));
            }
        }
    }
}

#[test]
fn requests_are_read_as_the_rfcs_write_them() {
    let packet =
        b"\0\x01test\0OcTeT\0BLKSIZE\x001428\0tsize\x000\0windowsize\x0016\0timeout\x003\0";
    let Ok(Message::Request(request)) = Message::parse(packet) else {
        panic!("it is a request");
    };
    let options = request.options;
    assert_eq!(request.name, Bytes::from_static(b"test"));
    assert_eq!(
        (
            options.block_size,
            options.transfer_size,
            options.window,
            options.timeout
        ),
        (Some(1428), Some(0), Some(16), Some(3))
    );
    assert!(!options.foreign);
}

/// RFC 2348 has 8 to 65,464 bytes, RFC 2349 1 to 255 s, RFC 7440 1 block at least.
#[test]
fn values_out_of_their_range_are_left_out() {
    for option in [
        "blksize\x007",
        "blksize\x0065465",
        "timeout\x000",
        "timeout\x00256",
        "windowsize\x000",
        "tsize\x00-1",
        "blksize\x00+9",
        "multicast\x0010.0.0.1,1,1",
    ] {
        let packet = format!("\0\x01f\0octet\0{option}\0");
        let Ok(Message::Request(request)) = Message::parse(packet.as_bytes()) else {
            panic!("it is a request");
        };
        assert!(request.options.foreign, "{option}");
        assert_eq!(
            request.options,
            manycast_proto::tftp::Options {
                foreign: true,
                ..Default::default()
            }
        );
    }
}
