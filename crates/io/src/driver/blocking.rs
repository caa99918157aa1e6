//! The driver that blocks.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast_net::Stopper;
use manycast_proto::Protocol;

use super::{Commands, Engine, Next, Running, Turn};
use crate::endpoint::Endpoint;
use crate::{Error, pace};

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
///         self.answer = Some(datagram.reply().with(payload));
///         self.answered = true;
///     }
///
///     fn handle_timeout(&mut self, _now: Instant) {}
///
///     fn poll_output(&mut self, _now: Instant) -> Output<()> {
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
///
/// A driver is fair: a protocol that always has something to send neither delays datagrams that come
/// nor a stop, a command or the end of a time-out. It never blocks on a full send buffer.
pub struct Driver<P: Protocol> {
    running: Running<P>,
    until: Option<Instant>,
    /// Whether it waits for deadlines to the microsecond.
    exact: bool,
}

impl<P: Protocol> Driver<P> {
    /// A driver of `protocol` over a [`Socket`](crate::Socket), a [`Listener`](crate::Listener) or
    /// a [`Sender`](crate::Sender).
    pub fn new(endpoint: impl Into<Endpoint>, protocol: P) -> Self {
        Self {
            running: Running {
                engine: Some(Engine::new(endpoint.into(), protocol)),
            },
            until: None,
            exact: false,
        }
    }

    /// Whether it waits for the deadlines of the protocol to the microsecond, which takes up to
    /// 80 µs of a core for each. Otherwise it may be late by the timer slack of the system, 50 µs on
    /// Linux (`prctl(2)`), or by a millisecond where the wait is longer than 20 ms.
    pub const fn set_exact(&mut self, exact: bool) {
        self.exact = exact;
    }

    /// Runs until the protocol has something to tell, has finished, or `timeout` is over (`None`: for
    /// ever).
    ///
    /// After a stop the protocol still takes in what had come before, and all that it has to tell is
    /// told; then comes [`Next::Finished`].
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails. Datagrams that cannot be sent are told to the protocol,
    /// and counted in [`Driver::unsent`].
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Next<P::Event>, Error> {
        let result = self.advance(timeout);
        if result.is_err() {
            self.running.engine_mut().stop(Instant::now());
        }
        result
    }

    fn advance(&mut self, timeout: Option<Duration>) -> Result<Next<P::Event>, Error> {
        let engine = self.running.engine_mut();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut over = false;
        loop {
            let now = Instant::now();
            let mut busy = false;
            match engine.turn(now)? {
                Turn::Event(event) => return Ok(Next::Event(event)),
                Turn::Finished => return Ok(Next::Finished),
                Turn::Wait(until) => self.until = until,
                Turn::Full(until) => self.until = Some(until),
                Turn::Busy => {
                    busy = true;
                    // Another event loop must come back at once.
                    self.until = Some(now);
                }
            }
            if over {
                return Ok(Next::TimedOut);
            }
            if busy {
                over = deadline.is_some_and(|deadline| deadline <= now);
                if !over && !engine.is_time_to_look() {
                    continue;
                }
                engine.endpoint.wait(Some(Duration::ZERO))?;
            } else {
                let until = match (self.until, deadline) {
                    (Some(until), Some(deadline)) => Some(until.min(deadline)),
                    (until, deadline) => until.or(deadline),
                };
                let mut left = until.map(|until| until.saturating_duration_since(now));
                if let (true, Some(all)) = (self.exact, left) {
                    left = Some(all.saturating_sub(pace::SPIN));
                }
                engine.endpoint.wait(left)?;
                if let Some(until) = until.filter(|_| self.exact)
                    && until.saturating_duration_since(Instant::now()) <= pace::SPIN
                {
                    pace::wait_until(until);
                }
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
        while let Next::Event(event) = self.next_event(None)? {
            on_event(self.protocol_mut(), event);
        }
        Ok(())
    }

    /// The protocol, for its statistics.
    pub fn protocol(&self) -> &P {
        &self.running.engine().protocol
    }

    /// The protocol, for commands.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.running.engine_mut().protocol
    }

    /// The sockets.
    pub fn endpoint(&self) -> &Endpoint {
        &self.running.engine().endpoint
    }

    /// What commands the protocol from other threads while this one waits.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn commands(&mut self) -> Result<Commands<P>, Error> {
        self.running.engine_mut().commands()
    }

    /// Takes it apart, so that another protocol can go on with the same sockets. The stop hook does
    /// not run.
    pub fn into_parts(mut self) -> (Endpoint, P) {
        let engine = self.running.engine.take().expect(Running::<P>::GONE);
        (engine.endpoint, engine.protocol)
    }

    /// Whether the protocol has finished or was stopped, and all that it had to tell is told.
    pub fn is_finished(&self) -> bool {
        self.running.engine().is_finished()
    }

    /// When the protocol wants to go on even if nothing comes, as [`Driver::next_event`] last left
    /// it: for another event loop, which waits for the descriptor until then, and calls
    /// [`Driver::next_event`] with a time-out of zero until that gives no event.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use manycast::{AskConfig, Socket};
    ///
    /// let mut server = Socket::bind("127.0.0.1:0")?;
    /// let mut asker = manycast::asker(server.local_addr()?, "hello", &AskConfig::default())?;
    /// assert!(asker.next_event(Some(Duration::ZERO))?.event().is_none());
    /// assert!(asker.until().is_some_and(|until| until > Instant::now()));
    /// assert_eq!(server.recv()?.payload, b"hello");
    /// # Ok::<(), manycast::Error>(())
    /// ```
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How many datagrams the kernel would not take, for want of a route for instance.
    pub fn unsent(&self) -> u64 {
        self.running.engine().unsent
    }

    /// Something that ends it from another thread; the stop hook runs then.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.running.engine_mut().endpoint.stopper()
    }
}

impl<P: Protocol> AsFd for Driver<P> {
    /// A descriptor for another event loop: readable when there is something to receive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint().as_fd()
    }
}

impl<P: Protocol + fmt::Debug> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("running", &self.running)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
