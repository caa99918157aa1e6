//! Our end of a NORM session, for tests beside other implementations.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_io::{Driver, Next, Socket};
use manycast_proto::norm::{
    Object, ObjectKey, Receiver, ReceiverConfig, ReceiverEvent, ReceiverStats, Sender,
    SenderConfig, SenderEvent, SenderStats,
};

/// What goes wrong on the way.
pub type Failure = Box<dyn Error + Send + Sync>;

/// After how long a session is given up.
const LIMIT: Duration = Duration::from_secs(30);

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
    let mut driver = Driver::new(socket, sender);
    let (start, mut delivered) = (Instant::now(), 0);
    while start.elapsed() < LIMIT {
        match driver.next_event(Some(LOOK))? {
            Next::Event(SenderEvent::Delivered(_)) => delivered += 1,
            Next::Event(_) | Next::TimedOut => {}
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

/// Receives until it is told that it is enough: a receiver must stay so that the sender hears that
/// all has come.
///
/// # Errors
///
/// Where the machine fails.
pub fn receive(
    socket: Socket,
    config: ReceiverConfig,
    enough: &Arc<AtomicBool>,
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
    while start.elapsed() < LIMIT && !enough.load(Ordering::Relaxed) {
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
            Next::Event(ReceiverEvent::Info { object, info }) => {
                let at = place(&mut objects, object);
                objects[at].1.info = Some(info);
            }
            Next::Event(ReceiverEvent::Data {
                object,
                offset,
                bytes,
            }) => {
                let at = place(&mut objects, object);
                let start = usize::try_from(offset)?;
                objects[at].1.bytes[start..start + bytes.len()].copy_from_slice(&bytes);
            }
            Next::Event(ReceiverEvent::Completed(object)) => {
                let at = place(&mut objects, object);
                objects[at].1.complete = true;
            }
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
