//! The driver on a Tokio runtime.

use std::time::Instant;

use manycast_proto::Protocol;

use super::{Engine, Phase, Turn};
use crate::Error;
use crate::endpoint::Endpoint;
use crate::tokio::readiness::{Readiness, writable};

/// As [`crate::Driver`], but its waits are asynchronous.
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
#[derive(Debug)]
pub struct Driver<P: Protocol> {
    readiness: Readiness,
    engine: Engine<P>,
}

impl<P: Protocol> Driver<P> {
    /// A driver of `protocol` over a [`Socket`](crate::tokio::Socket) or a
    /// [`Listener`](crate::tokio::Listener).
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
            engine: Engine::new(endpoint, protocol, false),
        })
    }

    /// Runs until the protocol has something to tell; `None` when it has finished or was stopped.
    /// Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Driver::next_event`].
    pub async fn next_event(&mut self) -> Result<Option<P::Event>, Error> {
        let result = self.advance().await;
        if result.is_err() {
            self.engine.stop(Instant::now());
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<P::Event>, Error> {
        let engine = &mut self.engine;
        loop {
            let until = match engine.turn(Instant::now()) {
                Turn::Event(event) => return Ok(Some(event)),
                Turn::Finished => return Ok(None),
                Turn::Wait(until) => until,
                Turn::Full(destination) => {
                    writable(engine.endpoint.socket_for(destination)?).await?;
                    continue;
                }
            };
            let waiting = self.readiness.wait(&mut engine.endpoint);
            match until {
                None => waiting.await?,
                // Past the deadline is as good as something received.
                Some(until) => {
                    if let Ok(result) = ::tokio::time::timeout_at(until.into(), waiting).await {
                        result?;
                    }
                }
            }
            if engine.endpoint.is_stopped() {
                engine.stop(Instant::now());
                return Ok(None);
            }
            engine.take_in(Instant::now());
        }
    }

    /// The protocol, for its statistics.
    pub const fn protocol(&self) -> &P {
        &self.engine.protocol
    }

    /// The protocol, for commands.
    pub const fn protocol_mut(&mut self) -> &mut P {
        &mut self.engine.protocol
    }

    /// Whether the protocol has finished or was stopped.
    pub fn is_finished(&self) -> bool {
        self.engine.phase == Phase::Stopped
    }
}
