//! Congestion control: a fair share beside other flows, and the slowest receiver decides.

#[path = "../norm_group/mod.rs"]
mod norm_group;
mod tcp;

use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::{Endpoint, Link, Sim, seeds};
use manycast_proto::norm::{Receiver, Sender, SenderConfig};
use norm_group::{MILLISECOND, SECOND, Session, made_up};
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
        ..SenderConfig::new(
            (norm_group::GROUP, norm_group::PORT).into(),
            norm_group::NODE,
        )
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
    let to = ([10, 1, 0, u8::try_from(receiver + 1).unwrap()], port).into();
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
        for _ in 0..50 {
            session.sim.run_for(MILLISECOND * 100);
            let stats = session.sim.protocol(session.receivers[0]).stats();
            println!(
                "{:?} {:.2} {}",
                session.sim.elapsed(),
                rate_now(&session.sim, session.sender) / 1e6,
                stats.symbols
            );
        }
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
