//! What both drivers do in the same way.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Buf;
use manycast_net::{Operation, errno};
use manycast_proto::{NetworkEvent, Output, Protocol, Request};
use manycast_types::{NetworkError, Transmit};

use super::Commands;
use crate::Error;
use crate::endpoint::Endpoint;

/// How many outputs are taken in a turn at most, and about how many datagrams and bytes they may be.
/// So whoever always has something to send keeps nobody waiting for more than some 100 µs.
const OUTPUTS: usize = 64;
const DATAGRAMS: usize = 256;
const BYTES: usize = 128 << 10;
/// How many turns in a row may go by without a look at what came. A look costs a system call.
const EAGER: u32 = 4;

/// How many outputs are taken at the end: bounds against a protocol that never ends. There are no more
/// events than datagrams that one look takes in, as a rule.
const LAST_TRANSMITS: usize = 1024;
const LAST_EVENTS: usize = 1 << 16;

/// How often a protocol is told the time while a send buffer is full.
const TICK: Duration = Duration::from_millis(10);

/// A command that another thread has given.
pub(super) type Command<P> = Box<dyn FnOnce(&mut P, Instant) + Send>;

/// An endpoint and a protocol.
pub(super) struct Engine<P: Protocol> {
    pub(super) endpoint: Endpoint,
    pub(super) protocol: P,
    outgoing: Vec<Transmit>,
    /// What is asked of sockets and groups after them, once they are sent.
    asked: Option<Request>,
    /// What comes after all that.
    held: Option<Turn<P::Event>>,
    /// How many datagrams the kernel would not take.
    pub(super) unsent: u64,
    phase: Phase,
    /// Turns without a look.
    eager: u32,
    commands: Option<Channel<P>>,
    /// What was still to be told when it ended.
    last: VecDeque<P::Event>,
}

/// By which commands come.
struct Channel<P> {
    sender: mpsc::Sender<Command<P>>,
    receiver: mpsc::Receiver<Command<P>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Stopped,
}

/// What a turn came to.
pub(super) enum Turn<E> {
    Event(E),
    /// There is more to send, but what came has its turn now.
    Busy,
    /// A send buffer is full, and is waited for together with everything else until then.
    Full(Instant),
    Wait(Option<Instant>),
    Finished,
}

impl<P: Protocol> Engine<P> {
    pub(super) fn new(endpoint: Endpoint, protocol: P) -> Self {
        Self {
            endpoint,
            protocol,
            outgoing: Vec::new(),
            asked: None,
            held: None,
            unsent: 0,
            phase: Phase::New,
            eager: 0,
            commands: None,
            last: VecDeque::new(),
        }
    }

    /// Whether it has ended, and all is told.
    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Stopped && self.last.is_empty()
    }

    /// Takes outputs until there is something to tell or to wait for, or there were enough of them.
    pub(super) fn turn(&mut self, now: Instant) -> Result<Turn<P::Event>, Error> {
        if self.phase == Phase::New {
            self.phase = Phase::Running;
            self.protocol.start(now);
        }
        if self.phase == Phase::Stopped {
            return Ok(self.tell_last());
        }
        self.endpoint.forget_room()?;
        self.flush(now);
        if self.outgoing.is_empty() {
            if let Some(request) = self.asked.take() {
                self.fulfil(now, request);
            }
            self.gather(now);
            self.flush(now);
        }
        if let Some(full) = self.outgoing.first() {
            // Where its socket has gone, the next turn finds out.
            let _ = self.endpoint.want_room(full);
            let next = match &self.held {
                Some(Turn::Wait(Some(until))) => *until,
                // What the protocol would wait for is not known, and it must be told the time.
                _ => now + TICK,
            };
            return Ok(Turn::Full(next));
        }
        match self.held.take() {
            Some(Turn::Finished) => {
                self.stop(now);
                Ok(self.tell_last())
            }
            Some(turn) => Ok(turn),
            None => Ok(Turn::Busy),
        }
    }

    /// What is still to be told at the end, one by one.
    fn tell_last(&mut self) -> Turn<P::Event> {
        self.last.pop_front().map_or(Turn::Finished, Turn::Event)
    }

    /// Whether a busy protocol has had so many turns that it is time to look at what came.
    pub(super) const fn is_time_to_look(&mut self) -> bool {
        self.eager += 1;
        if self.eager < EAGER {
            return false;
        }
        self.eager = 0;
        true
    }

    /// Takes outputs until the protocol waits, something is to be told, a send buffer is full, or
    /// there were enough for a turn.
    fn gather(&mut self, now: Instant) {
        let (mut outputs, mut datagrams, mut bytes) = (0, 0, 0);
        while self.held.is_none() && outputs < OUTPUTS && datagrams < DATAGRAMS && bytes < BYTES {
            outputs += 1;
            match self.protocol.poll_output(now) {
                Output::Transmit(transmit) => {
                    datagrams += transmit.count();
                    bytes += transmit.payload.len();
                    let is_whole = transmit.segment_size.is_some();
                    self.outgoing.push(transmit);
                    if is_whole {
                        // There is nothing to gather, and the protocol has its memory back while it
                        // is in the processor's cache.
                        self.flush(now);
                        if !self.outgoing.is_empty() {
                            break;
                        }
                    }
                }
                Output::Event(event) => self.held = Some(Turn::Event(event)),
                Output::Request(request) => {
                    // What was to go before goes before, and may need the socket that is closed here.
                    self.flush(now);
                    if !self.outgoing.is_empty() {
                        self.asked = Some(request);
                        break;
                    }
                    self.fulfil(now, request);
                }
                Output::Wait { until, reason } => {
                    tracing::trace!(?until, reason, "waiting");
                    self.held = Some(Turn::Wait(until));
                }
                Output::Finished => self.held = Some(Turn::Finished),
            }
        }
    }

    /// Sends what was gathered, as far as the send buffers have room. Of what cannot be sent the
    /// protocol is told: a peer may have chosen the destination, so it must not end anything.
    fn flush(&mut self, now: Instant) {
        let mut done = 0;
        while let Some(next) = self.outgoing.get_mut(done) {
            let result = if next.segment_size.is_some() {
                match self.endpoint.outlets().send_segments(next, false) {
                    Ok(sent) if sent > 0 && sent < next.count() => {
                        let rest = next.after(sent).payload.len();
                        next.payload.advance(next.payload.len() - rest);
                        continue;
                    }
                    result => result.map(|sent| sent.min(1)),
                }
            } else {
                let plain = self.outgoing[done..]
                    .iter()
                    .take_while(|next| next.segment_size.is_none())
                    .count();
                self.endpoint
                    .send(&self.outgoing[done..done + plain], false)
            };
            match result {
                Ok(0) => break,
                Ok(sent) => done += sent,
                Err(error) => {
                    let not_sent = &self.outgoing[done];
                    let (to, count) = (not_sent.destination, not_sent.count());
                    done += 1;
                    self.not_sent(now, to, count, &error);
                }
            }
        }
        if done == self.outgoing.len() {
            self.outgoing.clear();
        } else {
            self.outgoing.drain(..done);
        }
    }

    fn not_sent(&mut self, now: Instant, destination: SocketAddr, count: usize, error: &Error) {
        tracing::debug!(to = %destination, %error, "not sent");
        self.unsent += count as u64;
        let event = NetworkEvent::NotSent {
            destination,
            count,
            error: told(error),
        };
        self.protocol.handle_network(now, event);
        self.forget_wait();
    }

    /// What the protocol is told of may change what it waits for, so that it is asked again.
    fn forget_wait(&mut self) {
        if let Some(Turn::Wait(_)) = self.held {
            self.held = None;
        }
    }

    /// Does what the protocol asks of sockets and groups, and answers.
    fn fulfil(&mut self, now: Instant, request: Request) {
        let endpoint = &mut self.endpoint;
        let mut answers = Vec::new();
        match request {
            Request::Open { tag, local } => match endpoint.open(&local) {
                Ok(sockets) => answers.extend(sockets.into_iter().filter_map(|socket| {
                    let local = endpoint.local_addr_of(socket)?;
                    Some(NetworkEvent::Opened { tag, socket, local })
                })),
                Err(error) => answers.push(NetworkEvent::NotOpened {
                    tag,
                    error: told(&error),
                }),
            },
            Request::Close { socket } => endpoint.close(socket),
            Request::Join { group, port } => match endpoint.join(group.clone(), port) {
                Ok(_) => answers.extend(
                    endpoint
                        .memberships()
                        .filter(|it| it.group.ip() == group.address && it.group.port() == port)
                        .cloned()
                        .map(NetworkEvent::Joined),
                ),
                Err(error) => answers.push(NetworkEvent::NotJoined {
                    group,
                    port,
                    error: told(&error),
                }),
            },
            Request::Leave { group, port } => {
                let before: Vec<_> = endpoint.memberships().cloned().collect();
                match endpoint.leave(&group, port) {
                    Ok(_) => answers.extend(
                        before
                            .into_iter()
                            .filter(|it| !endpoint.memberships().any(|now| now == it))
                            .map(NetworkEvent::Left),
                    ),
                    Err(error) => tracing::debug!(%group, port, %error, "not left"),
                }
            }
            request => tracing::error!(?request, "a request that this driver does not know"),
        }
        for answer in answers {
            self.protocol.handle_network(now, answer);
        }
    }

    /// Hands over what a wait of the endpoint found, then the time. After a stop it ends once nothing is
    /// left that came before it.
    pub(super) fn take_in(&mut self, now: Instant) {
        let protocol = &mut self.protocol;
        for run in self.endpoint.take_runs() {
            protocol.handle_run(now, run);
        }
        while let Some(event) = self.endpoint.next_event() {
            protocol.handle_network(now, event);
        }
        protocol.handle_timeout(now);
        if (self.endpoint.take_woken() || self.endpoint.is_stopped())
            && let Some(commands) = &self.commands
        {
            for command in commands.receiver.try_iter() {
                command(protocol, now);
            }
        }
        self.forget_wait();
        if self.endpoint.is_over() {
            self.stop(now);
        }
    }

    /// What other threads command it by.
    pub(super) fn commands(&mut self) -> Result<Commands<P>, Error> {
        let waker = self.endpoint.waker()?;
        let commands = self.commands.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel();
            Channel { sender, receiver }
        });
        Ok(Commands::new(commands.sender.clone(), waker))
    }

    /// Runs the stop hook, once, sends what it leaves behind, and keeps what is to be told.
    pub(super) fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            self.phase = Phase::Stopped;
            return;
        }
        self.phase = Phase::Stopped;
        if let Some(Turn::Event(event)) = self.held.take() {
            self.last.push_back(event);
        }
        self.protocol.stop(now);
        let mut transmits = 0;
        while transmits < LAST_TRANSMITS && self.last.len() < LAST_EVENTS {
            match self.protocol.poll_output(now) {
                Output::Transmit(transmit) => {
                    transmits += 1;
                    self.outgoing.push(transmit);
                }
                Output::Event(event) => self.last.push_back(event),
                // There is no time left to answer it.
                Output::Request(_) => transmits += 1,
                Output::Wait { .. } | Output::Finished => break,
            }
        }
        self.flush(now);
        for left in std::mem::take(&mut self.outgoing) {
            let error =
                manycast_net::Error::from_errno(Operation::Send, left.destination, errno::ENOBUFS);
            let error = error.explained("the send buffer is full", "send fewer at a time");
            self.not_sent(now, left.destination, left.count(), &error.into());
        }
    }
}

/// An error as protocols hear of it.
fn told(error: &Error) -> NetworkError {
    NetworkError::new(error.kind(), error.to_string())
}

// By hand, since an event need not be printable.
impl<P: Protocol + fmt::Debug> fmt::Debug for Engine<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
