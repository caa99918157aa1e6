//! What a server remembers of a client.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use manycast_types::{Received, Transmit};

use super::super::client::Seen;
use super::super::event::Arrival;
use super::super::message::{Body, Message};

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
    pub(super) round: u32,
    pub(super) seen: Seen,
    /// What came of the round by the group.
    pub(super) arrivals: Vec<Arrival>,
    /// What the host last found on itself.
    pub(super) report: Bytes,
}

/// Of so many pairs of address and interface of a client's datagrams it keeps account.
const MAX_ARRIVALS: usize = 8;

impl Session {
    pub(super) const fn message(&self, body: Body) -> Message {
        Message {
            nonce: self.nonce,
            cookie: self.cookie,
            number: self.number,
            body,
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
