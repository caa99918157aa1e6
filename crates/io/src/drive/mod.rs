//! Where sockets and protocols meet: one engine, driven by blocking or by a runtime.

mod blocking;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::{SocketId, Transmit};

pub use blocking::Driver;

use crate::endpoint::{Endpoint, News};

/// How many outputs are gathered before they are sent.
const OUTGOING: usize = 64;

/// An endpoint and a protocol, and what both drivers do with them in the same way.
struct Engine<P: Protocol> {
    endpoint: Endpoint,
    protocol: P,
    outgoing: Vec<Transmit>,
    /// What comes after them, once they are sent.
    held: Option<Turn<P::Event>>,
    /// Whether sending may wait for room in a send buffer.
    blocks: bool,
    /// Datagrams that the kernel would not take.
    unsent: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Stopped,
}

/// What the protocol wants next.
enum Turn<E> {
    Event(E),
    Wait(Option<Instant>),
    Finished,
    /// Room in the send buffer towards this destination.
    Full(SocketAddr),
}

impl<P: Protocol> Engine<P> {
    const fn new(endpoint: Endpoint, protocol: P, blocks: bool) -> Self {
        Self {
            endpoint,
            protocol,
            outgoing: Vec::new(),
            held: None,
            blocks,
            unsent: 0,
            phase: Phase::New,
        }
    }

    /// Takes outputs until there is something to tell or to wait for. Nothing is left unsent then.
    fn turn(&mut self, now: Instant) -> Turn<P::Event> {
        if self.phase == Phase::New {
            self.phase = Phase::Running;
            self.protocol.start(now);
        }
        if self.phase == Phase::Stopped {
            return Turn::Finished;
        }
        loop {
            if self.held.is_none() && self.outgoing.len() < OUTGOING {
                match self.protocol.poll_output(now) {
                    Output::Transmit(transmit) => self.outgoing.push(transmit),
                    Output::Event(event) => self.held = Some(Turn::Event(event)),
                    Output::Request(request) => todo!("{request:?}"),
                    Output::Wait { until, reason } => {
                        tracing::trace!(?until, reason, "waiting");
                        self.held = Some(Turn::Wait(until));
                    }
                    Output::Finished => self.held = Some(Turn::Finished),
                }
                continue;
            }
            if let Some(destination) = self.flush() {
                return Turn::Full(destination);
            }
            let Some(turn) = self.held.take() else {
                continue;
            };
            if matches!(turn, Turn::Finished) {
                self.stop(now);
            }
            return turn;
        }
    }

    /// Sends what was gathered. What cannot be sent is counted and traced: a peer may have chosen
    /// the destination, so it must not end anything. Where a send buffer is full, it gives the
    /// destination that is to be waited for.
    fn flush(&mut self) -> Option<SocketAddr> {
        let mut done = 0;
        let mut full = None;
        while let Some(next) = self.outgoing.get(done) {
            match self.endpoint.send(&self.outgoing[done..], self.blocks) {
                Ok(0) => {
                    full = Some(next.destination);
                    break;
                }
                Ok(sent) => done += sent,
                Err(error) => {
                    tracing::debug!(to = %next.destination, %error, "not sent");
                    self.unsent += 1;
                    done += 1;
                }
            }
        }
        self.outgoing.drain(..done);
        full
    }

    /// Hands over what [`Endpoint::wait`] found, then the time.
    fn take_in(&mut self, now: Instant) {
        let protocol = &mut self.protocol;
        for run in self.endpoint.take_runs() {
            protocol.handle_run(now, run);
        }
        while let Some(news) = self.endpoint.next_news() {
            match news {
                News::Unreachable(unreachable) => {
                    let event = NetworkEvent::Unreachable {
                        socket: SocketId::default(),
                        peer: unreachable.peer,
                        kind: unreachable.kind(),
                    };
                    protocol.handle_network(now, event);
                }
                News::Joined(it) => protocol.handle_network(now, NetworkEvent::Joined(it)),
                News::Left(it) => protocol.handle_network(now, NetworkEvent::Left(it)),
            }
        }
        self.protocol.handle_timeout(now);
    }

    /// Runs the stop hook, once, and sends what it leaves behind.
    fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            self.phase = Phase::Stopped;
            return;
        }
        self.phase = Phase::Stopped;
        self.protocol.stop(now);
        // Events have nobody left to hear them. The bound is against a protocol that never ends.
        for _ in 0..1024 {
            match self.protocol.poll_output(now) {
                Output::Transmit(transmit) => self.outgoing.push(transmit),
                Output::Event(_) | Output::Request(_) => {}
                Output::Wait { .. } | Output::Finished => break,
            }
        }
        if self.flush().is_some() {
            tracing::debug!(
                count = self.outgoing.len(),
                "the last datagrams were not sent"
            );
            self.unsent += self.outgoing.len() as u64;
            self.outgoing.clear();
        }
    }
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

impl<P: Protocol> Drop for Engine<P> {
    fn drop(&mut self) {
        self.stop(Instant::now());
    }
}
