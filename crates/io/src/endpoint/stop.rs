//! What is still received after a stop: what had come before it.

use std::time::{Duration, SystemTime};

use manycast_net::Position;
use manycast_types::Received;

use super::Endpoint;
use crate::Error;

/// How often is received after a stop at most. The times of datagrams end it earlier, unless the clock
/// was set back; and so much no receive buffer holds.
const RECEIVES: u32 = 8192;

/// A stop, and what is left to do after it.
#[derive(Debug)]
pub(super) struct Stop {
    /// When it was noticed, by the clock by which the kernel tells when datagrams came.
    at: SystemTime,
    /// The slots of the sockets that may still have what came before it.
    slots: Vec<usize>,
    /// How often may still be received.
    receives: u32,
}

impl Stop {
    /// A stop that is noticed now, of so many sockets.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            at: SystemTime::now(),
            slots: (0..slots).rev().collect(),
            receives: RECEIVES,
        }
    }

    /// Takes note that was received from the last of the slots, which perhaps has no more.
    fn received(&mut self, is_last: bool) {
        self.receives -= 1;
        if self.receives == 0 {
            self.slots.clear();
        } else if is_last {
            self.slots.pop();
        }
    }

    /// Whether a datagram came before it.
    pub(super) fn is_after(&self, datagram: &Received<'_>) -> bool {
        datagram.time.is_none_or(|time| time <= self.at)
    }
}

impl Endpoint {
    pub(crate) const fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether it was stopped, and all that had come before is taken.
    pub(crate) fn is_over(&mut self) -> bool {
        self.stop.as_ref().is_some_and(|it| it.slots.is_empty())
            && !self.has_datagram()
            && self.events.is_empty()
    }

    /// After a stop, makes ready the next datagram that had come before it, if there is one.
    #[inline]
    pub(super) fn receive_rest(&mut self) -> Result<(), Error> {
        match self.stop {
            None => Ok(()),
            Some(_) => self.receive_until_stop(),
        }
    }

    fn receive_until_stop(&mut self) -> Result<(), Error> {
        while let Some(slot) = self
            .stop
            .as_ref()
            .and_then(|stop| stop.slots.last().copied())
            && !self.has_datagram()
        {
            let at_once = Some(Duration::ZERO);
            let is_last = match self.ports.get(slot) {
                Some(Some(port)) => {
                    port.socket.recv_batch(&mut self.batch, at_once)?;
                    !self.begin_batch(slot) || self.has_later()
                }
                _ => true,
            };
            if let Some(stop) = &mut self.stop {
                stop.received(is_last);
            }
        }
        Ok(())
    }

    /// Whether the batch has a datagram that came after the stop.
    fn has_later(&self) -> bool {
        let mut runs = self.batch.runs(Position::default());
        runs.any(|run| !self.came_in_time(run.whole()))
    }

    /// Whether a datagram came before the stop, if there was one.
    pub(super) fn came_in_time(&self, datagram: &Received<'_>) -> bool {
        self.stop
            .as_ref()
            .is_none_or(|stop| stop.is_after(datagram))
    }
}
