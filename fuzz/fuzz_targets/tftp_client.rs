//! A TFTP client, called in any order, with an application that does what it is asked for.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use manycast_lab::sim::any_order;
use manycast_proto::tftp::{Client, ClientConfig, ClientEvent};
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::Received;

struct Obliging(Client);

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
    fn oblige(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Read { offset, length } => {
                let length = if offset > 100_000 { 0 } else { length };
                self.0.provide(now, offset, vec![7; length]);
            }
            ClientEvent::Write { bytes, .. } => self.0.written(bytes.len()),
            ClientEvent::Complete { .. } => self.0.stored(now),
            _ => {}
        }
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((choice, script)) = script.split_first() else {
        return;
    };
    let peers = [
        ([192, 0, 2, 7], 69).into(),
        ([192, 0, 2, 7], 50_000).into(),
        ([239, 255, 0, 1], 1758).into(),
    ];
    let config = ClientConfig {
        multicast: choice & 2 != 0,
        block_size: (choice & 4 != 0).then_some(64),
        window: (choice & 8 != 0).then_some(4),
        ..ClientConfig::new(peers[0], "file")
    };
    let client = if choice & 1 == 0 {
        Client::read(config)
    } else {
        Client::write(config)
    };
    any_order(&mut Obliging(client), script, &peers);
});
