//! What every protocol is: one trait, one kind of output.

use std::time::Instant;

use manycast_types::{Received, Run, Transmit};

use crate::{NetworkEvent, Request};

/// A protocol as a state machine, which does no I/O and reads no clock.
///
/// Whoever runs it, its *driver*, owns the sockets and the clock:
///
/// ```text
///               start · handle_datagram · handle_network · handle_timeout · stop
///    driver  ────────────────────────────────────────────────────────────────────▶  protocol
///  (sockets, ◀────────────────────────────────────────────────────────────────────
///    clock)                          poll_output
/// ```
///
/// # For drivers
///
/// 1. Call [`start`](Self::start) once, before anything else.
/// 2. Call [`poll_output`](Self::poll_output) a bounded number of times, or until it says
///    [`Output::Wait`] or [`Output::Finished`]; send each [`Output::Transmit`], hand each
///    [`Output::Event`] to the application, do each [`Output::Request`] and answer it by
///    [`handle_network`](Self::handle_network) before the next poll.
/// 3. At [`Output::Wait`], wait for a datagram or for the deadline, whichever is first. When the
///    bound is reached, do not wait, but look all the same: a protocol that always has something to
///    send keeps nobody waiting. Tell the protocol what came by the `handle_…` methods, and go on
///    with 2. A command of the application (a method of the protocol's own) ends the wait too.
/// 4. At [`Output::Finished`], or whenever the application or an error ends it, call
///    [`stop`](Self::stop) once and poll as in 2 for what is still to be sent; then drop it.
///
/// So `start` and `stop` run exactly once each, also on error; they are the hooks of the callback
/// style.
///
/// No call blocks on a send buffer. While one is full, the driver takes no more outputs, but goes
/// on to receive and to keep time. What could not be sent at all is told by
/// [`NetworkEvent::NotSent`]; it must not end the protocol by itself, since a peer may have chosen
/// the destination.
///
/// # For protocols
///
/// * Outputs are queued inside. Each call may queue a few, of a number that does not depend on
///   what a peer sent. A protocol may have something to send at every poll, for ever.
/// * Any order of calls is allowed, also one that the list above rules out. None of them panics,
///   blocks or loops.
/// * [`handle_timeout`](Self::handle_timeout) before the deadline changes nothing. At the deadline
///   or later it consumes the deadline: the next one lies after `now`.
/// * [`Output::Wait`] changes nothing either: polled again at the same time without a call between,
///   it says the same. [`Output::Finished`] is final, whatever is called.
/// * Malformed, unexpected and hostile datagrams are counted and traced; there is no error to
///   return. State that a peer can make grow has a bound.
/// * `now` comes from one clock. A protocol may rely on its moving forward for its timing, but not
///   for its soundness.
/// * An answer goes out by the socket that was asked: [`Received::reply`].
///
/// # Example
///
/// A protocol that sends one greeting, and what a driver gets to see:
///
/// ```
/// use std::net::SocketAddr;
/// use std::time::Instant;
///
/// use manycast_proto::{Output, Protocol};
/// use manycast_types::{Received, Transmit};
///
/// struct Greeting(Option<SocketAddr>);
///
/// impl Protocol for Greeting {
///     type Event = ();
///     fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}
///     fn handle_timeout(&mut self, _now: Instant) {}
///     fn poll_output(&mut self, _now: Instant) -> Output<()> {
///         match self.0.take() {
///             Some(friend) => Output::Transmit(Transmit::new(friend, "hello".into())),
///             None => Output::Finished,
///         }
///     }
/// }
///
/// let mut greeting = Greeting(Some(([239, 192, 0, 100], 1000).into()));
/// let now = Instant::now();
/// greeting.start(now);
/// assert!(matches!(greeting.poll_output(now), Output::Transmit(_)));
/// assert_eq!(greeting.poll_output(now), Output::Finished);
/// ```
pub trait Protocol {
    /// What it tells the application.
    type Event;

    /// Begins. The driver is ready to send and to receive.
    fn start(&mut self, now: Instant) {
        let _ = now;
    }

    /// Ends. What is polled after this is sent or told, and nothing is received any more.
    fn stop(&mut self, now: Instant) {
        let _ = now;
    }

    /// Takes in a datagram that came.
    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>);

    /// Takes in datagrams that came as one buffer, as [`handle_datagram`](Self::handle_datagram)
    /// one after another. A protocol that gets millions a second may do it faster.
    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        for datagram in run.datagrams() {
            self.handle_datagram(now, datagram);
        }
    }

    /// Takes in what happened in the network: the answer to a [`Request`], a group that was joined
    /// or left, a datagram that came back or could not be sent.
    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        let _ = (now, event);
    }

    /// Takes in that time has passed.
    fn handle_timeout(&mut self, now: Instant);

    /// Hands out the next output.
    fn poll_output(&mut self, now: Instant) -> Output<Self::Event>;
}

/// What a protocol wants of its driver next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an output that is dropped is lost"]
pub enum Output<E> {
    /// Send this datagram.
    Transmit(Transmit),
    /// Tell the application.
    Event(E),
    /// Do this with sockets or groups.
    Request(Request),
    /// Nothing for now: call back at `until`, or when something happens.
    Wait {
        /// When [`Protocol::handle_timeout`] is due; `None` waits for datagrams alone.
        until: Option<Instant>,
        /// What is waited for, for traces and diagnosis, as in "waiting for {reason}".
        reason: &'static str,
    },
    /// Nothing ever again.
    Finished,
}

impl<E> Output<E> {
    /// The same with another event.
    pub fn map<F>(self, to: impl FnOnce(E) -> F) -> Output<F> {
        match self {
            Self::Event(event) => Output::Event(to(event)),
            Self::Transmit(transmit) => Output::Transmit(transmit),
            Self::Request(request) => Output::Request(request),
            Self::Wait { until, reason } => Output::Wait { until, reason },
            Self::Finished => Output::Finished,
        }
    }
}

/// A borrowed protocol is a protocol, so that its owner can still ask it for statistics after a
/// driver has run it.
impl<P: Protocol + ?Sized> Protocol for &mut P {
    type Event = P::Event;

    fn start(&mut self, now: Instant) {
        (**self).start(now);
    }

    fn stop(&mut self, now: Instant) {
        (**self).stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        (**self).handle_datagram(now, datagram);
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        (**self).handle_run(now, run);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        (**self).handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event> {
        (**self).poll_output(now)
    }
}
