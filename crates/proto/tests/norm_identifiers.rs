//! Objects have identifiers of 16 bits, which come round: bytes of two objects never become one, however
//! many objects pass unheard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use manycast_proto::norm::message::{
    Body, Extensions, FecId, Flags, Fti, Message, ObjectInfo, PayloadId, SenderInfo,
};
use manycast_proto::norm::{Receiver, ReceiverConfig, ReceiverEvent};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received};

/// Objects a second: all identifiers come round in 6.5 s.
const PACE: u32 = 10_000;
/// The bytes of a symbol; an object has two, which both say which object it is.
const SEGMENT: u16 = 8;

fn address(last: u8, port: u16) -> SocketAddr {
    ([239, 1, 1, last], port).into()
}

/// A receiver of a sender that does not repair.
struct Heard {
    start: Instant,
    receiver: Receiver,
    /// The bytes of each object that is not complete.
    bytes: BTreeMap<u64, Vec<u8>>,
    /// The objects that completed.
    complete: Vec<u64>,
}

impl Heard {
    fn new() -> Self {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut receiver = Receiver::new(ReceiverConfig::new(address(1, 6003), 8), [1; 32], start);
        receiver.start(start);
        Self {
            start,
            receiver,
            bytes: BTreeMap::new(),
            complete: Vec::new(),
        }
    }

    fn symbol(&mut self, object: u64, symbol: u16, flags: Flags) {
        let now = self.start + Duration::from_secs(1) / PACE * u32::try_from(object).expect("few");
        let fti = Fti {
            length: u64::from(SEGMENT) * 2,
            segment: SEGMENT,
            max_block: 2,
            parity: 0,
            instance: 0,
        };
        let datagram = Message {
            sequence: 0,
            source: 5,
            extensions: Extensions {
                fti: Some(fti),
                ..Extensions::default()
            },
            body: Body::Data {
                object: ObjectInfo {
                    sender: SenderInfo::default(),
                    flags,
                    fec: FecId::ReedSolomon8,
                    object: (object & 0xffff) as u16,
                },
                id: PayloadId {
                    block: 0,
                    length: 0,
                    symbol,
                },
                payload: &object.to_be_bytes(),
            },
        };
        let datagram = datagram.emit();
        let (interface, from) = (InterfaceId::new(2, "eth0"), address(2, 6004));
        let received = Received::new(&datagram, from, address(1, 6003), &interface);
        self.receiver.handle_datagram(now, received);
        self.poll(now);
    }

    fn poll(&mut self, now: Instant) {
        loop {
            match self.receiver.poll_output(now) {
                Output::Event(ReceiverEvent::Data { object, bytes, .. }) => {
                    self.bytes.entry(object.object).or_default().extend(bytes);
                }
                Output::Event(ReceiverEvent::Completed(object)) => {
                    let bytes = self.bytes.remove(&object.object).expect("it has bytes");
                    let (first, second) = bytes.split_at(SEGMENT.into());
                    assert_eq!(first, second, "an object of the bytes of two");
                    let number = u64::from_be_bytes(first.try_into().expect("eight bytes"));
                    self.complete.push(number);
                }
                Output::Wait { until, .. } if until.is_some_and(|until| until <= now) => {
                    self.receiver.handle_timeout(now);
                }
                Output::Event(_) | Output::Transmit(_) => {}
                _ => break,
            }
        }
    }

    fn objects(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.symbol(number, 0, Flags::default());
            self.symbol(number, 1, Flags::default());
        }
    }

    /// Hears 2,000 objects, of the last ten of which one half is lost, and after `passed` others that are
    /// lost whole as many again, of the first ten of which the other half is lost.
    fn after(passed: u64) -> Self {
        let mut heard = Self::new();
        heard.objects(0..1990);
        for number in 1990..2000 {
            heard.symbol(number, 0, Flags::default());
        }
        let again = 2000 + passed;
        for number in again..again + 10 {
            heard.symbol(number, 1, Flags::default());
        }
        heard.objects(again + 10..again + 2000);
        heard
    }
}

/// However many objects pass unheard, what comes is of one object, and all that comes whole later is told.
#[test]
fn after_an_outage_objects_go_on() {
    let rounds = [1, 2, 3].map(|round| round * 65_536);
    let near = rounds.into_iter().flat_map(|it| it - 30..it + 10);
    let others = [
        0, 100, 10_000, 16_000, 20_000, 32_760, 33_000, 50_000, 90_000,
    ];
    for passed in near.chain(others) {
        let heard = Heard::after(passed);
        let whole = (0..1990).chain(2010 + passed..4000 + passed);
        assert!(heard.complete.iter().copied().eq(whole), "{passed} passed");
    }
}

/// The last object that was heard may be complete when another one comes by its identifier.
#[test]
fn the_identifier_of_an_object_that_is_there_comes_round() {
    let mut heard = Heard::new();
    heard.objects(0..2000);
    let again = 1999 + 65_536;
    heard.objects(again..again + 100);
    let whole = (0..2000).chain(again..again + 100);
    assert!(heard.complete.iter().copied().eq(whole));
}

/// A repair is of an object behind the sender's place: where that is not known, it is of none.
#[test]
fn a_repair_after_an_outage_is_of_no_object_before_it() {
    let mut heard = Heard::new();
    heard.objects(0..1990);
    heard.symbol(1990, 0, Flags::default());
    let again = 1990 + 65_536;
    heard.symbol(again, 1, Flags::REPAIR);
    heard.objects(again + 1..again + 100);
    let whole = (0..1990).chain(again + 1..again + 100);
    assert!(heard.complete.iter().copied().eq(whole));
}

/// A pause is no outage: what is missing of the objects before it still completes.
#[test]
fn an_object_goes_on_after_a_pause_in_which_identifiers_do_not_come_round() {
    let mut heard = Heard::new();
    heard.objects(0..1990);
    heard.symbol(1990, 0, Flags::default());
    // A second is 10,000 objects of that pace.
    heard.start += Duration::from_secs(1);
    heard.symbol(1990, 1, Flags::REPAIR);
    heard.objects(1991..2000);
    assert!(heard.complete.iter().copied().eq(0..2000));
}
