//! Files to many over loopback: what comes, what is there already, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

mod hashed;
mod resumed;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use manycast::transfer::files::{
    self, Error, FileState, ReceiveEvent, ReceiveOptions, ReceiveReport, Receiving, SendEvent,
    SendOptions, SendReport, Sending, Stop,
};

/// A folder to send from and folders to receive into.
struct Site {
    folder: tempfile::TempDir,
    address: String,
}

impl Site {
    /// Each test has a port of its own, so that tests do not hear each other.
    fn new(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("from")).unwrap();
        Self {
            folder,
            address: format!("239.192.77.1%lo:{port}"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file to send.
    fn file(&self, name: &str, content: &[u8]) {
        let path = self.path("from").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn target(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A receiver that listens.
    fn receive(&self, name: &str, change: impl FnOnce(&mut ReceiveOptions)) -> Receiver {
        let mut options = ReceiveOptions::default();
        options.name = name.to_owned();
        options.count = Some(1);
        options.timeout = Some(Duration::from_secs(30));
        change(&mut options);
        let receiving = Receiving::new([&*self.address], self.target(name), options).unwrap();
        let stop = receiving.stopper();
        let (tell, events) = mpsc::channel();
        let thread = thread::spawn(move || {
            receiving.run(|event| {
                let _ = tell.send(event);
            })
        });
        let listening = events.recv().unwrap();
        assert!(matches!(listening, ReceiveEvent::Listening { .. }));
        Receiver {
            thread,
            events,
            stop,
        }
    }

    fn send(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut SendOptions),
    ) -> Result<SendReport, Error> {
        let mut options = SendOptions::default();
        options.round_trip = Duration::from_millis(5);
        change(&mut options);
        let paths = names.iter().map(|name| self.path("from").join(name));
        files::send_files(&*self.address, paths, options)
    }
}

struct Receiver {
    thread: JoinHandle<Result<ReceiveReport, Error>>,
    events: mpsc::Receiver<ReceiveEvent>,
    stop: Stop,
}

impl Receiver {
    fn report(self) -> ReceiveReport {
        self.thread.join().unwrap().unwrap()
    }
}

/// A content whose length is no multiple of anything, and that is no text.
fn content(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

fn expect(names: &[&str]) -> impl FnOnce(&mut SendOptions) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    move |options| options.names = names
}

/// The names in a folder and below, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
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

/// The name that a file has until it is complete.
fn temporary(path: &str) -> String {
    format!(
        ".manycast-{}.part",
        &blake3::hash(path.as_bytes()).to_hex()[..16]
    )
}

#[test]
fn a_folder_comes_whole_to_all() {
    let site = Site::new(5101);
    let large = content(3_000_001);
    site.file("d/large", &large);
    site.file("d/empty", b"");
    site.file("d/deep/er/one", b"1");
    site.file("alone", b"alone");
    fs::create_dir(site.path("from/d/nothing")).unwrap();
    let mode = fs::Permissions::from_mode(0o750);
    fs::set_permissions(site.path("from/d/large"), mode).unwrap();
    let receivers = ["a", "b", "c"].map(|name| site.receive(name, |_| {}));
    let report = site
        .send(&["d", "alone"], expect(&["a", "b", "c"]))
        .unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!((report.receivers.len(), report.files.len()), (3, 8));
    assert_eq!((report.bytes, report.sent), (3_000_007, 3_000_007));
    for (receiver, name) in receivers.into_iter().zip(["a", "b", "c"]) {
        let received = receiver.report();
        assert!(received.deliveries[0].is_complete() && received.deliveries[0].has_ended);
        let into = site.path(name);
        assert_eq!(
            names(&into),
            [
                "alone",
                "d",
                "d/deep",
                "d/deep/er",
                "d/deep/er/one",
                "d/empty",
                "d/large",
                "d/nothing"
            ]
        );
        assert!(fs::read(into.join("d/large")).unwrap() == large);
        let (there, here) = (
            fs::metadata(into.join("d/large")).unwrap(),
            fs::metadata(site.path("from/d/large")).unwrap(),
        );
        assert_eq!(there.mode() & 0o777, 0o750);
        let time = |it: &fs::Metadata| (it.mtime(), it.mtime_nsec());
        assert_eq!(time(&there), time(&here));
    }
}

#[test]
fn what_is_there_is_not_sent_again() {
    let site = Site::new(5102);
    let (large, small) = (content(4_000_000), content(5_000));
    site.file("large", &large);
    site.file("small", &small);
    fs::write(site.target("a").join("large"), &large).unwrap();
    let receiver = site.receive("a", |_| {});
    let report = site.send(&["large", "small"], expect(&["a"])).unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert!(report.datagrams < 20, "{}", report.datagrams);
    assert_eq!((report.bytes, report.sent), (4_005_000, 5_000));
    assert!(receiver.report().deliveries[0].is_complete());
    assert!(fs::read(site.path("a/large")).unwrap() == large);
}

#[test]
fn another_content_is_replaced_only_where_that_is_allowed() {
    let site = Site::new(5103);
    site.file("file", b"new");
    site.file("other", b"other");
    for (name, overwrite) in [("keeps", false), ("replaces", true)] {
        fs::write(site.target(name).join("file"), b"old").unwrap();
        let receiver = site.receive(name, |options| options.overwrite = overwrite);
        let report = site.send(&["file", "other"], expect(&[name])).unwrap();
        assert_eq!(report.is_complete(), overwrite);
        let delivered = &receiver.report().deliveries[0];
        assert_eq!(delivered.is_complete(), overwrite);
        let expected = if overwrite { &b"new"[..] } else { b"old" };
        assert_eq!(fs::read(site.path(name).join("file")).unwrap(), expected);
        assert_eq!(fs::read(site.path(name).join("other")).unwrap(), b"other");
        if !overwrite {
            let FileState::Failed(why) = &report.receivers[0].files[0] else {
                panic!("{report:#?}");
            };
            assert!(
                why.ends_with(
                    "keeps/file: it is there already with other content; let it be replaced \
                               with --overwrite"
                ),
                "{why}"
            );
            assert_eq!(delivered.files[0].1, report.receivers[0].files[0]);
        }
    }
}

/// What does not fit into one report is asked for, however often that needs be.
#[test]
fn it_is_known_of_each_of_many_files_that_differ() {
    let site = Site::new(5120);
    let target = site.target("r");
    let all: Vec<_> = (0..600).map(|at| format!("{at:03}")).collect();
    for (at, name) in all.iter().enumerate() {
        site.file(name, b"new");
        if at % 2 == 0 {
            fs::write(target.join(name), b"old").unwrap();
        }
    }
    let receiver = site.receive("r", |_| {});
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let report = site.send(&all, expect(&["r"])).unwrap();
    for (at, state) in report.receivers[0].files.iter().enumerate() {
        match state {
            FileState::Verified => assert_eq!(at % 2, 1),
            FileState::Failed(_) => assert_eq!(at % 2, 0),
            other => panic!("{at}: {other:?}"),
        }
    }
    receiver.report();
}

#[test]
fn a_delivery_has_no_more_than_its_limit() {
    let site = Site::new(5104);
    site.file("a", &content(30_000));
    site.file("b", &content(30_000));
    let receiver = site.receive("r", |options| options.limit = 50_000);
    let report = site.send(&["a", "b"], expect(&["r"])).unwrap();
    assert_eq!(report.receivers[0].files[0], FileState::Verified);
    let FileState::Failed(why) = &report.receivers[0].files[1] else {
        panic!("{report:#?}");
    };
    assert_eq!(
        why,
        "cannot write b: with it the sender would have sent more than 50000 bytes; allow more with \
         --limit"
    );
    let is_it = |event| match event {
        ReceiveEvent::File { path, state, .. } => {
            path == "b" && state == report.receivers[0].files[1]
        }
        _ => false,
    };
    assert!(receiver.events.iter().any(is_it), "it tells of both files");
    receiver.report();
    assert_eq!(names(&site.path("r")), ["a"]);
}

/// A link in the folder of a receiver that leads out of it is not followed, for a file and for what is
/// above it; what is a link itself is not written through.
#[test]
fn links_lead_nowhere() {
    let site = Site::new(5105);
    site.file("out/file", b"1");
    site.file("inside/file", b"2");
    let (into, outside) = (site.target("r"), site.target("outside"));
    symlink(&outside, into.join("out")).unwrap();
    fs::create_dir(into.join("inside")).unwrap();
    symlink(outside.join("target"), into.join("inside/file")).unwrap();
    let receiver = site.receive("r", |options| options.overwrite = true);
    let report = site.send(&["out", "inside"], expect(&["r"])).unwrap();
    receiver.report();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let state = |path: &str| {
        let at = report.files.iter().position(|it| it.path == path).unwrap();
        report.receivers[0].files[at].clone()
    };
    for path in ["out/file", "inside/file"] {
        let FileState::Failed(why) = state(path) else {
            panic!("{path}: {report:#?}");
        };
        assert!(
            why.contains("a link leads out of the folder: remove it"),
            "{why}"
        );
    }
    assert_eq!(names(&into), ["inside", "inside/file", "out"]);
}

#[test]
fn what_cannot_be_sent_is_told_with_a_sentence() {
    let site = Site::new(5106);
    let error = |names: &[&str]| site.send(names, |_| {}).unwrap_err().to_string();
    site.file("links/file", b"");
    symlink("file", site.path("from/links/link")).unwrap();
    assert!(error(&["links"]).ends_with(
        "links/link: it is a link; leave out links (--skip-links), or send what it leads to"
    ));
    site.file("cases/a", b"");
    site.file("cases/A", b"");
    assert!(
        error(&["cases"]).contains("\"cases/a\" and \"cases/A\" differ in nothing but case; leave"),
        "{}",
        error(&["cases"])
    );
    site.file("reserved/nul", b"");
    assert!(error(&["reserved"]).contains("has a part that is reserved elsewhere"));
    assert!(error(&["missing"]).contains("No such file or directory (os error 2); see whether"));
    assert!(error(&["links/file", "links/file"]).contains("\"file\" is there twice"));
    let nothing = site.send(&[], |_| {}).unwrap_err().to_string();
    assert_eq!(nothing, "there is nothing to send");
    let name = site.send(&["links/file"], expect(&["a\n"])).unwrap_err();
    assert!(name.to_string().contains("is no name of a receiver"));
}

#[test]
fn links_are_left_out_where_that_is_asked_for() {
    let site = Site::new(5123);
    site.file("d/file", b"1");
    symlink("file", site.path("from/d/link")).unwrap();
    symlink("..", site.path("from/d/loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("from/d/socket")).unwrap();
    let mut options = SendOptions::default();
    options.skip_links = true;
    let send = |name: &str| {
        let path = site.path("from").join(name);
        let sending = Sending::new(&*site.address, [path], options.clone()).unwrap();
        let mut warnings = Vec::new();
        let report = sending.run(|event| {
            if let SendEvent::Warning(warning) = event {
                warnings.push(warning);
            }
        });
        (report, warnings)
    };
    let (report, warnings) = send("d");
    let sent: Vec<_> = report
        .unwrap()
        .files
        .into_iter()
        .map(|it| it.path)
        .collect();
    assert_eq!(sent, ["d", "d/file"]);
    assert_eq!(warnings.len(), 1);
    for name in ["d/link", "d/loop", "d/socket"] {
        assert!(warnings[0].contains(name), "{warnings:?}");
    }
    let nothing = send("d/link").0.unwrap_err().to_string();
    assert_eq!(nothing, "there is nothing to send but what is left out");
}

#[test]
fn without_receivers_it_ends_and_knows_of_nobody() {
    let site = Site::new(5107);
    site.file("file", &content(100_000));
    let report = site.send(&["file"], |_| {}).unwrap();
    assert!(report.is_complete() && report.receivers.is_empty());
    assert_eq!(report.sent, 100_000);
    let report = site
        .send(&["file"], |options| {
            options.names = vec!["nobody".to_owned()];
            options.wait = Duration::from_millis(300);
        })
        .unwrap();
    assert!(!report.is_complete() && !report.receivers[0].is_heard);
    assert_eq!(report.receivers[0].files, [FileState::Incomplete]);
}

/// One that begins to listen while files are sent gets what it has missed in another round.
#[test]
fn a_late_receiver_gets_all() {
    let site = Site::new(5108);
    for index in 0..150 {
        site.file(&format!("d/{index}"), &content(10_000 + index));
    }
    let first = site.receive("first", |_| {});
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            site.send(&["d"], |options| {
                options.names = vec!["first".to_owned(), "late".to_owned()];
                options.wait = Duration::from_secs(10);
                options.receivers = 1;
            })
        });
        // It waits for the late one; the first has its manifest by then.
        while !matches!(first.events.recv(), Ok(ReceiveEvent::Began { .. })) {}
        let late = site.receive("late", |_| {});
        let report = sending.join().unwrap().unwrap();
        assert!(report.is_complete(), "{report:#?}");
        assert!(late.report().deliveries[0].is_complete());
    });
    assert!(first.report().deliveries[0].is_complete());
    assert_eq!(names(&site.path("late")).len(), 151);
}

#[test]
fn a_receiver_that_is_stopped_leaves_no_wrong_file_and_a_new_one_completes() {
    let site = Site::new(5109);
    let large = content(8_000_000);
    site.file("small", b"small");
    site.file("large", &large);
    let first = site.receive("r", |_| {});
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            site.send(&["small", "large"], |options| {
                options.names = vec!["r".to_owned()];
                options.rate = 60_000_000;
            })
        });
        // In the midst of the large file.
        loop {
            match first.events.recv().unwrap() {
                ReceiveEvent::Progress { bytes, .. } if bytes > 1_000_000 => break,
                _ => {}
            }
        }
        first.stop.stop();
        assert!(first.report().stopped);
        let left = names(&site.path("r"));
        let part = temporary("large");
        let mut left = left.iter();
        assert!(left.all(|name| name == "small" || *name == part));
        let again = site.receive("r", |_| {});
        let report = sending.join().unwrap().unwrap();
        assert!(report.is_complete(), "{report:#?}");
        assert!(again.report().deliveries[0].is_complete());
    });
    assert!(fs::read(site.path("r/large")).unwrap() == large);
    assert_eq!(names(&site.path("r")), ["large", "small"]);
}

#[test]
fn a_file_that_changes_meanwhile_is_told() {
    let site = Site::new(5111);
    site.file("gone", &content(100_000));
    site.file("stays", b"stays");
    let receiver = site.receive("r", |_| {});
    let mut options = SendOptions::default();
    options.names = vec!["r".to_owned()];
    options.wait = Duration::from_secs(1);
    let paths = ["gone", "stays"].map(|name| site.path("from").join(name));
    let sending = Sending::new(&*site.address, &paths, options).unwrap();
    let report = sending
        .run(|event| {
            if let SendEvent::Started { .. } = event {
                fs::write(&paths[0], b"other").unwrap();
            }
        })
        .unwrap();
    let FileState::Failed(why) = &report.receivers[0].files[0] else {
        panic!("{report:#?}");
    };
    assert!(
        why.contains("it was changed since it was first read"),
        "{why}"
    );
    assert_eq!(report.receivers[0].files[1], FileState::Verified);
    receiver.report();
    assert_eq!(names(&site.path("r")), ["stays"]);
}

/// Neither its length nor that it is open tells it: what has come is not what was promised.
#[test]
fn a_file_that_changes_while_it_is_sent_is_told() {
    let site = Site::new(5121);
    site.file("file", &content(20_000_000));
    let receiver = site.receive("r", |_| {});
    let mut options = SendOptions::default();
    options.names = vec!["r".to_owned()];
    options.wait = Duration::from_secs(1);
    options.rate = 100_000_000;
    let path = site.path("from/file");
    let sending = Sending::new(&*site.address, [&path], options).unwrap();
    let mut other = Some(vec![7; 20_000_000]);
    let report = sending
        .run(|event| {
            let SendEvent::Progress(progress) = event else {
                return;
            };
            if progress.datagrams > 0
                && let Some(other) = other.take()
            {
                fs::write(&path, other).unwrap();
            }
        })
        .unwrap();
    let FileState::Failed(why) = &report.receivers[0].files[0] else {
        panic!("{report:#?}");
    };
    assert!(why.contains("it was changed since it was first read"));
    receiver.report();
    // It never gets its name. What has come stays for another attempt, which begins anew.
    let left = names(&site.path("r"));
    assert!(left.iter().all(|name| name.ends_with(".part")), "{left:?}");
}

#[test]
fn two_of_one_name_are_told_of() {
    let site = Site::new(5112);
    site.file("file", &content(2_000_000));
    let receivers = ["x", "y"].map(|folder| {
        // Each has a folder of its own, but the name of the other.
        let mut options = ReceiveOptions::default();
        options.name = "same".to_owned();
        let into = site.target(folder);
        let receiving = Receiving::new([&*site.address], into, options).unwrap();
        let stop = receiving.stopper();
        let (listening, is_there) = mpsc::channel();
        let thread = thread::spawn(move || {
            receiving.run(move |_| {
                let _ = listening.send(());
            })
        });
        is_there.recv().unwrap();
        (stop, thread)
    });
    let mut options = SendOptions::default();
    options.names = vec!["same".to_owned()];
    options.rate = 20_000_000;
    let path = site.path("from/file");
    let sending = Sending::new(&*site.address, [path], options).unwrap();
    let (mut warnings, mut told_after) = (Vec::new(), 0);
    sending
        .run(|event| match event {
            SendEvent::Warning(warning) => warnings.push(warning),
            SendEvent::File { .. } if !warnings.is_empty() => told_after += 1,
            _ => {}
        })
        .unwrap();
    assert_eq!(
        warnings,
        ["two receivers call themselves same; give each a name of its own with --name"]
    );
    // What one says is taken back by the other, and would be told without end.
    assert_eq!(told_after, 0);
    for (stop, thread) in receivers {
        stop.stop();
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn futures_do_the_same() {
    let site = Site::new(5113);
    site.file("file", b"content");
    let mut options = ReceiveOptions::default();
    options.name = "r".to_owned();
    options.count = Some(1);
    let receiving = Receiving::new([&*site.address], site.target("r"), options).unwrap();
    let (listening, is_there) = mpsc::channel();
    let receiver = tokio::spawn(files::tokio::receive(receiving, move |_| {
        let _ = listening.send(());
    }));
    tokio::task::spawn_blocking(move || is_there.recv().unwrap())
        .await
        .unwrap();
    let mut options = SendOptions::default();
    options.names = vec!["r".to_owned()];
    let path = site.path("from/file");
    let report = files::tokio::send_files(&*site.address, [path], options)
        .await
        .unwrap();
    assert!(report.is_complete());
    assert!(receiver.await.unwrap().unwrap().deliveries[0].is_complete());
    assert_eq!(fs::read(site.path("r/file")).unwrap(), b"content");
}
