//! `cargo xtask vm`: tests in a virtual machine, on a kernel of their own.
//!
//! The kernel is Debian's, which has devices that the one outside may lack (VRF, VLAN, wireless), and
//! its parameters may be set. The machine is emulated, so it runs wherever QEMU does, and slowly. It
//! sees the files of the machine outside, cannot change them, and has no network.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::summary::Summary;
use crate::{cargo, programs, root, succeeds, unpacked};

/// Where the kernel is unpacked to.
const FOLDER: &str = "target/vm";

/// The package that depends on the newest kernel.
const KERNEL: &str = "linux-image-amd64";

/// The emulator, and what tests need on such a kernel.
const PROGRAMS: [(&str, &str); 2] = [("iw", "iw"), programs::QEMU];

/// The tests that need a kernel of their own, by what their names have in common.
pub(crate) const TESTS: &str = "own_kernel::";

/// What the first process needs before it can read the modules of the machine outside.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// How long a run may take.
const LIMIT: &str = "30m";

const USAGE: &str = "write: cargo xtask vm; or, for tests that other kernels run too: \
                     cargo xtask vm doctor FILTER, cargo xtask vm net FILTER";

/// Runs the tests that need a kernel of their own, or others: a test binary of `crates/manycast`, and
/// a part of the names of its tests. The last line is `N passed, N failed, N skipped`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let (binary, filter) = match arguments {
        [] => ("doctor", TESTS),
        [binary @ ("doctor" | "net"), filter] => (*binary, *filter),
        _ => bail!("{USAGE}"),
    };
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the virtual machine is made for x86_64 alone"
    );
    programs::ensure_installed()?;
    programs::ensure(&PROGRAMS)?;
    let machine = Machine::prepare()?;

    let tests = built(binary)?;
    let folder = root().join("crates/manycast");
    let command = format!(
        "cd {} && CI={} MANYCAST_LAB_LIMIT=900 {} {filter}",
        folder.display(),
        env::var("CI").unwrap_or_default(),
        tests.display()
    );
    let mut summary = Summary::default();
    let code = machine.run(&command, |line| summary.read(line))?;
    println!("{}", summary.total());
    ensure!(
        summary.total().passed + summary.total().failed > 0,
        "no test of {binary} is called {filter}"
    );
    Ok(code == 0)
}

/// Builds a test binary, and tells where it is.
fn built(binary: &str) -> anyhow::Result<PathBuf> {
    let build = format!(
        "test -p manycast --all-features --test {binary} --no-run \
         --message-format=json-render-diagnostics"
    );
    let output = cargo(&build)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "the tests do not build");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut executables = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    });
    executables.next().context("cargo built no test binary")
}

/// A kernel with its modules, ready to boot.
struct Machine {
    folder: PathBuf,
    version: String,
}

impl Machine {
    fn prepare() -> anyhow::Result<Self> {
        let folder = root().join(FOLDER);
        let package = kernel_package()?;
        let version = package.trim_start_matches("linux-image-").to_owned();
        for package in [package.as_str(), "busybox-static"] {
            ensure!(
                unpacked::once(package, &folder)?,
                "cannot unpack {package}; try: apt-get download {package}"
            );
        }
        let machine = Self { folder, version };
        let busybox = machine.folder.join("bin/busybox");
        if !machine.modules().join("modules.dep").exists() {
            let mut depmod = Command::new(&busybox);
            depmod.args(["depmod", "-b"]).arg(&machine.folder);
            ensure!(succeeds(depmod.arg(&machine.version))?, "depmod failed");
        }
        Ok(machine)
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.version)
    }

    /// Runs a command as root of the machine. Each line that it prints is shown, and told. Returns its
    /// exit code.
    fn run(&self, command: &str, mut told: impl FnMut(&str)) -> anyhow::Result<u8> {
        let files = self.first_files(command)?;
        let code = self.folder.join("code");
        let _ = fs::remove_file(&code);
        let share = |path: &Path, tag| {
            format!(
                "local,path={},mount_tag={tag},security_model=none,readonly=on,multidevs=remap",
                path.display()
            )
        };
        eprintln!("booting {}; it takes half a minute", self.version);
        let mut qemu = Command::new("timeout");
        qemu.args([LIMIT, "qemu-system-x86_64", "-accel", "tcg,thread=multi"])
            .args(["-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot"])
            .args(["-display", "none", "-nic", "none", "-serial", "stdio"])
            .args(["-serial", &format!("file:{}", code.display())])
            .arg("-kernel")
            .arg(self.folder.join(format!("boot/vmlinuz-{}", self.version)))
            .arg("-initrd")
            .arg(files)
            .args([
                "-append",
                "console=ttyS0 loglevel=2 panic=-1 mitigations=off",
            ])
            .args(["-virtfs", &share(Path::new("/"), "outside")])
            .args([
                "-virtfs",
                &share(&self.folder.join("lib/modules"), "modules"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = qemu.spawn().context("starting qemu-system-x86_64")?;
        let mut output = BufReader::new(child.stdout.take().context("it was asked for")?);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line).replace('\r', "");
            io::stdout().write_all(text.as_bytes())?;
            told(&text);
            line.clear();
        }
        let status = child.wait()?;
        let code = fs::read_to_string(&code).unwrap_or_default();
        code.trim().parse().with_context(|| {
            format!(
                "the virtual machine ended without an exit code ({status}); it may take {LIMIT}"
            )
        })
    }

    /// The archive of files with which the kernel begins: the first process, the command, and the
    /// modules with which it reads the rest.
    fn first_files(&self, command: &str) -> anyhow::Result<PathBuf> {
        let files = self.folder.join("first");
        let modules = files.join("lib/modules").join(&self.version);
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(files.join("bin"))?;
        fs::create_dir_all(&modules)?;
        fs::copy(self.folder.join("bin/busybox"), files.join("bin/busybox"))?;
        fs::write(files.join("init"), include_str!("vm/init"))?;
        fs::write(files.join("command"), command)?;

        let all = fs::read_to_string(self.modules().join("modules.dep"))?;
        let needed = with_dependencies(&all, &MODULES)?;
        for line in &needed {
            let (module, _) = line.split_once(':').context("it was found by its colon")?;
            let copy = modules.join(module);
            fs::create_dir_all(copy.parent().context("a module lies in a folder")?)?;
            fs::copy(self.modules().join(module), copy)?;
        }
        fs::write(modules.join("modules.dep"), needed.join("\n") + "\n")?;

        let archive = self.folder.join("first.cpio");
        let mut pack = Command::new("sh");
        pack.current_dir(&files)
            .args([
                "-c",
                "chmod +x init && find . | ../bin/busybox cpio -o -H newc",
            ])
            .stdout(fs::File::create(&archive)?)
            .stderr(Stdio::null());
        ensure!(succeeds(&mut pack)?, "cannot write {}", archive.display());
        Ok(archive)
    }
}

/// The package that holds the newest kernel.
fn kernel_package() -> anyhow::Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", "--important", KERNEL])
        .output()
        .context("starting apt-cache, which Debian has")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut depends = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let package = depends.find(|package| package.starts_with("linux-image-"));
    let package = package.with_context(|| format!("no package {KERNEL}; try: apt-get update"))?;
    Ok(package.to_owned())
}

/// The lines of `modules.dep` of these modules and of those that they need.
fn with_dependencies<'a>(all: &'a str, names: &[&str]) -> anyhow::Result<Vec<&'a str>> {
    let mut needed = Vec::new();
    for name in names {
        let file = format!("/{name}.ko");
        // A module that is part of the kernel has no line.
        let Some(line) = line_of(all, |path| path.contains(&file)) else {
            continue;
        };
        let (_, others) = line.split_once(':').context("a line has a colon")?;
        // The line lists all, not only those of the next level.
        let others = others
            .split_whitespace()
            .filter_map(|other| line_of(all, |path| path == other));
        for line in others.chain([line]) {
            if !needed.contains(&line) {
                needed.push(line);
            }
        }
    }
    Ok(needed)
}

fn line_of(all: &str, is_it: impl Fn(&str) -> bool) -> Option<&str> {
    all.lines()
        .find(|line| line.split(':').next().is_some_and(&is_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_brings_those_that_it_needs() {
        let all = "fs/9p.ko: net/9pnet.ko fs/netfs.ko\nnet/9pnet.ko:\nfs/netfs.ko:\nother.ko:\n";
        let needed = with_dependencies(all, &["9p", "built_in"]).unwrap();
        assert_eq!(
            needed,
            [
                "net/9pnet.ko:",
                "fs/netfs.ko:",
                "fs/9p.ko: net/9pnet.ko fs/netfs.ko"
            ]
        );
    }
}
