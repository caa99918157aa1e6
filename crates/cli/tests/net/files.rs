//! Files to many, with this command at both ends, on networks that lose.

use std::fs;
use std::path::{Path, PathBuf};

use manycast_lab::netns::{self, Finished, Hook, Host, Lab, Pick, Process, RateLimit};
use serde_json::Value;

use crate::{code, hosts_on, json, run, send_signal, start};

const GROUP: &str = "239.192.0.7:5013";

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn text(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A folder in it.
    fn sub(&self, name: &str) -> String {
        fs::create_dir_all(self.0.join(name)).unwrap();
        self.text(name)
    }

    /// A folder `from` with so many bytes in one file, and some small ones.
    fn fill(&self, length: usize) -> String {
        let from = self.sub("from");
        fs::write(self.0.join("from/large"), content(length)).unwrap();
        fs::create_dir_all(self.0.join("from/deep/er")).unwrap();
        for index in 0..20 {
            let name = format!("from/deep/er/{index}");
            fs::write(self.0.join(name), content(1000 * index)).unwrap();
        }
        from
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A content whose length is no multiple of anything, and that is no text.
fn content(length: usize) -> Vec<u8> {
    std::iter::successors(Some(length as u64 + 1), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

/// A receiver that listens.
fn receive(host: &Host, name: &str, into: &str, address: &str, options: &[&str]) -> Process {
    let arguments = ["receive-files", address, "--name", name, "--into", into];
    let mut receiver = start(host, &[&arguments[..], &["--json"], options].concat());
    receiver.wait_for_line("\"event\":\"listening\"");
    receiver
}

fn report(finished: &Finished) -> Value {
    let line = finished
        .stdout
        .last()
        .unwrap_or_else(|| panic!("{finished:?}"));
    let report = json(line);
    assert_eq!(report["event"], "report", "{finished:?}");
    report
}

/// That both folders have the same files, and nothing else.
fn assert_same(one: &Path, other: &Path) {
    let (ones, others) = (names(one), names(other));
    assert_eq!(ones, others);
    for name in ones.iter().filter(|name| one.join(name).is_file()) {
        let same = fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap();
        assert!(same, "{name} has another content");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Each receiver loses other datagrams; each has all in the end, and the report and its page say so.
pub(crate) fn what_is_lost_is_repaired_for_each() {
    netns::require(&["python3"]);
    let lab = Lab::new();
    let [a, b, c, d] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c", "d"]);
    let folder = Folder::new("loss");
    let from = folder.fill(3_000_000);
    for host in [&b, &c, &d] {
        host.lose("eth0", Pick::Percent(10));
    }
    let receivers = [(&b, "b"), (&c, "c"), (&d, "d")].map(|(host, name)| {
        receive(
            host,
            name,
            &folder.sub(name),
            GROUP,
            &["--once", "-t", "60"],
        )
    });
    let page = folder.text("report.html");
    let arguments = [
        "send-files",
        &from,
        GROUP,
        "--receivers",
        "3",
        "--rate",
        "50M",
        "--json",
    ];
    let sent = run(&a, &[&arguments[..], &["--report", &page]].concat());
    assert_eq!(code(&sent), 0, "{sent:?}");
    let told = report(&sent);
    assert_eq!(
        (&told["complete"], &told["files"]),
        (&true.into(), &24.into())
    );
    assert!(told["repairs"].as_u64().unwrap() > 0);
    let told = told["receivers"].as_array().unwrap();
    assert_eq!(told.len(), 3);
    for receiver in told {
        let loss = receiver["loss"].as_f64().unwrap();
        assert!((0.03..0.25).contains(&loss), "{receiver}");
        let mut files = receiver["files"].as_array().unwrap().iter();
        assert!(files.all(|file| file["state"] == "verified"), "{receiver}");
    }
    for (receiver, name) in receivers.into_iter().zip(["b", "c", "d"]) {
        let finished = receiver.finish();
        assert_eq!(code(&finished), 0, "{finished:?}");
        let ended = json(finished.stdout.last().unwrap());
        assert_eq!(
            (&ended["event"], &ended["complete"]),
            (&"ended".into(), &true.into())
        );
        assert_same(
            Path::new(&folder.text(name)).join("from").as_path(),
            Path::new(&from),
        );
    }
    // A page is whole where each element that is opened is closed, and nothing comes from elsewhere.
    let script = "
import html.parser, sys
class Page(html.parser.HTMLParser):
    open, curves = [], 0
    def handle_starttag(self, tag, attributes):
        assert not any(name in ('src', 'href') for name, _ in attributes), attributes
        if tag == 'polyline':
            self.curves += len(dict(attributes)['points'].split()) > 1
        if tag not in ('meta', 'path', 'polyline'):
            self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        if tag == 'polyline':
            self.curves += len(dict(attributes)['points'].split()) > 1
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
page = Page()
page.feed(open(sys.argv[1]).read())
page.close()
assert not page.open, page.open
print(page.curves)
";
    let mut python = a.command("python3");
    python.args(["-c", script, &page]);
    let checked = Process::start(&mut python).finish();
    assert_eq!(checked.stdout, ["6"], "{checked:?}");
}

/// With `--congestion-control` a sender that may do more than the network carries fits itself to it;
/// without, most of what it sends is lost on the way.
pub(crate) fn the_rate_follows_what_the_network_carries() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("rate");
    let from = folder.sub("from");
    fs::write(folder.0.join("from/large"), content(3_000_000)).unwrap();
    b.limit_rate("eth0", RateLimit::new(50_000_000));
    let lost = ["--congestion-control", "--parity=0"].map(|option| {
        let into = folder.sub(&option[2..6]);
        let receiver = receive(&b, "b", &into, GROUP, &["--once", "-t", "30"]);
        let line = ["send-files", &from, GROUP, "--receiver", "b", "--json"];
        let sent = run(&a, &[&line[..], &["--rate", "500M", option]].concat());
        assert_eq!(code(&sent), 0, "{sent:?}");
        assert_eq!(code(&receiver.finish()), 0);
        report(&sent)["receivers"][0]["loss"].as_f64().unwrap()
    });
    assert!(lost[0] < lost[1] / 2.0, "{lost:?}");
}

/// Nobody answers, and no packet could: parity that is sent unasked repairs what is lost.
pub(crate) fn there_is_no_way_back() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("silent");
    let from = folder.fill(1_000_000);
    let receivers = [(&b, "b"), (&c, "c")].map(|(host, name)| {
        host.lose("eth0", Pick::Every(20));
        let said = host.count_at(Hook::Output, "udp sport 5013");
        let into = folder.sub(name);
        let options = ["--silent", "--once", "-t", "20"];
        (receive(host, name, &into, GROUP, &options), said, into)
    });
    let arguments = [
        "send-files",
        &from,
        GROUP,
        "--parity",
        "24",
        "--rate",
        "50M",
    ];
    let sent = run(&a, &arguments);
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert_eq!(
        sent.stdout[0],
        "no receiver was expected and none is known: whether anybody has the files is not known"
    );
    for (receiver, said, into) in receivers {
        receiver.finish();
        assert_eq!(said.count(), 0);
        // A small file has one packet, and its parity is lost as often as any; the large one comes.
        let large = Path::new(&into).join("from/large");
        assert!(fs::read(large).unwrap() == content(1_000_000));
    }
}

/// From one source only, so that receivers cannot hear each other: they ask by unicast.
pub(crate) fn a_source_specific_group_is_repaired_by_unicast() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("ssm");
    let from = folder.fill(1_000_000);
    let receivers = [(&b, "b"), (&c, "c")].map(|(host, name)| {
        host.lose("eth0", Pick::Percent(5));
        let group = "10.0.0.1@232.1.1.1:5013";
        receive(
            host,
            name,
            &folder.sub(name),
            group,
            &["--once", "-t", "60"],
        )
    });
    let arguments = [
        "send-files",
        &from,
        "232.1.1.1:5013",
        "--receiver",
        "b",
        "--receiver",
        "c",
    ];
    let sent = run(&a, &[&arguments[..], &["--json", "--rate", "50M"]].concat());
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert!(report(&sent)["nacks"].as_u64().unwrap() > 0);
    for (receiver, name) in receivers.into_iter().zip(["b", "c"]) {
        assert_eq!(code(&receiver.finish()), 0);
        assert_same(
            Path::new(&folder.text(name)).join("from").as_path(),
            Path::new(&from),
        );
    }
}

/// A full disk stops that receiver alone, with a sentence at both ends.
pub(crate) fn a_full_disk_stops_that_receiver_alone() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("full");
    let from = folder.fill(3_000_000);
    let (small, large) = (folder.sub("small"), folder.sub("large"));
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", &small])
        .status()
        .unwrap();
    assert!(mounted.success());
    let full = receive(&b, "full", &small, GROUP, &["--once", "-t", "60"]);
    let roomy = receive(&c, "roomy", &large, GROUP, &["--once", "-t", "60"]);
    let arguments = [
        "send-files",
        &from,
        GROUP,
        "--receivers",
        "2",
        "--json",
        "--rate",
        "50M",
    ];
    let sent = run(&a, &arguments);
    assert_eq!(code(&sent), 1, "{sent:?}");
    let told = report(&sent);
    for receiver in told["receivers"].as_array().unwrap() {
        let is_full = receiver["receiver"] == "full";
        assert_eq!(receiver["complete"], !is_full, "{receiver}");
        for file in receiver["files"].as_array().unwrap() {
            let state = match file["path"] == "from/large" && is_full {
                true => "failed",
                false => "verified",
            };
            assert_eq!(file["state"], state, "{file}");
            if state == "failed" {
                let why = file["error"].as_str().unwrap();
                assert!(
                    why.contains("No space left on device (os error 28); make room"),
                    "{why}"
                );
            }
        }
    }
    assert_eq!(code(&full.finish()), 1);
    assert_eq!(code(&roomy.finish()), 0);
    assert!(
        names(Path::new(&small))
            .iter()
            .all(|name| !name.contains(".part"))
    );
    let unmounted = std::process::Command::new("umount").arg(&small).status();
    assert!(unmounted.is_ok());
}

/// A receiver behind a narrow link gets all, if later.
pub(crate) fn a_slow_receiver_gets_all() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("slow");
    let from = folder.fill(2_000_000);
    c.limit_rate("eth0", RateLimit::new(10_000_000));
    let receivers = [(&b, "fast"), (&c, "slow")].map(|(host, name)| {
        receive(
            host,
            name,
            &folder.sub(name),
            GROUP,
            &["--once", "-t", "60"],
        )
    });
    let arguments = [
        "send-files",
        &from,
        GROUP,
        "--receivers",
        "2",
        "--json",
        "--rate",
        "20M",
    ];
    let sent = run(&a, &arguments);
    assert_eq!(code(&sent), 0, "{sent:?}");
    for (receiver, name) in receivers.into_iter().zip(["fast", "slow"]) {
        assert_eq!(code(&receiver.finish()), 0);
        assert_same(
            Path::new(&folder.text(name)).join("from").as_path(),
            Path::new(&from),
        );
    }
}

/// Numbers from a seed that is printed, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("SEED").map_or_else(
            |_| u64::from(std::process::id()),
            |seed| seed.parse().unwrap(),
        );
        println!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % most
    }
}

/// Killed at any time, by the hardest signal, either end leaves no wrong file, and nothing but the one
/// temporary file of what was on its way; and who is started again completes. `KILLS` sets how often.
pub(crate) fn whoever_is_killed_at_any_time_leaves_no_wrong_file() {
    let kills = std::env::var("KILLS").map_or(6, |kills| kills.parse().unwrap());
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("killed");
    let from = folder.sub("from");
    let sizes = [300_000, 1_200_000, 5_000];
    for (index, size) in sizes.into_iter().enumerate() {
        fs::write(Path::new(&from).join(index.to_string()), content(size)).unwrap();
    }
    let total: u64 = sizes.iter().map(|size| *size as u64).sum();
    b.lose("eth0", Pick::Percent(3));
    let into = folder.sub("into");
    let mut dice = Dice::new();
    let arguments = [
        "send-files",
        &from,
        GROUP,
        "--receiver",
        "b",
        "--rate",
        "20M",
        "--wait",
        "2",
    ];
    for turn in 0..kills {
        fs::remove_dir_all(&into).unwrap();
        fs::create_dir(&into).unwrap();
        let receiver = receive(&b, "b", &into, GROUP, &["--once"]);
        let mut sender = start(&a, &arguments);
        // When so much is on the disk, it is killed; or when the sender is through.
        let point = dice.below(total);
        while on_disk(Path::new(&into)) < point && sender.is_running() {
            std::thread::yield_now();
        }
        if turn % 2 == 0 {
            send_signal(&receiver, "-KILL");
            receiver.finish();
            assert_nothing_is_wrong(&into, &from);
            // The sender is still there, and the one that is started again goes on.
            let again = receive(&b, "b", &into, GROUP, &["--once"]);
            let finished = sender.finish();
            if code(&finished) == 0 {
                again.finish();
            } else {
                // It had come to its end before; a second delivery brings the rest.
                drop(again);
                complete(&a, &b, &arguments, &into);
            }
        } else {
            send_signal(&sender, "-KILL");
            sender.finish();
            let finished = run(&a, &arguments);
            assert_eq!(code(&finished), 0, "{finished:?}");
            receiver.finish();
        }
        assert_same(&Path::new(&into).join("from"), Path::new(&from));
    }
}

fn complete(a: &Host, b: &Host, arguments: &[&str], into: &str) {
    let receiver = receive(b, "b", into, GROUP, &["--once"]);
    let finished = run(a, arguments);
    assert_eq!(code(&finished), 0, "{finished:?}");
    receiver.finish();
}

/// The bytes of all files in a folder.
fn on_disk(folder: &Path) -> u64 {
    let mut sum = 0;
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        // What is renamed meanwhile is missed once.
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

/// That what has a name has the right content, and that there are no more temporary files than files.
fn assert_nothing_is_wrong(into: &str, from: &str) {
    let (into, from) = (Path::new(into).join("from"), Path::new(from));
    let Ok(entries) = fs::read_dir(&into) else {
        return;
    };
    let mut left = 0;
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(".manycast-") && name.ends_with(".part") {
            left += 1;
        } else {
            let same = fs::read(into.join(&name)).unwrap() == fs::read(from.join(&name)).unwrap();
            assert!(same, "{name} has another content");
        }
    }
    assert!(left <= 3, "{left} temporary files");
}

/// Ctrl-C ends it with what is known until then, and exit code 1.
pub(crate) fn an_interrupt_tells_what_is_known() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("interrupt");
    let from = folder.fill(20_000_000);
    let into = folder.sub("into");
    let receiver = receive(&b, "b", &into, GROUP, &["--once"]);
    let mut sender = start(
        &a,
        &[
            "send-files",
            &from,
            GROUP,
            "--receivers",
            "1",
            "--rate",
            "20M",
        ],
    );
    sender.wait_for_error_line("% sent");
    sender.interrupt();
    let finished = sender.finish();
    assert_eq!(code(&finished), 1, "{finished:?}");
    assert!(
        finished
            .stdout
            .last()
            .unwrap()
            .starts_with("stopped; 24 files, "),
        "{finished:?}"
    );
    // The receiver is told, and keeps what is complete.
    assert_eq!(code(&receiver.finish()), 1);
    let left = names(Path::new(&into));
    assert!(
        left.iter()
            .all(|name| !name.contains("part") && !name.ends_with("large")),
        "{left:?}"
    );
}

/// What a receiver has in memory does not grow with the files.
pub(crate) fn a_receiver_needs_no_more_for_a_large_file() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("memory");
    let peaks = [2_000_000, 120_000_000].map(|length| {
        let from = folder.text(&format!("file-{length}"));
        fs::write(&from, vec![7; length]).unwrap();
        let mut receiver = receive(&b, "b", &folder.sub("into"), GROUP, &[]);
        let arguments = [
            "send-files",
            &from,
            GROUP,
            "--receivers",
            "1",
            "--rate",
            "400M",
        ];
        let sent = run(&a, &arguments);
        assert_eq!(code(&sent), 0, "{sent:?}");
        receiver.wait_for_line("\"event\":\"ended\"");
        // `proc_pid_status(5)`: the most that it had in memory, in kB.
        let status = fs::read_to_string(format!("/proc/{}/status", receiver.id())).unwrap();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        send_signal(&receiver, "-INT");
        receiver.finish();
        peak
    });
    // What waits for the disk is 32 MiB at most, of 120 MB that came.
    assert!(peaks[1] < peaks[0] + 50_000, "{peaks:?} kB");
}

/// A stream goes through pipes, in order and whole, where each receiver loses something.
pub(crate) fn a_stream_comes_whole_and_in_order() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("stream");
    let bytes = content(3_000_000);
    let from = folder.text("from");
    fs::write(&from, &bytes).unwrap();
    let receivers = [(&b, "b"), (&c, "c")].map(|(host, name)| {
        host.lose("eth0", Pick::Percent(5));
        let into = folder.text(name);
        let line = format!(
            "exec {} receive-stream {GROUP} --name {name} -t 30 > {into}",
            crate::BINARY
        );
        let mut shell = host.command("sh");
        shell.args(["-c", &line]);
        let mut receiver = Process::start(&mut shell);
        receiver.wait_for_error_line("receiving as");
        (receiver, into)
    });
    let line = format!(
        "exec {} send-stream {GROUP} --receiver b --receiver c --rate 50M --json < {from}",
        crate::BINARY
    );
    let mut shell = a.command("sh");
    shell.args(["-c", &line]);
    let sent = Process::start(&mut shell).finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    let told = json(sent.stdout.last().unwrap());
    assert_eq!(
        (&told["complete"], &told["bytes"]),
        (&true.into(), &3_000_000.into())
    );
    assert!(told["repairs"].as_u64().unwrap() > 0);
    for (receiver, into) in receivers {
        let finished = receiver.finish();
        assert_eq!(code(&finished), 0, "{finished:?}");
        assert!(fs::read(into).unwrap() == bytes);
    }
    // Who is not there is waited for, and then named.
    let absent = run(
        &a,
        &["send-stream", GROUP, "--receiver", "d", "--wait", "300ms"],
    );
    assert_eq!(code(&absent), 1, "{absent:?}");
    assert!(
        absent.stderr[0].contains("d did not answer; start 'manycast receive-stream'"),
        "{absent:?}"
    );
}
