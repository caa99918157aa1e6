//! A host: what runs on it, and its settings.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::panic;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::command;
use super::device::Device;
use super::namespace::Namespace;
use super::process::Process;
use super::wait::wait_until;

/// A host of a [`Lab`](super::Lab): a network namespace with programs and threads in it.
///
/// Its interfaces are made by [`connect`](Self::connect). A router is a host that forwards.
#[derive(Debug)]
pub struct Host {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) namespace: Arc<Namespace>,
    pub(super) devices: Mutex<BTreeMap<String, Device>>,
    pub(super) multicast_router: Mutex<Option<Process>>,
}

impl Host {
    #[track_caller]
    pub(super) fn new(name: &str, number: u32, namespace: Namespace) -> Self {
        Self {
            name: name.to_owned(),
            number,
            namespace: Arc::new(namespace),
            devices: Mutex::default(),
            multicast_router: Mutex::default(),
        }
    }

    /// Runs a closure on a thread in the host's network namespace, and gives what it gives.
    ///
    /// A panic inside goes on outside. Beware of `/proc/net`, which shows the namespace of the
    /// process; that of the thread is `/proc/thread-self/net`. And `/sys/class/net` shows the host's
    /// interfaces to its [commands](Self::command) only.
    pub fn run<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(closure)
    }

    /// Like [`run`](Self::run), but as an ordinary user: without the privileges that a test has over
    /// its lab, such as `CAP_NET_ADMIN` and `CAP_NET_RAW`. Threads that are started inside have none
    /// either.
    ///
    /// ```no_run
    /// # use std::net::UdpSocket;
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// host.run_unprivileged(|| UdpSocket::bind("0.0.0.0:53").unwrap_err());
    /// ```
    pub fn run_unprivileged<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        self.run(|| {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            if let Err(errno) = set_capabilities(None, none) {
                panic!("cannot do without privileges: {errno}");
            }
            closure()
        })
    }

    /// Like [`run`](Self::run), but in the background.
    pub fn spawn<T: Send + 'static>(
        &self,
        closure: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        let thread = self.run(|| thread::spawn(closure));
        Task { thread }
    }

    /// A command that will run on the host: add arguments, then run it, or give it to
    /// [`Process::start`].
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// Starts a program in the background; `line` is split at spaces, and nothing is quoted.
    ///
    /// ```no_run
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// let mut listener = host.start("ncat --udp --listen 5000");
    /// host.wait_for_udp_port(5000);
    /// ```
    #[track_caller]
    pub fn start(&self, line: &str) -> Process {
        Process::start(&mut self.split(line))
    }

    /// Runs a program to its end and gives what it printed; `line` is split at spaces, and nothing
    /// is quoted.
    ///
    /// ```no_run
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// println!("{}", host.output("ip -brief address"));
    /// ```
    #[track_caller]
    pub fn output(&self, line: &str) -> String {
        command::must(&mut self.split(line), "")
    }

    /// Adds a route, in the words of `ip route add`: `"default via 10.0.0.254"`,
    /// `"224.0.0.0/4 dev eth0"`, `"fd01::/64 via fd00::fe"`.
    #[track_caller]
    pub fn add_route(&self, route: &str) {
        let family = if route.contains(':') { "-6" } else { "-4" };
        self.output(&format!("ip {family} route add {route}"));
    }

    /// Sets a kernel parameter by its name in `sysctl(8)`, for this host alone.
    ///
    /// Where the name of an interface has a dot, write slashes between the parts.
    ///
    /// ```no_run
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// host.sysctl("net.ipv4.igmp_max_memberships", "5");
    /// ```
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        self.namespace.sysctl(key, value);
    }

    /// Loads rules in the language of `nft`, for what the other methods do not offer.
    ///
    /// ```no_run
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// host.nft(
    ///     "table ip nat {
    ///          chain postrouting {
    ///              type nat hook postrouting priority srcnat
    ///              oifname wan masquerade
    ///          }
    ///      }",
    /// );
    /// ```
    #[track_caller]
    pub fn nft(&self, rules: &str) {
        self.namespace.nft(rules);
    }

    /// Waits until a UDP socket is bound to `port` on the host.
    #[track_caller]
    pub fn wait_for_udp_port(&self, port: u16) {
        wait_until(
            &format!("a socket on UDP port {port} of {}", self.name),
            || self.has_udp_port(port),
        );
    }

    /// Whether a UDP socket is bound to `port` on the host.
    pub fn has_udp_port(&self, port: u16) -> bool {
        let suffix = format!(":{port:04X}");
        let tables = self.run(|| {
            ["udp", "udp6"]
                .map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")))
        });
        tables.into_iter().flatten().any(|table| {
            // The second column is the local address, in hexadecimal digits.
            table
                .lines()
                .filter_map(|line| line.split_whitespace().nth(1))
                .any(|a| a.ends_with(&suffix))
        })
    }

    /// Waits until the host has joined `group` on one of its interfaces.
    #[track_caller]
    pub fn wait_for_group(&self, device: &str, group: IpAddr) {
        wait_until(
            &format!("{} to join {group} on {device}", self.name),
            || {
                let groups = self.namespace.show(&format!("maddress show dev {device}"));
                groups
                    .split_whitespace()
                    .any(|word| word.parse() == Ok(group))
            },
        );
    }

    #[track_caller]
    fn split(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else {
            panic!("an empty command line for {}", self.name)
        };
        let mut command = self.command(program);
        command.args(words);
        command
    }
}

/// A closure that runs in the background on a [`Host`].
#[derive(Debug)]
pub struct Task<T> {
    thread: JoinHandle<T>,
}

impl<T> Task<T> {
    /// Waits for the closure to end and gives what it gives. A panic inside goes on here.
    pub fn join(self) -> T {
        self.thread
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Whether the closure has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
