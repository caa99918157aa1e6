//! `cargo xtask test`: all tests, and what came of them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, anyhow, ensure};

use crate::summary::Summary;
use crate::{cargo, fuzz, programs, python, unpacked, vm};

const TESTS: &str = "test --workspace --all-features";

/// Runs all tests. The last line is `N passed, N failed, N skipped`.
pub(crate) fn run() -> anyhow::Result<bool> {
    programs::ensure_installed()?;

    let mut summary = Summary::leaving_out(
        "need programs that are only unpacked, or a kernel of their own; \
         run them with: cargo xtask interop, cargo xtask vm",
    );
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

    // Many tests do little but wait. Meanwhile all is built that is needed later.
    let builder = fuzz::builder()?;
    let (prepared, environment) = mpsc::channel();
    let fuzzers = thread::spawn(move || {
        run_where_nothing_else_does()?;
        // Nobody takes it where the tests could not be run at all.
        let _ = prepared.send(python::prepare());
        fuzz::build(builder)
    });

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
    let python = match environment.recv() {
        Ok(environment) => python::test(&environment?, &mut summary)?,
        // The thread ended before, and tells why.
        Err(mpsc::RecvError) => false,
    };
    let fuzzers = fuzzers.join().map_err(|_| anyhow!("the builds failed"))?;
    let fuzzed = fuzz::test(fuzzers?, &mut summary)?;

    let total = summary.total();
    print!("\nwhat ran:\n{summary}");
    if !status.success() && total.failed == 0 {
        println!("cargo test failed beside the tests ({status}): see its errors above");
    }
    println!("{total}");
    Ok(status.success() && python && fuzzed)
}

/// Lets the kernel run this thread, and what it starts, where nothing else wants to (sched(7):
/// `SCHED_IDLE`), so that no test is kept waiting by it.
fn run_where_nothing_else_does() -> anyhow::Result<()> {
    let thread = fs::read_link("/proc/thread-self").context("reading /proc/thread-self")?;
    let number = thread.file_name().unwrap_or_default();
    let mut chrt = Command::new("chrt");
    let status = chrt.args(["--idle", "--pid", "0"]).arg(number).status();
    let status = status.context("starting chrt, of what Debian calls util-linux")?;
    ensure!(status.success(), "chrt failed ({status})");
    Ok(())
}
