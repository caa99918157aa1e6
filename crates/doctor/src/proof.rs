//! What a finding rests on, and so how sure it is.
//!
//! `proved` needs positive evidence of the very cause. So a finding is given its [`Grade`], and only a
//! [`Proof`] makes a grade that is proved. That something was not seen is none:
//! where other datagrams come than those that were asked for, these may be sent seldom, and the others
//! be no matter of them.

use super::Confidence;

/// Positive evidence of the very cause of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The kernel says so itself: a flag, a table, a setting, the error of a call.
    Kernel,
    /// It follows from the address alone, by a standard that is named.
    Standard,
    /// Datagrams were received or captured, and each bears what the finding says of it: its source,
    /// its port, its interface, its tag.
    Seen,
    /// All datagrams came with one setting and none with another, and the two differ in nothing but the
    /// cause.
    Compared,
    /// A counter of this cause moved by what is known to have been lost.
    Counted(Counted),
}

/// A counter of one cause that moved by what is known to have been lost. Only [`Proof::counted`] makes
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted(());

/// What there is where there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It explains what was seen, but something that cannot be seen may have done so as well.
    Likely,
    /// It is so on this host, and may or may not matter.
    Possible,
    /// It cannot be seen without more privileges.
    CannotSee,
}

/// How sure a finding is, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Proved(Proof),
    Doubted(Doubt),
}

impl Proof {
    /// That a counter of this cause moved by as many as are known to have been lost, give or take what
    /// comes between two readings.
    pub(crate) fn counted(moved: u64, lost: u64) -> Option<Self> {
        let alike = moved.abs_diff(lost) <= 3 + moved.max(lost) / 32;
        (lost > 0 && moved > 0 && alike).then_some(Self::Counted(Counted(())))
    }

    /// The same of a counter that was read shortly before and after what it is compared with: it moved
    /// by so many at least, and by so many at most.
    pub(crate) fn counted_between(least: u64, most: u64, lost: u64, slack: u64) -> Option<Self> {
        let within = least <= lost + slack && lost <= most + slack;
        (lost > 0 && most > 0 && within).then_some(Self::Counted(Counted(())))
    }
}

impl Grade {
    /// Proved where there is a proof, and likely otherwise.
    pub(crate) fn or_likely(proof: Option<Proof>) -> Self {
        proof.map_or(Self::Doubted(Doubt::Likely), Self::Proved)
    }

    /// Proved by this where it holds, and likely otherwise.
    pub(crate) fn proved_if(holds: bool, proof: Proof) -> Self {
        Self::or_likely(holds.then_some(proof))
    }

    pub(crate) const fn confidence(self) -> Confidence {
        match self {
            Self::Proved(_) => Confidence::Proved,
            Self::Doubted(Doubt::Likely) => Confidence::Likely,
            Self::Doubted(Doubt::Possible) => Confidence::Possible,
            Self::Doubted(Doubt::CannotSee) => Confidence::CannotSee,
        }
    }
}

impl From<Proof> for Grade {
    fn from(proof: Proof) -> Self {
        Self::Proved(proof)
    }
}

impl From<Doubt> for Grade {
    fn from(doubt: Doubt) -> Self {
        Self::Doubted(doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_proves_by_the_number_that_is_known_and_by_no_other() {
        for (moved, lost, proves) in [
            (0, 0, false),
            (0, 3, false),
            (3, 0, false),
            (180, 180, true),
            (182, 180, true),
            (180, 90, false),
            (1000, 1025, true),
        ] {
            let proof = Proof::counted(moved, lost);
            assert_eq!(proof.is_some(), proves, "{moved} of {lost}");
        }
    }
}
