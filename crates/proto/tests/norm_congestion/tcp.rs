//! A flow that behaves as TCP does: a window that grows by a segment each round trip, and halves
//! where something is lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use manycast_proto::{Output, Protocol};
use manycast_types::{Received, Transmit};

const SEGMENT: usize = 1448;

/// Sends without end.
// RFC 5681 §3.1, with the losses told by selective acknowledgements.
#[derive(Debug)]
pub(crate) struct Flow {
    to: SocketAddr,
    window: f64,
    threshold: f64,
    next: u32,
    /// What was sent and not acknowledged.
    flying: BTreeSet<u32>,
    /// Losses before this one have halved the window already.
    recovered: u32,
    round_trip: Duration,
    /// When the segment was sent by which the round trip is measured.
    timed: Option<(u32, Instant)>,
    heard: Instant,
    running: bool,
}

impl Flow {
    pub(crate) fn new(to: SocketAddr, now: Instant) -> Self {
        Self {
            to,
            window: 10.0,
            threshold: f64::INFINITY,
            next: 0,
            flying: BTreeSet::new(),
            recovered: 0,
            round_trip: Duration::from_millis(100),
            timed: None,
            heard: now,
            running: false,
        }
    }

    fn timeout(&self) -> Instant {
        self.heard + (self.round_trip * 4).max(Duration::from_millis(200))
    }
}

impl Protocol for Flow {
    type Event = ();

    fn start(&mut self, now: Instant) {
        self.heard = now;
        self.running = true;
    }

    fn stop(&mut self, _: Instant) {
        self.running = false;
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        let Some(sequence) = number(datagram.payload) else {
            return;
        };
        if !self.flying.remove(&sequence) {
            return;
        }
        self.heard = now;
        if let Some((timed, at)) = self.timed.take_if(|(timed, _)| *timed <= sequence)
            && timed == sequence
        {
            self.round_trip = (self.round_trip * 7 + (now - at)) / 8;
        }
        self.window += if self.window < self.threshold {
            1.0
        } else {
            1.0 / self.window
        };
        // Three that came later show a loss.
        let later = self.flying.split_off(&sequence.saturating_sub(2));
        let lost = std::mem::replace(&mut self.flying, later);
        if lost.iter().any(|sequence| *sequence >= self.recovered) {
            self.window = (self.window / 2.0).max(2.0);
            self.threshold = self.window;
            self.recovered = self.next;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.timeout() {
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = 1.0;
            self.flying.clear();
            self.recovered = self.next;
            self.heard = now;
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<()> {
        if !self.running {
            return Output::Finished;
        }
        if (self.flying.len() as f64) < self.window {
            let sequence = self.next;
            self.next += 1;
            self.flying.insert(sequence);
            self.timed.get_or_insert((sequence, now));
            let mut payload = BytesMut::zeroed(SEGMENT);
            payload[..4].copy_from_slice(&sequence.to_be_bytes());
            return Output::Transmit(Transmit::new(self.to, payload.freeze()));
        }
        Output::Wait {
            until: Some(self.timeout()),
            reason: "acknowledgements",
        }
    }
}

/// Acknowledges each segment by itself.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) bytes: usize,
    answers: Vec<(SocketAddr, Bytes)>,
}

impl Protocol for Sink {
    type Event = ();

    fn start(&mut self, _: Instant) {}

    fn stop(&mut self, _: Instant) {}

    fn handle_datagram(&mut self, _: Instant, datagram: Received<'_>) {
        if let Some(sequence) = number(datagram.payload) {
            self.bytes += datagram.payload.len();
            let answer = Bytes::copy_from_slice(&sequence.to_be_bytes());
            self.answers.push((datagram.source, answer));
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self, _: Instant) -> Output<()> {
        match self.answers.pop() {
            Some((to, answer)) => Output::Transmit(Transmit::new(to, answer)),
            None => Output::Wait {
                until: None,
                reason: "segments",
            },
        }
    }
}

fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*payload.first_chunk()?))
}
