//! Programs that are unpacked and not installed: servers that would start with the system, and those
//! whose packages exclude each other.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::{programs, succeeds};

/// Where they are unpacked to.
const FOLDER: &str = "target/interop";

/// Debian packages: TFTP clients and servers, daemons and libraries of discovery, and what they need.
const PACKAGES: [&str; 22] = [
    "atftp",
    "atftpd",
    "avahi-daemon",
    "avahi-utils",
    "busybox",
    "dbus-daemon",
    "dnsmasq-base",
    "gir1.2-gssdp-1.6",
    "gir1.2-soup-3.0",
    "libavahi-client3",
    "libavahi-common3",
    "libavahi-core7",
    "libdaemon0",
    "libgssdp-1.6-0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libsoup-3.0-0",
    "minidlna",
    "minissdpd",
    "tftp-hpa",
    "tftpd-hpa",
    "wsdd",
];

/// What those need and is installed: it has many libraries of its own, and starts nothing. The packages of
/// two libraries have another name in each release; what names them has one in all.
const INSTALLED: [(&str, &str); 7] = [
    ("python3 -m pip", "python3-pip"),
    (
        "/usr/lib/python3/dist-packages/gi/__init__.py",
        "python3-gi",
    ),
    ("/usr/lib/x86_64-linux-gnu/libFLAC.so", "libflac-dev"),
    (
        "/usr/lib/x86_64-linux-gnu/libavformat.so",
        "libavformat-dev",
    ),
    ("/usr/lib/x86_64-linux-gnu/libexif.so.12", "libexif12"),
    ("/usr/lib/x86_64-linux-gnu/libid3tag.so.0", "libid3tag0"),
    ("/usr/lib/x86_64-linux-gnu/libjpeg.so.62", "libjpeg62-turbo"),
];

/// Packages of PyPI: a client of SSDP, both ends of WS-Discovery and of DNS-SD. Their versions are those that are
/// known to do.
const PYTHON: [&str; 3] = [
    "async-upnp-client==0.49.0",
    "WSDiscovery==2.1.2",
    "zeroconf==0.154.0",
];

/// How the names of the tests that need them begin. They run in `cargo xtask interop` alone.
pub(crate) const TESTS: [&str; 19] = [
    "discovery_async_upnp_client",
    "discovery_avahi",
    "discovery_gssdp",
    "discovery_minidlna",
    "discovery_minissdpd",
    "discovery_wsdd",
    "discovery_wsdiscovery",
    "discovery_zeroconf",
    "ssdp_async_upnp_client",
    "ssdp_gssdp",
    "ssdp_minidlna",
    "ssdp_minissdpd",
    "tftp_atftp",
    "tftp_busybox",
    "tftp_dnsmasq",
    "tftp_hpa",
    "tftp_ipxe",
    "ws_discovery_python",
    "ws_discovery_wsdd",
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
    if let Err(error) = programs::ensure(&INSTALLED) {
        eprintln!("SKIPPED some of what those need is not there: {error:#}");
    }
    // It holds what was installed, so that another version is installed anew.
    let done = folder.join("python.done");
    let all = PYTHON.join(" ");
    if !holds(&done, &all) {
        if install_python(&folder).unwrap_or(false) {
            fs::write(done, all)?;
        } else {
            eprintln!("SKIPPED {all} cannot be had; try: python3 -m pip download {all}");
        }
    }
    Ok(Unpacked { folder })
}

fn holds(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|found| found == text)
}

fn install_python(folder: &Path) -> anyhow::Result<bool> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"])
        .arg(folder.join("python"))
        .args(PYTHON);
    succeeds(&mut pip)
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
        for (variable, folders) in [
            (
                "PATH",
                &["usr/bin", "usr/sbin", "bin", "sbin", "python/bin"][..],
            ),
            ("LD_LIBRARY_PATH", &["usr/lib/x86_64-linux-gnu"]),
            (
                "GI_TYPELIB_PATH",
                &["usr/lib/x86_64-linux-gnu/girepository-1.0"],
            ),
            ("PYTHONPATH", &["python"]),
        ] {
            command.env(variable, self.joined(variable, folders));
        }
        command
    }

    fn joined(&self, variable: &str, folders: &[&str]) -> OsString {
        let before = env::var_os(variable).unwrap_or_default();
        let before = env::split_paths(&before).filter(|path| !path.as_os_str().is_empty());
        let all = before.chain(folders.iter().map(|folder| self.folder.join(folder)));
        env::join_paths(all).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{guard, root};

    /// The test binaries look for these anywhere in a name.
    #[test]
    fn only_what_needs_them_is_left_out() {
        let mut left_out = Vec::new();
        for path in guard::files(root()).unwrap() {
            if guard::is_test(&path) && path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let functions = text.lines().filter_map(|line| line.split_once("fn "));
                let names = functions.filter_map(|(_, rest)| rest.split(['(', '<']).next());
                let meant = |name: &&str| TESTS.iter().any(|test| name.contains(test));
                left_out.extend(names.filter(meant).map(str::to_owned));
            }
        }
        for test in TESTS {
            assert!(left_out.iter().any(|it| it.starts_with(test)), "{test}");
        }
        for name in left_out {
            assert!(TESTS.iter().any(|test| name.starts_with(test)), "{name}");
            let installed = name.split('_').find(|word| programs::is_needed(word));
            assert_eq!(installed, None, "{name}");
        }
    }
}
