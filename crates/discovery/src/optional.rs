//! A protocol that is there or not.

use std::time::Instant;

use manycast_io::{Interface, interfaces};
use manycast_proto::{NetworkEvent, Output, Protocol};
use manycast_types::{InterfaceSelector, Received};

/// A protocol that is run, or nothing in its place, so that all choices of protocols are of one type.
#[derive(Debug)]
pub(crate) struct Optional<P> {
    protocol: Option<P>,
    /// Whether it also works on the loopback interface. Where there is another, that brings nothing but failures.
    loopback: bool,
    stopped: bool,
}

/// The index of the loopback interface, which the kernel never gives to another (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

impl<P> Optional<P> {
    pub(crate) const fn new(protocol: Option<P>, loopback: bool) -> Self {
        Self {
            protocol,
            loopback,
            stopped: false,
        }
    }

    pub(crate) const fn get(&self) -> Option<&P> {
        self.protocol.as_ref()
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut P> {
        self.protocol.as_mut()
    }
}

impl<P: Protocol> Protocol for Optional<P> {
    type Event = P::Event;

    fn start(&mut self, now: Instant) {
        if let Some(protocol) = &mut self.protocol {
            protocol.start(now);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.stopped = true;
        if let Some(protocol) = &mut self.protocol {
            protocol.stop(now);
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        if let Some(protocol) = &mut self.protocol {
            protocol.handle_datagram(now, datagram);
        }
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        if let NetworkEvent::Joined(it) = &event
            && it.interface.index == LOOPBACK
            && !self.loopback
        {
            return;
        }
        if let Some(protocol) = &mut self.protocol {
            protocol.handle_network(now, event);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(protocol) = &mut self.protocol {
            protocol.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<P::Event> {
        match &mut self.protocol {
            Some(protocol) => protocol.poll_output(now),
            None if self.stopped => Output::Finished,
            None => Output::Wait {
                until: None,
                reason: "nothing",
            },
        }
    }
}

/// Whether loopback is asked on too: it was named, or there is nothing else.
pub(crate) fn loopback(on: &[InterfaceSelector]) -> bool {
    let is_other = |it: &Interface| !it.loopback && it.can_multicast() && !it.addresses.is_empty();
    !on.is_empty() || !interfaces().is_ok_and(|all| all.iter().any(is_other))
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
