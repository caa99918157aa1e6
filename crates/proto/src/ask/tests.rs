mod client;
mod responder;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{InterfaceId, MAX_PAYLOAD, Received, SocketId, Transmit};

use super::*;
use crate::{NetworkEvent, Output, Protocol};

const SECOND: Duration = Duration::from_secs(1);

/// Somewhere in time: a test needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Lets `protocol` have a datagram.
fn give<P: Protocol>(protocol: &mut P, now: Instant, from: &str, to: &str, payload: &[u8]) {
    let destination = address(to);
    let group = destination.ip().is_multicast();
    let interface = InterfaceId::new(2, "eth0");
    let mut received = Received::new(payload, address(from), destination, &interface);
    received.local = (!group).then_some(destination.ip());
    received.hops = Some(64);
    protocol.handle_datagram(now, received);
}

/// What `protocol` sends and tells before it waits, and how long it then waits.
fn drain<P: Protocol>(protocol: &mut P, now: Instant) -> (Vec<Transmit>, Vec<P::Event>, Next) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    loop {
        match protocol.poll_output(now) {
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(event) => told.push(event),
            Output::Request(request) => panic!("it needs no {request:?}"),
            Output::Wait { until, reason } => {
                let until = until.map(|until| until.duration_since(now));
                return (sent, told, Next::Wait(until, reason));
            }
            Output::Finished => return (sent, told, Next::Finished),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Next {
    Wait(Option<Duration>, &'static str),
    Finished,
}
