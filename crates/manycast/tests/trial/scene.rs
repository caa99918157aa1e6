//! The hosts of a case, what is sent and what is asked of the doctor: all that a condition changes.

use std::any::Any;
use std::time::Duration;

use manycast::doctor::{self, Examination, ProgramChoice, Report};
use manycast::{Error, SenderConfig};
use manycast_lab::netns::python::{privileged_program, program};
use manycast_lab::netns::{Host, Lab, Process, Snooping, Switch};
use manycast_proto::random::Random;

use crate::draw::{Case, View, random};
use crate::serving::{Serving, far};
use crate::stream::Stream;

/// Two hosts on a switch, or on the two sides of a router: `a` sends, and `b` is examined.
pub(crate) struct Scene {
    /// Whatever lasts as long as the case, and ends before its hosts do.
    held: Vec<Box<dyn Any>>,
    pub(crate) lab: Lab,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) switch: Switch,
    pub(crate) v6: bool,
    pub(crate) view: View,
    /// What variations are drawn from.
    pub(crate) random: Random,
    /// What `a` sends.
    pub(crate) sent: Option<Sent>,
    /// What the doctor is asked about.
    pub(crate) asked: Asked,
    /// The program that the doctor is asked about.
    pub(crate) program: Script,
    /// How long the doctor watches.
    pub(crate) duration: Duration,
    /// How many datagrams a second it is told to expect.
    pub(crate) expected_rate: Option<f64>,
    router: Option<Host>,
    /// What is done when the program runs.
    later: Vec<fn(&mut Self)>,
}

/// A stream of equal datagrams.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) group: String,
    pub(crate) port: u16,
    pub(crate) size: usize,
    pub(crate) pause: Duration,
    pub(crate) from: Option<String>,
    pub(crate) hops: u8,
    /// The receiving host itself sends it.
    pub(crate) by_b: bool,
}

/// `[SOURCE@]GROUP[%ZONE]:PORT`.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) source: Option<String>,
    pub(crate) group: String,
    pub(crate) zone: Option<String>,
    pub(crate) port: u16,
}

/// A program in Python with one socket.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The address that it binds to, as an expression.
    pub(crate) bind: String,
    pub(crate) v6: bool,
    pub(crate) share: bool,
    /// What it does between binding and reading, a statement each.
    pub(crate) then: Vec<String>,
    pub(crate) reads: bool,
    /// Whether only root may look at it.
    pub(crate) privileged: bool,
    /// Asked for by its process number, or by the port.
    pub(crate) by_pid: bool,
    /// In place of all that: a script of its own.
    pub(crate) instead: Option<String>,
}

impl Asked {
    fn text(&self) -> String {
        let zone = self.zone.as_deref().map(|zone| format!("%{zone}"));
        let host = format!("{}{}", self.group, zone.unwrap_or_default());
        let source = self.source.as_deref().map(|source| format!("{source}@"));
        format!(
            "{}{}",
            source.unwrap_or_default(),
            address(&host, self.port)
        )
    }
}

impl Script {
    fn text(&self) -> String {
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let truth = |is| if is { "True" } else { "False" };
        let mut lines = vec![format!(
            "s = udp('{}', {}, {})",
            self.bind,
            truth(self.v6),
            truth(self.share)
        )];
        lines.extend(self.then.iter().cloned());
        if self.reads {
            lines.push(
                "import threading
threading.Thread(target=lambda: [s.recv(65536) for _ in iter(int, 1)], daemon=True).start()"
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}

/// `HOST:PORT` in the text form of addresses.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Scene {
    /// The hosts of a case, with its conditions made on them.
    pub(crate) fn of(case: &Case) -> Self {
        let lab = Lab::new();
        let mut switch = lab.switch("sw");
        if let Some(snooping) = case.snooping() {
            switch = switch.snooping(snooping);
        }
        let (a, b) = (lab.host("a"), lab.host("b"));
        a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
        let router = case.is_routed().then(|| routed(&lab, [&a, &b], &switch));
        if router.is_none() {
            b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
        }
        let group = if case.v6 { "ff15::1234" } else { "239.1.2.3" }.to_owned();
        let mut scene = Self {
            lab,
            a,
            b,
            switch,
            v6: case.v6,
            view: case.view,
            random: random(case.variations),
            sent: Some(Sent {
                group: group.clone(),
                port: 5000,
                size: 64,
                pause: Duration::from_millis(5),
                from: None,
                hops: 1,
                by_b: false,
            }),
            program: Script {
                bind: if case.v6 { "::" } else { "" }.to_owned(),
                v6: case.v6,
                share: true,
                then: vec![format!("join(s, '{group}', 'eth0')")],
                reads: true,
                privileged: false,
                by_pid: true,
                instead: None,
            },
            asked: Asked {
                source: None,
                group,
                zone: None,
                port: 5000,
            },
            duration: Duration::from_secs(2),
            expected_rate: None,
            router,
            held: Vec::new(),
            later: Vec::new(),
        };
        if scene.view == View::Bare {
            scene.b.add_route("224.0.0.0/4 dev eth0");
        }
        for condition in case.conditions() {
            (condition.make)(&mut scene);
        }
        scene
    }

    /// What the doctor says, first without privileges and then as root; of the former also why it
    /// cannot examine, as where the program is another user's.
    pub(crate) fn examine(&mut self) -> (Result<Report, String>, Report) {
        let mut running = (self.view == View::Program).then(|| self.start_program());
        for step in std::mem::take(&mut self.later) {
            step(self);
        }
        let _stream = self.sent.clone().map(|sent| self.start(&sent));
        let pid = running.as_ref().map(Process::id);
        let user = self.report(false, pid).map_err(|error| error.to_string());
        let root = self.report(true, pid);
        let root = root.unwrap_or_else(|error| panic!("the doctor refuses, as root: {error}"));
        if let Some(process) = &mut running {
            assert!(
                process.is_running(),
                "the program has ended: {:?}",
                process.stderr()
            );
        }
        (user, root)
    }

    fn report(&self, root: bool, pid: Option<u32>) -> Result<Report, Error> {
        let program = pid.map(|pid| {
            if self.program.by_pid {
                ProgramChoice::Pid(pid)
            } else {
                ProgramChoice::Port
            }
        });
        let how = Examination::default()
            .duration(self.duration)
            .expected_rate(self.expected_rate)
            .program(program);
        let asked = self.asked.text();
        let _serving = (self.view == View::TwoEnds).then(|| {
            if root {
                Serving::privileged(&self.a)
            } else {
                Serving::start(&self.a, None)
            }
        });
        let (view, far_end) = (self.view, far(self.far_address()));
        let examine = || match view {
            View::Bare => doctor::examine_host(),
            View::TwoEnds => doctor::examine_with(&*asked, &how, &far_end),
            View::Host | View::Program => doctor::examine(&*asked, &how),
        };
        if root {
            self.b.run(examine)
        } else {
            self.b.run_unprivileged(examine)
        }
    }

    fn start_program(&self) -> Process {
        let text = self.program.text();
        if self.program.privileged {
            privileged_program(&self.b, &text)
        } else {
            program(&self.b, &text)
        }
    }

    /// Sends `sent` until it is dropped.
    pub(crate) fn start(&self, sent: &Sent) -> Stream {
        let host = if sent.by_b { &self.b } else { &self.a };
        let mut config = SenderConfig::default();
        config.socket.multicast_hops = sent.hops;
        config.from = sent.from.as_ref().map(|from| {
            let from = address(from, 0);
            from.parse().expect("an address of the case")
        });
        let device = if host.output("ip -oneline link").contains(" br0:") {
            "br0"
        } else {
            "eth0"
        };
        let to = address(&format!("{}%{device}", sent.group), sent.port);
        Stream::of(host, &to, config, sent.size, sent.pause)
    }

    /// Keeps something for as long as the case lasts.
    pub(crate) fn hold(&mut self, what: impl Any) {
        self.held.push(Box::new(what));
    }

    /// Does something when the program runs.
    pub(crate) fn later(&mut self, step: fn(&mut Self)) {
        self.later.push(step);
    }

    /// The stream, which a condition changes.
    pub(crate) fn stream(&mut self) -> &mut Sent {
        self.sent
            .as_mut()
            .expect("a stream that is changed is sent")
    }

    /// One of these, drawn.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let last = u64::try_from(of.len() - 1).expect("few");
        of[usize::try_from(self.random.within(0..=last)).expect("few")]
    }

    /// The one for IPv4, or the one for IPv6.
    pub(crate) fn by_version<T>(&self, v4: T, v6: T) -> T {
        if self.v6 { v6 } else { v4 }
    }

    /// The address of `a` in the version of IP of the case.
    pub(crate) fn far_address(&self) -> &'static str {
        self.by_version("10.0.0.1", "fd00::1")
    }

    /// The family of `nft` for the version of IP: `ip` or `ip6`.
    pub(crate) fn family(&self) -> &'static str {
        self.by_version("ip", "ip6")
    }

    /// The router between the hosts.
    pub(crate) fn router(&self) -> &Host {
        self.router
            .as_ref()
            .expect("a condition that is routed has a router")
    }

    /// Joins `b` to one more switch by this device.
    pub(crate) fn second_interface(&mut self, device: &str, number: u8) {
        let other = self.lab.switch(device);
        let addresses = [format!("10.{number}.0.2/24"), format!("fd0{number}::2/64")];
        self.b
            .connect(&other, device, &[&addresses[0], &addresses[1]]);
        self.hold(other);
    }

    /// Makes the interface of `b` a port of a bridge, which has its addresses.
    pub(crate) fn bridge(&mut self, snooping: u8) {
        for line in [
            &*format!("link add br0 type bridge mcast_snooping {snooping} forward_delay 0"),
            "link set eth0 master br0",
            "link set br0 up",
            "address flush dev eth0",
            "address add 10.0.0.2/24 dev br0",
            "address add fd00::2/64 dev br0 nodad",
        ] {
            self.b.output(&format!("ip {line}"));
        }
        if let Some(zone) = &mut self.asked.zone
            && zone == "eth0"
        {
            "br0".clone_into(zone);
        }
        let instead = self.program.instead.iter_mut();
        for line in self.program.then.iter_mut().chain(instead) {
            *line = line.replace("'eth0'", "'br0'");
        }
    }

    /// Loses what `a` sends to the group and what matches, on the way.
    pub(crate) fn lose_sent(&mut self, matching: &str) {
        let (family, group) = (self.family(), self.asked.group.clone());
        let lost = format!("{family} daddr {group} {matching}");
        let rule = self.a.lose_sent("eth0", &lost);
        self.hold(rule);
    }

    /// Loses all fragments but the first on the way, as many a firewall does.
    pub(crate) fn lose_fragments(&mut self) {
        let matching = self.by_version("ip frag-off & 0x1fff != 0", "frag frag-off != 0");
        let rule = self.a.lose_sent("eth0", matching);
        self.hold(rule);
    }

    /// Runs a program on `b` beside the one that is asked about.
    pub(crate) fn beside(&mut self, script: &str) {
        let process = program(&self.b, script);
        self.hold(process);
    }

    /// Runs a program on `a` that may open raw sockets.
    pub(crate) fn far_program(&mut self, script: &str) {
        let process = privileged_program(&self.a, script);
        self.hold(process);
    }
}

/// Joins `b` to the other side of a router, by which each host finds the other.
fn routed(lab: &Lab, [a, b]: [&Host; 2], left: &Switch) -> Host {
    let (router, right) = (lab.router("r"), lab.switch("right"));
    router.connect(left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(&right, "eth1", &["10.0.1.254/24", "fd01::fe/64"]);
    b.connect(&right, "eth0", &["10.0.1.1/24", "fd01::1/64"]);
    a.add_route("default via 10.0.0.254");
    b.add_route("default via 10.0.1.254");
    a.add_route("default via fd00::fe");
    b.add_route("default via fd01::fe");
    router
}

/// A querier of IGMPv3 and MLDv2.
pub(crate) const QUERIER: Snooping = Snooping {
    querier: true,
    igmp_version: 3,
    mld_version: 2,
};
