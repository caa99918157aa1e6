//! A protocol of any type, and what it has told.

use std::any::Any;
use std::time::{Duration, Instant};

use manycast_proto::{NetworkEvent, Output, Protocol, Request};
use manycast_types::{Received, Run, Transmit};

/// A protocol without the type of its events, so that one network can run several kinds.
pub(super) trait Node: Any {
    fn start(&mut self, now: Instant);
    fn stop(&mut self, now: Instant);
    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>);
    fn handle_run(&mut self, now: Instant, run: Run<'_>);
    fn handle_network(&mut self, now: Instant, event: NetworkEvent);
    fn handle_timeout(&mut self, now: Instant);
    fn poll(&mut self, now: Instant, elapsed: Duration) -> Polled;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// An [`Output`] whose event was put aside.
pub(super) enum Polled {
    Transmit(Transmit),
    Request(Request),
    Event,
    Wait(Option<(Instant, &'static str)>),
    Finished,
}

/// A protocol with its own type, and its events with the time at which they came.
pub(super) struct Running<P: Protocol> {
    pub(super) protocol: P,
    pub(super) events: Vec<(Duration, P::Event)>,
}

impl<P: Protocol> Running<P> {
    pub(super) const fn new(protocol: P) -> Self {
        Self {
            protocol,
            events: Vec::new(),
        }
    }
}

impl<P> Node for Running<P>
where
    P: Protocol + 'static,
    P::Event: 'static,
{
    fn start(&mut self, now: Instant) {
        self.protocol.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.protocol.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.protocol.handle_datagram(now, datagram);
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        self.protocol.handle_run(now, run);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.protocol.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.protocol.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant, elapsed: Duration) -> Polled {
        match self.protocol.poll_output(now) {
            Output::Transmit(transmit) => Polled::Transmit(transmit),
            Output::Request(request) => Polled::Request(request),
            Output::Event(event) => {
                self.events.push((elapsed, event));
                Polled::Event
            }
            Output::Wait { until, reason } => Polled::Wait(until.map(|until| (until, reason))),
            Output::Finished => Polled::Finished,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
