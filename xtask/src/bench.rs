//! `cargo xtask bench`: manycast beside its peers.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use crate::{cargo, python, root, succeeds, unpacked};

/// Builds the benchmark and the command, and runs it. A full run rewrites `docs/benchmarks.md`; one that
/// measures the erasure code, or NORM beside TCP, those figures in `docs/norm.md`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let build = "build --release --package manycast-cli --package manycast-bench";
    if !succeeds(&mut cargo(build))? {
        return Ok(false);
    }
    // Not by `cargo run`, which would build it again with the features that it needs by itself.
    let mut bench = Command::new(root().join("target/release/manycast-bench"));
    bench.args(arguments);
    let has = |option: &str| {
        arguments
            .iter()
            .any(|argument| argument.starts_with(option))
    };
    if has("--help") || has("-h") {
        return succeeds(&mut bench);
    }
    unpacked::unpack()?.add_to(&mut bench);
    if !has("--quick") {
        bench.arg("--norm-page").arg(root().join("docs/norm.md"));
    }
    if has("--work") {
        // A part of the work, for whoever has just changed something.
        return succeeds(&mut bench);
    }
    let quick = has("--quick");
    let report = root().join("docs/benchmarks.md");
    if !quick {
        bench.arg("--report").arg(&report);
    }
    if !succeeds(&mut bench)? {
        return Ok(false);
    }
    // Each Python receiver beside Python's own, in the few seconds that a ratio takes.
    let python = python::bench(if quick { 1 } else { 20 })?;
    print!("\n{python}");
    if !quick {
        let mut report = File::options().append(true).open(&report)?;
        write!(report, "\n{python}")?;
    }
    Ok(true)
}
