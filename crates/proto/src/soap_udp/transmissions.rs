//! Sending a message several times.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use manycast_types::Transmit;

use crate::random::Random;
use crate::timers::Deadlines;

/// The first wait between two transmissions (SOAP-over-UDP 1.1 App. A: `UDP_MIN_DELAY` and `UDP_MAX_DELAY`).
const FIRST: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(250);

/// The longest wait between two transmissions (`UDP_UPPER_DELAY`).
const LONGEST: Duration = Duration::from_millis(500);

/// Messages that are to be sent, each several times: at once or after a wait, then after 50 to 250 ms at
/// random, and after twice as long each time, up to 500 ms (SOAP-over-UDP 1.1 App. A).
#[derive(Debug, Default)]
pub struct Transmissions {
    waiting: BTreeMap<u64, Message>,
    due: Deadlines<u64>,
    ready: VecDeque<u64>,
    next: u64,
}

#[derive(Debug)]
struct Message {
    transmit: Transmit,
    /// How often it is sent after the next time.
    repeats: u32,
    /// The last wait; `None` before the first one.
    wait: Option<Duration>,
}

impl Transmissions {
    /// None at all.
    pub const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            due: Deadlines::new(),
            ready: VecDeque::new(),
            next: 0,
        }
    }

    /// How many messages are to be sent, once more or several times.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a message that is to go after a wait, and `repeats` times more.
    pub fn push(&mut self, now: Instant, wait: Duration, transmit: Transmit, repeats: u32) {
        let number = self.next;
        self.next += 1;
        let message = Message {
            transmit,
            repeats,
            wait: None,
        };
        self.waiting.insert(number, message);
        self.set(now, number, wait);
    }

    fn set(&mut self, now: Instant, number: u64, wait: Duration) {
        match now.checked_add(wait) {
            Some(at) if !wait.is_zero() => self.due.set(number, Some(at)),
            _ => self.ready.push_back(number),
        }
    }

    /// Takes away those that are not wanted any more.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Transmit) -> bool) {
        let Self { waiting, due, .. } = self;
        waiting.retain(|number, message| {
            let keep = wanted(&message.transmit);
            if !keep {
                due.set(*number, None);
            }
            keep
        });
        self.ready
            .retain(|number| self.waiting.contains_key(number));
    }

    /// Takes all of them away.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// When the next is due that is not yet; for [`Protocol::handle_timeout`](crate::Protocol::handle_timeout).
    pub fn earliest(&mut self) -> Option<Instant> {
        self.due.earliest()
    }

    /// Takes note that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(number) = self.due.expired(now) {
            self.ready.push_back(number);
        }
    }

    /// The next one whose time has come.
    pub fn poll(&mut self, now: Instant, random: &mut Random) -> Option<Transmit> {
        let number = self.ready.pop_front()?;
        let message = self.waiting.get_mut(&number)?;
        if message.repeats == 0 {
            return self.waiting.remove(&number).map(|it| it.transmit);
        }
        message.repeats -= 1;
        let wait = match message.wait {
            None => random.duration(FIRST),
            Some(last) => (last * 2).min(LONGEST),
        };
        message.wait = Some(wait);
        let transmit = message.transmit.clone();
        self.set(now, number, wait);
        Some(transmit)
    }
}
