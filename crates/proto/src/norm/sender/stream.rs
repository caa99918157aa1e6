//! Streams: bytes of the application as they come, in a window that moves on.

use bytes::Bytes;

use super::{Phase, Sender, Wait};
use crate::norm::ack::all_of;
use crate::norm::event::{EnqueueError, ObjectId, SenderEvent, WriteError};
use crate::norm::object::Number;
use crate::norm::outgoing::Outgoing;
use crate::norm::stream::Window;

/// Without named receivers, how many back-offs long a block is kept at most after it was sent, while
/// somebody asks for it.
const HELD: u32 = 3;

impl Sender {
    /// Begins a stream after all objects: bytes without a length known before, of which the last
    /// `window` bytes, four blocks at least, are kept for repair. `info` goes ahead of it.
    ///
    /// Where receivers are named, a byte leaves the window when all of them have acknowledged it, or
    /// do not answer any more; so [`write`](Self::write) takes no more than the slowest receives.
    /// Where none are, a block leaves it when room is needed and nobody is asking for it, or it was
    /// sent long ago; who misses it then is told so, as a
    /// [`Gap`](super::super::ReceiverEvent::Gap).
    ///
    /// Until it is [closed](Self::close), nothing else can be enqueued.
    ///
    /// ```
    /// # use std::time::Instant;
    /// use manycast_proto::norm::{Sender, SenderConfig};
    ///
    /// let config = SenderConfig::new(([239, 1, 1, 1], 6003).into(), 1);
    /// let mut sender = Sender::new(config, [1; 32], Instant::now());
    /// let stream = sender.open_stream(1 << 20, None)?;
    /// let taken = sender.write(stream, b"as much as there is room for")?;
    /// assert_eq!(taken, 28);
    /// sender.push(stream);
    /// sender.close(stream);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The information is longer than a segment, too many objects are not through yet, a stream is
    /// open, or the sender was told to finish.
    // RFC 5740 §5.1.1: NORM_OBJECT_STREAM.
    pub fn open_stream(
        &mut self,
        window: usize,
        info: Option<Bytes>,
    ) -> Result<ObjectId, EnqueueError> {
        let config = &self.config;
        let length = u16::from(config.block);
        let window = Window::new(window, config.segment, length, config.fec);
        let parity = u16::from(config.parity);
        let outgoing = Outgoing::stream(window, info, config.segment, parity, config.variant);
        self.add(outgoing.ok_or(EnqueueError::TooLong)?)
    }

    /// Takes as many of `bytes` as the window has room for, and tells how many. Where it is not all,
    /// [`SenderEvent::Room`] tells when it is worth trying again.
    ///
    /// Bytes are sent when a segment is full, or at a [`push`](Self::push).
    ///
    /// # Errors
    ///
    /// It is no stream, or closed, or its blocks cannot be numbered any more.
    pub fn write(&mut self, stream: ObjectId, bytes: &[u8]) -> Result<usize, WriteError> {
        let number = stream.0;
        if self.window(number).is_none_or(|window| window.is_closed()) {
            return Err(WriteError::Closed);
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let now = self
                .window(number)
                .map_or(0, |window| window.write(&bytes[taken..]));
            taken += now;
            if now == 0 && !self.slide(number) {
                break;
            }
        }
        if taken < bytes.len() {
            if self.window(number).is_some_and(|window| window.is_at_end()) {
                return if taken > 0 {
                    Ok(taken)
                } else {
                    Err(WriteError::TooLong)
                };
            }
            self.starved.insert(number);
        }
        if taken > 0 {
            self.renew();
        }
        Ok(taken)
    }

    /// The next byte of a stream begins a message of the application, which is told to receivers: who
    /// joins in the middle can begin there.
    pub fn begin_message(&mut self, stream: ObjectId) {
        if let Some(window) = self.window(stream.0) {
            window.begin_message();
        }
    }

    /// Sends what was written, though it fills no segment.
    pub fn push(&mut self, stream: ObjectId) {
        let window = self.window(stream.0).filter(|window| !window.is_closed());
        if window.is_some_and(Window::push) {
            self.renew();
        }
    }

    /// Ends a stream. [`SenderEvent::Sent`] tells that all of it was sent, and
    /// [`SenderEvent::Delivered`] that the receivers that are named have all of it.
    pub fn close(&mut self, stream: ObjectId) {
        let number = stream.0;
        let parity = self.config.proactive > 0;
        if let Some(window) = self.window(number).filter(|window| !window.is_closed()) {
            window.close(parity);
            self.starved.remove(&number);
            self.renew();
        }
    }

    /// Ends the stream that is open.
    pub(super) fn close_streams(&mut self) {
        if let Some((&number, _)) = self.objects.last_key_value() {
            self.close(ObjectId(number));
        }
    }

    pub(super) fn window(&mut self, number: Number) -> Option<&mut Window> {
        self.objects.get_mut(&number)?.window_mut()
    }

    /// Whether a stream is open.
    pub(super) fn has_open_stream(&self) -> bool {
        let last = self.objects.last_key_value();
        let window = last.and_then(|(_, outgoing)| outgoing.window());
        window.is_some_and(|window| !window.is_closed())
    }

    /// Tells of streams that have room again.
    pub(super) fn look_for_room(&mut self) {
        let Some(&number) = self.starved.first() else {
            return;
        };
        let full = self.window(number).is_some_and(|window| window.is_full());
        if !full || self.slide(number) {
            self.starved.remove(&number);
            if self.objects.contains_key(&number) {
                self.tell(SenderEvent::Room(ObjectId(number)));
            }
        }
    }

    /// Makes room for a block. False where there is none, and the first is still needed.
    fn slide(&mut self, number: Number) -> bool {
        let (now, grtt) = (self.now, self.grtt());
        let hold = grtt * (u32::from(self.config.backoff) + 2) * HELD;
        let Some(window) = self.window(number).filter(|window| window.is_full()) else {
            return false;
        };
        let (first, last) = (window.first(), window.last_symbol());
        let Some(sent) = window.first_sent() else {
            return false;
        };
        let needed = if self.acks.are_expected() {
            !self.acks.all_have((number, first, last))
        } else {
            let wanted = self.asked.wants(number, first) || self.repairs.wants(number, first);
            let repairing = self.repairing.as_ref();
            let repairing =
                repairing.is_some_and(|(other, block, _)| (*other, *block) == (number, first));
            (wanted || repairing) && now.saturating_duration_since(sent) < hold
        };
        if needed || self.phase == Phase::Finished {
            return false;
        }
        // Receivers are told by one position what is kept: so nothing before the stream is.
        let before: Vec<_> = self.objects.range(..number).map(|(it, _)| *it).collect();
        before.into_iter().for_each(|other| self.release(other));
        self.acks.release((number, first, last));
        if let Some(window) = self.window(number) {
            window.release();
        }
        true
    }

    /// Asks the receivers that are named how far they are, when half of the window was sent since
    /// they said so: before it is full, so that it need not be waited for.
    pub(super) fn poll_window(&mut self, number: Number) {
        if !self.acks.are_expected() || self.timers.is_set(Wait::Flush) {
            return;
        }
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        let Some((window, (block, symbol))) = outgoing.window().zip(outgoing.last_sent()) else {
            return;
        };
        let half = u32::try_from(window.capacity() / 2).unwrap_or(u32::MAX);
        let sent = block - window.first().min(block);
        if sent < half || self.acks.all_have((number, block - half.min(block), 0)) {
            return;
        }
        let at = (number, block, symbol);
        self.flush(
            if outgoing.is_through() {
                all_of(number)
            } else {
                at
            },
            at,
            true,
        );
    }

    /// A receiver has a symbol of a stream and all before it.
    pub(super) fn reached(&mut self, number: Number, node: u32, (block, symbol): (u32, u16)) {
        let outgoing = self.objects.get(&number);
        let window = outgoing.and_then(Outgoing::window);
        if let Some(bytes) = window.and_then(|window| window.offset_after(block, symbol)) {
            let object = ObjectId(number);
            self.tell(SenderEvent::Reached {
                object,
                node,
                bytes,
            });
        }
    }
}
