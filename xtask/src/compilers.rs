//! Checks by other compilers than the one that runs this, and with other features.

use std::process::Command;

use anyhow::Context;

use crate::outcome::{Outcome, Outcomes};
use crate::{cargo, packages, root, succeeds, toolchains};

/// The tests that Miri runs: those of what reads no clock and makes no system call.
const PURE: [&str; 3] = [
    "-p manycast-types --lib",
    "-p manycast-proto --lib",
    "-p manycast-net --lib -- features:: interfaces:: joined:: netlink:: routes:: sys:: watch::",
];

/// Clippy on each library by itself and without features, so that no other package switches one on.
pub(crate) fn without_features() -> anyhow::Result<Outcome> {
    let mut passed = true;
    for package in packages::all(root())? {
        if package.is_library() && package.is_of_workspace() {
            passed &= succeeds(&mut cargo(&format!(
                "clippy -p {} --lib --no-default-features -- -D warnings",
                package.name
            )))?;
        }
    }
    Ok(passed.into())
}

/// Checks the workspace by the oldest compiler that it promises to do with.
///
/// Where there is none, clippy still tells what the standard library did not have then
/// (`incompatible_msrv`).
pub(crate) fn oldest() -> anyhow::Result<Outcome> {
    let version = oldest_version()?;
    let check = "check --workspace --all-targets --all-features";
    let mut command = if is_own(&version)? {
        cargo(check)
    } else if let Some(toolchain) = toolchains::find(&version) {
        toolchains::cargo(&toolchain, check)
    } else {
        return Ok(Outcome::skipped(format!(
            "no Rust {version}; install it with: rustup toolchain install {version}"
        )));
    };
    Ok(succeeds(&mut command)?.into())
}

/// The `rust-version` of the workspace.
fn oldest_version() -> anyhow::Result<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'));
    Ok(version
        .context("Cargo.toml has no rust-version")?
        .to_owned())
}

/// Whether the compiler that runs this has this version.
fn is_own(version: &str) -> anyhow::Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("--version")
        .output()
        .context("running rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.starts_with(&format!("rustc {version}.")))
}

/// Runs the tests of what is pure under Miri, which finds undefined behaviour.
pub(crate) fn miri(outcomes: &mut Outcomes) -> anyhow::Result<()> {
    const CHECK: &str = "Miri";
    let nightly = toolchains::find("nightly").filter(|nightly| {
        let version = toolchains::cargo(nightly, "miri --version").output();
        version.is_ok_and(|output| output.status.success())
    });
    let Some(nightly) = nightly else {
        let why = "no nightly compiler with Miri; install it with: \
                   rustup toolchain install nightly --component miri";
        outcomes.add(CHECK, Outcome::skipped(why));
        return Ok(());
    };
    for tests in PURE {
        let mut test = toolchains::cargo(&nightly, &format!("miri test {tests}"));
        // Miri is some hundred times slower. Proptest asks for the folder that it runs in, and
        // would write what failed into it.
        test.env("PROPTEST_CASES", "4")
            .env("MIRIFLAGS", "-Zmiri-disable-isolation");
        let name = tests.split(' ').nth(1).unwrap_or(tests);
        outcomes.add(format!("{CHECK} on {name}"), succeeds(&mut test)?);
    }
    Ok(())
}
