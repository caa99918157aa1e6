//! What listeners and sockets keep to when much arrives, on loopback.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use manycast::{Error, Listener, Sender, Socket, SocketConfig, Transmit, listen};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_was_left_is_heard_no_more() {
    let mut listener = listen("239.192.7.1%lo:5071").unwrap();
    listener.join("239.192.7.2%lo:5071").unwrap();
    let sender = Sender::new("239.192.7.1%lo:5071").unwrap();
    for length in 1..=20 {
        sender.send(vec![1; length]).unwrap();
    }
    assert!(listener.recv_timeout(PATIENCE).unwrap().is_some());
    assert!(listener.leave("239.192.7.1%lo:5071").unwrap());
    assert!(listener.try_recv().unwrap().is_none());
}

#[test]
fn sources_that_are_wanted_no_more_are_heard_no_more() {
    let mut listener = listen("239.192.7.3%lo:5073").unwrap();
    let sender = Sender::new("239.192.7.3%lo:5073").unwrap();
    for length in 1..=20 {
        sender.send(vec![1; length]).unwrap();
    }
    let source = listener.recv_timeout(PATIENCE).unwrap().unwrap().source;
    assert!(source.ip().is_loopback());
    listener.join("127.9.9.9@239.192.7.3%lo:5073").unwrap();
    assert!(listener.try_recv().unwrap().is_none());
}

#[test]
fn a_stop_ends_waits_that_always_find_something() {
    let mut socket = Socket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    let stopper = socket.stopper().unwrap();
    stopper.stop();
    let heard = (0..10_000).find(|_| {
        socket.send_to(to, "more").unwrap();
        matches!(socket.recv(), Err(Error::Stopped))
    });
    assert!(heard.is_some());
}

#[test]
fn what_came_before_a_stop_can_still_be_taken() {
    let mut listener = listen("127.0.0.1:0").unwrap();
    let to = listener.local_addrs().next().unwrap();
    let sender = Socket::bind("127.0.0.1:0").unwrap();
    for length in 1..=200 {
        sender.send_to(to, vec![1; length]).unwrap();
    }
    listener.stopper().unwrap().stop();
    for length in 1..=200 {
        let received = listener.try_recv().unwrap().unwrap();
        assert_eq!(received.payload.len(), length);
    }
    assert!(matches!(listener.try_recv(), Err(Error::Stopped)));
    assert!(matches!(listener.recv(), Err(Error::Stopped)));
}

#[test]
fn the_end_of_a_stream_does_not_end_a_wait() {
    let mut listener = listen("239.192.7.7%lo:5077").unwrap();
    let stopper = listener.stopper().unwrap();
    let sender = Sender::new("239.192.7.7%lo:5077").unwrap();
    let stream = |listener: &mut Listener| {
        for _ in 0..100 {
            sender.send("more").unwrap();
            assert_eq!(listener.recv().unwrap().payload, b"more");
        }
    };
    stream(&mut listener);
    let (begin, timeout) = (Instant::now(), Duration::from_millis(50));
    assert!(listener.recv_timeout(timeout).unwrap().is_none());
    assert!(begin.elapsed() >= timeout);

    // What comes after it is waited for again, by the listener and by whoever has its descriptor.
    stream(&mut listener);
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send("later").unwrap());
        assert_eq!(listener.recv().unwrap().payload, b"later");
    });
    stream(&mut listener);
    assert!(!is_readable(&listener));
    sender.send("last").unwrap();
    assert!(is_readable(&listener));
    assert_eq!(listener.recv().unwrap().payload, b"last");
    stream(&mut listener);
    assert!(!is_readable(&listener));
    sender.send("last").unwrap();
    assert!(is_readable(&listener));
    assert_eq!(listener.recv().unwrap().payload, b"last");

    stream(&mut listener);
    stopper.stop();
    assert!(matches!(listener.recv(), Err(Error::Stopped)));
}

#[test]
fn a_stream_to_one_group_does_not_hold_back_another() {
    const TRAINS: usize = 60;
    let mut listener = listen("239.192.7.5%lo:5075").unwrap();
    listener.join("239.192.7.6%lo:5075").unwrap();
    let stream = Sender::new("239.192.7.5%lo:5075").unwrap();
    for _ in 0..TRAINS {
        stream.send_batch(&[[0; 20]; 64]).unwrap();
    }
    let mut count = listener.recv_batch(Some(PATIENCE)).unwrap().count();
    let other = Sender::new("239.192.7.6%lo:5075").unwrap();
    other.send("other").unwrap();
    let mut heard = false;
    while !heard {
        for received in listener.recv_batch(Some(PATIENCE)).unwrap() {
            heard |= received.payload == b"other";
            count += 1;
        }
    }
    assert!(count < TRAINS * 64, "all {count} of the stream came first");
}

#[test]
fn a_flood_of_answers_does_not_hold_whoever_waits_for_a_refusal() {
    let peer = Socket::bind("127.0.0.1:0").unwrap();
    let sender = Sender::new(peer.local_addr().unwrap()).unwrap();
    let from = sender.local_addr();
    let over = AtomicBool::new(false);
    // They come one by one, since they differ in length.
    let answers: Vec<_> = ["a", "an answer"]
        .map(|text| Transmit::new(from, text))
        .repeat(32);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    peer.send_batch(&answers).unwrap();
                }
            });
        }
        assert_eq!(sender.unreachable(Duration::from_millis(20)).unwrap(), None);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_wait_for_a_refusal_may_be_as_long_as_can_be() {
    let closed = Socket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sender = Sender::new(closed).unwrap();
    sender.send("nobody there").unwrap();
    assert!(sender.unreachable(Duration::MAX).unwrap().is_some());
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::{PATIENCE, Sender, SocketConfig};
    use manycast::tokio::{Driver, Listener, Socket};
    use manycast::{Output, Protocol, Received};
    use tokio::time::timeout;

    #[tokio::test]
    async fn what_was_not_asked_for_does_not_hide_what_was() {
        let mut socket = Socket::bind("0.0.0.0:0").await.unwrap();
        let port = socket.get_ref().local_addr().unwrap().port();
        let group = "239.192.7.4%lo";
        socket.get_mut().join(group).unwrap();
        let sender = Sender::new((group, port)).unwrap();
        for length in 1..=500 {
            sender.send(vec![1; length]).unwrap();
        }
        // Nobody wants these any more, and they are more than fit into some batches.
        socket.get_mut().leave(group).unwrap();
        Sender::new(("127.0.0.1", port))
            .unwrap()
            .send("hello")
            .unwrap();
        let received = timeout(PATIENCE, socket.recv())
            .await
            .expect("in time")
            .unwrap();
        assert_eq!(received.payload, b"hello");
    }

    #[tokio::test]
    async fn what_is_waited_for_later_is_heard_too() {
        // One socket alone is known to the runtime itself.
        let mut socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.get_ref().local_addr().unwrap();
        let sender = Sender::new(to).unwrap();
        for _ in 0..3 {
            sender.send("alone").unwrap();
            let received = timeout(PATIENCE, socket.recv()).await.expect("in time");
            assert_eq!(received.unwrap().payload, b"alone");
        }
        // Then there is a group beside it, and then a stop.
        let group = ("239.192.7.5%lo", to.port());
        socket.get_mut().join(group.0).unwrap();
        Sender::new(group).unwrap().send("group").unwrap();
        let received = timeout(PATIENCE, socket.recv()).await.expect("in time");
        assert_eq!(received.unwrap().payload, b"group");
        sender.send("both").unwrap();
        let received = timeout(PATIENCE, socket.recv()).await.expect("in time");
        assert_eq!(received.unwrap().payload, b"both");
        let stopper = socket.get_mut().stopper().unwrap();
        let stopped = tokio::join!(timeout(PATIENCE, socket.recv()), async {
            tokio::task::yield_now().await;
            stopper.stop();
        });
        assert!(matches!(
            stopped.0.expect("in time"),
            Err(manycast::Error::Stopped)
        ));
    }

    #[tokio::test]
    async fn a_stop_is_heard_although_a_stream_goes_on() {
        let group = "239.192.7.8%lo:5078";
        let config = SocketConfig::default();
        let mut listener = Listener::open([group], config).await.unwrap();
        let stopper = listener.get_mut().stopper().unwrap();
        let sender = Sender::new(group).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let flood = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    sender.send_batch(&[[0; 64]; 64]).unwrap();
                }
            }
        });
        let mut count = 0;
        let stopped = loop {
            let batch = timeout(PATIENCE, listener.recv_batch()).await;
            match batch.expect("in time") {
                Ok(batch) => count += batch.count(),
                Err(error) => break error,
            }
            if count > 1000 {
                stopper.stop();
            }
            assert!(count < 10_000_000, "it goes on for ever");
        };
        assert!(matches!(stopped, manycast::Error::Stopped), "{stopped}");
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap();
    }

    #[tokio::test]
    async fn waits_on_a_runtime_and_others_may_alternate() {
        let group = "239.192.7.9%lo:5079";
        let config = SocketConfig::default();
        let mut listener = Listener::open([group], config).await.unwrap();
        let sender = Sender::new(group).unwrap();
        for _ in 0..3 {
            let nothing = timeout(Duration::ZERO, listener.recv()).await;
            assert!(nothing.is_err());
            // A stream, which is received without the poller after a while.
            for _ in 0..100 {
                sender.send("blocking").unwrap();
                let received = listener.get_mut().recv().unwrap();
                assert_eq!(received.payload, b"blocking");
            }
            let (received, ()) = tokio::join!(timeout(PATIENCE, listener.recv()), async {
                tokio::task::yield_now().await;
                sender.send("runtime").unwrap();
            });
            let received = received.expect("in time").unwrap();
            assert_eq!(received.payload, b"runtime");
        }
    }

    #[tokio::test]
    async fn a_lone_socket_hears_of_a_stop() {
        let mut socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let nothing = timeout(Duration::ZERO, socket.recv()).await;
        assert!(nothing.is_err());
        let stopper = socket.get_mut().stopper().unwrap();
        let stopped = tokio::join!(timeout(PATIENCE, socket.recv()), async {
            tokio::task::yield_now().await;
            stopper.stop();
        });
        assert!(matches!(
            stopped.0.expect("in time"),
            Err(manycast::Error::Stopped)
        ));
    }

    /// Waits again and again for a fraction of a millisecond.
    struct Ticks {
        left: u32,
        due: Instant,
        /// The least that it was late.
        late: Duration,
    }

    const TICK: Duration = Duration::from_micros(200);

    impl Protocol for Ticks {
        type Event = ();

        fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

        fn handle_timeout(&mut self, now: Instant) {
            assert!(self.due <= now, "nothing else ends a wait");
            self.late = self.late.min(now - self.due);
            self.left -= 1;
            self.due = now + TICK;
        }

        fn poll_output(&mut self, _now: Instant) -> Output<()> {
            if self.left == 0 {
                return Output::Finished;
            }
            Output::Wait {
                until: Some(self.due),
                reason: "the next tick",
            }
        }
    }

    #[tokio::test]
    async fn a_short_wait_is_not_rounded_to_milliseconds() {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let ticks = Ticks {
            left: 100,
            due: Instant::now() + TICK,
            late: Duration::MAX,
        };
        let mut driver = Driver::new(socket, ticks).unwrap();
        assert!(driver.next_event().await.unwrap().is_none());
        // Of a hundred waits one at least is not disturbed by what else the machine does.
        let late = driver.protocol().late;
        assert!(late < TICK * 2, "at best {late:?} late");
    }

    #[tokio::test]
    async fn a_receiver_that_always_finds_something_leaves_time_to_others() {
        let mut socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.get_ref().local_addr().unwrap();
        let busy = async {
            for _ in 0..1_000_000 {
                socket.send_to(to, "more").await.unwrap();
                socket.recv().await.unwrap();
            }
        };
        let other = tokio::task::yield_now();
        tokio::select! {
            biased;
            () = busy => panic!("nobody else had a turn"),
            () = other => {}
        }
    }
}

/// Whether a descriptor is readable now, for who waits for it himself.
fn is_readable(fd: &impl std::os::fd::AsFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready == 1)
}

#[test]
fn a_descriptor_stays_readable_while_a_datagram_is_there_to_be_taken() {
    let mut listener = listen("127.0.0.1:5081").unwrap();
    let mut socket = Socket::bind("127.0.0.1:5082").unwrap();
    let payloads = [[7; 100]; 10];
    for round in 0..2 {
        for to in ["127.0.0.1:5081", "127.0.0.1:5082"] {
            // They come as one where the kernel merges what it receives.
            let sender = Sender::new(to).unwrap();
            assert_eq!(sender.send_batch(&payloads).unwrap(), payloads.len());
        }
        if round == 0 {
            // Whoever asks for the descriptor late is told all the same.
            listener.recv_timeout(PATIENCE).unwrap().unwrap();
            socket.recv_timeout(PATIENCE).unwrap().unwrap();
        }
        for _ in usize::from(round == 0)..payloads.len() {
            assert!(is_readable(&listener) && is_readable(&socket));
            listener.try_recv().unwrap().unwrap();
            socket.try_recv().unwrap().unwrap();
        }
        assert!(!is_readable(&listener) && !is_readable(&socket));
    }
}

#[test]
fn a_refusal_and_the_datagrams_before_it_are_both_told() {
    for _ in 0..32 {
        let mut peer = Socket::bind("127.0.0.1:0").unwrap();
        let mut client = Socket::connect(peer.local_addr().unwrap()).unwrap();
        client.send("hello").unwrap();
        let reply = peer.recv_timeout(PATIENCE).unwrap().unwrap().reply();
        for number in ["0", "1", "2", "3"] {
            peer.answer(reply, number).unwrap();
        }
        drop(peer);
        client.send("anybody?").unwrap();
        let (mut got, mut refused) = (Vec::new(), false);
        while got.len() < 4 || !refused {
            match client.recv_timeout(PATIENCE) {
                Ok(received) => got.push(received.unwrap().payload.to_vec()),
                Err(Error::ConnectionRefused { .. }) => refused = true,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(got, [b"0", b"1", b"2", b"3"]);
    }
}

/// What is dropped is told when it is asked for, before and after what waits is read, by a listener
/// and by a socket.
#[test]
fn what_came_and_what_was_dropped_are_what_was_sent() {
    const COUNT: u64 = 3_000;
    for merge_received in [true, false] {
        let config = SocketConfig::default()
            .receive_buffer(64 << 10)
            .merge_received(merge_received);
        let mut listener = Listener::open(["127.0.0.1:0"], config.clone()).unwrap();
        let mut socket = Socket::bind_with("127.0.0.1:0", config).unwrap();
        let to = [listener.local_addrs().next(), socket.local_addr().ok()].map(Option::unwrap);
        let sender = Socket::bind("127.0.0.1:0").unwrap();
        for to in to {
            let transmits = vec![Transmit::new(to, [7; 100]); 100];
            for _ in 0..COUNT / 100 {
                assert_eq!(sender.send_batch(&transmits).unwrap(), 100);
            }
        }
        let before = [listener.dropped(), socket.dropped()];
        let mut received = [0, 0];
        while listener.try_recv().unwrap().is_some() {
            received[0] += 1;
        }
        while socket.try_recv().unwrap().is_some() {
            received[1] += 1;
        }
        assert_eq!([listener.dropped(), socket.dropped()], before);
        for (dropped, received) in before.into_iter().zip(received) {
            let lost = COUNT - received;
            assert!(dropped.count > 0, "{received} received");
            assert!(dropped.datagrams().contains(&lost), "{dropped:?} of {lost}");
            assert!(merge_received || dropped.is_exact, "{dropped:?}");
        }
    }
}
