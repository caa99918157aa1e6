//! Programs that tests need beside cargo.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::succeeds;

/// Each program, and the Debian package that holds it.
const NEEDED: [(&str, &str); 10] = [
    ("bridge", "iproute2"),
    ("ip", "iproute2"),
    ("iperf", "iperf"),
    ("tc", "iproute2"),
    ("mount", "mount"),
    ("ncat", "ncat"),
    ("nft", "nftables"),
    ("python3", "python3"),
    ("socat", "socat"),
    ("unshare", "util-linux"),
];

/// Sees to it that all programs are there: installs them as root on Debian, or tells what to do.
pub(crate) fn ensure_installed() -> anyhow::Result<()> {
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
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
        self::missing().is_empty(),
        "apt-get could not install {packages} for {programs}"
    );
    Ok(())
}

fn missing() -> Vec<&'static (&'static str, &'static str)> {
    NEEDED
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .collect()
}

/// Whether a program is on the search path, or where an administrator's path leads.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}

fn is_root() -> anyhow::Result<bool> {
    let own = fs::metadata("/proc/self").context("asking /proc for the user of this process")?;
    Ok(own.uid() == 0)
}
