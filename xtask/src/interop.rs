//! `cargo xtask interop`: the tests against programs that others wrote.

use crate::{cargo, programs, succeeds};

/// Programs of others. A test against one of them bears its name.
const PROGRAMS: [&str; 4] = ["iperf", "ncat", "python", "socat"];

/// Runs the tests of the command that bear the name of a program; they are among those of
/// `cargo xtask test` too.
pub(crate) fn run() -> anyhow::Result<bool> {
    programs::ensure_installed()?;
    let mut passed = true;
    for program in PROGRAMS {
        // The test binary takes one name at a time.
        passed &= succeeds(&mut cargo(&format!(
            "test -p manycast-cli --test net -- {program}"
        )))?;
    }
    Ok(passed)
}
