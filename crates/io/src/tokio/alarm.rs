//! Waits that end in time.

use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use manycast_net::Alarm;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep_until;

use super::readiness::{failed, register};
use crate::Error;

/// The runtime's own timers count milliseconds, so each of their waits may be late by one. That
/// matters for short waits, such as a pace is held by; a long one costs less by them.
const LONG: Duration = Duration::from_millis(20);

/// Tells of a moment. The runtime knows its alarm from the first short wait on that found a descriptor
/// for it.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    alarm: Option<AsyncFd<Descriptor>>,
}

/// An alarm as the runtime wants it.
#[derive(Debug)]
struct Descriptor(Alarm);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// An alarm that the runtime knows; `None` where descriptors are short, for now. A wait is then late by
/// up to a millisecond, and is no failure.
fn new_alarm() -> Option<AsyncFd<Descriptor>> {
    let alarm = Alarm::new().map_err(Error::from);
    match alarm.and_then(|alarm| register(Descriptor(alarm), Interest::READABLE)) {
        Ok(alarm) => Some(alarm),
        Err(error) => {
            tracing::debug!(%error, "short waits are made by the timers of the runtime");
            None
        }
    }
}

impl Timer {
    /// Waits for `future`, but not longer than until a moment: `None` if that came first. Cancelling
    /// it cancels `future`.
    pub(crate) async fn limit<T>(
        &mut self,
        until: Instant,
        future: impl Future<Output = T>,
    ) -> Result<Option<T>, Error> {
        let (mut future, mut over) = (pin!(future), pin!(self.wait_until(until)));
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(Some(output)));
            }
            over.as_mut().poll(context).map_ok(|()| None)
        })
        .await
    }

    async fn wait_until(&mut self, until: Instant) -> Result<(), Error> {
        let left = until.saturating_duration_since(Instant::now());
        if self.alarm.is_none() && left <= LONG {
            self.alarm = new_alarm();
        }
        let Some(alarm) = self.alarm.as_mut().filter(|_| left <= LONG) else {
            sleep_until(until.into()).await;
            return Ok(());
        };
        alarm.get_ref().0.set(left)?;
        loop {
            let mut ready = alarm.readable().await.map_err(failed)?;
            if until <= Instant::now() {
                return Ok(());
            }
            // An earlier wait was over before its alarm rang.
            ready.clear_ready();
        }
    }
}
