//! Files by TFTP, beside other clients and servers.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use manycast_lab::Link;
use manycast_lab::netns::{Host, Lab, Wire};

use crate::programs::{OURS, found, tell};
use crate::report::{self, median};

/// How long a trial may take; what has come by then counts, and is called unfinished.
const LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// A server and a client; `ROOT`, `FILE` and `HOST` stand for the folder, where the file goes, and
/// the server. The first program of each is looked for.
struct Contestant {
    name: &'static str,
    server: &'static [&'static str],
    client: &'static [&'static str],
}

const ATFTPD: &[&str] = &[
    "atftpd",
    "--daemon",
    "--no-fork",
    "--user",
    "root.root",
    "ROOT",
];

/// The options are the fastest that each of them has, on an Ethernet and on loopback.
const CONTESTANTS: [Contestant; 6] = [
    Contestant {
        name: "**manycast**",
        server: &[OURS, "tftp", "serve", "ROOT", "0.0.0.0:69", "--quiet"],
        client: &[OURS, "tftp", "get", "HOST/file", "FILE", "--quiet"],
    },
    Contestant {
        name: "atftp and atftpd, windows of 64",
        server: ATFTPD,
        client: &[
            "atftp",
            "--option",
            "blksize 1428",
            "--option",
            "windowsize 64",
            "--option",
            "timeout 1",
            "-g",
            "-r",
            "file",
            "-l",
            "FILE",
            "HOST",
        ],
    },
    Contestant {
        name: "tftpd (Rust), windows of 64",
        server: &["tftpd", "-i", "0.0.0.0", "-p", "69", "-d", "ROOT"],
        client: &[
            "tftpc", "file", "-i", "HOST", "-p", "69", "-b", "1428", "-w", "64", "-rd", "FOLDER",
        ],
    },
    Contestant {
        name: "curl and atftpd",
        server: ATFTPD,
        client: &[
            "curl",
            "-s",
            "--tftp-blksize",
            "1428",
            "tftp://HOST/file",
            "-o",
            "FILE",
        ],
    },
    Contestant {
        name: "curl and atftpd, blocks of 65,464",
        server: ATFTPD,
        client: &[
            "curl",
            "-s",
            "--tftp-blksize",
            "65464",
            "tftp://HOST/file",
            "-o",
            "FILE",
        ],
    },
    Contestant {
        name: "tftp-hpa and atftpd",
        server: ATFTPD,
        client: &["tftp", "-m", "binary", "HOST", "-c", "get", "file", "FILE"],
    },
];

/// Where a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkPath {
    Loopback,
    /// 10 ms and 1 % loss in each direction.
    Lossy,
}

/// What is said of all tables.
pub(crate) fn introduction() -> String {
    format!(
        "Nothing is read from a disk or written to one, and what comes is compared. A transfer that takes over \
         {} s is cut off and called unfinished; its rate is that of what has come by then. One that fails has \
         no rate.",
        LIMIT.as_secs()
    )
}

/// The title of the table.
pub(crate) const fn title(path: NetworkPath) -> &'static str {
    match path {
        NetworkPath::Loopback => "TFTP, loopback",
        NetworkPath::Lossy => "TFTP, round trip of 20 ms, 1 % lost each way",
    }
}

/// The table of one path.
pub(crate) fn table(path: NetworkPath, megabytes: usize, rounds: usize) -> anyhow::Result<String> {
    const TUN: &str = "/dev/net/tun";
    if let (NetworkPath::Lossy, Err(error)) = (path, fs::File::open(TUN)) {
        let title = title(path);
        return Ok(format!(
            "### {title}\n\nNot measured: a wire that loses needs {TUN} ({error}), so run it as root.\n\n"
        ));
    }
    let place = Place::new(megabytes)?;
    let lab = Lab::new();
    let (server, client, host) = match path {
        NetworkPath::Loopback => (lab.host("a"), None, "127.0.0.1"),
        NetworkPath::Lossy => {
            let (switch, server, client) = (lab.switch("sw"), lab.host("a"), lab.host("b"));
            let link = Link {
                delay: Duration::from_millis(10),
                loss: 0.01,
                ..Link::default()
            };
            server.connect(&switch, "eth0", &["10.0.0.1/24"]);
            client.connect_over(&switch, "eth0", &["10.0.0.2/24"], Wire::both(link));
            (server, Some(client), "10.0.0.1")
        }
    };
    let mut rows = CONTESTANTS.each_ref().map(|_| Ok(Vec::new()));
    for _ in 0..rounds {
        for (contestant, row) in CONTESTANTS.iter().zip(&mut rows) {
            let Ok(rates) = row else { continue };
            let client = client.as_ref().unwrap_or(&server);
            match trial(contestant, &server, client, host, &place) {
                Ok(rate) => rates.push(rate),
                Err(error) => {
                    tell(contestant.name, contestant.client[0] == OURS, &error);
                    *row = Err(format!("{error:#}"));
                }
            }
        }
    }
    Ok(format!(
        "### {}, {megabytes} MB\n\n{}\n",
        title(path),
        rated(CONTESTANTS.iter().map(|it| it.name).zip(rows).collect())
    ))
}

/// How fast a file came, and whether all of it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    megabits: f64,
    finished: bool,
}

/// The rates of ours, which is the first, and of its peers; or why there is none.
fn rated(rows: Vec<(&str, Result<Vec<Rate>, String>)>) -> String {
    let middle = |rates: &[Rate]| median(rates.iter().map(|it| it.megabits).collect());
    let peers = rows.iter().skip(1);
    let peers = peers.filter_map(|(_, rates)| Some(middle(rates.as_ref().ok()?)));
    let best = peers.fold(f64::NAN, f64::max);
    let mut text = "| | Mbit/s | of the best peer |\n| --- | ---: | ---: |\n".to_owned();
    for (name, rates) in rows {
        let _ = match rates {
            Err(why) => writeln!(text, "| {name} | {} | |", report::cell(&why)),
            Ok(rates) => {
                let rate = middle(&rates);
                let all = rates.iter().all(|it| it.finished);
                let of_best = match best.is_nan() {
                    true => "no peer is there".to_owned(),
                    false => format!("{:.2}", rate / best),
                };
                let unfinished = if all { "" } else { ", unfinished" };
                writeln!(text, "| {name} | {rate:.2}{unfinished} | {of_best} |")
            }
        };
    }
    text
}

/// The folder of the server, and where a client puts what it gets. It is on what the arena has mounted, in
/// memory and gone with it.
struct Place {
    folder: PathBuf,
    content: Vec<u8>,
}

impl Place {
    fn new(megabytes: usize) -> anyhow::Result<Self> {
        let folder = Path::new("/run/tftp-bench").to_owned();
        let content: Vec<u8> = (0..=250).cycle().take(megabytes * 1_000_000).collect();
        fs::create_dir_all(folder.join("root"))?;
        fs::write(folder.join("root/file"), &content)?;
        Ok(Self { folder, content })
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Where a client puts what it gets, with nothing in it.
    fn emptied(&self) -> anyhow::Result<PathBuf> {
        let here = self.folder.join("here");
        let _ = fs::remove_dir_all(&here);
        fs::create_dir(&here)?;
        Ok(here)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that ends with what is done here, also by an error.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.stderr(Stdio::null()).spawn()?))
    }

    /// A server that listens.
    fn serve(command: &mut Command, host: &Host) -> anyhow::Result<Self> {
        let (mut server, start) = (Self::start(command)?, Instant::now());
        while !host.has_udp_port(69) {
            if let Some(status) = server.0.try_wait()? {
                bail!("the server ended ({status})");
            }
            ensure!(start.elapsed() < START, "the server does not listen");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The title of the table of many clients.
pub(crate) const MANY: &str = "TFTP, one file to many by multicast";

/// What one client costs the link of the server, and what eight do.
pub(crate) fn many(megabytes: usize) -> anyhow::Result<String> {
    let place = Place::new(megabytes)?;
    let mut text = format!(
        "### {MANY}, {megabytes} MB\n\n| clients at once | bytes that left the server | to those for \
         one | s |\n| ---: | ---: | ---: | ---: |\n"
    );
    let mut alone = f64::NAN;
    for count in [1, 8] {
        let lab = Lab::new();
        let (switch, server) = (lab.switch("sw"), lab.host("server"));
        server.connect(&switch, "eth0", &["10.0.0.100/24"]);
        let clients: Vec<Host> = (1..=count)
            .map(|number| {
                let client = lab.host(&format!("c{number}"));
                client.connect(&switch, "eth0", &[&format!("10.0.0.{number}/24")]);
                client
            })
            .collect();
        let program = found(OURS)?.display().to_string();
        let mut serve = server.command(&program);
        serve.args(["tftp", "serve"]).arg(place.root());
        serve.args(["--multicast", "239.255.0.1", "--quiet"]);
        let serving = Running::serve(&mut serve, &server)?;
        let here = place.emptied()?;
        let (before, start) = (sent_bytes(&server)?, Instant::now());
        let mut getting = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let file = here.join(number.to_string());
            let mut get = client.command(&program);
            get.args(["tftp", "get", "10.0.0.100/file"]).arg(&file);
            get.args(["--multicast", "--quiet"]);
            getting.push((Running::start(&mut get)?, file));
        }
        for (client, file) in &mut getting {
            ensure!(client.0.wait()?.success(), "a client failed");
            ensure!(fs::read(&file)? == place.content, "another content");
            fs::remove_file(file)?;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let bytes = sent_bytes(&server)? - before;
        drop(serving);
        if count == 1 {
            alone = bytes;
        }
        let _ = writeln!(
            text,
            "| {count} | {bytes} | {:.2} | {elapsed:.1} |",
            bytes / alone
        );
    }
    text.push('\n');
    Ok(text)
}

/// How many bytes have left a host by its Ethernet.
fn sent_bytes(host: &Host) -> anyhow::Result<f64> {
    let table = host.output("cat /proc/self/net/dev");
    let mut lines = table.lines();
    let line = lines.find_map(|line| line.trim().strip_prefix("eth0:"));
    // proc_net(5): eight columns of what was received come first.
    let sent = line.and_then(|line| line.split_whitespace().nth(8));
    Ok(sent.context("eth0 is there")?.parse()?)
}

fn trial(
    contestant: &Contestant,
    server: &Host,
    client: &Host,
    host: &str,
    place: &Place,
) -> anyhow::Result<Rate> {
    let here = place.emptied()?;
    let command = |of: &Host, words: &[&str]| -> anyhow::Result<Command> {
        let (program, arguments) = words.split_first().context("it has a program")?;
        let mut command = of.command(&found(program)?.display().to_string());
        command.args(arguments.iter().map(|word| {
            word.replace("ROOT", &place.root().display().to_string())
                .replace("FOLDER", &here.display().to_string())
                .replace("FILE", &here.join("file").display().to_string())
                .replace("HOST", host)
        }));
        Ok(command)
    };
    let mut get = command(client, contestant.client)?;
    let serving = Running::serve(&mut command(server, contestant.server)?, server)?;
    let start = Instant::now();
    let mut getting = Running::start(&mut get)?;
    let mut status = None;
    while status.is_none() && start.elapsed() < LIMIT {
        status = getting.0.try_wait()?;
        thread::sleep(Duration::from_millis(1));
    }
    let elapsed = start.elapsed();
    drop(getting);
    drop(serving);
    let bytes = came(&here, &place.content, status)?;
    Ok(Rate {
        megabits: bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e6,
        finished: status.is_some(),
    })
}

/// How many bytes came to a folder of this content, by a client that has ended, or had no more time.
fn came(folder: &Path, content: &[u8], status: Option<ExitStatus>) -> anyhow::Result<usize> {
    let bytes = match fs::read_dir(folder)?.next() {
        Some(file) => fs::read(file?.path())?,
        None => Vec::new(),
    };
    let (came, all) = (bytes.len(), content.len());
    if let Some(status) = status {
        ensure!(
            status.success() && came == all,
            "it gave up ({status}) after {came} of {all} bytes"
        );
    }
    ensure!(content.starts_with(&bytes), "another content came");
    ensure!(came > 0, "nothing came");
    Ok(came)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn what_gives_up_has_no_rate() {
        let folder = std::env::temp_dir().join(format!("tftp-came-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let of = |bytes: &[u8], status: Option<i32>| {
            fs::write(folder.join("file"), bytes).unwrap();
            let result = came(&folder, b"content", status.map(ExitStatus::from_raw));
            result.map_err(|error| error.to_string())
        };
        assert_eq!(of(b"content", Some(0)), Ok(7));
        assert_eq!(of(b"con", None), Ok(3));
        for (bytes, status, why) in [
            (&b"con"[..], Some(0), "gave up"),
            (b"content", Some(256), "gave up"),
            (b"contend", Some(0), "another content"),
            (b"com", None, "another content"),
            (b"", None, "nothing came"),
        ] {
            let error = of(bytes, status).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_row_without_a_rate_changes_no_other() {
        let rate = |megabits, finished| Ok(vec![Rate { megabits, finished }]);
        let rows = vec![
            ("ours", rate(30.0, true)),
            ("slow", rate(10.0, false)),
            ("failed", Err("it gave up".to_owned())),
        ];
        let text = rated(rows);
        for row in [
            "| ours | 30.00 | 3.00 |",
            "| slow | 10.00, unfinished | 1.00 |",
            "| failed | it gave up | |",
        ] {
            assert!(text.contains(row), "{text}");
        }
    }
}
