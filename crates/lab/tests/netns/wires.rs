//! Wires: what they do to frames, and that they are never early.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use manycast_lab::netns::{Host, Lab, Switch, Wire, WireCounters, wait_until};
use manycast_lab::{Bursts, Link};

use crate::{GROUP_4, PORT, hosts_on, listener, member, receive, send, sender};

const DELAY: Duration = Duration::from_millis(20);

/// `a`, which is connected over a wire, and `b`, which is not.
struct Net {
    _lab: Lab,
    _switch: Switch,
    a: Host,
    b: Host,
}

impl Net {
    fn over(wire: Wire) -> Self {
        let lab = Lab::new();
        let a = lab.host("a");
        Self::with(lab, a, &["10.0.0.9/24", "fd00::9/64"], wire)
    }

    /// A wire to count on: a has IPv4 alone, since with IPv6 the kernel sends MLD reports and
    /// router solicitations of its own, whenever it likes.
    fn to_count() -> Self {
        let lab = Lab::new();
        let a = lab.host("a");
        a.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        let net = Self::with(lab, a, &["10.0.0.9/24"], Wire::default());
        net.greet();
        net
    }

    fn with(lab: Lab, a: Host, addresses: &[&str], wire: Wire) -> Self {
        let switch = lab.switch("sw");
        let [b] = hosts_on(&lab, &switch, ["b"]);
        a.connect_over(&switch, "eth0", addresses, wire);
        Self {
            _lab: lab,
            _switch: switch,
            a,
            b,
        }
    }

    fn sent_by_a(&self) -> WireCounters {
        self.a.wire_counters("eth0").1
    }

    /// Sends a datagram from a to b, so that they know each other.
    fn greet(&self) {
        let socket = listener(&self.b, "0.0.0.0");
        send(&self.a, "hello", "10.0.0.1:5000").unwrap();
        assert_eq!(receive(&socket), "hello");
    }

    /// Sends numbers from a to b over a wire like this, and gives those that arrive.
    fn numbers(&self, wire: Wire, count: u32) -> Vec<u32> {
        const END: u32 = u32::MAX;
        let socket = listener(&self.b, "0.0.0.0");
        let sender = self.a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        let put = |number: u32| {
            let sent = sender.send_to(&number.to_be_bytes(), "10.0.0.1:5000");
            sent.unwrap();
        };
        let take = || {
            let mut number = [0; 4];
            socket.recv(&mut number).unwrap();
            u32::from_be_bytes(number)
        };
        let mut arrived = Vec::new();
        // The receive buffer has room for some 270.
        for start in (0..count).step_by(100) {
            let numbers = start..count.min(start + 100);
            let done = self.done() + numbers.len() as u64;
            self.a.set_wire("eth0", wire);
            numbers.for_each(put);
            wait_until("the wire to carry or lose all", || {
                self.done() >= done && self.sent_by_a().on_the_way == 0
            });
            self.a.set_wire("eth0", Wire::default());
            put(END);
            arrived.extend(std::iter::repeat_with(take).take_while(|number| *number != END));
        }
        arrived
    }

    /// How many frames from a are not on the way any more.
    fn done(&self) -> u64 {
        let counters = self.sent_by_a();
        counters.delivered + counters.lost - counters.duplicated
    }
}

pub(crate) fn a_wire_delays_and_is_never_early() {
    let net = Net::over(Wire::both(Link {
        delay: DELAY,
        ..Link::default()
    }));
    // One way and back, by IPv4 and by IPv6 and to a group, neighbours to be found included.
    for (any, to) in [("0.0.0.0", "10.0.0.1:5000"), ("::", "[fd00::1]:5000")] {
        let socket = listener(&net.b, any);
        let start = Instant::now();
        send(&net.a, "there", to).unwrap();
        assert_eq!(receive(&socket), "there");
        assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    }
    let socket = listener(&net.a, "0.0.0.0");
    let start = Instant::now();
    send(&net.b, "back", "10.0.0.9:5000").unwrap();
    assert_eq!(receive(&socket), "back");
    assert!(start.elapsed() >= DELAY);
    drop(socket);

    let group = member(&net.a, GROUP_4, "eth0");
    let start = Instant::now();
    sender(&net.b, GROUP_4, "eth0", 1)
        .send_to(b"all", (GROUP_4, PORT))
        .unwrap();
    assert_eq!(receive(&group), "all");
    assert!(start.elapsed() >= DELAY);
}

pub(crate) fn jitter_changes_no_order_and_reordering_does() {
    let net = Net::to_count();
    let jitter = Wire::both(Link {
        jitter: Duration::from_millis(5),
        ..Link::default()
    });
    assert_eq!(net.numbers(jitter, 200), (0..200).collect::<Vec<_>>());

    let reorder = Wire::both(Link {
        reorder: 0.1,
        hold: Duration::from_millis(20),
        ..Link::default()
    });
    let mut numbers = net.numbers(reorder, 200);
    let held_back = net.sent_by_a().held_back;
    // Of 200, 20 are expected; the standard deviation is 4.2.
    assert!((3..=40).contains(&held_back), "{held_back}");
    assert!(!numbers.is_sorted());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "none is lost");
}

pub(crate) fn losses_and_doubles_are_as_counted() {
    let net = Net::to_count();
    let bursts = Wire::both(Link {
        bursts: Some(Bursts::new(0.2, 4.0)),
        ..Link::default()
    });
    let lost = 1_000 - net.numbers(bursts, 1_000).len() as u64;
    // In bursts of 4 on average, the standard deviation is about 34.
    assert!((40..=400).contains(&lost), "{lost}");
    assert_eq!(net.sent_by_a().lost, lost);

    let twice = Wire::both(Link {
        duplicate: 1.0,
        ..Link::default()
    });
    let expected: Vec<_> = (0..10).flat_map(|number| [number, number]).collect();
    assert_eq!(net.numbers(twice, 10), expected);
}

pub(crate) fn a_rate_fills_the_queue_and_drops_the_rest() {
    let net = Net::to_count();
    let narrow = Wire {
        from_host: Link {
            rate: Some(80_000),
            queue: 10_000,
            ..Link::default()
        },
        ..Wire::default()
    };
    net.a.set_wire("eth0", narrow);
    let sender = net.a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let start = Instant::now();
    for _ in 0..60 {
        sender.send_to(&[0; 958], "10.0.0.1:5000").unwrap();
    }
    // Frames of 1000 bytes: ten find room, and one leaves each 100 ms, which is never early.
    wait_until("the wire to take or drop all", || {
        let left = u64::try_from(start.elapsed().as_millis() / 100).unwrap();
        net.sent_by_a().overflowed + 10 + left + 1 >= 60
    });
    assert!(net.sent_by_a().overflowed <= 50);
    assert_eq!(net.sent_by_a().lost, 0);
}

pub(crate) fn a_device_on_a_wire_comes_back() {
    let net = Net::over(Wire::default());
    net.a.link_down("eth0");
    net.a.link_up("eth0");
    net.greet();
    let index = net.a.interface_index("eth0");
    net.a.delete_device("eth0");
    net.a.recreate_device("eth0");
    assert_ne!(net.a.interface_index("eth0"), index);
    net.greet();
}
