//! Programs that are unpacked and not installed: servers that would start with the system, and those
//! whose packages exclude each other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::succeeds;

/// Where they are unpacked to.
const FOLDER: &str = "target/interop";

/// Debian packages: TFTP clients and servers, a daemon of SSDP, and what they need.
const PACKAGES: [&str; 10] = [
    "atftp",
    "atftpd",
    "busybox",
    "curl",
    "dnsmasq-base",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "minissdpd",
    "tftp-hpa",
    "tftpd-hpa",
];

/// What the names of the tests that need them have in common. They run in `cargo xtask interop` alone.
pub(crate) const TESTS: [&str; 6] = [
    "ssdp_minissdpd",
    "tftp_atftp",
    "tftp_busybox",
    "tftp_dnsmasq",
    "tftp_hpa",
    "tftp_ipxe",
];

/// What was unpacked.
pub(crate) struct Unpacked {
    folder: PathBuf,
}

/// Downloads and unpacks what is not there yet. What cannot be had is told, and the tests that need
/// it are skipped, which is told again.
pub(crate) fn unpack() -> anyhow::Result<Unpacked> {
    let folder = env::current_dir()?.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("making {FOLDER}"))?;
    for package in PACKAGES {
        if !once(package, &folder)? {
            eprintln!("SKIPPED {package} cannot be unpacked; try: apt-get download {package}");
        }
    }
    Ok(Unpacked { folder })
}

/// Downloads and unpacks a package to a folder, unless that was done before. Says whether it is there.
pub(crate) fn once(package: &str, folder: &Path) -> anyhow::Result<bool> {
    let done = folder.join(format!("{package}.done"));
    if done.exists() {
        return Ok(true);
    }
    let unpacked = unpack_one(package, folder)?;
    if unpacked {
        fs::write(done, "")?;
    }
    Ok(unpacked)
}

fn unpack_one(package: &str, folder: &Path) -> anyhow::Result<bool> {
    let downloads = folder.join("download");
    fs::create_dir_all(&downloads)?;
    let mut download = Command::new("apt-get");
    download
        .args(["--quiet", "download", package])
        .current_dir(&downloads);
    if !succeeds(&mut download).unwrap_or(false) {
        return Ok(false);
    }
    let prefix = format!("{package}_");
    for entry in fs::read_dir(&downloads)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&prefix) {
            let mut unpack = Command::new("dpkg");
            unpack.arg("-x").arg(&path).arg(folder);
            return succeeds(&mut unpack);
        }
    }
    Ok(false)
}

impl Unpacked {
    /// Lets a command find them, after what is installed.
    pub(crate) fn add_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let programs = ["usr/bin", "usr/sbin", "bin", "sbin"];
        command.env("PATH", self.joined("PATH", &programs)).env(
            "LD_LIBRARY_PATH",
            self.joined("LD_LIBRARY_PATH", &["usr/lib/x86_64-linux-gnu"]),
        )
    }

    fn joined(&self, variable: &str, folders: &[&str]) -> OsString {
        let before = env::var_os(variable).unwrap_or_default();
        let before = env::split_paths(&before).filter(|path| !path.as_os_str().is_empty());
        let all = before.chain(folders.iter().map(|folder| self.folder.join(folder)));
        env::join_paths(all).unwrap_or_default()
    }
}
