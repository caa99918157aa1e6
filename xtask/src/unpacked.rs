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

/// Debian packages: TFTP clients and servers, daemons of discovery, and what they need.
const PACKAGES: [&str; 18] = [
    "atftp",
    "atftpd",
    "avahi-daemon",
    "avahi-utils",
    "busybox",
    "curl",
    "dbus-daemon",
    "dnsmasq-base",
    "libavahi-client3",
    "libavahi-common3",
    "libavahi-core7",
    "libdaemon0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "minissdpd",
    "tftp-hpa",
    "tftpd-hpa",
    "wsdd",
];

/// What the names of the tests that need them have in common. They run in `cargo xtask interop` alone.
pub(crate) const TESTS: [&str; 7] = [
    "discovery_",
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
        let done = folder.join(format!("{package}.done"));
        if done.exists() {
            continue;
        }
        if unpack_one(package, &folder)? {
            fs::write(done, "")?;
        } else {
            eprintln!("SKIPPED {package} cannot be unpacked; try: apt-get download {package}");
        }
    }
    modules(&folder)?;
    Ok(Unpacked { folder })
}

/// Modules of Python that discover, each with the version that is known to do.
const MODULES: [&str; 3] = [
    "async-upnp-client==0.49.0",
    "WSDiscovery==2.1.2",
    "zeroconf==0.154.0",
];

fn modules(folder: &Path) -> anyhow::Result<()> {
    let done = folder.join("modules.done");
    if done.exists() {
        return Ok(());
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--quiet", "install", "--target"])
        .arg(folder.join(PYTHON))
        .args(MODULES);
    if succeeds(&mut pip).unwrap_or(false) {
        fs::write(done, "")?;
    } else {
        let modules = MODULES.join(" ");
        eprintln!("SKIPPED modules of Python; try: python3 -m pip install {modules}");
    }
    Ok(())
}

/// Where modules of Python are.
const PYTHON: &str = "python";

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
        command
            .env("PATH", self.joined("PATH", &programs))
            .env(
                "LD_LIBRARY_PATH",
                self.joined("LD_LIBRARY_PATH", &["usr/lib/x86_64-linux-gnu"]),
            )
            .env("PYTHONPATH", self.joined("PYTHONPATH", &[PYTHON]))
    }

    fn joined(&self, variable: &str, folders: &[&str]) -> OsString {
        let before = env::var_os(variable).unwrap_or_default();
        let before = env::split_paths(&before).filter(|path| !path.as_os_str().is_empty());
        let all = before.chain(folders.iter().map(|folder| self.folder.join(folder)));
        env::join_paths(all).unwrap_or_default()
    }
}
