//! Who takes part, and how each is called.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::arena::Path;
use crate::worker::{Contender, Received, Sent};

/// One way to send and to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// The command `manycast measure`.
    Manycast,
    /// A part of this program.
    Own(Contender),
    /// The same with offload forced off.
    Plain(Contender),
    Iperf3,
    Iperf,
    PythonSocket,
    Asyncio,
    Twisted,
}

/// The limit that all others are compared with.
pub(crate) const LIMIT: Contestant = Contestant::Own(Contender::RawOffload);

pub(crate) const ALL: [Contestant; 17] = [
    LIMIT,
    Contestant::Own(Contender::RawMetadata),
    Contestant::Own(Contender::RawBatch),
    Contestant::Manycast,
    Contestant::Own(Contender::Library),
    Contestant::Own(Contender::Tokio),
    Contestant::Plain(Contender::Library),
    Contestant::Own(Contender::Std),
    Contestant::Own(Contender::TokioSocket),
    Contestant::Own(Contender::Quinn),
    Contestant::Plain(Contender::Quinn),
    Contestant::Own(Contender::Mcast),
    Contestant::Iperf3,
    Contestant::Iperf,
    Contestant::PythonSocket,
    Contestant::Asyncio,
    Contestant::Twisted,
];

/// What is sent where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) path: Path,
    pub(crate) group: bool,
    pub(crate) size: usize,
    pub(crate) listeners: usize,
}

impl Workload {
    pub(crate) const fn to(&self) -> SocketAddrV4 {
        let host = if self.group {
            Ipv4Addr::new(239, 1, 1, 1)
        } else {
            self.path.addresses()[1]
        };
        SocketAddrV4::new(host, 5001)
    }
}

/// How a receiver is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    StandardInput,
    Interrupt,
    Terminate,
    /// It ends with the stream.
    Itself,
}

impl Contestant {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Manycast => "**manycast measure**",
            Self::Own(Contender::RawOffload) => "raw loop, GSO and GRO",
            Self::Own(Contender::RawBatch) => "raw loop, sendmmsg and recvmmsg",
            Self::Own(Contender::RawMetadata) => "raw loop that asks for the same metadata",
            Self::Own(Contender::Library) => "**manycast library**",
            Self::Own(Contender::Tokio) => "**manycast library, tokio**",
            Self::Own(Contender::Std) => "std UdpSocket",
            Self::Own(Contender::TokioSocket) => "Tokio UdpSocket",
            Self::Own(Contender::Quinn) => "quinn-udp",
            Self::Own(Contender::Mcast) => "mctx-core, mcrx-core",
            Self::Plain(Contender::Quinn) => "quinn-udp, offload off",
            Self::Plain(_) => "**manycast library, offload off**",
            Self::Iperf3 => "iperf3",
            Self::Iperf => "iperf 2",
            Self::PythonSocket => "Python socket",
            Self::Asyncio => "Python asyncio",
            Self::Twisted => "Python Twisted",
        }
    }

    /// Why it cannot take part on this machine.
    pub(crate) fn missing(self) -> Option<String> {
        let try_out = |program: &str, arguments: &[&str], what: &str| {
            let output = Command::new(program).args(arguments).output();
            match output {
                Ok(output) if output.status.success() => None,
                _ => Some(what.to_owned()),
            }
        };
        match self {
            Self::Own(_) | Self::Plain(_) => None,
            Self::Manycast => {
                let path = manycast();
                (!path.exists()).then(|| format!("{} is not built", path.display()))
            }
            Self::Iperf3 => try_out("iperf3", &["--version"], "iperf3 is not installed"),
            // It ends with 1 after its version.
            Self::Iperf => match Command::new("iperf").arg("--version").output() {
                Ok(_) => None,
                Err(_) => Some("iperf is not installed".to_owned()),
            },
            Self::PythonSocket => try_out("python3", &["-c", ""], "python3 is not installed"),
            Self::Asyncio => try_out(
                "python3",
                &["-c", "import asyncio"],
                "python3 is not installed",
            ),
            Self::Twisted => try_out(
                "python3",
                &["-c", "import twisted"],
                "Twisted is not installed; 'pip install twisted'",
            ),
        }
    }

    pub(crate) const fn takes_part(self, workload: &Workload) -> bool {
        match self {
            Self::Iperf3 => !workload.group,
            Self::Own(Contender::Mcast) => workload.group,
            // One port of a host is one server's.
            Self::Iperf => workload.listeners == 1,
            // Where each datagram has a call of its own, or a place in one, its size matters little.
            Self::Plain(_) => workload.size == 1316,
            _ => true,
        }
    }

    /// Whether a mark depends on it, which takes more rounds than to tell it from others at all.
    pub(crate) const fn has_mark(self) -> bool {
        matches!(
            self,
            Self::Manycast
                | Self::Own(
                    Contender::RawOffload
                        | Contender::RawMetadata
                        | Contender::Library
                        | Contender::Tokio
                        | Contender::TokioSocket
                        | Contender::Quinn
                )
                | Self::Plain(_)
                | Self::Iperf3
        )
    }

    /// Whether it can be told a rate.
    pub(crate) const fn has_rate(self) -> bool {
        matches!(self, Self::Own(_) | Self::Manycast | Self::Iperf3)
    }

    /// The arguments of a receiver, and what it prints when it is ready.
    pub(crate) fn receiver(self, load: &Workload) -> (Vec<String>, &'static str, End) {
        let to = load.to();
        let [_, interface] = load.path.addresses();
        match self {
            Self::Own(contender) => {
                let words = worker(contender, "receive", to, interface, load.size);
                (words, "ready", End::StandardInput)
            }
            Self::Plain(contender) => {
                let (line, mark, end) = Self::Own(contender).receiver(load);
                (without_offload(line), mark, end)
            }
            Self::Manycast => {
                let address = address(load, interface);
                let words = words(&format!("measure receive {address} --interval 0s --json"));
                let words = [vec![manycast().display().to_string()], words].concat();
                (words, "listening", End::Interrupt)
            }
            Self::Iperf3 => (
                words("iperf3 -s -1 --forceflush"),
                "Server listening",
                End::Itself,
            ),
            Self::Iperf => (
                words(&format!(
                    "iperf -s -u -f k -w 8m -B {} -l {}",
                    to.ip(),
                    load.size
                )),
                "UDP buffer size",
                End::Terminate,
            ),
            Self::PythonSocket | Self::Asyncio | Self::Twisted => {
                let words = self.python("receive", load, interface, 0.0);
                (words, "ready", End::StandardInput)
            }
        }
    }

    /// The arguments of a sender.
    pub(crate) fn sender(
        self,
        load: &Workload,
        seconds: f64,
        rate: Option<u64>,
    ) -> anyhow::Result<Vec<String>> {
        let to = load.to();
        let [interface, _] = load.path.addresses();
        let size = load.size;
        Ok(match self {
            Self::Plain(contender) => {
                without_offload(Self::Own(contender).sender(load, seconds, rate)?)
            }
            Self::Own(contender) => {
                let mut line = worker(contender, "send", to, interface, size);
                line.extend(words(&format!("--seconds {seconds}")));
                if let Some(rate) = rate {
                    line.extend(words(&format!("--rate {rate}")));
                }
                line
            }
            Self::Manycast => {
                let address = address(load, interface);
                let rate = rate.map_or_else(|| "max".to_owned(), |rate| format!("{rate}b"));
                let milliseconds = (seconds * 1e3).round();
                let line = format!(
                    "measure send {address} --json --size {size} --rate {rate} --duration \
                     {milliseconds}ms"
                );
                [vec![manycast().display().to_string()], words(&line)].concat()
            }
            Self::Iperf3 => {
                let rate = rate.unwrap_or(0);
                // It counts whole seconds.
                let seconds = seconds.ceil();
                words(&format!(
                    "iperf3 -u -J -c {} -b {rate} -l {size} -t {seconds} -w {}",
                    to.ip(),
                    buffer_of_iperf3()?
                ))
            }
            Self::Iperf => words(&format!(
                "iperf -u -c {} -B {interface} -b 100g -l {size} -t {seconds} -f k",
                to.ip()
            )),
            Self::PythonSocket | Self::Asyncio | Self::Twisted => {
                self.python("send", load, interface, seconds)
            }
        })
    }

    fn python(self, role: &str, load: &Workload, interface: Ipv4Addr, seconds: f64) -> Vec<String> {
        let script = match self {
            Self::Asyncio => "events.py asyncio",
            Self::Twisted => "events.py twisted",
            _ => "plain.py",
        };
        let (to, size) = (load.to(), load.size);
        let (host, port) = (to.ip(), to.port());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/python/");
        words(&format!(
            "python3 {folder}{script} {role} {host} {port} {interface} {size} {seconds}"
        ))
    }

    /// What a sender says it has sent, and what came, where it is the sender that knows.
    pub(crate) fn sent(
        self,
        output: &str,
        load: &Workload,
    ) -> anyhow::Result<(Sent, Option<Received>)> {
        let of = |datagrams, seconds| Sent {
            datagrams,
            seconds,
            cpu: None,
        };
        match self {
            Self::Manycast => {
                let summary = last_object(output)?;
                let datagrams = summary["datagrams"].as_u64().context("datagrams")?;
                let rate = summary["bits_per_second"]
                    .as_f64()
                    .context("bits_per_second")?;
                let bits = datagrams as f64 * load.size as f64 * 8.0;
                Ok((of(datagrams, bits / rate.max(1.0)), None))
            }
            Self::Iperf3 => {
                let report: Value = serde_json::from_str(output)?;
                // It ends with 0 nevertheless.
                if let Some(error) = report["error"].as_str() {
                    bail!("{error}");
                }
                let end = &report["end"];
                // Older ones tell of both ends as one.
                let told = |part: &str, what: &str| match &end[part][what] {
                    Value::Null => &end["sum"][what],
                    told => told,
                };
                let count = |part, what| told(part, what).as_u64().context(what);
                let seconds = |part| told(part, "seconds").as_f64().context("seconds");
                let datagrams = count("sum_sent", "packets")?;
                // What the receiver has not seen by its end is not among what it counts as lost.
                let seen = count("sum_received", "packets")?;
                let lost = count("sum_received", "lost_packets")?;
                let came = Received {
                    datagrams: seen.saturating_sub(lost),
                    seconds: seconds("sum_received")?,
                    cpu: None,
                };
                Ok((of(datagrams, seconds("sum_sent")?), Some(came)))
            }
            Self::Iperf => {
                let sent = output
                    .split("Sent ")
                    .nth(1)
                    .and_then(|it| it.split(' ').next());
                let datagrams = sent.context("no count")?.parse()?;
                let mut times = output.lines().filter_map(time_of_iperf);
                let seconds = times.next_back().context("no time")?;
                Ok((of(datagrams, seconds), None))
            }
            _ => Ok((serde_json::from_str(last_line(output)?)?, None)),
        }
    }

    /// What a receiver says has come.
    pub(crate) fn received(self, output: &str) -> anyhow::Result<Received> {
        let of = |datagrams, seconds| Received {
            datagrams,
            seconds,
            cpu: None,
        };
        match self {
            Self::Manycast => {
                let summary = last_object(output)?;
                let streams = summary["streams"].as_array().context("streams")?;
                let counts = streams.iter().filter_map(|it| it["datagrams"].as_u64());
                let seconds = streams.iter().filter_map(|it| it["seconds"].as_f64());
                Ok(of(counts.sum(), seconds.fold(0.0, f64::max)))
            }
            Self::Iperf => {
                // "… 0.002 ms 3/429 (0.7%)": lost, and all.
                let counts = |line: &str| {
                    let (counts, _) = line.split_once(" ms ")?.1.split_once('(')?;
                    let (lost, all) = counts.split_once('/')?;
                    let lost: u64 = lost.trim().parse().ok()?;
                    let all: u64 = all.trim().parse().ok()?;
                    Some((all.saturating_sub(lost), time_of_iperf(line)?))
                };
                let reports = output.lines().filter_map(counts);
                let most = reports.max_by_key(|(datagrams, _)| *datagrams);
                let (datagrams, seconds) = most.context("no report")?;
                Ok(of(datagrams, seconds))
            }
            _ => Ok(serde_json::from_str(last_line(output)?)?),
        }
    }
}

/// The seconds in `[  1] 0.0000-1.0002 sec  …`.
fn time_of_iperf(line: &str) -> Option<f64> {
    let (times, _) = line.split_once(" sec ")?;
    let (begin, end) = times.rsplit(' ').next()?.split_once('-')?;
    Some(end.parse::<f64>().ok()? - begin.parse::<f64>().ok()?)
}

/// The buffer that iperf3 is told to ask for, so that it has as much as the others have, who ask for 8 MiB.
/// It fails where it is given less than it asks for, and so does not ask for more than a socket is given here.
fn buffer_of_iperf3() -> anyhow::Result<usize> {
    const WANTED: usize = 8 << 20;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(WANTED)?;
    socket.set_send_buffer_size(WANTED)?;
    let given = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    Ok(WANTED.min(given))
}

/// The command, which is built beside this program.
fn manycast() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.with_file_name("manycast")
}

pub(crate) fn worker(
    contender: Contender,
    role: &str,
    to: SocketAddrV4,
    interface: Ipv4Addr,
    size: usize,
) -> Vec<String> {
    use clap::ValueEnum;
    let name = contender.to_possible_value();
    let name = name.as_ref().map_or("", |name| name.get_name());
    let this = std::env::current_exe().unwrap_or_default();
    let line = format!("worker {name} {role} {to} {interface} --size {size}");
    [vec![this.display().to_string()], words(&line)].concat()
}

/// The variable that `manycast` knows; what takes part here heeds it too.
pub(crate) const OFFLOAD: &str = "MANYCAST_OFFLOAD";

fn without_offload(line: Vec<String>) -> Vec<String> {
    [words(&format!("env {OFFLOAD}=off")), line].concat()
}

fn address(load: &Workload, interface: Ipv4Addr) -> String {
    let to = load.to();
    if load.group {
        format!("{}%{interface}:{}", to.ip(), to.port())
    } else {
        to.to_string()
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn last_line(output: &str) -> anyhow::Result<&str> {
    output
        .trim_end()
        .lines()
        .last()
        .context("it printed nothing")
}

fn last_object(output: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(last_line(output)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iperf_tells_how_long_it_took() {
        let report = "[  1] 0.5000-2.0000 sec  1.2 MBytes  1.0 Mbits/sec  0.002 ms 3/429 (0.7%)";
        let received = Contestant::Iperf.received(report).unwrap();
        assert_eq!((received.datagrams, received.seconds), (426, 1.5));
    }

    #[test]
    fn iperf3_tells_of_both_ends() {
        let load = Workload {
            path: Path::Loopback,
            group: false,
            size: 1316,
            listeners: 1,
        };
        let of_both = r#"{"end": {
            "sum": {"seconds": 1.5, "packets": 100, "lost_packets": 30},
            "sum_sent": {"seconds": 1.0, "packets": 100, "lost_packets": 0},
            "sum_received": {"seconds": 1.5, "packets": 90, "lost_packets": 30}
        }}"#;
        let older = r#"{"end": {"sum": {"seconds": 1.0, "packets": 100, "lost_packets": 30}}}"#;
        for (report, arrived, seconds) in [(of_both, 60, 1.5), (older, 70, 1.0)] {
            let (sent, came) = Contestant::Iperf3.sent(report, &load).unwrap();
            let came = came.unwrap();
            assert_eq!((sent.datagrams, sent.seconds), (100, 1.0));
            assert_eq!((came.datagrams, came.seconds), (arrived, seconds));
        }
        let broken_off = r#"{"end": {}, "error": "the server is busy"}"#;
        let error = Contestant::Iperf3.sent(broken_off, &load).unwrap_err();
        assert_eq!(error.to_string(), "the server is busy");
    }
}
