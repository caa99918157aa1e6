//! What is tried between the two ends, in which order.

use std::time::Instant;

use crate::Counters;

use super::super::Watched;
use super::super::paths::{MOST_HOPS, SHORT, Toward, Trial};
use super::super::watch::{Meter, REPORTS};
use super::session::Session;
use manycast_io::Error;

const HOPS: [u8; 6] = [1, 2, 4, 8, 16, 32];
const SIZES: [u16; 4] = [1400, 4000, 9000, 32_000];
const COUNT: u8 = 20;
const FEW: u8 = 5;

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
            if sent > 0 {
                self.known.lost_rounds.push((watched, sent));
            }
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
            if self.attempt(large)? == 0 {
                self.attempt(large)?;
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
