mod receiver;
mod sender;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manycast_types::{ErrorKind, InterfaceId, NetworkError, Received, Transmit};

use super::*;
use crate::{NetworkEvent, Output, Protocol};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const GROUP: &str = "239.1.1.1:5001";
const HOST: &str = "192.0.2.7:5001";
const PEER: &str = "192.0.2.1:40000";

/// Somewhere in time: a test needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The wall clock when the tests begin.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// What `protocol` sends and tells before it waits, and how long it then waits.
fn drain<P: Protocol>(
    protocol: &mut P,
    now: Instant,
) -> (Vec<Transmit>, Vec<P::Event>, Option<Duration>) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    loop {
        match protocol.poll_output(now) {
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(event) => told.push(event),
            Output::Request(request) => panic!("it needs no {request:?}"),
            Output::Wait { until, .. } => {
                return (sent, told, until.map(|until| until.duration_since(now)));
            }
            Output::Finished => return (sent, told, None),
        }
    }
}

/// A datagram for a receiver, and what the kernel says of it.
#[derive(Clone, Copy)]
struct Given<'a> {
    from: &'a str,
    to: &'a str,
    time: Option<SystemTime>,
    hops: Option<u8>,
    dropped: u64,
}

const GIVEN: Given<'_> = Given {
    from: PEER,
    to: GROUP,
    time: None,
    hops: Some(1),
    dropped: 0,
};

fn give<P: Protocol>(protocol: &mut P, now: Instant, payload: &[u8], given: Given<'_>) {
    let (from, to) = (address(given.from), address(given.to));
    let interface = InterfaceId::new(2, "eth0");
    let mut received = Received::new(payload, from, to, &interface);
    received.local = Some(to.ip()).filter(|address| !address.is_multicast());
    received.hops = given.hops;
    received.time = given.time;
    received.dropped = given.dropped;
    protocol.handle_datagram(now, received);
}
