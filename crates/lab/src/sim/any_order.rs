//! Calling a protocol in ways that no driver would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::wire::Reader;
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::{InterfaceId, MAX_PAYLOAD, Malformed, Received, SocketId};

/// How many outputs a protocol may make of one call.
const OUTPUTS_PER_CALL: usize = 256;

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
/// * what it waits for stays the same while nothing happens, and a time-out that comes too early
///   changes nothing;
/// * after a time-out the deadline lies ahead;
/// * once finished, it stays finished;
/// * no datagram that it sends is longer than UDP allows.
///
/// Every script is a valid one, so property tests and fuzzers alike can make them up. Datagrams
/// come from `peers` (name those that the protocol deals with) and from strange addresses; their
/// payloads are made up, or are what the protocol itself has sent, unharmed or spoilt.
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
        calls: 1,
        state: State::Unknown,
    };
    let mut script = Reader::new(script);
    while !script.remaining().is_empty() {
        // A script that ends in the middle of a call ends before it.
        if caller.call(&mut script).is_err() {
            break;
        }
    }
    caller.settle();
    caller.protocol.stop(caller.now);
    caller.called();
    caller.settle();
}

struct Caller<'a, P> {
    protocol: &'a mut P,
    peers: &'a [SocketAddr],
    interface: InterfaceId,
    now: Instant,
    /// What the protocol has sent lately.
    sent: Vec<Bytes>,
    /// Calls since the protocol was last polled to the end.
    calls: usize,
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

impl<P: Protocol> Caller<'_, P> {
    fn call(&mut self, script: &mut Reader<'_>) -> Result<(), Malformed> {
        match script.u8()? % 16 {
            0 => self.protocol.start(self.now),
            1 => self.protocol.stop(self.now),
            2..=6 => self.datagram(script)?,
            7 => {
                let peer = self.address(script.u8()?);
                let refused = NetworkEvent::refused(SocketId::default(), peer);
                self.protocol.handle_network(self.now, refused);
            }
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

    fn datagram(&mut self, script: &mut Reader<'_>) -> Result<(), Malformed> {
        let source = self.address(script.u8()?);
        let destination = self.address(script.u8()?);
        let payload = match (script.u8()?, self.sent.len()) {
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
        let unicast = !destination.ip().is_multicast();
        let mut received = Received::new(&payload, source, destination, &self.interface);
        received.local = unicast.then_some(destination.ip());
        received.hops = Some(1);
        self.protocol.handle_datagram(self.now, received);
        Ok(())
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
        self.settle();
        if let State::Waiting(Some(until), _) = self.state {
            self.now = self.now.max(until);
        }
        self.protocol.handle_timeout(self.now);
        self.called();
        self.settle();
        if let State::Waiting(Some(until), reason) = self.state {
            assert!(
                until > self.now,
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

    /// Polls to the end, and checks that nothing changes when nothing happens.
    fn settle(&mut self) {
        let limit = OUTPUTS_PER_CALL * self.calls + 1;
        let mut outputs = 0;
        while !self.poll() {
            outputs += 1;
            if outputs == limit {
                // It always has something to send, as it may.
                break;
            }
        }
        self.calls = 0;
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
        let state = match self.protocol.poll_output(self.now) {
            Output::Transmit(transmit) => {
                let length = transmit.payload.len();
                assert!(length <= MAX_PAYLOAD, "a datagram of {length} bytes");
                self.sent.truncate(7);
                self.sent.insert(0, transmit.payload);
                State::Unknown
            }
            Output::Event(_) | Output::Request(_) => State::Unknown,
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
        state != State::Unknown
    }
}
