//! Clocks that jump, and receivers that come and go.

mod norm_group;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::{
    Content, Object, Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig, SenderEvent,
};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received};
use norm_group::{GROUP, MILLISECOND, NODE, PORT, SECOND, Session, config, made_up};

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// One end, by its own clock.
struct End<P: Protocol> {
    protocol: P,
    now: Instant,
    events: Vec<P::Event>,
    finished: bool,
}

impl<P: Protocol> End<P> {
    fn new(protocol: P, now: Instant) -> Self {
        let mut end = Self {
            protocol,
            now,
            events: Vec::new(),
            finished: false,
        };
        end.protocol.start(now);
        end
    }

    /// Takes in what came, and gives what it sends.
    fn turn(&mut self, from: SocketAddr, came: &mut VecDeque<Bytes>) -> Vec<Bytes> {
        let interface = InterfaceId::new(2, "eth0");
        for datagram in came.drain(..) {
            let received = Received::new(&datagram, from, (GROUP, PORT).into(), &interface);
            self.protocol.handle_datagram(self.now, received);
        }
        self.protocol.handle_timeout(self.now);
        let mut sent = Vec::new();
        for _ in 0..10_000 {
            match self.protocol.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    let size = transmit.segment_size.map_or(usize::MAX, usize::from);
                    let payload = transmit.payload;
                    let size = size.min(payload.len());
                    let parts = payload.chunks(size).map(Bytes::copy_from_slice);
                    sent.extend(parts);
                }
                Output::Event(event) => self.events.push(event),
                Output::Finished => {
                    self.finished = true;
                    return sent;
                }
                _ => return sent,
            }
        }
        panic!("it goes on without end");
    }
}

/// A suspended machine's clock is an hour further when it goes on; nothing is lost by it.
#[test]
fn a_clock_that_jumps_delays_nothing() {
    for (jumper, congestion_control) in [
        ("sender", false),
        ("receiver", false),
        ("both", false),
        ("both", true),
    ] {
        let now = start();
        let config = SenderConfig {
            receivers: vec![1],
            congestion_control,
            ..config()
        };
        let mut sender = End::new(Sender::new(config, [1; 32], now), now);
        let config = ReceiverConfig::new((GROUP, PORT).into(), 1);
        let mut receiver = End::new(Receiver::new(config, [2; 32], now), now);
        let bytes = made_up(500_000, 1);
        let object = Object {
            content: Content::Memory(bytes.clone()),
            file: false,
            info: None,
        };
        sender.protocol.enqueue(object).expect("there is room");
        sender.protocol.finish(now);
        let (there, back): (SocketAddr, SocketAddr) =
            (([10, 0, 0, 1], PORT).into(), ([10, 1, 0, 1], PORT).into());
        let (mut to_receiver, mut to_sender) = (VecDeque::new(), VecDeque::new());
        let mut turns = 0;
        while !sender.finished {
            turns += 1;
            assert!(turns < 200_000, "{jumper}: it does not end");
            if turns == 100 {
                let hour = Duration::from_secs(3600);
                sender.now += if jumper == "receiver" {
                    Duration::ZERO
                } else {
                    hour
                };
                receiver.now += if jumper == "sender" {
                    Duration::ZERO
                } else {
                    hour
                };
            }
            sender.now += MILLISECOND;
            receiver.now += MILLISECOND;
            let sent = sender.turn(back, &mut to_sender);
            // One of twenty is lost.
            let kept = sent.into_iter().enumerate();
            to_receiver.extend(
                kept.filter(|(index, _)| (index + turns) % 20 != 0)
                    .map(|it| it.1),
            );
            to_sender.extend(receiver.turn(there, &mut to_receiver));
        }
        let mut whole = vec![0; bytes.len()];
        let mut completed = 0;
        for event in &receiver.events {
            match event {
                ReceiverEvent::Data { offset, bytes, .. } => {
                    let start = usize::try_from(*offset).expect("it is small");
                    whole[start..start + bytes.len()].copy_from_slice(bytes);
                }
                ReceiverEvent::Completed(_) => completed += 1,
                _ => {}
            }
        }
        assert!(whole == bytes[..] && completed == 1, "{jumper}");
        let acknowledged = |event: &&SenderEvent| matches!(event, SenderEvent::Acknowledged { .. });
        assert_eq!(
            sender.events.iter().filter(acknowledged).count(),
            1,
            "{jumper}"
        );
        assert!(turns < 20_000, "{jumper}: {turns} ms");
    }
}

/// Receivers that come and go in the middle leave the others undisturbed; who stays has all.
#[test]
fn receivers_come_and_go() {
    for seed in seeds(2) {
        let link = Link {
            loss: 0.03,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: vec![1, 2, 4, 6, 8],
            robust: 100,
            ..config()
        };
        let mut session = Session::new(seed, link, config, 1);
        session.enqueue(2_000_000);
        session.enqueue(2_000_000);
        session.finish();
        for round in 0..8 {
            session.sim.run_for(MILLISECOND * 150);
            let new = session.add_receiver(2 + round, |config| config);
            if round % 2 == 1 {
                // It goes without a word.
                session.sim.run_for(MILLISECOND * 30);
                session.sim.stop(new);
            }
        }
        assert!(session.run(SECOND * 60));
        for receiver in (0..9).filter(|receiver| *receiver == 0 || receiver % 2 == 1) {
            let delivery = session.received(receiver);
            assert_eq!(delivery.completed, [0, 1], "receiver {receiver}");
        }
        let peers = session.sim.protocol(session.sender).peers();
        assert!(peers.count() >= 5 && NODE > 0);
    }
}
