//! `cargo xtask interop`: the tests against programs that others wrote.

use std::process::Stdio;

use anyhow::Context;

use crate::summary::Summary;
use crate::{cargo, programs, unpacked};

/// What the names of tests against a program of others have in common (`truncated` has an `ncat`).
const TESTS: [&str; 10] = [
    "discovery_",
    "iperf",
    "ncat_",
    NORM,
    "python_",
    "socat_",
    SSDP,
    "tftp_",
    AS_ROOT,
    WS_DISCOVERY,
];

/// Our NORM beside that of its authors: a package of its own, since the command is not needed.
const NORM: &str = "norm_";

/// Our SSDP beside that of others: the command has none.
const SSDP: &str = "ssdp_";

/// Our WS-Discovery beside that of others.
const WS_DISCOVERY: &str = "ws_discovery_";

/// A test binary whose program needs to be root, and not in a user namespace.
const AS_ROOT: &str = "tftp_hpa";

/// Runs the tests of the command that bear the name of such a program. They are among those of
/// `cargo xtask test` too, but for those whose programs are [unpacked](unpacked::TESTS). The last line
/// is `N passed, N failed, N skipped`.
pub(crate) fn run() -> anyhow::Result<bool> {
    programs::ensure_installed()?;
    if let Err(error) = programs::ensure(&[programs::QEMU]) {
        eprintln!("SKIPPED there is no machine to boot from us: {error:#}");
    }
    let unpacked = unpacked::unpack()?;
    let mut summary = Summary::default();
    let mut passed = true;
    for tests in TESTS {
        // The test binary takes one name at a time.
        let command = match tests {
            AS_ROOT if programs::is_root()? => {
                format!("test -p manycast-cli --test {tests} -- --include-ignored")
            }
            AS_ROOT => {
                println!("SKIPPED {tests}; run it as root");
                continue;
            }
            NORM => format!("test -p manycast-interop-norm --test nrl -- {NORM}"),
            SSDP | WS_DISCOVERY => {
                format!("test -p manycast --all-features --test net -- {tests}")
            }
            tests => format!("test -p manycast-cli --test net -- {tests}"),
        };
        eprintln!("\n$ cargo {command}");
        let before = summary.total();
        let output = unpacked
            .add_to(&mut cargo(&command))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        text.lines().for_each(|line| summary.read(line));
        if summary.total() == before {
            eprintln!("FAILED there is no test {tests}");
            passed = false;
        }
        passed &= output.status.success();
    }
    println!("{}", summary.total());
    Ok(passed)
}
