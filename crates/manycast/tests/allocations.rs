//! The hot path takes no memory from the heap: neither for each datagram nor for each batch.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::time::{Duration, Instant, SystemTime};

use allocation_counter::{AllocationInfo, measure};
use manycast::proto::measure::{Receiver, ReceiverConfig, SenderConfig};
use manycast::proto::{self, Combined, Protocol};
use manycast::{Driver, InterfaceId, Listener, Next, Output, Received, Sender, Socket};

const PAYLOADS: usize = 200;

fn receive(listener: &mut Listener, expected: usize) {
    let mut count = 0;
    while count < expected {
        let batch = listener.recv_batch(Some(Duration::from_secs(60))).unwrap();
        let came = batch
            .map(|received| assert_eq!(received.payload.len(), 100))
            .count();
        assert!(came > 0, "only {count} of {expected} came");
        count += came;
    }
}

fn assert_none(info: &AllocationInfo) {
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn sending_and_receiving_batches_allocates_nothing() {
    let mut listener = manycast::listen("239.192.0.100%lo:5901").unwrap();
    let sender = Sender::new("239.192.0.100%lo:5901").unwrap();
    let payload = [7; 100];
    let payloads = [&payload[..]; PAYLOADS];
    // The first round meets the interface, whose name is looked up and kept.
    sender.send_batch(&payloads).unwrap();
    receive(&mut listener, PAYLOADS);

    assert_none(&measure(|| {
        assert_eq!(sender.send_batch(&payloads).unwrap(), PAYLOADS);
    }));
    assert_none(&measure(|| receive(&mut listener, PAYLOADS)));
}

#[test]
fn asking_and_answering_one_by_one_allocates_nothing() {
    let mut server = Socket::bind("127.0.0.1:0").unwrap();
    let mut client = Socket::connect(server.local_addr().unwrap()).unwrap();
    let mut round = || {
        client.send([1; 64]).unwrap();
        let question = server.recv().unwrap();
        let answer = question.reply().with([2; 64]);
        server.send_batch(&[answer]).unwrap();
        assert_eq!(client.recv().unwrap().payload, [2; 64]);
    };
    round();
    assert_none(&measure(|| (0..100).for_each(|_| round())));
}

#[test]
fn measuring_a_stream_allocates_nothing() {
    let (now, time) = (Instant::now(), SystemTime::now());
    let config = SenderConfig {
        rate: None,
        duration: None,
        ..SenderConfig::new(([239, 1, 1, 1], 5001).into())
    };
    let mut sender = proto::measure::Sender::new(config, now, time);
    let mut receiver = Receiver::new(ReceiverConfig::default(), now, time, [7; 32]);
    sender.start(now);
    receiver.start(now);
    let interface = InterfaceId::new(2, "eth0");
    let (from, to) = (
        ([10, 0, 0, 1], 40_000).into(),
        ([239, 1, 1, 1], 5001).into(),
    );
    let mut round = || {
        let Output::Transmit(transmit) = sender.poll_output(now) else {
            panic!("it always has something to send");
        };
        for payload in transmit.segments() {
            let mut datagram = Received::new(payload, from, to, &interface);
            datagram.time = Some(time + Duration::from_millis(1));
            receiver.handle_datagram(now, datagram);
        }
    };
    // The first rounds meet the stream, and make room for its delays.
    (0..10).for_each(|_| round());
    assert_none(&measure(|| (0..100).for_each(|_| round())));
    assert_eq!(sender.stats().datagrams, 110 * 49);
    let streams: Vec<_> = receiver.streams().collect();
    assert_eq!(streams[0].counters.datagrams, 110 * 49);
}

#[test]
fn a_driver_that_sends_a_stream_allocates_nothing() {
    let receiver = Socket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    for size in [64, 1316, 8900] {
        let config = SenderConfig {
            size,
            duration: None,
            rate: None,
            ..SenderConfig::new(to)
        };
        let stream = proto::measure::Sender::new(config, Instant::now(), SystemTime::now());
        let mut driver = Driver::new(Sender::new(to).unwrap(), stream);
        let mut turns = |count| {
            for _ in 0..count {
                assert_eq!(
                    driver.next_event(Some(Duration::ZERO)).unwrap(),
                    Next::TimedOut
                );
            }
        };
        turns(10);
        assert_none(&measure(|| turns(100)));
        assert!(driver.protocol().stats().datagrams > 100, "it has sent");
    }
}

#[test]
fn two_protocols_on_one_socket_allocate_nothing_more() {
    let (now, time) = (Instant::now(), SystemTime::now());
    let config = SenderConfig {
        rate: None,
        duration: None,
        ..SenderConfig::new(([239, 1, 1, 1], 5001).into())
    };
    let sender = proto::measure::Sender::new(config, now, time);
    let receiver = Receiver::new(ReceiverConfig::default(), now, time, [7; 32]);
    let mut both = Combined::new(sender, receiver, |_: &Received<'_>| false);
    both.start(now);
    let interface = InterfaceId::new(2, "eth0");
    let (from, to) = (
        ([10, 0, 0, 1], 40_000).into(),
        ([239, 1, 1, 1], 5001).into(),
    );
    let mut round = || {
        // The receiver tells that a stream has begun.
        let transmit = (0..2).find_map(|_| match both.poll_output(now) {
            Output::Transmit(transmit) => Some(transmit),
            _ => None,
        });
        for payload in transmit.unwrap().segments() {
            let mut datagram = Received::new(payload, from, to, &interface);
            datagram.time = Some(time + Duration::from_millis(1));
            both.handle_datagram(now, datagram);
        }
    };
    (0..10).for_each(|_| round());
    assert_none(&measure(|| (0..100).for_each(|_| round())));
    assert_eq!(both.first.stats().datagrams, 110 * 49);
    let streams: Vec<_> = both.second.streams().collect();
    assert_eq!(streams[0].counters.datagrams, 110 * 49);
}
