//! What came of a check.

use std::fmt;

/// Whether a check passed, failed, or could not be made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Why, and what would change it.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

/// What came of many checks, a line for each; those that were not made and those that failed come
/// last, where they are seen.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Vec<(String, Outcome)>);

impl Outcomes {
    pub(crate) fn add(&mut self, check: impl Into<String>, outcome: impl Into<Outcome>) {
        self.0.push((check.into(), outcome.into()));
    }

    /// Whether none failed.
    pub(crate) fn passed(&self) -> bool {
        self.0
            .iter()
            .all(|(_, outcome)| *outcome != Outcome::Failed)
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |outcome: &Outcome| match outcome {
            Outcome::Passed => 0,
            Outcome::Skipped(_) => 1,
            Outcome::Failed => 2,
        };
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|(_, outcome)| place(outcome));
        for (check, outcome) in sorted {
            match outcome {
                Outcome::Passed => writeln!(f, "passed {check}")?,
                Outcome::Skipped(why) => writeln!(f, "SKIPPED {check}: {why}")?,
                Outcome::Failed => writeln!(f, "FAILED {check}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_pass_comes_last() {
        let mut outcomes = Outcomes::default();
        outcomes.add("a", false);
        outcomes.add("b", Outcome::skipped("there is no b"));
        outcomes.add("c", true);
        assert_eq!(
            outcomes.to_string(),
            "passed c\nSKIPPED b: there is no b\nFAILED a\n"
        );
        assert!(!outcomes.passed());
    }
}
