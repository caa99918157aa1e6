//! Files to many, beside other programs that deliver to groups.

mod bare_loop;
mod contestant;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use manycast_lab::netns::{Host, Lab, RateLimit};
use nix::sys::resource::UsageWho;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::programs::tell;
use crate::worker::processor;
use contestant::{CONTESTANTS, Contestant};

/// How many receive.
const RECEIVERS: usize = 4;
/// How long a delivery may take, and in a quick run.
const LIMIT: Duration = Duration::from_secs(60);
const QUICK_LIMIT: Duration = Duration::from_secs(30);
/// How many megabytes are sent.
const MEGABYTES: usize = 1000;
/// What a link carries, in millions of bits a second, Ethernet's header included. By the slower one, five
/// programs on a machine of few cores have the processor that they need, so it shows the protocols.
const LINKS: [u64; 2] = [1000, 250];
/// How many bytes a link passes at once after a pause: what a sender gives the kernel as one stays one, as
/// it does on its way to a network card.
const BURST: u32 = 128 << 10;
/// How many datagrams of a thousand each receiver loses.
const LOSSES: [u32; 4] = [0, 10, 50, 100];
const GROUP: &str = "239.5.5.5";

/// What a delivery goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Links of so many Mbit/s, and so many datagrams of a thousand lost at each receiver.
    Limited { link: u64, loss: u32 },
    /// Links without a limit or a loss, on which the kernel may carry many datagrams as one.
    Unlimited,
}

impl Work {
    fn title(self, megabytes: usize) -> String {
        match self {
            Self::Limited { link, loss } => {
                let lost = f64::from(loss) / 10.0;
                format!("{TITLE}, {megabytes} MB, links of {link} Mbit/s, {lost} % lost at each")
            }
            Self::Unlimited => format!("{TITLE}, {megabytes} MB, links without a limit"),
        }
    }
}

/// What is aimed at, and what was reached.
pub(crate) struct Mark {
    pub(crate) what: String,
    pub(crate) aim: &'static str,
    pub(crate) reached: f64,
}

/// What a delivery took.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// From the start of the sender to its end.
    seconds: f64,
    /// Processor time of the sender, and of a receiver, the mean.
    sender: f64,
    receiver: f64,
    /// The share of all processors' time that was taken while it ran.
    busy: f64,
}

/// The title of the tables.
pub(crate) const TITLE: &str = "Files to many";

/// The folder that is sent and those that receive, in memory, so that no disk is measured.
struct Place {
    folder: PathBuf,
    bytes: u64,
    nrl: Option<PathBuf>,
    /// How long a delivery may take.
    limit: Duration,
}

/// The titles of all tables.
pub(crate) fn titles() -> impl Iterator<Item = String> {
    works().map(|work| work.title(MEGABYTES))
}

/// All that is measured.
fn works() -> impl Iterator<Item = Work> {
    let limited = LINKS
        .into_iter()
        .flat_map(|link| LOSSES.map(|loss| Work::Limited { link, loss }));
    limited.chain([Work::Unlimited])
}

/// The tables whose title is wanted, and the marks; of a quick run one, of a small folder.
pub(crate) fn tables(
    quick: bool,
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<(String, Vec<Mark>)> {
    let mut marks = Vec::new();
    let mut text = format!(
        "One sender and {RECEIVERS} receivers on a switch; nothing is read from a disk or written to one. \
         Seconds are from the start of the sender's program, hashing and the search for receivers \
         included, until it ends knowing that all have all; then every file is compared. manycast and \
         uftp send a folder of files, the others one file. Shares of the link are those of the files' \
         bytes, of a link that counts the headers from Ethernet on. The bare loop sends datagrams as fast \
         as the link takes them, with GSO and GRO, and its receivers throw away what comes: the time is \
         that in which the one that got least got as many bytes. It is what these processors and this \
         network carry. What a sender gives the kernel as one (GSO) goes as one to the switch's ports, and is \
         split there where datagrams are lost, each by itself. Where links have no limit, manycast sends \
         with congestion control, and the others as fast as they can. The last column is the share of all \
         processors' time that was taken meanwhile: the kernel carries a part of the datagrams in the name \
         of no program.\n\n"
    );
    if quick {
        let place = Place::new(20, QUICK_LIMIT)?;
        let (link, loss) = (LINKS[0], LOSSES[1]);
        text += &table(&place, Work::Limited { link, loss }, &mut marks)?;
        return Ok((text, marks));
    }
    let works: Vec<_> = works()
        .filter(|work| wanted(&work.title(MEGABYTES)))
        .collect();
    if !works.is_empty() {
        let place = Place::new(MEGABYTES, LIMIT)?;
        for work in works {
            text += &table(&place, work, &mut marks)?;
        }
    }
    Ok((text, marks))
}

fn table(place: &Place, work: Work, marks: &mut Vec<Mark>) -> anyhow::Result<String> {
    let limit = bare_loop::run(place, work)?;
    let outcomes = CONTESTANTS.map(|contestant| {
        let outcome = trial(place, contestant, work);
        if let Err(error) = &outcome {
            let of = format!("{contestant:?}, {work:?}");
            tell(&of, contestant == Contestant::Manycast, error);
        }
        outcome.map_err(|error| error.to_string())
    });
    let seconds = outcomes[1..].iter().flatten().map(|it| it.seconds);
    let fastest = seconds.fold(f64::NAN, f64::min);
    let title = work.title(usize::try_from(place.bytes / 1_000_000)?);
    let mut text = format!(
        "### {title}\n\n| | s | of the link | of what is not lost | of the bare loop | times as fast as \
         the fastest peer | processor s/GB, sender | processor s/GB, receiver | all processors |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    if let Ok(own) = &outcomes[0] {
        let (aim, of_peers) = match work {
            Work::Limited { link, loss } => {
                let aim = if loss == 0 { "93 %" } else { "92 %" };
                marks.push(Mark {
                    what: format!("{title}: of what the link carries and does not lose"),
                    aim,
                    reached: place.bytes as f64 * 8.0
                        / own.seconds
                        / (link * 1_000_000) as f64
                        / (1.0 - f64::from(loss) / 1000.0),
                });
                ("100 %", fastest / own.seconds)
            }
            Work::Unlimited => ("300 %", fastest / own.seconds),
        };
        if !of_peers.is_nan() {
            marks.push(Mark {
                what: format!("{title}: of the fastest peer"),
                aim,
                reached: of_peers,
            });
        }
    }
    let rows = CONTESTANTS.iter().map(|contestant| contestant.name());
    let rows = rows.zip(outcomes);
    for (name, outcome) in [("bare loop", Ok(limit))].into_iter().chain(rows) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(why) => {
                writeln!(text, "| {name} | {why} | | | | | | | |")?;
                continue;
            }
        };
        let (link, kept) = match work {
            Work::Limited { link, loss } => {
                let share = place.bytes as f64 * 8.0 / outcome.seconds / (link * 1_000_000) as f64;
                let kept = 1.0 - f64::from(loss) / 1000.0;
                (
                    format!("{:.1} %", share * 100.0),
                    format!("{:.1} %", share / kept * 100.0),
                )
            }
            Work::Unlimited => (String::new(), String::new()),
        };
        let times = match fastest.is_nan() {
            true => "no peer is there".to_owned(),
            false => format!("{:.2}", fastest / outcome.seconds),
        };
        let gigabytes = place.bytes as f64 / 1e9;
        writeln!(
            text,
            "| {name} | {:.2} | {link} | {kept} | {:.1} % | {times} | {:.2} | {:.2} | {:.0} % |",
            outcome.seconds,
            limit.seconds / outcome.seconds * 100.0,
            outcome.sender / gigabytes,
            outcome.receiver / gigabytes,
            outcome.busy * 100.0
        )?;
    }
    text.push('\n');
    Ok(text)
}

impl Place {
    fn new(megabytes: usize, limit: Duration) -> anyhow::Result<Self> {
        // What the arena has mounted there holds half of the memory at most, and this is another half.
        let folder = PathBuf::from("/run/files-bench");
        fs::create_dir_all(&folder)?;
        must(
            Command::new("mount")
                .args(["-t", "tmpfs", "tmpfs"])
                .arg(&folder),
        )?;
        // uftp looks up the name of each host, and waits for an answer where there is none.
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for number in 1..=RECEIVERS + 1 {
            writeln!(hosts, "10.0.0.{number} host{number}")?;
        }
        let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
        writeln!(hosts, "127.0.0.1 {}", name.trim())?;
        fs::write(folder.join("hosts"), hosts)?;
        must(
            Command::new("mount")
                .arg("--bind")
                .arg(folder.join("hosts"))
                .arg("/etc/hosts"),
        )?;
        let sent = folder.join("sent");
        fs::create_dir(&sent)?;
        // A large file, some of middling size, and many small ones.
        let bytes = megabytes * 1_000_000;
        let mut lengths = vec![bytes / 2];
        lengths.extend([bytes / 25; 10]);
        lengths.extend([bytes / 1000; 100]);
        let mut number = 1_u64;
        let mut whole = Vec::with_capacity(bytes);
        for (index, length) in lengths.into_iter().enumerate() {
            let start = whole.len();
            while whole.len() < start + length {
                number = number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                whole.extend_from_slice(&(number ^ number >> 29).to_be_bytes());
            }
            whole.truncate(start + length);
            fs::write(sent.join(format!("file{index:03}")), &whole[start..])?;
        }
        fs::write(folder.join("whole"), &whole)?;
        // On a virtual machine, memory is slow when it is first written. Each delivery takes up what the
        // one before has left; the first one finds such memory too.
        for number in 1..=RECEIVERS {
            let into = folder.join(format!("into{number}"));
            fs::create_dir(&into)?;
            fs::write(into.join("whole"), &whole)?;
        }
        let nrl = folder.join("nrl");
        let text = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../interop/norm/tests/nrl/nrl.cc"
        );
        let mut build = Command::new("c++");
        build
            .args(["-std=c++17", "-O2", "-o"])
            .arg(&nrl)
            .arg(text)
            .arg("-lnorm");
        let built = must(&mut build);
        if let Err(error) = &built {
            eprintln!("MISSING: NRL's norm takes no part: {error:#}");
        }
        Ok(Self {
            folder,
            bytes: whole.len() as u64,
            nrl: built.is_ok().then_some(nrl),
            limit,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Whether a receiver has all that was sent.
    fn check(&self, contestant: Contestant, number: usize) -> anyhow::Result<()> {
        let into = self.folder.join(format!("into{number}"));
        if !contestant.has_folders() {
            return same(&self.folder.join("whole"), &into.join("whole"));
        }
        for entry in fs::read_dir(self.folder.join("sent"))? {
            let name = entry?.file_name();
            same(
                &self.folder.join("sent").join(&name),
                &into.join("sent").join(&name),
            )?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = must(Command::new("umount").arg("/etc/hosts"));
        let _ = must(Command::new("umount").arg(&self.folder));
        let _ = fs::remove_dir(&self.folder);
    }
}

fn same(one: &Path, other: &Path) -> anyhow::Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    ensure!(read(one)? == read(other)?, "a file differs");
    Ok(())
}

fn must(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        complaint.trim()
    );
    Ok(())
}

fn network(work: Work) -> (Host, Vec<Host>) {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let connect = |number: usize| {
        let host = lab.host(&format!("host{number}"));
        host.connect(&switch, "eth0", &[&format!("10.0.0.{}/24", number + 1)]);
        // udpcast needs the address of broadcasts.
        host.output(&format!(
            "ip address replace 10.0.0.{}/24 broadcast 10.0.0.255 dev eth0",
            number + 1
        ));
        host.add_route("224.0.0.0/4 dev eth0");
        if let Work::Limited { link, loss } = work {
            let rate = link * 1_000_000;
            let limit = RateLimit {
                burst: BURST,
                ..RateLimit::new(rate)
            };
            host.limit_rate("eth0", limit);
            host.output(&format!(
                "tc qdisc replace dev eth0 root tbf rate {rate}bit burst {BURST}b limit 16777216b"
            ));
            if loss > 0 && number > 0 {
                host.receive_singly("eth0");
                host.nft(&format!(
                    "table inet losses {{\nchain input {{\ntype filter hook input priority 0\n\
                     meta l4proto udp numgen random mod 1000 < {loss} drop\n}}\n}}\n"
                ));
            }
        }
        host
    };
    (connect(0), (1..=RECEIVERS).map(connect).collect())
}

/// What all processors have done since the machine was started, in ticks.
struct Processors {
    idle: u64,
    all: u64,
}

impl Processors {
    // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what guests take is in user.
    fn now() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let line = text.lines().next().unwrap_or_default();
        let ticks: Result<Vec<u64>, _> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(str::parse)
            .collect();
        let ticks = ticks.with_context(|| format!("/proc/stat begins with {line:?}"))?;
        ensure!(ticks.len() == 8, "/proc/stat begins with {line:?}");
        Ok(Self {
            idle: ticks[3] + ticks[4],
            all: ticks.iter().sum(),
        })
    }

    /// The share that was not idle since `before`.
    fn busy_since(&self, before: &Self) -> f64 {
        // The time of waiting for a disk may even go back (proc_stat(5)).
        let all = self.all.saturating_sub(before.all).max(1);
        1.0 - self.idle.saturating_sub(before.idle) as f64 / all as f64
    }
}

/// The processor time of all processes that have ended and were waited for, in seconds.
fn spent() -> anyhow::Result<f64> {
    processor(UsageWho::RUSAGE_CHILDREN)
}

fn silent(command: &mut Command) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))
}

fn trial(place: &Place, contestant: Contestant, work: Work) -> anyhow::Result<Outcome> {
    let (sender, receivers) = network(work);
    let mut running = Vec::new();
    for (host, number) in receivers.iter().zip(1..) {
        let into = place.folder.join(format!("into{number}"));
        for folder in [
            into.clone(),
            into.with_file_name(format!("into{number}-other")),
        ] {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder)?;
        }
        running.push(silent(&mut contestant.receiver(place, host, number)?)?);
    }
    receivers.iter().for_each(|host| contestant.wait_for(host));
    let result = deliver(&mut contestant.sender(place, &sender, work)?, place);
    let before = spent()?;
    end(running)?;
    let receiver = (spent()? - before) / RECEIVERS as f64;
    let (seconds, sender, busy) = result?;
    for number in 1..=RECEIVERS {
        place.check(contestant, number)?;
    }
    Ok(Outcome {
        seconds,
        sender,
        receiver,
        busy,
    })
}

/// Runs a sender to its end: for how long, how much processor time it took, and which share of all
/// processors' time was taken meanwhile.
fn deliver(command: &mut Command, place: &Place) -> anyhow::Result<(f64, f64, f64)> {
    let complaints = &place.folder.join("complaints");
    let (before, processors, start) = (spent()?, Processors::now()?, Instant::now());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(complaints)?);
    let mut sending = command
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let status = loop {
        if let Some(status) = sending.try_wait()? {
            break status;
        }
        if start.elapsed() > place.limit {
            let _ = sending.kill();
            let _ = sending.wait();
            bail!("over {} s", place.limit.as_secs());
        }
        thread::sleep(Duration::from_millis(1));
    };
    let seconds = start.elapsed().as_secs_f64();
    let busy = Processors::now()?.busy_since(&processors);
    let said = fs::read_to_string(complaints)?;
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    ensure!(status.success(), "{status}: {}", last.unwrap_or_default());
    Ok((seconds, spent()? - before, busy))
}

/// Ends receivers: those that do not end by themselves within a second are told to.
fn end(running: Vec<Child>) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut waiting: BTreeSet<usize> = (0..running.len()).collect();
    let mut running = running;
    while !waiting.is_empty() {
        for index in waiting.clone() {
            if running[index].try_wait()?.is_some() {
                waiting.remove(&index);
                continue;
            }
            let signal = match start.elapsed().as_secs() {
                0 => continue,
                1 => Signal::SIGTERM,
                _ => Signal::SIGKILL,
            };
            let _ = kill(Pid::from_raw(i32::try_from(running[index].id())?), signal);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
