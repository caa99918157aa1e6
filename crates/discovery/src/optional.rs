//! A protocol that is there or not.

use std::time::Instant;

use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::Received;

/// A protocol that is run, or nothing in its place, so that all choices of protocols are of one type.
#[derive(Debug)]
pub(crate) enum Optional<P> {
    On(P),
    Off { stopped: bool },
}

impl<P> Optional<P> {
    pub(crate) fn of(protocol: Option<P>) -> Self {
        protocol.map_or(Self::Off { stopped: false }, Self::On)
    }

    pub(crate) const fn get(&self) -> Option<&P> {
        match self {
            Self::On(protocol) => Some(protocol),
            Self::Off { .. } => None,
        }
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut P> {
        match self {
            Self::On(protocol) => Some(protocol),
            Self::Off { .. } => None,
        }
    }
}

impl<P: Protocol> Protocol for Optional<P> {
    type Event = P::Event;

    fn start(&mut self, now: Instant) {
        if let Self::On(protocol) = self {
            protocol.start(now);
        }
    }

    fn stop(&mut self, now: Instant) {
        match self {
            Self::On(protocol) => protocol.stop(now),
            Self::Off { stopped } => *stopped = true,
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if let Self::On(protocol) = self {
            protocol.handle_datagram(now, datagram);
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if let Self::On(protocol) = self {
            protocol.handle_network(now, event);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Self::On(protocol) = self {
            protocol.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<P::Event> {
        match self {
            Self::On(protocol) => protocol.poll_output(now),
            Self::Off { stopped: true } => Output::Finished,
            Self::Off { .. } => Output::Wait {
                until: None,
                reason: "nothing",
            },
        }
    }
}

/// Whether a datagram is one of SSDP, where it shares its sockets with WS-Discovery: that is told by the port of the
/// group; where a host was asked by itself, by the text.
pub(crate) fn is_ssdp(datagram: &Received<'_>) -> bool {
    match datagram.destination.port() {
        manycast_proto::ssdp::PORT => true,
        manycast_proto::ws_discovery::PORT => false,
        _ => {
            let text = datagram.payload;
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            !text.trim_ascii_start().starts_with(b"<")
        }
    }
}
