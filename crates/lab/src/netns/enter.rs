//! How a test gets into namespaces of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::panic::{self, RefUnwindSafe, UnwindSafe};
use std::process::{Command, ExitCode, Output};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::{command, wait};

/// Names the test that a process is for, which is then in namespaces of its own.
const TEST: &str = "MANYCAST_LAB_TEST";

/// Names the network namespace from which it came.
const ORIGIN: &str = "MANYCAST_LAB_ORIGIN";

const OWN_NAMESPACE: &str = "/proc/self/ns/net";

/// For what a test writes: in memory that is mounted for it alone, and is gone with its last process, however
/// that ends.
const TEMPORARY: &str = "/run/tmp";

/// The exit status of a test that cannot run here.
const SKIPPED: u8 = 77;

/// That of `timeout` where it has killed.
const KILLED: i32 = 137;

/// How long a test may take, in seconds, before it is killed; another number where this variable of the
/// environment has one.
const LIMIT: u64 = 120;
const OTHER_LIMIT: &str = "MANYCAST_LAB_LIMIT";

/// What to write before a command that is to have namespaces of its own, the best first.
///
/// The first has processes of its own too: they end with whoever runs the command, however that ends. A
/// signal from the terminal does nothing to the first process of such a namespace, so that is a shell,
/// which waits for the command. A container whose `/proc` is masked forbids it. Root may do without a user
/// namespace where those are forbidden, and then `/proc/1` is of the machine.
const WAYS: [&[&str]; 3] = [
    &[
        "unshare",
        "-Urnmpf",
        "--kill-child",
        "--mount-proc",
        "--",
        "sh",
        "-c",
        "\"$@\"; exit $?",
        "sh",
    ],
    &["unshare", "-Urnm", "--"],
    &["unshare", "-nm", "--"],
];

/// Tries what every lab needs, so that a missing piece is found before the first test.
const PROBE: &str = "mount -t tmpfs tmpfs /run && \
                     ip netns add probe && \
                     ip -n probe link add br0 type bridge && \
                     ip netns exec probe nft list tables";

/// Runs tests in namespaces of their own; [`tests!`](crate::netns::tests) calls it.
///
/// Each test is a process of its own, in which the binary executes itself anew under
/// `unshare -Urnmpf`; an ordinary user may do that. What it started ends with it, and its
/// [`temp_dir`](env::temp_dir) is its own, in memory, and gone with it; its process number is that of others
/// too. Where this binary is killed by a signal that it cannot see (`SIGKILL`), the tests that it runs go on
/// until they end or their time is over.
/// Filters, `--list`, threads and nextest work as with any test binary, and what a test prints is shown
/// when it fails, or with `--nocapture`.
///
/// Where namespaces are not to be had, each test counts as ignored and the reason is printed; with
/// `CI=true` in the environment they fail instead. A test is killed after two minutes, or after
/// as many seconds as `MANYCAST_LAB_LIMIT` says.
///
/// `at_once` tests wait or run at a time for each processor of the machine, where the command line
/// does not say otherwise.
pub fn main<const N: usize>(at_once: usize, tests: [(&'static str, fn()); N]) -> ExitCode {
    let names = tests.iter().map(|(name, _)| (*name).to_owned());
    cases(names.collect(), at_once, |name| {
        let Some((_, test)) = tests.iter().find(|(known, _)| *known == name) else {
            panic!("there is no test {name}");
        };
        test();
    })
}

/// Like [`main`], for tests whose names are not known before the binary runs, such as drawn ones.
///
/// `run` makes the test of a name.
pub fn cases(names: Vec<String>, at_once: usize, run: impl Fn(&str) + RefUnwindSafe) -> ExitCode {
    if let Ok(name) = env::var(TEST) {
        return run_inside(|| run(&name));
    }
    let mut arguments = Arguments::from_args();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads = arguments.test_threads.or(Some(at_once * processors));
    let way = if arguments.list { Ok(WAYS[0]) } else { way() };
    if let Err(reason) = &way {
        eprintln!("\nno test with network namespaces can run here: {reason}\n");
    }
    let trials = names.into_iter().map(|name| {
        let way = way.clone();
        let capture = !arguments.nocapture;
        Trial::ignorable_test(name.clone(), move || match way {
            Ok(way) => run_outside(&name, way, capture),
            Err(_) => ignored("no network namespaces; the reason stands above".to_owned()),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Makes a `main` that runs these tests, each a `fn()`; see [`netns`](crate::netns).
///
/// One test runs at a time for each processor. Tests that do little but wait can run more densely:
/// `tests!(at_once: 8; these, and_those)` runs eight for each processor.
#[macro_export]
macro_rules! netns_tests {
    (at_once: $at_once:expr; $($test:path),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::netns::main($at_once, [$((stringify!($test), $test as fn())),+])
        }
    };
    ($($test:path),+ $(,)?) => {
        $crate::netns_tests!(at_once: 1; $($test),+);
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
        skip(format!(
            "install {} to run this test",
            missing.join(" and ")
        ));
    }
}

/// Whether this run is one of continuous integration, where a skip is a failure: `CI` is in the environment
/// and neither empty nor `false`. `cargo xtask` takes it so too.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Ends the test as ignored for this reason; with `CI=true` in the environment it fails.
pub fn skip(reason: impl Into<String>) -> ! {
    // Unwinding without the panic hook: nothing went wrong that a backtrace would explain.
    panic::resume_unwind(Box::new(Skip(reason.into())))
}

/// What [`skip`] unwinds with.
struct Skip(String);

/// How long a test may take before it is killed.
pub(super) fn limit() -> Duration {
    let seconds = env::var(OTHER_LIMIT).map_or(LIMIT, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{OTHER_LIMIT} is a number of seconds, and not {text:?}"))
    });
    Duration::from_secs(seconds)
}

/// Starts the process that runs one test, and judges how it ended.
fn run_outside(name: &str, way: &[&str], capture: bool) -> Result<Completion, Failed> {
    let (begin, limit) = (Instant::now(), limit());
    let mut command = Command::new("timeout");
    command
        // `unshare` lets no other signal end it.
        .args(["--foreground", "--signal=KILL"])
        .arg(limit.as_secs().to_string())
        .args(way)
        .arg(env::current_exe()?)
        .env(TEST, name)
        .env("TMPDIR", TEMPORARY)
        .env(ORIGIN, fs::read_link(OWN_NAMESPACE)?)
        .env("PATH", path());
    let output = if capture {
        command.output()?
    } else {
        let status = command.status()?;
        Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    };

    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed += &String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(code) if code == i32::from(SKIPPED) => ignored(
            printed
                .lines()
                .last()
                .unwrap_or("it does not tell why")
                .to_owned(),
        ),
        Some(KILLED) if begin.elapsed() >= limit => {
            Err(format!("killed after {limit:?}\n{printed}").into())
        }
        _ => Err(format!("{}\n{printed}", output.status).into()),
    }
}

/// Runs one test, in the process that is for it alone.
fn run_inside(test: impl FnOnce() + UnwindSafe) -> ExitCode {
    wait::begin();
    let outside = env::var_os(ORIGIN).expect("it is set along with the name of the test");
    let here = fs::read_link(OWN_NAMESPACE).expect("it could be read outside");
    assert_ne!(
        here.as_os_str(),
        outside,
        "a lab belongs into a namespace of its own"
    );
    // `ip netns` keeps its names below /run, which is another user's outside.
    command::must(
        Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]),
        "",
    );
    fs::create_dir(TEMPORARY).expect("nothing is there yet");

    match panic::catch_unwind(test) {
        Ok(()) => ExitCode::SUCCESS,
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => {
                eprintln!("{}", skip.0);
                ExitCode::from(SKIPPED)
            }
            Err(payload) => panic::resume_unwind(payload),
        },
    }
}

fn ignored(reason: String) -> Result<Completion, Failed> {
    if is_ci() {
        return Err(reason.into());
    }
    Ok(Completion::ignored_with(reason))
}

/// A command that runs what its further arguments name in namespaces of its own, in which a lab works; or why
/// there are none. [`main`] does it by itself.
pub fn unshare() -> Result<Command, String> {
    way().map(by)
}

/// The best way that works here.
fn way() -> Result<&'static [&'static str], String> {
    let works =
        |way: &'static [&str]| command::output(by(way).args(["sh", "-c", PROBE]), "").map(|_| way);
    let [best, plain, of_root] = WAYS;
    works(best).or_else(|_| works(plain)).or_else(|problem| {
        let remedy = "install iproute2, nftables and util-linux, and allow user namespaces \
                      (sysctl kernel.unprivileged_userns_clone=1, \
                      kernel.apparmor_restrict_unprivileged_userns=0), or run as root";
        works(of_root).map_err(|_| format!("{problem}; {remedy}"))
    })
}

fn by(way: &[&str]) -> Command {
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).env("PATH", path());
    command
}

/// The search path with the folders of `nft` and `tc`, which an ordinary user's may lack.
fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
