//! Receiving a file that is sent to a group (RFC 2090): one client at a time acknowledges, and the
//! others take what they hear.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Group, InterfaceSelector, Malformed};

use super::course::{Course, Step};
use super::event::{Failure, Summary};
use super::exchange::Terms;
use super::message::{Message, Refusal};
use super::round_trip::RoundTrip;
use crate::Request;

/// How many gaps are remembered at most.
const MAX_RANGES: usize = 4096;

/// How many bytes may wait to be written before more are dropped; they are asked for again later.
const MAX_UNWRITTEN: usize = 16 << 20;

/// How much longer than the time-out of a master a client waits before it asks again.
const PATIENT: Duration = Duration::from_secs(2);

/// The receiving side of a transfer to a group.
#[derive(Debug)]
pub(super) struct Following {
    terms: Terms,
    group: SocketAddr,
    interface: Option<InterfaceSelector>,
    joined: bool,
    /// From where the data come. A group may be used for another file later, by another port.
    source: Option<SocketAddr>,
    master: bool,
    /// The blocks that have come: first block to last block.
    ranges: BTreeMap<u64, u64>,
    last: Option<u64>,
    length: u64,
    bytes: u64,
    unwritten: usize,
    /// Blocks of a window that came since the last acknowledgment.
    since_acknowledged: u64,
    due: bool,
    gap_told: Option<u64>,
    round_trip: RoundTrip,
    started: Instant,
    heard: Instant,
    since: Instant,
    wants_request: bool,
    course: Course,
    duplicates: u64,
    gaps: u64,
    timeouts: u64,
}

impl Following {
    /// Follows a group, and says how to join it.
    pub(super) fn new(
        now: Instant,
        terms: Terms,
        group: SocketAddr,
        interface: Option<InterfaceSelector>,
        master: bool,
    ) -> (Self, Request) {
        let following = Self {
            terms,
            group,
            interface,
            joined: true,
            source: None,
            master,
            ranges: BTreeMap::new(),
            last: None,
            length: 0,
            bytes: 0,
            unwritten: 0,
            since_acknowledged: 0,
            due: master,
            gap_told: None,
            round_trip: terms.round_trip(),
            started: now,
            heard: now,
            since: now,
            wants_request: false,
            course: Course::new(),
            duplicates: 0,
            gaps: 0,
            timeouts: 0,
        };
        let request = Request::Join {
            group: following.membership(),
            port: group.port(),
        };
        (following, request)
    }

    pub(super) const fn group(&self) -> SocketAddr {
        self.group
    }

    /// Whether data to the group from there are of this file: they are where the first ones came from.
    pub(super) fn hears(&mut self, source: SocketAddr) -> bool {
        *self.source.get_or_insert(source) == source
    }

    fn membership(&self) -> Group {
        let group = Group::new(self.group.ip());
        match &self.interface {
            Some(interface) => group.on(interface.clone()),
            None => group,
        }
    }

    /// How to leave the group, if it is joined still.
    pub(super) fn leave(&mut self) -> Option<Request> {
        std::mem::take(&mut self.joined).then(|| Request::Leave {
            group: self.membership(),
            port: self.group.port(),
        })
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        Summary {
            bytes: self.bytes,
            elapsed: now.saturating_duration_since(self.started),
            again: self.gaps,
            duplicates: self.duplicates,
            timeouts: self.timeouts,
            round_trip: self.round_trip.smoothed(),
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.course.is_over()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.course.is_gone()
    }

    /// Takes in how long the request took to be answered.
    pub(super) fn measured(&mut self, sample: Duration) {
        self.round_trip.measured(sample);
    }

    /// The last block before the first that is missing.
    fn received(&self) -> u64 {
        match self.ranges.first_key_value() {
            Some((1, to)) => *to,
            _ => 0,
        }
    }

    /// Takes in a packet of the server, to the group or to this client alone.
    pub(super) fn handle(&mut self, now: Instant, message: Message<'_>) -> Result<(), Malformed> {
        let never = Err(Malformed::new("the server has no reason to send this", 0));
        match message {
            Message::Error(refusal) => self.end(Err(Failure::Refused(refusal))),
            Message::Options(options) => {
                // RFC 2090: from now on this client acknowledges, or no longer.
                let Some(multicast) = options.multicast else {
                    return never;
                };
                if multicast.group.is_some_and(|group| group != self.group) {
                    return never;
                }
                self.master = multicast.master;
                self.due = multicast.master;
                if let Some(last) = self.last {
                    let block = self.terms.roll_over.wire_number(last);
                    self.course.acknowledge_again(block);
                }
            }
            Message::Data { block, payload } => return self.data(now, block.into(), payload),
            _ => return never,
        }
        self.heard = now;
        self.since = now;
        Ok(())
    }

    fn data(&mut self, now: Instant, block: u64, payload: &[u8]) -> Result<(), Malformed> {
        let size = usize::from(self.terms.block_size);
        let is_beyond = self.last.is_some_and(|last| block > last);
        if payload.len() > size || block == 0 || is_beyond {
            return Err(Malformed::new("there is no such block", 2));
        }
        self.heard = now;
        self.since = now;
        if !self.course.is_running() {
            return Ok(());
        }
        let before = self.received();
        // Whoever acknowledges answers a window that ends in blocks it has too.
        self.since_acknowledged += 1;
        if !self.insert(block, payload) {
            self.duplicates += 1;
        } else if block > before + 1 && self.gap_told != Some(before) {
            self.gaps += 1;
            self.gap_told = Some(before);
            self.due |= self.master;
        }
        let window = u64::from(self.terms.window);
        if self.master && (self.since_acknowledged >= window || self.last == Some(block)) {
            self.due = true;
        }
        if self.last.is_some() && self.last == Some(self.received()) {
            self.course.complete(self.length);
        }
        Ok(())
    }

    /// Keeps a block, unless it has come before or there is no room for it.
    fn insert(&mut self, block: u64, payload: &[u8]) -> bool {
        let below = self.ranges.range(..=block).next_back();
        let below = below.map(|(from, to)| (*from, *to));
        if below.is_some_and(|(_, to)| block <= to) {
            return false;
        }
        let grows = below.filter(|(_, to)| to + 1 == block);
        let above = self.ranges.get(&(block + 1)).copied();
        let is_full = self.ranges.len() >= MAX_RANGES && grows.is_none() && above.is_none();
        if is_full || self.unwritten > MAX_UNWRITTEN {
            return false;
        }
        if above.is_some() {
            self.ranges.remove(&(block + 1));
        }
        let from = grows.map_or(block, |(from, _)| from);
        self.ranges.insert(from, above.unwrap_or(block));
        let size = u64::from(self.terms.block_size);
        let offset = (block - 1) * size;
        if payload.len() < usize::from(self.terms.block_size) {
            self.last = Some(block);
            self.length = offset + payload.len() as u64;
            // A server that says otherwise later is not believed.
            self.ranges.retain(|from, _| *from <= block);
        }
        self.bytes += payload.len() as u64;
        if !payload.is_empty() {
            self.unwritten += payload.len();
            self.course.push(Step::Write {
                offset,
                bytes: Bytes::copy_from_slice(payload),
            });
        }
        true
    }

    pub(super) const fn written(&mut self, bytes: usize) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
    }

    pub(super) fn stored(&mut self, now: Instant) {
        // RFC 2090: also who does not acknowledge otherwise does so at the end.
        if let Some(last) = self.last {
            let block = self.terms.roll_over.wire_number(last);
            let times = if self.is_clean() { 2 } else { 1 };
            self.course
                .stored(now, block, times, self.round_trip.timeout() * 3);
        }
    }

    /// Whether each block came once and in order.
    const fn is_clean(&self) -> bool {
        self.gaps + self.duplicates + self.timeouts == 0
    }

    pub(super) fn abort(&mut self, refusal: Refusal) {
        self.course.abort(refusal);
    }

    pub(super) fn end(&mut self, result: Result<(), Failure>) {
        self.course.end(result);
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Step> {
        if let Some(step) = self.course.next() {
            return Some(step);
        }
        if self.course.is_running() && self.master && std::mem::take(&mut self.due) {
            self.since_acknowledged = 0;
            self.since = now;
            let block = self.terms.roll_over.wire_number(self.received());
            return Some(Step::Send(Message::Acknowledgment { block }.emit()));
        }
        None
    }

    /// How long nothing may come before something is said again.
    fn timeout(&self) -> Duration {
        match self.master {
            true => self.round_trip.timeout() * 2,
            false => self.round_trip.timeout() * 2 + PATIENT,
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        if !self.course.is_running() {
            let until = self.course.lingers_until();
            return until.map(|until| (until, "a server that asks again"));
        }
        let next = self.since.checked_add(self.timeout());
        let give_up = self.heard.checked_add(self.terms.timing.patience);
        [
            next.map(|at| (at, "blocks to the group")),
            give_up.map(|at| (at, "blocks to the group, before giving up")),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn timed_out(&mut self, now: Instant) {
        self.course.timed_out(now);
        if !self.course.is_running() {
            return;
        }
        let patience = self.terms.timing.patience;
        if now.saturating_duration_since(self.heard) >= patience {
            self.course.give_up(patience, true);
        } else if now.saturating_duration_since(self.since) >= self.timeout() {
            self.timeouts += 1;
            self.since = now;
            self.round_trip.back_off();
            self.gap_told = None;
            self.due = self.master;
            // The server may have forgotten whoever only listens, or its word may have been lost.
            self.wants_request = !self.master;
        }
    }

    /// Whether the request is to be sent again, which is told once.
    pub(super) const fn wants_request(&mut self) -> bool {
        std::mem::replace(&mut self.wants_request, false)
    }
}
