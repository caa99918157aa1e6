//! Who reads a file from a server, or writes one to it.

mod run;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Received, SocketId, Transmit};
use tracing::trace;

use super::config::ClientConfig;
use super::event::{Agreed, ClientEvent, Failure, Summary};
use super::exchange::{Exchange, Terms};
use super::following::Following;
use super::message::{ErrorCode, FileRequest, Message, Multicast, Options, Refusal};
use super::round_trip::RoundTrip;
use super::{BLOCK_SIZE, Mode};
use crate::Output;

/// How many packets of strangers are answered at most.
const STRANGERS: u32 = 64;

/// How often a server is asked again that has forgotten the request. In a flood of forged ones that may
/// happen more than once.
const AGAIN: u32 = 8;

/// Reads one file from a server, or writes one to it.
///
/// The bytes of the file come and go by [`ClientEvent`]s and commands, so that the disk, or whatever
/// else it is, can be as slow as it likes.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    write: bool,
    state: State,
    /// The server's port for this transfer (RFC 1350 §4: TID), and the socket that it answers to.
    peer: Option<(SocketAddr, SocketId)>,
    /// Whether the options were left out, after the server did not understand them.
    plain: bool,
    /// How often it asks again after a server that has forgotten it.
    again: u32,
    /// How long the file is that is read, where the server has told.
    expected: Option<u64>,
    outputs: VecDeque<Output<ClientEvent>>,
    started: Option<Instant>,
    stats: ClientStats,
}

#[derive(Debug)]
enum State {
    New,
    Requesting(Requesting),
    Running(Box<Exchange>),
    Following(Box<Following>),
    Over,
}

/// What waits for an answer to the request.
#[derive(Debug)]
struct Requesting {
    round_trip: RoundTrip,
    since: Instant,
    first: Instant,
    times: u32,
}

/// What a [`Client`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Datagrams that were no packets, or had no place in the transfer.
    pub malformed: u64,
    /// Datagrams of others than the server.
    pub strangers: u64,
}

impl Client {
    /// Will read a file.
    pub fn read(config: ClientConfig) -> Self {
        Self::new(config, false)
    }

    /// Will write a file.
    pub fn write(config: ClientConfig) -> Self {
        Self::new(config, true)
    }

    fn new(config: ClientConfig, write: bool) -> Self {
        Self {
            config,
            write,
            state: State::New,
            peer: None,
            plain: false,
            again: AGAIN,
            expected: None,
            outputs: VecDeque::new(),
            started: None,
            stats: ClientStats::default(),
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }

    /// What was counted of the transfer so far.
    pub fn summary(&self, now: Instant) -> Summary {
        let mut summary = match &self.state {
            State::Running(exchange) => exchange.summary(now),
            State::Following(following) => following.summary(now),
            _ => Summary::default(),
        };
        if let Some(started) = self.started {
            summary.elapsed = now.saturating_duration_since(started);
        }
        summary
    }

    /// Hands over the part of the file that [`ClientEvent::Read`] wants.
    pub fn provide(&mut self, now: Instant, offset: u64, bytes: impl Into<Bytes>) {
        if let State::Running(exchange) = &mut self.state {
            exchange.provide(now, offset, bytes.into());
        }
    }

    /// Takes in that so many bytes of [`ClientEvent::Write`] are written. While many are not, the
    /// server is kept waiting.
    pub fn written(&mut self, bytes: usize) {
        match &mut self.state {
            State::Running(exchange) => exchange.written(bytes),
            State::Following(following) => following.written(bytes),
            _ => {}
        }
    }

    /// Takes in that the whole file is stored, after [`ClientEvent::Complete`].
    pub fn stored(&mut self, now: Instant) {
        match &mut self.state {
            State::Running(exchange) => exchange.stored(now),
            State::Following(following) => following.stored(now),
            _ => {}
        }
    }

    /// Ends the transfer, and tells the server why.
    pub fn abort(&mut self, now: Instant, refusal: Refusal) {
        match &mut self.state {
            State::Running(exchange) => exchange.abort(refusal),
            State::Following(following) => following.abort(refusal),
            State::New | State::Requesting(_) => self.fail(now, Failure::Aborted(refusal)),
            State::Over => {}
        }
    }

    fn fail(&mut self, now: Instant, failure: Failure) {
        let summary = self.summary(now);
        self.state = State::Over;
        self.outputs.push_back(Output::Event(ClientEvent::Ended {
            summary,
            result: Err(failure),
        }));
    }

    fn request(&self) -> FileRequest {
        let config = &self.config;
        let options = if self.plain {
            Options::default()
        } else {
            Options {
                block_size: config.block_size.map(|size| size.clamp(8, 65_464)),
                timeout: config.timeout.map(|seconds| seconds.max(1)),
                // RFC 2349: 0 in a read request asks for the size. Of text it is not known.
                transfer_size: match (self.write, config.mode) {
                    (false, Mode::Octet) => config.transfer_size.map(|_| 0),
                    (true, Mode::Octet) => config.transfer_size,
                    _ => None,
                },
                window: config.window.map(|window| window.max(1)),
                multicast: (config.multicast && !self.write).then(Multicast::default),
                foreign: false,
            }
        };
        FileRequest {
            write: self.write,
            name: config.name.clone(),
            mode: config.mode,
            options,
        }
    }

    fn send_request(&mut self) {
        let packet = Message::Request(self.request()).emit();
        let transmit = Transmit::new(self.config.server, packet);
        self.outputs.push_back(Output::Transmit(transmit));
    }

    fn begin(&mut self, now: Instant) {
        let timing = self.config.timing;
        self.state = State::Requesting(Requesting {
            round_trip: RoundTrip::new(timing.initial, timing.least, timing.most),
            since: now,
            first: now,
            times: 1,
        });
        self.send_request();
    }

    /// Begins anew with a server that has ended a transfer of which nothing has come.
    fn ask_again(&mut self, now: Instant) {
        self.again -= 1;
        self.peer = None;
        self.begin(now);
    }

    fn send(&mut self, packet: Bytes) {
        if let Some((peer, socket)) = self.peer {
            let mut transmit = Transmit::new(peer, packet);
            transmit.socket = Some(socket);
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }

    /// What the first answer of the server grants of the options, if it grants the request.
    fn granted(&mut self, now: Instant, asked: &Options, message: &Message<'_>) -> Option<Options> {
        match message {
            Message::Error(refusal) => {
                self.refused(now, asked, refusal);
                None
            }
            Message::Options(options) => Some(options.clone()),
            // The server knows no options: 512 bytes in a block, one at a time.
            Message::Data { block: 1, .. } if !self.write => Some(Options::default()),
            Message::Acknowledgment { block: 0 } if self.write => Some(Options::default()),
            _ => {
                self.stats.malformed += 1;
                None
            }
        }
    }

    /// Asks again without options where the server may have refused these, or gives up.
    fn refused(&mut self, now: Instant, asked: &Options, refusal: &Refusal) {
        let about_options = [
            ErrorCode::OptionNegotiation,
            ErrorCode::IllegalOperation,
            ErrorCode::NotDefined,
        ];
        if !asked.is_empty() && about_options.contains(&refusal.code) {
            trace!(%refusal, "asked again without options");
            self.plain = true;
            self.begin(now);
        } else {
            self.fail(now, Failure::Refused(refusal.clone()));
        }
    }

    /// Takes in the first answer of the server, which tells its port.
    fn first_answer(&mut self, now: Instant, received: &Received<'_>, message: Message<'_>) {
        let State::Requesting(requesting) = &self.state else {
            return;
        };
        // Of a request that was sent twice, nobody knows which one was answered.
        let sample =
            (requesting.times == 1).then(|| now.saturating_duration_since(requesting.first));
        let asked = self.request().options;
        let Some(options) = self.granted(now, &asked, &message) else {
            return;
        };
        self.peer = Some((received.source, received.socket));
        if !is_granted(&asked, &options) {
            // RFC 2347: the client ends it by error 8.
            let text = "these options were not asked for";
            let refusal = Refusal::new(ErrorCode::OptionNegotiation, text);
            self.send(Message::Error(refusal).emit());
            self.fail(now, Failure::BadOptions);
            return;
        }
        let terms = Terms {
            block_size: options.block_size.unwrap_or(BLOCK_SIZE),
            window: options.window.unwrap_or(1),
            timeout: options.timeout,
            roll_over: self.config.roll_over,
            timing: self.config.timing,
            first_answers: None,
            linger: Duration::ZERO,
        };
        let group = options.multicast.and_then(|multicast| multicast.group);
        self.outputs
            .push_back(Output::Event(ClientEvent::Agreed(Agreed {
                block_size: terms.block_size,
                window: terms.window,
                transfer_size: options.transfer_size.filter(|_| !self.write),
                timeout: options.timeout,
                group,
            })));
        self.expected = options.transfer_size.filter(|_| !self.write);
        if let (Some(multicast), Some(group)) = (options.multicast, group) {
            self.follow(now, terms, group, multicast.master, sample);
            return;
        }
        let is_answer = matches!(message, Message::Options(_));
        let mut exchange = if self.write {
            Exchange::send(now, terms, None, true)
        } else {
            // RFC 2347: options that are accepted are acknowledged as block 0.
            let opening = Message::Acknowledgment { block: 0 }.emit();
            Exchange::receive(now, terms, is_answer.then_some(opening), true)
        };
        if let Some(sample) = sample {
            exchange.measured(sample);
        }
        if let Message::Data { .. } = message {
            // What was asked for is true already.
            let _ = exchange.handle(now, message);
        }
        self.state = State::Running(Box::new(exchange));
    }

    /// Will receive what is sent to a group.
    fn follow(
        &mut self,
        now: Instant,
        terms: Terms,
        group: SocketAddr,
        master: bool,
        sample: Option<Duration>,
    ) {
        let interface = self.config.interface.clone();
        let (mut following, request) = Following::new(now, terms, group, interface, master);
        if let Some(sample) = sample {
            following.measured(sample);
        }
        self.outputs.push_back(Output::Request(request));
        self.state = State::Following(Box::new(following));
    }

    /// Answers a packet that belongs to no transfer of this client.
    fn answer_stranger(&mut self, received: &Received<'_>, message: &Message<'_>) {
        self.stats.strangers += 1;
        if matches!(message, Message::Error(_))
            || self.stats.strangers > STRANGERS.into()
            || received.source.ip() != self.config.server.ip()
        {
            return;
        }
        // RFC 1350 §4: the other one is told, and this transfer goes on.
        let refusal = Refusal::new(ErrorCode::UnknownTransfer, "");
        let answer = received.reply().with(Message::Error(refusal).emit());
        self.outputs.push_back(Output::Transmit(answer));
    }

    fn leave_group(&mut self) {
        if let State::Following(following) = &mut self.state
            && let Some(request) = following.leave()
        {
            self.outputs.push_back(Output::Request(request));
        }
    }
}

/// Whether what the server has granted is no more than what was asked for.
fn is_granted(asked: &Options, granted: &Options) -> bool {
    fn at_most<T: PartialOrd>(granted: Option<T>, asked: Option<T>) -> bool {
        granted.is_none() || granted <= asked
    }
    // RFC 2347: what was not asked for must not be answered.
    !granted.foreign
        && at_most(granted.block_size, asked.block_size)
        && at_most(granted.window, asked.window)
        // RFC 2349: the time-out is the same or there is none.
        && (granted.timeout.is_none() || granted.timeout == asked.timeout)
        && (granted.transfer_size.is_none() || asked.transfer_size.is_some())
        && match granted.multicast {
            None => true,
            Some(multicast) => asked.multicast.is_some() && multicast.group.is_some(),
        }
}

/// Whether both have one address; the zone of a link-local one is this host's alone.
fn same_host(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical()
}
