//! A hostile client, for the fuzzers (`--cfg fuzzing`) and the property test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{InterfaceId, Malformed, Membership, Received, SocketId, SourceFilter};

use super::message::{Body, Message};
use super::{Burst, Server, ServerConfig, ServerEvent};
use crate::wire::Reader;
use crate::{NetworkEvent, Output, Protocol, Request};

/// Where datagrams seem to come from: the first two are the client's own, and it never sees what is
/// sent to the third.
const ADDRESSES: [([u8; 4], u16); 3] = [
    ([192, 0, 2, 7], 40_000),
    ([192, 0, 2, 8], 40_000),
    ([198, 51, 100, 1], 9),
];

/// What it asks about: only the first two may be.
const GROUPS: [([u8; 4], u16); 5] = [
    ([239, 192, 0, 100], 8888),
    ([239, 192, 0, 101], 8888),
    ([224, 0, 0, 1], 5353),
    ([198, 51, 100, 1], 9),
    ([255, 255, 255, 255], 9),
];

/// How many sessions the server remembers.
const SESSIONS: usize = 8;

/// Asks a server as the script says, with cookies out of all its answers, refusals too, and at any
/// time.
///
/// # Panics
///
/// When the server can be misused: when it sends more to an address than came from it, unless that one
/// has shown a cookie; when it joins or sends to a group that it must not; when it remembers more than
/// it may.
pub fn server(script: &[u8], now: Instant) -> Reached {
    let config = ServerConfig {
        sessions: SESSIONS,
        ..ServerConfig::default()
    };
    let mut caller = Caller {
        server: Server::new(config, [7; 32]),
        now,
        cookies: vec![[0; 16]],
        came: [0; 3],
        sent: [0; 3],
        shown: [false; 3],
        joined: Vec::new(),
        reached: Reached::default(),
    };
    let mut script = Reader::new(script);
    while !script.remaining().is_empty() && caller.step(&mut script).is_ok() {
        caller.poll();
    }
    caller.reached
}

/// How far the client has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    /// The sessions that it had.
    pub sessions: usize,
    /// The datagrams that were sent to a group for it.
    pub datagrams: usize,
    /// The examinations that were made for it.
    pub examinations: usize,
}

struct Caller {
    server: Server,
    now: Instant,
    /// What could be a cookie, out of the answers.
    cookies: Vec<[u8; 16]>,
    /// Bytes from and to each address.
    came: [usize; 3],
    sent: [usize; 3],
    /// Whether a cookie that was sent there has come back from there.
    shown: [bool; 3],
    joined: Vec<SocketAddr>,
    reached: Reached,
}

impl Caller {
    fn step(&mut self, script: &mut Reader<'_>) -> Result<(), Malformed> {
        let (what, who, which) = (script.u8()?, script.u8()?, script.u8()?);
        let (number, detail) = (script.u8()?, script.u8()?);
        let who = usize::from(who) % ADDRESSES.len();
        let group = GROUPS[usize::from(which) % GROUPS.len()].into();
        let cookie = self.cookies[usize::from(which / 8) % self.cookies.len()];
        let body = match what % 9 {
            0 | 1 => Body::Hello {
                group,
                source: (detail > 250).then_some([192, 0, 2, detail].into()),
            },
            2 => Body::Send(Burst {
                to_group: detail % 2 == 0,
                by_route: detail % 3 == 0,
                count: detail,
                size: u16::from(which) * 8,
                hops: detail % 5,
                source: None,
            }),
            3 => Body::Watch,
            4 => Body::Examine {
                round: number.into(),
                sent: 20,
            },
            5 => Body::Read { chunk: detail },
            6 => Body::Data {
                index: detail,
                from_client: true,
            },
            7 => Body::Bye,
            _ => {
                self.now += Duration::from_millis(u64::from(detail) * u64::from(number));
                self.server.handle_timeout(self.now);
                return Ok(());
            }
        };
        let message = Message {
            // A session is one of a few, so that some are met again.
            nonce: [detail % 16; 16],
            cookie,
            number: number.into(),
            body,
        };
        self.deliver(who, &message.emit(None, 0));
        Ok(())
    }

    fn deliver(&mut self, who: usize, payload: &Bytes) {
        self.came[who] += payload.len();
        let interface = InterfaceId::new(2, "eth0");
        let server = ([192, 0, 2, 1], 49_366).into();
        let datagram = Received::new(payload, ADDRESSES[who].into(), server, &interface);
        self.server.handle_datagram(self.now, datagram);
    }

    /// Does what the server wants until it waits, and checks that it may.
    fn poll(&mut self) {
        for outputs in 0.. {
            assert!(outputs < 256, "one datagram makes it do too much");
            match self.server.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    self.transmit(transmit.destination, &transmit.payload);
                }
                Output::Request(request) => self.request(request),
                Output::Event(event) => self.event(event),
                Output::Wait { .. } | Output::Finished => return,
            }
        }
    }

    fn transmit(&mut self, to: SocketAddr, payload: &Bytes) {
        let Some(who) = ADDRESSES.iter().position(|it| SocketAddr::from(*it) == to) else {
            assert!(self.joined.contains(&to), "nobody has agreed on {to}");
            self.reached.datagrams += 1;
            return;
        };
        self.sent[who] += payload.len();
        assert!(
            self.shown[who] || self.sent[who] <= self.came[who],
            "{to} was sent more than came from there"
        );
        if let (0 | 1, Ok(message)) = (who, Message::parse(payload, None)) {
            self.cookies.truncate(31);
            self.cookies.insert(0, message.cookie);
        }
    }

    fn request(&mut self, request: Request) {
        let answer = match request {
            Request::Open { tag, .. } => NetworkEvent::Opened {
                tag,
                socket: SocketId::new(tag),
                local: ([192, 0, 2, 1], 50_000).into(),
            },
            Request::Join { group, port } => {
                let group = SocketAddr::new(group.address, port);
                let may = GROUPS[..2].iter().any(|it| SocketAddr::from(*it) == group);
                assert!(may, "it joins {group}");
                self.joined.push(group);
                let interface = InterfaceId::new(2, "eth0");
                NetworkEvent::Joined(Membership::new(group, interface, SourceFilter::any()))
            }
            _ => return,
        };
        self.server.handle_network(self.now, answer);
    }

    fn event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Agreed { client, .. } => {
                let who = ADDRESSES
                    .iter()
                    .position(|it| SocketAddr::from(*it) == client);
                let who = who.expect("one of those who have asked");
                assert!(who < 2, "it cannot have seen its cookie");
                self.shown[who] = true;
                self.reached.sessions += 1;
            }
            ServerEvent::Watch(inquiry) => self.server.watching(&inquiry),
            ServerEvent::Examine { inquiry, .. } => {
                let is_left = self.server.suspend(&inquiry);
                if !is_left {
                    self.server.examined(&inquiry, &super::Report::default());
                }
            }
            ServerEvent::Suspended(inquiry) => {
                self.reached.examinations += 1;
                self.server.examined(&inquiry, &super::Report::default());
            }
            _ => {}
        }
        let sessions = self.server.sessions();
        assert!(sessions <= SESSIONS, "{sessions} sessions");
    }
}
