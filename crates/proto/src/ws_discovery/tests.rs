//! What both roles are tried with.

mod client;
mod matching;
mod message;
mod target_service;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{
    ErrorKind, InterfaceId, Membership, NetworkError, Received, SourceFilter, Transmit,
};

use super::*;
use crate::{NetworkEvent, Output, Protocol};

const GROUP: &str = "239.255.255.250:3702";
const US: &str = "10.0.0.1:4000";
const HOST: &str = "10.0.0.9:3702";
const ENDPOINT: &str = "urn:uuid:AB-1";
const SECOND: Duration = Duration::from_secs(1);

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn give<P: Protocol>(protocol: &mut P, now: Instant, from: &str, to: &str, message: &Message) {
    let interface = InterfaceId::new(2, "eth0");
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let payload = message.emit();
    protocol.handle_datagram(now, Received::new(&payload, from, to, &interface));
}

/// What it sends until a time that follows, and what it tells. The clock is then at the end of it.
fn run<P: Protocol>(
    protocol: &mut P,
    now: &mut Instant,
    time: Duration,
) -> (Vec<(Duration, Transmit)>, Vec<P::Event>) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    let (begin, end) = (*now, *now + time);
    loop {
        match protocol.poll_output(*now) {
            Output::Transmit(transmit) => sent.push((*now - begin, transmit)),
            Output::Event(event) => told.push(event),
            Output::Request(_) => {}
            Output::Wait {
                until: Some(until), ..
            } if until <= end => {
                *now = until;
                protocol.handle_timeout(*now);
            }
            Output::Wait { .. } | Output::Finished => {
                *now = end;
                return (sent, told);
            }
        }
    }
}

fn joined<P: Protocol>(protocol: &mut P, now: Instant) {
    let interface = InterfaceId::new(2, "eth0");
    let membership = Membership::new(GROUP.parse().unwrap(), interface, SourceFilter::any());
    protocol.handle_network(now, NetworkEvent::Joined(membership));
}

fn read(transmit: &Transmit) -> Message {
    let (message, deviations) = parse(&transmit.payload).unwrap();
    assert!(deviations.is_empty(), "{deviations}");
    message
}

fn service(change: impl FnOnce(&mut TargetServiceConfig)) -> (TargetService, Instant) {
    let mut config = TargetServiceConfig::new(ENDPOINT, device_type());
    config.addresses = vec![LocalAddress {
        interface: 2,
        address: [10, 0, 0, 9].into(),
        prefix: 24,
    }];
    config.location = Location::Here {
        port: 80,
        path: "/d".to_owned(),
    };
    change(&mut config);
    let (mut service, mut now) = (TargetService::new(config, [1; 32]).unwrap(), start());
    service.start(now);
    run(&mut service, &mut now, Duration::ZERO);
    (service, now)
}

fn client(change: impl FnOnce(&mut ClientConfig)) -> (Client, Instant) {
    let mut config = ClientConfig {
        probes: vec![Probe::default()],
        versions: vec![Version::V2005_04],
        attempts: 1,
        again: None,
        ..ClientConfig::default()
    };
    change(&mut config);
    let (mut client, mut now) = (Client::new(config, [1; 32]), start());
    client.start(now);
    run(&mut client, &mut now, Duration::ZERO);
    (client, now)
}

fn probe(version: Version, id: &str) -> Message {
    Message::new(version, id, Body::Probe(Probe::default()))
}

/// What a service says, with the number of a message and its addresses.
fn said(body: impl FnOnce(Service) -> Body, number: u32, address: &str) -> Message {
    let service = Service {
        endpoint: ENDPOINT.to_owned(),
        types: vec![device_type()],
        addresses: Some(address.to_owned())
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect(),
        metadata_version: Some(1),
        ..Service::default()
    };
    let mut message = Message::new(
        Version::V2005_04,
        format!("urn:uuid:n{number}"),
        body(service),
    );
    message.sequence = Some(Sequence {
        instance: 7,
        id: None,
        number,
    });
    message
}
