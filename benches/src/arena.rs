//! Where trials take place: namespaces of their own, so that nothing leaves the machine.

use std::env;
use std::net::Ipv4Addr;
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use anyhow::{Context, Error, bail, ensure};
use manycast_lab::netns;

/// Set in the process that has namespaces of its own.
const INSIDE: &str = "MANYCAST_BENCH_INSIDE";

/// Where contestants write what they need for a while, as iperf3 does: what was told outside may be hidden here.
const TEMPORARY: &str = "/run/tmp";

/// The way from a sender to its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Loopback,
    /// A pair of virtual Ethernet devices with an MTU of 9000, between two namespaces.
    Veth,
}

impl Path {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth pair",
        }
    }

    /// The namespaces of sender and receivers.
    const fn namespaces(self) -> [&'static str; 2] {
        match self {
            Self::Loopback => ["c", "c"],
            Self::Veth => ["a", "b"],
        }
    }

    /// The addresses of sender and receivers.
    pub(crate) const fn addresses(self) -> [Ipv4Addr; 2] {
        match self {
            Self::Loopback => [Ipv4Addr::LOCALHOST; 2],
            Self::Veth => [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)],
        }
    }

    /// A command at the sender's end, on the first core.
    pub(crate) fn at_sender(self) -> Command {
        inside(self.namespaces()[0], Some(0))
    }

    /// A command at the receivers' end: on the second core if it is the only one, otherwise where
    /// the kernel puts it.
    pub(crate) fn at_receiver(self, only: bool) -> Command {
        inside(self.namespaces()[1], only.then_some(1))
    }
}

/// A command in a namespace, which is killed when it takes far too long.
fn inside(namespace: &str, core: Option<usize>) -> Command {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    if let Some(core) = core.filter(|core| *core < cores) {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.args(["timeout", "--foreground", "-s", "KILL", "60"]);
    command
}

/// Goes on in namespaces of its own, where all ends with it: executes itself anew there, then builds the
/// arena.
pub(crate) fn enter() -> anyhow::Result<()> {
    if env::var_os(INSIDE).is_none() {
        let mut unshare = netns::unshare().map_err(Error::msg)?;
        let error = unshare
            .arg(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(INSIDE, "1")
            .env("TMPDIR", TEMPORARY)
            .exec();
        return Err(error).context("cannot run 'unshare', which is a part of util-linux");
    }
    let lines = [
        "mount -t tmpfs tmpfs /run",
        &format!("mkdir {TEMPORARY}"),
        "ip netns add a",
        "ip netns add b",
        "ip netns add c",
        "ip link add eth0 netns a mtu 9000 type veth peer name eth0 netns b mtu 9000",
        "ip -n a address add 10.0.0.1/24 dev eth0",
        "ip -n b address add 10.0.0.2/24 dev eth0",
        "ip -n a link set eth0 up",
        "ip -n b link set eth0 up",
        "ip -n c link set lo up",
        // For those contestants that cannot name an interface.
        "ip -n a route add 239.0.0.0/8 dev eth0",
        "ip -n b route add 239.0.0.0/8 dev eth0",
        "ip -n c route add 239.0.0.0/8 dev lo",
    ];
    for line in lines {
        let mut words = line.split(' ');
        let program = words.next().context("a line has a first word")?;
        let output = Command::new(program).args(words).output();
        let output = output.with_context(|| format!("cannot run '{line}'"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "'{line}' failed: {}",
            complaint.trim()
        );
    }
    for (program, package) in [("timeout", "coreutils"), ("taskset", "util-linux")] {
        let output = Command::new(program).arg("--version").output();
        if !output.is_ok_and(|it| it.status.success()) {
            bail!("cannot run '{program}', which is a part of {package}");
        }
    }
    Ok(())
}
