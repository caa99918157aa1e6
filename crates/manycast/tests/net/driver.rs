//! Protocols over sockets: hooks, callbacks, composition.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use manycast::{Driver, Next, Output, Protocol, Received, Transmit};
use manycast_lab::netns::Lab;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::asynchronous::block_on;
use crate::{GROUPS, PORT, at, bind, hosts, listen, on, receive, send, text};

/// How often each hook ran, seen from outside.
#[derive(Clone, Debug, Default)]
struct Hooks(Arc<[AtomicU32; 2]>);

impl Hooks {
    fn counts(&self) -> [u32; 2] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// Answers each datagram with itself, says goodbye to whoever spoke last, and finishes at `end`.
struct Echo {
    hooks: Hooks,
    answers: Vec<Transmit>,
    last: Option<SocketAddr>,
    finished: bool,
    heard: u32,
    told: u32,
}

impl Echo {
    fn new(hooks: &Hooks) -> Self {
        Self {
            hooks: hooks.clone(),
            answers: Vec::new(),
            last: None,
            finished: false,
            heard: 0,
            told: 0,
        }
    }
}

impl Protocol for Echo {
    /// How many were heard so far.
    type Event = u32;

    fn start(&mut self, _now: Instant) {
        self.hooks.0[0].fetch_add(1, Ordering::Relaxed);
    }

    fn stop(&mut self, _now: Instant) {
        self.hooks.0[1].fetch_add(1, Ordering::Relaxed);
        self.answers
            .extend(self.last.map(|last| Transmit::new(last, "goodbye".into())));
        self.finished = true;
    }

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        assert_eq!(self.hooks.counts(), [1, 0], "between the hooks");
        assert_ne!(datagram.payload, b"panic");
        self.finished = datagram.payload == b"end";
        self.last = Some(datagram.source);
        self.heard += 1;
        self.answers
            .push(datagram.reply().with(datagram.payload.to_vec().into()));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<u32> {
        if let Some(answer) = self.answers.pop() {
            Output::Transmit(answer)
        } else if self.told < self.heard {
            self.told = self.heard;
            Output::Event(self.heard)
        } else if self.finished {
            Output::Finished
        } else {
            Output::Wait {
                until: None,
                reason: "a datagram",
            }
        }
    }
}

pub(crate) fn row_61_a_protocol_is_called_for_each_datagram() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let hooks = Hooks::default();
    let driver = Driver::new(bind(&b, ":9999"), Echo::new(&hooks));
    let task = b.spawn(move || {
        let mut events = Vec::new();
        driver.run(|_, event| events.push(event)).unwrap();
        events
    });
    for own in ["10.0.0.2", "fd00::2"] {
        let mut client = a.run(|| manycast::Socket::connect(&*at(own, 9999)).unwrap());
        for question in ["hello", "", "\0\u{7f}"] {
            client.send(question).unwrap();
            assert_eq!(text(&receive(&a, &mut client)), question);
        }
        if own == "fd00::2" {
            client.send("end").unwrap();
            assert_eq!(text(&receive(&a, &mut client)), "end");
            assert_eq!(
                text(&receive(&a, &mut client)),
                "goodbye",
                "the last words are sent"
            );
        }
    }
    assert_eq!(task.join().last(), Some(&7));
    assert_eq!(hooks.counts(), [1, 1]);
}

/// What came between the two is the second one's, and the first is not stopped.
pub(crate) fn another_protocol_goes_on_with_the_sockets_of_one() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let [first, second] = [Hooks::default(), Hooks::default()];
    let mut client = a.run(|| manycast::Socket::connect("10.0.0.2:9999").unwrap());
    let mut driver = Driver::new(bind(&b, ":9999"), Echo::new(&first));
    client.send("one").unwrap();
    b.run(|| assert_eq!(driver.next_event(None).unwrap(), Next::Event(1)));
    let (endpoint, protocol) = driver.into_parts();
    assert_eq!((protocol.heard, first.counts()), (1, [1, 0]));
    client.send("two").unwrap();
    let mut driver = Driver::new(endpoint, Echo::new(&second));
    b.run(|| assert_eq!(driver.next_event(None).unwrap(), Next::Event(1)));
    for answer in ["one", "two"] {
        assert_eq!(text(&receive(&a, &mut client)), answer);
    }

    let (endpoint, _) = driver.into_parts();
    client.send("three").unwrap();
    let third = Hooks::default();
    block_on(&b, async {
        let mut driver = manycast::tokio::Driver::new(endpoint, Echo::new(&third)).unwrap();
        assert_eq!(driver.next_event().await.unwrap(), Some(1));
        let (endpoint, protocol) = driver.into_parts();
        assert_eq!((protocol.heard, third.counts()), (1, [1, 0]));
        drop(endpoint);
    });
    assert_eq!(text(&receive(&a, &mut client)), "three");
    assert_eq!(second.counts(), [1, 0]);
}

pub(crate) fn row_62_hooks_run_once_each_whatever_the_end() {
    let lab = Lab::new();
    let b = lab.host("b");
    let driver = |hooks: &Hooks| Driver::new(bind(&b, "127.0.0.1:0"), Echo::new(hooks));
    let soon = Some(Duration::from_millis(1));

    // Dropped while it runs.
    let hooks = Hooks::default();
    let mut dropped = driver(&hooks);
    assert_eq!(hooks.counts(), [0, 0]);
    for _ in 0..3 {
        assert_eq!(dropped.next_event(soon).unwrap(), Next::TimedOut);
        assert_eq!(hooks.counts(), [1, 0]);
    }
    drop(dropped);
    assert_eq!(hooks.counts(), [1, 1]);

    // Never run, so there is nothing to stop.
    let hooks = Hooks::default();
    drop(driver(&hooks));
    assert_eq!(hooks.counts(), [0, 0]);

    // Stopped from outside, also before it began to wait, and asked again after that.
    let hooks = Hooks::default();
    let mut stopped = driver(&hooks);
    stopped.stopper().unwrap().stop();
    for _ in 0..3 {
        assert_eq!(stopped.next_event(None).unwrap(), Next::Finished);
        assert!(stopped.is_finished());
    }
    drop(stopped);
    assert_eq!(hooks.counts(), [1, 1]);

    // Finished by itself.
    let hooks = Hooks::default();
    let socket = bind(&b, "127.0.0.1:0");
    let to = socket.local_addr().unwrap();
    send(&b, &to.to_string(), "end");
    Driver::new(socket, Echo::new(&hooks))
        .run(|_, _| {})
        .unwrap();
    assert_eq!(hooks.counts(), [1, 1]);

    // A panic of the protocol itself.
    let hooks = Hooks::default();
    let socket = bind(&b, "127.0.0.1:0");
    let to = socket.local_addr().unwrap();
    send(&b, &to.to_string(), "panic");
    let panicking = Driver::new(socket, Echo::new(&hooks));
    b.spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| panicking.run(|_, _| {}));
        assert!(std::panic::catch_unwind(run).is_err());
    })
    .join();
    assert_eq!(hooks.counts(), [1, 1]);
}

pub(crate) fn row_62_hooks_run_once_each_when_the_machine_fails() {
    let lab = Lab::new();
    let b = lab.host("b");
    let hooks = Hooks::default();
    let mut driver = Driver::new(listen(&b, "239.1.2.3:5000"), Echo::new(&hooks));
    assert_eq!(
        b.run(|| driver.next_event(Some(Duration::ZERO)).unwrap()),
        Next::TimedOut
    );
    b.output("ss --kill --udp --all dport = :*");
    let error = b.run(|| driver.next_event(None).unwrap_err());
    assert_eq!(
        error.to_string(),
        "cannot receive on 239.1.2.3:5000: Software caused connection abort (os error 103)"
    );
    assert_eq!(hooks.counts(), [1, 1]);
    drop(driver);
    assert_eq!(hooks.counts(), [1, 1]);
}

/// A datagram that cannot be sent is counted, and ends nothing: a peer may have chosen where to.
pub(crate) fn what_cannot_be_sent_is_counted() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    // A question from where no answer can go.
    b.output("ip route add unreachable 10.0.0.1/32");
    let hooks = Hooks::default();
    let mut driver = Driver::new(bind(&b, "0.0.0.0:9999"), Echo::new(&hooks));
    send(&a, "10.0.0.2:9999", "hello");
    assert_eq!(
        driver.next_event(Some(crate::PATIENCE)).unwrap(),
        Next::Event(1)
    );
    assert_eq!(driver.unsent(), 1);
    send(&a, "10.0.1.2:9999", "hello");
    assert_eq!(
        driver.next_event(Some(crate::PATIENCE)).unwrap(),
        Next::Event(2)
    );
    assert_eq!(hooks.counts(), [1, 0]);
}

pub(crate) fn row_33_a_listener_by_interface_name_is_an_iterator() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let stopper = listener.stopper().unwrap();
        for payload in ["one", "two", "three"] {
            send(&a, &on(group, "eth0"), payload);
        }
        // Row 42: a stream of datagrams with what is known of each, which can be shut down.
        let told: Vec<_> = b.run(|| {
            let mut stopper = Some(stopper);
            let labelled = listener.map(|datagram| datagram.unwrap());
            labelled
                .enumerate()
                .map(|(number, datagram)| {
                    if number == 2 {
                        stopper.take().unwrap().stop();
                    }
                    format!(
                        "{} on {} to {}",
                        text(&datagram),
                        datagram.interface,
                        datagram.destination
                    )
                })
                .collect()
        });
        let to = at(group, PORT);
        assert_eq!(
            told,
            ["one", "two", "three"].map(|payload| format!("{payload} on eth0 to {to}"))
        );
    }
}

/// Whether a descriptor is readable within so many seconds.
pub(crate) fn poll(socket: BorrowedFd<'_>, timeout: i64) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: timeout,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() == 1
}

pub(crate) fn row_38_a_socket_stands_in_another_programs_poll() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut socket = bind(&b, ":5000");
    let mut listener = listen(&b, &at("239.1.2.3", PORT + 1));
    b.run(|| socket.join("239.1.2.3%eth0").unwrap());
    assert!(!poll(socket.as_fd(), 0) && !poll(listener.as_fd(), 0));
    for to in ["239.1.2.3%eth0:5000", "10.0.0.2:5000", "[fd00::2]:5000"] {
        send(&a, to, to);
        assert!(poll(socket.as_fd(), 10));
        assert_eq!(text(&receive(&b, &mut socket)), to);
        assert!(b.run(|| socket.try_recv().unwrap().is_none()));
        assert!(!poll(socket.as_fd(), 0));
    }
    // The kernel keeps a note of what was too long to send, which one look takes away.
    let error = b.run(|| socket.send_to(SocketAddr::from(([10, 0, 0, 1], PORT)), [0; 65_520]));
    assert!(error.is_err() && poll(socket.as_fd(), 0));
    assert!(b.run(|| socket.try_recv().unwrap().is_none()));
    assert!(!poll(socket.as_fd(), 0));
    // It wakes for an interface that has to be healed, too.
    b.delete_device("eth2");
    assert!(poll(listener.as_fd(), 10));
    crate::wait_until_left(&b, &mut listener, "eth2");
}

/// What was left of a group that is left keeps nobody busy.
pub(crate) fn a_group_that_was_left_wakes_no_other_programs_poll() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let to = "239.1.2.3%eth0:5000";
    let mut listener = listen(&b, to);
    b.run(|| listener.join("239.1.2.4%eth0:5000").unwrap());
    assert!(!poll(listener.as_fd(), 0));
    // The kernel gathers them again, so that they come by one call.
    let mut both = Transmit::new("239.1.2.3:5000".parse().unwrap(), "onetwo");
    both.segment_size = Some(3);
    both.interface = Some(a.interface_index("eth0"));
    let socket = bind(&a, ":0");
    socket.send_batch(&[both]).unwrap();
    assert_eq!(receive(&b, &mut listener).payload, "one");
    assert!(poll(listener.as_fd(), 0));
    assert!(b.run(|| listener.leave(to).unwrap()));
    assert!(b.run(|| listener.try_recv().unwrap().is_none()));
    assert!(!poll(listener.as_fd(), 0));
}
