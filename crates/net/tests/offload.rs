//! Datagrams that the kernel moves as one buffer arrive as if each had gone alone.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use manycast_net::{OffloadState, RecvBatch, Socket, SocketConfig};
use manycast_types::Transmit;
use proptest::prelude::*;

const WAIT: Option<Duration> = Some(Duration::from_secs(60));

fn pair(host: &str) -> (Socket, Socket) {
    let any: SocketAddr = format!("{host}:0").parse().unwrap();
    let config = SocketConfig::default();
    (
        Socket::bind(any, &config).unwrap(),
        Socket::bind(any, &config).unwrap(),
    )
}

/// Payloads of these sizes, each different from its neighbours.
fn payloads(sizes: &[usize]) -> Vec<Vec<u8>> {
    let byte = |index: usize| u8::try_from(index % 251).unwrap();
    sizes
        .iter()
        .enumerate()
        .map(|(index, size)| vec![byte(index); *size])
        .collect()
}

/// What arrives when payloads of these sizes are sent in one call: each from a place of its own,
/// and again side by side.
fn sent_and_received(sizes: &[usize], host: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (sender, receiver) = pair(host);
    let to = receiver.local_addr().unwrap();
    let payloads = payloads(sizes);
    let transmits: Vec<_> = payloads
        .iter()
        .map(|payload| Transmit::new(to, payload))
        .collect();
    assert_eq!(sender.send_batch(&transmits).unwrap(), sizes.len());
    let mut received = receive(&sender, &receiver, sizes.len());

    let memory = payloads.concat();
    let mut rest = memory.as_slice();
    let pieces: Vec<_> = sizes
        .iter()
        .map(|size| rest.split_off(..*size).unwrap())
        .collect();
    let transmit = Transmit::new(to, ());
    let sent = sender.send_payloads(&transmit, &pieces, true).unwrap();
    assert_eq!(sent, sizes.len());
    received.extend(receive(&sender, &receiver, sizes.len()));
    ([payloads.clone(), payloads].concat(), received)
}

fn receive(sender: &Socket, receiver: &Socket, expected: usize) -> Vec<Vec<u8>> {
    let mut batch = RecvBatch::new();
    let mut received = Vec::new();
    while received.len() < expected {
        let count = receiver.recv_batch(&mut batch, WAIT).unwrap();
        assert!(count > 0, "only {} of {expected} came", received.len());
        assert_eq!(count, batch.len());
        for (index, datagram) in batch.iter().enumerate() {
            assert_eq!(datagram.source, sender.local_addr().unwrap());
            assert_eq!(datagram.destination, receiver.local_addr().unwrap());
            assert!(!datagram.truncated);
            assert_eq!(batch.get(index).unwrap().payload, datagram.payload);
            received.push(datagram.payload.to_vec());
        }
        assert!(batch.get(count).is_none());
    }
    received
}

#[test]
fn neighbours_of_equal_size_go_as_one_and_arrive_as_many() {
    for host in ["127.0.0.1", "[::1]"] {
        let sizes: Vec<usize> = (0..200)
            .map(|index| if index % 50 == 49 { 7 } else { 60 })
            .collect();
        let (sent, received) = sent_and_received(&sizes, host);
        assert_eq!(sent, received);
    }
}

#[test]
fn segments_of_one_payload_arrive_as_datagrams() {
    // Fewer than go as one, as many, more, and a last one that is shorter, alone or not.
    for (size, len) in [
        (64, 64 * 3),
        (64, 64 * 64),
        (64, 64 * 65),
        (64, 64 * 200 + 1),
        (1316, 1316 * 100),
        (8900, 8900 * 7 + 5),
        (40_000, 100_000),
        (60, 7),
        (1, 65),
        (9, 0),
    ] {
        for host in ["127.0.0.1", "[::1]"] {
            let (sender, receiver) = pair(host);
            let payload: Vec<u8> = (0..=250).cycle().take(len).collect();
            let mut transmit = Transmit::new(receiver.local_addr().unwrap(), &payload[..]);
            transmit.segment_size = Some(size);
            let datagrams: Vec<Vec<u8>> = if payload.is_empty() {
                vec![Vec::new()]
            } else {
                let segments = payload.chunks(size.into());
                segments.map(<[u8]>::to_vec).collect()
            };
            let sent = sender.send_segments(&transmit, true).unwrap();
            assert_eq!(sent, datagrams.len(), "{len} bytes by {size}");
            let received = receive(&sender, &receiver, datagrams.len());
            assert!(received == datagrams, "{len} bytes by {size}");
        }
    }
}

#[test]
fn the_kernel_gathers_what_it_was_given_as_one() {
    let (sender, receiver) = pair("127.0.0.1");
    if std::env::var("MANYCAST_OFFLOAD").is_ok_and(|value| value == "off") {
        for offload in [sender.offload(), receiver.offload()] {
            assert!(matches!(offload.gso, OffloadState::Off(_)), "{offload:?}");
            assert!(matches!(offload.gro, OffloadState::Off(_)), "{offload:?}");
        }
        return;
    }
    let payload = [7; 1000];
    let transmits = [Transmit::new(receiver.local_addr().unwrap(), &payload[..]); 64];
    assert_eq!(sender.send_batch(&transmits).unwrap(), 64);
    // Room for one buffer: only gathered datagrams come 64 at a time.
    let mut batch = RecvBatch::with_capacity(1);
    assert_eq!(receiver.recv_batch(&mut batch, WAIT).unwrap(), 64);
    assert!(batch.iter().all(|datagram| datagram.payload == payload));
}

#[test]
fn a_batch_to_several_destinations_reaches_each() {
    let (sender, a) = pair("127.0.0.1");
    let (b, _) = pair("127.0.0.1");
    let (to_a, to_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    let transmits: Vec<_> = (0..100)
        .map(|index| Transmit::new(if index % 3 == 0 { to_b } else { to_a }, [index; 9]))
        .collect();
    assert_eq!(sender.send_batch(&transmits).unwrap(), 100);
    for (socket, wanted) in [(&a, [1, 2]), (&b, [0, 0])] {
        let mut batch = RecvBatch::new();
        let mut received = Vec::new();
        while received.len() < if wanted == [0, 0] { 34 } else { 66 } {
            assert!(socket.recv_batch(&mut batch, WAIT).unwrap() > 0);
            received.extend(batch.iter().map(|datagram| datagram.payload[0]));
        }
        let expected: Vec<u8> = (0..100)
            .filter(|index| wanted.contains(&(index % 3)))
            .collect();
        assert_eq!(received, expected);
    }
}

#[test]
fn without_offload_everything_arrives_the_same() {
    const INSIDE: &str = "MANYCAST_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .env("MANYCAST_OFFLOAD", "off")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sizes_in_any_order_arrive_as_they_were_sent(
        sizes in proptest::collection::vec(
            prop_oneof![Just(0_usize), Just(1), Just(100), Just(1316), 0_usize..3000, Just(65_507)],
            1..40,
        ),
    ) {
        // What does not fit the receive buffer would be dropped, and rightly so.
        let buffer = pair("127.0.0.1").0.receive_buffer().unwrap().granted;
        prop_assume!(sizes.iter().sum::<usize>() < buffer / 2);
        let (sent, received) = sent_and_received(&sizes, "127.0.0.1");
        prop_assert_eq!(sent, received);
    }
}
