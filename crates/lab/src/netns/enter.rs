//! How a test binary gets into namespaces of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::command;

/// Names the network namespace that the binary was started in, once it has been executed anew.
const ORIGIN: &str = "MANYCAST_LAB_ORIGIN";

/// Tries what every lab needs, so that a missing piece is found before the first test.
const PROBE: &str = "mount -t tmpfs tmpfs /run && \
                     ip netns add probe && \
                     ip -n probe link add br0 type bridge && \
                     ip netns exec probe nft list tables";

/// Runs tests in namespaces of their own; [`tests!`](crate::netns::tests) calls it.
///
/// The binary executes itself anew under `unshare -Urnm`, which an ordinary user may do, and then
/// behaves like any other test binary: filters, `--list`, threads and nextest work. Where
/// namespaces are not to be had, each test counts as ignored and the reason is printed; with
/// `CI=true` in the environment they fail instead.
pub fn main<const N: usize>(tests: [(&'static str, fn()); N]) -> ExitCode {
    let arguments = Arguments::from_args();
    let obstacle = if arguments.list { None } else { enter().err() };
    if let Some(reason) = &obstacle {
        eprintln!("\nno test with network namespaces can run here: {reason}\n");
    }
    let trials = tests.map(|(name, test)| {
        let obstacle = obstacle.clone();
        Trial::ignorable_test(name, move || match obstacle {
            Some(reason) => skip(reason),
            None => run(test),
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Makes a `main` that runs these tests, each a `fn()`; see [`netns`](crate::netns).
#[macro_export]
macro_rules! netns_tests {
    ($($test:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::netns::main([$((stringify!($test), $test as fn())),+])
        }
    };
}

/// Ends the test as ignored, and says so, unless all of these programs are installed.
///
/// With `CI=true` in the environment the test fails instead.
///
/// ```no_run
/// manycast_lab::netns::require(&["socat"]);
/// ```
pub fn require(programs: &[&str]) {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<_> = programs
        .iter()
        .copied()
        .filter(|program| !found(program))
        .collect();
    if !missing.is_empty() {
        let reason = format!("install {} to run this test", missing.join(" and "));
        // Unwinding without the panic hook: nothing went wrong that a backtrace would explain.
        panic::resume_unwind(Box::new(Skip(reason)));
    }
}

/// What [`require`] unwinds with.
struct Skip(String);

fn run(test: fn()) -> Result<Completion, Failed> {
    let Err(payload) = panic::catch_unwind(AssertUnwindSafe(test)) else {
        return Ok(Completion::Completed);
    };
    match payload.downcast::<Skip>() {
        Ok(reason) => skip(reason.0),
        Err(payload) => panic::resume_unwind(payload),
    }
}

fn skip(reason: String) -> Result<Completion, Failed> {
    if env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false") {
        return Err(reason.into());
    }
    eprintln!("SKIPPED: {reason}");
    Ok(Completion::ignored_with(reason))
}

/// Returns inside of fresh namespaces, or tells why there are none.
fn enter() -> Result<(), String> {
    let here = fs::read_link("/proc/self/ns/net")
        .map_err(|error| format!("cannot read /proc/self/ns/net: {error}; mount /proc"))?;
    if env::var_os(ORIGIN).is_some_and(|origin| here.as_os_str() != origin) {
        // `ip netns` keeps its names below /run, which is another user's outside.
        let mount = command::output(
            Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]),
            "",
        );
        return mount.map(drop);
    }

    let flags = flags_that_work()?;
    let program = env::current_exe()
        .map_err(|error| format!("cannot find the test binary, to execute it anew: {error}"))?;
    let error = Command::new("unshare")
        .arg(flags)
        .arg("--")
        .arg(program)
        .args(env::args_os().skip(1))
        .env(ORIGIN, here)
        .env("PATH", path())
        .exec();
    Err(format!("cannot execute unshare: {error}"))
}

/// The flags of `unshare` that give namespaces in which a lab works.
fn flags_that_work() -> Result<&'static str, String> {
    let probe = |flags| {
        let mut unshare = Command::new("unshare");
        unshare
            .args([flags, "--", "sh", "-c", PROBE])
            .env("PATH", path());
        command::output(&mut unshare, "").map(|_| flags)
    };
    // Root may do without a user namespace where those are forbidden.
    probe("-Urnm").or_else(|problem| {
        let remedy = "install iproute2, nftables and util-linux, and allow user namespaces \
                      (sysctl kernel.unprivileged_userns_clone=1, \
                      kernel.apparmor_restrict_unprivileged_userns=0), or run as root";
        probe("-nm").map_err(|_| format!("{problem}; {remedy}"))
    })
}

/// The search path with the folders of `nft` and `tc`, which an ordinary user's may lack.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
