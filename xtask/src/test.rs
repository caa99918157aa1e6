//! `cargo xtask test`: all tests, and what came of them.

use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::Context;

use crate::summary::Summary;
use crate::{cargo, programs, python};

/// Runs all tests. The last line is `N passed, N failed, N skipped`.
pub(crate) fn run() -> anyhow::Result<bool> {
    programs::ensure_installed()?;

    // One pipe for both streams keeps the name of a binary before what the binary says.
    let (reader, writer) = io::pipe().context("making a pipe for the output of cargo")?;
    let mut command = cargo("test --workspace --all-features --no-fail-fast");
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("starting cargo")?;
    // It holds the writing end, and the output would never end.
    drop(command);

    let mut summary = Summary::default();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        summary.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait()?;
    let python = python::test(&mut summary)?;

    let total = summary.total();
    println!("\nwhat ran:\n{summary}");
    if !status.success() && total.failed == 0 {
        println!("cargo test failed beside the tests ({status}): see its errors above\n");
    }
    println!("{total}");
    Ok(status.success() && python)
}
