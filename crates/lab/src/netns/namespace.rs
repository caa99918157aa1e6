//! One network namespace: made, entered, and deleted on drop.

use std::fs::{self, File};
use std::panic;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::command;

/// A network namespace by its name, as `ip netns` knows it.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace and brings its loopback interface up.
    #[track_caller]
    pub(super) fn new(name: String) -> Self {
        // The first `ip netns add` prepares /run/netns, and two of them at once get in each
        // other's way.
        static ADDING: Mutex<()> = Mutex::new(());
        {
            let _guard = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
            command::must(Command::new("ip").args(["netns", "add", &name]), "");
        }
        let namespace = Self { name };
        namespace.ip("link set lo up");
        // The machine's own settings must not decide how a test ends, and an address must be of use
        // as soon as it is there.
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "0");
            namespace.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0");
        }
        namespace
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` commands, such as `link set eth0 up`.
    #[track_caller]
    pub(super) fn ip(&self, lines: &str) {
        command::must(
            Command::new("ip").args(["-n", &self.name, "-batch", "-"]),
            lines,
        );
    }

    /// Gives what `ip` shows, one object a line; `arguments` are split at spaces.
    #[track_caller]
    pub(super) fn show(&self, arguments: &str) -> String {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name, "-oneline"])
            .args(arguments.split_whitespace());
        command::must(&mut ip, "")
    }

    /// Loads rules in the language of `nft`.
    #[track_caller]
    pub(super) fn nft(&self, rules: &str) -> String {
        command::must(self.command("nft").args(["-f", "-"]), rules)
    }

    /// Sets a kernel parameter; see [`Host::sysctl`](super::Host::sysctl).
    #[track_caller]
    pub(super) fn sysctl(&self, key: &str, value: &str) {
        let path = if key.contains('/') {
            key.to_owned()
        } else {
            key.replace('.', "/")
        };
        let path = format!("/proc/sys/{path}");
        // These files are those of the reading thread's namespace.
        if let Err(error) = self.inside(|| fs::write(&path, value)) {
            panic!("cannot write {value:?} to {path} in {}: {error}", self.name);
        }
    }

    /// Runs a closure on a thread in the namespace; a panic goes on here.
    pub(super) fn inside<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                closure()
            });
            thread
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// Runs a program to its end and gives what it printed; `arguments` are split at spaces.
    #[track_caller]
    pub(super) fn run(&self, program: &str, arguments: &str) -> String {
        command::must(self.command(program).args(arguments.split_whitespace()), "")
    }

    /// A command that will run in the namespace.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Moves the calling thread into the namespace, for good.
    fn enter(&self) {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
        if let Err(errno) = setns(file, CloneFlags::CLONE_NEWNET) {
            panic!("cannot enter the network namespace {path}: {errno}");
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let delete = command::output(Command::new("ip").args(["netns", "del", &self.name]), "");
        if let Err(problem) = delete {
            eprintln!("{problem}");
        }
    }
}
