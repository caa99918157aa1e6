use std::time::Duration;

use super::{CapturedPacket, Piece, parse};

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = u8::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0, 0, total, 0, 0, 0, 0, 1, protocol, 0, 0];
    packet.extend([10, 0, 0, 1, 239, 1, 2, 3]);
    packet.extend(payload);
    packet
}

fn ipv6(payload: &[u8], next: u8) -> Vec<u8> {
    let mut packet = vec![
        0x60,
        0,
        0,
        0,
        0,
        u8::try_from(payload.len()).unwrap(),
        next,
        1,
    ];
    packet.extend("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend("ff15::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend(payload);
    packet
}

#[test]
fn queries_are_known_by_their_version_and_what_they_ask() {
    let asks = |version: u8, group: Option<&str>, millis| {
        let source = if version > 9 { "fe80::1" } else { "10.0.0.1" };
        CapturedPacket::Query {
            source: source.parse().unwrap(),
            version: version % 10,
            group: group.map(|group| group.parse().unwrap()),
            within: Duration::from_millis(millis),
        }
    };
    for (payload, query) in [
        (&[0x11, 0, 0, 0, 0, 0, 0, 0][..], asks(1, None, 10_000)),
        (&[0x11, 100, 0, 0, 0, 0, 0, 0], asks(2, None, 10_000)),
        (
            &[0x11, 0x8f, 0, 0, 239, 1, 2, 3, 2, 125, 0, 0],
            asks(3, Some("239.1.2.3"), (0x1f << 3) * 100),
        ),
    ] {
        assert_eq!(parse(&ipv4(2, payload), true), Some(query));
    }
    for (length, code, query) in [
        (24, [0, 100], asks(11, None, 100)),
        (28, [0x90, 1], asks(12, None, 0x1001 << 4)),
    ] {
        let mut payload = vec![58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0, code[0], code[1]];
        payload.resize(8 + length, 0);
        assert_eq!(parse(&ipv6(&payload, 0), false), Some(query));
        // Hosts heed what comes from an address of the link alone.
        let mut foreign = ipv6(&payload, 0);
        foreign[8] = 0x20;
        assert_eq!(parse(&foreign, false), None);
    }
}

#[test]
fn reports_are_known() {
    let of = |group: Option<&str>| CapturedPacket::Report {
        group: group.map(|group| group.parse().unwrap()),
    };
    let of_one = [0x16, 0, 0, 0, 239, 1, 2, 3];
    let parsed = parse(&ipv4(2, &of_one), true);
    assert_eq!(parsed, Some(of(Some("239.1.2.3"))));
    let of_several = [0x22, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(parse(&ipv4(2, &of_several), true), Some(of(None)));
    let leave = [0x17, 0, 0, 0, 239, 1, 2, 3];
    assert_eq!(parse(&ipv4(2, &leave), true), None);
    for (kind, group) in [(131, Some("ff15::1")), (143, None)] {
        let mut payload = vec![58, 0, 5, 2, 0, 0, 1, 0, kind, 0, 0, 0, 0, 0, 0, 0];
        let group_of: std::net::Ipv6Addr = "ff15::1".parse().unwrap();
        payload.extend(group_of.octets());
        assert_eq!(parse(&ipv6(&payload, 0), false), Some(of(group)));
    }
}

#[test]
fn datagrams_are_known_by_their_ports() {
    let payload = [0x0f, 0xa0, 0x13, 0x88, 0, 8, 0, 0];
    let over_ipv4 = CapturedPacket::Datagram {
        source: "10.0.0.1:4000".parse().unwrap(),
        destination: "239.1.2.3:5000".parse().unwrap(),
        piece: None,
    };
    assert_eq!(parse(&ipv4(17, &payload), true), Some(over_ipv4));
    let over_ipv6 = CapturedPacket::Datagram {
        source: "[fe80::1]:4000".parse().unwrap(),
        destination: "[ff15::1]:5000".parse().unwrap(),
        piece: None,
    };
    assert_eq!(parse(&ipv6(&payload, 17), false), Some(over_ipv6));
}

#[test]
fn fragments_are_known_by_their_place() {
    let payload = [0x0f, 0xa0, 0x13, 0x88, 0, 8, 0, 0];
    for (offset, more) in [(0, true), (1, true), (1, false)] {
        let piece = Piece {
            offset: offset * 8,
            length: 8,
            more,
        };
        let mut packet = ipv4(17, &payload);
        packet[6] = u8::from(more) << 5;
        packet[7] = u8::try_from(offset).unwrap();
        let header = [17, 0, 0, u8::try_from(offset * 8).unwrap() | u8::from(more)];
        let of_ipv6 = [&header[..], &[0; 4], &payload].concat();
        for captured in [parse(&packet, true), parse(&ipv6(&of_ipv6, 44), false)] {
            match captured {
                Some(CapturedPacket::Datagram { piece: first, .. }) if offset == 0 => {
                    assert_eq!(first, Some(piece));
                }
                Some(CapturedPacket::Fragment { piece: later, .. }) => assert_eq!(later, piece),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_packet_that_is_cut_anywhere_never_panics() {
    let packets = [
        (ipv4(17, &[1; 8]), true),
        (ipv4(2, &[0x11; 12]), true),
        (ipv6(&[44, 255, 0, 0, 0, 0, 0, 0, 17, 0], 0), false),
    ];
    for (packet, version) in packets {
        for end in 0..packet.len() {
            let _ = parse(&packet[..end], version);
        }
    }
}
