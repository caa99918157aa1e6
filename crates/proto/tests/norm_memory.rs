//! An object of 20 GB needs no more memory than one of 20 MB, at either end.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::norm::{
    Content, Object, Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig, SenderEvent,
};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received, Transmit};

/// The content repeats itself after so many bytes, which no block begins at twice in a row.
const PERIOD: usize = 1_000_003;
/// The bytes of a block: long segments and short blocks, so that there are as many blocks as of usual
/// ones (64 segments of 1,400 bytes), and fewer datagrams.
const SEGMENT: u16 = 45_000;
const BLOCK: u8 = 2;
/// What the receiver may keep.
const MEMORY: usize = 8_000_000;
/// One of so many datagrams is lost.
const LOST: u64 = 97;

/// The bytes of an object, which nobody stores.
struct Generated(Bytes);

impl Generated {
    fn new() -> Self {
        let length = PERIOD + usize::from(SEGMENT) * usize::from(BLOCK);
        let bytes = (0..length).map(|index| u8::try_from(index % PERIOD % 251).unwrap_or(0));
        Self(bytes.collect())
    }

    fn slice(&self, offset: u64, length: usize) -> Bytes {
        let start = usize::try_from(offset).expect("it has 64 bits") % PERIOD;
        self.0.slice(start..start + length)
    }
}

/// A sender and a receiver with nothing between them but losses.
struct Pair {
    now: Instant,
    sender: Sender,
    receiver: Receiver,
    generated: Generated,
    interface: InterfaceId,
    /// Datagrams of the sender.
    sent: u64,
    received: u64,
    completed: bool,
    /// The most that the receiver says it keeps.
    kept: usize,
    /// The most that the process had, in bytes.
    resident: u64,
}

fn group() -> SocketAddr {
    ([239, 1, 1, 1], 6003).into()
}

fn address(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 6003).into()
}

/// What the process has in memory.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

impl Pair {
    fn new(length: u64) -> Self {
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        let config = SenderConfig {
            rate: 10_000_000_000,
            segment: SEGMENT,
            block: BLOCK,
            parity: 2,
            grtt: Duration::from_millis(1),
            receivers: vec![1],
            memory: 2_000_000,
            ..SenderConfig::new(group(), 1000)
        };
        let mut sender = Sender::new(config, [1; 32], now);
        sender.start(now);
        let content = Content::Elsewhere(length);
        let object = Object {
            content,
            file: true,
            info: None,
        };
        sender.enqueue(object).expect("there is room");
        sender.finish(now);
        let config = ReceiverConfig {
            memory: MEMORY,
            ..ReceiverConfig::new(group(), 1)
        };
        let mut receiver = Receiver::new(config, [2; 32], now);
        receiver.start(now);
        Self {
            now,
            sender,
            receiver,
            generated: Generated::new(),
            interface: InterfaceId::new(2, "eth0"),
            sent: 0,
            received: 0,
            completed: false,
            kept: 0,
            resident: 0,
        }
    }

    /// Runs until the sender has ended.
    fn run(mut self) -> Self {
        loop {
            let sender = self.poll_sender();
            let receiver = self.poll_receiver();
            self.kept = self.kept.max(self.receiver.stats().memory);
            self.resident = self.resident.max(resident());
            let Some(until) = sender else {
                return self;
            };
            self.now = receiver.map_or(until, |receiver| receiver.min(until));
            self.sender.handle_timeout(self.now);
            self.receiver.handle_timeout(self.now);
        }
    }

    /// Does what the sender wants; tells until when it waits, or nothing where it has ended.
    fn poll_sender(&mut self) -> Option<Instant> {
        loop {
            match self.sender.poll_output(self.now) {
                Output::Event(SenderEvent::Need {
                    object,
                    offset,
                    length,
                }) => {
                    let bytes = self.generated.slice(offset, length);
                    self.sender.supply(object, offset, bytes);
                }
                Output::Event(SenderEvent::Unacknowledged { .. }) => {
                    panic!("{:?}, {:?}", self.sender, self.receiver)
                }
                Output::Event(_) => {}
                Output::Transmit(transmit) => self.carry(&transmit),
                Output::Wait { until, .. } => return Some(until.expect("it goes on")),
                Output::Finished => return None,
                output => panic!("{output:?}"),
            }
        }
    }

    /// Carries datagrams to the receiver, but for those that are lost.
    fn carry(&mut self, transmit: &Transmit) {
        let size = transmit.segment_size.map_or(usize::MAX, usize::from);
        for datagram in transmit.payload.chunks(size) {
            self.sent += 1;
            if !self.sent.is_multiple_of(LOST) {
                let received = Received::new(datagram, address(1), group(), &self.interface);
                self.receiver.handle_datagram(self.now, received);
            }
        }
    }

    fn poll_receiver(&mut self) -> Option<Instant> {
        loop {
            match self.receiver.poll_output(self.now) {
                Output::Event(ReceiverEvent::Data { offset, bytes, .. }) => {
                    let right = self.generated.slice(offset, bytes.len()) == bytes;
                    assert!(right, "{} bytes at {offset}", bytes.len());
                    self.received += bytes.len() as u64;
                }
                Output::Event(ReceiverEvent::Completed(_)) => self.completed = true,
                Output::Event(_) => {}
                Output::Transmit(transmit) => {
                    let payload = &transmit.payload;
                    let answer = Received::new(payload, address(2), group(), &self.interface);
                    self.sender.handle_datagram(self.now, answer);
                }
                Output::Wait { until, .. } => return until,
                output => panic!("{output:?}"),
            }
        }
    }
}

fn run(length: u64) -> Pair {
    let pair = Pair::new(length).run();
    assert!(
        pair.completed && pair.received == length,
        "{}",
        pair.received
    );
    let repairs = pair.sender.stats().repairs;
    assert!(repairs > pair.sent / LOST / 2, "{repairs} repairs");
    pair
}

/// What `length` bytes need, beside 20 MB.
fn compare(length: u64) {
    let small = run(20_000_000);
    let great = run(length);
    let (before, after) = (small.resident, great.resident);
    println!(
        "kept {} and {} bytes, resident {before} and {after} bytes",
        small.kept, great.kept
    );
    // How much is kept is chance, but no more than half of what it may, with a bit for each block that is
    // not through or follows such a one.
    let bound = MEMORY / 2;
    assert!(small.kept <= bound && great.kept <= bound, "{}", great.kept);
    // The sender has a byte for each block up to the last that was repaired.
    let most = before + bound as u64 + 500_000;
    assert!(after < most, "{before} and {after} bytes");
}

#[test]
fn a_hundred_times_as_much_needs_no_more_memory() {
    compare(2_000_000_000);
}

/// It takes half a minute; `cargo test --release -- --ignored twenty_gigabytes` runs it.
#[test]
#[ignore = "it takes long"]
fn twenty_gigabytes_need_no_more_memory() {
    compare(20_000_000_000);
}
