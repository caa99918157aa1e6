//! A protocol together with what other threads have to tell its owner: as events beside its own.

use std::collections::VecDeque;
use std::time::Instant;

use manycast_io::{NetworkEvent, Output, Protocol, Received};
use manycast_proto::refusal::Refusal;

/// An event of the protocol, or what another thread put in.
pub(crate) enum Mail<E, M> {
    Event(E),
    Message(M),
}

/// A protocol, and what was put in and not yet handed out.
pub(crate) struct Inbox<P, M> {
    pub(crate) protocol: P,
    messages: VecDeque<M>,
    /// The sequence numbers of a peer's datagrams, where they are counted.
    pub(super) counts: Counts,
    /// Whether the host that is sent to refuses.
    pub(crate) refusal: Refusal,
}

impl<P, M> Inbox<P, M> {
    pub(crate) fn new(protocol: P) -> Self {
        Self {
            protocol,
            messages: VecDeque::new(),
            counts: Counts::default(),
            refusal: Refusal::default(),
        }
    }

    pub(crate) fn put(&mut self, message: M) {
        self.messages.push_back(message);
    }
}

impl<P: Protocol, M> Protocol for Inbox<P, M> {
    type Event = Mail<P::Event, M>;

    fn start(&mut self, now: Instant) {
        self.protocol.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.protocol.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.counts.count(datagram.payload);
        self.protocol.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if let Some(peer) = event.refused_by() {
            self.refusal.note(now, peer);
        }
        self.protocol.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.protocol.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event> {
        match self.messages.pop_front() {
            Some(message) => Output::Event(Mail::Message(message)),
            None => self.protocol.poll_output(now).map(Mail::Event),
        }
    }
}

/// How many senders are counted at a time.
const SENDERS: usize = 8;

/// How many datagrams of senders were to come, and came, as their sequence numbers say.
#[derive(Debug, Default)]
pub(super) struct Counts {
    senders: Vec<Count>,
}

/// The datagrams of one sender.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    node: u32,
    next: u16,
    /// How many were to come since the first that came.
    pub(super) expected: u64,
    pub(super) came: u64,
}

impl Counts {
    /// Of the sender with this number.
    pub(super) fn of(&self, node: u32) -> Count {
        let found = self.senders.iter().find(|count| count.node == node);
        found.copied().unwrap_or_default()
    }

    // RFC 5740 §4.1: version and type, header length, sequence, source_id.
    fn count(&mut self, datagram: &[u8]) {
        let Some((head, _)) = datagram.split_first_chunk::<8>() else {
            return;
        };
        // NORM_INFO, NORM_DATA and NORM_CMD are the sender's.
        if !matches!(head[0], 0x11..=0x13) {
            return;
        }
        let sequence = u16::from_be_bytes([head[2], head[3]]);
        let node = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let found = self.senders.iter().position(|count| count.node == node);
        let index = found.unwrap_or_else(|| {
            if self.senders.len() >= SENDERS {
                self.senders.remove(0);
            }
            self.senders.push(Count {
                node,
                next: sequence,
                ..Count::default()
            });
            self.senders.len() - 1
        });
        let count = &mut self.senders[index];
        let ahead = sequence.wrapping_sub(count.next);
        count.came += 1;
        if ahead < 0x8000 {
            count.expected += u64::from(ahead) + 1;
            count.next = sequence.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_is_counted() {
        let mut counts = Counts::default();
        for sequence in [0xfffe_u16, 0xffff, 2, 1, 4] {
            let [high, low] = sequence.to_be_bytes();
            counts.count(&[0x12, 4, high, low, 0, 0, 0, 7]);
        }
        counts.count(&[0x14, 4, 0, 0, 0, 0, 0, 7]);
        counts.count(b"short");
        let count = counts.of(7);
        assert_eq!((count.expected, count.came), (7, 5));
    }
}
