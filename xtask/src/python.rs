//! The Python package: wheel and sdist, and their tests.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::summary::{Counts, Summary};
use crate::{root, succeeds};

/// `cargo xtask python`: builds the wheel and the sdist into target/python/dist, and a wheel from
/// nothing but the sdist.
pub(crate) fn run() -> anyhow::Result<bool> {
    let environment = Environment::fresh("build")?;
    let dist = emptied("dist")?;
    if !(environment.pip(&["maturin>=1.9,<2"])? && environment.build(&dist)?) {
        return Ok(false);
    }
    let alone = emptied("from-sdist")?;
    let mut wheel = environment.program("pip");
    wheel
        .args(["wheel", "--quiet", "--no-deps", "--wheel-dir"])
        .arg(&alone)
        .arg(only(&dist, "gz")?);
    let built = succeeds(&mut wheel)?;
    if built {
        println!("{}", only(&dist, "whl")?.display());
        println!("{}", only(&dist, "gz")?.display());
    }
    Ok(built)
}

/// Measures the receivers of the package beside those that Python has, for so many seconds, and
/// returns what is to be said of them.
pub(crate) fn bench(seconds: u32) -> anyhow::Result<String> {
    let environment = Environment::fresh("bench")?;
    let dist = emptied("bench-dist")?;
    let ready = environment.pip(&["maturin>=1.9,<2", "uvloop>=0.21"])?
        && environment.build_wheel("release", &dist)?
        && environment.pip(&[only(&dist, "whl")?])?;
    ensure!(ready, "the Python package could not be built and installed");
    let mut bench = environment.program("python");
    bench.args(["benches/receive.py", &seconds.to_string()]);
    let output = bench
        .stderr(Stdio::inherit())
        .output()
        .context("running the benchmark in Python")?;
    ensure!(output.status.success(), "the benchmark in Python failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// `cargo xtask test python`: the tests of the package, without those of cargo.
pub(crate) fn test_alone() -> anyhow::Result<bool> {
    let mut summary = Summary::default();
    let passed = test(&prepare()?, &mut summary)?;
    println!("{}", summary.total());
    Ok(passed)
}

/// Builds the wheel and installs it in a fresh environment, with what its tests need.
pub(crate) fn prepare() -> anyhow::Result<Environment> {
    let environment = Environment::fresh("test")?;
    let dist = emptied("test-dist")?;
    let requirements = package().join("tests/requirements.txt");
    let ready = environment.pip(&["maturin>=1.9,<2"])?
        && environment.pip(&["-r".as_ref(), requirements.as_os_str()])?
        && environment.build_wheel("tested", &dist)?
        && environment.pip(&[only(&dist, "whl")?])?;
    ensure!(ready, "the Python package could not be built and installed");
    Ok(environment)
}

/// Tests what was [prepared](prepare): pytest, the types of the package and of the examples, and the
/// stubs against the binary.
pub(crate) fn test(environment: &Environment, summary: &mut Summary) -> anyhow::Result<bool> {
    let mut pytest = environment.program("pytest");
    pytest.args(["-p", "no:cacheprovider"]);
    let (passed, counts) = counted(&mut pytest)?;
    summary.add("python/tests (pytest)", counts);

    let mut mypy = environment.program("mypy");
    mypy.args(["--strict", "examples", "manycast"]);
    let typed = succeeds(&mut mypy)?;

    let mut stubtest = environment.program("python");
    // From elsewhere, so that the installed package is found and not its source.
    stubtest
        .current_dir(&environment.folder)
        .args(["-m", "mypy.stubtest", "manycast", "--allowlist"])
        .arg(package().join("tests/stubtest-allowlist.txt"));
    let stubs = succeeds(&mut stubtest)?;
    for (check, passed) in [("mypy --strict", typed), ("stubtest", stubs)] {
        if !passed {
            eprintln!("FAILED {check} of the Python package");
        }
    }
    Ok(passed && typed && stubs)
}

/// A virtual environment of Python.
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Makes one anew, with nothing in it.
    fn fresh(name: &str) -> anyhow::Result<Self> {
        let folder = emptied(name)?;
        let python = env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
        let mut command = Command::new(python);
        command.args(["-m", "venv"]).arg(&folder);
        ensure!(
            succeeds(&mut command)?,
            "no virtual environment could be made; install what Debian calls python3-venv"
        );
        Ok(Self { folder })
    }

    /// A program of it, to be run in the folder of the package.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin").join(name));
        command
            .current_dir(package())
            .env("VIRTUAL_ENV", &self.folder)
            .env("PYO3_PYTHON", self.folder.join("bin/python"))
            .stdin(Stdio::null());
        command
    }

    fn pip(&self, what: &[impl AsRef<std::ffi::OsStr>]) -> anyhow::Result<bool> {
        let mut pip = self.program("pip");
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args(what);
        succeeds(&mut pip)
    }

    fn build(&self, dist: &Path) -> anyhow::Result<bool> {
        let mut sdist = self.program("maturin");
        sdist.args(["sdist", "--out"]).arg(dist);
        Ok(self.build_wheel("release", dist)? && succeeds(&mut sdist)?)
    }

    fn build_wheel(&self, profile: &str, dist: &Path) -> anyhow::Result<bool> {
        let mut wheel = self.program("maturin");
        wheel
            .args(["build", "--profile", profile, "--locked", "--out"])
            .arg(dist);
        succeeds(&mut wheel)
    }
}

fn package() -> PathBuf {
    root().join("python")
}

/// A folder in target/python, with nothing in it.
fn emptied(name: &str) -> anyhow::Result<PathBuf> {
    let folder = root().join("target/python").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// The one file with this extension in a folder.
fn only(folder: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            return Ok(path);
        }
    }
    anyhow::bail!("{} holds no file .{extension}", folder.display())
}

/// Runs pytest, showing its output, and counts its tests.
fn counted(pytest: &mut Command) -> anyhow::Result<(bool, Counts)> {
    eprintln!("\n$ pytest");
    let output = pytest
        .stderr(Stdio::inherit())
        .output()
        .context("running pytest")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let last = text.lines().last().unwrap_or_default();
    Ok((output.status.success(), Counts::of_pytest(last)))
}
