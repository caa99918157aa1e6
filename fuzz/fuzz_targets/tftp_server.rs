//! A TFTP server, called in any order, with an application that does what it is asked for.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::tftp::{Server, ServerConfig, ServerEvent};
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::Received;

struct Obliging(Server);

impl Protocol for Obliging {
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
                self.oblige(now, event);
                Output::Event(())
            }
            Output::Transmit(transmit) => Output::Transmit(transmit),
            Output::Request(request) => Output::Request(request),
            Output::Wait { until, reason } => Output::Wait { until, reason },
            Output::Finished => Output::Finished,
        }
    }
}

impl Obliging {
    fn oblige(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::Requested { id, .. } => self.0.accept(now, id, Some(100_000)),
            ServerEvent::Read { id, offset, length } => {
                let length = if offset > 100_000 { 0 } else { length };
                self.0.provide(now, id, offset, vec![7; length]);
            }
            ServerEvent::Write { id, bytes, .. } => self.0.written(id, bytes.len()),
            ServerEvent::Complete { id, .. } => self.0.stored(now, id),
            _ => {}
        }
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((choice, script)) = script.split_first() else {
        return;
    };
    let peers = [
        ([192, 0, 2, 7], 40_000).into(),
        ([192, 0, 2, 8], 40_001).into(),
        ([239, 255, 0, 1], 1758).into(),
    ];
    let config = ServerConfig {
        single_port: choice & 1 != 0,
        unconfirmed: usize::from(choice >> 4),
        groups: vec![[239, 255, 0, 1].into()],
        ..ServerConfig::default()
    };
    any_order(&mut Obliging(Server::new(config)), script, &peers);
});
