//! What a socket promises, on the loopback interface.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use manycast_net::{ErrorKind, RecvBatch, Socket, SocketConfig};
use manycast_types::{Ecn, Transmit};

const LOCAL: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn bind(local: &str) -> (Socket, SocketAddr) {
    let socket = Socket::bind(local.parse().unwrap(), &SocketConfig::default()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Receives until there are `count` payloads.
fn receive(socket: &Socket, batch: &mut RecvBatch, count: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let came = socket.recv_batch(batch, PATIENCE).unwrap();
        assert_ne!(came, 0, "only {} of {count} came", payloads.len());
        payloads.extend(batch.iter().map(|received| received.payload.to_vec()));
    }
    payloads
}

/// An error names the option of the version of IP that the socket has.
#[test]
fn a_hop_limit_of_none_is_refused_by_its_name() {
    for (local, option) in LOCAL.into_iter().zip(["IP_TTL", "IPV6_UNICAST_HOPS"]) {
        let error = bind(local).0.set_unicast_hops(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(option), "{error}");
    }
}

#[test]
fn a_batch_keeps_order_and_boundaries() {
    for local in LOCAL {
        let ((receiver, to), (sender, _)) = (bind(local), bind(local));
        // Empty, equal and unequal neighbours, and more than one system call takes.
        let payloads: Vec<Vec<u8>> = (0..200_u8)
            .map(|number| vec![number; usize::from(number % 7) * 100])
            .collect();
        let transmits: Vec<_> = payloads
            .iter()
            .map(|payload| Transmit::new(to, payload))
            .collect();
        assert_eq!(sender.send_batch(&transmits).unwrap(), 200);
        assert_eq!(receive(&receiver, &mut RecvBatch::new(), 200), payloads);
    }
}

/// Datagrams to the peer are sent without its address, which must hold for the peer of now alone.
#[test]
fn after_a_change_of_the_peer_each_datagram_goes_where_it_says() {
    for local in LOCAL {
        let ((first, to_first), (second, to_second)) = (bind(local), bind(local));
        let (sender, _) = bind(local);
        for peer in [to_first, to_second, to_first] {
            sender.connect(peer).unwrap();
            let transmits = [to_first, to_second].map(|to| Transmit::new(to, to.to_string()));
            assert_eq!(sender.send_batch(&transmits).unwrap(), 2);
            for (socket, address) in [(&first, to_first), (&second, to_second)] {
                let came = receive(socket, &mut RecvBatch::new(), 1);
                assert_eq!(came, [address.to_string().into_bytes()]);
            }
        }
    }
}

#[test]
fn a_batch_goes_to_many_destinations() {
    for local in LOCAL {
        let (sender, _) = bind(local);
        let receivers: Vec<_> = (0..5).map(|_| bind(local)).collect();
        let transmits: Vec<_> = (0..50_u8)
            .map(|number| Transmit::new(receivers[usize::from(number % 5)].1, vec![number; 10]))
            .collect();
        assert_eq!(sender.send_batch(&transmits).unwrap(), 50);
        for (first, (receiver, _)) in (0..).zip(&receivers) {
            let expected: Vec<_> = (0..10).map(|number| vec![first + number * 5; 10]).collect();
            assert_eq!(receive(receiver, &mut RecvBatch::new(), 10), expected);
        }
    }
}

#[test]
fn each_datagram_has_its_metadata() {
    for local in LOCAL {
        let any = if local.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let ((receiver, bound), (sender, from)) = (bind(any), bind(local));
        let to = SocketAddr::new(from.ip(), bound.port());
        sender.set_unicast_hops(9).unwrap();
        let before = SystemTime::now();
        sender.send(&Transmit::new(to, "hello")).unwrap();
        let mut batch = RecvBatch::new();
        assert_eq!(receiver.recv_batch(&mut batch, PATIENCE).unwrap(), 1);
        let received = batch.get(0).unwrap();
        assert_eq!(received.payload, b"hello");
        assert_eq!((received.source, received.destination), (from, to));
        assert_eq!(received.local, Some(to.ip()));
        assert_eq!(
            (received.interface.index, &*received.interface.name),
            (1, "lo")
        );
        assert_eq!((received.hops, received.ecn), (Some(9), Ecn::NotEct));
        assert_eq!((received.truncated, received.dropped), (false, 0));
        let time = received.time.unwrap();
        // The kernel reads a clock of its own, which is a little coarser.
        let slack = Duration::from_millis(100);
        assert!(
            time + slack >= before && time <= SystemTime::now() + slack,
            "{time:?}"
        );
        assert!(batch.get(1).is_none());
    }
}

#[test]
fn the_congestion_mark_is_told() {
    for local in LOCAL {
        let (receiver, to) = bind(local);
        let sender = UdpSocket::bind(local).unwrap();
        let marks = [
            (0, Ecn::NotEct),
            (1, Ecn::Ect1),
            (2, Ecn::Ect0),
            (3, Ecn::Ce),
        ];
        let mut batch = RecvBatch::new();
        for (bits, mark) in marks {
            // The upper six bits are another matter (RFC 2474 §3).
            let octet = 0xb8 | bits;
            if to.is_ipv4() {
                rustix::net::sockopt::set_ip_tos(&sender, octet).unwrap();
            } else {
                rustix::net::sockopt::set_ipv6_tclass(&sender, octet.into()).unwrap();
            }
            sender.send_to(b"x", to).unwrap();
            assert_eq!(receiver.recv_batch(&mut batch, PATIENCE).unwrap(), 1);
            assert_eq!(batch.get(0).unwrap().ecn, mark);
        }
    }
}

#[test]
fn the_longest_datagram_comes_whole() {
    for local in LOCAL {
        let ((receiver, to), (sender, _)) = (bind(local), bind(local));
        let mut batch = RecvBatch::with_capacity(1);
        for size in [0, 1, 65_506, 65_507] {
            sender.send(&Transmit::new(to, vec![7; size])).unwrap();
            assert_eq!(receiver.recv_batch(&mut batch, PATIENCE).unwrap(), 1);
            let received = batch.get(0).unwrap();
            assert_eq!(
                (received.payload, received.truncated),
                (&*vec![7; size], false)
            );
        }
    }
}

#[test]
fn what_was_dropped_is_counted() {
    for local in LOCAL {
        let config = SocketConfig::default().receive_buffer(8 << 10);
        let receiver = Socket::bind(local.parse().unwrap(), &config).unwrap();
        let to = receiver.local_addr().unwrap();
        let (sender, _) = bind(local);
        for _ in 0..200 {
            sender.send(&Transmit::new(to, [0; 1000])).unwrap();
        }
        let mut batch = RecvBatch::new();
        let mut received = 0;
        while let count @ 1.. = receiver
            .recv_batch(&mut batch, Some(Duration::ZERO))
            .unwrap()
        {
            received += u64::try_from(count).unwrap();
        }
        sender.send(&Transmit::new(to, "end")).unwrap();
        assert_eq!(receiver.recv_batch(&mut batch, PATIENCE).unwrap(), 1);
        let dropped = batch.get(0).unwrap().dropped;
        assert!(dropped > 0);
        assert_eq!(received + dropped, 200);
        assert_eq!(receiver.dropped(), dropped);
    }
}

/// Receives all that is there, and says how many datagrams that are.
fn receive_all(socket: &Socket, batch: &mut RecvBatch) -> u64 {
    let mut received = 0;
    while let count @ 1.. = socket.recv_batch(batch, Some(Duration::ZERO)).unwrap() {
        received += u64::try_from(count).unwrap();
    }
    received
}

/// A receiver that does nothing while more comes than it has room for: in the middle, so that
/// datagrams come after it, or until the end, so that none tells what was dropped.
#[test]
fn received_and_dropped_are_what_was_sent() {
    const COUNT: u64 = 20_000;
    let no_offload = std::env::var("MANYCAST_OFFLOAD").is_ok_and(|value| value == "off");
    for local in LOCAL {
        for (merge_received, until_the_end) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let config = SocketConfig::default()
                .receive_buffer(64 << 10)
                .merge_received(merge_received);
            let receiver = Socket::bind(local.parse().unwrap(), &config).unwrap();
            let to = receiver.local_addr().unwrap();
            let (sender, _) = bind(local);
            let payloads = vec![[7; 100]; 1000];
            let transmit = Transmit::new(to, ());
            let send = || sender.send_payloads(&transmit, &payloads, true).unwrap() as u64;
            let mut batch = RecvBatch::new();
            let (mut sent, mut received) = (0, 0);
            for _ in 0..COUNT / 1000 {
                sent += send();
            }
            if !until_the_end {
                received += receive_all(&receiver, &mut batch);
                sender.send(&Transmit::new(to, "end")).unwrap();
                (sent, received) = (sent + 1, received + receive_all(&receiver, &mut batch));
                assert_eq!(
                    receiver.dropped(),
                    receiver.count_dropped().unwrap().count,
                    "the last one told all"
                );
            }
            let dropped = receiver.count_dropped().unwrap();
            if until_the_end {
                received += receive_all(&receiver, &mut batch);
            }
            assert_eq!(sent, COUNT + u64::from(!until_the_end));
            let seen = format!("{local}: {received} of {sent} received, {dropped:?}");
            assert!(dropped.count > 0, "{seen}");
            assert_eq!(dropped.is_exact, no_offload || !merge_received, "{seen}");
            assert!(dropped.datagrams().contains(&(sent - received)), "{seen}");
            assert_eq!(receiver.dropped(), dropped.count, "{seen}");
            if dropped.is_exact {
                assert_eq!(received + dropped.count, sent);
            } else {
                assert!(dropped.to_string().starts_with("at least"), "{seen}");
                assert!(received + dropped.count < sent, "none was merged: {seen}");
            }
        }
    }
}

#[test]
fn waiting_ends_with_the_time_out() {
    for local in LOCAL {
        let (socket, _) = bind(local);
        let mut batch = RecvBatch::new();
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            let begin = std::time::Instant::now();
            assert_eq!(socket.recv_batch(&mut batch, Some(timeout)).unwrap(), 0);
            assert!(begin.elapsed() >= timeout);
            assert!(batch.is_empty());
        }
    }
}

#[test]
fn who_waits_for_more_of_a_stream_does_not_wait_for_long() {
    for local in LOCAL {
        let (socket, to) = bind(local);
        let mut batch = RecvBatch::new();
        assert_eq!(socket.recv_batch_soon(&mut batch).unwrap(), 0);
        socket.send(&Transmit::new(to, "more")).unwrap();
        assert_eq!(socket.recv_batch_soon(&mut batch).unwrap(), 1);
        // It changes nothing for other ways to wait, nor for who gets the descriptor.
        let begin = std::time::Instant::now();
        let timeout = Duration::from_millis(30);
        assert_eq!(socket.recv_batch(&mut batch, Some(timeout)).unwrap(), 0);
        assert!(begin.elapsed() >= timeout);
        let plain = UdpSocket::from(OwnedFd::from(socket));
        assert_eq!(plain.read_timeout().unwrap(), None);
    }
}

#[test]
fn a_refusal_is_news_and_no_error() {
    for local in LOCAL {
        let (_, nobody) = bind(local);
        let mut batch = RecvBatch::new();
        for connected in [true, false] {
            let (socket, _) = bind(local);
            if connected {
                socket.connect(nobody).unwrap();
            }
            for _ in 0..5 {
                socket.send(&Transmit::new(nobody, "anybody?")).unwrap();
                assert_eq!(socket.recv_batch(&mut batch, PATIENCE).unwrap(), 0);
                let [told] = batch.unreachable() else {
                    panic!("{batch:?}")
                };
                assert!(told.is_refused());
                assert_eq!(told.peer, nobody);
            }
            // None of them is an error of the next call, whether they were looked at or not.
            for _ in 0..5 {
                socket
                    .send(&Transmit::new(nobody, "still nobody?"))
                    .unwrap();
            }
        }
    }
}

/// Datagrams and refusals that come mixed: neither takes the place of the other.
#[test]
fn what_comes_beside_refusals_is_received_and_each_refusal_is_told() {
    const COUNT: usize = 40;
    type Receive = fn(&Socket, &mut RecvBatch) -> usize;
    let ways: [(&str, Receive); 4] = [
        ("timed", |it, batch| it.recv_batch(batch, PATIENCE).unwrap()),
        ("at once", |it, batch| {
            it.recv_batch(batch, Some(Duration::ZERO)).unwrap()
        }),
        ("for ever", |it, batch| it.recv_batch(batch, None).unwrap()),
        ("soon", |it, batch| {
            // Where nothing is there, this one does not look for refusals.
            match it.recv_batch_soon(batch).unwrap() {
                0 if batch.unreachable().is_empty() => it.recv_batch(batch, PATIENCE).unwrap(),
                count => count,
            }
        }),
    ];
    for local in LOCAL {
        let (_, nobody) = bind(local);
        for (way, receive) in ways {
            let ((socket, own), (other, _)) = (bind(local), bind(local));
            let (mut sent, mut received, mut refused) = (0, 0, 0);
            let mut batch = RecvBatch::new();
            for round in 0..COUNT {
                // Which of the two is there first, and how many of each, changes with each round.
                for part in 0..4 {
                    if (round >> part) & 1 == 0 {
                        socket.send(&Transmit::new(nobody, "anybody?")).unwrap();
                    } else {
                        other.send(&Transmit::new(own, "here")).unwrap();
                        sent += 1;
                    }
                }
                while received < sent || refused < (round + 1) * 4 - sent {
                    let count = receive(&socket, &mut batch);
                    assert_eq!(count, batch.len());
                    let told = batch.unreachable();
                    assert!(told.iter().all(|it| it.peer == nobody && it.is_refused()));
                    assert!(
                        count + told.len() > 0,
                        "{way}, {local}, round {round}: {received} of {sent} received, {refused} refused"
                    );
                    received += count;
                    refused += told.len();
                }
                assert_eq!((received, received + refused), (sent, (round + 1) * 4));
            }
        }
    }
}

/// As above, while another thread sends: both can come between the look and the wait.
#[test]
fn what_comes_beside_refusals_while_it_is_waited_for_is_told_too() {
    const COUNT: usize = 2000;
    for local in LOCAL {
        let (_, nobody) = bind(local);
        let ((socket, own), (other, _)) = (bind(local), bind(local));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..COUNT {
                    socket.send(&Transmit::new(nobody, "anybody?")).unwrap();
                    other.send(&Transmit::new(own, "here")).unwrap();
                }
            });
            let mut batch = RecvBatch::new();
            let (mut received, mut refused) = (0, 0);
            while received < COUNT || refused < COUNT {
                let count = socket.recv_batch(&mut batch, PATIENCE).unwrap();
                let told = batch.unreachable().len();
                assert!(
                    count + told > 0,
                    "{local}: {received} received, {refused} refused"
                );
                received += count;
                refused += told;
            }
            assert_eq!((received, refused), (COUNT, COUNT));
        });
    }
}

/// Between two calls of one thread come the refusals of what others sent, often several.
#[test]
fn many_refusals_at_once_are_no_error_either() {
    let (_, nobody) = bind("127.0.0.1:0");
    let (socket, _) = bind("127.0.0.1:0");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    socket.send(&Transmit::new(nobody, "anybody?")).unwrap();
                }
            });
        }
    });
}

#[test]
fn whoever_does_not_want_to_hear_of_refusals_does_not() {
    for local in LOCAL {
        let (_, nobody) = bind(local);
        let config = SocketConfig::default().report_unreachable(false);
        let socket = Socket::bind(local.parse().unwrap(), &config).unwrap();
        socket.send(&Transmit::new(nobody, "anybody?")).unwrap();
        let mut batch = RecvBatch::new();
        let timeout = Some(Duration::from_millis(20));
        assert_eq!(socket.recv_batch(&mut batch, timeout).unwrap(), 0);
        assert!(batch.unreachable().is_empty());
    }
}

#[test]
fn only_the_peer_is_received_until_another_socket_takes_the_place() {
    for local in LOCAL {
        let ((one, one_addr), (two, two_addr)) = (bind(local), bind(local));
        let any = if local.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let (socket, bound) = bind(any);
        let own = SocketAddr::new(one_addr.ip(), bound.port());
        let mut batch = RecvBatch::new();
        for (peer, peer_addr, stranger) in [(&one, one_addr, &two), (&two, two_addr, &one)] {
            socket.connect(peer_addr).unwrap();
            assert_eq!(socket.peer_addr(), Some(peer_addr));
            stranger.send(&Transmit::new(own, "stranger")).unwrap();
            peer.send(&Transmit::new(own, "peer")).unwrap();
            assert_eq!(receive(&socket, &mut batch, 1), [b"peer"]);
        }
        let free = socket.successor(None, &SocketConfig::default()).unwrap();
        drop(socket);
        assert_eq!(
            (free.peer_addr(), free.local_addr().unwrap()),
            (None, bound)
        );
        // What was refused meanwhile is told to those who sent it, and is no error.
        for sender in [&one, &two] {
            sender.send(&Transmit::new(own, "anybody")).unwrap();
            assert_eq!(receive(&free, &mut batch, 1), [b"anybody"]);
        }
    }
}

#[test]
fn buffers_are_read_back() {
    let config = SocketConfig::default()
        .receive_buffer(65_536)
        .send_buffer(32_768);
    for local in LOCAL {
        let socket = Socket::bind(local.parse().unwrap(), &config).unwrap();
        for (size, asked) in [
            (socket.receive_buffer(), 65_536),
            (socket.send_buffer(), 32_768),
        ] {
            let size = size.unwrap();
            assert_eq!(
                (size.requested, size.granted, size.is_capped()),
                (asked, asked, false)
            );
        }
    }
}

#[test]
fn options_are_read_back() {
    for local in LOCAL {
        let (socket, _) = bind(local);
        let options = || {
            (
                socket.multicast_hops().unwrap(),
                socket.unicast_hops().unwrap(),
                socket.loopback().unwrap(),
                socket.broadcast().unwrap(),
                socket.multicast_interface(),
            )
        };
        assert_eq!(options(), (1, 64, true, false, None));
        socket.set_multicast_hops(33).unwrap();
        socket.set_unicast_hops(44).unwrap();
        socket.set_loopback(false).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_multicast_interface(Some(1)).unwrap();
        assert_eq!(options(), (33, 44, false, true, Some(1)));
        assert_eq!(
            socket.set_unicast_hops(0).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            socket
                .set_multicast_interface(Some(9999))
                .unwrap_err()
                .kind(),
            ErrorKind::NoInterface
        );
        assert_eq!(
            options(),
            (33, 44, false, true, Some(1)),
            "what failed changed nothing"
        );
        socket.set_multicast_interface(None).unwrap();
        assert_eq!(socket.multicast_interface(), None);
    }
}

#[test]
fn what_cannot_be_sent_is_an_error_of_the_first_of_its_call() {
    let (sender, _) = bind("127.0.0.1:0");
    let (receiver, to) = bind("127.0.0.1:0");
    let batch = |sizes: [usize; 3]| sizes.map(|size| Transmit::new(to, vec![1; size]));
    assert_eq!(sender.send_batch(&batch([10, 70_000, 10])).unwrap(), 1);
    assert_eq!(receive(&receiver, &mut RecvBatch::new(), 1), [vec![1; 10]]);
    let error = sender.send_batch(&batch([70_000, 10, 10])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLong);
    assert_eq!(sender.send_batch::<Vec<u8>>(&[]).unwrap(), 0);
    let other_version = Transmit::new("[::1]:9".parse().unwrap(), "x");
    assert!(sender.send(&other_version).is_err());
}

/// Linux notes each datagram that is too long for any path in the error queue, so that the attempts
/// can be counted.
#[test]
fn what_the_kernel_refuses_is_not_tried_again() {
    for local in LOCAL {
        let (socket, own) = bind(local);
        // Less than the 65,535 bytes that the kernel looks at first, without a note.
        let error = socket.send(&Transmit::new(own, [0; 65_530])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLong);
        let plain = socket2::SockRef::from(&socket);
        let mut buffer = [std::mem::MaybeUninit::uninit(); 16];
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        let attempts = std::iter::from_fn(|| plain.recv_with_flags(&mut buffer, flags).ok());
        assert_eq!(attempts.count(), 1, "{local}");
    }
}

#[test]
fn a_full_send_buffer_is_no_error() {
    let (_receiver, to) = bind("127.0.0.1:0");
    let (sender, _) = bind("127.0.0.1:0");
    let transmits = vec![Transmit::new(to, [0; 1000]); 1000];
    // On loopback nothing ever waits in it, so all go; more than one system call takes.
    assert_eq!(sender.try_send_batch(&transmits).unwrap(), 1000);
}
