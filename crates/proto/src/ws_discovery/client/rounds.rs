//! Where and when is asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{Group, InterfaceId};

use super::{Client, Due, Place, Question};
use crate::places::Place as _;
use crate::ws_discovery::{ClientEvent, Entry};

/// The shortest time between two rounds in one place: many would be a flood.
const LEAST: Duration = Duration::from_millis(1);

/// The longest time between two rounds in one place, as Multicast DNS has it (RFC 6762 §5.2).
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long it is after so many rounds since the first ones until the next.
fn gap(first: Duration, rounds: u32) -> Duration {
    // Below a second, it would be a flood.
    let first = first.clamp(Duration::from_secs(1), LONGEST);
    first.saturating_mul(1 << rounds.min(16)).min(LONGEST)
}

impl Client {
    pub(super) fn add_place(
        &mut self,
        now: Instant,
        destination: SocketAddr,
        by: Option<InterfaceId>,
    ) {
        let place = Place {
            destination,
            interface: by,
            asked: 0,
            proxy: None,
            lost: 0,
        };
        match self.places.add(place) {
            Ok(Some(number)) => self.ask(now, number),
            Ok(None) => {}
            Err(error) => {
                let group = Group::new(destination.ip());
                self.tell(ClientEvent::NotJoined { group, error });
            }
        }
    }

    /// Asks all questions in one place, and sets the time for the next round there.
    pub(super) fn ask(&mut self, now: Instant, number: usize) {
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let attempts = self.config.attempts;
        if attempts == 0 || self.config.probes.is_empty() {
            return;
        }
        place.asked = place.asked.saturating_add(1);
        let wait = match place.asked.checked_sub(attempts) {
            None => Some(self.config.interval.max(LEAST)),
            Some(rounds) => self.config.again.map(|first| gap(first, rounds)),
        };
        // A round that is still on its way need not be asked twice.
        let is_here =
            |it: &Question| matches!(it, Question::Probe { place, .. } if *place == number);
        if !self.questions.iter().any(is_here) {
            self.questions.extend(self.round(number, false));
            self.questions.extend(self.round(number, true));
        }
        if let Some(wait) = wait {
            let more = self.random.duration(Duration::ZERO..=wait / 10);
            let at = now.checked_add(wait.saturating_add(more));
            self.deadlines.set(Due::Ask(number), at);
        }
    }

    /// Asks anew where a service was that does not answer any more: it may be back in a moment, and says nothing of
    /// itself unasked where it was cut off and not started anew.
    pub(super) fn ask_anew(&mut self, now: Instant, entry: &Entry) {
        let (source, index) = (entry.source, entry.interface.index);
        let number = self.place_to_ask(source, index);
        let Some((number, place)) =
            number.and_then(|number| Some((number, self.places.get_mut(number)?)))
        else {
            return;
        };
        // One that was made up does not answer either, so a place is asked once in an interval at most.
        if self.config.again.is_some() && place.asked >= self.config.attempts {
            place.asked = self.config.attempts.saturating_sub(1);
            let at = now.checked_add(self.config.interval.max(LEAST));
            self.deadlines.set(Due::Ask(number), at);
        }
    }

    /// All questions to a group or a host, or to the proxy beside it, if there is one.
    pub(super) fn round(&self, place: usize, to_proxy: bool) -> Vec<Question> {
        let has_proxy = self.places.get(place).is_some_and(|it| it.proxy.is_some());
        let probes = 0..self.config.probes.len();
        let questions = probes.flat_map(|probe| {
            let versions = self.config.versions.iter();
            versions.map(move |version| Question::Probe {
                place,
                probe,
                version: *version,
                to_proxy,
            })
        });
        questions.filter(|_| has_proxy || !to_proxy).collect()
    }

    /// Where a service is asked that this is said of: its host, if that was chosen, or else a group.
    pub(super) fn place_to_ask(&self, source: SocketAddr, interface: u32) -> Option<usize> {
        let is_host =
            |place: &Place| place.interface.is_none() && place.destination.ip() == source.ip();
        let host = self.places.find(is_host);
        host.or_else(|| self.place_of(source, interface))
    }

    /// The place where a datagram came by, or where one like it is asked.
    pub(super) fn place_of(&self, source: SocketAddr, interface: u32) -> Option<usize> {
        let of_version = |place: &Place| place.destination.is_ipv4() == source.is_ipv4();
        self.places
            .find(|place| of_version(place) && place.is_on(interface))
    }
}
