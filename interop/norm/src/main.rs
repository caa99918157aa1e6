//! One end of a NORM session, for tests against another implementation.
//!
//! ```text
//! norm-peer send GROUP:PORT NODE FILE RECEIVER    exit code 0 if RECEIVER has acknowledged
//! norm-peer receive GROUP:PORT NODE FILE          exit code 0 if an object was completed
//! norm-peer send-stream and receive-stream: the same with a stream, which must have no gap
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, fs};

use manycast_io::{Driver, Next, Socket};
use manycast_proto::norm::{
    Content, Object, Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig, SenderEvent,
};

/// After how long it is given up.
const LIMIT: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["send", group, node, file, receiver] => send(
            group.parse()?,
            node.parse()?,
            file,
            receiver.parse()?,
            false,
        ),
        ["send-stream", group, node, file, receiver] => {
            send(group.parse()?, node.parse()?, file, receiver.parse()?, true)
        }
        ["receive" | "receive-stream", group, node, file] => {
            receive(group.parse()?, node.parse()?, file)
        }
        _ => Err(
            "norm-peer send GROUP:PORT NODE FILE RECEIVER | receive GROUP:PORT NODE FILE".into(),
        ),
    }
}

fn socket(group: SocketAddr) -> Result<Socket, Box<dyn Error>> {
    let mut socket = Socket::bind(format!("0.0.0.0:{}", group.port()))?;
    socket.join(group.ip())?;
    Ok(socket)
}

fn seed() -> Result<[u8; 32], Box<dyn Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

fn send(
    group: SocketAddr,
    node: u32,
    file: &str,
    receiver: u32,
    as_stream: bool,
) -> Result<(), Box<dyn Error>> {
    let number =
        |name: &str, default: u64| env::var(name).map_or(Ok(default), |value| value.parse::<u64>());
    let config = SenderConfig {
        rate: number("RATE", 100_000_000)?,
        grtt: Duration::from_millis(20),
        parity: u8::try_from(number("PARITY", 16)?)?,
        proactive: u8::try_from(number("PROACTIVE", 0)?)?,
        receivers: vec![receiver],
        ..SenderConfig::new(group, node)
    };
    let mut sender = Sender::new(config, seed()?, Instant::now());
    let (bytes, mut written) = (fs::read(file)?, 0);
    let info = Some("made of bytes".into());
    if as_stream {
        let stream = sender.open_stream(1 << 20, info)?;
        written += sender.write(stream, &bytes)?;
    } else {
        sender.enqueue(Object {
            content: Content::Memory(bytes.clone().into()),
            file: false,
            info,
        })?;
    }
    if !as_stream || written == bytes.len() {
        sender.finish(Instant::now());
    }
    let mut driver = Driver::new(socket(group)?, sender);
    let (start, mut delivered) = (Instant::now(), false);
    while start.elapsed() < LIMIT {
        match driver.next_event(Some(Duration::from_secs(1)))? {
            Next::Event(SenderEvent::Delivered(_)) => {
                delivered = true;
                println!("delivered after {:?}", start.elapsed());
            }
            Next::Event(SenderEvent::Room(stream)) => {
                let sender = driver.protocol_mut();
                written += sender.write(stream, &bytes[written..])?;
                if written == bytes.len() {
                    sender.finish(Instant::now());
                }
            }
            Next::Event(SenderEvent::Reached { .. }) => {}
            Next::Event(event) => tell(&event),
            Next::TimedOut => {}
            Next::Finished => break,
        }
    }
    println!("{:?}", driver.protocol().stats());
    if delivered {
        Ok(())
    } else {
        Err("it was not acknowledged".into())
    }
}

fn receive(group: SocketAddr, node: u32, file: &str) -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::new(ReceiverConfig::new(group, node), seed()?, Instant::now());
    let mut driver = Driver::new(socket(group)?, receiver);
    let (start, mut whole, mut completed) = (Instant::now(), Vec::new(), None);
    // After the end it stays for a while, so that the sender hears that all has come.
    while start.elapsed() < LIMIT && completed.is_none_or(|at: Instant| at.elapsed().as_secs() < 3)
    {
        match driver.next_event(Some(Duration::from_secs(1)))? {
            Next::Event(ReceiverEvent::Started { length, .. }) => {
                whole.resize(usize::try_from(length)?, 0);
            }
            Next::Event(ReceiverEvent::Data { offset, bytes, .. }) => {
                let start = usize::try_from(offset)?;
                // Those of a stream come in order, and its length is not known before.
                whole.resize(whole.len().max(start + bytes.len()), 0);
                whole[start..start + bytes.len()].copy_from_slice(&bytes);
            }
            Next::Event(ReceiverEvent::Gap { from, to, .. }) => {
                return Err(format!("bytes from {from} to {to} are missing").into());
            }
            Next::Event(ReceiverEvent::Completed(_)) => {
                fs::write(file, &whole)?;
                completed = Some(Instant::now());
                println!("completed after {:?}", start.elapsed());
            }
            Next::Event(event) => tell(&event),
            Next::TimedOut => {}
            Next::Finished => break,
        }
    }
    println!("{:?}", driver.protocol().stats());
    match completed {
        Some(_) => Ok(()),
        None => Err("no object was completed".into()),
    }
}

fn tell(event: &impl std::fmt::Debug) {
    println!("{event:?}");
}
