//! Our end of a NORM session, for tests beside other implementations.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_io::{Driver, Next, Socket};
use manycast_proto::norm::{
    Object, ObjectKey, Receiver, ReceiverConfig, ReceiverEvent, ReceiverStats, Sender,
    SenderConfig, SenderEvent, SenderStats,
};

/// What goes wrong on the way.
pub type Failure = Box<dyn Error + Send + Sync>;

/// After how long a session is given up: before a test of a lab is killed, which cannot tell why.
const LIMIT: Duration = Duration::from_secs(90);

/// How often it is looked whether a session shall end.
const LOOK: Duration = Duration::from_millis(50);

/// How a sender ended.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How many objects all receivers that were named have acknowledged.
    pub delivered: usize,
    /// What it did.
    pub stats: SenderStats,
}

/// Sends one object, and ends when it was acknowledged or is given up; without receivers that
/// acknowledge, when it was sent and nobody asks for more.
///
/// # Errors
///
/// Where the sender or the machine fails.
pub fn send(socket: Socket, config: SenderConfig, object: Object) -> Result<Sent, Failure> {
    let mut sender = Sender::new(config, seed()?, Instant::now());
    sender.enqueue(object)?;
    sender.finish(Instant::now());
    run(Driver::new(socket, sender), |_, _| Ok(()))
}

/// Sends a stream of messages of the application, and ends as [`send`].
///
/// # Errors
///
/// Where the sender or the machine fails.
pub fn send_stream(
    socket: Socket,
    config: SenderConfig,
    messages: &[&[u8]],
) -> Result<Sent, Failure> {
    let mut sender = Sender::new(config, seed()?, Instant::now());
    let stream = sender.open_stream(1 << 20, Some("made of messages".into()))?;
    let (mut next, mut taken) = (0, 0);
    let mut write = |sender: &mut Sender, room: bool| -> Result<(), Failure> {
        while room && let Some(message) = messages.get(next) {
            if taken == 0 {
                sender.begin_message(stream);
            }
            taken += sender.write(stream, &message[taken..])?;
            if taken < message.len() {
                return Ok(());
            }
            (next, taken) = (next + 1, 0);
            if next == messages.len() {
                sender.finish(Instant::now());
            }
        }
        Ok(())
    };
    write(&mut sender, true)?;
    run(Driver::new(socket, sender), |sender, event| {
        write(sender, matches!(event, SenderEvent::Room(_)))
    })
}

/// Runs a sender to its end; `react` does what its events ask for.
fn run(
    mut driver: Driver<Sender>,
    mut react: impl FnMut(&mut Sender, &SenderEvent) -> Result<(), Failure>,
) -> Result<Sent, Failure> {
    let (start, mut delivered) = (Instant::now(), 0);
    while start.elapsed() < LIMIT {
        match driver.next_event(Some(LOOK))? {
            Next::Event(event) => {
                delivered += usize::from(matches!(event, SenderEvent::Delivered(_)));
                react(driver.protocol_mut(), &event)?;
            }
            Next::TimedOut => {}
            Next::Finished => break,
        }
    }
    let stats = driver.protocol().stats();
    Ok(Sent { delivered, stats })
}

/// An object, as it came.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What went ahead of it.
    pub info: Option<Bytes>,
    /// Whether it is to be stored as a file.
    pub file: bool,
    /// Whether it is a stream.
    pub stream: bool,
    /// Of a stream, where messages of the application begin.
    pub messages: Vec<u64>,
    /// Of a stream, what is missing for good: from which byte, to which.
    pub gaps: Vec<(u64, u64)>,
    /// Whether all of it came.
    pub complete: bool,
}

/// What a receiver has received.
#[derive(Clone, Debug)]
pub struct Came {
    /// The objects, in the order in which they began.
    pub objects: Vec<Arrived>,
    /// What it saw.
    pub stats: ReceiverStats,
}

/// Receives until it is told that it is `enough`: a receiver must stay so that the sender hears that
/// all has come. `bytes` tells meanwhile how many have.
///
/// # Errors
///
/// Where the machine fails.
pub fn receive(
    socket: Socket,
    config: ReceiverConfig,
    enough: &AtomicBool,
    bytes: &AtomicUsize,
) -> Result<Came, Failure> {
    let receiver = Receiver::new(config, seed()?, Instant::now());
    let mut driver = Driver::new(socket, receiver);
    let start = Instant::now();
    let mut objects: Vec<(ObjectKey, Arrived)> = Vec::new();
    let place = |objects: &mut Vec<(ObjectKey, Arrived)>, key| {
        let found = objects.iter().position(|(other, _)| *other == key);
        found.unwrap_or_else(|| {
            objects.push((key, Arrived::default()));
            objects.len() - 1
        })
    };
    while start.elapsed() < LIMIT {
        match driver.next_event(Some(LOOK))? {
            Next::Event(ReceiverEvent::Started {
                object,
                length,
                file,
                ..
            }) => {
                let at = place(&mut objects, object);
                objects[at].1.bytes.resize(usize::try_from(length)?, 0);
                objects[at].1.file = file;
            }
            Next::Event(ReceiverEvent::StreamStarted { object, .. }) => {
                let at = place(&mut objects, object);
                objects[at].1.stream = true;
            }
            Next::Event(ReceiverEvent::Gap { object, from, to }) => {
                let at = place(&mut objects, object);
                objects[at].1.gaps.push((from, to));
            }
            Next::Event(ReceiverEvent::Message { object, offset }) => {
                let at = place(&mut objects, object);
                objects[at].1.messages.push(offset);
            }
            Next::Event(ReceiverEvent::Info { object, info }) => {
                let at = place(&mut objects, object);
                objects[at].1.info = Some(info);
            }
            Next::Event(ReceiverEvent::Data {
                object,
                offset,
                bytes: part,
            }) => {
                let at = place(&mut objects, object);
                let (start, whole) = (usize::try_from(offset)?, &mut objects[at].1.bytes);
                let end = start + part.len();
                whole.resize(whole.len().max(end), 0);
                whole[start..end].copy_from_slice(&part);
                bytes.fetch_add(part.len(), Ordering::Relaxed);
            }
            Next::Event(ReceiverEvent::Completed(object)) => {
                let at = place(&mut objects, object);
                objects[at].1.complete = true;
            }
            // All that there is to tell has been told.
            Next::TimedOut if enough.load(Ordering::Relaxed) => break,
            Next::Event(_) | Next::TimedOut => {}
            Next::Finished => break,
        }
    }
    Ok(Came {
        objects: objects.into_iter().map(|(_, object)| object).collect(),
        stats: driver.protocol().stats(),
    })
}

fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}
