//! `cargo xtask test`: all tests, and what came of them.

use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::Context;

use crate::summary::Summary;
use crate::{cargo, fuzz, programs, python, unpacked, vm};

const TESTS: &str = "test --workspace --all-features";

/// Runs all tests. The last line is `N passed, N failed, N skipped`.
pub(crate) fn run() -> anyhow::Result<bool> {
    programs::ensure_installed()?;

    let mut summary = Summary::default();
    // The same build as below, whose tests do not say which package they are of. What does not
    // compile is shown here, and once more there.
    let built = cargo(&format!(
        "{TESTS} --no-run --message-format=json-render-diagnostics"
    ))
    .stdin(Stdio::null())
    .stderr(Stdio::inherit())
    .output()
    .context("starting cargo")?;
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        summary.read_artifact(line);
    }

    // One pipe for both streams keeps the name of a binary before what the binary says.
    let (reader, writer) = io::pipe().context("making a pipe for the output of cargo")?;
    let mut command = cargo(&format!("{TESTS} --no-fail-fast --"));
    for test in unpacked::TESTS.into_iter().chain([vm::TESTS]) {
        command.args(["--skip", test]);
    }
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("starting cargo")?;
    // It holds the writing end, and the output would never end.
    drop(command);

    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        summary.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait()?;
    let python = python::test(&mut summary)?;
    let fuzzed = fuzz::test(&mut summary)?;

    let total = summary.total();
    print!("\nwhat ran:\n{summary}");
    if !status.success() && total.failed == 0 {
        println!("cargo test failed beside the tests ({status}): see its errors above");
    }
    println!("{total}");
    Ok(status.success() && python && fuzzed)
}
