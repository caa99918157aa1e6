//! The driver that blocks.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast_net::Stopper;
use manycast_proto::Protocol;

use super::{Engine, Turn};
use crate::Error;
use crate::endpoint::Endpoint;

/// Runs a protocol over sockets, on the calling thread.
///
/// The hooks [`Protocol::start`] and [`Protocol::stop`] run exactly once each: before the first
/// datagram, and at the end, also when the end is an error or the driver is dropped. This is the
/// callback style that Twisted's `DatagramProtocol` is known for:
///
/// ```
/// use std::time::Instant;
///
/// use manycast::{Driver, Output, Protocol, Received, Socket, Transmit};
///
/// /// Answers one datagram with itself.
/// #[derive(Default)]
/// struct EchoOnce {
///     answer: Option<Transmit>,
///     answered: bool,
/// }
///
/// impl Protocol for EchoOnce {
///     type Event = ();
///
///     fn start(&mut self, _now: Instant) {
///         println!("listening");
///     }
///
///     fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
///         let payload = datagram.payload.to_vec().into();
///         self.answer = Some(Transmit::answer(&datagram, payload));
///         self.answered = true;
///     }
///
///     fn handle_timeout(&mut self, _now: Instant) {}
///
///     fn poll_output(&mut self) -> Output<()> {
///         match self.answer.take() {
///             Some(answer) => Output::Transmit(answer),
///             None if self.answered => Output::Finished,
///             None => Output::Wait { until: None, reason: "a datagram" },
///         }
///     }
///
///     fn stop(&mut self, _now: Instant) {
///         println!("closed");
///     }
/// }
///
/// let server = Socket::bind("127.0.0.1:0")?;
/// let mut client = Socket::connect(server.local_addr()?)?;
/// client.send("ping")?;
/// Driver::new(server, EchoOnce::default()).run(|_, ()| {})?;
/// assert_eq!(client.recv()?.payload, b"ping");
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Driver<P: Protocol> {
    engine: Engine<P>,
    until: Option<Instant>,
}

impl<P: Protocol> Driver<P> {
    /// A driver of `protocol` over a [`Socket`](crate::Socket) or a
    /// [`Listener`](crate::Listener).
    pub fn new(endpoint: impl Into<Endpoint>, protocol: P) -> Self {
        Self {
            engine: Engine::new(endpoint.into(), protocol, true),
            until: None,
        }
    }

    /// Runs until the protocol has something to tell. `None`: `timeout` is over (`None`: for ever),
    /// the protocol has finished, or it was stopped; [`Driver::is_finished`] tells which.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails. Datagrams that cannot be sent are counted in
    /// [`Driver::unsent`].
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<P::Event>, Error> {
        let result = self.advance(timeout);
        if result.is_err() {
            self.engine.stop(Instant::now());
        }
        result
    }

    fn advance(&mut self, timeout: Option<Duration>) -> Result<Option<P::Event>, Error> {
        let engine = &mut self.engine;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut over = false;
        loop {
            let now = Instant::now();
            match engine.turn(now) {
                Turn::Event(event) => return Ok(Some(event)),
                Turn::Finished => return Ok(None),
                Turn::Wait(until) => self.until = until,
                // Only where somebody has made the descriptor a non-blocking one.
                Turn::Full(destination) => {
                    engine.endpoint.socket_for(destination)?.wait_for_room()?;
                    continue;
                }
            }
            if over {
                return Ok(None);
            }
            let until = match (self.until, deadline) {
                (Some(until), Some(deadline)) => Some(until.min(deadline)),
                (until, deadline) => until.or(deadline),
            };
            let left = until.map(|until| until.saturating_duration_since(now));
            engine.endpoint.wait(left)?;
            if engine.endpoint.is_stopped() {
                engine.stop(Instant::now());
                return Ok(None);
            }
            let now = Instant::now();
            engine.take_in(now);
            over = deadline.is_some_and(|deadline| deadline <= now);
        }
    }

    /// Runs until the protocol has finished or is stopped, telling of each event, and gives the
    /// protocol back to the events' receiver too, for commands.
    ///
    /// # Errors
    ///
    /// As [`Driver::next_event`].
    pub fn run(mut self, mut on_event: impl FnMut(&mut P, P::Event)) -> Result<(), Error> {
        while let Some(event) = self.next_event(None)? {
            on_event(&mut self.engine.protocol, event);
        }
        Ok(())
    }

    /// The protocol, for its statistics.
    pub const fn protocol(&self) -> &P {
        &self.engine.protocol
    }

    /// The protocol, for commands.
    pub const fn protocol_mut(&mut self) -> &mut P {
        &mut self.engine.protocol
    }

    /// The sockets, for what a protocol cannot do by itself.
    pub const fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.engine.endpoint
    }

    /// Whether the protocol has finished or was stopped.
    pub fn is_finished(&self) -> bool {
        self.engine.phase == super::Phase::Stopped
    }

    /// When the protocol wants to go on even if nothing comes, as [`Driver::next_event`] last left
    /// it: for another event loop, which waits for the descriptor until then, and calls
    /// [`Driver::next_event`] with a time-out of zero until that gives `None`.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use manycast::{AskConfig, Socket};
    ///
    /// let mut server = Socket::bind("127.0.0.1:0")?;
    /// let mut asker = manycast::asker(server.local_addr()?, "hello", &AskConfig::default())?;
    /// assert!(asker.next_event(Some(Duration::ZERO))?.is_none());
    /// assert!(asker.until().is_some_and(|until| until > Instant::now()));
    /// assert_eq!(server.recv()?.payload, b"hello");
    /// # Ok::<(), manycast::Error>(())
    /// ```
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How many datagrams the kernel would not take, for want of a route for instance.
    pub const fn unsent(&self) -> u64 {
        self.engine.unsent
    }

    /// Something that ends it from another thread; the stop hook runs then.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.engine.endpoint.stopper()
    }
}

impl<P: Protocol> AsFd for Driver<P> {
    /// A descriptor for another event loop: readable when there is something to receive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.engine.endpoint.as_fd()
    }
}
