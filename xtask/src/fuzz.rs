//! The fuzzers: built, and run for a short time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, ScopedJoinHandle};

use anyhow::Context;

use crate::summary::{Counts, Summary};
use crate::{cargo, programs, root, succeeds, toolchains};

/// How long each fuzzer runs in `cargo xtask test`, in seconds; some thousand inputs a second.
const SECONDS: u32 = 5;

/// How long one input may take, in seconds, until it counts as one that hangs.
const SECONDS_OF_AN_INPUT: u32 = 10;

/// Checks the types of all fuzzers, which takes no nightly compiler.
pub(crate) fn check() -> anyhow::Result<bool> {
    let mut check = cargo("check --manifest-path fuzz/Cargo.toml");
    // What a check does not link need not be compiled from C++.
    check
        .env("RUSTFLAGS", "--cfg fuzzing")
        .env("CARGO_TARGET_DIR", "fuzz/target/check")
        .env("CUSTOM_LIBFUZZER_PATH", "/none/libfuzzer.a");
    succeeds(&mut check)
}

/// `cargo xtask fuzz`: runs those named, or all, for so many seconds each.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let (seconds, names) = match arguments {
        ["--seconds", seconds, names @ ..] => {
            let seconds = seconds
                .parse()
                .with_context(|| format!("{seconds:?} is no number"))?;
            (seconds, names)
        }
        names => (60, names),
    };
    let mut summary = Summary::default();
    let built = build(builder()?)?;
    let passed = run_all(names, seconds, built, &mut summary)?;
    print!("{summary}");
    println!("{}", summary.total());
    Ok(passed)
}

/// Runs all fuzzers for a short time each, if they were [built](build).
pub(crate) fn test(built: Result<bool, String>, summary: &mut Summary) -> anyhow::Result<bool> {
    run_all(&[], SECONDS, built, summary)
}

fn run_all(
    wanted: &[&str],
    seconds: u32,
    built: Result<bool, String>,
    summary: &mut Summary,
) -> anyhow::Result<bool> {
    let built = match built {
        Ok(built) => built,
        Err(why) => {
            summary.skip("fuzz", &why);
            return Ok(true);
        }
    };
    let names: Vec<_> = fuzzers()?
        .into_iter()
        .filter(|name| wanted.is_empty() || wanted.contains(&name.as_str()))
        .collect();
    anyhow::ensure!(
        names.len() >= wanted.len().max(1),
        "there is no such fuzzer; there are {}",
        fuzzers()?.join(", ")
    );
    if !built {
        summary.fail("fuzz", "cargo fuzz build");
        return Ok(false);
    }
    let mut passed = true;
    let together = thread::available_parallelism().map_or(1, usize::from);
    for some in names.chunks(together) {
        eprintln!("\nfuzzing {} for {seconds} s", some.join(" and "));
        let fuzzers = some.iter().map(|name| fuzzer(name, seconds));
        let outputs = side_by_side(fuzzers.collect::<anyhow::Result<_>>()?);
        for (name, output) in some.iter().zip(outputs) {
            let output = output.with_context(|| format!("running {name}"))?;
            if output.status.success() {
                summary.add(
                    "fuzz",
                    Counts {
                        passed: 1,
                        ..Counts::default()
                    },
                );
            } else {
                eprint!("{}", String::from_utf8_lossy(&output.stderr));
                eprintln!("FAILED {name}; again with: cargo +nightly fuzz run {name} ARTIFACT");
                summary.fail("fuzz", name);
                passed = false;
            }
        }
    }
    Ok(passed)
}

/// Runs programs at the same time, and keeps what each says until it has ended. All are read from all the
/// time: one that nobody reads from stands still when its pipe is full.
fn side_by_side(programs: Vec<Command>) -> Vec<io::Result<Output>> {
    thread::scope(|scope| {
        let running: Vec<_> = programs
            .into_iter()
            .map(|mut program| scope.spawn(move || program.output()))
            .collect();
        let ended = running.into_iter().map(ScopedJoinHandle::join);
        ended
            .map(|ended| ended.unwrap_or_else(|_| Err(io::Error::other("its thread panicked"))))
            .collect()
    })
}

/// The toolchain that builds fuzzers, or why there is none.
pub(crate) fn builder() -> anyhow::Result<Result<String, String>> {
    let Some(nightly) = toolchains::find("nightly") else {
        return Ok(Err(
            "no nightly compiler; install one with: rustup toolchain install nightly".to_owned(),
        ));
    };
    programs::ensure(&programs::CPP_COMPILER)?;
    Ok(match programs::cargo_tool("cargo-fuzz")? {
        Some(why) => Err(why),
        None => Ok(nightly),
    })
}

/// Builds all fuzzers and tells whether that succeeded, or why there is no [builder].
pub(crate) fn build(builder: Result<String, String>) -> anyhow::Result<Result<bool, String>> {
    Ok(match builder {
        Ok(nightly) => Ok(succeeds(&mut toolchains::cargo(&nightly, "fuzz build"))?),
        Err(why) => Err(why),
    })
}

/// The names of all fuzzers, by their sources.
fn fuzzers() -> anyhow::Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// A fuzzer, which keeps what it finds in `fuzz/corpus`, and what breaks in `fuzz/artifacts`.
fn fuzzer(name: &str, seconds: u32) -> anyhow::Result<Command> {
    let folder = root().join("fuzz");
    let made = |kind: &str| -> anyhow::Result<PathBuf> {
        let path = folder.join(kind).join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    };
    let mut fuzzer = Command::new(binaries(&folder)?.join(name));
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SECONDS_OF_AN_INPUT}"))
        .arg(format!(
            "-artifact_prefix={}/",
            made("artifacts")?.display()
        ))
        .arg(made("corpus")?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let seeds = folder.join("seeds").join(name);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    Ok(fuzzer)
}

/// Where cargo-fuzz puts what it builds: below the name of this system.
fn binaries(folder: &Path) -> anyhow::Result<PathBuf> {
    let target = folder.join("target");
    let entries = fs::read_dir(&target).with_context(|| format!("reading {}", target.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path().join("release")));
    let found = paths.find(|path| path.join("wire").is_file());
    found.with_context(|| format!("{} holds no fuzzers", target.display()))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process;

    use super::*;

    #[test]
    fn one_that_says_much_does_not_wait_for_another() {
        let fifo = env::temp_dir().join(format!("xtask-fuzz-{}", process::id()));
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        // The first ends only after the second has said all.
        let scripts = [
            "cat \"$0\" >&2",
            "head -c 1000000 /dev/zero >&2; echo end >\"$0\"",
        ];
        let programs = scripts.map(|script| {
            let mut program = Command::new("timeout");
            program.args(["60", "sh", "-c", script]).arg(&fifo);
            program
        });
        let outputs = side_by_side(programs.into());
        fs::remove_file(fifo).unwrap();
        let said = outputs.into_iter().map(|it| it.unwrap().stderr.len());
        assert_eq!(said.collect::<Vec<_>>(), [4, 1_000_000]);
    }
}
