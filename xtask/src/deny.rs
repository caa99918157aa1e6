//! Licences, sources and versions of all dependencies, by cargo-deny and `deny.toml`.

use crate::outcome::Outcome;
use crate::{cargo, programs, succeeds};

/// Checks the workspace, and that of the fuzzers, which is not shipped.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    if let Some(why) = programs::cargo_tool("cargo-deny")? {
        return Ok(Outcome::skipped(why));
    }
    // An exception that nothing needs any more is taken out.
    let workspace = "deny check -D unmatched-skip bans licenses sources";
    let fuzzers = "deny --manifest-path fuzz/Cargo.toml --config deny.toml check \
                   -A unmatched-skip bans sources";
    let passed = [
        succeeds(&mut cargo(workspace))?,
        succeeds(&mut cargo(fuzzers))?,
    ];
    Ok(Outcome::from(passed == [true; 2]))
}
