//! Files to many, where either end ends before its time, or is not alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use manycast_lab::netns::{Lab, Pick, Process};

use crate::files::{Folder, assert_same, begin, content, names, receive, report, send};
use crate::{code, hosts_on, json, send_signal};

/// Numbers from a seed that is printed, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("SEED").map_or_else(
            |_| u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos()),
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
/// temporary file of what was on its way; who is started again completes, and a receiver beside it is
/// not disturbed. `KILLS` sets how often, `SEED` when and whom; a test has 120 s, which is enough for
/// some 40.
pub(crate) fn whoever_is_killed_at_any_time_leaves_no_wrong_file() {
    let kills: u64 = std::env::var("KILLS").map_or(6, |kills| kills.parse().unwrap());
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("killed");
    let from = folder.sub("from");
    let sizes = [300_000, 1_500_000, 5_000];
    for (index, size) in sizes.into_iter().enumerate() {
        fs::write(Path::new(&from).join(index.to_string()), content(size)).unwrap();
    }
    let total: u64 = sizes.iter().map(|size| *size as u64).sum();
    b.lose("eth0", Pick::Percent(3));
    let [into, beside] = ["b", "c"].map(|name| folder.sub(name));
    let mut dice = Dice::new();
    let options = "--receiver b --receiver c --rate 40M --wait 2";
    let mut killed = [0, 0];
    for turn in 0..kills {
        for folder in [&into, &beside] {
            fs::remove_dir_all(folder).unwrap();
            fs::create_dir(folder).unwrap();
        }
        let bystander = receive(&c, "c", &beside, "");
        let mut receiver = receive(&b, "b", &into, "");
        let mut sender = begin(&a, &from, options);
        // When so much is on the disk, somebody is killed; or when the sender is through.
        let point = dice.below(total * 11 / 10);
        while on_disk(Path::new(&into)) < point && sender.is_running() {
            std::thread::yield_now();
        }
        let (kills_receiver, kills_sender) =
            [(true, false), (false, true), (true, true)][usize::try_from(dice.below(3)).unwrap()];
        if kills_receiver {
            send_signal(&receiver, "-KILL");
            receiver.finish();
            assert_nothing_is_wrong(&into, &from);
            receiver = receive(&b, "b", &into, "");
            killed[0] += 1;
        }
        if kills_sender && sender.is_running() {
            send_signal(&sender, "-KILL");
            killed[1] += 1;
        }
        let finished = sender.finish();
        if finished.status.code() != Some(0) {
            // Who was started again came too late for it, or it was killed itself.
            let finished = send(&a, &from, options);
            assert_eq!(code(&finished), 0, "turn {turn}: {finished:?}");
        }
        for folder in [&into, &beside] {
            assert_same(&Path::new(folder).join("from"), Path::new(&from));
        }
        for receiver in [receiver, bystander] {
            send_signal(&receiver, "-KILL");
            receiver.finish();
        }
    }
    println!("killed {} receivers, {} senders", killed[0], killed[1]);
}

/// The bytes of all files in a folder that were written.
fn on_disk(folder: &Path) -> u64 {
    let mut sum = 0;
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        // What is renamed meanwhile is missed once.
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                // `stat(2)`: blocks of 512 bytes; of what was not written there are none.
                Ok(metadata) => sum += metadata.len().min(metadata.blocks() * 512),
                Err(_) => {}
            }
        }
    }
    sum
}

/// That what has a name has the right content, and each that has not one temporary file at most.
fn assert_nothing_is_wrong(into: &str, from: &str) {
    let (into, from) = (Path::new(into).join("from"), Path::new(from));
    let Ok(entries) = fs::read_dir(&into) else {
        return;
    };
    let (mut left, mut there) = (0, 0);
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(".manycast-") && name.ends_with(".part") {
            left += 1;
        } else {
            let same = fs::read(into.join(&name)).unwrap() == fs::read(from.join(&name)).unwrap();
            assert!(same, "{name} has another content");
            there += 1;
        }
    }
    assert!(left + there <= 3, "{left} temporary files");
}

/// Killed half way through a large file, a receiver that is started again does not ask for what the
/// first had.
pub(crate) fn who_is_killed_within_a_file_goes_on_there() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("within");
    let from = folder.text("large");
    fs::write(&from, content(6_000_000)).unwrap();
    let into = folder.sub("into");
    let receiver = receive(&b, "b", &into, "");
    let mut sender = begin(&a, &from, "--receiver b --rate 10M --json");
    while on_disk(Path::new(&into)) < 3_300_000 && sender.is_running() {
        std::thread::yield_now();
    }
    // However long it takes until the receiver is there again, the file is still on its way.
    send_signal(&sender, "-STOP");
    send_signal(&receiver, "-KILL");
    receiver.finish();
    let again = receive(&b, "b", &into, "--once");
    send_signal(&sender, "-CONT");
    let sent = sender.finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert_eq!(code(&again.finish()), 0);
    assert_eq!(names(Path::new(&into)), ["large"]);
    assert!(fs::read(&from).unwrap() == fs::read(Path::new(&into).join("large")).unwrap());
    let told = report(&sent);
    let count = |name: &str| told[name].as_u64().unwrap();
    // 112 bytes of each packet are headers.
    let whole = 6_000_000 / (1500 - 112);
    let all = count("datagrams") + count("repairs");
    assert!(all < whole * 14 / 10, "{told}");
}

/// A receiver hears nothing of its sender for so long that it takes it to be gone. When the network is
/// there again the delivery goes on, and both ends tell that it is complete.
pub(crate) fn a_network_that_is_gone_for_seconds_does_not_end_a_delivery() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("outage");
    let from = folder.fill(6_000_000);
    let into = folder.sub("into");
    let mut receiver = receive(&b, "b", &into, "--once -t 60");
    let mut sender = begin(&a, &from, "--receiver b --rate 10M --json");
    while on_disk(Path::new(&into)) < 1_500_000 && sender.is_running() {
        std::thread::yield_now();
    }
    let outage = b.lose("eth0", Pick::All);
    receiver.wait_for_error_line("fell silent");
    outage.remove();
    let (sent, received) = (sender.finish(), receiver.finish());
    assert_eq!(code(&sent), 0, "{sent:?} {received:?}");
    assert_eq!(code(&received), 0, "{received:?}");
    assert_same(&Path::new(&into).join("from"), Path::new(&from));
}

/// Two receivers have one folder, on one host or by a network: each file is received by one of them
/// and found there by the other, and both are told what the matter is; by one name too.
pub(crate) fn two_receivers_can_have_one_folder() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("shared");
    let from = folder.fill(3_000_000);
    for (names, expected) in [
        (["b", "c"], "--receivers 2"),
        (["same", "same"], "--receivers 1"),
    ] {
        let into = folder.sub(names[0]);
        let receivers = [(&b, names[0]), (&c, names[1])]
            .map(|(host, name)| receive(host, name, &into, "--once -t 60"));
        let sent = send(&a, &from, &format!("{expected} --json --rate 40M"));
        let finished = receivers.map(Process::finish);
        assert_same(&Path::new(&into).join("from"), Path::new(&from));
        let errors: Vec<_> = finished.iter().flat_map(|it| &it.stderr).collect();
        let busy = "another process is receiving it into the same folder; choose another folder";
        assert!(errors.iter().any(|it| it.contains(busy)), "{errors:?}");
        match names[0] == names[1] {
            false => {
                assert_eq!(code(&sent), 0, "{sent:?}");
                finished
                    .iter()
                    .for_each(|it| assert_eq!(code(it), 0, "{it:?}"));
            }
            true => {
                let warning = "two receivers call themselves same; give each a name of its own";
                assert!(
                    sent.stderr.iter().any(|it| it.contains(warning)),
                    "{sent:?}"
                );
            }
        }
    }
}

/// Two senders to one group and folder at once: what differs in its path comes of both, and what does
/// not of one, whole. The other is told why not.
pub(crate) fn two_senders_do_not_mix() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("senders");
    let [one, two] = ["one", "two"].map(|name| {
        let from = folder.sub(name);
        let length = 2_000_000 + name.len() * usize::from(name.as_bytes()[0]);
        fs::create_dir(Path::new(&from).join("d")).unwrap();
        fs::write(Path::new(&from).join("d/both"), content(length)).unwrap();
        fs::write(Path::new(&from).join("d").join(name), content(length)).unwrap();
        format!("{from}/d")
    });
    let into = folder.sub("into");
    let receiver = receive(&c, "c", &into, "--count 2 -t 60");
    let senders = [(&a, &one), (&b, &two)]
        .map(|(host, from)| begin(host, from, "--receiver c --rate 20M --json"));
    let sent = senders.map(Process::finish);
    let received = receiver.finish();
    let mut codes = sent.iter().map(code).collect::<Vec<_>>();
    codes.sort_unstable();
    assert_eq!(codes, [0, 1], "{sent:?} {received:?}");
    let first = sent.iter().position(|it| code(it) == 0).unwrap();
    let expected = Path::new([&one, &two][first]).join("both");
    let both = Path::new(&into).join("d/both");
    assert!(fs::read(expected).unwrap() == fs::read(both).unwrap());
    assert_eq!(names(Path::new(&into)), ["d", "d/both", "d/one", "d/two"]);
    let told = report(&sent[1 - first]);
    let files = told["receivers"][0]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "d/both").unwrap();
    let why = file["error"].as_str().unwrap_or_else(|| panic!("{file}"));
    assert!(
        why.contains("another sender is sending it with other content")
            || why.contains("it is there already with other content"),
        "{why}"
    );
    let ended = received.stdout.iter().map(|line| json(line));
    assert_eq!(ended.filter(|it| it["event"] == "ended").count(), 2);
}

/// One that was there and says nothing more, and one that was not there at all.
pub(crate) fn who_falls_silent_is_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("silent");
    let from = folder.fill(10_000_000);
    let receiver = receive(&b, "b", &folder.sub("into"), "");
    let options = "--receiver b --receiver absent --wait 1 --rate 10M";
    let mut sender = begin(&a, &from, options);
    sender.wait_for_error_line("waiting for absent");
    sender.wait_for_error_line("; b 2");
    send_signal(&receiver, "-KILL");
    sender.wait_for_error_line(" %, silent for 3 s");
    let finished = sender.finish();
    let told = finished.stdout.join("\n");
    assert!(told.contains("lost; not heard for the last "), "{told}");
    assert!(told.contains("absent: was not heard of"), "{told}");
}

/// Ctrl-C ends it with what is known until then, and exit code 1.
pub(crate) fn an_interrupt_tells_what_is_known() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("interrupt");
    let from = folder.fill(20_000_000);
    let into = folder.sub("into");
    let receiver = receive(&b, "b", &into, "--once");
    let mut sender = begin(&a, &from, "--receivers 1 --rate 20M");
    sender.wait_for_error_line("% sent");
    sender.interrupt();
    let finished = sender.finish();
    assert_eq!(code(&finished), 1, "{finished:?}");
    assert!(
        finished
            .stdout
            .last()
            .unwrap()
            .starts_with("stopped; 21 files and 3 folders, "),
        "{finished:?}"
    );
    // The receiver is told, and keeps what is complete; and of the large one a part, under another name.
    assert_eq!(code(&receiver.finish()), 1);
    let left = names(Path::new(&into));
    assert!(!left.iter().any(|name| name.ends_with("large")), "{left:?}");

    // So is who interrupts the receiver.
    let mut receiver = receive(&b, "b", &into, "");
    let mut sender = begin(&a, &from, "--receivers 1 --rate 20M");
    receiver.wait_for_line("\"event\":\"progress\"");
    receiver.interrupt();
    receiver.wait_for_error_line(" is not through: ");
    assert_eq!(code(&receiver.finish()), 1);
    sender.interrupt();
    sender.finish();
}
