//! The one entrance for people and CI: `cargo xtask COMMAND`.

mod behaviours;
mod bench;
mod check;
mod compilers;
mod deny;
mod docs;
mod doctor_tests;
mod doctor_trial;
mod fuzz;
mod guard;
mod interop;
mod outcome;
mod packages;
mod programs;
mod python;
mod summary;
mod test;
mod toolchains;
mod unpacked;
mod unused;
mod vm;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  check   formatting, clippy, documentation, dependencies, other compilers and features, and the
          rules of the house
  test    all tests: units, documentation, sockets and network namespaces, and each fuzzer for some
          seconds; 'test python' runs those of the Python package alone
  interop the tests against programs that others wrote, alone: iperf, ncat, socat, Python,
          TFTP clients and servers, the NORM of NRL, ZeroMQ, those of SSDP (minissdpd, minidlna,
          GSSDP, async-upnp-client) and of WS-Discovery (wsdd, WSDiscovery)
  fuzz    each fuzzer for a minute; 'fuzz --seconds N NAME...' for those named
  doctor-trial
          500 drawn faults and healthy hosts, and what the doctor says of them, with figures to
          docs/doctor-tests.md; 'doctor-trial --cases N --seed S --jobs J --go-on'; '--cases 1 --seed S'
          runs one again, and prints what is said of it
  docs    the documentation, in target/doc
  bench   manycast beside its peers, to docs/benchmarks.md; 'bench --quick' to see that it works,
          'bench --work group' for a part of the work
  python  the Python package: wheel and sdist, in target/python/dist
  vm      the tests that need a kernel of their own, in a virtual machine; 'vm net FILTER' and
          'vm doctor FILTER' run others there
";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check::run(),
        ["test"] => test::run(),
        ["test", "python"] => python::test_alone(),
        ["interop"] => interop::run(),
        ["fuzz", ref arguments @ ..] => fuzz::run(arguments),
        ["doctor-trial", ref arguments @ ..] => doctor_trial::run(arguments),
        ["docs"] => docs::run(),
        ["bench", ref arguments @ ..] => bench::run(arguments),
        ["python"] => python::run(),
        ["vm", ref arguments @ ..] => vm::run(arguments),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// The cargo that runs this, in the folder of the workspace; `arguments` are split at spaces.
fn cargo(arguments: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments.split_whitespace()).current_dir(root());
    cargo
}

/// Shows a command line, runs it, and tells whether it succeeded.
fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    eprintln!("\n$ {} {}", program.to_string_lossy(), arguments.join(" "));
    Ok(command.status()?.success())
}
