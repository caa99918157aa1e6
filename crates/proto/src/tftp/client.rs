//! Who reads a file from a server, or writes one to it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{NetworkError, Received, SocketId, Transmit};
use tracing::trace;

use super::config::ClientConfig;
use super::course::Step;
use super::event::{Agreed, ClientEvent, Failure, Summary};
use super::exchange::{Exchange, Terms};
use super::following::Following;
use super::message::{ErrorCode, FileRequest, Message, Multicast, Options, Refusal};
use super::round_trip::RoundTrip;
use super::{BLOCK_SIZE, Mode};
use crate::{NetworkEvent, Output, Protocol};

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

    /// Takes in the first answer of the server, which tells its port.
    fn first_answer(&mut self, now: Instant, received: &Received<'_>, message: Message<'_>) {
        let State::Requesting(requesting) = &self.state else {
            return;
        };
        // Of a request that was sent twice, nobody knows which one was answered.
        let sample =
            (requesting.times == 1).then(|| now.saturating_duration_since(requesting.first));
        let asked = self.request().options;
        let options = match &message {
            Message::Error(refusal) => {
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
                return;
            }
            Message::Options(options) => options.clone(),
            // The server knows no options: 512 bytes in a block, one at a time.
            Message::Data { block: 1, .. } if !self.write => Options::default(),
            Message::Acknowledgment { block: 0 } if self.write => Options::default(),
            _ => {
                self.stats.malformed += 1;
                return;
            }
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
        if let (Some(multicast), Some(group)) = (options.multicast, group) {
            let (mut following, request) = Following::new(
                now,
                terms,
                group,
                self.config.interface.clone(),
                multicast.master,
            );
            if let Some(sample) = sample {
                following.measured(sample);
            }
            self.outputs.push_back(Output::Request(request));
            self.state = State::Following(Box::new(following));
            return;
        }
        self.expected = options.transfer_size.filter(|_| !self.write);
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

impl Protocol for Client {
    type Event = ClientEvent;

    fn start(&mut self, now: Instant) {
        if let State::New = self.state {
            self.started = Some(now);
            self.begin(now);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.leave_group();
        self.abort(
            now,
            Refusal::new(ErrorCode::NotDefined, "the transfer was stopped"),
        );
        // Nothing is handed over any more, but the word to the server.
        let mut last = Vec::new();
        while let Some(step) = match &mut self.state {
            State::Running(exchange) => exchange.poll(now),
            State::Following(following) => following.poll(now),
            _ => None,
        } {
            if let Step::Send(packet) = step {
                last.push(packet);
            }
        }
        last.into_iter().for_each(|packet| self.send(packet));
        self.state = State::Over;
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let message = match Message::parse(datagram.payload) {
            Ok(message) => message,
            Err(error) => {
                trace!(source = %datagram.source, %error, "malformed");
                self.stats.malformed += 1;
                return;
            }
        };
        let source = datagram.source;
        match (&mut self.state, self.peer) {
            (State::Requesting(_), _) => {
                // RFC 1350 §4: the server answers from another port, but from the same address.
                // What comes to a group is of a transfer that was left.
                let to_group = datagram.destination.ip().is_multicast();
                if same_host(source, self.config.server) && !to_group {
                    self.first_answer(now, &datagram, message);
                } else {
                    self.stats.strangers += 1;
                }
            }
            (State::Running(exchange), Some((peer, _)))
                if peer == source
                    && self.again > 0
                    && exchange.is_untouched()
                    && is_unknown_transfer(&message) =>
            {
                // A server with too many requests has forgotten this one.
                self.ask_again(now);
            }
            (State::Running(exchange), Some((peer, _))) if peer == source => {
                if exchange.handle(now, message).is_err() {
                    self.stats.malformed += 1;
                }
            }
            // RFC 2090: the data come from the server to the group.
            (State::Following(following), Some((peer, _))) if same_host(peer, source) => {
                let to_group = datagram.destination == following.group();
                if (!to_group && peer != source) || following.handle(now, message).is_err() {
                    self.stats.malformed += 1;
                }
            }
            (State::Running(_) | State::Following(_), _) => {
                self.answer_stranger(&datagram, &message);
            }
            (State::New | State::Over, _) => {}
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        let peer = self.peer.map_or(self.config.server, |(peer, _)| peer);
        match event {
            NetworkEvent::NotJoined { error, .. } => {
                if let State::Following(_) = self.state {
                    let NetworkError { message, .. } = error;
                    let refusal = Refusal::new(ErrorCode::NotDefined, "the group is not joined");
                    self.send(Message::Error(refusal).emit());
                    self.fail(now, Failure::Network(message));
                }
            }
            NetworkEvent::NotSent {
                destination, error, ..
            } if destination == peer => {
                // A full queue passes, a missing route does not; the time-out decides.
                trace!(%error, "not sent");
                if let State::Requesting(_) = self.state {
                    self.fail(now, Failure::Network(error.message));
                }
            }
            event if event.refused_by() == Some(peer) => match &mut self.state {
                State::Requesting(_) => self.fail(now, Failure::Unreachable(peer)),
                // A server with too many requests has forgotten this one, and closed the port for it.
                State::Running(exchange) if exchange.is_untouched() && self.again > 0 => {
                    self.ask_again(now);
                }
                State::Running(exchange) => exchange.unreachable(now, peer),
                // A server that sent to a group may end with those that it knew, while this one was
                // about to join them: it is asked anew.
                State::Following(following) if !following.is_over() && self.again > 0 => {
                    self.leave_group();
                    self.ask_again(now);
                }
                State::Following(following) => following.end(Err(Failure::Unreachable(peer))),
                State::New | State::Over => {}
            },
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Requesting(requesting) => {
                let silent = now.saturating_duration_since(requesting.first);
                if silent >= self.config.timing.patience {
                    self.fail(now, Failure::Silent(self.config.timing.patience));
                } else if now.saturating_duration_since(requesting.since)
                    >= requesting.round_trip.timeout()
                {
                    requesting.since = now;
                    requesting.times += 1;
                    requesting.round_trip.back_off();
                    self.send_request();
                }
            }
            State::Running(exchange) => exchange.timed_out(now),
            State::Following(following) => {
                following.timed_out(now);
                if following.wants_request() {
                    self.send_request();
                }
            }
            State::New | State::Over => {}
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ClientEvent> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            let step = match &mut self.state {
                State::Running(exchange) => exchange.poll(now),
                State::Following(following) => following.poll(now),
                _ => None,
            };
            match step {
                Some(Step::Send(packet)) => self.send(packet),
                Some(Step::Data(batch)) => {
                    if let Some((peer, socket)) = self.peer {
                        let mut transmit = Transmit::new(peer, batch.payload);
                        transmit.segment_size = batch.segment;
                        transmit.socket = Some(socket);
                        return Output::Transmit(transmit);
                    }
                }
                Some(Step::Read { offset, length }) => {
                    return Output::Event(ClientEvent::Read { offset, length });
                }
                Some(Step::Write { offset, bytes }) => {
                    return Output::Event(ClientEvent::Write { offset, bytes });
                }
                Some(Step::Complete { length })
                    if self.expected.is_some_and(|expected| expected != length) =>
                {
                    let text = "the file is not as long as the server has told";
                    self.abort(now, Refusal::new(ErrorCode::NotDefined, text));
                }
                Some(Step::Complete { length }) => {
                    return Output::Event(ClientEvent::Complete { length });
                }
                Some(Step::Ended(result)) => {
                    let summary = self.summary(now);
                    self.leave_group();
                    self.outputs
                        .push_back(Output::Event(ClientEvent::Ended { summary, result }));
                }
                None => break,
            }
        }
        let (is_gone, deadline) = match &self.state {
            State::Running(exchange) => (exchange.is_gone(), exchange.deadline()),
            State::Following(following) => (following.is_gone(), following.deadline()),
            State::Requesting(requesting) => {
                let until = requesting
                    .since
                    .checked_add(requesting.round_trip.timeout());
                let give_up = requesting.first.checked_add(self.config.timing.patience);
                let until = [until, give_up].into_iter().flatten().min();
                (
                    false,
                    until.map(|until| (until, "an answer to the request")),
                )
            }
            State::New => (false, None),
            State::Over => (true, None),
        };
        if is_gone {
            self.state = State::Over;
            return Output::Finished;
        }
        match deadline {
            Some((until, reason)) => Output::Wait {
                until: Some(until),
                reason,
            },
            None => Output::Wait {
                until: None,
                reason: "the application",
            },
        }
    }
}

fn is_unknown_transfer(message: &Message<'_>) -> bool {
    matches!(message, Message::Error(refusal) if refusal.code == ErrorCode::UnknownTransfer)
}

/// Whether both have one address; the zone of a link-local one is this host's alone.
fn same_host(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical()
}

/// How much longer than the time-out of a master a client waits before it asks again.
pub(super) const PATIENT: Duration = Duration::from_secs(2);
