//! Files to many, with this command at both ends, on networks that lose.

use std::fs;
use std::path::{Path, PathBuf};

use manycast_lab::netns::{self, Finished, Hook, Host, Lab, Pick, Process, RateLimit, wait_until};
use serde_json::Value;

use crate::{code, hosts_on, json, run, send_signal, start};

pub(crate) const GROUP: &str = "239.192.0.7:5013";

/// A folder that is gone at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A folder in it.
    pub(crate) fn sub(&self, name: &str) -> String {
        fs::create_dir_all(self.0.join(name)).unwrap();
        self.text(name)
    }

    /// A folder `from` with so many bytes in one file, and some small ones.
    pub(crate) fn fill(&self, length: usize) -> String {
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
pub(crate) fn content(length: usize) -> Vec<u8> {
    std::iter::successors(Some(length as u64 + 1), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

/// A receiver of the group that listens.
pub(crate) fn receive(host: &Host, name: &str, into: &str, options: &str) -> Process {
    receive_at(host, name, into, GROUP, options)
}

fn receive_at(host: &Host, name: &str, into: &str, address: &str, options: &str) -> Process {
    let arguments = ["receive-files", address, "--name", name, "--into", into];
    let options: Vec<_> = options.split_whitespace().collect();
    let mut receiver = start(host, &[&arguments[..], &["--json"], &options].concat());
    receiver.wait_for_line("\"event\":\"listening\"");
    receiver
}

/// Begins to send to the group.
pub(crate) fn begin(host: &Host, from: &str, options: &str) -> Process {
    begin_at(host, from, GROUP, options)
}

fn begin_at(host: &Host, from: &str, address: &str, options: &str) -> Process {
    let options: Vec<_> = options.split_whitespace().collect();
    start(
        host,
        &[&["send-files", from, address], &options[..]].concat(),
    )
}

/// Sends to the group, to the end.
pub(crate) fn send(host: &Host, from: &str, options: &str) -> Finished {
    begin(host, from, options).finish()
}

pub(crate) fn report(finished: &Finished) -> Value {
    let line = finished
        .stdout
        .last()
        .unwrap_or_else(|| panic!("{finished:?}"));
    let report = json(line);
    assert_eq!(report["event"], "report", "{finished:?}");
    report
}

/// That both folders have the same files, and nothing else.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let (ones, others) = (names(one), names(other));
    assert_eq!(ones, others);
    for name in ones.iter().filter(|name| one.join(name).is_file()) {
        let same = fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap();
        assert!(same, "{name} has another content");
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
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
    // What others chose is no tag on the page.
    fs::write(Path::new(&from).join("<script>alert(1)"), "").unwrap();
    for host in [&b, &c, &d] {
        host.lose("eth0", Pick::Percent(10));
    }
    let receivers = [(&b, "b"), (&c, "c"), (&d, "d")]
        .map(|(host, name)| receive(host, name, &folder.sub(name), "--once -t 60"));
    let page = folder.text("report.html");
    let options = format!("--receivers 3 --rate 50M --json --report {page}");
    let sent = send(&a, &from, &options);
    assert_eq!(code(&sent), 0, "{sent:?}");
    let told = report(&sent);
    assert_eq!(
        (&told["complete"], &told["files"]),
        (&true.into(), &25.into())
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
        assert_same(&folder.0.join(name).join("from"), Path::new(&from));
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
        assert tag != 'script'
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
/// without, most of what it sends is lost on the way, and it says so, once.
pub(crate) fn the_rate_follows_what_the_network_carries() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("rate");
    let from = folder.sub("from");
    fs::write(folder.0.join("from/large"), content(6_000_000)).unwrap();
    b.limit_rate("eth0", RateLimit::new(50_000_000));
    let lost = ["--congestion-control", "--parity=0"].map(|option| {
        let into = folder.sub(&option[2..6]);
        let receiver = receive(&b, "b", &into, "--once -t 30");
        let options = format!("--receiver b --json --rate 500M {option}");
        let sent = send(&a, &from, &options);
        assert_eq!(code(&sent), 0, "{sent:?}");
        assert_eq!(code(&receiver.finish()), 0);
        let warned = sent
            .stderr
            .iter()
            .filter(|it| it.contains("the rate may be more"));
        let loss = report(&sent)["receivers"][0]["loss"].as_f64().unwrap();
        (loss, warned.count())
    });
    assert!(lost[0].0 < lost[1].0 / 2.0, "{lost:?}");
    assert_eq!((lost[0].1, lost[1].1), (0, 1), "{lost:?}");
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
        let receiver = receive(host, name, &into, "--silent --once -t 20");
        (receiver, said, into)
    });
    let sent = send(&a, &from, "--parity 24 --rate 50M");
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
        receive_at(host, name, &folder.sub(name), group, "--once -t 60")
    });
    let options = "--receiver b --receiver c --json --rate 50M";
    let sent = begin_at(&a, &from, "232.1.1.1:5013", options).finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert!(report(&sent)["nacks"].as_u64().unwrap() > 0);
    for (receiver, name) in receivers.into_iter().zip(["b", "c"]) {
        assert_eq!(code(&receiver.finish()), 0);
        assert_same(&folder.0.join(name).join("from"), Path::new(&from));
    }
}

/// A full disk stops that receiver alone, with a sentence at both ends.
pub(crate) fn a_full_disk_stops_that_receiver_alone() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("full");
    let from = folder.fill(3_000_000);
    let (small, large) = (folder.sub("small"), folder.sub("large"));
    // The other one does not say how large it is.
    for (options, into) in [("tmpfs -o size=1m", &small), ("ramfs", &large)] {
        let mut mount = std::process::Command::new("mount");
        mount.arg("-t").args(options.split(' '));
        assert!(mount.args(["none", into]).status().unwrap().success());
    }
    let full = receive(&b, "full", &small, "--once -t 60");
    let roomy = receive(&c, "roomy", &large, "--once -t 60");
    let sent = send(&a, &from, "--receivers 2 --json --rate 50M");
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
    for into in [&small, &large] {
        let _ = std::process::Command::new("umount").arg(into).status();
    }
}

/// A host that refuses is given up after a second, or at the end where that comes before; a receiver that
/// is a little later gets all. Of a group where nobody is, nothing is known.
pub(crate) fn a_host_that_refuses_is_given_up_and_a_late_receiver_is_not() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("refuses");
    let (long, short) = (folder.text("long"), folder.text("short"));
    fs::write(&long, content(1_000_000)).unwrap();
    fs::write(&short, "short").unwrap();
    let to = "10.0.0.2:5013";
    // The long one would take a quarter of an hour.
    for (from, rate) in [(&long, "--rate 8k"), (&short, "")] {
        for line in [
            format!("send-files {from} {to} {rate}"),
            format!("send-stream {to} {rate} < {from}"),
        ] {
            let mut shell = a.command("sh");
            shell.args(["-c", &format!("exec {} {line}", crate::BINARY)]);
            let sent = Process::start(&mut shell).finish();
            assert_eq!(code(&sent), 1, "{line}: {sent:?}");
            let problem = sent.stderr.last().unwrap();
            let why = format!("manycast: nobody listens on {to}; start the receiver");
            assert!(problem.starts_with(&why), "{line}: {sent:?}");
        }
    }

    // The kernel lets six refusals go at once, and then ten a second.
    b.sysctl("net.ipv4.icmp_ratelimit", "100");
    for (into, options, refused) in [
        ("late", "--rate 2M", 1),
        ("waited-for", "--receivers 1 --wait 1m", 20),
    ] {
        let refusals = b.count_at(Hook::Output, "icmp type destination-unreachable");
        let sender = begin_at(&a, &long, to, &format!("{options} --json"));
        wait_until("refusals", || refusals.count() >= refused);
        let receiver = receive_at(&b, "b", &folder.sub(into), to, "--once");
        let sent = sender.finish();
        assert_eq!(code(&sent), 0, "{options}: {sent:?}");
        assert_eq!(report(&sent)["complete"], true, "{options}: {sent:?}");
        assert_eq!(code(&receiver.finish()), 0, "{options}");
    }

    // Who says nothing and leaves when it has all, so that the host refuses then, was there.
    let receiver = receive_at(&b, "b", &folder.sub("silent"), to, "--silent --once");
    let sent = begin_at(&a, &short, to, "--json").finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert_eq!(report(&sent)["complete"], Value::Null);
    assert_eq!(code(&receiver.finish()), 0);

    let sent = send(&a, &short, "--json");
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert_eq!(report(&sent)["complete"], Value::Null);
}

/// Where nothing can be written, that is told at the start, before anybody sends.
pub(crate) fn a_folder_that_cannot_be_written_is_told_at_the_start() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let folder = Folder::new("into");
    let (fixed, full) = (folder.sub("fixed"), folder.sub("full"));
    let file = folder.text("file");
    fs::write(&file, "").unwrap();
    for (into, options) in [(&fixed, "ro"), (&full, "size=4k")] {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs", into]);
        assert!(mount.status().unwrap().success());
    }
    fs::write(Path::new(&full).join("all"), [0; 4096]).unwrap();
    let missing = folder.text("missing");
    for (into, why) in [
        (
            &fixed,
            "Read-only file system (os error 30); choose another place",
        ),
        (
            &full,
            "No space left on device (os error 28); make room, or choose another place",
        ),
        (
            &file,
            "Not a directory (os error 20); choose another place: it, or what it lies in, is no folder",
        ),
        (
            &missing,
            "No such file or directory (os error 2); see whether it is there",
        ),
    ] {
        let finished = run(&a, &["receive-files", GROUP, "--into", into]);
        assert_eq!(code(&finished), 2, "{finished:?}");
        let expected = format!("manycast: cannot receive into {into}: {why}");
        assert_eq!(finished.stderr, [expected]);
    }
    for into in [&fixed, &full] {
        let _ = std::process::Command::new("umount").arg(into).status();
    }
}

/// It is known before anything is sent, and it is no fault of standard output.
pub(crate) fn a_report_that_cannot_be_written_is_told_at_the_start() {
    let lab = Lab::new();
    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("report");
    let from = folder.fill(1_000_000);
    for (page, why) in [
        (
            "missing/report.html",
            "No such file or directory (os error 2); make its folder first",
        ),
        (
            "from/large/report.html",
            "Not a directory (os error 20); choose another place",
        ),
        (
            "from",
            "Is a directory (os error 21); name a file in it, such as ",
        ),
    ] {
        let page = folder.text(page);
        let sent = send(&a, &from, &format!("--report {page}"));
        assert_eq!(code(&sent), 2, "{sent:?}");
        let told = format!("manycast: cannot write {page}: {why}");
        assert_eq!(sent.stderr.len(), 1, "{sent:?}");
        assert!(sent.stderr[0].starts_with(&told), "{sent:?}");
    }
}

/// A receiver behind a narrow link gets all, if later.
pub(crate) fn a_slow_receiver_gets_all() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("slow");
    let from = folder.fill(2_000_000);
    c.limit_rate("eth0", RateLimit::new(10_000_000));
    let receivers = [(&b, "fast"), (&c, "slow")]
        .map(|(host, name)| receive(host, name, &folder.sub(name), "--once -t 60"));
    let sent = send(&a, &from, "--receivers 2 --json --rate 20M");
    assert_eq!(code(&sent), 0, "{sent:?}");
    for (receiver, name) in receivers.into_iter().zip(["fast", "slow"]) {
        assert_eq!(code(&receiver.finish()), 0);
        assert_same(&folder.0.join(name).join("from"), Path::new(&from));
    }
}

/// Of what the receiver has already nothing is sent, and no rate is told of that.
pub(crate) fn what_is_there_is_not_counted_as_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("there");
    let from = folder.fill(1_000_000);
    let counts = ["--json", "--json", ""].map(|options| {
        let receiver = receive(&b, "b", &folder.sub("into"), "--once -t 60");
        let sent = send(&a, &from, &format!("--receivers 1 {options}"));
        assert_eq!(code(&sent), 0, "{sent:?}");
        assert_eq!(code(&receiver.finish()), 0);
        sent
    });
    let [first, second] = [&counts[0], &counts[1]].map(report);
    assert_eq!(first["sent_bytes"], first["bytes"]);
    assert_eq!(
        (&second["sent_bytes"], &second["bits_per_second"]),
        (&0.into(), &0.into())
    );
    let line = counts[2].stdout.last().unwrap();
    assert!(
        line.contains(" bytes, of which none was sent, in ") && !line.contains("bit/s"),
        "{line}"
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
        let mut receiver = receive(&b, "b", &folder.sub("into"), "");
        let sent = send(&a, &from, "--receivers 1 --rate 400M");
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
