//! The sending side: a thread reads, and the driver sends.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use manycast_io::{Driver, IntoAddress, Next, SenderConfig};
use manycast_proto::norm::{self, ObjectId, SenderEvent};
use manycast_proto::refusal::Refusal;

use super::{Error, HERE, WHO};
use crate::files::Stop;
use crate::files::inner::{Inbox, LOOK, Mail, check_name, node_of, open, segment};

/// How a stream is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamSendOptions {
    /// Bits a second, with the headers of NORM; 100 Mbit/s by default.
    pub rate: u64,
    /// Whether the rate follows what the network carries, and `rate` is the most; no by default.
    pub congestion_control: bool,
    /// How many receivers are expected, 4,096 at most; 0 by default. Where more are named, as many as
    /// those. All that are there when it begins count as expected from then on.
    pub receivers: usize,
    /// Their names, as far as they are known; none by default. It begins when all of them are there.
    pub names: Vec<String>,
    /// How many parity symbols go with each block of 64 unasked, 0 to 64; `None`: none where
    /// receivers are expected, and 8 otherwise.
    pub parity: Option<u8>,
    /// How long is waited for receivers at the beginning; 5 s by default.
    pub wait: Duration,
    /// How many bytes are kept for repairs; 8 MiB by default.
    pub window: usize,
    /// The local address, the hop limit and the buffers.
    pub sender: SenderConfig,
}

impl Default for StreamSendOptions {
    fn default() -> Self {
        Self {
            rate: 100_000_000,
            congestion_control: false,
            receivers: 0,
            names: Vec::new(),
            parity: None,
            wait: Duration::from_secs(5),
            window: 8 << 20,
            sender: SenderConfig::default(),
        }
    }
}

/// What came of sending a stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamSent {
    /// The bytes that were read and sent.
    pub bytes: u64,
    /// From the first byte on.
    pub elapsed: Duration,
    /// Datagrams with data that were sent for the first time, and that repaired something.
    pub datagrams: u64,
    /// See `datagrams`.
    pub repairs: u64,
    /// The receivers that were expected, and whether each has acknowledged all.
    pub receivers: Vec<(String, bool)>,
    /// Whether it was stopped before the end of the stream.
    pub stopped: bool,
}

impl StreamSent {
    /// Whether all that were expected have all of it.
    pub fn is_complete(&self) -> bool {
        !self.stopped && self.receivers.iter().all(|(_, has_all)| *has_all)
    }
}

/// A part of the stream, its end, or why it could not be read.
type Part = io::Result<Bytes>;

/// How much is read at once, and how many parts wait to be sent.
const PART: usize = 64 << 10;
const PARTS: usize = 4;

/// Sends what `reader` gives until its end, to all who listen at the address.
///
/// ```
/// use manycast::transfer::stream::{self, StreamReceiveOptions, StreamSendOptions};
/// use manycast::transfer::files::Stop;
///
/// let address = "239.192.0.8%lo:5014";
/// let receiver = std::thread::spawn(move || {
///     let mut options = StreamReceiveOptions::default();
///     options.name = "board-1".to_owned();
///     let mut bytes = Vec::new();
///     stream::receive_stream(address, &mut bytes, &options, &Stop::default()).map(|_| bytes)
/// });
/// let mut options = StreamSendOptions::default();
/// options.names = vec!["board-1".to_owned()];
/// let sent = stream::send_stream(address, &b"some bytes"[..], &options, &Stop::default())?;
/// assert!(sent.is_complete());
/// assert_eq!(receiver.join().unwrap()?, b"some bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// A receiver that is expected is not there in time; the reader fails; no way to the address; a host
/// where nobody listens ([`ConnectionRefused`](manycast_io::Error::ConnectionRefused), within three seconds).
pub fn send_stream(
    address: impl IntoAddress,
    reader: impl Read + Send + 'static,
    options: &StreamSendOptions,
    stop: &Stop,
) -> Result<StreamSent, Error> {
    let address = address.into_address().map_err(manycast_io::Error::from)?;
    for name in &options.names {
        check_name(name)?;
    }
    let (socket, egress) = open(&address, &options.sender)?;
    let is_expected = options.receivers > 0 || !options.names.is_empty();
    let automatic = if is_expected { 0 } else { 8 };
    let seed = manycast_io::seed();
    let number = u32::from_be_bytes([seed[0], seed[1], seed[2], seed[3]]);
    let sender = |node: u32, receivers: Vec<u32>| {
        let config = norm::SenderConfig {
            rate: options.rate.max(8_000),
            congestion_control: options.congestion_control,
            segment: segment(egress.to),
            parity: 64,
            proactive: options.parity.unwrap_or(automatic).min(64),
            grtt: Duration::from_millis(100),
            group_size: options.receivers.max(receivers.len()).max(10) as u64,
            receivers,
            ..norm::SenderConfig::new(egress.to, node.clamp(1, u32::MAX - 1))
        };
        Inbox::new(norm::Sender::new(
            config,
            manycast_io::seed(),
            Instant::now(),
        ))
    };
    let mut driver = Driver::new(socket, sender(number, Vec::new()));
    if !is_expected && !egress.to.ip().is_multicast() {
        look_whether_refused(&mut driver, options, stop)?;
    }
    let names = gather(&mut driver, options, stop)?;
    let nodes: Vec<_> = names.iter().map(|name| node_of(name)).collect();
    // Whose acknowledgements count is settled with the first word of a sender, so another one sends.
    let mut sending = sender(number ^ 1 << 31, nodes.clone());
    manycast_io::Protocol::start(&mut sending, Instant::now());
    *driver.protocol_mut() = sending;

    let commands = driver.commands()?;
    let (permit, permits) = mpsc::sync_channel(PARTS);
    for _ in 0..PARTS {
        let _ = permit.send(());
    }
    let builder = thread::Builder::new().name("read".to_owned());
    let put = move |part| commands.give(|inbox, _| inbox.put(part));
    builder
        .spawn(move || read(reader, &permits, put))
        .map_err(|error| Error::file("start", "a thread", error))?;

    let now = Instant::now();
    let sender = &mut driver.protocol_mut().protocol;
    let stream = sender.open_stream(options.window.max(1 << 16), None);
    let stream = stream.map_err(|error| Error::Unsuitable(format!("cannot send: {error}")))?;
    let mut run = Run {
        driver,
        stream,
        parts: VecDeque::new(),
        permit,
        at_end: false,
        bytes: 0,
        acknowledged: nodes.iter().map(|node| (*node, false)).collect(),
    };
    let stopped = run.run(stop)?;
    let stats = run.driver.protocol().protocol.stats();
    let has_all = |node| run.acknowledged.get(node).copied().unwrap_or_default();
    Ok(StreamSent {
        bytes: run.bytes,
        elapsed: now.elapsed(),
        datagrams: stats.datagrams,
        repairs: stats.repairs,
        receivers: names.into_iter().zip(nodes.iter().map(has_all)).collect(),
        stopped,
    })
}

type Sending = Driver<Inbox<norm::Sender, Part>>;

/// How many receivers are kept while they are waited for.
const MOST: usize = 4096;

/// Asks a host who is there, until somebody answers or a refusal would be known: it may have no way to
/// answer.
fn look_whether_refused(
    driver: &mut Sending,
    options: &StreamSendOptions,
    stop: &Stop,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut asked = None;
    loop {
        let (now, refusal) = (Instant::now(), driver.protocol().refusal);
        if let Some(peer) = refusal.lasting() {
            return Err(manycast_io::Error::ConnectionRefused { peer }.into());
        }
        let is_silent = now.saturating_duration_since(begun) >= Refusal::KNOWN.min(options.wait);
        if is_silent && refusal.of_late(now).is_none() {
            return Ok(());
        }
        let is_due = asked.is_none_or(|at: Instant| now.saturating_duration_since(at) >= LOOK);
        // Before it is started, which the driver does, nobody is asked.
        if is_due && driver.protocol_mut().protocol.announce(&who(0)) {
            asked = Some(now);
        }
        match driver.next_event(Some(Duration::from_millis(10)))? {
            Next::Event(Mail::Event(SenderEvent::Answered { kind: HERE, .. })) => return Ok(()),
            Next::Finished => return Err(Error::Stopped),
            _ if stop.is_requested() => return Err(Error::Stopped),
            _ => {}
        }
    }
}

/// The question who is there, to be answered within so many milliseconds.
fn who(within: u16) -> Vec<u8> {
    [&WHO[..], &within.to_be_bytes()].concat()
}

/// Waits until all that are expected have said that they are there, and gives the names of all that
/// have.
fn gather(
    driver: &mut Sending,
    options: &StreamSendOptions,
    stop: &Stop,
) -> Result<Vec<String>, Error> {
    let begun = Instant::now();
    let named = options.names.iter().map(|name| (node_of(name), name));
    let named: BTreeMap<u32, &String> = named.collect();
    let count = options.receivers.min(MOST);
    let mut there: BTreeMap<u32, String> = BTreeMap::new();
    let mut asked = None;
    // One request names some hundreds: all have their turn.
    let mut turn = 0;
    loop {
        let missing: Vec<_> = named.keys().filter(|it| !there.contains_key(it)).collect();
        if missing.is_empty() && there.len() >= count {
            return Ok(there.into_values().collect());
        }
        if begun.elapsed() >= options.wait {
            let missing: Vec<_> = missing.iter().map(|node| named[node].as_str()).collect();
            let who = match missing.is_empty() {
                true => format!("{} of {count} receivers answered", there.len()),
                false => format!("{} did not answer", missing.join(", ")),
            };
            return Err(Error::Absent(format!(
                "cannot send the stream: {who}; start 'manycast receive-stream' there, or wait longer"
            )));
        }
        let now = Instant::now();
        if asked.is_none_or(|at: Instant| now.saturating_duration_since(at) >= LOOK) {
            let sender = &mut driver.protocol_mut().protocol;
            let mut missing: Vec<u32> = missing.into_iter().copied().collect();
            // Before it is started, which the driver does, nobody is asked.
            let mut is_asked = false;
            if !missing.is_empty() {
                let first = turn % missing.len();
                missing.rotate_left(first);
                let count = sender.request(now, HERE, 0, &missing);
                turn += count;
                is_asked = count > 0;
            }
            if there.len() < count {
                // Eight receivers a millisecond, so that the answers of many do not come as one.
                let within = u16::try_from(count / 8).unwrap_or(u16::MAX);
                is_asked |= sender.announce(&who(within));
            }
            if is_asked {
                asked = Some(now);
            }
        }
        match driver.next_event(Some(Duration::from_millis(10)))? {
            Next::Event(Mail::Event(SenderEvent::Answered {
                node,
                kind: HERE,
                payload,
                ..
            })) => {
                let name = match named.get(&node) {
                    Some(name) => Some((*name).clone()),
                    // Who says unasked that it is there is not waited for.
                    None if count > named.len() => own_name(node, &payload),
                    None => None,
                };
                if let Some(name) = name
                    && there.len() < MOST
                {
                    there.insert(node, name);
                }
            }
            Next::Finished => return Err(Error::Stopped),
            _ => {}
        }
        if stop.is_requested() {
            return Err(Error::Stopped);
        }
    }
}

/// The name that a receiver says it has, where it is right: its number follows from it.
fn own_name(node: u32, payload: &[u8]) -> Option<String> {
    let name = str::from_utf8(payload).ok()?;
    (node_of(name) == node && check_name(name).is_ok()).then(|| name.to_owned())
}

/// Reads until the end, a part for each permit.
fn read(mut reader: impl Read, permits: &mpsc::Receiver<()>, put: impl Fn(Part) -> bool) {
    for () in permits {
        let mut part = vec![0; PART];
        let part = loop {
            match reader.read(&mut part) {
                Ok(count) => {
                    part.truncate(count);
                    break Ok(Bytes::from(part));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let is_last = part.as_ref().map_or(true, Bytes::is_empty);
        if !put(part) || is_last {
            return;
        }
    }
}

/// A stream that is sent.
struct Run {
    driver: Sending,
    stream: ObjectId,
    /// What was read and is not yet taken.
    parts: VecDeque<Bytes>,
    permit: mpsc::SyncSender<()>,
    at_end: bool,
    bytes: u64,
    acknowledged: BTreeMap<u32, bool>,
}

impl Run {
    /// Runs to the end; true where it was stopped before.
    fn run(&mut self, stop: &Stop) -> Result<bool, Error> {
        loop {
            match self.driver.next_event(Some(LOOK))? {
                Next::Finished => return Ok(false),
                Next::TimedOut => {}
                Next::Event(Mail::Message(part)) => {
                    let part = part.map_err(|error| Error::file("read", "the stream", error))?;
                    self.at_end = part.is_empty();
                    self.parts.push_back(part);
                    self.pump()?;
                }
                Next::Event(Mail::Event(event)) => match event {
                    SenderEvent::Room(_) => self.pump()?,
                    SenderEvent::Acknowledged { object, node } if object == self.stream => {
                        self.acknowledged.insert(node, true);
                    }
                    SenderEvent::Finished => return Ok(false),
                    _ => {}
                },
            }
            if stop.is_requested() {
                return Ok(true);
            }
        }
    }

    /// Has as much taken as there is room for.
    fn pump(&mut self) -> Result<(), Error> {
        let sender = &mut self.driver.protocol_mut().protocol;
        while let Some(part) = self.parts.front_mut() {
            let taken = sender.write(self.stream, part);
            let taken =
                taken.map_err(|error| Error::Unsuitable(format!("cannot send: {error}")))?;
            self.bytes += taken as u64;
            part.advance(taken);
            if !part.is_empty() {
                return Ok(());
            }
            self.parts.pop_front();
            // At the end of the stream nobody waits for it.
            let _ = self.permit.try_send(());
        }
        if self.at_end {
            sender.close(self.stream);
            sender.finish(Instant::now());
        } else {
            // Who writes little at a time wants it to arrive.
            sender.push(self.stream);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_a_name_must_have_its_number() {
        assert_eq!(own_name(node_of("lab1"), b"lab1").as_deref(), Some("lab1"));
        for (node, name) in [
            (node_of("lab2"), &b"lab1"[..]),
            (node_of(""), b""),
            (1, b"\xff"),
        ] {
            assert_eq!(own_name(node, name), None);
        }
    }
}
