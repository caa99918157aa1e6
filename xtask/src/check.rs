//! `cargo xtask check`: whatever can be said of the code without running it.

use crate::outcome::Outcomes;
use crate::unused;
use crate::{behaviours, cargo, compilers, deny, docs, doctor_tests, fuzz, guard, root, succeeds};

/// Runs all checks, also after one that fails.
pub(crate) fn run() -> anyhow::Result<bool> {
    let mut complaints = guard::complaints(root())?;
    complaints.extend(behaviours::complaints(root())?);
    complaints.extend(doctor_tests::complaints(root())?);
    complaints.extend(unused::complaints(root())?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    let mut outcomes = Outcomes::default();
    outcomes.add("the rules of the house", complaints.is_empty());
    outcomes.add("cargo fmt", succeeds(&mut cargo("fmt --all --check"))?);
    outcomes.add(
        "clippy",
        succeeds(&mut cargo(
            "clippy --workspace --all-targets --all-features -- -D warnings",
        ))?,
    );
    outcomes.add("clippy without features", compilers::without_features()?);
    outcomes.add("documentation", docs::run()?);
    outcomes.add("cargo deny", deny::run()?);
    outcomes.add("the oldest Rust", compilers::oldest()?);
    compilers::miri(&mut outcomes)?;
    outcomes.add("the types of the fuzzers", fuzz::check()?);
    eprint!("\n{outcomes}");
    Ok(outcomes.passed())
}
