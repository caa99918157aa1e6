//! What a stop leaves: all that had come before it is taken in, and nothing that comes later.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use manycast::{Driver, Error, Next, Output, Protocol, Received, Sender, Socket};

const PATIENCE: Duration = Duration::from_secs(60);
/// More than one look takes in, and no more than a receive buffer holds.
const COUNT: usize = 200;

/// Tells of each datagram, and at the end that it was stopped.
#[derive(Default)]
struct Tells {
    events: VecDeque<Told>,
    stops: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Came(usize),
    Stopped,
}

impl Protocol for Tells {
    type Event = Told;

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        self.events.push_back(Told::Came(datagram.payload.len()));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<Told> {
        match self.events.pop_front() {
            Some(event) => Output::Event(event),
            None => Output::Wait {
                until: None,
                reason: "datagrams",
            },
        }
    }

    fn stop(&mut self, _now: Instant) {
        self.stops += 1;
        self.events.push_back(Told::Stopped);
    }
}

/// What is told where datagrams of 1 to [`COUNT`] bytes came before a stop.
fn expected() -> Vec<Told> {
    let mut told: Vec<_> = (1..=COUNT).map(Told::Came).collect();
    told.push(Told::Stopped);
    told
}

/// A socket to which datagrams of 1 to [`COUNT`] bytes were sent. Each has a length of its own, so that
/// the kernel merges none.
fn filled() -> Socket {
    let socket = Socket::bind("127.0.0.1:0").unwrap();
    let sender = Sender::new(socket.local_addr().unwrap()).unwrap();
    for length in 1..=COUNT {
        sender.send(vec![1; length]).unwrap();
    }
    socket
}

#[test]
fn a_driver_takes_in_what_came_before_a_stop_and_tells_all_of_it() {
    let mut driver = Driver::new(filled(), Tells::default());
    driver.stopper().unwrap().stop();
    let mut told = Vec::new();
    while let Next::Event(event) = driver.next_event(None).unwrap() {
        assert!(told.is_empty() || told.len() == COUNT || !driver.is_finished());
        told.push(event);
    }
    assert_eq!(told, expected());
    assert!(driver.is_finished());
    assert_eq!(driver.next_event(None).unwrap(), Next::Finished);
    assert_eq!(driver.protocol().stops, 1);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_driver_on_a_runtime_does_so_too() {
    let mut socket = manycast::tokio::Socket::bind("127.0.0.1:0").await.unwrap();
    let sender = Sender::new(socket.get_mut().local_addr().unwrap()).unwrap();
    for length in 1..=COUNT {
        sender.send(vec![1; length]).unwrap();
    }
    let mut driver = manycast::tokio::Driver::new(socket, Tells::default()).unwrap();
    driver.stopper().unwrap().stop();
    let mut told = Vec::new();
    while let Some(event) = driver.next_event().await.unwrap() {
        told.push(event);
    }
    assert_eq!(told, expected());
    assert!(driver.is_finished());
    assert_eq!(driver.protocol().stops, 1);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn whoever_receives_on_a_runtime_is_handed_what_came_before_a_stop() {
    let mut listener = manycast::tokio::listen("127.0.0.1:0").await.unwrap();
    let to = listener.get_ref().local_addrs().next().unwrap();
    for length in 1..=COUNT {
        manycast::send(to, vec![1; length]).unwrap();
    }
    listener.get_mut().stopper().unwrap().stop();
    for length in 1..=COUNT {
        assert_eq!(listener.recv().await.unwrap().payload.len(), length);
    }
    assert!(matches!(listener.recv().await, Err(Error::Stopped)));
    assert!(matches!(listener.next_event().await, Err(Error::Stopped)));
}

/// Runs `receive` while somebody sends without end to the socket that it is given.
fn under_fire(receive: impl FnOnce(Socket)) {
    let socket = Socket::bind("127.0.0.1:0").unwrap();
    let sender = Sender::new(socket.local_addr().unwrap()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    sender.send_batch(&[[7; 100]; 64]).unwrap();
                }
            });
        }
        receive(socket);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn who_never_waits_is_told_of_a_stop_although_a_sender_goes_on() {
    under_fire(|mut socket| {
        let stopper = socket.stopper().unwrap();
        socket.recv_timeout(PATIENCE).unwrap().unwrap();
        stopper.stop();
        let begin = Instant::now();
        loop {
            match socket.try_recv() {
                Ok(_) => assert!(begin.elapsed() < PATIENCE, "it goes on for ever"),
                Err(Error::Stopped) => break,
                Err(error) => panic!("{error}"),
            }
        }
        for _ in 0..1000 {
            assert!(matches!(socket.try_recv(), Err(Error::Stopped)));
        }
    });
}

#[test]
fn a_driver_ends_although_a_sender_goes_on() {
    under_fire(|socket| {
        let mut driver = Driver::new(socket, Tells::default());
        let stopper = driver.stopper().unwrap();
        assert!(driver.next_event(Some(PATIENCE)).unwrap().event().is_some());
        stopper.stop();
        let begin = Instant::now();
        let mut last = None;
        while let Next::Event(event) = driver.next_event(None).unwrap() {
            assert!(begin.elapsed() < PATIENCE, "it goes on for ever");
            last = Some(event);
        }
        assert_eq!(last, Some(Told::Stopped));
        assert_eq!(driver.protocol().stops, 1);
    });
}

#[test]
fn what_was_not_asked_for_does_not_hide_what_came_before_a_stop() {
    let mut socket = Socket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let group = "239.192.7.9%lo";
    socket.join(group).unwrap();
    let sender = Sender::new((group, port)).unwrap();
    for length in 1..=COUNT {
        sender.send(vec![1; length]).unwrap();
    }
    // Nobody wants these any more.
    socket.leave(group).unwrap();
    manycast::send(("127.0.0.1", port), "wanted").unwrap();
    socket.stopper().unwrap().stop();
    assert_eq!(socket.try_recv().unwrap().unwrap().payload, b"wanted");
    assert!(matches!(socket.try_recv(), Err(Error::Stopped)));
}
