//! Programs that tests and checks need beside cargo.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::{cargo, succeeds};

/// Each program, and the Debian package that holds it; what is none is named by its path, and a module of
/// Python by how it is run.
const NEEDED: [(&str, &str); 19] = [
    ("/usr/include/normApi.h", "libnorm-dev"),
    ("/usr/include/zmq.h", "libzmq3-dev"),
    ("bridge", "iproute2"),
    ("c++", "g++"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("iperf", "iperf"),
    ("kill", "procps"),
    ("tc", "iproute2"),
    ("mount", "mount"),
    ("ncat", "ncat"),
    ("nft", "nftables"),
    ("python3", "python3"),
    // Debian takes it out of what `python3 -m venv` needs.
    ("python3 -m ensurepip", "python3-venv"),
    ("socat", "socat"),
    ("sysctl", "procps"),
    ("tshark", "tshark"),
    ("unshare", "util-linux"),
];

/// What the library of the fuzzers is built with.
pub(crate) const CPP_COMPILER: [(&str, &str); 1] = [("c++", "g++")];

/// The emulator of machines.
pub(crate) const QEMU: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");

/// Programs that `cargo install` brings: their versions are those that are known to do.
const CARGO_TOOLS: [(&str, &str); 2] = [("cargo-deny", "0.20.2"), ("cargo-fuzz", "0.13.2")];

/// Sees to it that all programs are there that tests need: installs them as root on Debian, or tells
/// what to do.
pub(crate) fn ensure_installed() -> anyhow::Result<()> {
    ensure(&NEEDED)
}

/// Whether all tests may rely on a program.
#[cfg(test)]
pub(crate) fn is_needed(program: &str) -> bool {
    NEEDED.iter().any(|(needed, _)| *needed == program)
}

/// Sees to it that these programs are there, each of which has its Debian package.
pub(crate) fn ensure(needed: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    let (programs, packages) = (programs.join(", "), packages.join(" "));
    if !is_installed("apt-get") {
        bail!("the tests need {programs}; install what Debian calls {packages}");
    }
    if !is_root()? {
        bail!("the tests need {programs}; install them with: sudo apt-get install {packages}");
    }

    let apt = |arguments: &str| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments.split_whitespace())
            .env("DEBIAN_FRONTEND", "noninteractive");
        succeeds(&mut apt).context("running apt-get")
    };
    // Without the update, a fresh image knows of no packages; if only that fails, they may be known.
    apt("update --quiet")?;
    apt(&format!(
        "install --quiet --yes --no-install-recommends {packages}"
    ))?;
    ensure!(
        self::missing(needed).is_empty(),
        "apt-get could not install {packages} for {programs}"
    );
    Ok(())
}

fn missing<'a, 'b>(needed: &'a [(&'b str, &'b str)]) -> Vec<&'a (&'b str, &'b str)> {
    needed
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .collect()
}

/// Sees to it that a program of cargo is there: installs it in CI and as root, and elsewhere says
/// what to do.
pub(crate) fn cargo_tool(name: &str) -> anyhow::Result<Option<String>> {
    if is_installed(name) {
        return Ok(None);
    }
    let known = CARGO_TOOLS.iter().find(|(tool, _)| *tool == name);
    let (_, version) = known.context("a tool has a known version")?;
    // Without optimization it is there in half the time, and works for a second or less.
    let install = format!("install {name}@{version} --locked --debug");
    if !is_ci() && !is_root()? {
        return Ok(Some(format!(
            "{name} is missing; install it with: cargo {install}"
        )));
    }
    let installed = succeeds(&mut cargo(&install))?;
    ensure!(installed, "cargo could not install {name}");
    Ok(None)
}

/// Whether this run is one of continuous integration, as the tests take it (`is_ci` of the lab).
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Whether a program is on the search path, or where the path of an administrator or of cargo leads; or
/// whether the Python there has a module.
fn is_installed(program: &str) -> bool {
    if let Some(module) = program.strip_prefix("python3 -m ") {
        let mut python = Command::new("python3");
        let output = python.args(["-c", &format!("import {module}")]).output();
        return output.is_ok_and(|output| output.status.success());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // What cargo installs is often on no search path.
    let of_cargo = env::home_dir().map(|home| home.join(".cargo/bin"));
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(of_cargo)
        .any(|folder| folder.join(program).is_file())
}

pub(crate) fn is_root() -> anyhow::Result<bool> {
    let own = fs::metadata("/proc/self").context("asking /proc for the user of this process")?;
    Ok(own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_python_is_looked_for_there() {
        assert!(is_installed("python3 -m json"));
        assert!(!is_installed("python3 -m no_such_module"));
    }
}
