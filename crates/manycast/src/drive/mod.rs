//! Where sockets and protocols meet: one engine, driven by blocking or by a runtime.

mod blocking;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::time::{Duration, Instant};

use manycast_proto::{Output, Protocol};
use manycast_types::Transmit;

pub use blocking::Driver;

use crate::Error;
use crate::endpoint::{Endpoint, News};

/// How many outputs are gathered before they are sent.
const OUTGOING: usize = 64;

/// An endpoint and a protocol, and what both drivers do with them in the same way.
#[derive(Debug)]
struct Engine<P: Protocol> {
    endpoint: Endpoint,
    protocol: P,
    outgoing: Vec<Transmit>,
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
    Wait(Option<Duration>),
    Finished,
}

impl<P: Protocol> Engine<P> {
    const fn new(endpoint: Endpoint, protocol: P) -> Self {
        Self {
            endpoint,
            protocol,
            outgoing: Vec::new(),
            unsent: 0,
            phase: Phase::New,
        }
    }

    /// Takes outputs until there is something to tell or to wait for. Nothing is left unsent.
    fn turn(&mut self, now: Instant) -> Result<Turn<P::Event>, Error> {
        if self.phase == Phase::New {
            self.phase = Phase::Running;
            self.protocol.start(now);
        }
        if self.phase == Phase::Stopped {
            return Ok(Turn::Finished);
        }
        loop {
            let turn = match self.protocol.poll_output() {
                Output::Transmit(transmit) => {
                    self.outgoing.push(transmit);
                    if self.outgoing.len() >= OUTGOING {
                        self.flush()?;
                    }
                    continue;
                }
                Output::Event(event) => Turn::Event(event),
                Output::Wait { until, reason } => {
                    let left = until.map(|until| until.saturating_duration_since(now));
                    tracing::trace!(?left, reason, "waiting");
                    Turn::Wait(left)
                }
                Output::Finished => Turn::Finished,
            };
            self.flush()?;
            if matches!(turn, Turn::Finished) {
                self.stop(now);
            }
            return Ok(turn);
        }
    }

    /// Sends what was gathered. What cannot be sent is counted and traced: a peer may have chosen
    /// the destination, so it must not end anything.
    fn flush(&mut self) -> Result<(), Error> {
        let mut rest = self.outgoing.as_slice();
        while let Some(next) = rest.first() {
            match self.endpoint.send(rest, true) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) => {
                    tracing::debug!(to = %next.destination, %error, "not sent");
                    self.unsent += 1;
                    rest = &rest[1..];
                }
            }
        }
        self.outgoing.clear();
        Ok(())
    }

    /// Hands over what [`Endpoint::wait`] found, then the time.
    fn take_in(&mut self, now: Instant) {
        let protocol = &mut self.protocol;
        for run in self.endpoint.take_runs() {
            protocol.handle_run(now, run);
        }
        while let Some(news) = self.endpoint.next_news() {
            match news {
                News::Unreachable(unreachable) if unreachable.is_refused() => {
                    self.protocol.handle_refused(now, unreachable.peer);
                }
                News::Unreachable(_) | News::Joined(_) | News::Left(_) => {}
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
            match self.protocol.poll_output() {
                Output::Transmit(transmit) => self.outgoing.push(transmit),
                Output::Event(_) => {}
                Output::Wait { .. } | Output::Finished => break,
            }
        }
        if let Err(error) = self.flush() {
            tracing::debug!(%error, "the last datagrams were not sent");
        }
    }
}

impl<P: Protocol> Drop for Engine<P> {
    fn drop(&mut self) {
        self.stop(Instant::now());
    }
}
