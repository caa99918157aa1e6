//! What the application decides of an object: not to take it, to begin, and what is there already.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Remote, State};
use crate::Output;
use crate::norm::event::{ReceiverEvent, ReceiverStats};
use crate::norm::object::Number;

impl Remote {
    pub(in crate::norm) fn refuse(&mut self, number: Number) {
        if let Some(state) = self.objects.get_mut(&number) {
            *state = State::Through;
        }
    }

    pub(in crate::norm) fn want(&mut self, number: Number) {
        if let Some(State::Incoming(incoming)) = self.objects.get_mut(&number) {
            incoming.waits = false;
        }
    }

    /// Bytes that are there already, and how many were taken for it.
    pub(in crate::norm) fn have(
        &mut self,
        number: Number,
        bytes: Range<u64>,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) -> u64 {
        let Some(State::Incoming(incoming)) = self.objects.get_mut(&number) else {
            return 0;
        };
        let had = incoming.have(bytes);
        self.complete(number, stats, outputs);
        had
    }
}
