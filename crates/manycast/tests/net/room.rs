//! Full send buffers: what waits for room keeps nobody else waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast::{NetworkEvent, Output, Protocol, Received, Request, SocketConfig, Transmit};
use manycast_lab::netns::Lab;

use crate::fair::{BOTH, Greedy, drive, wait_until};
use crate::{PATIENCE, bind, hosts, receive};

/// Where nothing can be sent for a long time, everything else goes on.
pub(crate) fn a_full_send_buffer_keeps_nobody_waiting() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    for runtime in BOTH {
        let greedy = Greedy::new(([10, 0, 0, 2], 9).into());
        let (came, times) = (Arc::clone(&greedy.came), Arc::clone(&greedy.times));
        let not_sent = Arc::clone(&greedy.not_sent);
        let (task, stopper, commands) = drive(&a, runtime, bind(&a, "10.0.0.1:5000"), greedy);
        let sender = crate::sender(&b, "10.0.0.1:5000");
        for _ in 0..100 {
            sender.send("hello").unwrap();
        }
        wait_until(&came, 100);
        // The time goes on although nothing comes and nothing can be sent.
        wait_until(&times, times.load(Ordering::Relaxed) + 3);
        let (tell, told) = std::sync::mpsc::channel();
        assert!(commands.give(move |_, _| tell.send(()).unwrap()));
        told.recv_timeout(PATIENCE).expect("the command is run");
        assert_eq!(not_sent.load(Ordering::Relaxed), 0);
        stopper.stop();
        task.join();
        // What waited for room is told at the end.
        assert!(not_sent.load(Ordering::Relaxed) > 0);
    }
}

/// Sends what it has, answers what comes, and wants nothing else.
struct Answering {
    outputs: VecDeque<Transmit>,
    came: Arc<AtomicU64>,
    times: Arc<AtomicU64>,
}

impl Protocol for Answering {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        self.outputs
            .push_back(datagram.reply().with("answer".into()));
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        let wait = Output::Wait {
            until: None,
            reason: "a question",
        };
        self.outputs.pop_front().map_or(wait, Output::Transmit)
    }
}

/// What a protocol waited for before it was told of something is not what it waits for then.
pub(crate) fn what_comes_while_a_send_buffer_is_full_is_answered() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    // A refusal would wake the driver.
    let _sink = bind(&b, "10.0.0.2:9");
    for runtime in BOTH {
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        let config = SocketConfig::default().send_buffer(16 * 1024);
        let socket = a.run(|| manycast::Socket::bind_with("10.0.0.1:5000", config).unwrap());
        let datagram = Transmit::new(([10, 0, 0, 2], 9).into(), Bytes::from_static(&[7; 1316]));
        let protocol = Answering {
            // The kernel takes the first 64 KiB as one (GSO), whatever room there is.
            outputs: vec![datagram; 60].into(),
            came: Arc::default(),
            times: Arc::default(),
        };
        let (came, times) = (Arc::clone(&protocol.came), Arc::clone(&protocol.times));
        let (task, stopper, _) = drive(&a, runtime, socket, protocol);
        // It is told the time although it wants nothing: it waits for room.
        wait_until(&times, 3);
        let mut asker = bind(&b, "10.0.0.2:5000");
        b.run(|| asker.send_to("10.0.0.1:5000", "question").unwrap());
        wait_until(&came, 1);
        a.output("tc qdisc del dev eth0 root");
        assert_eq!(receive(&b, &mut asker).payload, "answer");
        stopper.stop();
        task.join();
    }
}

/// What the kernel takes in part, since it takes no more than 64 datagrams as one.
fn in_parts() -> Transmit {
    let mut transmit = Transmit::new(([10, 0, 0, 2], 9).into(), vec![7; 128_000].into());
    transmit.segment_size = Some(1000);
    transmit
}

/// The rest of what was taken in part waits for room as all else does.
pub(crate) fn a_driver_does_not_wait_for_the_rest_of_a_transmit() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let _sink = bind(&b, "10.0.0.2:9");
    let first = Transmit::new(([10, 0, 0, 2], 9).into(), "first".into());
    for runtime in BOTH {
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        let config = SocketConfig::default().send_buffer(16 * 1024);
        let socket = a.run(|| manycast::Socket::bind_with("10.0.0.1:5000", config).unwrap());
        let protocol = Answering {
            outputs: vec![first.clone(), in_parts()].into(),
            came: Arc::default(),
            times: Arc::default(),
        };
        let times = Arc::clone(&protocol.times);
        let (task, stopper, _) = drive(&a, runtime, socket, protocol);
        wait_until(&times, 3);
        stopper.stop();
        task.join();
        a.output("tc qdisc del dev eth0 root");
    }
}

/// A call that never waits does not wait for the rest of a transmit either, but says how much went.
pub(crate) fn a_call_that_never_waits_tells_what_went_of_a_transmit() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let _sink = bind(&b, "10.0.0.2:9");
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    let bind = || {
        let config = SocketConfig::default().send_buffer(16 * 1024);
        a.run(|| manycast::Socket::bind_with("10.0.0.1:0", config).unwrap())
    };
    let transmit = in_parts();
    let all = [transmit.clone(), transmit.clone()];
    let socket = bind();
    let (half, _rest) = bind().split();
    let sent = socket.try_send_batch(&all).unwrap();
    assert!((1..128).contains(&sent), "{sent}");
    assert_eq!(half.try_send_batch(&all).unwrap(), sent);
    assert_eq!(transmit.after(sent).count(), 128 - sent);
    assert_eq!(socket.try_send_batch(&[transmit.after(sent)]).unwrap(), 0);
    a.output("tc qdisc del dev eth0 root");
    assert_eq!(socket.send_batch(&all).unwrap(), 256);
}

/// A sender that waits for room can look in between whether to stop.
pub(crate) fn a_sender_waits_for_room_as_long_as_it_wants() {
    let lab = Lab::new();
    let [a, _b] = hosts(&lab, ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    let sender = crate::sender(&a, "10.0.0.2:5000");
    let payload = [7; 1316];
    assert!(sender.wait_for_room(Duration::ZERO).unwrap());
    while sender.try_send_batch(&[payload]).unwrap() > 0 {}
    // That what went was refused ends no wait for room.
    let (begun, wait) = (Instant::now(), Duration::from_millis(20));
    assert!(!sender.wait_for_room(wait).unwrap());
    assert!(begun.elapsed() >= wait);
    a.output("tc qdisc del dev eth0 root");
    assert!(sender.wait_for_room(PATIENCE).unwrap());
    assert_eq!(sender.try_send_batch(&[payload]).unwrap(), 1);
}

/// The number of the last datagram.
const LAST: u8 = 60;

/// Opens a socket, sends more by it than it has room for, and closes it.
struct Closing {
    outputs: VecDeque<Output<()>>,
    times: Arc<AtomicU64>,
    not_sent: Arc<AtomicU64>,
}

impl Protocol for Closing {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        match event {
            NetworkEvent::Opened { socket, .. } => {
                let to = ([10, 0, 0, 2], 9).into();
                // One turn takes them all, and the request.
                for number in 1..=LAST {
                    let mut transmit = Transmit::new(to, vec![number; 1316].into());
                    transmit.socket = Some(socket);
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                let close = Request::Close { socket };
                self.outputs.push_back(Output::Request(close));
            }
            NetworkEvent::NotSent { .. } => {
                self.not_sent.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        let wait = Output::Wait {
            until: None,
            reason: "nothing",
        };
        self.outputs.pop_front().unwrap_or(wait)
    }
}

/// A socket is closed after what was to be sent by it before.
pub(crate) fn a_socket_is_closed_once_all_is_sent() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut sink = bind(&b, "10.0.0.2:9");
    for runtime in BOTH {
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        let config = SocketConfig::default().send_buffer(16 * 1024);
        let socket = a.run(|| manycast::Socket::bind_with("10.0.0.1:5000", config).unwrap());
        let open = Request::Open {
            tag: 1,
            local: "10.0.0.1:0".parse().unwrap(),
        };
        let protocol = Closing {
            outputs: [Output::Request(open)].into(),
            times: Arc::default(),
            not_sent: Arc::default(),
        };
        let (times, not_sent) = (Arc::clone(&protocol.times), Arc::clone(&protocol.not_sent));
        let (task, stopper, _) = drive(&a, runtime, socket, protocol);
        wait_until(&times, 3);
        a.output("tc qdisc del dev eth0 root");
        while receive(&b, &mut sink).payload[0] < LAST {
            assert_eq!(not_sent.load(Ordering::Relaxed), 0);
        }
        stopper.stop();
        task.join();
        assert_eq!(not_sent.load(Ordering::Relaxed), 0);
    }
}
