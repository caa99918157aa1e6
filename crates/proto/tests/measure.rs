//! What a network does to a stream is what the receiver reports.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use manycast_lab::sim::{Endpoint, Host, Link, Sim, Traffic, seeds};
use manycast_proto::measure::{
    Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig, SenderEvent, StreamReport,
};
use manycast_types::Group;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const GROUP: [u8; 4] = [239, 1, 1, 1];
const PORT: u16 = 5001;

/// One sender and one receiver, with a link between them.
struct Net {
    sim: Sim,
    sending: Host,
    sender: Endpoint<Sender>,
    receiver: Endpoint<Receiver>,
}

impl Net {
    fn new(seed: u64, link: Link, config: SenderConfig) -> Self {
        let mut sim = Sim::new(seed);
        sim.set_links(link);
        let (a, b) = (sim.add_host(["10.0.0.1"]), sim.add_host(["10.0.0.2"]));
        let (now, time) = (sim.now(), SystemTime::UNIX_EPOCH + sim.elapsed());
        let receiver = Receiver::new(ReceiverConfig::default(), now, time, [7; 32]);
        let receiver = sim.bind(b, PORT, receiver);
        sim.join(receiver, Group::new(GROUP.into()));
        let sender = sim.bind(a, 40_000, Sender::new(config, now, time));
        Self {
            sim,
            sending: a,
            sender,
            receiver,
        }
    }

    /// Runs a stream of 1,000 datagrams a second for ten seconds, and says what was reported.
    fn measure(seed: u64, link: Link) -> (StreamReport, Traffic) {
        let config = SenderConfig {
            size: 1000,
            rate: Some(8_000_000),
            count: Some(10_000),
            duration: None,
            ..SenderConfig::new((GROUP, PORT).into())
        };
        let mut net = Self::new(seed, link, config);
        net.sim.run_for(SECOND * 15);
        let mut streams = net.sim.protocol(net.receiver).streams();
        let stream = streams.next().expect("a stream came");
        assert!(streams.next().is_none());
        (stream, net.sim.traffic())
    }
}

fn near(found: Duration, wanted: Duration, tolerance: Duration) -> bool {
    found.abs_diff(wanted) <= tolerance
}

#[test]
fn a_perfect_link_has_nothing_to_report() {
    for seed in seeds(3) {
        let link = Link {
            delay: MILLISECOND * 20,
            ..Link::default()
        };
        let (stream, _) = Net::measure(seed, link);
        let counters = stream.counters;
        assert_eq!((counters.datagrams, counters.bytes), (10_000, 10_000_000));
        assert_eq!(
            (counters.lost, counters.duplicated, counters.reordered),
            (0, 0, 0)
        );
        assert!(
            near(stream.duration, SECOND * 10, MILLISECOND * 10),
            "{:?}",
            stream.duration
        );
        let delay = stream.delay(0.5).expect("there is one clock");
        assert!(
            near(delay, MILLISECOND * 20, Duration::from_micros(2)),
            "{delay:?}"
        );
        assert!(
            stream.jitter < Duration::from_micros(2),
            "{:?}",
            stream.jitter
        );
        assert!(stream.ended);
    }
}

#[test]
fn loss_is_counted_exactly() {
    for seed in seeds(5) {
        let link = Link {
            loss: 0.05,
            ..Link::default()
        };
        let (stream, traffic) = Net::measure(seed, link);
        // The end is announced three times, and iperf counts the first of them alone.
        let announced = traffic.sent - 9_999;
        assert_eq!(announced, 3);
        let first = stream.first_number - 1;
        let counted = stream.counters.lost + first;
        assert!(
            (counted..=counted + 3).contains(&traffic.lost),
            "{counted} of {traffic:?}"
        );
        assert_eq!(stream.counters.datagrams + counted, 10_000);
    }
}

#[test]
fn duplicates_are_counted_exactly() {
    for seed in seeds(5) {
        let link = Link {
            duplicate: 0.05,
            ..Link::default()
        };
        let (stream, traffic) = Net::measure(seed, link);
        let duplicated = stream.counters.duplicated;
        // Announcements of the end are not counted as duplicates of one another.
        assert!(
            (duplicated..=duplicated + 3).contains(&traffic.duplicated),
            "{traffic:?}"
        );
        assert_eq!((stream.counters.lost, stream.counters.reordered), (0, 0));
    }
}

#[test]
fn what_is_overtaken_is_reordered() {
    for seed in seeds(5) {
        let link = Link {
            reorder: 0.05,
            hold: MILLISECOND * 10,
            ..Link::default()
        };
        let (stream, traffic) = Net::measure(seed, link);
        // A few are held back where nothing is left to overtake them: at the end.
        let reordered = stream.counters.reordered;
        assert!(
            (reordered..=reordered + 12).contains(&traffic.held_back),
            "{reordered} of {traffic:?}"
        );
        assert_eq!((stream.counters.lost, stream.counters.duplicated), (0, 0));
    }
}

#[test]
fn delay_and_jitter_are_those_of_the_link() {
    for seed in seeds(3) {
        let link = Link {
            delay: MILLISECOND * 20,
            jitter: Duration::from_micros(900),
            ..Link::default()
        };
        // Bursts would wait for one another, so each datagram goes alone.
        let (stream, _) = Net::measure(seed, link);
        let (least, most) = (stream.delay(0.001), stream.delay(0.999));
        let tolerance = Duration::from_micros(30);
        assert!(
            near(least.expect("one clock"), MILLISECOND * 20, tolerance),
            "{least:?}"
        );
        assert!(
            near(
                most.expect("one clock"),
                Duration::from_micros(20_900),
                tolerance
            ),
            "{most:?}"
        );
        let median = stream.delay_variation(0.5).expect("there are delays");
        assert!(
            near(median, Duration::from_micros(450), tolerance),
            "{median:?}"
        );
        // Two independent delays, each anywhere within 900 µs, differ by a third of it on average.
        assert!(
            near(stream.jitter, Duration::from_micros(300), tolerance * 4),
            "{:?}",
            stream.jitter
        );
    }
}

/// A sender is killed and started anew with the same port, on links that do all that links do.
#[test]
fn each_run_of_a_sender_is_one_stream() {
    const RUNS: u64 = 5;
    let every = Link {
        delay: MILLISECOND * 3,
        loss: 0.5,
        duplicate: 0.2,
        reorder: 0.3,
        hold: MILLISECOND * 10,
        ..Link::default()
    };
    for seed in seeds(20) {
        let config = SenderConfig {
            size: 1000,
            rate: Some(8_000_000),
            ..SenderConfig::new((GROUP, PORT).into())
        };
        let mut net = Net::new(seed, every, config.clone());
        let mut sent = Vec::new();
        for run in 1..=RUNS {
            net.sim.run_for(MILLISECOND * 200);
            // Its end does not arrive.
            let deaf = Link { loss: 1.0, ..every };
            net.sim.set_links(deaf);
            net.sim.stop(net.sender);
            sent.push(net.sim.protocol(net.sender).stats().datagrams - 1);
            net.sim.run_for(MILLISECOND * 20);
            net.sim.set_links(every);
            if run < RUNS {
                let (now, time) = (net.sim.now(), SystemTime::UNIX_EPOCH + net.sim.elapsed());
                let sender = Sender::new(config.clone(), now, time);
                let host = net.sending;
                net.sender = net.sim.bind(host, 40_000, sender);
            }
        }
        let streams: Vec<_> = net.sim.protocol(net.receiver).streams().collect();
        let runs: Vec<_> = streams.iter().map(|stream| stream.run).collect();
        assert_eq!(runs, (1..=RUNS).collect::<Vec<_>>());
        for (stream, sent) in streams.iter().zip(sent) {
            // But for the ends, of which the receiver does not know.
            let counted = stream.counters.expected() + stream.first_number - 1;
            assert!((sent - 20..=sent).contains(&counted), "{counted} of {sent}");
            let loss = stream.counters.loss();
            assert!((0.35..0.65).contains(&loss), "{loss}");
            assert!(!stream.ended);
        }
    }
}

#[test]
fn a_report_is_the_same_however_datagrams_are_merged() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.05,
            duplicate: 0.1,
            reorder: 0.1,
            ..Link::default()
        };
        let measure = |merging| {
            let config = SenderConfig {
                size: 1000,
                rate: Some(8_000_000),
                burst: MILLISECOND * 50,
                count: Some(5_000),
                duration: None,
                ..SenderConfig::new((GROUP, PORT).into())
            };
            let mut net = Net::new(seed, link, config);
            net.sim.set_merging(merging);
            net.sim.run_for(SECOND * 10);
            let streams: Vec<_> = net.sim.protocol(net.receiver).streams().collect();
            (format!("{streams:?}"), net.sim.traffic().merged)
        };
        let (alone, merged) = measure(None);
        assert_eq!(merged, 0);
        let (together, merged) = measure(Some(Duration::ZERO));
        assert!(merged > 1_000, "{merged} of 5,000");
        assert_eq!(alone, together);
    }
}

#[test]
fn a_host_tells_its_sender_what_it_measured() {
    for seed in seeds(5) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let destination: SocketAddr = ([10, 0, 0, 2], PORT).into();
        let config = SenderConfig {
            size: 1000,
            rate: Some(8_000_000),
            duration: Some(SECOND),
            ..SenderConfig::new(destination)
        };
        let mut net = Net::new(seed, link, config);
        assert!(
            net.sim
                .run_until(SECOND * 5, |sim| !sim.is_running(net.sender))
        );
        let [(_, SenderEvent::Finished(Some(report)))] = net.sim.events(net.sender) else {
            panic!("{:?}", net.sim.events(net.sender))
        };
        let stream = net
            .sim
            .protocol(net.receiver)
            .streams()
            .next()
            .expect("a stream came");
        assert_eq!(u64::from(report.lost), stream.counters.lost);
        assert_eq!(report.bytes, stream.counters.bytes);
        let sent = net.sim.protocol(net.sender).stats().datagrams;
        assert_eq!(u64::from(report.datagrams) + stream.first_number - 1, sent);
    }
}

#[test]
fn intervals_come_every_second() {
    for seed in seeds(2) {
        let config = SenderConfig {
            size: 1000,
            rate: Some(8_000_000),
            duration: Some(SECOND * 3),
            ..SenderConfig::new((GROUP, PORT).into())
        };
        let mut net = Net::new(seed, Link::default(), config);
        net.sim.run_for(SECOND * 10);
        let intervals = net
            .sim
            .events(net.receiver)
            .iter()
            .filter_map(|(at, event)| match event {
                ReceiverEvent::Interval(streams) => {
                    Some((at.as_secs(), streams[0].counters.datagrams))
                }
                _ => None,
            });
        let intervals: Vec<_> = intervals.collect();
        let whole: u64 = intervals.iter().map(|(_, datagrams)| datagrams).sum();
        assert_eq!(whole, net.sim.protocol(net.sender).stats().datagrams);
        assert_eq!(
            intervals.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert!(
            intervals[..3]
                .iter()
                .all(|(_, it)| (985..=1015).contains(it)),
            "{intervals:?}"
        );
    }
}
