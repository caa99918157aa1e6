//! What a server remembers of a client.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use manycast_types::{Received, Transmit};

use super::super::arrivals::Seen;
use super::super::event::Arrival;
use super::super::message::{Body, CHUNK, Message};
use super::super::{Counts, Refusal};

/// A client whose cookie has come back.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) client: SocketAddr,
    pub(super) nonce: [u8; 16],
    pub(super) cookie: [u8; 16],
    pub(super) group: SocketAddr,
    pub(super) source: Option<IpAddr>,
    /// How its last request is answered: by the socket that was asked.
    pub(super) reply: Transmit<()>,
    /// When it last made a new request.
    pub(super) last: Instant,
    /// The number of the last request, and the answer to it, once there is one.
    pub(super) number: u32,
    pub(super) answer: Option<Bytes>,
    /// Whether its client is welcomed only when its group, which is left for a while, is joined again.
    pub(super) is_held: bool,
    round: u32,
    seen: Seen,
    /// What came of the round by the group.
    arrivals: Vec<Arrival>,
    /// What the host last found on itself.
    pub(super) report: Bytes,
}

/// Of so many pairs of address and interface of a client's datagrams it keeps account.
const MAX_ARRIVALS: usize = 8;

impl Session {
    /// A session that the second `Hello` of a client begins.
    pub(super) fn new(
        now: Instant,
        hello: &Message,
        reply: Transmit<()>,
        (group, source): (SocketAddr, Option<IpAddr>),
    ) -> Self {
        Self {
            client: reply.destination,
            nonce: hello.nonce,
            cookie: hello.cookie,
            group,
            source,
            reply,
            last: now,
            number: hello.number,
            answer: None,
            is_held: false,
            round: 0,
            seen: Seen::default(),
            arrivals: Vec::new(),
            report: Bytes::new(),
        }
    }

    pub(super) const fn message(&self, body: Body) -> Message {
        Message {
            nonce: self.nonce,
            cookie: self.cookie,
            number: self.number,
            body,
        }
    }

    /// A piece of the report.
    pub(super) fn piece(&self, chunk: u8) -> Body {
        let start = usize::from(chunk) * CHUNK;
        let end = (start + CHUNK).min(self.report.len());
        if start < end {
            let bytes = self.report.slice(start..end);
            Body::Chunk { chunk, bytes }
        } else {
            Body::Refused(Refusal::Request)
        }
    }

    /// What has come of a round.
    pub(super) fn counts(&self, round: u32) -> Counts {
        if self.round == round {
            self.seen.counts()
        } else {
            Counts::default()
        }
    }

    /// From where it has come to the group.
    pub(super) fn arrivals(&self, round: u32) -> Vec<Arrival> {
        if self.round == round {
            self.arrivals.clone()
        } else {
            Vec::new()
        }
    }

    /// Takes in a datagram of data. One of an earlier round comes too late.
    pub(super) fn count(&mut self, round: u32, index: u8, datagram: &Received<'_>) {
        if round < self.round {
            return;
        }
        if round > self.round {
            self.round = round;
            self.seen = Seen::default();
            self.arrivals.clear();
        }
        let by_group = datagram.destination.ip().is_multicast();
        self.seen.add(index, by_group);
        if !by_group {
            return;
        }
        let same = |arrival: &&mut Arrival| {
            arrival.source == datagram.source && arrival.interface.index == datagram.interface.index
        };
        if let Some(arrival) = self.arrivals.iter_mut().find(same) {
            arrival.datagrams = arrival.datagrams.saturating_add(1);
        } else if self.arrivals.len() < MAX_ARRIVALS {
            self.arrivals.push(Arrival {
                source: datagram.source,
                interface: datagram.interface.clone(),
                datagrams: 1,
            });
        }
    }
}
