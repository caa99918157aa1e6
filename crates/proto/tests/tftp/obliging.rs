//! A role of TFTP with an application that does at once what it is asked for. The fuzzers have it too.

use std::time::Instant;

use manycast_proto::tftp::{Client, ClientEvent, ErrorCode, Refusal, Server, ServerEvent};
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::Received;

/// How long its files are.
const LENGTH: u64 = 100_000;

pub(crate) struct Obliging<P>(pub(crate) P);

pub(crate) trait Role: Protocol {
    fn oblige(&mut self, now: Instant, event: Self::Event);
}

/// A part of a file of sevens.
fn part(offset: u64, length: usize) -> Vec<u8> {
    vec![7; if offset > LENGTH { 0 } else { length }]
}

impl Role for Client {
    fn oblige(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Read { offset, length } => {
                self.provide(now, offset, part(offset, length));
            }
            ClientEvent::Write { bytes, .. } => self.written(bytes.len()),
            ClientEvent::Complete { .. } => self.stored(now),
            _ => {}
        }
    }
}

impl Role for Server {
    fn oblige(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::Requested { id, request, .. } if request.name.len() == 3 => {
                let refusal = Refusal::new(ErrorCode::FileNotFound, "none of three letters");
                self.refuse(now, id, refusal);
            }
            ServerEvent::Requested { id, .. } => self.accept(now, id, Some(LENGTH), 0),
            ServerEvent::Read { id, offset, length } => {
                self.provide(now, id, offset, part(offset, length));
            }
            ServerEvent::Write { id, bytes, .. } => self.written(id, bytes.len()),
            ServerEvent::Complete { id, .. } => self.stored(now, id),
            _ => {}
        }
    }
}

impl<P: Role> Protocol for Obliging<P> {
    type Event = ();

    fn start(&mut self, now: Instant) {
        self.0.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.0.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.0.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.0.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<()> {
        match self.0.poll_output(now) {
            Output::Event(event) => {
                self.0.oblige(now, event);
                Output::Event(())
            }
            Output::Transmit(transmit) => Output::Transmit(transmit),
            Output::Request(request) => Output::Request(request),
            Output::Wait { until, reason } => Output::Wait { until, reason },
            Output::Finished => Output::Finished,
        }
    }
}
