//! What a seed means: a kind of examination, a version of IP, and what is made on the hosts.

use std::fmt;

use manycast_lab::netns::Snooping;
use manycast_proto::random::Random;

use crate::conditions::{self, Condition, Part};

/// What the doctor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// `doctor GROUP:PORT`
    Host,
    /// `doctor GROUP:PORT --pid PID` or `--port`
    Program,
    /// `doctor GROUP:PORT --with HOST`
    TwoEnds,
    /// `doctor`
    Bare,
}

/// A case, which its seed says all about.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) v6: bool,
    pub(crate) view: View,
    pub(crate) faults: Vec<&'static Condition>,
    pub(crate) oddities: Vec<&'static Condition>,
    /// The seed of the variations of its conditions.
    pub(crate) variations: u64,
}

impl Case {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = random(seed);
        let v6 = random.within(0..=1) == 1;
        let view = match random.within(1..=100) {
            1..=50 => View::Host,
            51..=80 => View::Program,
            81..=95 => View::TwoEnds,
            _ => View::Bare,
        };
        let faults = match random.within(1..=4) {
            1 => 0,
            2 | 3 => 1,
            _ => 2,
        };
        let oddities = match (faults, random.within(1..=8)) {
            (0, 1) => 0,
            (0, 2..=4) | (_, 1 | 2) => 1,
            (0, _) => 2,
            _ => 0,
        };
        let mut case = Self {
            seed,
            v6,
            view,
            faults: Vec::new(),
            oddities: Vec::new(),
            variations: 0,
        };
        for _ in 0..faults {
            let drawn = case.one_more(true, &mut random);
            case.faults.extend(drawn);
        }
        for _ in 0..oddities {
            let drawn = case.one_more(false, &mut random);
            case.oddities.extend(drawn);
        }
        case.variations = random.u64();
        case
    }

    /// A condition that goes with those that are drawn, if there is one.
    fn one_more(&self, fault: bool, random: &mut Random) -> Option<&'static Condition> {
        let fits = |condition: &&Condition| {
            condition.is_fault == fault
                && condition.views.contains(&self.view)
                && condition.versions[usize::from(self.v6)]
                && self.drawn().all(|drawn| drawn.goes_with(condition))
        };
        let fitting: Vec<_> = conditions::all().filter(fits).collect();
        let last = u64::try_from(fitting.len()).ok()?.checked_sub(1)?;
        let index = usize::try_from(random.within(0..=last)).ok()?;
        Some(fitting[index])
    }

    fn drawn(&self) -> impl Iterator<Item = &'static Condition> {
        self.faults.iter().chain(&self.oddities).copied()
    }

    /// What is made, in this order: what others ask for comes first.
    pub(crate) fn conditions(&self) -> Vec<&'static Condition> {
        let later = |condition: &&Condition| {
            let first = [Part::Stream, Part::Asked, Part::Program];
            !condition.takes.iter().any(|part| first.contains(part))
        };
        let mut all: Vec<_> = self.drawn().collect();
        all.sort_by_key(later);
        all
    }

    pub(crate) fn snooping(&self) -> Option<Snooping> {
        self.drawn().find_map(|condition| condition.snooping)
    }

    pub(crate) fn is_routed(&self) -> bool {
        self.drawn().any(|condition| condition.routed)
    }
}

/// The random numbers that follow from a seed.
pub(crate) fn random(seed: u64) -> Random {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Random::new(bytes)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.v6 { "IPv6" } else { "IPv4" };
        let view = match self.view {
            View::Host => "host",
            View::Program => "program",
            View::TwoEnds => "two ends",
            View::Bare => "bare",
        };
        let names = |conditions: &[&Condition]| {
            let names: Vec<_> = conditions.iter().map(|condition| condition.name).collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(" + ")
            }
        };
        write!(
            f,
            "{version}, {view}, fault: {}, odd: {}",
            names(&self.faults),
            names(&self.oddities)
        )
    }
}
