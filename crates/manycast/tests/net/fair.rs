//! Drivers under load: a protocol that always has something to send keeps nobody waiting.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast::proto::ask::{Responder, ResponderConfig};
use manycast::{
    Commands, Driver, Endpoint, Listener, NetworkEvent, Next, Output, Protocol, Received, Request,
    SocketConfig, SocketId, Stopper, Transmit,
};
use manycast_lab::netns::{Host, Lab, Task};

use crate::{PATIENCE, PORT, bind, hosts, receive, text};

/// Polls after which a stop must have been seen: four turns of 64, and those of the stop hook.
const SOON: u64 = 4 * 64 + 1024;

/// Sends for ever, or to its deadline, and counts what comes and how often it is told the time.
pub(crate) struct Greedy {
    pub(crate) to: SocketAddr,
    pub(crate) payload: Bytes,
    pub(crate) polls: Arc<AtomicU64>,
    pub(crate) came: Arc<AtomicU64>,
    pub(crate) times: Arc<AtomicU64>,
    pub(crate) not_sent: Arc<AtomicU64>,
    pub(crate) until: Option<Instant>,
    pub(crate) finished: bool,
}

impl Greedy {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self {
            to,
            payload: Bytes::from_static(&[7; 1316]),
            polls: Arc::default(),
            came: Arc::default(),
            times: Arc::default(),
            not_sent: Arc::default(),
            until: None,
            finished: false,
        }
    }
}

impl Protocol for Greedy {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {
        self.came.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        if let NetworkEvent::NotSent { count, .. } = event {
            self.not_sent.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.finished |= self.until.is_some_and(|until| until <= now);
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if self.finished {
            return Output::Finished;
        }
        Output::Transmit(Transmit::new(self.to, self.payload.clone()))
    }
}

/// Waits until a counter that another thread raises has come so far.
pub(crate) fn wait_until(counter: &AtomicU64, least: u64) {
    let began = Instant::now();
    while counter.load(Ordering::Relaxed) < least {
        assert!(began.elapsed() < PATIENCE, "it stands still");
        std::thread::yield_now();
    }
}

fn somewhere() -> SocketAddr {
    ([239, 1, 2, 3], PORT).into()
}

/// Runs a future on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// On a thread of its own, and on a runtime.
pub(crate) const BOTH: [bool; 2] = [false, true];

/// Runs a protocol on the host until it ends, by the driver that blocks or on a runtime, and gives
/// what stops and commands it.
pub(crate) fn drive<P>(
    host: &Host,
    runtime: bool,
    endpoint: impl Into<Endpoint>,
    protocol: P,
) -> (Task<()>, Stopper, Commands<P>)
where
    P: Protocol + Send + 'static,
{
    let endpoint = endpoint.into();
    let (tell, told) = std::sync::mpsc::channel();
    let task = host.spawn(move || {
        if runtime {
            block_on(async {
                let mut driver = manycast::tokio::Driver::new(endpoint, protocol).unwrap();
                tell.send((driver.stopper().unwrap(), driver.commands().unwrap()))
                    .unwrap();
                while driver.next_event().await.unwrap().is_some() {}
            });
        } else {
            let mut driver = Driver::new(endpoint, protocol);
            tell.send((driver.stopper().unwrap(), driver.commands().unwrap()))
                .unwrap();
            driver.run(|_, _| {}).unwrap();
        }
    });
    let (stopper, commands) = told.recv().unwrap();
    (task, stopper, commands)
}

pub(crate) fn a_stop_ends_a_protocol_that_sends_at_full_speed() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let greedy = Greedy::new(somewhere());
        let polls = Arc::clone(&greedy.polls);
        let (task, stopper, _) = drive(&a, runtime, bind(&a, ":0"), greedy);
        wait_until(&polls, 100_000);
        stopper.stop();
        let before = polls.load(Ordering::Relaxed);
        task.join();
        let after = polls.load(Ordering::Relaxed) - before;
        assert!(
            after <= SOON,
            "{after} polls after the stop; runtime: {runtime}"
        );
    }
}

pub(crate) fn a_command_is_run_while_a_protocol_sends_at_full_speed() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let greedy = Greedy::new(somewhere());
        let polls = Arc::clone(&greedy.polls);
        let (task, _, commands) = drive(&a, runtime, bind(&a, ":0"), greedy);
        wait_until(&polls, 10_000);
        assert!(commands.give(|greedy, _| greedy.finished = true));
        task.join();
        assert!(!commands.give(|_, _| ()), "the driver is gone");
    }
}

/// A deadline is told by `handle_timeout`, whatever is sent meanwhile.
pub(crate) fn a_deadline_is_told_while_a_protocol_sends_at_full_speed() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let mut greedy = Greedy::new(somewhere());
        let (began, after) = (Instant::now(), Duration::from_millis(100));
        greedy.until = Some(began + after);
        let (task, ..) = drive(&a, runtime, bind(&a, ":0"), greedy);
        task.join();
        let took = began.elapsed();
        assert!((after..PATIENCE).contains(&took), "{took:?}");
    }
}

/// Waits for a moment that is over as soon as it is named, or for ever.
struct Waiting {
    until: Option<Duration>,
    polls: Arc<AtomicU64>,
    finished: bool,
}

impl Waiting {
    fn new(until: Option<Duration>) -> Self {
        Self {
            until,
            polls: Arc::default(),
            finished: false,
        }
    }
}

impl Protocol for Waiting {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, now: Instant) -> Output<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if self.finished {
            return Output::Finished;
        }
        Output::Wait {
            until: self.until.map(|until| now + until),
            reason: "the next moment",
        }
    }
}

/// A deadline that is always over holds up neither a stop nor, on a runtime, other tasks.
pub(crate) fn a_stop_ends_a_protocol_whose_deadline_is_always_over() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let due = Waiting::new(Some(Duration::from_nanos(1)));
        let polls = Arc::clone(&due.polls);
        let (task, stopper, _) = drive(&a, runtime, bind(&a, ":0"), due);
        wait_until(&polls, 1000);
        stopper.stop();
        task.join();
    }
}

/// A command ends the wait of a driver that has nothing else to wait for.
pub(crate) fn a_command_ends_a_wait_for_ever() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let waiting = Waiting::new(None);
        let polls = Arc::clone(&waiting.polls);
        let (task, _, commands) = drive(&a, runtime, bind(&a, ":0"), waiting);
        wait_until(&polls, 1);
        assert!(commands.give(|waiting, _| waiting.finished = true));
        task.join();
    }
}

pub(crate) fn a_time_out_ends_while_a_protocol_sends_at_full_speed() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    let timeout = Duration::from_millis(200);
    let soon = timeout..timeout * 5;

    let mut driver = Driver::new(bind(&a, ":0"), Greedy::new(somewhere()));
    let (event, took) = a.run(|| {
        let began = Instant::now();
        (driver.next_event(Some(timeout)).unwrap(), began.elapsed())
    });
    assert_eq!(event, Next::TimedOut);
    assert!(!driver.is_finished());
    assert!(soon.contains(&took), "{took:?}");

    let socket = bind(&a, ":0");
    let took = a.run(|| {
        block_on(async {
            let greedy = Greedy::new(somewhere());
            let mut driver = manycast::tokio::Driver::new(socket, greedy).unwrap();
            let began = Instant::now();
            let result = tokio::time::timeout(timeout, driver.next_event()).await;
            assert!(result.is_err(), "the time-out is over first");
            assert!(!driver.is_finished());
            began.elapsed()
        })
    });
    assert!(soon.contains(&took), "{took:?} on a runtime");
}

pub(crate) fn what_comes_is_taken_in_while_a_protocol_sends_at_full_speed() {
    const COUNT: u64 = 2000;
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for runtime in BOTH {
        let greedy = Greedy::new(somewhere());
        let (polls, came) = (Arc::clone(&greedy.polls), Arc::clone(&greedy.came));
        let (task, stopper, _) = drive(&b, runtime, bind(&b, "10.0.0.2:5000"), greedy);
        wait_until(&polls, 1000);
        let sender = crate::sender(&a, "10.0.0.2:5000");
        for _ in 0..COUNT {
            sender.send([1; 100]).unwrap();
        }
        // None is lost that the kernel had: the receive buffer holds them all.
        wait_until(&came, COUNT);
        stopper.stop();
        task.join();
    }
}

fn echo() -> Responder {
    Responder::new(ResponderConfig::default())
}

/// Opens so many sockets, sends its number by each, and ends when each echo came by the same.
struct Ports {
    server: SocketAddr,
    count: usize,
    opened: HashMap<SocketId, u64>,
    came: Arc<AtomicU64>,
    outputs: Vec<Output<()>>,
}

impl Ports {
    fn new(server: SocketAddr, count: usize) -> Self {
        let open = |tag| {
            Output::Request(Request::Open {
                tag,
                local: "127.0.0.1:0".parse().unwrap(),
            })
        };
        Self {
            server,
            count,
            opened: HashMap::new(),
            came: Arc::default(),
            outputs: (0..count as u64).map(open).collect(),
        }
    }
}

impl Protocol for Ports {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let tag = u64::from_be_bytes(datagram.payload.try_into().unwrap());
        let socket = datagram.socket;
        assert_eq!(self.opened.get(&socket), Some(&tag));
        self.came.fetch_add(1, Ordering::Relaxed);
        self.outputs
            .push(Output::Request(Request::Close { socket }));
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        let NetworkEvent::Opened { tag, socket, local } = event else {
            panic!("{event:?}");
        };
        assert_ne!(local.port(), 0);
        let before = self.opened.insert(socket, tag);
        assert_eq!(before, None, "each has an identifier of its own");
        let payload = Bytes::copy_from_slice(&tag.to_be_bytes());
        let mut question = Transmit::new(self.server, payload);
        question.socket = Some(socket);
        self.outputs.push(Output::Transmit(question));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if let Some(output) = self.outputs.pop() {
            return output;
        }
        if self.came.load(Ordering::Relaxed) == self.count as u64 {
            return Output::Finished;
        }
        Output::Wait {
            until: None,
            reason: "echoes",
        }
    }
}

pub(crate) fn a_protocol_has_two_hundred_sockets_of_its_own() {
    const COUNT: usize = 200;
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let (server, stopper, _) = drive(&a, runtime, bind(&a, "127.0.0.1:8888"), echo());
        let ports = Ports::new(([127, 0, 0, 1], 8888).into(), COUNT);
        let came = Arc::clone(&ports.came);
        let (task, ..) = drive(&a, runtime, bind(&a, "127.0.0.1:0"), ports);
        wait_until(&came, COUNT as u64);
        task.join();
        stopper.stop();
        server.join();
    }
}

pub(crate) fn a_protocol_answers_ten_thousand_peers_on_one_socket() {
    const PEERS: u32 = 10_000;
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    for runtime in BOTH {
        let (task, stopper, _) = drive(&a, runtime, bind(&a, "127.0.0.1:8888"), echo());

        // Each address of 127.0.0.0/8 is one of this host.
        let mut peers = bind(&a, "0.0.0.0:4000");
        let mut answered = HashSet::new();
        for block in 0..PEERS / 100 {
            let questions: Vec<_> = (0..100)
                .map(|peer| {
                    let number = block * 100 + peer;
                    let address = Ipv4Addr::from_bits(0x7f01_0000 + number);
                    let mut question = Transmit::new(([127, 0, 0, 1], 8888).into(), [3; 32]);
                    question.source = Some(address.into());
                    question
                })
                .collect();
            assert_eq!(peers.send_batch(&questions).unwrap(), 100);
            for _ in 0..100 {
                let answer = receive(&a, &mut peers);
                answered.insert(answer.destination.ip());
            }
        }
        assert_eq!(answered.len(), PEERS as usize);
        stopper.stop();
        task.join();
    }
}

/// Two links with the same addresses: an answer by the other one would be lost.
pub(crate) fn an_answer_leaves_by_the_socket_that_was_asked() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let [a, b, c] = ["a", "b", "c"].map(|name| lab.host(name));
    a.connect(&left, "eth0", &["192.168.1.2/24", "fd07::2/64"]);
    c.connect(&right, "eth0", &["192.168.1.2/24", "fd07::2/64"]);
    b.connect(&left, "eth0", &["192.168.1.1/24", "fd07::1/64"]);
    b.connect(&right, "eth1", &["192.168.1.1/24", "fd07::1/64"]);
    let addresses = [
        "%eth0:8888",
        "%eth1:8888",
        "239.1.1.1%eth0:8889",
        "239.1.1.1%eth1:8889",
    ];
    let ask = |host: &Host, to: &str| {
        let mut socket = bind(host, ":0");
        host.run(|| socket.send_to(to, to).unwrap());
        assert_eq!(text(&receive(host, &mut socket)), to);
    };
    for runtime in BOTH {
        let listener = b.run(|| Listener::open(addresses, SocketConfig::default()).unwrap());
        let (task, stopper, _) = drive(&b, runtime, listener, echo());
        for host in [&a, &c] {
            for to in ["192.168.1.1:8888", "[fd07::1]:8888", "239.1.1.1%eth0:8889"] {
                ask(host, to);
            }
        }
        stopper.stop();
        task.join();
    }
}

/// Sends one datagram to a group, and no more.
pub(crate) struct Once(pub(crate) Option<Transmit>);

impl Protocol for Once {
    type Event = NetworkEvent;

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<NetworkEvent> {
        match self.0.take() {
            Some(transmit) => Output::Transmit(transmit),
            None => Output::Finished,
        }
    }
}

/// What was named for listening holds for sending: a trial on loopback never leaves the host.
pub(crate) fn what_listens_on_loopback_sends_by_loopback() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.add_route("default via 10.0.0.2");
    let group: SocketAddr = ([239, 1, 2, 3], PORT).into();
    let mut there = crate::listen(&b, "239.1.2.3%eth0:5000");
    let mut here = crate::listen(&a, "239.1.2.3%lo:5000");

    let listener = crate::listen(&a, "239.1.2.3%lo:5000");
    let once = Once(Some(Transmit::new(group, "by a driver".into())));
    let driver = Driver::new(listener, once);
    a.run(|| driver.run(|_, _| {}).unwrap());
    let heard = receive(&a, &mut here);
    assert_eq!(text(&heard), "by a driver");
    assert_eq!(heard.source.ip(), IpAddr::from([127, 0, 0, 1]));

    let mut socket = bind(&a, ":6000");
    a.run(|| socket.join("239.1.2.3%lo").unwrap());
    a.run(|| socket.send_to(group, "by a socket").unwrap());
    assert_eq!(text(&receive(&a, &mut here)), "by a socket");

    // Another group by the same socket goes as the route says.
    a.run(|| socket.send_to("239.1.2.4:5000", "another").unwrap());
    crate::send(&a, "239.1.2.3%eth0:5000", "end");
    assert_eq!(
        text(&receive(&b, &mut there)),
        "end",
        "nothing leaked before"
    );
}

/// A group on two interfaces that were named is sent to by neither silently.
pub(crate) fn a_group_on_two_named_interfaces_needs_one_to_send_by() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let a = lab.host("a");
    a.connect(&left, "eth0", &["10.1.0.1/24"]);
    a.connect(&right, "eth1", &["10.2.0.1/24"]);
    let mut socket = bind(&a, ":5000");
    a.run(|| {
        socket.join("239.1.2.3%eth0").unwrap();
        socket.join("239.1.2.3%eth1").unwrap();
    });
    let error = socket.send_to("239.1.2.3:5000", "which?").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot send to 239.1.2.3: it was joined on eth0, eth1; name the interface to send by"
    );
    a.run(|| socket.send_to("239.1.2.3%eth1:5000", "this one").unwrap());
}
