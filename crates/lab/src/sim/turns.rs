//! When it is whose turn, and what an endpoint does in its own.

use std::time::{Duration, Instant};

use super::Sim;
use super::agenda::What;
use super::node::Polled;

/// How many events and requests in a row, or steps of an endpoint at one instant, are taken for an
/// endless loop.
pub(super) const ENDLESS: usize = 100_000;

/// How many outputs an endpoint has in a turn, before the network goes on.
const TURN: usize = 256;

/// How long each output takes of a turn that was not enough: what a fast host needs for a datagram.
const OUTPUT: Duration = Duration::from_micros(1);

impl Sim {
    /// When the next thing happens.
    pub(super) fn next(&mut self) -> Option<Instant> {
        loop {
            let (at, what) = self.transit.agenda.peek()?;
            let What::Alarm(index) = *what else {
                return Some(at);
            };
            // Deadlines move; the alarm follows when it is its turn.
            let endpoint = &mut self.endpoints[index];
            if endpoint.alarm == Some(at) {
                match endpoint.deadline {
                    Some((until, _)) if until <= at => return Some(at),
                    _ => endpoint.alarm = None,
                }
            }
            self.transit.agenda.pop();
            self.set_alarm(index);
        }
    }

    fn set_alarm(&mut self, index: usize) {
        let endpoint = &mut self.endpoints[index];
        if let Some((until, _)) = endpoint.deadline
            && endpoint.alarm.is_none_or(|alarm| until < alarm)
        {
            endpoint.alarm = Some(until);
            self.transit.push(until, What::Alarm(index));
        }
    }

    pub(super) fn time_out(&mut self, index: usize) {
        let now = self.now();
        let endpoint = &mut self.endpoints[index];
        endpoint.alarm = None;
        endpoint.deadline = None;
        endpoint.node.handle_timeout(now);
        self.drain(index);
        if let Some((again, reason)) = self.endpoints[index].deadline {
            assert!(
                again > now,
                "the wait for {reason} goes on after its deadline"
            );
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let now = self.now();
        let endpoint = &mut self.endpoints[index];
        if !std::mem::replace(&mut endpoint.started, true) {
            endpoint.node.start(now);
            self.drain(index);
        }
    }

    /// Does what a protocol wants, until it waits or its turn is over.
    pub(super) fn drain(&mut self, index: usize) {
        let (now, elapsed) = (self.now(), self.elapsed());
        let (mut sent, mut others) = (0, 0);
        while !self.endpoints[index].pausing {
            match self.endpoints[index].node.poll(now, elapsed) {
                Polled::Transmit(transmit) => {
                    sent += transmit.count();
                    if let Some(room) = self.send(index, &transmit) {
                        self.pause(index, room);
                    } else if sent >= TURN {
                        // Who always has something to send must not keep time from passing.
                        self.pause(
                            index,
                            now + OUTPUT * u32::try_from(sent).unwrap_or(u32::MAX),
                        );
                    }
                    assert!(
                        self.endpoints[index].open || sent < ENDLESS,
                        "a protocol that was stopped has sent {ENDLESS} datagrams"
                    );
                }
                Polled::Request(request) => {
                    others += 1;
                    // Who is stopped has nothing any more to request.
                    if self.endpoints[index].open {
                        self.request(index, request);
                    }
                }
                Polled::Event => others += 1,
                Polled::Wait(deadline) => {
                    // What a closed endpoint waits for never comes.
                    self.endpoints[index].deadline =
                        deadline.filter(|_| self.endpoints[index].open);
                    return self.set_alarm(index);
                }
                Polled::Finished => return self.close(index),
            }
            assert!(
                others < ENDLESS,
                "a protocol has told or requested {ENDLESS} things in a row without waiting"
            );
        }
    }

    /// Takes no more outputs until then. A farewell is not kept waiting.
    fn pause(&mut self, index: usize, until: Instant) {
        if self.endpoints[index].open {
            self.endpoints[index].pausing = true;
            self.transit.push(until, What::Turn(index));
        }
    }

    pub(super) fn close(&mut self, index: usize) {
        self.start(index);
        let now = self.now();
        let endpoint = &mut self.endpoints[index];
        endpoint.deadline = None;
        if !std::mem::take(&mut endpoint.open) {
            return;
        }
        endpoint.pausing = false;
        endpoint.gathered = None;
        endpoint.node.stop(now);
        self.drain(index);
        self.close_sockets(index);
    }
}
