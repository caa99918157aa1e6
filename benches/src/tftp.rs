//! Files by TFTP, beside other clients and servers.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use manycast_lab::Link;
use manycast_lab::netns::{Host, Lab, Wire};

use crate::programs::found;
use crate::report::median;

/// How long a trial may take; what has come by then counts.
const LIMIT: Duration = Duration::from_secs(20);

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
        server: &["manycast", "tftp", "serve", "ROOT", "0.0.0.0:69", "--quiet"],
        client: &["manycast", "tftp", "get", "HOST/file", "FILE", "--quiet"],
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
    let folder = std::env::temp_dir().join(format!("tftp-bench-{}", std::process::id()));
    let root = folder.join("root");
    fs::create_dir_all(&root)?;
    let content: Vec<u8> = (0..=250).cycle().take(megabytes * 1_000_000).collect();
    fs::write(root.join("file"), content)?;
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
    let mut rates = CONTESTANTS.each_ref().map(|_| Vec::new());
    for _ in 0..rounds {
        for (contestant, rates) in CONTESTANTS.iter().zip(&mut rates) {
            let client = client.as_ref().unwrap_or(&server);
            match trial(contestant, &server, client, host, &folder) {
                Ok(rate) => rates.push(rate),
                Err(error) => eprintln!("MISSING: {}: {error:#}", contestant.name),
            }
        }
    }
    fs::remove_dir_all(&folder)?;
    let medians = rates.map(median);
    let best = medians[1..].iter().copied().filter(|it| !it.is_nan());
    let best = best.fold(f64::NAN, f64::max);
    let mut text = format!(
        "### {}, {megabytes} MB\n\n| | Mbit/s | of the best peer |\n| --- | ---: | ---: |\n",
        title(path)
    );
    for (contestant, rate) in CONTESTANTS.iter().zip(medians) {
        let _ = match rate.is_nan() {
            true => writeln!(text, "| {} | not there | |", contestant.name),
            false if best.is_nan() => writeln!(
                text,
                "| {} | {rate:.2} | no peer is there |",
                contestant.name
            ),
            false => writeln!(
                text,
                "| {} | {rate:.2} | {:.2} |",
                contestant.name,
                rate / best
            ),
        };
    }
    text.push('\n');
    Ok(text)
}

/// The title of the table of many clients.
pub(crate) const MANY: &str = "TFTP, one file to many by multicast";

/// What one client costs the link of the server, and what eight do.
pub(crate) fn many(megabytes: usize) -> anyhow::Result<String> {
    let folder = std::env::temp_dir().join(format!("tftp-many-{}", std::process::id()));
    let root = folder.join("root");
    fs::create_dir_all(&root)?;
    let content: Vec<u8> = (0..=250).cycle().take(megabytes * 1_000_000).collect();
    fs::write(root.join("file"), &content)?;
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
        let program = found("manycast")?.display().to_string();
        let silent = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null()).spawn()
        };
        let mut serve = server.command(&program);
        serve.args(["tftp", "serve"]).arg(&root);
        serve.args(["--multicast", "239.255.0.1", "--quiet"]);
        let mut serving = silent(&mut serve)?;
        server.wait_for_udp_port(69);
        let (before, start) = (sent_bytes(&server)?, Instant::now());
        let mut getting = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let file = folder.join(number.to_string());
            let mut get = client.command(&program);
            get.args(["tftp", "get", "10.0.0.100/file"]).arg(&file);
            get.args(["--multicast", "--quiet"]);
            getting.push((silent(&mut get)?, file));
        }
        for (client, file) in &mut getting {
            ensure!(client.wait()?.success(), "a client failed");
            ensure!(fs::read(&file)? == content, "another content");
            fs::remove_file(file)?;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let bytes = sent_bytes(&server)? - before;
        let _ = serving.kill();
        let _ = serving.wait();
        if count == 1 {
            alone = bytes;
        }
        let _ = writeln!(
            text,
            "| {count} | {bytes} | {:.2} | {elapsed:.1} |",
            bytes / alone
        );
    }
    fs::remove_dir_all(&folder)?;
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

/// The rate in Mbit/s.
fn trial(
    contestant: &Contestant,
    server: &Host,
    client: &Host,
    host: &str,
    folder: &Path,
) -> anyhow::Result<f64> {
    let file = folder.join("here");
    let _ = fs::remove_file(&file);
    let command = |of: &Host, words: &[&str]| -> anyhow::Result<Command> {
        let (program, arguments) = words.split_first().context("it has a program")?;
        let mut command = of.command(&found(program)?.display().to_string());
        let root = folder.join("root").display().to_string();
        command.args(arguments.iter().map(|word| {
            word.replace("ROOT", &root)
                .replace("FOLDER", &folder.display().to_string())
                .replace("FILE", &file.display().to_string())
                .replace("HOST", host)
        }));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        Ok(command)
    };
    let mut getting = command(client, contestant.client)?;
    let mut serving = command(server, contestant.server)?.spawn()?;
    server.wait_for_udp_port(69);
    let start = Instant::now();
    let mut getting = getting.spawn()?;
    let mut status = None;
    while status.is_none() && start.elapsed() < LIMIT {
        status = getting.try_wait()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let elapsed = start.elapsed();
    let _ = getting.kill();
    let _ = getting.wait();
    let _ = serving.kill();
    let _ = serving.wait();
    let came = fs::metadata(&file)
        .or_else(|_| fs::metadata(folder.join("file")))
        .or_else(|error| part(folder).ok_or(error));
    let bytes = came.map_or(0, |it| it.len());
    let _ = fs::remove_file(folder.join("file"));
    ensure!(bytes > 0, "nothing came");
    Ok(bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e6)
}

/// What has come of a file that is not complete.
fn part(folder: &Path) -> Option<fs::Metadata> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    let part = entries.find(|it| it.path().extension().is_some_and(|it| it == "part"))?;
    part.metadata().ok()
}
