//! Two protocols on one socket, over the real kernel, by both drivers.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast::proto::ask::{Responder, ResponderConfig};
use manycast::proto::{Combined, Either, NetworkEvent, Request};
use manycast::{Driver, Next, Output, Protocol, Received, Socket};

const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a socket of its own, joins a group, tells of both, and answers what comes by its name.
struct Answering {
    name: &'static str,
    group: &'static str,
    outputs: Vec<Output<SocketAddr>>,
    stops: u32,
}

impl Answering {
    fn new(name: &'static str, group: &'static str) -> Self {
        Self {
            name,
            group,
            outputs: Vec::new(),
            stops: 0,
        }
    }
}

impl Protocol for Answering {
    type Event = SocketAddr;

    fn start(&mut self, _now: Instant) {
        let (group, port) = (self.group.parse().unwrap(), 5091);
        self.outputs
            .push(Output::Request(Request::Join { group, port }));
        let local = "127.0.0.1:0".parse().unwrap();
        // The other one uses the same tag.
        self.outputs
            .push(Output::Request(Request::Open { tag: 1, local }));
    }

    fn stop(&mut self, _now: Instant) {
        self.stops += 1;
    }

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        if datagram.payload.ends_with(b"end") {
            self.outputs.push(Output::Finished);
        } else if !datagram.destination.ip().is_multicast() {
            let answer = datagram.reply().with(self.name.into());
            self.outputs.push(Output::Transmit(answer));
        } else {
            self.outputs.push(Output::Event(datagram.destination));
        }
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        match event {
            NetworkEvent::Opened { local, .. } => self.outputs.push(Output::Event(local)),
            NetworkEvent::Joined(it) => self.outputs.push(Output::Event(it.group)),
            other => panic!("{other:?}"),
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<SocketAddr> {
        match self.outputs.last() {
            Some(Output::Finished) => Output::Finished,
            _ => self.outputs.pop().unwrap_or(Output::Wait {
                until: None,
                reason: "questions",
            }),
        }
    }
}

/// By the first byte, as RFC 7983 does.
fn is_stun(datagram: &Received<'_>) -> bool {
    matches!(datagram.payload.first(), Some(0..=3))
}

type Both = Combined<Answering, Answering, fn(&Received<'_>) -> bool>;
type Told = Option<Either<SocketAddr, SocketAddr>>;

fn both(groups: [&'static str; 2]) -> Both {
    Combined::new(
        Answering::new("stun", groups[0]),
        Answering::new("data", groups[1]),
        is_stun,
    )
}

/// What each of the two told when it had begun: its socket, and its group.
fn begun(mut next: impl FnMut() -> Told, groups: [&str; 2]) -> [SocketAddr; 2] {
    let mut own: [Option<SocketAddr>; 2] = [None; 2];
    let mut joined = [false; 2];
    while own.contains(&None) || joined.contains(&false) {
        let (which, address) = match next().unwrap() {
            Either::First(address) => (0, address),
            Either::Second(address) => (1, address),
        };
        if address.ip().is_loopback() {
            assert_eq!(own[which].replace(address), None, "one socket each");
        } else {
            assert_eq!(address.to_string(), groups[which]);
            joined[which] = true;
        }
    }
    own.map(Option::unwrap)
}

/// Asks all three sockets, and checks who answers.
fn ask(shared: SocketAddr, own: [SocketAddr; 2], mut run: impl FnMut()) {
    let mut client = Socket::bind("127.0.0.1:0").unwrap();
    for (to, question, answer) in [
        (shared, &b"\x01 binding"[..], "stun"),
        (shared, b"hello", "data"),
        (shared, b"", "data"),
        // What comes by a socket of one is never the other's.
        (own[0], b"hello", "stun"),
        (own[1], b"\x01 binding", "data"),
    ] {
        client.send_to(to, question).unwrap();
        run();
        let received = client.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((received.payload, received.source), (answer.as_bytes(), to));
    }
}

#[test]
fn two_protocols_in_a_driver_that_blocks() {
    let socket = Socket::bind("127.0.0.1:0").unwrap();
    let shared = socket.local_addr().unwrap();
    let groups = ["239.192.9.1%lo", "239.192.9.2%lo"];
    let mut driver = Driver::new(socket, both(groups));
    let own = begun(
        || driver.next_event(Some(PATIENCE)).unwrap().event(),
        ["239.192.9.1:5091", "239.192.9.2:5091"],
    );
    // A turn waits for the datagram, the next one answers.
    let soon = Some(Duration::from_millis(1));
    ask(shared, own, || {
        let mut turns = 0;
        while driver.next_event(soon).unwrap() != Next::TimedOut || turns < 2 {
            turns += 1;
        }
    });
    let sender = manycast::Sender::new("239.192.9.2%lo:5091").unwrap();
    sender.send("news").unwrap();
    let told = driver.next_event(Some(PATIENCE)).unwrap();
    let group = ([239, 192, 9, 2], 5091).into();
    assert_eq!(told, Next::Event(Either::Second(group)));

    let client = Socket::bind("127.0.0.1:0").unwrap();
    client.send_to(shared, b"\x01 end").unwrap();
    client.send_to(shared, b"end").unwrap();
    assert_eq!(driver.next_event(Some(PATIENCE)).unwrap(), Next::Finished);
    let both = driver.protocol();
    assert_eq!((both.first.stops, both.second.stops), (1, 1));
}

#[tokio::test]
async fn two_protocols_in_a_driver_on_a_runtime() {
    let socket = manycast::tokio::Socket::bind("127.0.0.1:0").await.unwrap();
    let shared = socket.get_ref().local_addr().unwrap();
    let groups = ["239.192.9.3%lo", "239.192.9.4%lo"];
    let mut driver = manycast::tokio::Driver::new(socket, both(groups)).unwrap();
    let mut told = Vec::new();
    while told.len() < 4 {
        told.push(driver.next_event().await.unwrap());
    }
    let mut told = told.into_iter();
    let own = begun(
        || told.next().flatten(),
        ["239.192.9.3:5091", "239.192.9.4:5091"],
    );
    let stopper = driver.stopper().unwrap();
    let running = tokio::spawn(async move {
        while driver.next_event().await.unwrap().is_some() {}
        (
            driver.protocol().first.stops,
            driver.protocol().second.stops,
        )
    });
    let asking = tokio::task::spawn_blocking(move || ask(shared, own, || {}));
    asking.await.unwrap();
    stopper.stop();
    assert_eq!(running.await.unwrap(), (1, 1));
}

/// One that sends as much as it can does not keep the other from answering.
#[test]
fn one_that_always_sends_keeps_the_other_from_nothing() {
    use manycast::proto::measure::{Sender, SenderConfig};

    let sink = Socket::bind("127.0.0.1:0").unwrap();
    let config = SenderConfig {
        duration: None,
        rate: None,
        ..SenderConfig::new(sink.local_addr().unwrap())
    };
    let stream = Sender::new(config, Instant::now(), std::time::SystemTime::now());
    let responder = Responder::new(ResponderConfig::default());
    let socket = Socket::bind("127.0.0.1:0").unwrap();
    let shared = socket.local_addr().unwrap();
    let both = Combined::new(stream, responder, |_: &Received<'_>| false);
    let mut driver = Driver::new(socket, both);
    let stopper = driver.stopper().unwrap();
    let running = std::thread::spawn(move || {
        while driver.next_event(None).unwrap() != Next::Finished {}
        (
            driver.protocol().first.stats().datagrams,
            driver.protocol().second.stats().answers,
        )
    });
    let mut client = Socket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        client.send_to(shared, "hello").unwrap();
        let answer = client.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.payload, b"hello");
    }
    stopper.stop();
    let (sent, answers) = running.join().unwrap();
    assert!(
        sent > 100 && answers == 100,
        "{sent} sent, {answers} answered"
    );
}
