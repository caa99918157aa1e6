//! Where sockets and protocols meet: one engine, driven by blocking or by a runtime.

mod blocking;
mod engine;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::fmt;
use std::sync::mpsc;
use std::time::Instant;

use manycast_net::Waker;
use manycast_proto::Protocol;

pub use blocking::Driver;
use engine::{Command, Engine, Turn};

/// Why [`Driver::next_event`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next<E> {
    /// The protocol tells something.
    Event(E),
    /// The time-out is over.
    TimedOut,
    /// The protocol has finished, of itself or because it was stopped: nothing more will come.
    Finished,
}

impl<E> Next<E> {
    /// The event, if it is one.
    pub fn event(self) -> Option<E> {
        match self {
            Self::Event(event) => Some(event),
            Self::TimedOut | Self::Finished => None,
        }
    }
}

/// Commands a protocol from other threads and tasks while a driver runs it.
///
/// ```
/// use std::time::Instant;
///
/// use manycast::proto::measure::{Sender, SenderConfig};
/// use manycast::{Driver, Socket};
/// # use std::time::SystemTime;
///
/// # let to = Socket::bind("127.0.0.1:0")?.local_addr()?;
/// let config = SenderConfig { duration: None, ..SenderConfig::new(to) };
/// let sender = Sender::new(config, Instant::now(), SystemTime::now());
/// let mut driver = Driver::new(manycast::Sender::new(to)?, sender);
/// let commands = driver.commands()?;
/// std::thread::spawn(move || commands.give(|sender, now| sender.finish(now)));
/// driver.run(|_, _| {})?;
/// # Ok::<(), manycast::Error>(())
/// ```
pub struct Commands<P> {
    sender: mpsc::Sender<Command<P>>,
    waker: Waker,
}

impl<P> Commands<P> {
    const fn new(sender: mpsc::Sender<Command<P>>, waker: Waker) -> Self {
        Self { sender, waker }
    }

    /// Has `command` run on the driver's thread, between two outputs of the protocol, and ends the
    /// driver's wait for it. False if the driver is gone; the command is not run then.
    pub fn give(&self, command: impl FnOnce(&mut P, Instant) + Send + 'static) -> bool {
        let is_given = self.sender.send(Box::new(command)).is_ok();
        if is_given {
            self.waker.wake();
        }
        is_given
    }
}

impl<P> Clone for Commands<P> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl<P> fmt::Debug for Commands<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

/// An engine that runs the stop hook when it is dropped, unless it was taken apart before.
struct Running<P: Protocol> {
    /// There until it is taken apart.
    engine: Option<Engine<P>>,
}

impl<P: Protocol> Running<P> {
    const GONE: &str = "only taking it apart takes the engine, and that takes the driver too";

    fn engine(&self) -> &Engine<P> {
        self.engine.as_ref().expect(Self::GONE)
    }

    fn engine_mut(&mut self) -> &mut Engine<P> {
        self.engine.as_mut().expect(Self::GONE)
    }
}

impl<P: Protocol> Drop for Running<P> {
    fn drop(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.stop(Instant::now());
        }
    }
}

impl<P: Protocol + fmt::Debug> fmt::Debug for Running<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}
