//! Applications around the two roles: files that are made up, and files that are checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

use bytes::Bytes;
use manycast_proto::tftp::{
    Client, ClientConfig, ClientEvent, ErrorCode, Failure, Refusal, Server, ServerConfig,
    ServerEvent, Summary, TransferId,
};
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::Received;

/// How long the pattern is that files are made of. It is prime, so that no block looks like another.
const PERIOD: usize = 65_521;

/// A file that is nowhere in memory: its bytes follow from their place.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) length: u64,
    pattern: Bytes,
}

impl File {
    pub(crate) fn new(length: u64) -> Self {
        static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
            let mut state = 1_u32;
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(state >> 24).expect("eight bits")
            };
            let pattern: Vec<u8> = std::iter::repeat_with(next).take(PERIOD).collect();
            // Long enough that any piece that is read is one slice of it.
            pattern.repeat(4).into()
        });
        let pattern = PATTERN.clone();
        Self { length, pattern }
    }

    pub(crate) fn at(&self, offset: u64, length: usize) -> Bytes {
        let length = length.min(usize::try_from(self.length - offset).unwrap_or(usize::MAX));
        let start = usize::try_from(offset % PERIOD as u64).expect("small");
        self.pattern.slice(start..start + length)
    }

    fn is_part(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut done = 0;
        while done < bytes.len() {
            let length = (bytes.len() - done).min(PERIOD);
            let offset = offset + done as u64;
            if offset + length as u64 > self.length
                || self.at(offset, length) != bytes[done..done + length]
            {
                return false;
            }
            done += length;
        }
        true
    }
}

/// What came of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) name: String,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) summary: Summary,
    pub(crate) result: Result<(), Failure>,
}

/// What is written: whether it is right, and how much came. By multicast parts come in any order.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    pub(crate) bytes: u64,
    complete: Option<u64>,
    in_order: bool,
}

impl Sink {
    fn new(file: File, in_order: bool) -> Self {
        Self {
            file,
            bytes: 0,
            complete: None,
            in_order,
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(self.file.is_part(offset, bytes), "wrong bytes at {offset}");
        if self.in_order {
            assert_eq!(offset, self.bytes, "parts come in order, and once");
        }
        self.bytes += bytes.len() as u64;
    }

    fn complete(&mut self, length: u64) {
        assert_eq!(length, self.file.length);
        assert_eq!(length, self.bytes, "every byte comes once");
        self.complete = Some(length);
    }

    /// Whether the file is there, whole.
    pub(crate) fn is_stored(&self) -> bool {
        self.complete.is_some()
    }
}

/// A client with a file to write, or with the one that it should get.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) client: Client,
    file: File,
    pub(crate) sink: Sink,
}

impl Transfer {
    pub(crate) fn read(config: ClientConfig, expected: u64) -> Self {
        let file = File::new(expected);
        Self {
            sink: Sink::new(file.clone(), !config.multicast),
            client: Client::read(config),
            file,
        }
    }

    pub(crate) fn write(config: ClientConfig, length: u64) -> Self {
        let file = File::new(length);
        Self {
            sink: Sink::new(file.clone(), true),
            client: Client::write(config),
            file,
        }
    }
}

impl Protocol for Transfer {
    type Event = Ending;

    fn start(&mut self, now: Instant) {
        self.client.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.client.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.client.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.client.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Ending> {
        loop {
            let event = match self.client.poll_output(now) {
                Output::Event(event) => event,
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Request(request) => return Output::Request(request),
                Output::Wait { until, reason } => return Output::Wait { until, reason },
                Output::Finished => return Output::Finished,
            };
            match event {
                ClientEvent::Read { offset, length } => {
                    let part = self.file.at(offset, length);
                    self.client.provide(now, offset, part);
                }
                ClientEvent::Write { offset, bytes } => {
                    self.sink.write(offset, &bytes);
                    self.client.written(bytes.len());
                }
                ClientEvent::Complete { length } => {
                    self.sink.complete(length);
                    self.client.stored(now);
                }
                ClientEvent::Ended { summary, result } => {
                    return Output::Event(Ending {
                        name: String::new(),
                        peer: None,
                        summary,
                        result,
                    });
                }
                _ => {}
            }
        }
    }
}

/// A server with files of any length: the name says how long a file is, as in `1000.bin`.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
    names: BTreeMap<TransferId, (String, SocketAddr)>,
    pub(crate) sinks: BTreeMap<TransferId, Sink>,
    /// The most transfers that there ever were.
    pub(crate) most: usize,
    /// How many files were stored.
    pub(crate) stored: usize,
}

impl Site {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self {
            server: Server::new(config),
            names: BTreeMap::new(),
            sinks: BTreeMap::new(),
            most: 0,
            stored: 0,
        }
    }

    fn length(name: &str) -> Option<u64> {
        name.strip_suffix(".bin")?.parse().ok()
    }

    fn handle(&mut self, now: Instant, event: ServerEvent) -> Option<Ending> {
        match event {
            ServerEvent::Requested { id, peer, request } => {
                self.most = self.most.max(self.server.transfers());
                let name = request.name_text();
                self.names.insert(id, (name.clone(), peer));
                match Self::length(&name) {
                    Some(length) if request.write => {
                        self.sinks.insert(id, Sink::new(File::new(length), true));
                        self.server.accept(now, id, Some(length), 0);
                    }
                    Some(length) => self.server.accept(now, id, Some(length), 0),
                    None => {
                        let refusal = Refusal::new(ErrorCode::FileNotFound, "file not found");
                        self.server.refuse(now, id, refusal);
                    }
                }
            }
            ServerEvent::Read { id, offset, length } => {
                let length_of_file = self.names.get(&id).and_then(|(name, _)| Self::length(name));
                let file = File::new(length_of_file.expect("it was accepted"));
                self.server
                    .provide(now, id, offset, file.at(offset, length));
            }
            ServerEvent::Write { id, offset, bytes } => {
                if let Some(sink) = self.sinks.get_mut(&id) {
                    sink.write(offset, &bytes);
                }
                self.server.written(id, bytes.len());
            }
            ServerEvent::Complete { id, length } => {
                if let Some(sink) = self.sinks.get_mut(&id) {
                    sink.complete(length);
                    self.stored += 1;
                }
                self.server.stored(now, id);
            }
            ServerEvent::Ended {
                id,
                summary,
                result,
            } => {
                let (name, peer) = self.names.remove(&id).expect("each ends once");
                self.sinks.remove(&id);
                return Some(Ending {
                    name,
                    peer: Some(peer),
                    summary,
                    result,
                });
            }
            _ => {}
        }
        None
    }
}

impl Protocol for Site {
    type Event = Ending;

    fn stop(&mut self, now: Instant) {
        self.server.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.server.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.server.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Ending> {
        loop {
            let event = match self.server.poll_output(now) {
                Output::Event(event) => event,
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Request(request) => return Output::Request(request),
                Output::Wait { until, reason } => return Output::Wait { until, reason },
                Output::Finished => return Output::Finished,
            };
            if let Some(ending) = self.handle(now, event) {
                return Output::Event(ending);
            }
        }
    }
}
