//! `cargo xtask check`: whatever can be said of the code without running it.

use crate::{behaviours, cargo, docs, doctor_tests, guard, root, succeeds};

/// Runs all checks, also after one that fails.
pub(crate) fn run() -> anyhow::Result<bool> {
    let mut complaints = guard::complaints(root())?;
    complaints.extend(behaviours::complaints(root())?);
    complaints.extend(doctor_tests::complaints(root())?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    let checks = [
        ("the rules of the house", complaints.is_empty()),
        ("cargo fmt", succeeds(&mut cargo("fmt --all --check"))?),
        (
            "clippy",
            succeeds(&mut cargo(
                "clippy --workspace --all-targets --all-features -- -D warnings",
            ))?,
        ),
        ("documentation", docs::run()?),
    ];
    eprintln!();
    for (check, passed) in checks {
        eprintln!("{} {check}", if passed { "passed" } else { "FAILED" });
    }
    Ok(checks.iter().all(|(_, passed)| *passed))
}
