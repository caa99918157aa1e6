//! What is tried between the two ends, in which order.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Counters;
use manycast_net::SocketConfig;

use super::super::paths::{MOST_HOPS, SHORT, Toward, Trial};
use super::super::watch::{Meter, REPORTS};
use super::super::{Tally, Watched};
use super::known::Rewritten;
use super::session::Session;
use manycast_io::{Error, Listener};
use manycast_types::{Address, InterfaceSelector};

const HOPS: [u8; 6] = [1, 2, 4, 8, 16, 32];
const SIZES: [u16; 4] = [1400, 4000, 9000, 32_000];
const COUNT: u8 = 20;
const FEW: u8 = 5;
/// A length that nothing else that is tried has, and how many datagrams of whatever length are read
/// to find those that have it.
const MARKED: u16 = 211;
const MOST_READ: usize = 10_000;

impl Session<'_> {
    /// Tries everything once; what is known before it fails or is ended stays known.
    pub(super) fn try_all(&mut self) -> Result<(), Error> {
        self.unicast()?;
        self.group_to_here()?;
        self.group_to_there()?;
        self.known.tried = true;
        Ok(())
    }

    /// Both directions by unicast.
    fn unicast(&mut self) -> Result<(), Error> {
        for toward in [Toward::Here, Toward::There] {
            self.attempt(Trial {
                toward,
                to_group: false,
                by_route: true,
                hops: MOST_HOPS,
                size: SHORT,
                sent: COUNT,
                came: 0,
            })?;
        }
        Ok(())
    }

    /// The group from the far end, as far as it takes to know what passes.
    fn group_to_here(&mut self) -> Result<(), Error> {
        let trial = group_trial(Toward::Here);
        if self.attempt(trial)? > 0 {
            return self.sweep(trial);
        }
        self.await_reports();
        for by_route in [true, false] {
            let most = Trial {
                by_route,
                hops: MOST_HOPS,
                ..trial
            };
            let (meter, since) = (Meter::start(&self.context.target)?, Instant::now());
            let before = Counters::read()?;
            if self.attempt(most)? > 0 {
                return self.sweep(most);
            }
            let mut watched = Watched {
                lasted: since.elapsed(),
                joined: self.known.joined.clone(),
                ..Watched::default()
            };
            meter.stop(self.context, &before, &mut watched)?;
            watched.joined_at(&self.before)?;
            let sent = self.known.trials.last().map_or(0, |trial| trial.sent);
            self.known.lost_rounds.push((watched, sent));
        }
        self.any_source(trial)
    }

    /// Whether what the far end sends as a source that was asked for comes from another one: what it
    /// sends has a length of its own, by which it is known.
    fn any_source(&mut self, trial: Trial) -> Result<(), Error> {
        let target = &self.context.target;
        if self.known.source.is_none() {
            return Ok(());
        }
        let mut address = Address::from(SocketAddr::new(target.ip, target.port));
        if let Some(named) = &target.interface {
            address = address.on(InterfaceSelector::Index(named.index));
        }
        // Where another program has the port for itself, that is told elsewhere.
        let Ok(mut listener) = Listener::open(&[address], SocketConfig::default()) else {
            return Ok(());
        };
        self.how.cancellation.wait(REPORTS);
        let most = Trial {
            hops: MOST_HOPS,
            size: MARKED,
            ..trial
        };
        let admitted = self.attempt(most)?;
        let sent = self.known.trials.pop().map_or(0, |trial| trial.sent);
        let mut sources: Vec<(IpAddr, u64)> = Vec::new();
        let mut left = MOST_READ;
        while left > 0 {
            let mut batch = listener.recv_batch(Some(Duration::ZERO))?.peekable();
            if batch.peek().is_none() {
                break;
            }
            for received in batch {
                left = left.saturating_sub(1);
                if received.payload.len() != usize::from(MARKED) {
                    continue;
                }
                let source = received.source.ip();
                match sources.iter_mut().find(|(known, _)| *known == source) {
                    Some((_, count)) => *count += 1,
                    None => sources.push((source, 1)),
                }
            }
        }
        let other = sources
            .iter()
            .filter(|(source, _)| Some(*source) != self.known.source);
        let most = other.max_by_key(|(_, count)| *count);
        if let (Some((source, came)), 0) = (most, admitted) {
            self.known.rewritten = Some(Rewritten {
                source: *source,
                came: *came,
                sent: sent.into(),
            });
        }
        Ok(())
    }

    /// The group to the far end, and what that host finds on itself.
    fn group_to_there(&mut self) -> Result<(), Error> {
        let trial = group_trial(Toward::There);
        self.await_reports();
        self.watch()?;
        if self.attempt(trial)? > 0 {
            self.examine()?;
            return self.sweep(trial);
        }
        let route =
            manycast_net::route_to(self.context.target.ip, None)?.map(|route| route.interface);
        let same_egress =
            self.context.target.interface.is_some() || route.is_some() && route == self.egress;
        let egresses = if same_egress {
            &[true][..]
        } else {
            &[true, false]
        };
        for by_route in egresses {
            let most = Trial {
                by_route: *by_route,
                hops: MOST_HOPS,
                ..trial
            };
            self.watch()?;
            let came = self.attempt(most)?;
            self.examine()?;
            if came > 0 {
                return self.sweep(most);
            }
        }
        Ok(())
    }

    /// The host reports a new membership to itself as well, and counters are no use meanwhile; the
    /// far host joined at about the same time.
    fn await_reports(&self) {
        self.how
            .cancellation
            .wait(REPORTS.saturating_sub(self.joined_at.elapsed()));
    }

    /// How many hops and bytes pass, where something does.
    fn sweep(&mut self, found: Trial) -> Result<(), Error> {
        if found.hops > 1 {
            // 1 is tried again: it is a fault only if nothing comes of it twice.
            for hops in HOPS {
                if self.attempt(Trial { hops, ..found })? > 0 {
                    break;
                }
            }
        }
        for size in SIZES {
            let large = Trial {
                size,
                sent: FEW,
                ..found
            };
            let before = Counters::read()?;
            if self.attempt(large)? == 0 && self.attempt(large)? == 0 {
                let moved = Counters::read()?.since(&before);
                self.known.pieces = Tally::of(&moved, self.context.target.is_ipv4());
            }
        }
        Ok(())
    }
}

const fn group_trial(toward: Toward) -> Trial {
    Trial {
        toward,
        to_group: true,
        by_route: true,
        hops: 1,
        size: SHORT,
        sent: COUNT,
        came: 0,
    }
}
