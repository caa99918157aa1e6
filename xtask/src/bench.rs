//! `cargo xtask bench`: manycast beside its peers.

use crate::{cargo, root, succeeds};

/// Builds the benchmark and the command, and runs it. A full run rewrites `docs/benchmarks.md`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let build = "build --release --package manycast-cli --package manycast-bench";
    if !succeeds(&mut cargo(build))? {
        return Ok(false);
    }
    let mut bench = cargo("run --release --quiet --package manycast-bench --");
    bench.args(arguments);
    if !arguments.contains(&"--quick") {
        bench.arg("--report").arg(root().join("docs/benchmarks.md"));
    }
    succeeds(&mut bench)
}
