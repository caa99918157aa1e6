//! Congestion control: a fair share beside other flows, and the slowest receiver decides.

#[path = "../norm_group/mod.rs"]
mod norm_group;
mod tcp;

use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::{Endpoint, Link, Sim, seeds};
use manycast_proto::norm::message::{
    Body, CcFeedback, CcFlags, Extensions, Feedback, Message, quantize_rate,
};
use manycast_proto::norm::{Receiver, ReceiverEvent, Sender, SenderConfig};
use manycast_types::Group;
use norm_group::{GROUP, MILLISECOND, NODE, PORT, SECOND, Session, made_up};
use tcp::{Flow, Sink};

const MEGABIT: u64 = 1_000_000;

/// At most 1 Gbit/s.
fn config() -> SenderConfig {
    SenderConfig {
        rate: 1000 * MEGABIT,
        congestion_control: true,
        segment: 1400,
        block: 64,
        parity: 64,
        grtt: MILLISECOND * 100,
        group_size: 10,
        ..SenderConfig::new((GROUP, PORT).into(), NODE)
    }
}

/// 5 ms in each direction between all hosts.
fn path() -> Link {
    Link {
        delay: MILLISECOND * 5,
        ..Link::default()
    }
}

/// A link of `rate`, with 30 ms of queue.
fn bottleneck(rate: u64) -> Link {
    Link {
        rate: Some(rate),
        queue: usize::try_from(rate / 8 * 30 / 1000).expect("it is small"),
        ..Link::default()
    }
}

/// A session with an object that takes long.
fn session(seed: u64, config: SenderConfig, receivers: u32) -> Session {
    let mut session = Session::new(seed, path(), config, receivers);
    enqueue(&mut session, 1_000_000_000);
    session
}

/// Enqueues objects of the same bytes.
fn enqueue(session: &mut Session, length: usize) {
    let bytes: Bytes = made_up(10_000_000, 1);
    for _ in 0..length / bytes.len() {
        let object = manycast_proto::norm::Object {
            content: manycast_proto::norm::Content::Memory(bytes.clone()),
            file: false,
            info: None,
        };
        let result = session
            .sim
            .command(session.sender, |sender, _| sender.enqueue(object));
        result.expect("there is room");
    }
}

/// How many bytes of the sender's a receiver has received.
fn received(sim: &Sim, receiver: Endpoint<Receiver>) -> f64 {
    let stats = sim.protocol(receiver).stats();
    (stats.symbols + stats.duplicates) as f64 * 1400.0
}

/// A flow of TCP to the host of a receiver.
fn add_flow(session: &mut Session, receiver: usize, last: u8) -> (Endpoint<Flow>, Endpoint<Sink>) {
    let port = 7000 + u16::from(last);
    let sink = session
        .sim
        .bind(session.hosts[receiver], port, Sink::default());
    let host = session.sim.add_host([format!("10.8.0.{last}").as_str()]);
    let to = (
        [10, 1, 0, u8::try_from(receiver + 1).expect("there are few")],
        port,
    )
        .into();
    let now = session.sim.now();
    let flow = session.sim.bind(host, port, Flow::new(to, now));
    (flow, sink)
}

fn rate_now(sim: &Sim, sender: Endpoint<Sender>) -> f64 {
    sim.protocol(sender).stats().rate as f64
}

/// Alone, it finds what the path carries, and holds it.
#[test]
fn alone_it_takes_what_there_is() {
    for seed in seeds(1) {
        let mut session = session(seed, config(), 2);
        for host in session.hosts.clone() {
            let link = bottleneck(100 * MEGABIT);
            session.sim.set_access(host, "eth0", Link::default(), link);
        }
        session.sim.run_for(SECOND * 5);
        let before = received(&session.sim, session.receivers[0]);
        session.sim.run_for(SECOND * 10);
        let share = (received(&session.sim, session.receivers[0]) - before) * 8.0 / 10.0 / 1e8;
        println!("alone: {share:.2} of the path");
        assert!(share > 0.7, "{share}");
    }
}

/// Beside a flow of TCP, each has between a third and three times of the other's share, and it gives
/// way within seconds when that flow begins.
#[test]
fn beside_tcp_it_is_fair() {
    for seed in seeds(1) {
        let mut session = session(seed, config(), 1);
        let host = session.hosts[0];
        let link = bottleneck(100 * MEGABIT);
        session.sim.set_access(host, "eth0", Link::default(), link);
        session.sim.run_for(SECOND * 5);
        let (_, sink) = add_flow(&mut session, 0, 1);
        session.sim.run_for(SECOND * 4);
        let measure = |session: &mut Session, time: Duration| {
            let count = |session: &Session| {
                let tcp = session.sim.protocol(sink).bytes as f64;
                (received(&session.sim, session.receivers[0]), tcp)
            };
            let before = count(session);
            session.sim.run_for(time);
            let after = count(session);
            let norm = (after.0 - before.0) * 8.0 / time.as_secs_f64() / 1e6;
            let tcp = (after.1 - before.1) * 8.0 / time.as_secs_f64() / 1e6;
            println!("NORM {norm:.1} Mbit/s, TCP {tcp:.1} Mbit/s");
            (norm, tcp)
        };
        let (norm, tcp) = measure(&mut session, SECOND * 4);
        assert!(norm < 3.0 * tcp, "it has given way: {norm} and {tcp}");
        let (norm, tcp) = measure(&mut session, SECOND * 20);
        assert!(norm < 3.0 * tcp && tcp < 3.0 * norm, "{norm} and {tcp}");
        assert!(norm + tcp > 70.0, "{norm} and {tcp}");
    }
}

/// What the path carried before a pause says little of what it carries after it.
#[test]
fn after_a_pause_it_begins_slowly() {
    for seed in seeds(2) {
        let mut session = Session::new(seed, path(), config(), 1);
        let host = session.hosts[0];
        let link = bottleneck(100 * MEGABIT);
        session.sim.set_access(host, "eth0", Link::default(), link);
        enqueue(&mut session, 60_000_000);
        session.sim.run_for(SECOND * 60);
        assert!(rate_now(&session.sim, session.sender) > 5e7);
        let link = bottleneck(5 * MEGABIT);
        session.sim.set_access(host, "eth0", Link::default(), link);
        let sent = |session: &Session| {
            let stats = session.sim.protocol(session.sender).stats();
            stats.datagrams + stats.repairs
        };
        let before = sent(&session);
        enqueue(&mut session, 10_000_000);
        session.sim.run_for(MILLISECOND * 30);
        let first = sent(&session) - before;
        // The old rate were some 250, of which the path loses most.
        assert!((1..100).contains(&first), "{first}");
        let before = received(&session.sim, session.receivers[0]);
        session.sim.run_for(SECOND * 5);
        let share = (received(&session.sim, session.receivers[0]) - before) * 8.0 / 5.0 / 5e6;
        assert!(share > 0.5, "{share}");
    }
}

/// Two senders on one path have about the same.
#[test]
fn two_senders_share_a_path() {
    for seed in seeds(1) {
        let mut session = session(seed, config(), 1);
        let host = session.hosts[0];
        let link = bottleneck(30 * MEGABIT);
        session.sim.set_access(host, "eth0", Link::default(), link);
        session.sim.run_for(SECOND * 5);
        // The second begins when the first has all of it.
        let first = session.sender;
        let host = session.sim.add_host(["10.0.0.2"]);
        let config = SenderConfig {
            node: NODE + 1,
            ..config()
        };
        let (now, secret) = (session.sim.now(), session.sim.seed());
        let second = Sender::new(config, secret, now);
        session.sender = session.sim.bind(host, PORT, second);
        let second = session.sender;
        session.sim.join(second, Group::new(GROUP.into()));
        enqueue(&mut session, 1_000_000_000);
        session.sim.run_for(SECOND * 10);
        let sent = |sim: &Sim, sender: Endpoint<Sender>| {
            let stats = sim.protocol(sender).stats();
            (stats.datagrams + stats.repairs) as f64
        };
        let before = [first, second].map(|sender| sent(&session.sim, sender));
        session.sim.run_for(SECOND * 20);
        let after = [first, second].map(|sender| sent(&session.sim, sender));
        let (one, other) = (after[0] - before[0], after[1] - before[1]);
        println!("{one} and {other} datagrams");
        assert!(one < 3.0 * other && other < 3.0 * one, "{one} and {other}");
    }
}

/// The rate is what the slowest path carries, and rises again when that receiver has left.
#[test]
fn the_slowest_receiver_decides() {
    for seed in seeds(2) {
        let mut session = session(seed, config(), 4);
        for (index, host) in session.hosts.clone().into_iter().enumerate() {
            let rate = if index == 2 { 4 } else { 20 };
            let link = bottleneck(rate * MEGABIT);
            session.sim.set_access(host, "eth0", Link::default(), link);
        }
        session.sim.run_for(SECOND * 10);
        let before: Vec<_> = session
            .receivers
            .iter()
            .map(|receiver| received(&session.sim, *receiver))
            .collect();
        session.sim.run_for(SECOND * 10);
        for (receiver, before) in session.receivers.iter().zip(before) {
            let rate = (received(&session.sim, *receiver) - before) * 8.0 / 10.0 / 1e6;
            assert!((2.5..4.5).contains(&rate), "{rate} Mbit/s");
        }
        let slow = session.hosts[2];
        session.sim.partition([slow]);
        session.sim.run_for(SECOND * 20);
        let rate = rate_now(&session.sim, session.sender) / 1e6;
        assert!(rate > 10.0, "{rate} Mbit/s");
    }
}

/// A datagram in which a receiver says something of congestion.
fn said(session: &Session, node: u32, sequence: u16, cc: CcFeedback) -> Bytes {
    let mut events = session.sim.events(session.receivers[0]).iter();
    let instance = events.find_map(|(_, event)| match event {
        ReceiverEvent::Started { object, .. } => Some(object.instance),
        _ => None,
    });
    let feedback = Feedback {
        sender: NODE,
        instance: instance.expect("an object has come"),
        ..Feedback::default()
    };
    let cc = Some(CcFeedback { sequence, ..cc });
    Message {
        sequence: 0,
        source: node,
        extensions: Extensions {
            cc,
            ..Extensions::default()
        },
        body: Body::Ack {
            feedback,
            kind: Body::ACK_CC,
            id: 0,
            payload: &[],
        },
    }
    .emit()
}

/// Lets somebody say something for two seconds, and gives the rate at the end of it and five seconds
/// later, in Mbit/s.
fn lie(session: &mut Session, node: u32, cc: CcFeedback) -> (f64, f64) {
    let liar = session.sim.add_host(["10.9.9.9"]);
    for count in 0..200 {
        let datagram = said(session, node, 30_000 + count, cc);
        let to = (GROUP, PORT).into();
        session
            .sim
            .forge(liar, ([10, 9, 9, 9], PORT).into(), to, datagram);
        session.sim.run_for(MILLISECOND * 10);
    }
    let then = rate_now(&session.sim, session.sender) / 1e6;
    session.sim.run_for(SECOND * 8);
    (then, rate_now(&session.sim, session.sender) / 1e6)
}

fn on_20_megabits(seed: u64, config: SenderConfig) -> Session {
    let mut session = session(seed, config, 2);
    for host in session.hosts.clone() {
        let link = bottleneck(20 * MEGABIT);
        session.sim.set_access(host, "eth0", Link::default(), link);
    }
    session.sim.run_for(SECOND * 5);
    session
}

fn all_is_lost() -> CcFeedback {
    CcFeedback::default().with_loss(1.0)
}

fn all_is_well() -> CcFeedback {
    CcFeedback {
        flags: CcFlags::START,
        rate: quantize_rate(1e9),
        ..CcFeedback::default()
    }
}

/// Who claims to receive anything makes nobody faster: the slowest decides.
#[test]
fn who_claims_a_high_rate_changes_nothing() {
    for seed in seeds(1) {
        let mut session = on_20_megabits(seed, config());
        let (then, later) = lie(&mut session, 77, all_is_well());
        assert!((8.0..24.0).contains(&then), "{then}");
        assert!((8.0..24.0).contains(&later), "{later}");
    }
}

/// Who claims to lose everything slows all down, as long as it does: that cannot be told from a slow
/// receiver. Where receivers are named, only they are heard, and from their addresses.
#[test]
fn who_claims_a_low_rate_slows_down_while_it_does() {
    for seed in seeds(1) {
        let mut session = on_20_megabits(seed, config());
        let (then, later) = lie(&mut session, 77, all_is_lost());
        assert!(then < 1.0 && then * 1e6 >= 1400.0 * 8.0, "{then}");
        assert!(later > 5.0, "{later}");
    }
}

#[test]
fn where_receivers_are_named_others_are_not_heard() {
    for (seed, node) in [(1, 77), (2, 1)] {
        let config = SenderConfig {
            receivers: vec![1, 2],
            ..config()
        };
        let mut session = on_20_megabits(seed, config);
        let (then, later) = lie(&mut session, node, all_is_lost());
        assert!(then > 8.0 && later > 8.0, "{node}: {then} and {later}");
    }
}
