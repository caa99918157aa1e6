//! The driver on a Tokio runtime.

use std::fmt;
use std::time::Instant;

use manycast_proto::Protocol;
use tokio::task::consume_budget;

use super::{Commands, Engine, Running, Turn};
use crate::Error;
use crate::endpoint::Endpoint;
use crate::tokio::alarm::Timer;
use crate::tokio::readiness::Readiness;

/// As [`crate::Driver`], but its waits are asynchronous. It may be late for a deadline of the protocol
/// by the timer slack of the system, or by a millisecond where the wait is longer than 20 ms.
///
/// ```
/// use manycast::proto::ask;
/// use manycast::tokio::{Driver, Socket};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), manycast::Error> {
/// let server = Socket::bind("127.0.0.1:0").await?;
/// let mut client = Socket::connect(server.get_ref().local_addr()?).await?;
///
/// let responder = ask::Responder::new(ask::ResponderConfig::default());
/// let mut echo = Driver::new(server, responder)?;
/// client.send("hello").await?;
/// tokio::select! {
///     result = echo.next_event() => assert!(result?.is_some()),
///     result = client.recv() => assert_eq!(result?.payload, b"hello"),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Driver<P: Protocol> {
    readiness: Readiness,
    timer: Timer,
    running: Running<P>,
}

impl<P: Protocol> Driver<P> {
    /// A driver of `protocol` over a [`Socket`](crate::tokio::Socket), a
    /// [`Listener`](crate::tokio::Listener) or a [`Sender`](crate::tokio::Sender).
    ///
    /// # Errors
    ///
    /// Too many open files.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn new(endpoint: impl Into<Endpoint>, protocol: P) -> Result<Self, Error> {
        let endpoint = endpoint.into();
        Ok(Self {
            readiness: Readiness::of(&endpoint)?,
            timer: Timer::default(),
            running: Running {
                engine: Some(Engine::new(endpoint, protocol)),
            },
        })
    }

    /// Runs until the protocol has something to tell; `None` when it has finished or was stopped, and
    /// all is told, as with [`crate::Driver::next_event`]. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Driver::next_event`].
    pub async fn next_event(&mut self) -> Result<Option<P::Event>, Error> {
        let result = self.advance().await;
        if result.is_err() {
            self.running.engine_mut().stop(Instant::now());
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<P::Event>, Error> {
        let engine = self.running.engine_mut();
        loop {
            let until = match engine.turn(Instant::now())? {
                Turn::Event(event) => return Ok(Some(event)),
                Turn::Finished => return Ok(None),
                Turn::Wait(until) => until,
                Turn::Full(until) => Some(until),
                Turn::Busy => {
                    if !engine.is_time_to_look() {
                        consume_budget().await;
                        continue;
                    }
                    Some(Instant::now())
                }
            };
            let is_due = until.is_some_and(|until| until <= Instant::now());
            if is_due {
                // Other tasks and what came have their turns too.
                consume_budget().await;
                engine.endpoint.look(false)?;
            } else {
                let waiting = self.readiness.wait(&mut engine.endpoint);
                match until {
                    None => waiting.await?,
                    // Past the deadline is as good as something received.
                    Some(until) => {
                        if let Some(result) = self.timer.limit(until, waiting).await? {
                            result?;
                        }
                    }
                }
            }
            engine.take_in(Instant::now());
        }
    }

    /// The protocol, for its statistics.
    pub fn protocol(&self) -> &P {
        &self.running.engine().protocol
    }

    /// The protocol, for commands.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.running.engine_mut().protocol
    }

    /// What commands the protocol from other tasks and threads while this one waits.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn commands(&mut self) -> Result<Commands<P>, Error> {
        self.running.engine_mut().commands()
    }

    /// Something that ends it from another task or thread; the stop hook runs then.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<manycast_net::Stopper, Error> {
        self.running.engine_mut().endpoint.stopper()
    }

    /// Takes it apart, so that another protocol can go on with the same sockets. The stop hook does
    /// not run.
    pub fn into_parts(mut self) -> (Endpoint, P) {
        let engine = self.running.engine.take().expect(Running::<P>::GONE);
        (engine.endpoint, engine.protocol)
    }

    /// How many datagrams the kernel would not take, for want of a route for instance.
    pub fn unsent(&self) -> u64 {
        self.running.engine().unsent
    }

    /// Whether the protocol has finished or was stopped, and all that it had to tell is told.
    pub fn is_finished(&self) -> bool {
        self.running.engine().is_finished()
    }
}

impl<P: Protocol + fmt::Debug> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
