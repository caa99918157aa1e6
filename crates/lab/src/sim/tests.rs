mod contract;
mod hosts;
mod queues;
mod runs;
mod scale;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::{Group, Received, Transmit};

use super::{Endpoint, Host, Link, Network, Sim, Traffic, any_order, seeds};

const MILLISECOND: Duration = Duration::from_millis(1);
const GROUP: [u8; 4] = [239, 192, 0, 100];

/// Sends numbered datagrams at an even pace, and a farewell.
struct Pulse {
    to: SocketAddr,
    pace: Duration,
    number: u32,
    count: u32,
    next: Option<Instant>,
    due: bool,
    stopped: bool,
}

impl Pulse {
    fn new(to: impl Into<SocketAddr>, pace: Duration, count: u32) -> Self {
        let (number, next) = (0, None);
        Self {
            to: to.into(),
            pace,
            number,
            count,
            next,
            due: false,
            stopped: false,
        }
    }
}

impl Protocol for Pulse {
    type Event = ();

    fn start(&mut self, now: Instant) {
        self.next = Some(now + self.pace);
    }

    fn stop(&mut self, _now: Instant) {
        self.due = true;
        self.stopped = true;
    }

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + self.pace);
            self.due = true;
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if std::mem::take(&mut self.due) {
            let payload = self.number.to_be_bytes().to_vec();
            self.number += 1;
            return Output::Transmit(Transmit::new(self.to, payload.into()));
        }
        if self.stopped || self.number >= self.count {
            return Output::Finished;
        }
        Output::Wait {
            until: self.next,
            reason: "the next pulse",
        }
    }
}

/// Tells of all that it receives, and of refusals.
#[derive(Default)]
struct Recorder {
    received: Vec<Noted>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Noted {
    Number(u32),
    Refusal(SocketAddr),
}

impl Protocol for Recorder {
    type Event = Noted;

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let number = u32::from_be_bytes(datagram.payload.try_into().expect("from a pulse"));
        self.received.push(Noted::Number(number));
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        self.received.extend(event.refused_by().map(Noted::Refusal));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<Noted> {
        match self.received.pop() {
            Some(received) => Output::Event(received),
            None => Output::Wait {
                until: None,
                reason: "anything",
            },
        }
    }
}

/// Always has something to send, until it is stopped; counts what happens meanwhile.
#[derive(Default)]
struct Flood {
    to: Option<SocketAddr>,
    received: Vec<Instant>,
    sent: u32,
    not_sent: usize,
    stopped: bool,
}

impl Flood {
    fn to(to: impl Into<SocketAddr>) -> Self {
        Self {
            to: Some(to.into()),
            ..Self::default()
        }
    }
}

impl Protocol for Flood {
    type Event = ();

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
    }

    fn handle_datagram(&mut self, now: Instant, _datagram: Received<'_>) {
        self.received.push(now);
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        if let NetworkEvent::NotSent { count, .. } = event {
            self.not_sent += count;
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        match self.to {
            Some(to) if !self.stopped => {
                self.sent += 1;
                // With the headers of IP and UDP, 1000 bytes.
                Output::Transmit(Transmit::new(to, vec![0; 972].into()))
            }
            _ => Output::Finished,
        }
    }
}

/// Two hosts, one of which has sent `count` numbered datagrams to the other, one a millisecond.
fn pulses(seed: u64, link: Link, count: u32) -> (Sim, Endpoint<Recorder>) {
    let mut sim = Sim::new(seed);
    sim.set_links(link);
    let [sender, receiver] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let recorder = sim.bind(receiver, 5000, Recorder::default());
    sim.bind(
        sender,
        5000,
        Pulse::new(([10, 0, 0, 2], 5000), MILLISECOND, count),
    );
    sim.run_for(MILLISECOND * (count + 1_000));
    (sim, recorder)
}

fn numbers(sim: &Sim, recorder: Endpoint<Recorder>) -> Vec<u32> {
    let number = |(_, received): &(Duration, Noted)| match received {
        Noted::Number(number) => Some(*number),
        Noted::Refusal(_) => None,
    };
    sim.events(recorder).iter().filter_map(number).collect()
}

#[test]
fn a_plain_link_delivers_all_in_order_after_its_delay() {
    let (sim, recorder) = pulses(
        1,
        Link {
            delay: MILLISECOND * 20,
            ..Link::default()
        },
        100,
    );
    // The hundred, and the farewell.
    assert_eq!(numbers(&sim, recorder), (0..=100).collect::<Vec<_>>());
    for (at, received) in sim.events(recorder) {
        let Noted::Number(number) = received else {
            panic!("{received:?}")
        };
        // The first is sent after a millisecond, and the farewell with the last.
        assert_eq!(*at, MILLISECOND * (20 + (number + 1).min(100)));
    }
    let all = Traffic {
        sent: 101,
        delivered: 101,
        ..Traffic::default()
    };
    assert_eq!(sim.traffic(), all);
}

#[test]
fn loss_is_as_frequent_as_it_should_be() {
    for seed in seeds(5) {
        let (sim, recorder) = pulses(
            seed,
            Link {
                loss: 0.2,
                ..Link::default()
            },
            10_000,
        );
        let lost = 10_001 - numbers(&sim, recorder).len();
        // The standard deviation is 40; four of them are passed once in 16,000 runs.
        assert!((1_840..=2_160).contains(&lost), "{lost} of 10,000");
        assert_eq!(sim.traffic().lost, lost as u64);
    }
}

#[test]
fn jitter_is_even_and_changes_no_order() {
    for seed in seeds(5) {
        let link = Link {
            delay: MILLISECOND * 10,
            jitter: MILLISECOND,
            ..Link::default()
        };
        let (sim, recorder) = pulses(seed, link, 10_000);
        assert!(numbers(&sim, recorder).is_sorted());
        let mut sum = Duration::ZERO;
        for (number, (at, _)) in (1..=10_000).zip(sim.events(recorder)) {
            let delay = *at - MILLISECOND * number;
            assert!(
                (MILLISECOND * 10..=MILLISECOND * 11).contains(&delay),
                "{delay:?}"
            );
            sum += delay;
        }
        // Evenly spread over a millisecond, the mean of 10,000 has a standard deviation of 2.9 µs.
        let mean = sum / 10_000;
        let error = mean.abs_diff(Duration::from_micros(10_500));
        assert!(error < Duration::from_micros(12), "{mean:?}");
    }
}

#[test]
fn great_jitter_changes_no_order_either() {
    let (sim, recorder) = pulses(
        1,
        Link {
            jitter: MILLISECOND * 50,
            ..Link::default()
        },
        1_000,
    );
    assert_eq!(numbers(&sim, recorder), (0..=1_000).collect::<Vec<_>>());
}

#[test]
fn duplicates_and_overtaking_are_as_frequent_as_they_should_be() {
    for seed in seeds(5) {
        let link = Link {
            duplicate: 0.1,
            ..Link::default()
        };
        let (sim, recorder) = pulses(seed, link, 10_000);
        let twice = numbers(&sim, recorder).len() - 10_001;
        // The standard deviation is 30.
        assert!((880..=1_120).contains(&twice), "{twice}");
        assert_eq!(sim.traffic().duplicated, twice as u64);

        let link = Link {
            reorder: 0.1,
            hold: MILLISECOND * 3,
            ..Link::default()
        };
        let (sim, recorder) = pulses(seed, link, 10_000);
        let mut received = numbers(&sim, recorder);
        let overtaken = received.iter().scan(0, |most, &number| {
            *most = number.max(*most);
            Some(number < *most)
        });
        let overtaken = overtaken.filter(|overtaken| *overtaken).count();
        // Seldom, all that could overtake are held back themselves.
        assert!((870..=1_120).contains(&overtaken), "{overtaken}");
        received.sort_unstable();
        assert_eq!(received, (0..=10_000).collect::<Vec<_>>(), "none is lost");
    }
}

#[test]
fn a_seed_is_one_course_of_events() {
    let link = Link {
        loss: 0.1,
        jitter: MILLISECOND * 5,
        duplicate: 0.1,
        reorder: 0.1,
        ..Link::default()
    };
    let course = |seed| {
        let (sim, recorder) = pulses(seed, link, 500);
        sim.events(recorder).to_vec()
    };
    assert_eq!(course(1), course(1));
    assert_ne!(course(1), course(2));
}

/// Three hosts, each a member of the group with its own recorder; the first sends to it.
fn group_of_three(sim: &mut Sim) -> ([Host; 3], [Endpoint<Recorder>; 3]) {
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| sim.add_host([address]));
    let recorders = hosts.map(|host| sim.bind(host, 5000, Recorder::default()));
    for recorder in recorders {
        sim.join(recorder, Group::new(GROUP.into()));
    }
    sim.bind(
        hosts[0],
        40_000,
        Pulse::new((GROUP, 5000), MILLISECOND, 100),
    );
    (hosts, recorders)
}

#[test]
fn a_group_reaches_its_members_and_the_sender_too() {
    let mut sim = Sim::new(1);
    let (hosts, recorders) = group_of_three(&mut sim);
    let other_group = sim.bind(hosts[1], 5000, Recorder::default());
    sim.join(other_group, Group::new([239, 192, 0, 101].into()));
    let other_port = sim.bind(hosts[1], 5001, Recorder::default());
    sim.join(other_port, Group::new(GROUP.into()));
    let other_source = sim.bind(hosts[1], 5000, Recorder::default());
    let group = Group::new(GROUP.into());
    sim.join(
        other_source,
        group.clone().with_sources([[10, 0, 0, 9].into()]),
    );
    let this_source = sim.bind(hosts[1], 5000, Recorder::default());
    sim.join(this_source, group.with_sources([[10, 0, 0, 1].into()]));

    sim.run_for(MILLISECOND * 50);
    sim.leave(recorders[2], GROUP.into());
    sim.run_for(MILLISECOND * 200);

    assert_eq!(
        recorders.map(|recorder| numbers(&sim, recorder).len()),
        [101, 101, 49]
    );
    let rest = [other_group, other_port, other_source, this_source];
    assert_eq!(
        rest.map(|recorder| numbers(&sim, recorder).len()),
        [0, 0, 0, 101]
    );
}

#[test]
fn members_lose_each_their_own() {
    let mut sim = Sim::new(1);
    let (hosts, recorders) = group_of_three(&mut sim);
    sim.set_links(Link {
        loss: 0.3,
        ..Link::default()
    });
    sim.set_link(
        hosts[0],
        hosts[2],
        Link {
            loss: 1.0,
            ..Link::default()
        },
    );
    sim.run_for(MILLISECOND * 200);
    let [own, lossy, cut] = recorders.map(|recorder| numbers(&sim, recorder).len());
    assert_eq!((own, cut), (101, 0));
    assert!((50..95).contains(&lossy), "{lossy}");
}

#[test]
fn a_partition_cuts_and_heals() {
    let mut sim = Sim::new(1);
    let (hosts, recorders) = group_of_three(&mut sim);
    let received = |sim: &Sim| recorders.map(|recorder| numbers(sim, recorder).len());
    sim.run_for(MILLISECOND * 20);
    assert_eq!(received(&sim), [19, 19, 19]);
    sim.partition([hosts[1]]);
    sim.run_for(MILLISECOND * 20);
    // What was on the way still arrives.
    assert_eq!(received(&sim), [39, 20, 39]);
    sim.partition([hosts[1], hosts[2]]);
    sim.run_for(MILLISECOND * 20);
    assert_eq!(received(&sim), [59, 20, 40]);
    sim.heal();
    sim.run_for(MILLISECOND * 20);
    assert_eq!(received(&sim), [79, 39, 59]);
    assert_eq!(sim.traffic().lost, 40 + 20);
}

#[test]
fn ports_refuse_and_hosts_are_missing() {
    let mut sim = Sim::new(1);
    let [asker, asked] = ["fd00::1", "fd00::2"].map(|address| sim.add_host([address]));
    let closed: SocketAddr = "[fd00::2]:5000".parse().unwrap();
    // The recorder gets the refusals of what is sent from its port.
    sim.bind(asker, 40_000, Pulse::new(closed, MILLISECOND, 0));
    let recorder = sim.bind(asker, 40_000, Recorder::default());
    sim.run_for(MILLISECOND * 5);
    assert_eq!(
        sim.events(recorder),
        [(MILLISECOND * 2, Noted::Refusal(closed))]
    );
    assert_eq!(
        sim.traffic(),
        Traffic {
            sent: 1,
            refused: 1,
            ..Traffic::default()
        }
    );

    let missing: SocketAddr = "[fd00::3]:5000".parse().unwrap();
    let other_family = SocketAddr::from(([10, 0, 0, 1], 5000));
    for nowhere in [missing, other_family] {
        sim.bind(asked, 40_000, Pulse::new(nowhere, MILLISECOND, 0));
    }
    sim.run_for(MILLISECOND * 5);
    assert_eq!(
        sim.traffic(),
        Traffic {
            sent: 3,
            refused: 1,
            unroutable: 2,
            ..Traffic::default()
        }
    );
}

#[test]
fn a_protocol_is_stopped_once_and_may_say_farewell() {
    let mut sim = Sim::new(1);
    let [sender, receiver] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let recorder = sim.bind(receiver, 5000, Recorder::default());
    let pulse = sim.bind(
        sender,
        5000,
        Pulse::new(([10, 0, 0, 2], 5000), MILLISECOND, 1_000),
    );
    assert!(sim.run_until(MILLISECOND * 100, |sim| sim.events(recorder).len() == 3));
    assert_eq!(sim.elapsed(), MILLISECOND * 4);
    sim.stop(pulse);
    sim.stop(pulse);
    assert!(!sim.is_running(pulse));
    assert!(!sim.run_until(MILLISECOND * 100, |sim| sim.events(recorder).len() == 5));
    assert_eq!(
        numbers(&sim, recorder),
        [0, 1, 2, 3],
        "the last is the farewell"
    );
    assert!(!sim.step(), "nothing is left to happen");
}

#[test]
fn a_command_is_carried_out_at_once() {
    let mut sim = Sim::new(1);
    let host = sim.add_host(["10.0.0.1", "10.0.0.2"]);
    let recorder = sim.bind(host, 5000, Recorder::default());
    sim.run_for(MILLISECOND);
    let before = sim.command(recorder, |recorder, now| {
        recorder.received.push(Noted::Number(7));
        now
    });
    assert_eq!(before, sim.now());
    assert_eq!(sim.events(recorder), [(MILLISECOND, Noted::Number(7))]);
    assert!(sim.protocol(recorder).received.is_empty());
}
