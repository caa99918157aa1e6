//! Files by TFTP over loopback, and a folder that nothing leaves.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use manycast::proto::tftp::{ErrorCode, Failure, Mode, ServerConfig};
use manycast::transfer::tftp::{
    self, Error, Location, Options, Record, Server, ServerOptions, Transfer,
};

/// A server for `folder/root`, and where it is reached.
struct Site {
    folder: tempfile::TempDir,
    port: u16,
    stopper: manycast::Stopper,
    ended: mpsc::Receiver<Record>,
}

impl Site {
    fn new(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let root = folder.path().join("root");
        let mut server = Server::open(root, &[address], options).unwrap();
        let port = server.local_addrs()[0].port();
        let stopper = server.stopper().unwrap();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let on_event = |event| {
                if let tftp::Event::Ended(record) = event {
                    let _ = sender.send(record);
                }
            };
            server.run(on_event).unwrap();
        });
        Self {
            folder,
            port,
            stopper,
            ended,
        }
    }

    fn writable(overwrite: bool) -> Self {
        let mut options = ServerOptions::default();
        options.write = true;
        options.overwrite = overwrite;
        Self::new(options)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn location(&self, name: &str) -> Location {
        format!("127.0.0.1:{}/{name}", self.port).parse().unwrap()
    }

    /// So many records of transfers, once they have ended.
    fn records(&self, count: usize) -> Vec<Record> {
        self.ended.iter().take(count).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn bytes(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

fn refused(result: Result<tftp::Report, Error>) -> ErrorCode {
    match result {
        Err(Error::Transfer {
            failure: Failure::Refused(refusal),
            ..
        }) => refusal.code,
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_of_every_size_go_over_and_come_back() {
    for single_port in [false, true] {
        let mut options = ServerOptions::default();
        options.write = true;
        options.protocol.single_port = single_port;
        let site = Site::new(options);
        for (length, block_size) in [
            (0, None),
            (1, None),
            (512, Some(512)),
            (100_000, Some(1428)),
            (65_464 * 3, None),
            (20_000_000, None),
            (3_000_000, Some(1428)),
        ] {
            let content = bytes(length);
            let (here, back) = (site.path("here"), site.path("back"));
            fs::write(&here, &content).unwrap();
            let mut options = Options::default();
            options.block_size = block_size;
            let name = format!("{length}-{block_size:?}");
            let report = tftp::put(&here, &site.location(&name), &options).unwrap();
            assert_eq!(report.bytes, length as u64);
            let report = tftp::get(&site.location(&name), &back, &options).unwrap();
            assert_eq!(report.bytes, length as u64);
            assert!(fs::read(&back).unwrap() == content, "{name}");
        }
        let root = site.path("root");
        assert_eq!(
            names(&root).len(),
            7,
            "no temporary file is left: {:?}",
            names(&root)
        );
        let records = site.records(14);
        assert!(
            records.iter().all(|record| record.result.is_ok()),
            "{records:?}"
        );
    }
}

#[test]
fn text_is_turned_into_netascii_and_back() {
    let site = Site::writable(false);
    let text = "one\ntwo\r\n\nthree\r".repeat(1_000);
    fs::write(site.path("here"), &text).unwrap();
    let mut options = Options::default();
    options.mode = Mode::Netascii;
    tftp::put(site.path("here"), &site.location("text"), &options).unwrap();
    assert_eq!(fs::read_to_string(site.path("root/text")).unwrap(), text);
    tftp::get(&site.location("text"), site.path("back"), &options).unwrap();
    assert_eq!(fs::read_to_string(site.path("back")).unwrap(), text);
    // As it is on the wire.
    let plain = Options::default();
    tftp::get(&site.location("text"), site.path("back"), &plain).unwrap();
    assert_eq!(fs::read_to_string(site.path("back")).unwrap(), text);
}

#[test]
fn nothing_leaves_the_folder() {
    let site = Site::writable(true);
    fs::write(site.path("secret"), "secret").unwrap();
    fs::write(site.path("root/inside"), "inside").unwrap();
    fs::create_dir(site.path("root/sub")).unwrap();
    symlink(site.path("secret"), site.path("root/absolute")).unwrap();
    symlink("../secret", site.path("root/relative")).unwrap();
    symlink("..", site.path("root/up")).unwrap();
    symlink("inside", site.path("root/fine")).unwrap();
    let secret = site.path("secret").display().to_string();
    let back = site.path("back");
    let options = Options::default();
    for name in [
        "../secret",
        "sub/../../secret",
        "absolute",
        "relative",
        "up/secret",
        "sub",
        "/../secret",
        &secret,
    ] {
        let got = tftp::get(&site.location(name), &back, &options);
        let code = refused(got);
        assert!(
            [ErrorCode::AccessViolation, ErrorCode::FileNotFound].contains(&code),
            "{name}: {code:?}"
        );
        assert!(!back.exists());
        if name != "absolute" && name != "relative" {
            refused(tftp::put(
                site.path("secret"),
                &site.location(name),
                &options,
            ));
        }
    }
    assert_eq!(fs::read(site.path("secret")).unwrap(), b"secret");
    for name in ["inside", "/inside", "fine", "sub/../inside"] {
        tftp::get(&site.location(name), &back, &options).unwrap();
        assert_eq!(fs::read(&back).unwrap(), b"inside");
    }
    // A link is replaced, and what it leads to is not touched.
    fs::write(site.path("new"), "new").unwrap();
    let put = tftp::put(site.path("new"), &site.location("absolute"), &options);
    assert_eq!(refused(put), ErrorCode::AccessViolation);
    assert_eq!(fs::read(site.path("secret")).unwrap(), b"secret");
}

#[test]
fn a_server_is_for_reading_unless_it_is_told_otherwise() {
    let site = Site::new(ServerOptions::default());
    fs::write(site.path("here"), "new").unwrap();
    let put = |site: &Site| {
        let to = site.location("there");
        tftp::put(site.path("here"), &to, &Options::default())
    };
    assert_eq!(refused(put(&site)), ErrorCode::AccessViolation);
    assert!(names(&site.path("root")).is_empty());

    let site = Site::writable(false);
    fs::write(site.path("here"), "new").unwrap();
    put(&site).unwrap();
    assert_eq!(refused(put(&site)), ErrorCode::FileExists);

    let site = Site::writable(true);
    fs::write(site.path("here"), "new").unwrap();
    put(&site).unwrap();
    put(&site).unwrap();
    assert_eq!(names(&site.path("root")), ["there"]);
}

#[test]
fn a_file_that_is_too_large_is_refused_and_leaves_nothing() {
    let mut options = ServerOptions::default();
    options.write = true;
    options.max_size = Some(1_000_000);
    let site = Site::new(options);
    fs::write(site.path("here"), bytes(2_000_000)).unwrap();
    let to = site.location("there");
    let put = tftp::put(site.path("here"), &to, &Options::default());
    assert_eq!(refused(put), ErrorCode::DiskFull);
    // One that does not tell how long it is.
    let stream = fs::File::open(site.path("here")).unwrap();
    let put = Transfer::put_from(stream, &to, &Options::default()).unwrap();
    assert_eq!(refused(put.run(|_| {})), ErrorCode::DiskFull);
    site.records(2);
    assert!(names(&site.path("root")).is_empty());
}

#[test]
fn what_is_stopped_leaves_no_file() {
    let site = Site::writable(false);
    fs::write(site.path("root/large"), bytes(20_000_000)).unwrap();
    let target = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.block_size = Some(512);
    options.window = Some(1);
    let path = target.path().join("large");
    let mut get = Transfer::get(&site.location("large"), &path, &options).unwrap();
    let stopper = get.stopper().unwrap();
    let result = get.run(|progress| {
        assert_eq!(progress.total, Some(20_000_000));
        stopper.stop();
    });
    assert!(matches!(result, Err(Error::Stopped)), "{result:?}");
    assert!(
        names(target.path()).is_empty(),
        "{:?}",
        names(target.path())
    );

    let put = site.path("root/large");
    let mut put = Transfer::put(put, &site.location("copy"), &options).unwrap();
    let stopper = put.stopper().unwrap();
    assert!(put.run(|_| stopper.stop()).is_err());
    // The server hears of it by an error packet, and one of its threads lets go of the file.
    while names(&site.path("root")).len() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(names(&site.path("root")), ["large"]);
}

#[test]
fn who_is_not_there_is_named_with_what_to_do() {
    let free = manycast::Socket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let from: Location = format!("127.0.0.1:{port}/boot.bin").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = tftp::get(&from, folder.path().join("x"), &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot get boot.bin from 127.0.0.1:{port}: nobody listens on 127.0.0.1:{port}; start a \
             server there, or name its port: HOST:PORT/FILE"
        )
    );
    let error = tftp::get(&from, "/nowhere/x", &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /nowhere/x: No such file or directory (os error 2); see whether the folder is \
         there"
    );
}

/// 1,000 transfers at once in one server, each with a socket of its own.
#[test]
fn a_thousand_at_once() {
    let mut options = ServerOptions::default();
    options.protocol = ServerConfig {
        per_address: 1_000,
        ..ServerConfig::default()
    };
    let site = Site::new(options);
    let content = bytes(300_000);
    fs::write(site.path("root/file"), &content).unwrap();
    let from = site.location("file");
    let target = site.path("target");
    fs::create_dir(&target).unwrap();
    let mut options = Options::default();
    options.block_size = Some(1428);
    options.window = Some(8);
    std::thread::scope(|scope| {
        for index in 0..1_000 {
            let (from, target, options) = (&from, &target, &options);
            let content = &content;
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn_scoped(scope, move || {
                    let path = target.join(index.to_string());
                    tftp::get(from, &path, options).unwrap();
                    assert!(fs::read(&path).unwrap() == *content);
                })
                .unwrap();
        }
    });
    // On a busy machine some ask twice; the second transfer is ended by error 5 (RFC 1350 §4).
    let done = site.ended.iter().filter(|record| record.result.is_ok());
    assert_eq!(done.take(1_000).count(), 1_000);
}
