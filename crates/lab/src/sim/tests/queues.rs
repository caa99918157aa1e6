//! Rates, queues, bursts: what links do to those that share them.

use std::time::Instant;

use super::*;

/// 8 Mbit/s: a packet of 1000 bytes takes a millisecond.
const NARROW: Link = Link {
    delay: Duration::ZERO,
    rate: Some(8_000_000),
    queue: 5_000,
    ..Link::LOOPBACK
};

/// No time and no limit.
const WIDE: Link = Link {
    delay: Duration::ZERO,
    ..Link::LOOPBACK
};

/// With the headers of IP and UDP, 1000 bytes.
const SIZE: usize = 972;

/// Sends numbered datagrams of equal length, some at once at each interval.
struct Source {
    to: SocketAddr,
    hops: Option<u8>,
    pace: Duration,
    at_once: u32,
    left: u32,
    number: u32,
    next: Option<Instant>,
}

impl Source {
    fn new(to: impl Into<SocketAddr>, at_once: u32, count: u32, pace: Duration) -> Self {
        Self {
            to: to.into(),
            hops: None,
            pace,
            at_once,
            left: count,
            number: 0,
            next: None,
        }
    }
}

impl Protocol for Source {
    type Event = ();

    fn start(&mut self, now: Instant) {
        self.next = Some(now);
    }

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, now: Instant) -> Output<()> {
        let reason = "the next datagrams";
        if self.next.is_none_or(|next| next > now) {
            let until = self.next;
            return Output::Wait { until, reason };
        }
        if self.left == 0 {
            return Output::Finished;
        }
        let mut payload = vec![0; SIZE];
        payload[..4].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        self.left -= 1;
        if self.number.is_multiple_of(self.at_once) {
            self.next = Some(now + self.pace);
        }
        let mut transmit = Transmit::new(self.to, payload.into());
        transmit.hops = self.hops;
        Output::Transmit(transmit)
    }
}

/// Notes when which number came from whom.
#[derive(Default)]
struct Sink {
    received: Vec<(Instant, SocketAddr, u32)>,
    /// Sends everything back.
    echo: bool,
    echoes: Vec<Transmit>,
}

impl Protocol for Sink {
    type Event = ();

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let number = datagram.payload[..4].try_into().expect("a number");
        let number = u32::from_be_bytes(number);
        self.received.push((now, datagram.source, number));
        if self.echo {
            let payload = datagram.payload.to_vec().into();
            self.echoes.push(datagram.reply().with(payload));
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        match self.echoes.pop() {
            Some(echo) => Output::Transmit(echo),
            None => Output::Wait {
                until: None,
                reason: "anything",
            },
        }
    }
}

/// When each number came to an endpoint.
fn arrivals(sim: &Sim, sink: Endpoint<Sink>) -> Vec<(Duration, u32)> {
    let received = sim.protocol(sink).received.iter();
    received
        .map(|(at, _, number)| (at.duration_since(sim.start), *number))
        .collect()
}

#[test]
fn a_rate_lets_one_packet_leave_after_the_other() {
    let mut sim = Sim::new(1);
    sim.set_links(Link {
        delay: MILLISECOND * 20,
        queue: 10_000,
        ..NARROW
    });
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let sink = sim.bind(b, 5000, Sink::default());
    sim.bind(
        a,
        5000,
        Source::new(([10, 0, 0, 2], 5000), 10, 10, MILLISECOND),
    );
    sim.run_for(MILLISECOND * 100);
    let expected: Vec<_> = (0..10)
        .map(|number| (MILLISECOND * (21 + number), number))
        .collect();
    assert_eq!(arrivals(&sim, sink), expected);
}

#[test]
fn a_full_queue_drops_what_comes_last() {
    let mut sim = Sim::new(1);
    sim.set_links(NARROW);
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let sink = sim.bind(b, 5000, Sink::default());
    // Room for five, then for the two that have left meanwhile, again and again.
    sim.bind(
        a,
        5000,
        Source::new(([10, 0, 0, 2], 5000), 10, 30, MILLISECOND * 2),
    );
    sim.run_for(MILLISECOND * 100);
    let numbers: Vec<_> = arrivals(&sim, sink)
        .iter()
        .map(|received| received.1)
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 10, 11, 20, 21]);
    let (sent, delivered, overflowed) = (30, 9, 21);
    let all = Traffic {
        sent,
        delivered,
        overflowed,
        ..Traffic::default()
    };
    assert_eq!(sim.traffic(), all);
}

#[test]
fn senders_share_a_bottleneck() {
    let mut sim = Sim::new(1);
    sim.set_links(WIDE);
    let far = sim.add_network();
    sim.add_route(Network::FIRST, far, NARROW, WIDE);
    let receiver = sim.add_host_on(far, ["10.0.1.1"]);
    let sink = sim.bind(receiver, 5000, Sink::default());
    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        let sender = sim.add_host([address]);
        // Each of them alone would fill it.
        let source = Source::new(([10, 0, 1, 1], 5000), 1, 1_000, MILLISECOND);
        sim.bind(sender, 5000, source);
    }
    sim.run_for(MILLISECOND * 1_100);
    // A thousand in the thousand milliseconds, and what the queue holds at the end.
    let traffic = sim.traffic();
    assert!((1_000..=1_005).contains(&traffic.delivered), "{traffic:?}");
    assert_eq!(traffic.delivered + traffic.overflowed, 3_000);
    let times = arrivals(&sim, sink);
    let apart = times.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(apart.clone().all(|apart| apart == MILLISECOND));
}

#[test]
fn a_group_goes_once_through_what_its_members_share() {
    let mut sim = Sim::new(1);
    sim.set_links(WIDE);
    let far = sim.add_network();
    sim.add_route(Network::FIRST, far, NARROW, WIDE);
    let sinks = ["10.0.1.1", "10.0.1.2", "10.0.1.3"].map(|address| {
        let member = sim.add_host_on(far, [address]);
        let sink = sim.bind(member, 5000, Sink::default());
        sim.join(sink, Group::new(GROUP.into()));
        sink
    });
    let sender = sim.add_host(["10.0.0.1"]);
    let mut source = Source::new((GROUP, 5000), 5, 5, MILLISECOND);
    source.hops = Some(2);
    sim.set_access(sender, "eth0", NARROW, WIDE);
    sim.bind(sender, 5000, source);
    sim.run_for(MILLISECOND * 100);
    // One millisecond for the access link, one for the route.
    let expected: Vec<_> = (0..5)
        .map(|number| (MILLISECOND * (2 + number), number))
        .collect();
    for sink in sinks {
        assert_eq!(arrivals(&sim, sink), expected);
    }
    assert_eq!(sim.traffic().sent, 5);
    assert_eq!(sim.traffic().delivered, 15);
}

#[test]
fn both_directions_of_an_access_link_differ() {
    let mut sim = Sim::new(1);
    sim.set_links(WIDE);
    let home = sim.add_host(["10.0.0.1"]);
    let up = Link {
        rate: Some(1_000_000),
        ..NARROW
    };
    sim.set_access(home, "eth0", up, NARROW);
    let server = sim.add_host(["10.0.0.2"]);
    let sink = sim.bind(home, 4000, Sink::default());
    let mirror = Sink {
        echo: true,
        ..Sink::default()
    };
    let mirror = sim.bind(server, 5000, mirror);
    sim.bind(
        home,
        4000,
        Source::new(([10, 0, 0, 2], 5000), 1, 1, MILLISECOND),
    );
    sim.run_for(MILLISECOND * 100);
    assert_eq!(arrivals(&sim, mirror), [(MILLISECOND * 8, 0)]);
    // The source has finished, and so the answer goes to the sink on the same port.
    assert_eq!(arrivals(&sim, sink), [(MILLISECOND * 9, 0)]);
}

#[test]
fn who_always_sends_keeps_neither_time_nor_datagrams_waiting() {
    let mut sim = Sim::new(1);
    sim.set_links(WIDE);
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let flood = sim.bind(a, 5000, Flood::to(([10, 0, 0, 2], 5000)));
    sim.bind(b, 5000, Pulse::new(([10, 0, 0, 1], 5000), MILLISECOND, 9));
    sim.run_for(MILLISECOND * 20);
    let start = sim.start;
    let received = sim.protocol(flood).received.iter();
    let received: Vec<_> = received.map(|at| at.duration_since(start)).collect();
    let mut expected: Vec<_> = (1..=9).map(|number| MILLISECOND * number).collect();
    // The farewell comes with the last.
    expected.push(MILLISECOND * 9);
    assert_eq!(received, expected);
    // One datagram a microsecond, in turns of 256.
    let sent = sim.protocol(flood).sent;
    assert!((20_000..=20_000 + 256).contains(&sent), "{sent}");

    sim.stop(flood);
    sim.run_for(MILLISECOND * 20);
    assert_eq!(sim.protocol(flood).sent, sent);
}

#[test]
fn a_full_send_buffer_holds_a_sender_to_the_rate_of_its_link() {
    let mut sim = Sim::new(1);
    sim.set_links(WIDE);
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let up = Link {
        queue: 512 * 1024,
        ..NARROW
    };
    sim.set_access(a, "eth0", up, WIDE);
    let flood = sim.bind(a, 5000, Flood::to(([10, 0, 0, 2], 5000)));
    sim.bind(b, 5000, Pulse::new(([10, 0, 0, 1], 5000), MILLISECOND, 99));
    sim.run_for(MILLISECOND * 1_000);
    // A thousand have left in a thousand milliseconds, and the buffer is full.
    let sent = sim.protocol(flood).sent;
    assert_eq!(sent, 1_000 + 213);
    assert_eq!(sim.traffic().overflowed, 0);
    assert_eq!(sim.protocol(flood).received.len(), 100, "meanwhile");

    // Without an address of the family, nothing is sent, and the protocol is told.
    let nowhere: SocketAddr = "[fd00::1]:5000".parse().unwrap();
    let lost = sim.bind(b, 6000, Flood::to(nowhere));
    sim.run_for(MILLISECOND);
    let Flood { sent, not_sent, .. } = sim.protocol(lost);
    assert_eq!(*sent as usize, *not_sent);
    assert!(*sent >= 1_000);
}
