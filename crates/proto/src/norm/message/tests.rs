use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

fn message(body: Body<'_>) -> Message<'_> {
    Message {
        sequence: 0x0102,
        source: 0x0a0b_0c0d,
        extensions: Extensions::default(),
        body,
    }
}

const SENDER: SenderInfo = SenderInfo {
    instance: 0x1122,
    grtt: 0x9d,
    backoff: 4,
    group_size: 2,
};
const OBJECT: ObjectInfo = ObjectInfo {
    sender: SENDER,
    flags: Flags(0x14),
    fec: FecId::ReedSolomon8,
    object: 0x3344,
};
const ID: PayloadId = PayloadId {
    block: 0x00aa_bbcc,
    length: 0,
    symbol: 0x41,
};
const LONG: PayloadId = PayloadId {
    block: 0xddaa_bbcc,
    length: 64,
    symbol: 0x41,
};

/// The fields stand where the figures of RFC 5740 §4 have them.
#[test]
fn each_message_is_laid_out_as_its_figure() {
    let position = Position {
        fec: FecId::ReedSolomon8,
        object: 0x3344,
        id: ID,
    };
    let time = Timestamp {
        seconds: 7,
        micros: 8,
    };
    let feedback = Feedback {
        sender: 0x0102_0304,
        instance: 0x1122,
        grtt_response: time,
    };
    let command = |command| Body::Command {
        sender: SENDER,
        command,
    };
    let nodes = Nodes::new(&[0, 0, 0, 9, 0, 0, 0, 10]);
    let item = Item {
        fec: FecId::ReedSolomon8,
        object: 0x3344,
        id: ID,
    };
    let requests = vec![Request {
        form: Form::Ranges,
        flags: Request::SEGMENT | Request::INFO,
        items: vec![item, item],
    }];
    let node = CcNode {
        node: 9,
        flags: CcFlags::CLR.with(CcFlags::RTT),
        rtt: 3,
        rate: 0x4567,
    };
    let requested = "02050010 05003344 aabbcc41 05003344 aabbcc41";
    let figures = [
        (
            Body::Info {
                object: OBJECT,
                payload: b"name",
            },
            "11040102 0a0b0c0d 11229d42 14053344 6e616d65".to_owned(),
        ),
        (
            Body::Data {
                object: OBJECT,
                id: ID,
                payload: b"data",
            },
            "12050102 0a0b0c0d 11229d42 14053344 aabbcc41 64617461".to_owned(),
        ),
        (
            Body::Data {
                object: ObjectInfo {
                    fec: FecId::SmallBlock,
                    ..OBJECT
                },
                id: LONG,
                payload: b"data",
            },
            "12060102 0a0b0c0d 11229d42 14813344 ddaabbcc 00400041 64617461".to_owned(),
        ),
        (
            command(Command::Flush {
                at: position,
                nodes,
            }),
            "13050102 0a0b0c0d 11229d42 01053344 aabbcc41 00000009 0000000a".to_owned(),
        ),
        (
            command(Command::EndOfTransmission),
            "13040102 0a0b0c0d 11229d42 02000000".to_owned(),
        ),
        (
            command(Command::Squelch {
                from: position,
                invalid: &[0, 5],
            }),
            "13050102 0a0b0c0d 11229d42 03053344 aabbcc41 0005".to_owned(),
        ),
        (
            command(Command::CongestionControl {
                sequence: 0x5566,
                time,
                nodes: vec![node],
            }),
            "13060102 0a0b0c0d 11229d42 04005566 00000007 00000008 00000009 05034567".to_owned(),
        ),
        (
            command(Command::RepairAdvertisement {
                limited: true,
                requests: requests.clone(),
            }),
            format!("13040102 0a0b0c0d 11229d42 05010000 {requested}"),
        ),
        (
            command(Command::AckRequest {
                kind: 16,
                id: 3,
                nodes,
            }),
            "13040102 0a0b0c0d 11229d42 06001003 00000009 0000000a".to_owned(),
        ),
        (
            command(Command::Application { payload: b"app" }),
            "13040102 0a0b0c0d 11229d42 07000000 617070".to_owned(),
        ),
        (
            Body::Nack { feedback, requests },
            format!("14060102 0a0b0c0d 01020304 11220000 00000007 00000008 {requested}"),
        ),
        (
            Body::Ack {
                feedback,
                kind: Body::ACK_FLUSH,
                id: 0,
                payload: &position.emit_ack(),
            },
            "15060102 0a0b0c0d 01020304 11220200 00000007 00000008 05003344 aabbcc41".to_owned(),
        ),
        (
            Body::Report { payload: b"?" },
            "16020102 0a0b0c0d 3f".to_owned(),
        ),
    ];
    for (body, figure) in figures {
        let message = message(body);
        assert_eq!(message.emit(), bytes(&figure), "{message:?}");
        assert_eq!(Message::parse(&bytes(&figure)).unwrap(), message);
    }
}

#[test]
fn extensions_are_laid_out_as_their_figures() {
    let fti = Fti {
        length: 0x0000_0102_0304_0506,
        segment: 1400,
        max_block: 64,
        parity: 16,
        instance: 0,
    };
    let cc = CcFeedback {
        sequence: 0x1234,
        flags: CcFlags::START,
        rtt: 9,
        loss: 0x5678,
        rate: 0x9abc,
        reserved: 0,
    };
    for (fec, fti, figure) in [
        (FecId::ReedSolomon8, fti, "40030102 03040506 05784010"),
        (
            FecId::ReedSolomon,
            fti,
            "40040102 03040506 08010578 00400010",
        ),
        (
            FecId::SmallBlock,
            Fti { instance: 1, ..fti },
            "40040102 03040506 00010578 00400010",
        ),
    ] {
        let written = Message {
            extensions: Extensions {
                fti: Some(fti),
                cc: Some(cc),
                rate: Some(0x1357),
            },
            ..message(Body::Info {
                object: ObjectInfo { fec, ..OBJECT },
                payload: b"name",
            })
        };
        let datagram = written.emit();
        let figure = format!("{figure} 03031234 08095678 9abc0000 80001357 6e616d65");
        assert_eq!(datagram[16..], bytes(&figure));
        assert_eq!(Message::parse(&datagram).unwrap(), written);
    }
}

#[test]
fn unknown_extensions_are_passed_over() {
    // EXT_AUTH of two words, one of type 200, and EXT_RATE.
    let datagram = "13080102 0a0b0c0d 11229d42 02000000 01020000 00000000 c8ffffff 80001357";
    let datagram = bytes(datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.extensions.rate, Some(0x1357));
    assert_eq!(message.extensions.fti, None);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (datagram, error) in [
        ("", "the datagram ends too early (offset 0)"),
        ("22000000", "it is no NORM of version 1 (offset 0)"),
        (
            "13050102 0a0b0c0d",
            "the header is longer than the datagram (offset 1)",
        ),
        (
            "13030102 0a0b0c0d 11229d42 02000000",
            "the header is shorter than its fields (offset 1)",
        ),
        (
            "1f020102 0a0b0c0d",
            "there is no such type of message (offset 0)",
        ),
        (
            "13040102 0a0b0c0d 11229d42 09000000",
            "there is no such command (offset 12)",
        ),
        (
            "11040102 0a0b0c0d 11229d42 14063344",
            "the FEC scheme is not known (offset 13)",
        ),
        (
            "13050102 0a0b0c0d 11229d42 02000000 40000000",
            "a header extension has no such length (offset 16)",
        ),
        (
            "13050102 0a0b0c0d 11229d42 02000000 03010000",
            "a header extension is too short (offset 16)",
        ),
        (
            // EXT_FTI of FEC Encoding ID 2 with m = 16.
            "11080102 0a0b0c0d 11229d42 01023344 40040102 03040506 10010578 00400010",
            "it is no code over GF(2^8) (offset 16)",
        ),
        (
            "14060102 0a0b0c0d 01020304 11220000 00000007 00000008 02050008 05003344",
            "a request is cut off (offset 28)",
        ),
        (
            "14060102 0a0b0c0d 01020304 11220000 00000007 00000008 02050004 05003344 aabbcc41",
            "an item goes on after its request (offset 32)",
        ),
    ] {
        let found = Message::parse(&bytes(datagram)).unwrap_err().to_string();
        assert_eq!(found, error, "{datagram}");
    }
}

fn fec() -> impl Strategy<Value = FecId> {
    prop_oneof![
        Just(FecId::ReedSolomon8),
        Just(FecId::ReedSolomon),
        Just(FecId::SmallBlock)
    ]
}

/// A datagram that is likely to be understood: of some type and flavour, with what may follow.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let types = prop_oneof![
        Just(0x11_u8),
        Just(0x12),
        Just(0x13),
        Just(0x14),
        Just(0x15)
    ];
    (
        types,
        2..12_u8,
        1..8_u8,
        fec(),
        prop::collection::vec(any::<u8>(), 60..200),
    )
        .prop_map(|(kind, words, flavour, fec, mut rest)| {
            rest[0] = kind;
            rest[1] = words;
            if kind == 0x13 {
                rest[12] = flavour;
            }
            rest[13] = fec.number();
            rest
        })
}

proptest! {
    #[test]
    fn what_is_read_and_written_is_read_the_same(datagram in likely()) {
        if let Ok(message) = Message::parse(&datagram) {
            let written = message.emit();
            prop_assert_eq!(Message::parse(&written).unwrap(), message);
        }
    }

    #[test]
    fn requests_are_read_as_written(
        fec in fec(),
        items in prop::collection::vec((any::<u16>(), any::<u32>(), any::<u16>(), any::<u8>()), 0..40),
        form in prop_oneof![Just(Form::Items), Just(Form::Ranges), Just(Form::Erasures)],
        flags in 0..16_u8,
    ) {
        let items = items.iter().map(|&(object, block, length, symbol)| Item {
            fec,
            object,
            id: PayloadId {
                block: block & fec.max_block(),
                length: if fec == FecId::SmallBlock { length } else { 0 },
                symbol: symbol.into(),
            },
        });
        let request = Request { form, flags, items: items.collect() };
        let body = Body::Nack { feedback: Feedback::default(), requests: vec![request.clone(), request] };
        let message = message(body);
        let datagram = message.emit();
        prop_assert_eq!(Message::parse(&datagram).unwrap(), message);
    }

    #[test]
    fn no_input_panics(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::parse(&datagram);
    }
}
