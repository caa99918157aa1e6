mod hostile;
mod message;
mod report;
mod rounds;
mod session;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, Membership, Received, SocketId, SourceFilter, Transmit};

use super::message::{Body, Message};
use super::round::PACE;
use super::{
    Burst, Client, ClientConfig, ClientEvent, Counts, Key, Refusal, Report, Round, Server,
    ServerConfig, ServerEvent,
};
use crate::{NetworkEvent, Output, Protocol, Request};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 49_366);
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 2], 40_000);
const GROUP: ([u8; 4], u16) = ([239, 1, 2, 3], 5000);

/// The socket that a server is asked by.
const ASKED: SocketId = SocketId::new(7);

const BURST: Burst = Burst {
    to_group: true,
    by_route: true,
    count: 20,
    size: 200,
    hops: 1,
    source: None,
};

const ROUND: Round = Round {
    to_group: true,
    interface: None,
    source: None,
    count: 3,
    size: 200,
    hops: 1,
};

fn client(key: Option<&str>) -> Client {
    client_of(GROUP, key)
}

fn client_of(group: ([u8; 4], u16), key: Option<&str>) -> Client {
    let config = ClientConfig {
        server: SERVER.into(),
        group: group.into(),
        source: None,
        key: key.map(|key| Key::new(key.to_owned())),
    };
    Client::new(config, [7; 32])
}

/// Another one on the same host, without a key.
fn other_client() -> Client {
    let config = ClientConfig {
        server: SERVER.into(),
        group: GROUP.into(),
        source: None,
        key: None,
    };
    Client::new(config, [9; 32])
}

fn server(key: Option<&str>) -> Server {
    let config = ServerConfig {
        key: key.map(|key| Key::new(key.to_owned())),
        ..ServerConfig::default()
    };
    Server::new(config, [8; 32])
}

/// Somewhere in time: a protocol needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn deliver<P: Protocol>(to: &mut P, now: Instant, from: SocketAddr, transmit: &Transmit) {
    let interface = InterfaceId::new(2, "eth0");
    let mut received = Received::new(&transmit.payload, from, transmit.destination, &interface);
    received.hops = Some(1);
    received.socket = ASKED;
    to.handle_datagram(now, received);
}

/// What a driver would answer that can do all that is requested.
fn granted(request: &Request) -> Option<NetworkEvent> {
    let membership = |group: &manycast_types::Group, port: u16| {
        let group = (group.address, port).into();
        Membership::new(group, InterfaceId::new(2, "eth0"), SourceFilter::any())
    };
    match request {
        Request::Open { tag, .. } => Some(NetworkEvent::Opened {
            tag: *tag,
            socket: SocketId::new(100 + tag),
            local: ([0, 0, 0, 0], 50_000).into(),
        }),
        Request::Join { group, port } => Some(NetworkEvent::Joined(membership(group, *port))),
        Request::Leave { group, port } => Some(NetworkEvent::Left(membership(group, *port))),
        Request::Close { .. } => None,
    }
}

/// All that a protocol has to send and to tell, up to its next wait; what it requests is granted.
fn drain<P: Protocol>(protocol: &mut P, now: Instant) -> (Vec<Transmit>, Vec<P::Event>) {
    let (transmits, events, _) = drain_all(protocol, now);
    (transmits, events)
}

/// The same with its requests.
fn drain_all<P: Protocol>(
    protocol: &mut P,
    now: Instant,
) -> (Vec<Transmit>, Vec<P::Event>, Vec<Request>) {
    let (mut transmits, mut events, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match protocol.poll_output(now) {
            Output::Transmit(transmit) => transmits.push(transmit),
            Output::Event(event) => events.push(event),
            Output::Request(request) => {
                if let Some(answer) = granted(&request) {
                    protocol.handle_network(now, answer);
                }
                requests.push(request);
            }
            Output::Wait { .. } | Output::Finished => return (transmits, events, requests),
        }
    }
}

/// Carries all datagrams to and fro, and gives what both told.
fn converse(
    client: &mut Client,
    server: &mut Server,
    now: Instant,
) -> (Vec<ClientEvent>, Vec<ServerEvent>) {
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    loop {
        let (requests, events) = drain(client, now);
        told.extend(events);
        for request in &requests {
            deliver(server, now, CLIENT.into(), request);
        }
        let (answers, events) = drain(server, now);
        asked.extend(events);
        for answer in &answers {
            let to = answer.destination;
            assert!(
                to == CLIENT.into() || to == GROUP.into(),
                "{to} is nobody's"
            );
            deliver(client, now, SERVER.into(), answer);
        }
        if requests.is_empty() && answers.is_empty() {
            return (told, asked);
        }
    }
}

/// The same for as long as rounds are sent, until the client has something to tell.
fn converse_on(
    client: &mut Client,
    server: &mut Server,
    now: &mut Instant,
) -> (Vec<ClientEvent>, Vec<ServerEvent>) {
    let mut asked = Vec::new();
    for _ in 0..1000 {
        let (told, more) = converse(client, server, *now);
        asked.extend(more);
        if !told.is_empty() {
            return (told, asked);
        }
        *now += PACE;
        client.handle_timeout(*now);
        server.handle_timeout(*now);
    }
    panic!("the client has nothing to tell");
}

/// What a server sends until an order is done: its data, and what it says and tells afterwards.
fn order_done(
    server: &mut Server,
    now: &mut Instant,
) -> (Vec<Transmit>, Vec<Transmit>, Vec<ServerEvent>) {
    let mut all = Vec::new();
    for _ in 0..200 {
        let (transmits, events) = drain(server, *now);
        all.extend(transmits);
        if events
            .iter()
            .any(|event| matches!(event, ServerEvent::Sent { .. }))
        {
            let (data, answers) = all
                .into_iter()
                .partition(|it| it.payload.len() == usize::from(BURST.size));
            return (data, answers, events);
        }
        assert!(events.is_empty(), "{events:?}");
        *now += PACE;
    }
    panic!("the order is never done");
}

/// Has the server do what the client wants next, and carries nothing back.
fn request_done(
    client: &mut Client,
    server: &mut Server,
    now: &mut Instant,
) -> (Vec<Transmit>, Vec<Transmit>) {
    let (requests, _) = drain(client, *now);
    deliver(server, *now, CLIENT.into(), &requests[0]);
    let (data, answers, _) = order_done(server, now);
    (data, answers)
}

fn agreed(key: Option<&str>, now: Instant) -> (Client, Server) {
    let (mut client, mut server) = (client(key), server(key));
    client.start(now);
    let (told, asked) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Welcome]);
    assert!(
        matches!(
            asked[..],
            [ServerEvent::Agreed { .. }, ServerEvent::Joined { .. }]
        ),
        "{asked:?}"
    );
    (client, server)
}

/// Lets time pass until a client has something to tell.
fn wait(client: &mut Client, now: Instant) -> Vec<ClientEvent> {
    waited(client, now).0
}

/// The same, and when that is.
fn waited(client: &mut Client, mut now: Instant) -> (Vec<ClientEvent>, Instant) {
    loop {
        match client.poll_output(now) {
            Output::Event(event) => return (vec![event], now),
            Output::Wait {
                until: Some(until), ..
            } => {
                now = now.max(until);
                client.handle_timeout(now);
            }
            Output::Transmit(_) | Output::Request(_) => {}
            Output::Wait { until: None, .. } | Output::Finished => return (Vec::new(), now),
        }
    }
}
