//! A sender and its receivers in the simulator.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::{Bursts, Endpoint, Host, Link, Sim};
use manycast_proto::norm::{
    Content, Object, ObjectKey, Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig,
    SenderEvent,
};
use manycast_types::Group;

pub(crate) mod choice;
pub(crate) mod nack;
pub(crate) mod stream;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const GROUP: [u8; 4] = [239, 1, 1, 1];
pub(crate) const PORT: u16 = 6003;
/// The number of the sender's node; receivers are 1, 2, 3 and so on.
pub(crate) const NODE: u32 = 1_000_000;

pub(crate) struct Session {
    pub(crate) sim: Sim,
    pub(crate) sender: Endpoint<Sender>,
    pub(crate) sender_host: Host,
    pub(crate) receivers: Vec<Endpoint<Receiver>>,
    pub(crate) hosts: Vec<Host>,
    /// What was enqueued.
    pub(crate) objects: Vec<Bytes>,
    /// The instances of the senders before this one, and what was enqueued at each.
    pub(crate) before: Vec<(u16, Vec<Bytes>)>,
}

/// 20 Mbit/s in segments of 1,000 bytes, 20 in a block.
pub(crate) fn config() -> SenderConfig {
    SenderConfig {
        rate: 20_000_000,
        segment: 1000,
        block: 20,
        parity: 20,
        grtt: MILLISECOND * 50,
        group_size: 10,
        ..SenderConfig::new((GROUP, PORT).into(), NODE)
    }
}

/// Bursts of losses, duplicates and reordering.
pub(crate) fn rough() -> Link {
    Link {
        bursts: Some(Bursts::new(0.05, 30.0)),
        duplicate: 0.1,
        reorder: 0.1,
        hold: MILLISECOND * 15,
        jitter: MILLISECOND * 2,
        ..Link::default()
    }
}

/// The instance of a sender, as everybody can see it.
fn instance_of(sender: &Sender) -> u16 {
    // Its debug form names it.
    let text = format!("{sender:?}");
    let (_, rest) = text.split_once("instance: ").expect("it has one");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

impl Session {
    pub(crate) fn new(seed: u64, link: Link, config: SenderConfig, receivers: u32) -> Self {
        Self::with(seed, link, config, receivers, |config| config)
    }

    pub(crate) fn with(
        seed: u64,
        link: Link,
        config: SenderConfig,
        receivers: u32,
        change: impl Fn(ReceiverConfig) -> ReceiverConfig,
    ) -> Self {
        let mut sim = Sim::new(seed);
        sim.set_links(link);
        let sender_host = sim.add_host(["10.0.0.1"]);
        let (now, secret) = (sim.now(), sim.seed());
        let sender = sim.bind(sender_host, PORT, Sender::new(config, secret, now));
        sim.join(sender, Group::new(GROUP.into()));
        let mut session = Self {
            sim,
            sender,
            sender_host,
            receivers: Vec::new(),
            hosts: Vec::new(),
            objects: Vec::new(),
            before: Vec::new(),
        };
        for node in 1..=receivers {
            session.add_receiver(node, &change);
        }
        session
    }

    pub(crate) fn add_receiver(
        &mut self,
        node: u32,
        change: impl Fn(ReceiverConfig) -> ReceiverConfig,
    ) -> Endpoint<Receiver> {
        let address = format!("10.{}.{}.{}", 1 + (node >> 16), node >> 8 & 255, node & 255);
        let host = self.sim.add_host([address.as_str()]);
        let config = change(ReceiverConfig {
            earlier: 64,
            ..ReceiverConfig::new((GROUP, PORT).into(), node)
        });
        let (now, seed) = (self.sim.now(), self.sim.seed());
        let receiver = self.sim.bind(host, PORT, Receiver::new(config, seed, now));
        self.sim.join(receiver, Group::new(GROUP.into()));
        self.receivers.push(receiver);
        self.hosts.push(host);
        receiver
    }

    /// The instance of the sender.
    pub(crate) fn instance(&self) -> u16 {
        instance_of(self.sim.protocol(self.sender))
    }

    /// Kills the sender, and starts another one in its place.
    pub(crate) fn restart_sender(&mut self, config: SenderConfig) {
        let (host, instance) = (self.sender_host, self.instance());
        // It dies without a word.
        self.sim.partition([host]);
        self.sim.stop(self.sender);
        self.sim.run_for(MILLISECOND * 100);
        self.sim.heal();
        let again = loop {
            let (now, seed) = (self.sim.now(), self.sim.seed());
            let again = Sender::new(config.clone(), seed, now);
            if instance_of(&again) != instance {
                break again;
            }
        };
        self.sender = self.sim.bind(host, PORT, again);
        self.sim.join(self.sender, Group::new(GROUP.into()));
        self.before
            .push((instance, std::mem::take(&mut self.objects)));
    }

    /// Kills a receiver, and starts another one in its place.
    pub(crate) fn restart_receiver(&mut self, receiver: usize) {
        let host = self.hosts[receiver];
        let config = self.sim.protocol(self.receivers[receiver]).config().clone();
        self.sim.stop(self.receivers[receiver]);
        self.sim.run_for(MILLISECOND);
        let (now, seed) = (self.sim.now(), self.sim.seed());
        let again = self.sim.bind(host, PORT, Receiver::new(config, seed, now));
        self.sim.join(again, Group::new(GROUP.into()));
        self.receivers[receiver] = again;
    }

    /// Enqueues an object of made-up bytes.
    pub(crate) fn enqueue(&mut self, length: usize) {
        self.enqueue_as(length, true, false);
    }

    /// Enqueues an object of which the sender has to ask for the bytes.
    pub(crate) fn enqueue_elsewhere(&mut self, length: usize) {
        self.enqueue_as(length, true, true);
    }

    /// Enqueues an object of made-up bytes, a file or not, in memory or elsewhere.
    pub(crate) fn enqueue_as(&mut self, length: usize, file: bool, elsewhere: bool) {
        let seed = (self.before.len() * 1000 + self.objects.len() + 1) as u64;
        let bytes = made_up(length, seed);
        self.objects.push(bytes.clone());
        let object = Object {
            content: match elsewhere {
                true => Content::Elsewhere(length as u64),
                false => Content::Memory(bytes),
            },
            file,
            info: Some(format!("object {}", self.objects.len()).into()),
        };
        let result = self
            .sim
            .command(self.sender, |sender, _| sender.enqueue(object));
        result.expect("there is room for it");
    }

    pub(crate) fn finish(&mut self) {
        self.sim
            .command(self.sender, |sender, now| sender.finish(now));
    }

    /// Runs until the sender has ended. False where it has not by then.
    pub(crate) fn run(&mut self, limit: Duration) -> bool {
        let sender = self.sender;
        self.sim.run_until(limit, |sim| !sim.is_running(sender))
    }

    /// The same, and supplies what the sender asks for, as a disk would that takes so long for each
    /// read and does any number of them at once. Gives how many bytes were read, or `None` where the
    /// sender has not ended by then.
    pub(crate) fn run_with_disk(&mut self, limit: Duration, latency: Duration) -> Option<usize> {
        let (mut seen, mut read) = (0, 0);
        let mut needs = VecDeque::new();
        let sender = self.sender;
        loop {
            let now = self.sim.elapsed();
            let events = self.sim.events(sender);
            for (_, event) in &events[seen..] {
                if let SenderEvent::Need {
                    object,
                    offset,
                    length,
                } = event
                {
                    needs.push_back((now + latency, *object, *offset, *length));
                }
            }
            seen = events.len();
            let read_by_now = needs.iter().take_while(|(at, ..)| *at <= now).count();
            for (_, object, offset, length) in needs.drain(..read_by_now) {
                // The debug form of an identifier ends with its number.
                let number: String = format!("{object:?}")
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect();
                let index = number.parse::<usize>().expect("a number") & 0xffff;
                let start = usize::try_from(offset).expect("it is small");
                let bytes = self.objects[index].slice(start..start + length);
                read += length;
                self.sim
                    .command(sender, |sender, _| sender.supply(object, offset, bytes));
            }
            if !self.sim.is_running(sender) {
                return Some(read);
            }
            if self.sim.elapsed() > limit || !self.sim.step() {
                return None;
            }
        }
    }

    /// What was enqueued at the sender of that instance.
    fn sent(&self, instance: u16) -> &[Bytes] {
        let mut before = self.before.iter();
        let before = before.find(|(other, _)| *other == instance);
        before.map_or(&self.objects, |(_, objects)| objects)
    }

    /// What a receiver made of what came, checked: each byte once, and complete objects exact. Counted
    /// is what this sender sent, and not those before it.
    pub(crate) fn received(&self, receiver: usize) -> Delivery {
        let own = self.instance();
        let mut objects: BTreeMap<ObjectKey, (Vec<u8>, u64)> = BTreeMap::new();
        let mut delivery = Delivery::default();
        for (_, event) in self.sim.events(self.receivers[receiver]) {
            match event {
                ReceiverEvent::Started { object, length, .. } => {
                    let length = usize::try_from(*length).expect("it is small");
                    let before = objects.insert(*object, (vec![0; length], 0));
                    assert!(before.is_none(), "{object:?} started twice");
                }
                ReceiverEvent::Data {
                    object,
                    offset,
                    bytes,
                } => {
                    let (whole, count) = objects.get_mut(object).expect("it has started");
                    let start = usize::try_from(*offset).expect("it is small");
                    whole[start..start + bytes.len()].copy_from_slice(bytes);
                    *count += bytes.len() as u64;
                }
                ReceiverEvent::Completed(object) => {
                    let (whole, count) = &objects[object];
                    assert_eq!(whole.len() as u64, *count, "each byte comes once");
                    let index = usize::try_from(object.object & 0xffff).expect("it is small");
                    assert!(
                        self.sent(object.instance)[index] == whole[..],
                        "object {index} is not what was sent"
                    );
                    if object.instance == own {
                        delivery.completed.push(index);
                    }
                }
                ReceiverEvent::Abandoned { object, .. } => delivery.abandoned.push(*object),
                ReceiverEvent::Info { object, info } => {
                    let index = usize::try_from(object.object & 0xffff).expect("it is small");
                    assert_eq!(*info, format!("object {}", index + 1));
                    delivery.infos += usize::from(object.instance == own);
                }
                ReceiverEvent::Gone { .. } => delivery.gone += 1,
                _ => {}
            }
        }
        delivery.completed.sort_unstable();
        delivery
    }

    /// Every receiver has every object.
    pub(crate) fn assert_all_delivered(&self) {
        for receiver in 0..self.receivers.len() {
            let delivery = self.received(receiver);
            let all: Vec<_> = (0..self.objects.len()).collect();
            let stats = self.sim.protocol(self.receivers[receiver]).stats();
            assert_eq!(delivery.completed, all, "receiver {receiver}: {stats:?}");
            assert_eq!(delivery.infos, all.len());
        }
    }

    /// Who has acknowledged the last object.
    pub(crate) fn acknowledged(&self) -> usize {
        let events = self.sim.events(self.sender).iter();
        let acks = events.filter(|(_, event)| matches!(event, SenderEvent::Acknowledged { .. }));
        acks.count()
    }

    /// How many NACKs all receivers sent.
    pub(crate) fn nacks(&self) -> u64 {
        let nacks = |receiver: &Endpoint<Receiver>| self.sim.protocol(*receiver).stats().nacks;
        self.receivers.iter().map(nacks).sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) completed: Vec<usize>,
    pub(crate) abandoned: Vec<ObjectKey>,
    pub(crate) infos: usize,
    pub(crate) gone: usize,
}

pub(crate) fn made_up(length: usize, seed: u64) -> Bytes {
    let mut number = seed;
    let bytes = (0..length).map(|_| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        number.to_be_bytes()[0]
    });
    bytes.collect()
}
