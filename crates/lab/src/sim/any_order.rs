//! Calling a protocol in ways that no driver would.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::wire::Reader;
use manycast_proto::{NetworkEvent, Output, Protocol, Request};
use manycast_types::{
    ErrorKind, Group, InterfaceId, MAX_PAYLOAD, Malformed, Membership, NetworkError, Received, Run,
    SocketId, SourceFilter, Transmit, Unreachable,
};

/// How many outputs a protocol may make of one call, but for what it always has to send.
const OUTPUTS_PER_CALL: usize = 256;

/// How many datagrams are taken of a protocol in a turn, before it is called again.
const TURN: usize = 256;

/// How long a datagram takes to be sent.
const OUTPUT: Duration = Duration::from_micros(1);

/// How many unanswered requests, and open sockets, are remembered.
const REMEMBERED: usize = 16;

/// Addresses that datagrams should not come from, and do.
const STRANGE: [SocketAddr; 7] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 7),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 7),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)), 7),
    SocketAddr::new(
        IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()),
        65_535,
    ),
];

/// Calls `protocol` as the bytes of `script` say, in any order and at any time, and checks that it
/// keeps the contract of [`Protocol`]:
///
/// * no call panics;
/// * after a call, there are a few events and requests at most, even of a protocol that always has
///   something to send;
/// * after a stop, what is still to be sent comes to an end, also of such a protocol;
/// * what it waits for stays the same while nothing happens, and a time-out that comes too early
///   changes nothing;
/// * after a time-out the deadline lies ahead;
/// * once finished, it stays finished;
/// * no datagram that it sends is longer than UDP allows, nor has a hop limit or a code point that
///   there is not.
///
/// Every script is a valid one, so property tests and fuzzers alike can make them up. Datagrams
/// come from `peers` (name those that the protocol deals with) and from strange addresses, one by
/// one and as runs; their payloads are made up, or are what the protocol itself has sent, unharmed
/// or spoilt. Requests are granted, refused or forgotten, and answers come unasked.
///
/// A protocol that always has something to send is taken as a fair driver takes it: after some
/// datagrams time has passed, and it is called again.
///
/// # Panics
///
/// When the contract is broken, saying how.
pub fn any_order<P: Protocol>(protocol: &mut P, script: &[u8], peers: &[SocketAddr]) {
    let mut caller = Caller {
        protocol,
        peers,
        interface: InterfaceId::new(2, "eth0"),
        now: Instant::now(),
        sent: Vec::new(),
        sockets: vec![SocketId::default()],
        next_socket: 1,
        granting: Granting::Yes,
        answers: VecDeque::new(),
        unanswered: VecDeque::new(),
        calls: 1,
        others: 0,
        stopped: false,
        state: State::Unknown,
    };
    let mut script = Reader::new(script);
    while !script.remaining().is_empty() {
        // A script that ends in the middle of a call ends before it.
        if caller.call(&mut script).is_err() {
            break;
        }
    }
    caller.drain();
    caller.stop();
    caller.drain();
}

struct Caller<'a, P> {
    protocol: &'a mut P,
    peers: &'a [SocketAddr],
    interface: InterfaceId,
    now: Instant,
    /// What the protocol has sent lately.
    sent: Vec<Bytes>,
    /// Sockets that were opened lately, and the first.
    sockets: Vec<SocketId>,
    next_socket: u64,
    granting: Granting,
    /// What is told before the next poll.
    answers: VecDeque<NetworkEvent>,
    /// Requests that were forgotten.
    unanswered: VecDeque<Request>,
    /// Calls since the protocol last had nothing to hand out.
    calls: usize,
    /// Events and requests since then.
    others: usize,
    stopped: bool,
    state: State,
}

/// What the protocol last said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It has still something to hand out, perhaps.
    Unknown,
    Waiting(Option<Instant>, &'static str),
    Finished,
}

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Granting {
    Yes,
    No,
    /// They are forgotten, which no driver does.
    Never,
}

impl<P: Protocol> Caller<'_, P> {
    fn call(&mut self, script: &mut Reader<'_>) -> Result<(), Malformed> {
        match script.u8()? % 16 {
            0 => self.protocol.start(self.now),
            1 => self.stop(),
            2..=5 => self.datagrams(script, false)?,
            6 => self.datagrams(script, true)?,
            7 => self.network(script)?,
            8 => self.protocol.handle_timeout(self.now),
            9 => self.now += Duration::from_micros(script.u16()?.into()),
            10 => self.now += Duration::from_millis(script.u16()?.into()),
            11 => {
                // A clock that runs backwards is broken, but no reason to panic.
                let back = Duration::from_millis(script.u16()?.into());
                self.now = self.now.checked_sub(back).unwrap_or(self.now);
            }
            12 => {
                self.poll();
                return Ok(());
            }
            _ => {
                self.time_out();
                return Ok(());
            }
        }
        self.called();
        Ok(())
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.protocol.stop(self.now);
        self.called();
    }

    /// Hands over a datagram, or several of equal length as a run.
    fn datagrams(&mut self, script: &mut Reader<'_>, as_run: bool) -> Result<(), Malformed> {
        let source = self.address(script.u8()?);
        let destination = self.address(script.u8()?);
        let mut payload = match (script.u8()?, self.sent.len()) {
            (length @ 0..128, _) | (length, 0) => {
                let length = usize::from(length % 128).min(script.remaining().len());
                script.bytes(length)?.to_vec()
            }
            (which, sent) => {
                let mut payload = self.sent[usize::from(which) % sent].to_vec();
                match script.u8()? {
                    0..64 => payload.truncate(script.u16()?.into()),
                    64..128 => payload.extend_from_slice(&script.array::<3>()?),
                    128..192 if !payload.is_empty() => {
                        let offset = usize::from(script.u16()?) % payload.len();
                        payload[offset] ^= script.u8()?;
                    }
                    _ => {}
                }
                payload.truncate(MAX_PAYLOAD);
                payload
            }
        };
        // In a run, a number of equal ones, and perhaps a shorter one.
        let size = payload.len();
        if as_run {
            let (times, short) = (usize::from(script.u8()? % 8), script.u8()?);
            let last = payload[..usize::from(short) % (size + 1)].to_vec();
            payload = payload.repeat(times + 1);
            payload.extend_from_slice(&last);
            payload.truncate(MAX_PAYLOAD);
        }
        let unicast = !destination.ip().is_multicast();
        let mut received = Received::new(&payload, source, destination, &self.interface);
        received.local = unicast.then_some(destination.ip());
        received.hops = Some(1);
        received.socket = self.sockets[size % self.sockets.len()];
        if as_run {
            self.protocol.handle_run(self.now, Run::new(received, size));
        } else {
            self.protocol.handle_datagram(self.now, received);
        }
        Ok(())
    }

    /// Tells of something in the network, asked for or not.
    fn network(&mut self, script: &mut Reader<'_>) -> Result<(), Malformed> {
        let (what, which) = (script.u8()?, script.u8()?);
        let peer = self.address(which);
        let socket = match which {
            // One that nobody opened.
            255 => SocketId::new(u64::MAX),
            _ => self.sockets[usize::from(which) % self.sockets.len()],
        };
        let error = NetworkError::new(ErrorKind::Other, "the script says so");
        let membership = Membership::new(peer, self.interface.clone(), SourceFilter::any());
        let event = match what % 12 {
            0 => NetworkEvent::refused(socket, peer),
            1 => NetworkEvent::Unreachable {
                socket,
                unreachable: Unreachable::new(peer, ErrorKind::HostUnreachable, 0),
            },
            2 => NetworkEvent::NotSent {
                destination: peer,
                count: usize::from(which),
                error,
            },
            3 => NetworkEvent::NotSent {
                destination: peer,
                count: usize::MAX,
                error,
            },
            4 => NetworkEvent::Opened {
                tag: which.into(),
                socket,
                local: peer,
            },
            5 => NetworkEvent::NotOpened {
                tag: which.into(),
                error,
            },
            6 => NetworkEvent::Joined(membership),
            7 => NetworkEvent::Left(membership),
            8 => NetworkEvent::NotJoined {
                group: Group::new(peer.ip()),
                port: peer.port(),
                error,
            },
            9 | 10 => {
                self.granting = match which % 3 {
                    0 => Granting::Yes,
                    1 => Granting::No,
                    _ => Granting::Never,
                };
                return Ok(());
            }
            _ => match self.unanswered.pop_front() {
                Some(late) => {
                    self.answer(&late, which % 2 == 0);
                    self.tell();
                    return Ok(());
                }
                None => return Ok(()),
            },
        };
        self.protocol.handle_network(self.now, event);
        Ok(())
    }

    /// Prepares the answer to a request.
    fn answer(&mut self, request: &Request, granted: bool) {
        let error = NetworkError::new(ErrorKind::LimitReached, "it was refused");
        let membership = |group: &Group, port| {
            let group = (group.address, port).into();
            Membership::new(group, self.interface.clone(), SourceFilter::any())
        };
        let answer = match request {
            Request::Open { tag, .. } if !granted => NetworkEvent::NotOpened { tag: *tag, error },
            Request::Open { tag, .. } => {
                let socket = SocketId::new(self.next_socket);
                self.next_socket += 1;
                self.sockets.truncate(REMEMBERED);
                self.sockets.push(socket);
                NetworkEvent::Opened {
                    tag: *tag,
                    socket,
                    local: ([192, 0, 2, 1], 49_152).into(),
                }
            }
            Request::Join { group, port } if !granted => NetworkEvent::NotJoined {
                group: group.clone(),
                port: *port,
                error,
            },
            Request::Join { group, port } => NetworkEvent::Joined(membership(group, *port)),
            Request::Leave { group, port } => NetworkEvent::Left(membership(group, *port)),
            _ => return,
        };
        self.answers.push_back(answer);
    }

    /// Tells the answers that are ready. They are no calls of their own: whoever makes a request of
    /// each answer never comes to an end.
    fn tell(&mut self) {
        while let Some(answer) = self.answers.pop_front() {
            self.protocol.handle_network(self.now, answer);
            if self.state != State::Finished {
                self.state = State::Unknown;
            }
        }
    }

    fn address(&self, which: u8) -> SocketAddr {
        let all = self.peers.len() + STRANGE.len();
        let which = usize::from(which) % all;
        self.peers
            .get(which)
            .copied()
            .unwrap_or_else(|| STRANGE[which - self.peers.len()])
    }

    /// Waits for the deadline, if there is one.
    fn time_out(&mut self) {
        self.drain();
        if let State::Waiting(Some(until), _) = self.state {
            self.now = self.now.max(until);
        }
        self.protocol.handle_timeout(self.now);
        self.called();
        let due = self.now;
        self.drain();
        if let State::Waiting(Some(until), reason) = self.state {
            assert!(
                until > due,
                "the wait for {reason} goes on after its deadline"
            );
        }
    }

    /// Whatever it said before may have changed, unless it had finished.
    fn called(&mut self) {
        self.calls += 1;
        if self.state != State::Finished {
            self.state = State::Unknown;
        }
    }

    /// Polls until there is nothing more, or for a turn, and checks that nothing changes when
    /// nothing happens.
    fn drain(&mut self) {
        let mut polls = 0;
        while !self.poll() {
            polls += 1;
            if self.stopped {
                let limit = OUTPUTS_PER_CALL * self.calls;
                assert!(polls <= limit, "more than {limit} outputs after a stop");
            } else if polls == TURN {
                // It always has something to send, perhaps, as it may: its time is over.
                self.now += OUTPUT * polls.try_into().expect("a turn is short");
                return self.called();
            }
        }
        self.poll();
        let early = !matches!(self.state, State::Waiting(Some(until), _) if until <= self.now);
        if early {
            self.protocol.handle_timeout(self.now);
            self.poll();
        }
    }

    /// Takes one output; true when there is no more. Whoever has nothing more to hand out must say
    /// the same again.
    fn poll(&mut self) -> bool {
        self.tell();
        let state = match self.protocol.poll_output(self.now) {
            Output::Transmit(transmit) => {
                self.transmit(&transmit);
                State::Unknown
            }
            Output::Event(_) => {
                self.other();
                State::Unknown
            }
            Output::Request(request) => {
                self.other();
                self.request(request);
                State::Unknown
            }
            Output::Wait { until, reason } => {
                assert!(!reason.is_empty(), "a wait without a reason");
                State::Waiting(until, reason)
            }
            Output::Finished => State::Finished,
        };
        if self.state != State::Unknown {
            assert_eq!(state, self.state, "nothing happened since");
        }
        self.state = state;
        if state == State::Unknown {
            return false;
        }
        (self.calls, self.others) = (0, 0);
        true
    }

    fn transmit(&mut self, transmit: &Transmit) {
        for payload in transmit.segments() {
            let length = payload.len();
            assert!(length <= MAX_PAYLOAD, "a datagram of {length} bytes");
        }
        assert_ne!(transmit.hops, Some(0), "a hop limit of 0");
        assert_ne!(transmit.segment_size, Some(0), "segments of 0 bytes");
        for payload in transmit.segments().take(2) {
            self.sent.truncate(7);
            self.sent.insert(0, transmit.payload.slice_ref(payload));
        }
    }

    /// Counts an event or a request: nothing comes endlessly but what is to be sent.
    fn other(&mut self) {
        self.others += 1;
        let limit = OUTPUTS_PER_CALL * (self.calls + 1);
        assert!(
            self.others <= limit,
            "more than {limit} events and requests of {} calls",
            self.calls
        );
    }

    fn request(&mut self, request: Request) {
        match &request {
            Request::Join { group, .. } | Request::Leave { group, .. } => {
                let address = group.address;
                assert!(address.is_multicast(), "{address} is no group");
            }
            Request::Close { socket } => self.sockets.retain(|it| {
                // The first one is not the protocol's own.
                it != socket || *it == SocketId::default()
            }),
            _ => {}
        }
        match self.granting {
            Granting::Yes => self.answer(&request, true),
            Granting::No => self.answer(&request, false),
            Granting::Never => {
                self.unanswered.truncate(REMEMBERED);
                self.unanswered.push_back(request);
            }
        }
    }
}
